"""How long to wait for a broker: shorter, once somebody wants this process to end."""

import threading
import time

STOP_S = 4.0


class Patience:
    """A deadline that comes nearer when a stop is asked for.

    Args:
        seconds: how long to wait as a rule.
        stopping: set when the process is to end: from then on, `STOP_S` at most.
    """

    def __init__(self, seconds: float, *, stopping: threading.Event) -> None:
        self.ends_s = time.monotonic() + seconds
        self.stopping = stopping
        self._hurried = False

    def left_s(self, at_most: float) -> float:
        """The seconds that are left, or `at_most`; 0 when it is over."""
        now_s = time.monotonic()
        if self.stopping.is_set() and not self._hurried:
            self._hurried = True
            self.ends_s = min(self.ends_s, now_s + STOP_S)
        return max(0.0, min(at_most, self.ends_s - now_s))

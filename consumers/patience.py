"""How long to wait for a broker: shorter, once somebody wants this process to end."""

import threading
import time

import structlog

log = structlog.get_logger()

STOP_S = 4.0
SAID_EVERY_S = 30.0


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


class Voice:
    """Says that something is waited for: at once, then seldom, for as long as it is away."""

    def __init__(self) -> None:
        self._since_s = self._said_s = self._asked_s = float("-inf")

    def waits(self, reason: str, *, what: str = "a broker") -> None:
        """It has not answered, once more."""
        now_s = time.monotonic()
        if now_s - self._asked_s > SAID_EVERY_S:  # it was there between
            self._since_s, self._said_s = now_s, float("-inf")
        self._asked_s = now_s
        if now_s - self._said_s >= SAID_EVERY_S:
            self._said_s = now_s
            log.warning(f"waiting for {what}", waited_s=round(now_s - self._since_s), reason=reason)

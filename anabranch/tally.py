"""What a follower counts while a new champion is rolled out: answers of both versions, those that failed or were slow.

>>> tally = Tally(slow_s=60.0)
>>> tally.begin(beside=3)
>>> with tally.timed(is_new=True):
...     answer = True
>>> tally.served.answers, tally.served.answers_beside, tally.served.slow
(1, 0, 0)
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from anabranch.messages import ServedCounts

Counts = tuple[int, int, int]
"""Answers, those of them that failed, and those that were slow."""


class Tally:
    """Counts from when both versions are in use until one answers for all keys; safe to use from several threads.

    Args:
        slow_s: seconds; an answer that takes longer is slow.
    """

    def __init__(self, *, slow_s: float) -> None:
        self.slow_s = slow_s
        self._beside: int | None = None
        self._refuses = False
        self._new: Counts = (0, 0, 0)
        self._displaced: Counts = (0, 0, 0)
        self._lock = threading.Lock()

    def begin(self, *, beside: int, refuses: bool = False) -> None:
        """A version beside this one is in use, or was refused for good; of the same rollout, the counts go on."""
        with self._lock:
            if beside != self._beside:
                self._beside, self._new, self._displaced = beside, (0, 0, 0), (0, 0, 0)
            self._refuses = refuses

    def end(self) -> None:
        """One version answers for all keys."""
        with self._lock:
            self._beside = None

    @contextmanager
    def timed(self, *, is_new: bool) -> Iterator[None]:
        """Count the answer that is made within; one that raises has failed."""
        failed, began_s = True, time.perf_counter()
        try:
            yield
            failed = False
        finally:
            slow = time.perf_counter() - began_s > self.slow_s
            with self._lock:
                answers, failures, slows = self._new if is_new else self._displaced
                counts = (answers + 1, failures + failed, slows + slow)
                if is_new:
                    self._new = counts
                else:
                    self._displaced = counts

    @property
    def served(self) -> ServedCounts | None:
        """What was counted; None: nothing is being rolled out."""
        with self._lock:
            if self._beside is None:
                return None
            answers, failures, slow = self._new
            answers_beside, failures_beside, slow_beside = self._displaced
            return ServedCounts(
                beside=self._beside,
                answers=answers,
                failures=failures,
                slow=slow,
                answers_beside=answers_beside,
                failures_beside=failures_beside,
                slow_beside=slow_beside,
                serving=int(not self._refuses),
                refusing=int(self._refuses),
            )

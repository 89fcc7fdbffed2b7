"""The allowance: how many bytes a second of event time all announcements of a model may take, on average.

An announcement's bytes are owed, and event time pays them off. It may stand still, leap or run backwards, as it is
whatever producers write; so it is measured from the last announcement only, and no time that was ever seen is kept.
"""

RATE_MAX = 100_000.0
"""Events a second that no stream has: where time has moved by less, it says nothing."""

STILL_S = 0.001
"""What an event counts for then: a model is as large as at a thousand events a second, and its refresh is never kept
back for ever."""


def passed_s(seconds: float, *, events: int) -> float:
    """Seconds that count as passed in some events, over which event time moved by `seconds`.

    >>> passed_s(2.5, events=100), passed_s(0.0, events=100), passed_s(-3600.0, events=100)
    (2.5, 0.1, 0.1)
    """
    return seconds if seconds * RATE_MAX >= events else events * STILL_S


class Allowance:
    """What is owed since the last announcement, and how long until it is paid.

    >>> allowance = Allowance(1000)
    >>> allowance.spend(5000, after_s=0.0)
    >>> allowance.wait_s(after_s=2.0)
    3.0
    >>> allowance.spend(500, after_s=2.0)  # a swap waits for nothing, and adds to what is owed
    >>> allowance.wait_s(after_s=1.0), allowance.wait_s(after_s=60.0)
    (2.5, 0.0)
    """

    __slots__ = ("bytes_per_s", "owed")

    def __init__(self, bytes_per_s: int) -> None:
        self.bytes_per_s = bytes_per_s
        self.owed = 0.0
        """Bytes, at the last announcement, with its own."""

    def spend(self, size_bytes: int, *, after_s: float) -> None:
        """An announcement went out, so long after the one before."""
        self.owed = size_bytes + self.wait_s(after_s=after_s) * self.bytes_per_s

    def wait_s(self, *, after_s: float) -> float:
        """How much longer a refresh has to wait, so long after the last announcement; 0 is not at all."""
        return max(0.0, self.owed / self.bytes_per_s - after_s) if self.bytes_per_s else 0.0

"""A clock that stands until it is moved."""

from dataclasses import dataclass


@dataclass
class FrozenClock:
    """A clock that stands until it is moved."""

    now_s: float = 1_600_000_000.0

    def time_s(self) -> float:
        """Wall time in epoch seconds."""
        return self.now_s

    def monotonic_s(self) -> float:
        """The same."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Move it."""
        self.now_s += seconds

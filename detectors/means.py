"""The means of a stream's past in bounded memory, and where between two of its events the mean changed most.

>>> means = Means()
>>> for n in range(1000):
...     means.update(0.0 if n < 900 else 0.5)
>>> means.split()
Split(before=0.0, after=0.5, events=100)
"""

from collections.abc import Iterator
from typing import NamedTuple

BUCKETS_MAX = 16
LEVELS_MAX = 24


class Split(NamedTuple):
    """A past cut in two."""

    before: float
    after: float
    events: int
    """In the newer part."""


class Means:
    """An exponential histogram (Datar et al., 2002): level i holds sums of 2^i values, at most so many of each.

    At most 400 numbers, however long the stream. A value a thousand events back is known to within 5 %.
    """

    def __init__(self) -> None:
        self.levels: list[list[float]] = [[]]

    def update(self, value: float) -> None:
        """Take in one value."""
        level = self.levels[0]
        level.append(value)
        if len(level) > BUCKETS_MAX:
            self._carry()

    def _carry(self) -> None:
        for n, level in enumerate(self.levels):
            if len(level) <= BUCKETS_MAX:
                return
            merged = level.pop(0) + level.pop(0)
            if n + 1 < LEVELS_MAX:  # the oldest of the last level, 16 million events back, are forgotten
                if n + 1 == len(self.levels):
                    self.levels.append([])
                self.levels[n + 1].append(merged)

    def _buckets(self) -> Iterator[tuple[int, float]]:
        """The number of values in each bucket and their sum, oldest first."""
        for n in range(len(self.levels) - 1, -1, -1):
            for total in self.levels[n]:
                yield 1 << n, total

    def split(self) -> Split | None:
        """The cut at which the means before and after differ most, by their standard error; None below two values."""
        buckets = list(self._buckets())
        events, total = sum(n for n, _ in buckets), sum(each for _, each in buckets)
        best, found = -1.0, None
        older, older_total = 0, 0.0
        for n, each in buckets[:-1]:
            older, older_total = older + n, older_total + each
            newer = events - older
            split = Split(older_total / older, (total - older_total) / newer, newer)
            distance = (split.after - split.before) ** 2 * older * newer
            if distance > best:
                best, found = distance, split
        return found

    def keep(self, events: int) -> None:
        """Forget all but the last so many values."""
        for n, level in enumerate(self.levels):
            room = max(0, events) >> n
            del level[: max(0, len(level) - room)]
            events -= len(level) << n
        while len(self.levels) > 1 and not self.levels[-1]:
            self.levels.pop()

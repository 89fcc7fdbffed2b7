"""Which records were learned, in which order, as run lengths; and the learning state without such places.

>>> lineage = Lineage(events_max=100)
>>> for partition, offset in [(0, 5), (0, 6), (1, 9), (0, 7), (0, 9)]:
...     lineage.append(partition, offset)
>>> [tuple(run) for run in lineage.last(4)]
[(0, 6, 7), (1, 9, 10), (0, 7, 8), (0, 9, 10)]
>>> [tuple(run) for run in merged(lineage.last(4))]
[(0, 6, 10), (1, 9, 10)]
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgpack


class Run(NamedTuple):
    """Offsets `start` to `end` (excluded) of a partition, every one an accepted event."""

    partition: int
    start: int
    end: int


class Lineage:
    """The order in which the last `events_max` accepted events were learned."""

    def __init__(self, *, events_max: int) -> None:
        self.events_max = events_max
        self.runs: deque[Run] = deque()
        self.events = 0
        self._partition = -1
        self._start = self._end = 0

    def append(self, partition: int, offset: int) -> None:
        """One more accepted event was learned."""
        if partition == self._partition and offset == self._end:
            self._end += 1
        else:
            self._close()
            self._partition, self._start, self._end = partition, offset, offset + 1

    def _close(self) -> None:
        """Put the open run away, and forget the oldest that are no longer needed."""
        if self._end == self._start:
            return
        self.runs.append(Run(self._partition, self._start, self._end))
        self.events += self._end - self._start
        # Whole runs only, so that what is left always holds at least `events_max` events.
        while self.runs and self.events - _length(self.runs[0]) >= self.events_max:
            self.events -= _length(self.runs.popleft())
        self._start = self._end

    def forget(self) -> None:
        """Nothing of before can be read again."""
        self.restore(Lineage(events_max=self.events_max).state())

    def last(self, events: int) -> list[Run]:
        """The runs that hold the last `events` accepted events (or all that are known), oldest first."""
        runs = [*self.runs, Run(self._partition, self._start, self._end)]
        taken: list[Run] = []
        left = min(events, self.events_max)
        for partition, start, end in reversed(runs):
            if left <= 0:
                break
            if end > start:
                taken.append(Run(partition, max(start, end - left), end))
                left -= end - start
        return taken[::-1]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps. The runs are packed, since there may be as many as events."""
        open_run = (self._partition, self._start, self._end)
        return {"runs": msgpack.packb(list(self.runs)), "open": open_run}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        packed = state["runs"]  # a list, in old checkpoints
        self.runs = deque(Run(*run) for run in (msgpack.unpackb(packed) if isinstance(packed, bytes) else packed))
        self.events = sum(map(_length, self.runs))
        self._partition, self._start, self._end = state["open"]


def _length(run: Run) -> int:
    return run.end - run.start


def count(runs: Iterable[Run]) -> int:
    """How many events the runs hold."""
    return sum(map(_length, runs))


def merged(runs: Iterable[Run]) -> list[Run]:
    """One run a partition, from the first offset to the last: for people."""
    spans: dict[int, tuple[int, int]] = {}
    for partition, start, end in runs:
        low, high = spans.get(partition, (start, end))
        spans[partition] = min(low, start), max(high, end)
    return [Run(partition, *spans[partition]) for partition in sorted(spans)]


# ── The learning state without places in the log: the same events give the same one wherever their records lie ──────

# Records that were refused, or that stand twice, move the offsets of all after them, and teach nothing.


def placeless(state: Mapping[str, Any]) -> dict[str, Any]:
    """A lane's learning state, of which the ranges of `trained_on`, signals' ids and their places are left out."""
    succession, watch = dict(state["succession"]), dict(state["watch"])
    succession["library"] = [
        (name, version, _without(trained_on, "ranges"), data)
        for name, version, trained_on, data in succession["library"]
    ]
    if "trigger" in watch:
        counted = [_without(each, "partition", "offset") for each in watch["trigger"]["counted"]]
        watch["trigger"] = {**watch["trigger"], "counted": counted}
    shadows = [_member(each) for each in state["shadows"]]
    champion = _member(state["champion"])
    return {**state, "champion": champion, "shadows": shadows, "succession": succession, "watch": watch}


def _member(state: Mapping[str, Any]) -> dict[str, Any]:
    return {**_without(state, "trigger"), "trained_on": _without(state["trained_on"], "ranges")}


def _without(table: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in names}

"""Counts of what was told of a model, and how long it took: they only grow, as Prometheus wants them.

What others count may go back: a learner that was killed goes on from its checkpoint. Prometheus would take that for a
counter that began anew, and count everything once more.

>>> grown = Growth()
>>> for at_s, number in enumerate((100, 120, 90, 95, 95)):
...     grown.see(number, float(at_s))
>>> grown.total, grown.grew_s
(25, 3.0)
>>> spread = Spread(bounds_s=(1.0, 10.0))
>>> for seconds in (0.5, 4.0, 60.0):
...     spread.add(seconds, tag="7")
>>> spread.cumulative
[1, 2, 3]
"""

from bisect import bisect_left
from collections import Counter, OrderedDict
from typing import TypeVar

from anabranch.messages import (
    Alert,
    DeadLetter,
    DriftSignal,
    Message,
    ModelAck,
    ModelReport,
    ModelUpdate,
    RetrainAnswer,
    Transition,
)

T = TypeVar("T")

BOUNDS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0)
"""Of swaps: a retraining takes seconds to minutes, and a trial as long as its events."""
TAKEN_BOUNDS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0)
OPEN_MAX = 500
"""Triggers that have brought no swap, and swaps whose trigger was not heard, that are remembered."""


class Growth:
    """How much a number of somebody else has grown since it was first seen."""

    def __init__(self) -> None:
        self.last: float | None = None
        self.total: float = 0
        self.began_s = 0.0
        """When it was first seen."""
        self.grew_s: float | None = None
        """When it was last seen to have grown."""

    def see(self, number: float, at_s: float = 0.0) -> None:
        """It is this at that time; where it has gone back, it goes on from there."""
        if self.last is None:
            self.began_s = at_s
        elif number > self.last:
            self.total += number - self.last
            self.grew_s = at_s
        self.last = number


class Spread:
    """How many took how long: a histogram, and of each bucket the last that fell into it.

    Args:
        bounds_s: upper ends of the buckets, ascending; one without an end comes after them.
    """

    def __init__(self, *, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.last: list[tuple[float, str] | None] = [None] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float, *, tag: str) -> None:
        """One more; clocks of two machines may differ, and nothing takes less than no time."""
        seconds = max(0.0, seconds)
        bucket = bisect_left(self.bounds_s, seconds)
        self.counts[bucket] += 1
        self.sum_s += seconds
        self.last[bucket] = (seconds, tag)

    @property
    def cumulative(self) -> list[int]:
        """By bucket, how many took so long at most."""
        return [sum(self.counts[: at + 1]) for at in range(len(self.counts))]


class Counts:
    """What was told of one model since the picture was begun.

    Attributes:
        updates: by kind.
        signals: by detector.
        triggers: decisions to retrain: signals that triggered, and requests that were accepted.
        alerts: by kind.
        refused: dead letters by stage.
        learned: accepted events.
        endings: of events that waited for their label, by how.
        unusable: answers, by the reason.
        steps: of members of the arena, by the state that they came into.
        swap_s: from the trigger to the swap that it brought.
        taken_s: from an announcement to its use, by all followers.
    """

    def __init__(self) -> None:
        self.updates: Counter[str] = Counter()
        self.signals: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.learned = Growth()
        self.came_s = 0.0
        """When it was last told that records come in."""
        self.endings: dict[str, Growth] = {}
        self.unusable: dict[str, Growth] = {}
        self.triggers = 0
        self.swap_s = Spread(bounds_s=BOUNDS_S)
        self.taken_s = Spread(bounds_s=TAKEN_BOUNDS_S)
        # Topics are read in no order: a swap may be heard before its trigger.
        self._triggered: OrderedDict[str, float] = OrderedDict()
        self._swapped: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def hear(self, message: Message, at_s: float) -> None:
        """Count a message that was not heard before."""
        match message:
            case ModelUpdate():
                self.updates[message.kind] += 1
                if message.kind == "swap" and message.trigger:
                    self._swap(message.trigger, at_s, str(message.version))
            case DriftSignal():
                self.signals[message.detector] += 1
                if message.triggered:
                    self._trigger(message.id, at_s)
            case RetrainAnswer() if message.accepted:
                self._trigger(message.request, at_s)
            case Transition():
                self.steps[message.after] += 1
            case Alert():
                self.alerts[message.kind] += 1
            case DeadLetter():
                self.refused[message.stage] += 1
            case ModelReport():
                self._hear_report(message, at_s)

    def _hear_report(self, report: ModelReport, at_s: float) -> None:
        self.learned.see(report.event_number, at_s)
        if report.records_per_s:
            self.came_s = at_s
        endings = report.labels.endings if report.labels else {}
        for grown, told in ((self.endings, endings), (self.unusable, report.unusable)):
            for name, number in told.items():
                if name not in grown:
                    grown[name] = Growth()
                grown[name].see(number)

    def hear_ack(self, ack: ModelAck, before: ModelAck | None) -> None:
        """A follower has told what it serves; `before` is what it told last."""
        is_new = before is None or (before.epoch, before.seq) < (ack.epoch, ack.seq)
        if is_new and ack.taken_s is not None:
            self.taken_s.add(ack.taken_s, tag=str(ack.version))

    def restart(self) -> None:
        """Count from here on: what was there before somebody began to read is old, and no news to Prometheus."""
        for counter in (self.updates, self.signals, self.alerts, self.refused, self.steps):
            counter.clear()
        for grown in (self.learned, *self.endings.values(), *self.unusable.values()):
            grown.total = 0
        self.triggers = 0
        self.swap_s, self.taken_s = Spread(bounds_s=BOUNDS_S), Spread(bounds_s=TAKEN_BOUNDS_S)

    def _trigger(self, named: str, at_s: float) -> None:
        self.triggers += 1
        if named in self._swapped:
            swapped_s, version = self._swapped.pop(named)
            self.swap_s.add(swapped_s - at_s, tag=version)
        else:
            _keep(self._triggered, named, at_s)

    def _swap(self, trigger: str, at_s: float, version: str) -> None:
        if trigger in self._triggered:
            self.swap_s.add(at_s - self._triggered[trigger], tag=version)
        else:
            _keep(self._swapped, trigger, (at_s, version))


def _keep(several: OrderedDict[str, T], named: str, value: T) -> None:
    several[named] = value
    if len(several) > OPEN_MAX:
        several.popitem(last=False)

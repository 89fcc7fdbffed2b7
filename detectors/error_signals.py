"""Drift signals on the champion's error: any detector, heeded only when the error *rises*.

>>> import random
>>> rng = random.Random(7)
>>> errors = [rng.random() < 0.1 for _ in range(1000)] + [rng.random() < 0.4 for _ in range(1000)]
>>> signal = ErrorSignal("adwin", adwin(delta=0.02))
>>> fired = [(n, shift) for n, error in enumerate(errors, 1) if (shift := signal.update(error))]
>>> [(n, shift.window_events) for n, shift in fired]
[(1056, 288)]

An improvement changes the mean as well, but is nobody's reason to retrain:

>>> signal = ErrorSignal("adwin", adwin(delta=0.02))
>>> [n for n, error in enumerate(reversed(errors), 1) if signal.update(error)]
[]

>>> means = Means()
>>> for n in range(1000):
...     means.update(0.0 if n < 900 else 0.5)
>>> means.split()
Split(before=0.0, after=0.5, events=100)
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from river import drift
from river.drift import binary

from anabranch.events import Shift
from anabranch.messages import SignalKind as Kind
from detectors.signal import Level
from detectors.sr import SRDetector

# ── The means of a stream's past in bounded memory, and where between two of its events the mean changed most ───────

MARKS_MAX = 16
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
            # The squared error of the difference is in proportion to
            # events / (older · newer); events are the same for all cuts.
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


# ── The signals ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Gauge(Protocol):
    """A River detector together with what its alarm means: feed `update` one loss in [0, 1] an event."""

    detector: Any
    beside: Any
    """What the gauge itself remembers, for a checkpoint."""

    def update(self, loss: float) -> Shift | None:
        """The shift, when the detector fired on a rise of the mean."""

    def level(self) -> Level | None:
        """How near it is to firing; None if it has seen too little."""


class AdwinGauge:
    """ADWIN (Bifet and Gavaldà, 2007) and the two sides of its cut."""

    def __init__(self, detector: drift.ADWIN) -> None:
        self.detector = detector
        self.beside: Any = (0.0, 0)
        self.marks: list[tuple[float, int]] = []
        """What was in the window when it was marked: the cuts of which `level` tells."""

    def update(self, loss: float) -> Shift | None:
        """The shift, when ADWIN cut its window and kept the side with the higher mean."""
        detector = self.detector
        detector.update(loss)
        # Counted here, since asking ADWIN on every event for what only an alarm needs costs more than the update.
        total, width = self.beside
        total, width = self.beside = (total + loss, width + 1)
        if not detector.drift_detected:
            return None
        self.beside, self.marks = (0.0, 0), []  # River's ADWIN starts over after an alarm
        kept = int(detector.width)
        dropped = int(width) - kept
        if not kept or not dropped:
            return None
        before = (total - detector.total) / dropped
        rise = detector.total / kept - before
        if rise <= 0:
            return None
        return Shift(rise, _cut_threshold(dropped, kept, before, delta=detector.delta), kept)

    def level(self) -> Level | None:
        """Of the cuts where it was marked, that at which the rise comes nearest to ADWIN's threshold.

        ADWIN looks at many more cuts, and shows none of them.
        """
        total, width = self.beside
        levels = [
            Level((total - older) / (width - n) - older / n, self._threshold(n, int(width - n), older / n))
            for older, n in self.marks
            if 0 < n < width
        ]
        return max(levels, key=lambda each: each.share, default=None)

    def mark(self) -> None:
        """Remember a cut here."""
        self.marks = [*self.marks, self.beside][-MARKS_MAX:]

    def _threshold(self, dropped: int, kept: int, before: float) -> float:
        return _cut_threshold(dropped, kept, min(1.0, max(0.0, before)), delta=self.detector.delta)


def _cut_threshold(dropped: int, kept: int, mean: float, *, delta: float) -> float:
    """ADWIN's ε_cut for two windows of these widths (the paper's Theorem 3.1), at Bernoulli variance."""
    harmonic = 1 / (1 / dropped + 1 / kept)
    confidence = math.log(2 * math.log(dropped + kept) / delta)
    variance = mean * (1 - mean)
    return math.sqrt(2 / harmonic * variance * confidence) + 2 / (3 * harmonic) * confidence


class PageHinkleyGauge:
    """Page-Hinkley (Page, 1954), upwards only, and where its sum was lowest: the estimated change."""

    def __init__(self, detector: drift.PageHinkley) -> None:
        self.detector = detector
        self.beside: Any = (0,)

    def update(self, loss: float) -> Shift | None:
        """The shift, when the sum of deviations rose by more than the threshold above its minimum."""
        detector = self.detector
        detector.update(loss)
        # River keeps the statistic in private attributes only.
        self.beside = (0,) if detector._sum_increase == detector._min_increase else (self.beside[0] + 1,)
        if not detector.drift_detected:
            return None
        statistic = detector._sum_increase - detector._min_increase
        return Shift(statistic, detector.threshold, max(1, int(self.beside[0])))

    def level(self) -> Level | None:
        """How far the sum is above its minimum."""
        detector = self.detector
        return Level(float(detector._sum_increase - detector._min_increase), float(detector.threshold))


class MeansGauge:
    """Any other detector: which way the mean went, and since when, is told by an account of means kept beside it.

    Args:
        looks_down: the detector wants to see what is right, not what is wrong, and alarms when that grows rare.
    """

    def __init__(self, detector: Any, *, looks_down: bool = False) -> None:
        self.detector = detector
        self.looks_down = looks_down
        self.means = Means()

    @property
    def beside(self) -> Any:
        """The account of means."""
        return self.means.levels

    @beside.setter
    def beside(self, levels: Any) -> None:
        self.means.levels = [list(level) for level in levels]

    def update(self, loss: float) -> Shift | None:
        """The shift, when the detector fired and the mean had risen."""
        self.means.update(loss)
        self.detector.update(1.0 - loss if self.looks_down else loss)
        if not self.detector.drift_detected:
            return None
        split = self.means.split()
        if split is None:
            return None
        # Forgotten after a fall as well: the same old change would otherwise be found again at the next alarm.
        self.means.keep(split.events)
        rise = split.after - split.before
        return None if rise <= 0 else Shift(*self._compared(rise), split.events)

    def level(self) -> Level | None:
        """What the detector shows; of one that shows nothing, how far the mean has risen."""
        split = self.means.split()
        if split is None:
            return None
        statistic, threshold = self._compared(split.after - split.before)
        return Level(statistic, threshold or None, fires_below=isinstance(self.detector, drift.KSWIN))

    def _compared(self, rise: float) -> tuple[float, float]:
        """What the detector compares with what, where it shows that; else the rise of the mean, with nothing."""
        detector = self.detector
        if isinstance(detector, SRDetector):
            return detector.statistic, detector.arl
        if isinstance(detector, drift.KSWIN):
            return float(detector.p_value), detector.alpha
        return rise, 0.0


def adwin(**parameters: Any) -> AdwinGauge:
    """ADWIN; an error that falls is not reported."""
    return AdwinGauge(drift.ADWIN(**parameters))


def page_hinkley(**parameters: Any) -> PageHinkleyGauge:
    """Page-Hinkley on a rise of the mean, whatever `mode` says elsewhere."""
    return PageHinkleyGauge(drift.PageHinkley(**{**parameters, "mode": "up"}))


def gauge_for(kind: type, **parameters: Any) -> Gauge:
    """The gauge around a detector of this class."""
    if kind is drift.ADWIN:
        return adwin(**parameters)
    if kind is drift.PageHinkley:
        return page_hinkley(**parameters)
    # River's FHDDM alarms when the share of ones falls: it is to be shown right answers (Pesaranghader, 2016).
    return MeansGauge(kind(**parameters), looks_down=kind is binary.FHDDM)


class ErrorSignal:
    """One detector under its configured name, silent for `debounce_events` after it has fired.

    Args:
        of_labels: the detector is shown 1 for a wrong label and 0 for the right one, instead of the loss.
    """

    kind: Kind = "error"
    of_champion = True

    def __init__(self, name: str, gauge: Gauge, *, debounce_events: int = 0, of_labels: bool = False) -> None:
        self.name = name
        self.gauge = gauge
        self.debounce_events = debounce_events
        self.of_labels = of_labels
        self.quiet = 0

    def update(self, loss: float) -> Shift | None:
        """Feed one loss in [0, 1]; the shift if the detector fired on a rise and is not debounced."""
        # Fed while it is silent, too: the detector that is heeded again afterwards knows the error of the new concept.
        shift = self.gauge.update(loss)
        if self.quiet:
            self.quiet -= 1
            return None
        if shift is not None:
            self.quiet = self.debounce_events
        return shift

    def level(self) -> Level | None:
        """How near it is to firing."""
        return self.gauge.level()

    def trained(self) -> None:
        """It goes on."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"detector": self.gauge.detector, "beside": self.gauge.beside, "quiet": self.quiet}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.gauge.detector = state["detector"]
        self.gauge.beside = state["beside"]
        self.quiet = state["quiet"]

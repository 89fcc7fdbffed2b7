"""Finds how sensitive a detector may be on the errors that a model really makes, for a bearable rate of false alarms.

What happened is cut into blocks and put together in random order: that keeps how errors hang together over short
times, and leaves no change but chance. An alarm on it is false. The delay is measured where errors are added from some
event on.

>>> import random
>>> rng = random.Random(7)
>>> losses = [float(rng.random() < 0.2) for _ in range(5000)]
>>> table = {"use": "drift.PageHinkley", "delta": 0.02, "alpha": 1.0}
>>> bench = Bench(losses, seed=1, events=20_000)
>>> trials = list(bench.trials("ph", Detector.model_validate(table), rate=1 / 10_000))
>>> [(each.value, each.false) for each in trials[-4:]], chosen(trials).value
([(20.0, 0), (15.0, 1), (12.0, 2), (10.0, 7)], 12.0)
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from config.learning import Detector
from detectors.catalogue import gauge_of
from detectors.error_signals import Gauge

BLOCK_EVENTS = 50
BEFORE_EVENTS = 3_000
HORIZON_EVENTS = 5_000
RUNS = 20

KNOBS: dict[str, tuple[str, tuple[float, ...]]] = {
    "drift.ADWIN": ("delta", (1e-5, 1e-4, 5e-4, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)),
    "drift.PageHinkley": ("threshold", (200.0, 150.0, 100.0, 75.0, 50.0, 35.0, 25.0, 20.0, 15.0, 12.0, 10.0)),
    "drift.KSWIN": ("alpha", (1e-7, 1e-6, 1e-5, 1e-4, 0.001, 0.005)),
    "drift.binary.DDM": ("drift_threshold", (8.0, 6.0, 5.0, 4.5, 4.0, 3.5, 3.0, 2.5)),
    "drift.binary.EDDM": ("beta", (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)),
    "drift.binary.FHDDM": ("confidence_level", (1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 0.001)),
    "drift.binary.HDDMA": ("drift_confidence", (1e-7, 1e-6, 1e-5, 1e-4, 0.001, 0.005, 0.01, 0.05)),
    "drift.binary.HDDMW": ("drift_confidence", (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 0.001, 0.005)),
    "sr.SRDetector": ("arl", (1e7, 3e6, 1e6, 3e5, 1e5, 3e4, 1e4, 3e3, 1e3)),
}
"""The parameter that makes each detector more or less sensitive, and values to try, the most careful first."""


class Trial(NamedTuple):
    """One value of a detector's parameter, and what came of it."""

    parameter: str
    value: float
    false: int
    """Alarms among the events without a change."""
    delay: float
    """Mean events from a change to the alarm; a miss counts as the horizon."""
    missed: int
    bearable: bool


class Bench:
    """Tries detectors on reordered losses.

    Args:
        losses: of a model on its history, each in [0, 1].
        events: without a change, on which false alarms are counted.
        rise: of the mean loss, in the changes of which the delay is measured; by default half the mean, at least .05.
    """

    def __init__(self, losses: Sequence[float], *, seed: int, events: int, rise: float | None = None) -> None:
        self.blocks = [losses[at : at + BLOCK_EVENTS] for at in range(0, len(losses), BLOCK_EVENTS)]
        self.seed = seed
        self.events = events
        self.mean = sum(losses) / len(losses)
        # A loss ends at 1, so a model that is often wrong has little room left to grow worse.
        self.rise = min(1 - self.mean, max(0.05, self.mean / 2)) if rise is None else rise

    def trials(self, name: str, detector: Detector, *, rate: float) -> Iterator[Trial]:
        """From the most careful value on, until two in a row alarm falsely more often than `rate`, alarms an event."""
        parameter, values = KNOBS[detector.use]
        unbearable = 0
        for value in values:
            tuned = Detector.model_validate({**detector.model_dump(), parameter: value})
            trial = self._trial(name, tuned, parameter, value, rate)
            yield trial
            unbearable = 0 if trial.bearable else unbearable + 1
            if unbearable == 2:
                return

    def _trial(self, name: str, tuned: Detector, parameter: str, value: float, rate: float) -> Trial:
        gauge = gauge_of(tuned, name=name, seed=self.seed)
        stream = itertools.islice(self._reordered("quiet"), self.events)
        false = sum(gauge.update(loss) is not None for loss in stream)
        delays = [self._delay(gauge_of(tuned, name=name, seed=self.seed), run) for run in range(RUNS)]
        found = [HORIZON_EVENTS if each is None else each for each in delays]
        bearable = false <= rate * self.events
        return Trial(parameter, value, false, sum(found) / RUNS, delays.count(None), bearable)

    def _reordered(self, purpose: str) -> Iterator[float]:
        """The blocks in random order, again and again."""
        # Seeded by the purpose, so that all values of a parameter are tried on the very same streams.
        rng = random.Random(f"{self.seed} {purpose}")
        order = list(self.blocks)
        while True:
            rng.shuffle(order)
            for block in order:
                yield from block

    def _delay(self, gauge: Gauge, run: int) -> int | None:
        stream = self._reordered(f"run {run}")
        rng = random.Random(f"{self.seed} rise {run}")
        # Alarms in here are not counted: the quiet stream tells
        # how many are false. A detector that restarts misses more.
        for loss in itertools.islice(stream, BEFORE_EVENTS):
            gauge.update(loss)
        # Only what lies below 1 can be raised: with this share of
        # the losses set to 1, the mean rises by exactly `rise`.
        share = self.rise / (1 - self.mean) if self.mean < 1 else 0.0
        for n, loss in enumerate(itertools.islice(stream, HORIZON_EVENTS), 1):
            if gauge.update(1.0 if rng.random() < share else loss) is not None:
                return n
        return None


def chosen(trials: Sequence[Trial]) -> Trial | None:
    """The quickest of the values that, like all more careful ones, alarm falsely no more often than allowed.

    That need not be the most sensitive: what alarms before a change has to restart, and then misses it. Of two that
    are as quick, the more careful.
    """
    bearable = itertools.takewhile(lambda trial: trial.bearable, trials)
    return min(bearable, key=lambda trial: trial.delay, default=None)

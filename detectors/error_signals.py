"""Drift signals on the champion's loss: River's detectors, heeded only when the error *rises*.

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
"""

import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any, Protocol

from river import drift

from anabranch.errors import ConfigError
from anabranch.ports import Shift
from anabranch.settings import Detector


class Gauge(Protocol):
    """A River detector together with what its alarm means: feed `update` one loss in [0, 1] an event."""

    detector: Any
    beside: tuple[float, ...]
    """What the gauge itself remembers, for a checkpoint."""

    def update(self, loss: float) -> Shift | None:
        """The shift, when the detector fired on a rise of the mean."""


class AdwinGauge:
    """ADWIN (Bifet and Gavaldà, 2007) and the two sides of its cut."""

    def __init__(self, detector: drift.ADWIN) -> None:
        self.detector = detector
        self.beside: tuple[float, ...] = (0.0, 0)

    def update(self, loss: float) -> Shift | None:
        """The shift, when ADWIN cut its window and kept the side with the higher mean."""
        detector = self.detector
        detector.update(loss)
        # Counted here, since asking ADWIN on every event for what only an alarm needs costs more than the update.
        total, width = self.beside
        total, width = self.beside = (total + loss, width + 1)
        if not detector.drift_detected:
            return None
        self.beside = (0.0, 0)  # River's ADWIN starts over after an alarm
        kept = int(detector.width)
        dropped = int(width) - kept
        if not kept or not dropped:
            return None
        before = (total - detector.total) / dropped
        rise = detector.total / kept - before
        if rise <= 0:
            return None
        return Shift(rise, _cut_threshold(dropped, kept, before, delta=detector.delta), kept)


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
        self.beside: tuple[float, ...] = (0,)

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


def adwin(**parameters: Any) -> AdwinGauge:
    """ADWIN; an error that falls is not reported."""
    return AdwinGauge(drift.ADWIN(**parameters))


def page_hinkley(**parameters: Any) -> PageHinkleyGauge:
    """Page-Hinkley on a rise of the mean, whatever `mode` says elsewhere."""
    return PageHinkleyGauge(drift.PageHinkley(**{**parameters, "mode": "up"}))


GAUGES: dict[str, Callable[..., Gauge]] = {"drift.ADWIN": adwin, "drift.PageHinkley": page_hinkley}


def gauge_of(detector: Detector, *, name: str) -> Gauge:
    """The gauge that `[detectors.NAME]` describes.

    Raises:
        ConfigError: the detector has no such parameter, or refuses its value.
    """
    known = list(inspect.signature(getattr(drift, detector.use.removeprefix("drift."))).parameters)
    for parameter in detector.parameters:
        if parameter not in known:
            near = difflib.get_close_matches(parameter, known, n=1, cutoff=0.4)
            hint = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(known)}"
            raise ConfigError(f"detectors.{name}: {detector.use} has no parameter `{parameter}`; {hint}")
    try:
        return GAUGES[detector.use](**detector.parameters)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"detectors.{name}: {detector.use} refuses its parameters: {error}") from error


class ErrorSignal:
    """One detector under its configured name, silent for `debounce_events` after it has fired."""

    def __init__(self, name: str, gauge: Gauge, *, debounce_events: int = 0) -> None:
        self.name = name
        self.gauge = gauge
        self.debounce_events = debounce_events
        self.quiet = 0

    def update(self, loss: float) -> Shift | None:
        """Feed one loss in [0, 1]; the shift if the detector fired on a rise and is not debounced."""
        shift = self.gauge.update(loss)
        if self.quiet:
            self.quiet -= 1
            return None
        if shift is not None:
            self.quiet = self.debounce_events
        return shift

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "name": self.name,
            "detector": self.gauge.detector,
            "beside": self.gauge.beside,
            "quiet": self.quiet,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.gauge.detector = state["detector"]
        self.gauge.beside = state["beside"]
        self.quiet = state["quiet"]

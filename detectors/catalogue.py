"""All signals by the name that a configuration gives them in `use`: River's detectors, ours, and those without one."""

import inspect
from collections.abc import Callable
from typing import Any

from river import base, drift
from river.drift import binary

from anabranch.errors import ConfigError, did_you_mean
from config.learning import Detector
from config.loading import section
from config.sections import Section
from config.settings import Settings
from detectors.distribution_signals import DistributionSettings, DistributionSignal, Inputs, Labels, Predictions
from detectors.error_signals import ErrorSignal, Gauge, gauge_for
from detectors.schedule import Schedule, ScheduleSettings, Volume, VolumeSettings
from detectors.signal import Signal
from detectors.sr import SRDetector
from detectors.threshold import Threshold, ThresholdSettings


def _detectors(room: Any, prefix: str) -> dict[str, type]:
    """The drift detectors in one of River's modules."""
    kinds = {name: getattr(room, name, None) for name in room.__all__}
    detectors = base.DriftDetector, base.BinaryDriftDetector
    return {
        f"{prefix}.{name}": kind
        for name, kind in kinds.items()
        if inspect.isclass(kind) and issubclass(kind, detectors)
    }


ERROR: dict[str, type] = {
    **_detectors(drift, "drift"),
    **_detectors(binary, "drift.binary"),
    "sr.SRDetector": SRDetector,
}
"""Drift detectors, which are shown the champion's error."""

_DISTRIBUTIONS: dict[str, type[DistributionSignal]] = {"inputs": Inputs, "predictions": Predictions, "labels": Labels}
_OTHERS: dict[str, type[Section]] = {
    **dict.fromkeys(_DISTRIBUTIONS, DistributionSettings),
    "threshold": ThresholdSettings,
    "schedule": ScheduleSettings,
    "volume": VolumeSettings,
}
NAMES = (*ERROR, *_OTHERS)


def signal_of(name: str, settings: Settings) -> Signal:
    """The signal that `[detectors.NAME]` describes.

    Raises:
        ConfigError: there is none of this name, it has no such parameter, or refuses its value; saying what to write.
    """
    detector = settings.detectors[name]
    if detector.use in ERROR:
        return _error_signal(name, detector, settings)
    if detector.use not in _OTHERS:
        hint = did_you_mean(detector.use, NAMES, cutoff=0.4, show="'{}'", instead=f"there are {', '.join(NAMES)}")
        raise ConfigError(f"detectors.{name}: no detector {detector.use!r}; {hint}")
    parameters: Any = section(_OTHERS[detector.use], detector.parameters, where=f"detectors.{name}")
    return _made(name, detector.use, parameters, settings)


def _made(name: str, use: str, parameters: Any, settings: Settings) -> Signal:
    if use in _DISTRIBUTIONS:
        return _DISTRIBUTIONS[use](name, parameters, of_classes=not settings.numeric)
    if use == "threshold":
        try:
            return Threshold(name, parameters, task=settings.measured_as)
        except ConfigError as error:
            raise ConfigError(f"detectors.{name}: {error}") from error
    makers: dict[str, Callable[[str, Any], Signal]] = {"schedule": Schedule, "volume": Volume}
    return makers[use](name, parameters)


def _error_signal(name: str, detector: Detector, settings: Settings) -> ErrorSignal:
    of_labels = issubclass(ERROR[detector.use], base.BinaryDriftDetector)
    if of_labels and settings.numeric:
        raise ConfigError(
            f"detectors.{name}: {detector.use} counts wrong labels, and a regression has none; "
            "take drift.ADWIN, drift.PageHinkley, drift.KSWIN or sr.SRDetector"
        )
    gauge = gauge_of(detector, name=name, seed=settings.seed)
    return ErrorSignal(name, gauge, debounce_events=settings.trigger.debounce_events, of_labels=of_labels)


# A hundred values: KSWIN compares nothing, and so minds no parameter, before its window of a hundred is full.
_TRIAL = (0.0, 1.0) * 50


def gauge_of(detector: Detector, *, name: str, seed: int) -> Gauge:
    """The gauge around a drift detector; one that takes a seed and was given none gets `seed`.

    Raises:
        ConfigError: the detector has no such parameter, or refuses its value.
    """
    kind = ERROR[detector.use]
    known = list(inspect.signature(kind).parameters)
    for parameter in detector.parameters:
        if parameter not in known:
            hint = did_you_mean(parameter, known, cutoff=0.4, instead=f"it takes {', '.join(known) or 'none'}")
            raise ConfigError(f"detectors.{name}: {detector.use} has no parameter `{parameter}`; {hint}")
    # KSWIN draws the sample that it compares with: without a seed two runs over one log would fire at different events.
    seeds = {"seed": seed} if "seed" in known else {}
    try:
        tried = gauge_for(kind, **{**seeds, **detector.parameters})
        for loss in _TRIAL:
            tried.update(loss)  # River takes a threshold of "25" and minds it only when it compares
        # Made a second time, since the trial has left its values in the first.
        return gauge_for(kind, **{**seeds, **detector.parameters})
    except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise ConfigError(f"detectors.{name}: {detector.use} refuses its parameters: {error}") from error

"""Whether the models of a configuration can learn a file: on its first events; and what it goes by event time for."""

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent
from anabranch.rolling import KEY
from commands.data import records, warn
from config.learning import ModelSpec
from config.settings import Settings
from consumers.guard import Guard, learnable
from consumers.poison import about_strings
from evaluation.files import Files
from learners.derived import Alone
from learners.models import catalogue
from learners.models.fence import is_fault
from learners.models.tasks import Task
from learners.scores import metrics_of, wants_proba

EVENTS = 100


def refuse_what_cannot_learn(settings: Settings, files: Files) -> None:
    """Let a fresh model of each kind predict and learn the first events.

    Raises:
        ConfigError: one raises; names the model, the row, and the features that it takes ill.
    """
    faults = [fault for fault, _ in _faults(settings, files)]
    if faults:
        raise ConfigError("\n".join(f"{files.name}: {fault}" for fault in faults))


def warn_of_strings(settings: Settings, files: Files) -> None:
    """Say which models cannot compute with the strings in the first events; the run goes on."""
    for fault, of_strings in _faults(settings, files):
        if of_strings:
            warn(f"{files.name}: {fault}")


def _faults(settings: Settings, files: Files) -> list[tuple[str, bool]]:
    """What the models raise, as sentences, and whether strings are to blame."""
    guard = Guard(settings)
    checked = (learnable(guard, guard.check(record)) for record in islice(records(files), EVENTS))
    events, alone = list[AcceptedEvent](), Alone(settings)
    for event in filter(None, checked):
        events.append(alone.asked(event))
        alone.learned(events[-1])
    found = (_fault(settings, name, spec, events, guard) for name, spec in _models(settings))
    return [fault for fault in found if fault is not None]


def _models(settings: Settings) -> Iterator[tuple[str, ModelSpec]]:
    """The configured models, each with what it is called."""
    yield "the champion (`model`)", settings.model
    for standing in settings.shadows.standing:
        steps = ModelSpec(steps=standing.steps, trusted=settings.model.trusted)
        yield f"the standing shadow {standing.name!r}", steps
    for number, recruit in enumerate(settings.retrain.recruits):
        if recruit.model is not None:
            yield f"the model of retrain.recruits[{number}]", recruit.model


def _fault(
    settings: Settings, name: str, spec: ModelSpec, events: list[AcceptedEvent], guard: Guard
) -> tuple[str, bool] | None:
    """What it raises, as a sentence; None if it learns."""
    model: Any = catalogue.build(spec, seed=settings.seed)
    task = Task(settings, wants_proba=wants_proba(metrics_of(settings)))
    predict, learn = task.predictor(model), task.learner(model)
    for event in events:
        try:
            predict(event.x)
            learn(event.x, event.y)
        except BaseException as error:
            if not is_fault(error):
                raise
            said = f"{name} raises on row {event.offset}: {type(error).__name__}: {error}."
            blamed = about_strings(error, guard.kinds)
            return said + blamed, bool(blamed)
    return None


# ── Which parts of a configuration go by event time, and what a table without times makes of them ───────────────────

_PARAMETERS = {"schedule": ("every", "cron"), "threshold": ("window_time",)}


def warn_of_times(settings: Settings, files: Files) -> None:
    """Say on standard error what goes by times that the file does not tell."""
    timeless = files.is_table and files.reading.ts is None
    keys = list(keys_of(settings)) if timeless else []
    if keys:
        print(
            f"{settings.name}: {', '.join(keys)}: by event time, and without --ts COLUMN each row of {files.name} "
            "counts as one second",
            file=sys.stderr,
        )


def warn_of_keys(settings: Settings, files: Files) -> None:
    """Say what goes by the Kafka key, which the rows of a file do not have."""
    if settings.computed.by_key:
        warn(
            f"{files.name}: the rows of a file have no Kafka key, so what goes by `{KEY}` is not computed here: name a "
            "column instead (features.rules.by, memory.key)"
        )


def keys_of(settings: Settings) -> Iterator[str]:
    """The keys that are set and go by event time."""
    for name, detector in settings.detectors.items():
        for key in _PARAMETERS.get(detector.use, ()):
            if detector.parameters.get(key):
                yield f"detectors.{name}.{key}"
    if settings.features.rules:
        yield "features.rules"
    for key in ("cooldown", "per_day_max"):
        if getattr(settings.trigger, key):
            yield f"trigger.{key}"

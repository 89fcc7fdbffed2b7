"""Whether the models of a configuration can learn a stream: fresh ones, on its first events, in memory."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from anabranch.errors import ConfigError
from anabranch.ports import AcceptedEvent
from anabranch.settings import ModelSpec, Settings
from commands.data import records
from consumers.files import Files
from consumers.guard import Guard
from consumers.poison import about_strings
from learners import catalogue
from learners.scores import metrics_of, wants_proba
from learners.tasks import Task, is_fault

EVENTS = 100


def refuse_what_cannot_learn(settings: Settings, files: Files) -> None:
    """Let a fresh model of each kind predict and learn the first events.

    Raises:
        ConfigError: one raises; names the model, the row, and the features that it takes ill.
    """
    guard = Guard(settings)
    checked = (guard.check(record) for record in islice(records(files), EVENTS))
    events = [each for each in checked if isinstance(each, AcceptedEvent) and each.y is not None]
    faults = [fault for name, spec in _models(settings) if (fault := _fault(settings, name, spec, events, guard))]
    if faults:
        raise ConfigError("\n".join(f"{files.name}: {fault}" for fault in faults))


def _models(settings: Settings) -> Iterator[tuple[str, ModelSpec]]:
    """The configured models, each with what it is called."""
    yield "the champion (`model`)", settings.model
    for standing in settings.shadows.standing:
        yield f"the standing shadow {standing.name!r}", standing
    for number, recruit in enumerate(settings.retrain.recruits):
        if recruit.model is not None:
            yield f"the model of retrain.recruits[{number}]", recruit.model


def _fault(settings: Settings, name: str, spec: ModelSpec, events: list[AcceptedEvent], guard: Guard) -> str:
    """What it raises, as a sentence; nothing if it learns."""
    model: Any = catalogue.build(spec, seed=settings.seed)
    ask = Task(settings, wants_proba=wants_proba(metrics_of(settings))).asker(model)
    for event in events:
        try:
            ask(event.x)
            model.learn_one(event.x, event.y)
        except BaseException as error:
            if not is_fault(error):
                raise
            said = f"{name} raises on row {event.offset}: {type(error).__name__}: {error}."
            return said + about_strings(error, guard.kinds)
    return ""

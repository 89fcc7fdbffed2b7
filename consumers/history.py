"""The losses of a model on a history, test-then-train, without drift detection: what detectors are calibrated on."""

from collections.abc import Iterable
from typing import NamedTuple

from anabranch.errors import ConfigError
from anabranch.ports import AcceptedEvent, Record
from anabranch.settings import Settings
from consumers.guard import Guard
from learners import catalogue
from learners.scores import metrics_of, wants_proba
from learners.tasks import Task


class History(NamedTuple):
    """For each labelled event the loss in [0, 1], and whether the label was wrong (1 or 0)."""

    losses: list[float]
    wrongs: list[float]


def history(settings: Settings, records: Iterable[Record]) -> History:
    """What a fresh model makes of the records, those of its warm-up left out.

    Raises:
        ConfigError: fewer than 1,000 labelled events are left.
    """
    model = catalogue.build(settings.model, seed=settings.seed)
    task = Task(settings, wants_proba=wants_proba(metrics_of(settings)))
    task.check(model)
    ask, guard = task.asker(model), Guard(settings)
    losses: list[float] = []
    wrongs: list[float] = []
    for record in records:
        event = guard.check(record)
        if isinstance(event, AcceptedEvent) and event.y is not None:
            answer = ask(event.x)
            losses.append(task.loss(event.y, answer))
            wrongs.append(float(answer.value != event.y))
            model.learn_one(event.x, event.y)  # type: ignore[attr-defined]  # the task has checked it
            if task.kind == "regression":
                task.judged(event.y, answer)
    warm_up = settings.publish.warm_up_events
    if len(losses) - warm_up < 1000:
        raise ConfigError(f"{len(losses)} labelled events, {guard.refused} refused: too few; give at least 1,000 more")
    return History(losses[warm_up:], wrongs[warm_up:])

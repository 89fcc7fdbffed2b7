"""The losses of a model on a history, test-then-train, without drift detection: what detectors are calibrated on."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Record
from config.settings import Settings
from consumers.guard import Guard, learnable
from consumers.poison import about_strings
from learners.models import catalogue
from learners.models.fence import is_fault
from learners.models.tasks import Task
from learners.scores import metrics_of, wants_proba


class History(NamedTuple):
    """For each labelled event the loss in [0, 1], and whether the label was wrong (1 or 0)."""

    losses: list[float]
    wrongs: list[float]


@contextmanager
def blaming(guard: Guard, event: AcceptedEvent) -> Iterator[None]:
    """What a model raises on a row of a file that must be learned whole: which row, what, and why perhaps.

    Raises:
        ConfigError: it did.
    """
    try:
        yield
    except BaseException as error:
        if not is_fault(error):
            raise
        said = f"the model raised {type(error).__name__}: {error} on row {event.offset}."
        raise ConfigError(said + about_strings(error, guard.kinds)) from error


def history(settings: Settings, records: Iterable[Record]) -> History:
    """What a fresh model makes of the records, those of its warm-up left out.

    Raises:
        ConfigError: fewer than 1,000 labelled events are left, or the model raised on one.
    """
    model = catalogue.build(settings.model, seed=settings.seed)
    task = Task(settings, wants_proba=wants_proba(metrics_of(settings)))
    task.check(model)
    predict, guard = task.predictor(model), Guard(settings)
    losses: list[float] = []
    wrongs: list[float] = []
    for record in records:
        event = learnable(guard, guard.check(record))
        if event is not None:
            with blaming(guard, event):
                answer = predict(event.x)
                model.learn_one(event.x, event.y)  # type: ignore[attr-defined]  # the task has checked it
            losses.append(task.loss(event.y, answer))
            wrongs.append(float(answer.value != event.y))
            if task.kind == "regression":
                # After the loss was taken: the scale must not know the error that it is to bound.
                task.judged(event.y, answer)
    warm_up = settings.publish.warm_up_events
    if len(losses) - warm_up < 1000:
        raise ConfigError(f"{len(losses)} labelled events, {guard.refused} refused: too few; give at least 1,000 more")
    return History(losses[warm_up:], wrongs[warm_up:])

"""The losses of a model on a history, test-then-train, without drift detection: what detectors are calibrated on."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Prediction, Record
from config.settings import Settings
from consumers.guard import Guard, Told, learnable
from consumers.poison import about_strings
from learners.derived import Alone
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

    Where labels are late (`labels.late`), each is scored on what was said when its event came, and learned when it
    comes itself; an event without one says nothing.

    Raises:
        ConfigError: fewer than 1,000 labelled events are left, or the model raised on one.
    """
    pupil = _Pupil(settings)
    labels = settings.topics.name("labels") if settings.labels.late else ""
    waiting: dict[str, tuple[AcceptedEvent, Prediction]] = {}
    for record in records:
        if record.topic == labels:
            told = pupil.guard.check_label(record)
            if isinstance(told, Told) and told.label.id in waiting and not told.label.blocked:
                event, answer = waiting.pop(told.label.id)
                pupil.guard.told_taken(told)
                pupil.learn(event._replace(y=told.label.y), answer, ts=told.label.ts)
            continue
        checked = pupil.guard.check(record)
        event_now = learnable(pupil.guard, checked)
        if event_now is not None:
            event_now = pupil.alone.asked(event_now)
            pupil.learn(event_now, pupil.answer(event_now))
        elif labels and isinstance(checked, AcceptedEvent):
            asked = pupil.alone.asked(checked)
            waiting[checked.id] = asked, pupil.answer(asked)
    return pupil.history(warm_up=settings.publish.warm_up_events)


class _Pupil:
    """A fresh model, and how it does."""

    def __init__(self, settings: Settings) -> None:
        self.model: Any = catalogue.build(settings.model, seed=settings.seed)
        self.task = Task(settings, wants_proba=wants_proba(metrics_of(settings)))
        self.task.check(self.model)
        self.predict, self.guard = self.task.predictor(self.model), Guard(settings)
        self.learn_one, self.alone = self.task.learner(self.model), Alone(settings)
        self.losses: list[float] = []
        self.wrongs: list[float] = []

    def answer(self, event: AcceptedEvent) -> Prediction:
        """What it says now."""
        with blaming(self.guard, event):
            return self.predict(event.x)

    def learn(self, event: AcceptedEvent, answer: Prediction, *, ts: float | None = None) -> None:
        """Learn a label, which became known at `ts`, and note what the answer cost that was given before."""
        with blaming(self.guard, event):
            self.learn_one(event.x, event.y)
        self.alone.learned(event, ts)
        if not self.task.judges(event.y):
            return
        self.losses.append(self.task.loss(event.y, answer))
        self.wrongs.append(float(answer.value != event.y))
        if self.task.kind == "regression":
            # After the loss was taken: the scale must not know the error that it is to bound.
            self.task.judged(event.y, answer)

    def history(self, *, warm_up: int) -> History:
        """What it has cost, after the warm-up."""
        if len(self.losses) - warm_up < 1000:
            raise ConfigError(
                f"{len(self.losses)} labelled events, {self.guard.refused} refused: too few; give at least 1,000 more"
            )
        return History(self.losses[warm_up:], self.wrongs[warm_up:])

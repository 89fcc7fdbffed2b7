"""The competitors that are not Anabranch, behind one protocol: a model alone, reset on alarms, peeking McNemar."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from river import drift

from anabranch.events import Prediction
from config.settings import Settings
from learners.models import catalogue
from learners.models.tasks import Task

RECENT = 1000
"""Events on which a candidate is retrained."""
CONTEST_EVENTS = 5000
"""A candidate that has not won by then is dropped."""
CHI_SQUARE_95 = 3.841


class Rival(Protocol):
    """Predicts, learns, and says which model it has just displaced."""

    def predict(self, x: Any) -> Prediction:
        """Its answer."""

    def learn(self, x: Any, y: Any, answer: Prediction) -> "Model | None":
        """Learn an event, given what was answered; the model that was displaced on it."""


class Model:
    """A River model of the task."""

    def __init__(self, settings: Settings, task: Task) -> None:
        model: Any = catalogue.build(settings.model, seed=settings.seed)
        self.predict: Callable[[Any], Prediction] = task.predictor(model)
        self.learn: Callable[[Any, Any], Any] = model.learn_one


class Alone:
    """The model, for better or worse."""

    def __init__(self, settings: Settings, task: Task) -> None:
        model = Model(settings, task)
        self.predict = model.predict
        self._learn = model.learn

    def learn(self, x: Any, y: Any, answer: Prediction) -> Model | None:
        """Learn."""
        self._learn(x, y)
        return None


class _Alarmed:
    """What the two adaptive ones share: a champion, and River's ADWIN on its loss."""

    def __init__(self, settings: Settings, task: Task) -> None:
        self.settings = settings
        self.task = task
        self.champion = Model(settings, task)
        self.adwin = drift.ADWIN()

    def predict(self, x: Any) -> Prediction:
        """The champion's answer."""
        return self.champion.predict(x)

    def _rises(self, loss: float) -> bool:
        before = self.adwin.estimation
        self.adwin.update(loss)
        return bool(self.adwin.drift_detected and self.adwin.estimation > before)

    def _fresh(self) -> Model:
        return Model(self.settings, self.task)

    def _exchange(self, successor: Model) -> Model:
        displaced, self.champion = self.champion, successor
        return displaced


class ResetOnAdwin(_Alarmed):
    """A fresh model whenever ADWIN sees the loss rise."""

    def learn(self, x: Any, y: Any, answer: Prediction) -> Model | None:
        """Learn, and restart on an alarm."""
        loss = self.task.loss(y, answer)
        self.champion.learn(x, y)
        if self.task.kind == "regression":
            self.task.judged(y, answer)
        return self._exchange(self._fresh()) if self._rises(loss) else None


class PeekingMcNemar(_Alarmed):
    """On an alarm a candidate is retrained on the last 1,000 events; McNemar's test at each event says when it wins."""

    def __init__(self, settings: Settings, task: Task) -> None:
        super().__init__(settings, task)
        self.recent: deque[tuple[Any, Any]] = deque(maxlen=RECENT)
        self.candidate: Model | None = None
        self.events = self.wins = self.losses = 0

    def learn(self, x: Any, y: Any, answer: Prediction) -> Model | None:
        """Learn, test, and swap as soon as the test says so."""
        loss = self.task.loss(y, answer)
        won = self._contest(x, y, loss)
        self.champion.learn(x, y)
        if self.task.kind == "regression":
            self.task.judged(y, answer)
        self.recent.append((x, y))
        alarmed = self._rises(loss)
        if won and self.candidate is not None:
            successor, self.candidate, self.adwin = self.candidate, None, drift.ADWIN()
            return self._exchange(successor)
        if alarmed:
            self._recruit()
        return None

    def _contest(self, x: Any, y: Any, loss: float) -> bool:
        """Whether the candidate is better by McNemar's test (for numbers: by the sign test), p < .05."""
        if self.candidate is None:
            return False
        theirs = self.task.loss(y, self.candidate.predict(x))
        self.candidate.learn(x, y)
        self.wins += theirs < loss
        self.losses += theirs > loss
        self.events += 1
        if self.events >= CONTEST_EVENTS:
            self.candidate = None
        unlike = self.wins + self.losses
        return self.wins > self.losses and (self.wins - self.losses) ** 2 > CHI_SQUARE_95 * unlike

    def _recruit(self) -> None:
        self.candidate, self.events, self.wins, self.losses = self._fresh(), 0, 0, 0
        for x, y in self.recent:
            self.candidate.learn(x, y)


RIVALS: dict[str, Callable[[Settings, Task], Rival]] = {
    "alone": Alone,
    "reset": ResetOnAdwin,
    "peeking": PeekingMcNemar,
}

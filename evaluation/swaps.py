"""Observers of a backtest: whether each swap was right, counterfactually, and what the picture draws.

What a swap displaced is kept running beside what is served, on the same events. If its loss over them is the smaller
one, the swap was wrong. A swap with fewer events after it is not judged.

>>> from learners.models.tasks import zero_one
>>> hindsight = SwapEvaluation(zero_one, span_events=3)
>>> hindsight.swapped(predict=lambda x: Prediction(True), learn=lambda x, y: None)
>>> for y in (True, True, False):
...     hindsight.update({}, y, Prediction(False))  # what is served now is right once, what was displaced twice
>>> hindsight.swaps, hindsight.judged, hindsight.wrong
(1, 1, 1)
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anabranch import statetree
from anabranch.events import AcceptedEvent, Prediction
from anabranch.values import NUMBER_MAX
from consumers.ports import Clock
from learners.arena.members import Member
from learners.models.fence import Predictor, is_fault
from learners.models.tasks import Task
from learners.parts import LaneParts

SPAN_EVENTS = 1000

Loss = Callable[[Any, Prediction], float]


@dataclass(slots=True)
class _Trial:
    """A displaced model on its own, and how much more it loses than what is served."""

    predict: Predictor
    learn: Callable[[Any, Any], Any]
    left: int
    excess: float = 0.0


class SwapEvaluation:
    """Judges each swap once `span_events` have passed.

    Args:
        loss: of an answer; in the unit of the label for a regressor.
    """

    def __init__(self, loss: Loss, *, span_events: int = SPAN_EVENTS) -> None:
        self.loss = loss
        self.span_events = span_events
        self.trials: list[_Trial] = []
        self.swaps = self.judged = self.wrong = 0

    def swapped(self, *, predict: Predictor, learn: Callable[[Any, Any], Any]) -> None:
        """A model was displaced; it must be nobody else's from now on."""
        self.swaps += 1
        self.trials.append(_Trial(predict, learn, self.span_events))

    def update(self, x: Any, y: Any, served: Prediction) -> None:
        """The next event, and what was answered for it."""
        for trial in list(self.trials):
            try:
                trial.excess += self.loss(y, trial.predict(x)) - self.loss(y, served)
                trial.learn(x, y)
            except BaseException as error:
                if not is_fault(error):
                    raise
                trial.excess = math.inf  # a model that raises would not have done better
            trial.left -= 1
            if not trial.left:
                self._judge(trial)

    def _judge(self, trial: _Trial) -> None:
        self.trials.remove(trial)
        self.judged += 1
        self.wrong += trial.excess < 0


class LaneSwapEvaluation:
    """Hindsight on a lane's swaps, as an observer of it.

    Args:
        clock: measures what hindsight itself takes, which is none of the lane's time.
    """

    def __init__(self, task: Task, *, clock: Clock, trusted: tuple[str, ...] = ()) -> None:
        self.hindsight = SwapEvaluation(loss_of(task))
        self.task = task
        self.clock = clock
        self.trusted = trusted
        self.seconds = 0.0
        self._lane: LaneParts | None = None
        self._champion: Member | None = None

    def __call__(
        self, event: AcceptedEvent, served: Prediction, answers: Mapping[str, Prediction], lane: LaneParts
    ) -> None:
        """The lane has learned an event."""
        if self._lane is lane and not self.hindsight.trials and self._champion is lane.champion:
            return
        began_s = self.clock.monotonic_s()
        # Before a new trial begins: what this event has displaced
        # has learned it already, and is judged from the next one on.
        if self.hindsight.trials:
            self.hindsight.update(event.x, event.y, served)
        # A lane that was restored is another object, with another champion in it: that is no swap.
        if self._lane is lane and self._champion is not None and self._champion is not lane.champion:
            self._displaced(self._champion)
        self._lane, self._champion = lane, lane.champion
        self.seconds += self.clock.monotonic_s() - began_s

    def _displaced(self, member: Member) -> None:
        """A copy of it runs on: the member itself may come back, or leave."""
        model = statetree.decode(statetree.encode(member.model, trusted=self.trusted), trusted=self.trusted)
        self.hindsight.swapped(predict=self.task.predictor(model), learn=self.task.learner(model))


def loss_of(task: Task) -> Loss:
    """What a wrong answer costs in hindsight: the arena's loss; for a regressor the absolute error as it is."""
    return _error if task.kind == "regression" else task.loss


def _error(y: float, answer: Prediction) -> float:
    return NUMBER_MAX if answer.unusable else abs(y - (answer.value or 0.0))


# ── A trace of a backtest, for its picture: the rolling error, and how the evidence of each shadow came and went ────

POINTS_MAX = 4000


@dataclass(slots=True)
class Curve:
    """One shadow's evidence as a share of what a win takes, by event."""

    name: str
    kind: str
    points: list[tuple[int, float]] = field(default_factory=list)


class Trace:
    """An observer of a lane; keeps at most `points_max` events, evenly spaced.

    Args:
        window: events of the rolling error.
    """

    def __init__(self, *, window: int, points_max: int = POINTS_MAX) -> None:
        self.window = window
        self.points_max = points_max
        self.events = 0
        self.every = 1
        self.error: list[tuple[int, float]] = []
        self.curves: dict[tuple[str, str, int], Curve] = {}
        self._losses: deque[float] = deque(maxlen=window)
        self._sum = 0.0

    def __call__(
        self, event: AcceptedEvent, served: Prediction, answers: Mapping[str, Prediction], lane: LaneParts
    ) -> None:
        """The lane has learned an event."""
        self.events = lane.events
        self._roll(loss_of(lane.task)(event.y, served))
        if lane.events % self.every:
            return
        if len(self._losses) == self.window:
            self.error.append((lane.events, self._sum / self.window))
        wins_at = lane.shadows.wins_at
        for member in lane.shadows.members:
            # With `since`, as a name may enter again: a standing
            # place that was filled once more has a curve of its own.
            key = (member.name, member.kind, member.since)
            curve = self.curves.setdefault(key, Curve(member.name, member.kind))
            curve.points.append((lane.events, member.contest.deciding.evidence / wins_at))
        if len(self.error) > self.points_max:
            self._thin()

    def _roll(self, loss: float) -> None:
        if len(self._losses) == self.window:
            self._sum -= self._losses[0]
        self._losses.append(loss)
        self._sum += loss

    def _thin(self) -> None:
        """Keep every other event, from now on too."""
        self.every *= 2
        for points in (self.error, *(curve.points for curve in self.curves.values())):
            points[:] = [point for point in points if point[0] % self.every == 0]

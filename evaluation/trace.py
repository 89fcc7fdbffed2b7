"""A trace of a backtest, for its picture: the rolling error, and how the evidence of each shadow came and went."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from anabranch.events import AcceptedEvent, Answer
from evaluation.hindsight import loss_of
from learners.lane import Lane

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

    def __call__(self, event: AcceptedEvent, served: Answer, answers: Mapping[str, Answer], lane: Lane) -> None:
        """The lane has learned an event."""
        self.events = lane.events
        self._roll(loss_of(lane.task)(event.y, served))
        if lane.events % self.every:
            return
        if len(self._losses) == self.window:
            self.error.append((lane.events, self._sum / self.window))
        wins_at = lane.shadows.wins_at
        for member in lane.shadows.members:
            key = (member.name, member.kind, member.since)
            curve = self.curves.setdefault(key, Curve(member.name, member.kind))
            curve.points.append((lane.events, member.contest.evidence / wins_at))
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

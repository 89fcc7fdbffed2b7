"""Lanes whose models read their answers from the events: what each member says, right or wrong, is up to the test."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from river import base

from anabranch import statetree
from anabranch.events import AcceptedEvent, AcceptedLabel
from anabranch.messages import TrainedOn, Transition
from anabranch.ranking import Popularity
from config.loading import build
from config.settings import Settings
from detectors.watch import Watch
from evaluation.simulation.world import FrozenClock
from learners.arena.members import Cause, Member
from learners.lane import Lane
from learners.retraining import Job, JobResult


class Reads(base.Classifier):
    """A classifier whose answers stand in the events, under its own feature; it raises where they say so."""

    def __init__(self, feature: str) -> None:
        self.feature = feature
        self.learned = 0

    def predict_one(self, x: dict[str, Any], **kwargs: Any) -> Any:
        """The feature's value."""
        if x[self.feature] == "raise":
            raise ArithmeticError("cannot predict")
        return x[self.feature]

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """It only counts."""
        if x.get(f"{self.feature} learns") == "raise":
            raise ArithmeticError("cannot learn")
        self.learned += 1


class ReadsNumber(base.Regressor):
    """A regressor whose answers stand in the events."""

    def __init__(self, feature: str) -> None:
        self.feature = feature

    def predict_one(self, x: dict[str, Any], **kwargs: Any) -> Any:
        """The feature's value."""
        return x[self.feature]

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """It learns nothing."""


class Takes(base.Classifier):
    """A classifier that takes so many microseconds for a prediction, by a clock, and as many to learn."""

    def __init__(self, us: float, clock: FrozenClock) -> None:
        self.us = us
        self.clock = clock

    def predict_one(self, x: dict[str, Any], **kwargs: Any) -> Any:
        """Always right."""
        self.clock.advance(self.us / 1e6)
        return True

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """It learns nothing."""
        self.clock.advance(self.us / 1e6)


class Favours(Popularity):
    """A ranker that lists some items first, whatever is taken."""

    def __init__(self, favourites: str = "i0") -> None:
        super().__init__()
        self.favourites = favourites

    def _scores(self, user: str | None, x: dict[Any, Any], slots: Any) -> Any:
        first = self.favourites.split()
        return np.array([float(self.names[slot] in first) for slot in slots])


QUICK: dict[str, Any] = {
    "name": "m",
    "task": "binary",
    "model": {"factory": "unused:here", "trusted": [f"{__name__}:Reads", f"{__name__}:ReadsNumber"]},
    "scores": {"metrics": ["Accuracy"], "window": 50},
    "detectors": {
        "up": {"use": "drift.PageHinkley", "threshold": 5.0, "delta": 0.02, "alpha": 1.0, "min_instances": 5}
    },
    "trigger": {"debounce_events": 20},
    "retrain": {"recruits": [{"on": "last", "events": 10}], "admit_after_events": 0},
    "arena": {"false_swap_every": 100, "contest_events": 400, "probation_events": 200},
    "publish": {"warm_up_events": 5, "refresh_events": 0, "report_events": 10**6},
}


def settings_of(**more: Any) -> Settings:
    """Quick settings, with sections changed."""
    changed = {key: {**QUICK[key], **value} if key in QUICK else value for key, value in more.items()}
    return build({**QUICK, **changed})


def lane_of(champion: base.Estimator | None = None, **more: Any) -> Lane:
    """A lane whose champion answers feature c."""
    settings = settings_of(**more)
    return Lane(settings, champion or Reads("c"), watch=Watch(settings))


def event(n: int, y: bool | None = True, **x: Any) -> AcceptedEvent:
    """An accepted event; champion c and shadow s are right unless told otherwise."""
    return AcceptedEvent(f"e{n}", {"c": True, "s": True, **x}, y, float(n), 0, n)


def label(event_id: str, y: Any, *, ts: float = 0.0, revision: int = 0, blocked: str = "") -> AcceptedLabel:
    """An accepted label."""
    return AcceptedLabel(event_id, y, ts, revision, blocked, "labels", 0, 0)


def brought(by: AcceptedEvent) -> AcceptedLabel:
    """The label that an event has brought which came once more."""
    return AcceptedLabel(by.id, by.y, by.ts, 0, "", "events", by.partition, by.offset)


def shown(lane: Lane, count: int, **x: Any) -> list[Any]:
    """Show the lane so many events with these answers; what it said."""
    return [said for n in range(lane.events, lane.events + count) for said in spoken(lane.on_event(event(n, **x)))]


def spoken(said: Iterable[Any]) -> list[Any]:
    """All but the steps in the lives of members, which tests/learners/test_life.py looks at."""
    return [each for each in said if not isinstance(each, Transition)]


def digest(lane: Lane) -> str:
    """The learning state hash."""
    return statetree.digest(lane.learning_state(), trusted=lane.settings.model.trusted)


def job_of(lane: Lane) -> Job:
    """Let the champion be right, then wrong, until the lane wants recruits."""
    shown(lane, 50)
    for n in range(50, 100):
        for said in lane.on_event(event(n, c=False)):
            if isinstance(said, Job):
                return said
    raise AssertionError("no job")


def contested(*models: base.Estimator, **more: Any) -> Lane:
    """A lane with shadows, just admitted."""
    recruits = [{"on": "last", "events": 10 + n} for n in range(len(models))]
    lane = lane_of(retrain={"recruits": recruits}, **more)
    lane.admit(JobResult(job_of(lane).id, models))
    return lane


def names(lane: Lane) -> list[str]:
    """The shadows' names."""
    return [member.name for member in lane.shadows.members]


def entrant(lane: Lane, name: str, model: Any, *, since: int = 0, place: str = "") -> Member:
    """A member that may enter the lane's arena: a recruit of event 1, or one of a standing place."""
    return Member(
        name,
        model,
        lifecycle=lane.lifecycle,
        task=lane.task,
        trained_on=TrainedOn(),
        since=since,
        cause=Cause("place", place) if place else Cause("trigger", "1"),
        place=place,
    )


def twin_of(lane: Lane, settings: Settings | None = None) -> Lane:
    """A lane that goes on from the state of another, under its settings or others."""
    trusted = lane.settings.model.trusted
    state = statetree.decode(statetree.encode(lane.state(), trusted=trusted), trusted=trusted)
    settings = settings or lane.settings
    return Lane.restored(settings, state, blobs=lane.blobs, watch=Watch(settings))


def reads_own() -> Reads:
    """A segment's model, which answers feature o."""
    return Reads("o")

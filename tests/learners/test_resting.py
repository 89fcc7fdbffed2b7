"""Resting: who takes part in few events since another has long been better, and what ends it."""

import random
from typing import Any

import pytest

from anabranch import statetree
from anabranch.events import AcceptedEvent
from anabranch.messages import Transition
from config.loading import build
from detectors.watch import Watch
from learners.arena.members import RESTING_STRIDE
from learners.arena.resting import LONG_LOOKS, Resting
from learners.lane import Lane
from learners.models import catalogue
from support.lanes import twin_of

LOOK_EVENTS, RIPE_LOSSES = 25, 100
"""Looks are sooner here than usual, so that a test takes few events."""

TABLE: dict[str, Any] = {
    "name": "m",
    "task": "binary",
    "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
    "retrain": {"recruits": []},
    "scores": {"window": 100},
    "shadows": {"rest": True, "standing": [{"name": "guess", "steps": [{"use": "dummy.PriorClassifier"}]}]},
}
BEGINS = RIPE_LOSSES + LONG_LOOKS * LOOK_EVENTS


def lane_of(**more: Any) -> Lane:
    """Naive Bayes serves, and beside it stands one that only counts labels."""
    settings = build({**TABLE, **more})
    return sooner(Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings)))


def sooner(lane: Lane) -> Lane:
    """The same, with looks that are sooner."""
    if lane.arena.resting is not None:
        lane.arena.resting = Resting(look_events=LOOK_EVENTS, ripe_losses=RIPE_LOSSES)
    return lane


def run(lane: Lane, count: int, *, turned: bool = False) -> list[Transition]:
    """Two features tell the label nearly always; the steps that members take."""
    said: list[Any] = []
    for n in range(lane.events, lane.events + count):
        rng = random.Random(n)
        x: dict[str, Any] = {"a": rng.gauss(0, 1), "b": rng.gauss(0, 1)}
        y = (x["a"] + x["b"] > 0) != (turned or rng.random() < 0.05)
        said += lane.on_event(AcceptedEvent(f"e{n}", x, y, 1.6e9 + n, 0, n))
    return [each for each in said if isinstance(each, Transition)]


def guess(lane: Lane) -> Any:
    """The member that is dominated."""
    return next(member for member in lane.shadows.members if member.name == "guess")


def test_one_that_is_long_behind_rests() -> None:
    """Not before it was dominated for long; it is told, and then it is taught one of eight events."""
    lane = lane_of()
    run(lane, BEGINS - LOOK_EVENTS)
    assert guess(lane).stride == 1
    (step,) = [each for each in run(lane, LOOK_EVENTS) if each.member == "guess"]
    assert step.reason.startswith("rests, in one of 8 events: long behind first, by 0.4")
    before = guess(lane).losses, guess(lane).model.n
    run(lane, 80)
    assert (guess(lane).losses, guess(lane).model.n) == (before[0] + 10, before[1] + 10)
    assert lane.champion.stride == 1


def test_a_signal_ends_all_rests() -> None:
    """What was learned may hold no longer: whoever rests is there again before the next label."""
    lane = lane_of(detectors={"adwin": {"use": "drift.ADWIN"}})
    run(lane, BEGINS + 25)
    assert guess(lane).rests
    told = [each for each in run(lane, 200, turned=True) if each.member == "guess"]
    assert told[0].reason == "takes part in every event again: a signal"
    assert not any(member.rests for member in lane.shadows.members)


def test_one_that_is_no_longer_behind_comes_back() -> None:
    """It is judged on one of eight events, and needs no signal."""
    lane = lane_of(detectors={})
    run(lane, BEGINS)
    member = guess(lane)
    member.predict = lane.champion.predict
    told = [each.reason for each in run(lane, 1000) if each.member == "guess"]
    assert told == ["takes part in every event again: it is no longer behind first"]


def test_one_that_catches_up_does_not_rest() -> None:
    """Its distance shrinks from look to look, and learning a part would hold it up."""
    lane = lane_of(detectors={})
    run(lane, RIPE_LOSSES)
    member, best = guess(lane), lane.champion
    member.losses = best.losses = RIPE_LOSSES
    for distance in (0.4, 0.28, 0.2, 0.14, 0.1, 0.07, 0.05, 0.036, 0.026, 0.021):
        member.loss_mean = best.loss_mean + distance
        assert lane.arena.resting is not None
        lane.arena.resting.look(best, [member])
    assert not member.rests


def test_one_that_has_a_say_in_a_blend_does_not_rest() -> None:
    """Several that are behind make a blend better; one that has none rests as beside a champion."""
    lane = lane_of(detectors={}, serve="blend")
    assert lane.arena.resting is not None
    lane.arena.resting.voices = lane.blend.voices
    run(lane, BEGINS + 100)
    assert lane.blend.voices() == {"first", "guess"}
    assert guess(lane).stride == 1
    lane.blend.records["guess"].brier.value = lane.blend.records["guess"].wrong.value = 1.0
    assert lane.blend.voices() == {"first"}
    lane.arena.resting.voices = frozenset
    run(lane, BEGINS)
    assert guess(lane).rests


def test_who_is_not_to_rest_does_not() -> None:
    """Nobody unless it is configured."""
    lane = lane_of(shadows={"standing": TABLE["shadows"]["standing"]})
    run(lane, BEGINS + 50)
    assert guess(lane).stride == 1
    assert guess(lane).model.n == BEGINS + 49  # it came with the first event


def test_the_budget_and_a_rest_go_together() -> None:
    """A pause is a pause, and what the budget allows is known when the rest ends."""
    lane = lane_of(detectors={})
    run(lane, BEGINS)
    for allowed, stride in ((0, 0), (2, RESTING_STRIDE), (16, 16), (1, RESTING_STRIDE)):
        lane.measured(stride={"guess": allowed}, too_slow={})
        assert guess(lane).stride == stride
    lane.measured(stride={"guess": 2}, too_slow={})
    lane.arena.wake()
    assert guess(lane).stride == 2


@pytest.mark.parametrize("at", [BEGINS - 50, BEGINS + 10])
def test_a_lane_goes_on_with_who_rests(at: int) -> None:
    """The same state from any point on."""
    straight, lane = lane_of(detectors={}), lane_of(detectors={})
    run(straight, BEGINS + 60)
    run(lane, at)
    twin = sooner(twin_of(lane))
    run(twin, BEGINS + 60 - at)
    assert guess(twin).rests
    assert statetree.digest(twin.learning_state()) == statetree.digest(straight.learning_state())

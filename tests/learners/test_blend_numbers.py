"""The blend of regressors: what it answers, that no member's absurd answer carries it, and that it goes on."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from anabranch import statetree
from anabranch.events import AcceptedEvent, Prediction
from config.loading import build
from detectors.watch import Watch
from learners.blend_numbers import NumberBlend
from learners.emitted import Promotion
from learners.lane import Lane
from learners.models import catalogue
from support.lanes import twin_of

STANDING = [
    {"name": "mean", "steps": [{"use": "dummy.StatisticRegressor", "statistic": {"use": "stats.Mean"}}]},
    {"name": "last", "steps": [{"use": "dummy.StatisticRegressor", "statistic": {"use": "stats.Shift", "amount": 0}}]},
]
TABLE: dict[str, Any] = {
    "name": "m",
    "task": "regression",
    "serve": "blend",
    "detectors": {},
    "model": {"steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LinearRegression"}]},
    "shadows": {"standing": STANDING},
    "publish": {"warm_up_events": 50},
}


def blending() -> Lane:
    """A lane of three regressors."""
    settings = build(TABLE)
    return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))


def rows(count: int, *, first: int = 0) -> Iterator[AcceptedEvent]:
    """A number by two others, with noise."""
    rng = random.Random(7)
    for n in range(first + count):
        x: dict[str, Any] = {"a": rng.gauss(0, 1), "b": rng.gauss(2, 1)}
        y = 3 * x["a"] - x["b"] + 10 + rng.gauss(0, 0.5)
        if n >= first:
            yield AcceptedEvent(f"e{n}", x, y, 1.6e9 + n, 0, n)


def run(lane: Lane, count: int, **which: Any) -> list[Any]:
    """What goes live on these, as bytes."""
    said = [each for row in rows(count, **which) for each in lane.on_event(row)]
    return [(each.kind, each.data) for each in said if isinstance(each, Promotion)]


def test_it_is_nearer_than_its_members_that_know_less() -> None:
    """Who answers well has the say; the mean of all labels has none."""
    lane = blending()
    run(lane, 900)
    assert lane.blend.serves
    assert isinstance(lane.blend, NumberBlend)
    shares = lane.blend.shares()
    assert shares["first"] > 0.9
    assert sum(shares.values()) == pytest.approx(1.0)


def test_one_absurd_answer_does_not_carry_it() -> None:
    """A member that is weighed with nearly all answers 10²³: what is served lies where labels have lain."""
    lane = blending()
    run(lane, 900)
    answers = {member.name: Prediction(11.0) for member in lane.blend.everybody()}
    answers["first"] = Prediction(1e23)
    served = lane.blend.answer(answers)
    assert served is not None
    assert 11.0 < served.value < 100.0


def test_followers_answer_as_it_does() -> None:
    """Bit for bit, from the bytes alone; what cannot be used sits out there, too."""
    lane = blending()
    newest = next(data for kind, data in run(lane, 400)[::-1])
    copy = statetree.decode(newest)
    twin = blending()
    for row in rows(400):
        if any(isinstance(each, Promotion) and each.data == newest for each in twin.on_event(row)):
            break
    for row in rows(50, first=400):
        served = twin.blend.answer({each.name: each.predict(row.x) for each in twin.blend.everybody()})
        assert served is not None
        assert copy.predict_one(row.x) == served.value
    copy.models[0].predict_one = None
    assert copy.predict_one({"a": 0.0, "b": 0.0}) is not None or len(copy.models) == 1
    with pytest.raises(TypeError, match="learns nothing"):
        copy.learn_one({}, 1.0)


def test_a_lane_goes_on_with_it() -> None:
    """The same announcements and the same state, from any point on."""
    straight = blending()
    expected = run(straight, 600)
    for at in (30, 210, 400):
        lane = blending()
        before = run(lane, at)
        twin = twin_of(lane)
        assert before + run(twin, 600 - at, first=at) == expected
        assert statetree.digest(twin.learning_state()) == statetree.digest(straight.learning_state())

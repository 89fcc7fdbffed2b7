"""Rare classes: resampling wrappers by configuration, a race on a proper score, and the area under precision-recall."""

import random
from typing import Any

import pytest

from anabranch import statetree
from anabranch.events import AcceptedEvent
from anabranch.messages import ModelReport
from config.loading import build
from detectors.watch import Watch
from learners.lane import Lane
from learners.models import catalogue
from support.lanes import twin_of

INNER = {"use": "linear_model.LogisticRegression"}
WRAPPERS: dict[str, dict[str, Any]] = {
    "imblearn.RandomUnderSampler": {"desired_dist": {"true": 0.4, "false": 0.6}},
    "imblearn.RandomOverSampler": {"desired_dist": {"true": 0.4, "false": 0.6}},
    "imblearn.RandomSampler": {"desired_dist": {"true": 0.4, "false": 0.6}, "sampling_rate": 0.8},
    "imblearn.HardSamplingClassifier": {"size": 30, "p": 0.2},
}


def lane_with(use: str, **more: Any) -> Lane:
    """A lane whose champion is a wrapped logistic regression."""
    steps = [{"use": "preprocessing.StandardScaler"}, {"use": use, "classifier": INNER, **WRAPPERS[use]}]
    settings = build({"name": "m", "task": "binary", "model": {"steps": steps}, **more})
    return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))


def rare(n: int, rng: random.Random) -> AcceptedEvent:
    """One in twenty or so is positive."""
    x: dict[str, object] = {"a": rng.gauss(0, 1), "b": rng.gauss(0, 1)}
    y = x["a"] + x["b"] + rng.gauss(0, 0.5) > 2.3  # type: ignore[operator]
    return AcceptedEvent(f"e{n}", x, y, float(n), 0, n)


@pytest.mark.parametrize("use", WRAPPERS)
def test_a_wrapper_learns_is_seeded_and_goes_on_from_its_state(use: str) -> None:
    """Two of the same configuration stay the same, and so does one that was restored half way."""
    one, two = (lane_with(use, arena={"loss": "brier"}) for _ in range(2))
    lanes = [one, two]
    rng = random.Random(3)
    for n in range(600):
        each = rare(n, rng)
        for lane in lanes:
            lane.on_event(each)
        if n == 300:
            lanes.append(twin_of(one))
    assert statetree.digest(one.learning_state()) == statetree.digest(two.learning_state())
    assert statetree.digest(one.learning_state()) == statetree.digest(lanes[2].learning_state())
    inner = one.champion.model["LogisticRegression"] if "LogisticRegression" in one.champion.model.steps else None
    assert inner is None or inner.weights


def test_undersampling_raises_the_positive_rate_that_is_learned() -> None:
    """The wrapped model answers true more often than the plain one: the shares in the configuration are of labels."""
    wrapped = lane_with("imblearn.RandomUnderSampler", detectors={})
    settings = build(
        {
            "name": "m",
            "task": "binary",
            "model": {"steps": [{"use": "preprocessing.StandardScaler"}, INNER]},
            "detectors": {},
        }
    )
    plain = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    rng, means = random.Random(3), [0.0, 0.0]
    for n in range(1500):
        each = rare(n, rng)
        for i, lane in enumerate((wrapped, plain)):
            means[i] += (lane.champion.predict(each.x).proba or {}).get(True, 0.0)
            lane.on_event(each)
    assert means[0] > 1.5 * means[1]


def test_the_area_under_precision_and_recall_is_a_score() -> None:
    """`RollingPRAUC`, exact over its window, running and in the reports."""
    lane = lane_with(
        "imblearn.RandomUnderSampler", scores={"metrics": ["LogLoss", "RollingPRAUC"]}, publish={"report_events": 1000}
    )
    rng = random.Random(3)
    said = [each for n in range(1000) for each in lane.on_event(rare(n, rng))]
    (report,) = [each for each in said if isinstance(each, ModelReport)]
    assert 0.3 < report.windowed["rollingprauc"] <= 1.0

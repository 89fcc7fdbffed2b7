"""A real learner on a real Kafka: a shadow that is better on the whole and worse for the old is held back."""

import random
from collections.abc import Callable, Iterator

import orjson
import pytest

from anabranch.messages import GapReport, ModelReport, Transition, decode
from config.loading import load
from support.dashboards import dashboard
from support.projects import Project, announced, values_on

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECTIONS = """
[model]
steps = [{ use = "compose.Select", keys = ["calls"] }, { use = "linear_model.LogisticRegression" }]

[[shadows.standing]]
name = "outcome"
steps = [{ use = "compose.Select", keys = ["outcome"] }, { use = "linear_model.LogisticRegression" }]

[fairness]
sensitive = ["age"]
bands = { age = [30, 60] }

[constraints]
group = "age"
group_metric = "equal-opportunity"

[publish]
report_events = 500
"""


def calls(events: int) -> Iterator[bytes]:
    """A bank's calls: `calls` tells something of everybody, `outcome` nearly everything, but nothing of the old."""
    rng = random.Random(7)
    for n in range(events):
        y, age = rng.random() < 0.5, rng.randint(18, 85)
        of_young = 1.0 if y != (rng.random() < 0.03) else -1.0
        x = {
            "age": age,
            "calls": 1.0 if y != (rng.random() < 0.3) else -1.0,
            "outcome": of_young if age < 60 else -1.0,
        }
        yield orjson.dumps({"id": f"e{n}", "ts": float(n), "features": x, "label": y})


def gap_of(report: ModelReport) -> GapReport:
    """By age, of true positive rates."""
    (by_age,) = report.fairness
    return next(each for each in by_age.gaps if each.criterion == "equal-opportunity")


def test_who_is_worse_for_a_group_does_not_go_live_and_everybody_is_told_why(project: Callable[..., Project]) -> None:
    """Its step names criterion and groups; reports and the dashboard show the champion's gap with its interval."""
    here = project(sections=SECTIONS)
    here.produce(calls(3000))
    here.run("learn", here.config, "--until-end")
    steps = [decode(Transition, value) for value in values_on(here.kafka, f"{here.prefix}model-lifecycle")]
    held = [each.reason for each in steps if each.member == "outcome" and "held back" in each.reason]
    assert held
    assert "the equal-opportunity gap by age would be" in held[-1]
    assert "(60 and over 0, " in held[-1]
    assert {each.kind for each in announced(here)} <= {"first", "refresh"}
    reports = [decode(ModelReport, value) for value in values_on(here.kafka, f"{here.prefix}model-reports")]
    assert any(held[0] in note for each in reports for note in each.notes)
    gap = gap_of(reports[-1])
    assert gap.low < gap.difference < gap.high < 0.3  # of the champion, which is as good for everybody
    with dashboard(load(here.config)) as running:
        shown = running.ask(f"/api/models/{here.name}/global").body
    assert shown["columns"]["gaps"]["age: equal-opportunity"][-1] == pytest.approx(gap.difference, rel=1e-5)
    assert shown["columns"]["gaps_high"]["age: equal-opportunity"][-1] == pytest.approx(gap.high, rel=1e-5)
    assert shown["parts"]["report"]["fairness"][0]["feature"] == "age"

"""A real learner on a real Kafka: a shadow that is better on the whole and worse for the old is held back."""

from collections.abc import Callable

import pytest

from anabranch.messages import GapReport, ModelReport, Transition, decode
from config.loading import load
from support import streams
from support.dashboards import dashboard
from support.projects import Project, announced, values_on

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def gap_of(report: ModelReport) -> GapReport:
    """By age, of true positive rates."""
    (by_age,) = report.fairness
    return next(each for each in by_age.gaps if each.criterion == "equal-opportunity")


def test_who_is_worse_for_a_group_does_not_go_live_and_everybody_is_told_why(project: Callable[..., Project]) -> None:
    """Its step names criterion and groups; reports and the dashboard show the champion's gap with its interval."""
    here = project(sections=streams.CALLS)
    here.produce(streams.calls(3000))
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

"""What is observed of a lane for people: it changes no decision, and a checkpoint keeps it."""

from typing import Any

from anabranch.messages import ModelReport
from detectors.watch import Watch
from learners.lane import Lane
from support.lanes import digest, event, lane_of, twin_of

OFTEN: dict[str, Any] = {"publish": {"report_events": 500}, "constraints": {"group": "land"}}


def reports(lane: Lane, count: int) -> list[ModelReport]:
    """What is reported of so many events, in which feature c says the label and noise is noise."""
    found = []
    for n in range(lane.events, lane.events + count):
        y = n % 3 == 0
        told = lane.on_event(event(n, y=y, c=y, noise=float(n * 7 % 50), land="FR" if n % 2 else "PT"))
        found += [each for each in told if isinstance(each, ModelReport)]
    return found


def test_a_report_tells_windows_levels_features_and_groups() -> None:
    *_, last = reports(lane_of(**OFTEN), 5000)
    assert {each.span for each in last.windows} == {"minute"}
    assert [each.name for each in last.detectors] == ["up"]
    assert {each.feature for each in last.features} == {"c", "s", "noise", "land"}
    assert {each.group for each in last.groups} == {"FR", "PT"}


def test_a_feature_that_the_model_reads_counts_and_noise_does_not() -> None:
    *_, last = reports(lane_of(**OFTEN), 5000)
    importance = {each.feature: each.importance for each in last.features}
    assert importance["c"] is not None
    assert importance["c"] > 0.2
    assert importance["noise"] == importance["s"] == 0.0


def test_what_is_observed_is_kept_and_the_rest_is_as_without_reports() -> None:
    straight, first = lane_of(**OFTEN), lane_of(**OFTEN)
    reports(straight, 3300)
    reports(first, 1777)
    second = twin_of(first)
    told = reports(second, 3300 - 1777)
    assert second.observed.state() == straight.observed.state()
    silent = lane_of(constraints={"group": "land"})
    reports(silent, 3300)
    assert digest(silent) == digest(second) == digest(straight)
    assert told


def test_a_report_between_two_events_changes_nothing() -> None:
    lane = lane_of(**OFTEN)
    assert lane.report_between(mark="1") is None
    reports(lane, 700)
    before = lane.state()
    report = lane.report_between(mark="2")
    assert report is not None
    assert (report.windows, report.notes, report.event_number) == ((), (), 700)
    assert lane.state() == before


def test_a_checkpoint_of_before_begins_to_observe() -> None:
    lane = lane_of(**OFTEN)
    reports(lane, 700)
    state = {**lane.state(), "observed": {}}
    again = Lane.restored(lane.settings, state, blobs=lane.blobs, watch=Watch(lane.settings))
    assert reports(again, 2500)
    assert digest(again)

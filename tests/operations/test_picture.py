"""What the topics say of models, as one picture."""

import pytest

from anabranch.messages import (
    DeadLetter,
    MemberReport,
    ModelAck,
    ModelReport,
    RetireAnswer,
    RetrainAnswer,
    TimeWindow,
    UnreadableMessage,
    Verdict,
    encode,
)
from operations.picture import COARSE_MAX, COARSE_S, FINE_MAX, Picture, Record, read, window_of


def report(number: int, *, model: str = "m", partition: int = 0, windows: tuple[TimeWindow, ...] = ()) -> ModelReport:
    verdict = Verdict(events=100, gain_events=50, gain=0.01, low=0.0, high=0.02, evidence=0.3)
    return ModelReport(
        id=f"{model}/{partition}/{number}/report",
        model=model,
        version=1,
        event_number=number,
        partition=partition,
        offset=number,
        event_ts=float(number),
        scores={"accuracy": 0.9},
        windowed={"accuracy": 0.8},
        members=(
            MemberReport(name="first", kind="champion", loss=0.2),
            MemberReport(name="r1", kind="recruit", loss=0.1, verdict=verdict),
        ),
        windows=windows,
    )


def heard(picture: Picture, message: ModelReport, at_s: float) -> bool:
    return picture.hear(Record(at_s, "reports", 0, 0, message)) is not None


def test_a_report_becomes_a_point_and_its_windows_are_kept() -> None:
    picture = Picture()
    hour = TimeWindow(span="hour", start=0.0, events=10, scores={"accuracy": 0.9})
    assert heard(picture, report(10, windows=(hour,)), 100.0)
    model = picture.models["m", "global"]
    (point,) = model.points
    assert (point.loss, point.event_number, point.members[1]) == (0.2, 10, ("r1", "recruit", 0.1, 0.3, 0.01))
    assert list(model.windows["hour"]) == [window_of(hour)]
    assert model.report is not None
    assert model.report_at_s == 100.0


def test_what_is_told_twice_counts_once_and_what_comes_late_has_its_place() -> None:
    picture = Picture()
    assert heard(picture, report(10), 1.0)
    assert not heard(picture, report(10), 2.0)
    heard(picture, report(30), 4.0)
    heard(picture, report(20), 3.0)
    model = picture.models["m", "global"]
    assert [each.event_number for each in model.points] == [10, 20, 30]
    assert model.report is not None
    assert model.report.event_number == 30


def test_a_model_that_is_rebuilt_begins_again() -> None:
    picture = Picture()
    heard(picture, report(1000), 1.0)
    heard(picture, report(10), 2.0)
    model = picture.models["m", "global"]
    assert model.report is not None
    assert model.report.event_number == 10


def test_points_are_bounded_and_the_old_ones_are_one_a_minute() -> None:
    picture = Picture()
    for n in range(20_000):
        heard(picture, report(n), 10.0 * n)
    points = list(picture.models["m", "global"].points)
    assert len(points) <= COARSE_MAX + FINE_MAX
    assert [each.at_s for each in points] == sorted(each.at_s for each in points)
    assert points[1].at_s - points[0].at_s == COARSE_S
    assert [bool(each.members) for each in points] == [True] * len(points)
    assert points[-1].at_s - points[-2].at_s == 10.0


def test_models_of_partitions_are_told_apart() -> None:
    picture = Picture(frozenset({"m"}))
    heard(picture, report(1, partition=3), 1.0)
    heard(picture, report(1, model="other", partition=3), 1.0)
    assert set(picture.models) == {("m", "p3"), ("other", "global")}


def test_the_newest_ack_of_a_follower_counts() -> None:
    picture = Picture()
    for ts, version in ((2.0, 5), (1.0, 4)):
        ack = ModelAck(follower="f", model="m", version=version, epoch=1, seq=1, ts=ts)
        picture.hear(Record(ts, "acks", 0, 0, ack))
    assert picture.models["m", "global"].acks["f"].version == 5


def test_a_dead_letter_belongs_to_the_model_in_its_id() -> None:
    letter = DeadLetter(
        id="m/events/0/7",
        topic="events",
        partition=0,
        offset=7,
        stage="decode",
        reason="no",
        value_base64="",
        value_bytes=0,
    )
    picture = Picture()
    picture.hear(Record(1.0, "dead_letters", 0, 0, letter))
    assert picture.models["m", "global"].refused == {"decode": 1}


def test_both_answers_of_one_topic_are_read() -> None:
    retrained = RetrainAnswer(id="1", model="m", request="r", event_number=1, accepted=True)
    retired = RetireAnswer(
        id="2", model="m", request="r", step="retire", event_number=1, version=1, accepted=True, why="old"
    )
    assert read("answers", encode(retrained)) == retrained
    assert read("answers", encode(retired)) == retired
    with pytest.raises(UnreadableMessage, match="not JSON"):
        read("answers", b"{")

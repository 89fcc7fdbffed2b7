"""Labels that come late, in a backtest: as River's own progressive validation has it; joined by whatever file."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from river import evaluate, metrics, naive_bayes

from anabranch.events import Record
from config.settings import Settings
from evaluation.backtest import Backtest, LabelValue
from evaluation.history import history
from evaluation.late import Delay, beside, delayed
from evaluation.simulation.world import FrozenClock
from support.loops import first_of, settings_of
from support.streams import rows

DAY_S = 86_400.0


def events(count: int, *, every_s: float = 60.0) -> list[dict[str, Any]]:
    """Rows with a drift in the middle, a minute apart."""
    return [{**row, "ts": 1.6e9 + n * every_s} for n, row in enumerate(rows(count))]


def run(values: list[Any], settings: Settings) -> Backtest:
    """A backtest over these, run to the end."""
    test = Backtest(
        settings,
        first=first_of(settings),
        values=lambda: iter(values),
        timestamp_of=None,
        clock=FrozenClock(),
    )
    test.run()
    return test


def late(count: int, delay: Delay, **more: Any) -> Backtest:
    """A backtest whose labels are that late."""
    encoded = map(orjson.dumps, events(count))
    return run(
        list(delayed(encoded, delay)), settings_of(**{**more, "labels": {"late": True, **more.get("labels", {})}})
    )


ALONE: dict[str, Any] = {"retrain": {"recruits": []}, "scores": {"metrics": ["Accuracy", "LogLoss"]}}


@pytest.mark.parametrize("delay", [0, 1, 17, 500])
def test_running_scores_are_rivers_own(delay: int) -> None:
    """Test when asked, learn when the label comes: `progressive_val_score` with the same delay, to the last digit."""
    several = events(1500)
    stream = [(each["features"], each["label"]) for each in several]
    accuracy, loss = metrics.Accuracy(), metrics.LogLoss()
    model = naive_bayes.GaussianNB()
    evaluate.progressive_val_score(iter(stream), model, accuracy + loss, delay=delay)
    lane = late(1500, Delay(events=delay), **ALONE).loop.owner.lane
    assert lane.events == 1500
    assert list(lane.scores.values().values()) == [accuracy.get(), loss.get()]


def test_labels_of_a_time_later_come_by_event_time() -> None:
    """Ten minutes are ten events of a minute each."""
    by_time, by_events = (late(600, each, **ALONE).result() for each in (Delay(seconds=600.0), Delay(events=10)))
    assert by_time["state_hash"] == by_events["state_hash"]


def test_a_column_says_how_much_later() -> None:
    """It is no feature."""
    several = [orjson.dumps({**each, "features": {**each["features"], "wait": 600}}) for each in events(300)]
    settings = settings_of(**ALONE, labels={"late": True})
    found = run(list(delayed(iter(several), Delay(column="wait"))), settings)
    assert found.result()["state_hash"] == late(300, Delay(seconds=600.0), **ALONE).result()["state_hash"]


def test_a_second_file_brings_the_labels() -> None:
    """Merged by time, whatever the order in which the files were written."""
    several = events(300)
    asked = [orjson.dumps({**each, "label": None}) for each in several]
    told = [orjson.dumps({**each, "features": {}, "ts": each["ts"] + 601.0}) for each in several]
    settings = settings_of(**ALONE, labels={"late": True})
    found = run(list(beside(iter(asked), lambda: iter(told))), settings).result()
    assert (found["events"], found["waiting_for_label"]) == (300, 0)


def test_recruits_learn_what_was_told() -> None:
    """With drift, retraining and swaps; what they are trained on is counted in examples."""
    found = late(2000, Delay(events=50))
    result = found.result()
    assert (result["events"], result["dead_letters"]) == (2000, 0)
    trained = [swap["trained_on"] for swap in result["swaps"] if swap["trained_on"]["events"] > 20]
    assert trained
    for each in trained:
        (span,) = each["ranges"]
        assert span["end"] - span["start"] == each["events"]


def kept(values: list[Any], drop: set[str]) -> Iterator[Any]:
    """All but the labels of some events."""
    return (each for each in values if not isinstance(each, LabelValue) or orjson.loads(each.value)["id"] not in drop)


@pytest.mark.parametrize("learn", [True, False])
def test_what_has_no_label_by_the_horizon_ends_by_default(learn: bool) -> None:
    """The same as if a label with that value had come then; or only scored."""
    several = events(400)
    without = {each["id"] for n, each in enumerate(several) if n % 3 == 0}
    values = list(kept(list(delayed(map(orjson.dumps, several), Delay(events=10))), without))
    labels = {"late": True, "horizon": "30m", "default": False, "learn_default": learn}
    lane = run(values, settings_of(**ALONE, labels=labels)).loop.owner.lane
    ended = dict(lane.join.endings)
    assert ended["labelled"] == 400 - len(without)
    assert ended["default"] == len([n for n in range(0, 400, 3) if n <= 399 - 30])
    assert lane.events == sum(ended.values())
    assert lane.examples == (lane.events if learn else ended["labelled"])


def test_what_has_no_label_is_never_scored_without_a_default() -> None:
    """It is unavailable, and a label that comes after all is a dead letter."""
    values = list(delayed(map(orjson.dumps, events(200)), Delay(events=60)))
    found = run(values, settings_of(**ALONE, labels={"late": True, "horizon": "30m"}))
    lane = found.loop.owner.lane
    assert (lane.events, lane.join.endings["unavailable"]) == (30, 170)
    assert {each.first.stage for each in found.refusals.values()} == {"label"}
    assert "too late" in found.refusals["label"].first.reason


@pytest.mark.parametrize("delay", [1, 200])
def test_a_history_is_of_what_was_said_when_the_event_came(delay: int) -> None:
    """What detectors are calibrated on; each label is learned before the event that is so many after its own."""
    several = events(1500)
    settings = settings_of(labels={"late": True}, publish={"warm_up_events": 1})
    values = delayed(map(orjson.dumps, several), Delay(events=delay))
    known = history(
        settings,
        (
            Record("labels", 0, n, 2e9, None, each.value)
            if isinstance(each, LabelValue)
            else Record("events", 0, n, 2e9, None, each)
            for n, each in enumerate(values)
        ),
    )
    model, answers, wrongs = naive_bayes.GaussianNB(), list[Any](), list[float]()
    for n in range(1500 + delay):
        if n >= delay:
            due = several[n - delay]
            wrongs.append(float(answers[n - delay] != due["label"]))
            model.learn_one(due["features"], due["label"])
        if n < 1500:
            answers.append(model.predict_one(several[n]["features"]))
    assert known.wrongs == wrongs[1:]
    assert 50 < sum(known.wrongs) < 1000

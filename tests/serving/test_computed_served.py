"""Features that a request lacks and the learner computes of earlier events: a scorer computes them, too."""

from typing import Any

import pytest
from river import linear_model

from anabranch.computing import Computing
from anabranch.rolling import Rule
from anabranch.testing import MemoryFollower
from config.output import Score
from serving.application import application
from serving.models import Models, Served
from serving.server import in_a_thread
from support.scorers import Scorer, scorer

NOON = 1.6e9
ANN = {"customer": "ann", "amount": 5.0}


def computing() -> Computing:
    """Ann has paid three times in the hour before noon, and terminal t1 has seen two payments."""
    found = Computing(
        [
            Rule("paid_1h", "sum", "customer", of="amount", over_s=3600.0),
            Rule("seen_1h", "count", "@key", over_s=3600.0),
        ],
        keys_max=10,
    )
    for minutes, key in ((50, "t1"), (30, "t1"), (10, "t2")):
        found.on_event({"customer": "ann", "amount": 2.0, "@key": key}, NOON - 60.0 * minutes)
    return found


def spender() -> Any:
    """Answers True where much was paid lately."""
    model = linear_model.LogisticRegression(l2=0.0)
    for number in range(400):
        x = {"amount": 1.0, "paid_1h": float(number % 9), "seen_1h": float(number % 2)}
        model.learn_one(x, x["paid_1h"] > 4)
    return model


@pytest.fixture(name="follower")
def _follower() -> MemoryFollower:
    follower = MemoryFollower("fraud")
    follower.publish(spender(), features=("amount", "paid_1h", "seen_1h"), computing=computing())
    return follower


@pytest.fixture(name="fraud")
def _fraud(follower: MemoryFollower) -> Any:
    with scorer(follower) as running:
        yield running


def test_what_a_request_lacks_is_computed_and_told(fraud: Scorer) -> None:
    """As of the event's time, and by the key that its Kafka record would have."""
    event = {"features": ANN, "ts": "2020-09-13T12:26:40Z"}
    reply = fraud.ask("/api/predict", event, Anabranch_Key="t1")
    assert reply.status == 200
    assert reply.body["computed"] == {"paid_1h": 6.0, "seen_1h": 2.0}
    assert "missing" not in reply.body
    whole = {**ANN, "paid_1h": 6.0, "seen_1h": 2.0}
    assert reply.body["probabilities"]["true"] == fraud.followers[0].predict_proba_one(whole)[True]


def test_it_is_computed_as_of_the_events_time(fraud: Scorer) -> None:
    """In a batch each event has its own; without a key nothing is known of one, and an id is no key."""
    batch = [{"id": "t1", "features": ANN, "ts": NOON}, {"features": ANN, "ts": NOON + 2400.0}, {"features": ANN}]
    told = fraud.ask("/api/predict", batch).body["predictions"]
    assert [each["computed"]["paid_1h"] for each in told] == [6.0, 2.0, 0.0]
    assert told[0]["missing"] == ["seen_1h"]


def test_what_a_request_brings_stays(fraud: Scorer) -> None:
    """Null is nothing brought."""
    brought = fraud.ask("/api/predict", {"features": {**ANN, "paid_1h": 1.0, "seen_1h": None}, "ts": NOON})
    assert "computed" not in brought.body
    assert brought.body["missing"] == ["seen_1h"]


def test_the_protocol_computes_too(fraud: Scorer) -> None:
    """Its inputs have no time: it is now."""
    inputs = [
        {"name": "customer", "datatype": "BYTES", "shape": [1], "data": ["ann"]},
        {"name": "amount", "datatype": "FP64", "shape": [1], "data": [5.0]},
    ]
    reply = fraud.ask("/v2/models/fraud/infer", {"inputs": inputs}, Anabranch_Key="t1")
    told = {each["name"]: each["data"] for each in reply.body["outputs"]}
    x = {"amount": 5.0, "paid_1h": 0.0, "seen_1h": 0.0}
    assert told["probability"] == [fraud.followers[0].predict_proba_one(x)[True]]


def test_it_can_be_left_to_who_asks(follower: MemoryFollower) -> None:
    """`score.compute = false`."""
    app = application(Models([Served(follower, computes=False)]), Score())
    with in_a_thread(app) as port:
        reply = Scorer(port, [follower]).ask("/api/predict", {"features": ANN, "ts": NOON}, Anabranch_Key="t1")
    assert reply.body["missing"] == ["paid_1h", "seen_1h"]


@pytest.mark.parametrize("ts", ["2026-11-25", "2026-11-25T10:00:00", True, 1.6e12, [1]])
def test_a_time_that_is_none_is_named(fraud: Scorer, ts: Any) -> None:
    """As the learner would refuse it."""
    reply = fraud.ask("/api/predict", {"features": ANN, "ts": ts})
    assert (reply.status, reply.body["field"]) == (422, "ts")

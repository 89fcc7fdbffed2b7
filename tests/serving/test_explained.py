"""`/api/explain`: the event as `/api/predict` takes it, explained by the version that is named."""

import math
from collections.abc import Iterator

import pytest
from river import linear_model

from anabranch.computing import Computing
from anabranch.rolling import Rule
from anabranch.testing import MemoryFollower
from serving.pages import openapi
from support.scorers import EVENT, FEATURES, Scorer, linear, scorer


@pytest.fixture(scope="module")
def fraud() -> Iterator[Scorer]:
    """A scorer with one model."""
    follower = MemoryFollower("fraud")
    canary = [{"amount": 1.0, "risk": 0.5}, {"amount": 4.0, "risk": 2.0}]
    follower.publish(linear(), features=dict.fromkeys(FEATURES, "number"), canary=canary)
    with scorer(follower, rows_max=5) as running:
        yield running


def test_what_is_explained_is_what_is_predicted(fraud: Scorer) -> None:
    """By the same version; contributions and base add up to the log-odds of the probability."""
    predicted = fraud.ask("/api/predict", {**EVENT, "id": "e1"}).body
    reply = fraud.ask("/api/explain", {**EVENT, "id": "e1"})
    assert reply.status == 200
    told = reply.body
    assert [told[each] for each in ("id", "model", "version", "prediction")] == ["e1", "fraud", 1, True]
    share = predicted["probabilities"]["true"]
    assert told["value"] == pytest.approx(math.log(share / (1 - share)))
    assert told["value"] == pytest.approx(told["base"] + sum(each["amount"] for each in told["contributions"]))
    assert told["contributions"][0]["feature"] == "amount"
    assert (told["method"], told["unit"], told["rows"]) == ("exact", "log-odds", 2)
    assert told["words"][0].startswith("The answer is true: log-odds")


def test_missing_and_unknown_features_are_told(fraud: Scorer) -> None:
    """What is missing counts, too: the events that it is compared with have it."""
    told = fraud.ask("/api/explain", {"features": {"amount": 6.0, "colour": "red"}}).body
    assert (told["missing"], told["unknown"]) == (["risk"], ["colour"])
    assert {each["feature"]: each["value"] for each in told["contributions"]} == {"amount": 6.0, "risk": None}
    assert "Missing: risk." in told["words"]


def test_a_batch_is_explained_in_its_order(fraud: Scorer) -> None:
    """Its version is told once; where several models are served, the path names one."""
    events = [{"id": f"e{n}", "features": {"amount": float(n), "risk": 1.0}} for n in range(3)]
    told = fraud.ask("/api/models/fraud/explain", events).body
    assert (told["version"], [each["id"] for each in told["explanations"]]) == (1, ["e0", "e1", "e2"])
    assert told["explanations"][0]["value"] < told["explanations"][2]["value"]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"features": {"amount": "much"}}, "features.amount"), ({"features": {}, "label": 1}, "label"), ([EVENT] * 6, "")],
)
def test_what_is_wrong_is_named_as_in_predict(fraud: Scorer, body: object, field: str) -> None:
    reply = fraud.ask("/api/explain", body)
    assert (reply.status, reply.body.get("field", "")) == (422, field)


def test_features_that_are_computed_count() -> None:
    """As `/api/predict` computes them, and they are told."""
    computing = Computing([Rule("paid", "sum", "customer", of="amount", over_s=3600.0)], keys_max=10)
    computing.on_event({"customer": "ann", "amount": 7.0}, 1.6e9)
    model = linear_model.LogisticRegression()
    for number in range(200):
        model.learn_one({"paid": float(number % 9)}, number % 9 > 4)
    follower = MemoryFollower("fraud")
    follower.publish(model, features=["paid"], canary=[{"paid": 1.0}], computing=computing)
    with scorer(follower) as running:
        event = {"features": {"customer": "ann", "amount": 1.0}, "ts": 1.6e9 + 60}
        told = running.ask("/api/explain", event).body
    assert told["computed"] == {"paid": 7.0}
    assert told["contributions"][0]["value"] == 7.0
    assert told["contributions"][0]["amount"] > 0


def test_the_interface_describes_it() -> None:
    """The request is an event, the answer an explanation."""
    described = openapi(["fraud"])
    answer = described["paths"]["/api/explain"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/Explanation"}
    assert "contributions" in described["components"]["schemas"]["Explanation"]["properties"]

"""The Open Inference Protocol, version 2."""

from collections.abc import Iterator
from typing import Any

import pytest
from river import naive_bayes

from anabranch.testing import MemoryFollower
from support.scorers import FEATURES, Scorer, linear, scorer

AMOUNT = {"name": "amount", "shape": [2], "datatype": "FP64", "data": [6.0, 1.0]}
RISK = {"name": "risk", "shape": [2, 1], "datatype": "INT64", "data": [[1], [2]]}


@pytest.fixture(scope="module")
def served() -> Iterator[Scorer]:
    """A scorer of a binary model and of one with three classes."""
    binary, colours = MemoryFollower("fraud"), MemoryFollower("colours")
    binary.publish(linear(), features=FEATURES)
    model = naive_bayes.GaussianNB()
    for number in range(90):
        model.learn_one({"hue": 10.0 * (number % 3) + number % 5}, ("red", "green", "blue")[number % 3])
    colours.publish(model, features=["hue"], task="multiclass")
    with scorer(binary, colours, rows_max=50) as running:
        yield running


def test_who_it_is(served: Scorer) -> None:
    """Server and model metadata, health and readiness, with and without a version."""
    assert set(served.ask("/v2").body) == {"name", "version", "extensions"}
    assert served.ask("/v2/health/live").body == {"live": True}
    assert served.ask("/v2/health/ready").body == {"ready": True}
    about = served.ask("/v2/models/fraud").body
    assert (about["name"], about["versions"]) == ("fraud", ["1"])
    assert [each["name"] for each in about["inputs"]] == ["amount", "risk"]
    assert [each["name"] for each in about["outputs"]] == ["prediction", "probability"]
    assert served.ask("/v2/models/fraud/versions/1").body == about
    assert served.ask("/v2/models/fraud/versions/1/ready").body == {"name": "fraud", "ready": True}
    assert served.ask("/v2/models/fraud/versions/2/ready").status == 404


def test_rows_of_columns_are_answered(served: Scorer) -> None:
    """Each input is a feature, of shape [n] or [n, 1]; the id comes back."""
    reply = served.ask("/v2/models/fraud/infer", {"id": "q7", "inputs": [AMOUNT, RISK]}).body
    assert (reply["model_name"], reply["model_version"], reply["id"]) == ("fraud", "1", "q7")
    label, probability = reply["outputs"]
    assert label == {"name": "prediction", "datatype": "BOOL", "shape": [2], "data": [True, False]}
    told = served.followers[0].predict_proba_one({"amount": 6.0, "risk": 1})[True]
    assert probability["data"][0] == told


def test_classes_come_with_their_probabilities(served: Scorer) -> None:
    """Shape [n, classes], the labels beside; strings are BYTES, a missing value is null."""
    hue = {"name": "hue", "shape": [3], "datatype": "FP64", "data": [2.0, 22.0, None]}
    reply = served.ask("/v2/models/colours/infer", {"inputs": [hue]}).body
    label, probabilities = reply["outputs"]
    assert (label["datatype"], label["data"][:2]) == ("BYTES", ["red", "blue"])
    assert probabilities["shape"] == [3, 3]
    assert probabilities["parameters"]["labels"] == ["blue", "green", "red"]


def test_only_what_is_asked_for_comes_back(served: Scorer) -> None:
    """By the output's name."""
    wanted = {"inputs": [AMOUNT], "outputs": [{"name": "probability"}]}
    reply = served.ask("/v2/models/fraud/infer", wanted).body
    assert [each["name"] for each in reply["outputs"]] == ["probability"]


WRONG: list[Any] = [
    b"{",
    [],
    {},
    {"inputs": []},
    {"inputs": [7]},
    {"inputs": [{"name": "amount"}]},
    {"inputs": [{**AMOUNT, "datatype": "FLOAT"}]},
    {"inputs": [{**AMOUNT, "datatype": ["FP64"]}]},
    {"inputs": [{**AMOUNT, "shape": [3]}]},
    {"inputs": [{**AMOUNT, "shape": [2, 2]}]},
    {"inputs": [{**AMOUNT, "shape": "2"}]},
    {"inputs": [{**AMOUNT, "data": 6.0}]},
    {"inputs": [{**AMOUNT, "data": ["six", "one"]}]},
    {"inputs": [{**AMOUNT, "datatype": "INT8", "data": [1.5, 2]}]},
    {"inputs": [{**AMOUNT, "datatype": "BOOL", "data": [1, 0]}]},
    {"inputs": [{**AMOUNT, "data": [{}, {}]}]},
    {"inputs": [{**AMOUNT, "extra": 1}]},
    {"inputs": [{**AMOUNT, "parameters": {"binary_data_size": 16}, "data": []}]},
    {"inputs": [AMOUNT, AMOUNT]},
    {"inputs": [AMOUNT, {**RISK, "shape": [1], "data": [1]}]},
    {"inputs": [AMOUNT], "outputs": [{"name": "logits"}]},
    {"inputs": [AMOUNT], "outputs": 7},
    {"inputs": [{**AMOUNT, "shape": [51], "data": [1.0] * 51}]},
]


@pytest.mark.parametrize("body", WRONG)
def test_a_wrong_request_gets_the_protocols_error(served: Scorer, body: Any) -> None:
    """A status of 4xx and exactly one key."""
    reply = served.ask("/v2/models/fraud/infer", body)
    assert 400 <= reply.status < 500
    assert set(reply.body) == {"error"}
    assert reply.body["error"]


def test_other_models_and_versions(served: Scorer) -> None:
    """Named in the error."""
    for path in ("/v2/models/nobody/infer", "/v2/models/fraud/versions/9/infer"):
        reply = served.ask(path, {"inputs": [AMOUNT, RISK]})
        assert (reply.status, set(reply.body)) == (404, {"error"})

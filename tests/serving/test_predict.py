"""`/api/predict`: answers, and what is wrong with a request, by field."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from river import dummy, linear_model, stats

from anabranch.testing import MemoryFollower
from config.output import Score
from serving.application import application
from serving.models import Models, Served
from serving.server import in_a_thread
from support.scorers import EVENT, FEATURES, Scorer, linear, scorer


@pytest.fixture(scope="module")
def fraud() -> Iterator[Scorer]:
    """A scorer with one model."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    with scorer(follower, rows_max=50) as running:
        yield running


def test_an_event_is_answered_with_the_version_that_answered(fraud: Scorer) -> None:
    """The very answer that the follower gives in a program."""
    reply = fraud.ask("/api/predict", {**EVENT, "id": "e1"})
    assert reply.status == 200
    assert (reply.body["id"], reply.body["model"], reply.body["version"]) == ("e1", "fraud", 1)
    assert reply.body["prediction"] is fraud.followers[0].predict_one(EVENT["features"])
    assert reply.body["probabilities"]["true"] == fraud.followers[0].predict_proba_one(EVENT["features"])[True]
    assert 0 <= reply.body["age_s"] < 60


def test_missing_and_unknown_features_are_named(fraud: Scorer) -> None:
    """They do not reach the model; null is a missing one."""
    reply = fraud.ask("/api/predict", {"features": {"amount": 6.0, "risk": None, "colour": "red"}})
    assert (reply.body["missing"], reply.body["unknown"]) == (["risk"], ["colour"])
    assert reply.body["prediction"] is fraud.followers[0].predict_one({"amount": 6.0})


def test_a_batch_is_answered_in_its_order(fraud: Scorer) -> None:
    """By one version, which is told once."""
    events = [{"id": f"e{n}", "features": {"amount": float(n), "risk": 1.0}} for n in range(7)]
    reply = fraud.ask("/api/predict", events)
    assert [each["id"] for each in reply.body["predictions"]] == [f"e{n}" for n in range(7)]
    assert [each["prediction"] for each in reply.body["predictions"]] == [n > 3 for n in range(7)]
    assert reply.body["version"] == 1


WRONG: list[tuple[Any, int, str]] = [
    (b"{", 400, ""),
    (b'{"features": {"amount": NaN}}', 400, ""),
    ("text", 422, ""),
    ({}, 422, "features"),
    ({"features": [1]}, 422, "features"),
    ({"features": {"amount": {"of": 1}}}, 422, "features.amount"),
    ({"features": {"amount": 1e300}}, 422, "features.amount"),
    ({"features": {"amount": "x" * 5000}}, 422, "features.amount"),
    ({"features": {}, "label": True}, 422, "label"),
    ({"features": {}, "id": 7}, 422, "id"),
    ([EVENT, {"features": {"risk": []}}], 422, "[1].features.risk"),
    ([EVENT, 7], 422, "[1]"),
    ([EVENT] * 51, 422, ""),
    ({"features": {"amount": "twelve"}}, 422, "features"),
]


@pytest.mark.parametrize(("body", "status", "field"), WRONG)
def test_what_is_wrong_is_named(fraud: Scorer, body: Any, status: int, field: str) -> None:
    """The field, and what it should be."""
    reply = fraud.ask("/api/predict", body)
    assert (reply.status, reply.body.get("field", "")) == (status, field)
    assert reply.body["error"]


def test_a_feature_of_another_kind_than_was_learned_is_named() -> None:
    """A model might make something of it; the learner would have refused it."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features={"amount": "number", "risk": "number"})
    with scorer(follower) as running:
        reply = running.ask("/api/predict", {"features": {"amount": 6.0, "risk": True}})
        assert (reply.status, reply.body["field"]) == (422, "features.risk")
        assert running.ask("/api/predict", {"features": {"amount": 6, "risk": None}}).status == 200


def test_several_models_are_named_in_the_path() -> None:
    """Without a name it is said which there are."""
    several = [MemoryFollower("fraud"), MemoryFollower("prices")]
    several[0].publish(linear(), features=FEATURES)
    several[1].publish(linear_model.LinearRegression(), features=["size"], task="regression")
    with scorer(*several) as running:
        assert "fraud, prices" in running.ask("/api/predict", EVENT).body["error"]
        assert running.ask("/api/models/prices/predict", {"features": {"size": 3}}).body["prediction"] == 0.0
        assert running.ask("/api/models/nobody/predict", EVENT).status == 404
        assert [each["model"] for each in running.ask("/api/models").body["models"]] == ["fraud", "prices"]


def test_an_answer_that_is_no_number_is_not_given() -> None:
    """It is the model's fault, and says so."""
    model = dummy.StatisticRegressor(stats.Mean())
    model.statistic.update(float("nan"))
    follower = MemoryFollower("prices")
    follower.publish(model, features=["size"], task="regression")
    with scorer(follower) as running:
        reply = running.ask("/api/predict", {"features": {"size": 1}})
        assert (reply.status, "no usable number" in reply.body["error"]) == (500, True)


def test_all_events_of_a_request_are_answered_by_one_version() -> None:
    """However often the model changes meanwhile."""
    follower = MemoryFollower("fraud")
    flipped = dummy.PriorClassifier()
    flipped.learn_one({}, False)
    always = dummy.PriorClassifier()
    always.learn_one({}, True)
    follower.publish(always, features=FEATURES)
    with scorer(follower) as running:
        ends = threading.Event()

        def exchange() -> None:
            while not ends.is_set():
                follower.publish(flipped if follower.version and follower.version % 2 else always, features=FEATURES)

        thread = threading.Thread(target=exchange)
        thread.start()
        replies = [running.ask("/api/predict", [EVENT] * 200) for _ in range(20)]
        ends.set()
        thread.join()
    assert len({reply.body["version"] for reply in replies}) > 2
    for reply in replies:
        said = {each["prediction"] for each in reply.body["predictions"]}
        assert said == {reply.body["version"] % 2 == 1}


def test_strings_are_as_long_as_the_learner_takes_them() -> None:
    """What `guard.string_max` says, where the configuration is known."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    served = Served(follower, string_max=3)
    with in_a_thread(application(Models([served]), Score())) as port:
        running = Scorer(port, [follower])
        assert running.ask("/api/predict", {"features": {**EVENT["features"], "colour": "red"}}).status == 200
        reply = running.ask("/api/predict", {"features": {"colour": "blue"}})
        assert (reply.status, reply.body["field"]) == (422, "features.colour")
        assert "at most 3 (guard.string_max)" in reply.body["error"]


def test_a_retired_model_is_503_and_readyz_says_why() -> None:
    """Until the next is announced."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    with scorer(follower) as running:
        follower.retire(reason="it leaks", by="ann")
        reply, ready = running.ask("/api/predict", EVENT), running.ask("/readyz")
        assert (reply.status, ready.status) == (503, 503)
        assert "version 1 was retired by ann: it leaks" in reply.body["error"]
        assert "retired by ann" in ready.body["reasons"]["fraud"]
        follower.publish(linear(), features=FEATURES)
        assert running.ask("/api/predict", EVENT).status == 200


def test_while_a_new_champion_is_rolled_out_a_key_has_one_of_two() -> None:
    """By the header, or a single event's id; a batch without a key has the champion; both versions can be named."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    follower.publish(linear(), features=FEATURES, kind="canary", share=50.0)
    keys = [f"customer-{n}" for n in range(60)]
    expected = [follower.champion_for(key).update.version for key in keys]
    with scorer(follower) as running:
        header = [running.ask("/api/predict", EVENT, Anabranch_Key=key).body["version"] for key in keys]
        ids = [running.ask("/api/predict", {**EVENT, "id": key}).body["version"] for key in keys]
        assert header == ids == expected
        assert set(expected) == {1, 2}
        assert running.ask("/api/predict", [EVENT]).body["version"] == 1
        assert running.ask("/v2/models/fraud/versions/2").body["versions"] == ["2"]
        assert running.ask("/v2/models/fraud/versions/3").status == 404
        assert running.ask("/api/models").body["models"][0]["canary"] == {"version": 2, "share": 50.0}
        assert 'anabranch_canary_share_percent{model="fraud"} 50.0' in str(running.ask("/metrics").body)


TEXT = {"features": {"amount": "6"}}


@pytest.mark.parametrize(
    ("features", "failures"), [(FEATURES, 20), (dict.fromkeys(FEATURES, "number"), 0)], ids=["by name", "by kind"]
)
def test_while_a_new_champion_is_rolled_out_what_fails_is_counted(features: Any, failures: int) -> None:
    """Over HTTP as in a program; what is seen to be a caller's mistake counts for neither version."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=features)
    with scorer(follower) as running:
        running.ask("/api/predict", EVENT)
        follower.publish(linear(), features=features, kind="canary", share=50.0)
        for n in range(20):
            running.ask("/api/predict", EVENT, Anabranch_Key=f"customer-{n}")
            assert running.ask("/api/predict", TEXT, Anabranch_Key=f"customer-{n}").status == 422
        told = follower.tally.served
        assert told is not None
        assert told.answers + told.answers_beside == 20 + failures
        assert told.failures + told.failures_beside == failures
        assert told.answers > 5

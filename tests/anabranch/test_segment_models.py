"""A follower that answers by the model of an event's segment, where it has one of its own."""

import base64
from typing import Any

import pytest
from river import dummy, stats

from anabranch import statetree
from anabranch.errors import ArtifactError
from anabranch.messages import SegmentModel
from anabranch.rolling import KEY
from anabranch.segments import SegmentModels
from anabranch.testing import MemoryFollower


def constant(label: bool) -> dummy.PriorClassifier:
    """A model that always answers so."""
    model = dummy.PriorClassifier()
    model.learn_one({}, label)
    return model


def always(number: float) -> dummy.StatisticRegressor:
    """A model that always answers it."""
    model = dummy.StatisticRegressor(stats.Max())
    model.learn_one({}, number)
    return model


class Raising(dummy.PriorClassifier):
    """A model that answers nothing."""

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        raise ArithmeticError("cannot")


def told(model: Any, *, epoch: int = 1, event_number: int = 9, segment: str = "acme") -> SegmentModel:
    data = b"" if model is None else statetree.encode(model)
    return SegmentModel(
        model="m",
        epoch=epoch,
        by="tenant",
        segment=segment,
        event_number=event_number,
        learned=1,
        announced_ts=0.0,
        artifact_base64=base64.b64encode(data).decode(),
    )


def test_each_segment_is_answered_by_its_model_and_others_by_the_champion() -> None:
    """Until it is told that the champion answers again."""
    with MemoryFollower("m", segments=True) as follower:
        follower.publish(constant(False), features=["a"])
        follower.publish_segment("acme", constant(True), by="tenant")
        asked = [follower.predict_one({"a": 1.0, "tenant": tenant}) for tenant in ("acme", "else", None)]
        assert asked == [True, False, False]
        assert follower.predict_proba_one({"a": 1.0, "tenant": "acme"}) == {True: 1.0}
        follower.publish_segment("acme", None, by="tenant")
        assert follower.predict_one({"a": 1.0, "tenant": "acme"}) is False


def test_segments_by_the_kafka_key_are_asked_with_it() -> None:
    """As text or as bytes."""
    with MemoryFollower("m", segments=True) as follower:
        follower.publish(constant(False), features=["a"])
        follower.publish_segment("ann", constant(True), by=KEY)
        assert [follower.predict_one({"a": 1.0}, key=key) for key in ("ann", b"ann", "bob", None)] == [
            True,
            True,
            False,
            False,
        ]


def test_who_does_not_ask_for_segments_has_none() -> None:
    """The champion answers everything, as ever."""
    with MemoryFollower("m") as follower:
        follower.publish(constant(False), features=["a"])
        assert follower.segments is None
        assert follower.predict_one({"a": 1.0, "tenant": "acme"}) is False


def test_a_model_that_raises_is_no_answer() -> None:
    """The champion's is one."""
    with MemoryFollower("m", segments=True, trusted=(f"{__name__}:Raising",)) as follower:
        follower.publish(constant(False), features=["a"])
        follower.publish_segment("acme", Raising(), by="tenant")
        assert follower.predict_one({"a": 1.0, "tenant": "acme"}) is False


@pytest.mark.parametrize("answer", [float("inf"), 1e200])
def test_an_answer_that_cannot_be_used_is_none(answer: float) -> None:
    """As at the learner, the champion's is served."""
    with MemoryFollower("m", segments=True) as follower:
        follower.publish(always(5.0), features=["a"], task="regression")
        follower.publish_segment("acme", always(answer), by="tenant")
        assert follower.predict_one({"a": 1.0, "tenant": "acme"}) == 5.0


def test_what_is_older_or_of_a_history_that_did_not_last_does_not_count() -> None:
    """Whatever comes last on the topic."""
    models = SegmentModels()
    models.hear(told(constant(True), event_number=9))
    models.hear(told(None, event_number=8))
    assert models.model_for({"tenant": "acme"}, epoch=1) is not None
    assert models.model_for({"tenant": "acme"}, epoch=2) is None
    models.hear(told(constant(True), epoch=2, event_number=1))
    assert models.model_for({"tenant": "acme"}, epoch=2) is not None


def test_a_model_that_cannot_be_read_leaves_the_answer_to_the_champion() -> None:
    """And it says why."""
    models = SegmentModels()
    models.hear(told(constant(True)).model_copy(update={"artifact_base64": base64.b64encode(b"no model").decode()}))
    assert models.model_for({"tenant": "acme"}, epoch=1) is None
    assert "acme" in models.last_fault
    with pytest.raises(ArtifactError, match="base64"):
        models.hear(told(constant(True)).model_copy(update={"artifact_base64": "§"}))

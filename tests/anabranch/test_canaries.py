"""A follower while a new champion is rolled out: two models, and each key has one of them."""

import subprocess
import sys
from typing import Any

import pytest
from river import dummy

from anabranch import follow
from anabranch.candidates import answers_for
from anabranch.errors import ArtifactError, ModelRetired
from anabranch.messages import ModelUpdate
from anabranch.testing import MemoryFollower
from support.publisher import UPDATE, Publisher
from support.waiting import until

KEYS = [f"customer-{n}" for n in range(400)]


def prior(share: float) -> dummy.PriorClassifier:
    """A model that answers True with this probability."""
    model = dummy.PriorClassifier()
    for n in range(100):
        model.learn_one({}, n < 100 * share)
    return model


def version_for(follower: Any, key: str | None) -> int:
    return int(follower.champion_for(key).update.version)


def update_of(share: float, *, beside: int = 3, model: str = "m") -> ModelUpdate:
    return UPDATE.model_copy(update={"model": model, "kind": "canary", "share": share, "beside": beside})


def test_each_key_has_one_of_two_models_until_one_is_for_all(embedded: Any) -> None:
    """The share of keys with the new one grows, and who has it keeps it; then it is everybody's."""
    publisher = Publisher(embedded.bootstrap, prefix="steps-")
    publisher.announce(1)
    with follow("m", kafka=publisher.kafka, topic=publisher.topic) as model:
        model.wait(timeout_s=20)
        shares = []
        for version, share in ((2, 5.0), (3, 50.0)):
            publisher.announce(version, kind="canary", share=share, beside=1)
            until(lambda version=version: model.canary is not None and model.canary.update.version == version)
            shares.append({key for key in KEYS if version_for(model, key) == version})
            assert all(version_for(model, key) == 1 for key in KEYS if key not in shares[-1])
            assert model.predict_proba_one({"a": 1.0})[True] == 1 / 2
            some = min(shares[-1])
            assert model.predict_proba_one({"a": 1.0}, key=some)[True] == version / (version + 1)
        assert shares[0] < shares[1]
        assert 0.4 < len(shares[1]) / len(KEYS) < 0.6
        publisher.announce(4, kind="swap")
        model.wait(version=4, timeout_s=20)
        assert model.canary is None
        assert {version_for(model, key) for key in KEYS} == {4}


def test_who_begins_to_follow_in_the_middle_has_both(embedded: Any) -> None:
    """And one that was announced before the champion counts no more."""
    publisher = Publisher(embedded.bootstrap, prefix="middle-")
    publisher.announce(1, kind="canary", share=50.0, beside=0)
    publisher.announce(2)
    with follow("m", kafka=publisher.kafka, topic=publisher.topic) as model:
        model.wait(timeout_s=20)
        publisher.announce(3, kind="canary", share=50.0, beside=2)
        until(lambda: model.canary is not None)
        assert model.canary.update.version == 3
    with follow("m", kafka=publisher.kafka, topic=publisher.topic) as model:
        until(lambda: model.canary is not None)
        assert (model.version, model.canary.update.version) == (2, 3)


def test_a_canary_that_is_not_right_costs_nobody_the_champion(embedded: Any) -> None:
    """It is refused, by its check."""
    publisher = Publisher(embedded.bootstrap, prefix="wrong-")
    publisher.announce(1)
    with follow("m", kafka=publisher.kafka, topic=publisher.topic) as model:
        model.wait(timeout_s=20)
        publisher.announce(2, kind="canary", share=50.0, beside=1, river="0.1.0")
        until(lambda: model.refusals)
        assert (model.version, model.canary, model.refusals) == (1, None, {"versions": 1})


def test_a_withdrawn_canary_is_gone_at_once_and_a_retired_model_answers_no_key() -> None:
    with MemoryFollower("m") as model:
        model.publish(prior(0.1), features=["a"])
        model.publish(prior(0.9), features=["a"], kind="canary", share=99.0)
        some = next(key for key in KEYS if version_for(model, key) == 2)
        model.publish(prior(0.1), features=["a"], kind="rollback")
        assert version_for(model, some) == 3
        model.publish(prior(0.9), features=["a"], kind="canary", share=99.0)
        model.retire(reason="recalled")
        with pytest.raises(ModelRetired):
            model.predict_one({"a": 1.0}, key=some)


def test_two_processes_agree_on_100_000_keys() -> None:
    """Whatever the seed of their hashes; text and its bytes are one key."""
    code = (
        "from anabranch.candidates import answers_for\n"
        "from anabranch.messages import ModelUpdate\n"
        "update = ModelUpdate.model_construct(model='m', kind='canary', share=25.0, beside=3)\n"
        "print(''.join('01'[answers_for(update, b'key-%d' % n)] for n in range(100_000)))"
    )
    told = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env).stdout.strip()
        for env in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    ]
    here = "".join("01"[answers_for(update_of(25.0), f"key-{n}")] for n in range(100_000))
    assert told == [here, here]
    assert 0.24 < here.count("1") / 100_000 < 0.26


def test_the_next_canary_is_tried_on_others() -> None:
    """As is that of another model."""
    several = [update_of(20.0), update_of(20.0, beside=4), update_of(20.0, model="n")]
    chosen = [{key for key in KEYS if answers_for(each, key)} for each in several]
    assert len({frozenset(each) for each in chosen}) == 3
    assert len(chosen[0] & chosen[1]) < len(chosen[0]) / 2


def test_while_there_are_two_what_is_asked_is_counted() -> None:
    """By each of them: answers, those that failed, those that were slow; and nothing before and after."""
    follower = MemoryFollower("m")
    follower.publish(prior(1.0), features=["a"])
    follower.predict_one({})
    assert follower.tally.served is None
    follower.publish(prior(0.0), features=["a"], kind="canary", share=50.0)
    for key in KEYS:
        follower.predict_one({}, key=key)
    told = follower.tally.served
    assert told is not None
    assert told.answers + told.answers_beside == len(KEYS)
    assert 0.4 < told.answers / len(KEYS) < 0.6
    assert (told.failures, told.failures_beside, told.slow, told.serving, told.refusing) == (0, 0, 0, 1, 0)
    follower.tally.slow_s = -1.0
    with pytest.raises(TypeError), follower.tally.timed(is_new=True):
        raise TypeError
    later = follower.tally.served
    assert later is not None
    assert (later.answers - told.answers, later.failures, later.slow, later.slow_beside) == (1, 1, 1, 0)
    follower.publish(prior(0.0), features=["a"])
    assert follower.tally.served is None


def test_one_that_is_refused_for_good_is_told() -> None:
    """The champion answers for all keys, and the learner hears of it."""
    follower = MemoryFollower("m")
    follower.publish(prior(1.0), features=["a"])
    with pytest.raises(ArtifactError):
        follower.publish(prior(0.0), features=["a"], kind="canary", share=50.0, river_version="0.0.1")
    told = follower.tally.served
    assert told is not None
    assert (told.serving, told.refusing) == (0, 1)

"""What goes out with a model of computed features: names, and what they are computed of, which followers go on with."""

import random
import time
from typing import Any

import pytest
from river import naive_bayes

from anabranch import artifact
from anabranch.champion import Champion
from anabranch.computing import Computing
from anabranch.errors import ArtifactError
from anabranch.learning_along import LearningAlong
from anabranch.memory import LabelMemory
from anabranch.messages import LearnedOrder, ModelUpdate, decode
from anabranch.order import read_example
from anabranch.rolling import Rule
from config.settings import Settings
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryLog
from serving.models import Answerer
from support.computed import FEATURES, LINEAR, MEMORY, log_of_payments
from support.loops import loop_on, settings_of, straight, through_crashes, updates_in


def computing_settings(**more: Any) -> Settings:
    """Features and memory; publications now and then, and no recruits."""
    alone: dict[str, Any] = {"detectors": {}, "retrain": {"recruits": []}}
    return settings_of(**{"model": LINEAR, "features": FEATURES, "memory": MEMORY, **alone, **more})


def unpacked(log: MemoryLog, update: ModelUpdate) -> artifact.Artifact:
    """The announced model, from the log."""
    at = update.pointer
    chunks = log.records[at.topic, at.partition][at.first_offset : at.last_offset + 1]
    return artifact.unpack(b"".join(chunk.value or b"" for chunk in chunks), sha256=at.sha256)


def followed(log: MemoryLog, *, updates: int, seed: int = 1) -> LearningAlong:
    """What a follower has come to that took so many announcements, and then all that was told."""
    along, rng = LearningAlong(), random.Random(seed)
    for update in updates_in(log)[:updates]:
        along.exchange(update, unpacked(log, update))
    for value in log.values("model-learned"):
        along.tell(decode(LearnedOrder, value))
    records = [each for place, several in log.records.items() if not place[0].startswith("model") for each in several]
    examples = [each for place, several in log.records.items() if place[0] == "model-examples" for each in several]
    everything = [*((each, False) for each in records), *((each, True) for each in examples)]
    rng.shuffle(everything)
    for each, is_example in everything:
        value = each.value or b""
        if is_example:
            along.hear_example(read_example(value), value)
        else:
            along.hear((each.topic, each.partition, each.offset), value, key=each.key)
        if rng.random() < 0.02:
            along.advance()
    along.advance()
    return along


def state_of(loop: LearningLoop) -> dict[str, bytes]:
    derived = loop.owner.lane.derived
    assert derived is not None
    return derived.state()


@pytest.mark.parametrize(("partitions", "label_after"), [(1, 0), (3, 0), (1, 40), (3, 40)])
def test_a_follower_that_learns_along_computes_what_the_learner_does(partitions: int, label_after: int) -> None:
    """The model is the learner's, and so is all that its features are computed of: to the last bit."""
    log = log_of_payments(700, partitions=partitions, label_after=label_after)
    loop = straight(log, computing_settings(labels={"late": label_after > 0}))
    along = followed(log, updates=1)
    assert along.event_number == loop.owner.lane.events > 600
    assert artifact.statetree.encode(along.model) == artifact.statetree.encode(loop.owner.lane.champion.model)
    assert along.computing is not None
    x, ts = {"customer": "c3", "amount": 5.0, "@key": "t1"}, 1.6e9 + 60.0 * 700
    derived = loop.owner.lane.derived
    assert derived is not None
    assert along.computing.look(x, ts) == derived.computing.look(x, ts)
    assert {"paid_1h", "risk"} <= along.computing.look(x, ts).keys()


def test_it_goes_back_where_a_learner_did(dying: Any) -> None:
    """Events that are told once more after a crash are counted once."""
    settings = computing_settings(checkpoint={"every_events": 60})
    log, store = log_of_payments(700, partitions=2), MemoryStore()
    loop, crashes = through_crashes(lambda: loop_on(log, store, settings), dying, store, rng=random.Random(2), most=700)
    assert crashes > 0
    along, derived = followed(log, updates=1), loop.owner.lane.derived
    assert along.computing is not None
    assert derived is not None
    x, ts = {"customer": "c3", "@key": "t1"}, 1.6e9 + 60.0 * 700
    assert along.computing.look(x, ts) == derived.computing.look(x, ts)


def test_the_artifact_names_what_is_computed_and_what_is_not_seen() -> None:
    """So that who asks knows what to bring, and a scorer names what is missing."""
    log = log_of_payments(300)
    straight(log, computing_settings())
    update = updates_in(log)[-1]
    found = unpacked(log, update)
    assert found.features == {"amount", "paid_1h", "events_1h", "risk"}
    assert found.hidden == {"customer", "@key", "@label_1", "@label_2"}
    assert found.derived == {
        "paid_1h": "mean of amount by customer over 3600 s",
        "events_1h": "count by customer over 3600 s",
        "risk": "positive_rate by @key over 7200 s",
    }
    answerer = Answerer(Champion(update, found, update.event_number, time.time()))
    assert answerer.missing({"amount": 3.0}) == ["events_1h", "paid_1h", "risk"]


def test_a_plain_follower_computes_as_of_the_announcement() -> None:
    """If it is asked to: what the caller brings stays as it is."""
    log = log_of_payments(300)
    straight(log, computing_settings())
    update = updates_in(log)[-1]
    champion = Champion(update, unpacked(log, update), update.event_number, time.time())
    x = {"customer": "c1", "amount": 30.0, "paid_1h": 1.5}
    found = champion.with_computed(x, ts=update.event_ts + 1.0, key="t1")
    assert found["paid_1h"] == 1.5
    assert found["events_1h"] > 0
    assert 0.0 <= found["risk"] <= 1.0
    assert x == {"customer": "c1", "amount": 30.0, "paid_1h": 1.5}
    assert champion.known(found).keys() == {"amount", "paid_1h", "events_1h", "risk"}


def test_what_is_too_much_does_not_go_out_with_a_model() -> None:
    """Its names do."""
    log = log_of_payments(300)
    straight(log, computing_settings(features={**FEATURES, "published_max_bytes": 500}))
    found = unpacked(log, updates_in(log)[-1])
    assert found.computing is None
    assert "paid_1h" in found.derived
    champion = Champion(updates_in(log)[-1], found, 0, time.time())
    assert champion.with_computed({"amount": 1.0}) == {"amount": 1.0}


def test_without_computed_features_the_bytes_are_those_of_before() -> None:
    """No key is added."""
    plain = artifact.pack(naive_bayes.GaussianNB(), task="binary", positive=None, features=["a"], canary=[])
    table = artifact.statetree.decode(plain)
    assert table.keys() == {"model", "task", "positive", "features", "canary"}


STRANGE: dict[str, Any] = {"hidden": [1], "derived": {"a": 1}, "computing": b"nothing of ours"}


@pytest.mark.parametrize(("key", "value"), STRANGE.items())
def test_what_a_stranger_writes_there_is_refused(key: str, value: Any) -> None:
    """Before anybody is asked anything."""
    known = {"model": naive_bayes.GaussianNB(), "task": "binary", "positive": None, "features": [], "canary": []}
    data = artifact.statetree.encode({**known, key: value})
    with pytest.raises(ArtifactError) as caught:
        artifact.unpack(data, sha256=artifact.hashlib.sha256(data).hexdigest())
    assert caught.value.check == "decode"


def test_it_comes_back_from_its_bytes() -> None:
    """Rules, bounds and all that was counted."""
    memory = LabelMemory(2, by="who", keys_max=7)
    computing = Computing([Rule("n", "count", "who", over_s=60.0)], keys_max=5, memory=memory)
    for n in range(20):
        computing.on_event({"who": n % 6}, float(n))
        computing.on_label({"who": n % 6}, n % 2 == 0, float(n))
    again = Computing.unpacked(computing.packed())
    assert again.packed() == computing.packed()
    assert (again.rolling.tables[0].keys_max, again.memory.keys_max) == (5, 7)

"""Per-segment models through checkpoints and crashes, and what followers are told of them."""

import base64
import random
from typing import Any

import orjson
import pytest

from anabranch import statetree
from anabranch.errors import ConfigError
from anabranch.messages import SegmentModel, decode
from consumers.checkpoint import inspect
from consumers.owner import StartOptions
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryLog
from support.loops import log_of, loop_on, settings_of

TENANTS = 4
SEGMENTS = {"by": "tenant", "memory_max": 2, "packed_max": 2, "min_events": 10, "refresh_events": 10}
EVENTS = 600


def values(events: int, *, seed: int = 3) -> list[bytes]:
    """Two numbers; every second tenant has the labels of the opposite concept."""
    rng, made = random.Random(seed), []
    for n in range(events):
        tenant, a, b = rng.randrange(TENANTS), rng.uniform(-1, 1), rng.uniform(-1, 1)
        features = {"a": a, "b": b, "tenant": tenant}
        made.append({"id": f"e{n}", "ts": 1.6e9 + n, "features": features, "label": (a > b) != (tenant % 2 == 1)})
    return [orjson.dumps(each) for each in made]


def settings(**more: Any) -> Any:
    model = {"steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}]}
    return settings_of(
        segments={**SEGMENTS, **more.pop("segments", {})},
        model=model,
        features={"drop": ["tenant"]},
        arena={"false_swap_every": 200},
        **more,
    )


def told(log: MemoryLog) -> dict[str, list[SegmentModel]]:
    found: dict[str, list[SegmentModel]] = {}
    for value in log.values("model-segments"):
        message = decode(SegmentModel, value)
        found.setdefault(message.segment, []).append(message)
    return found


def run(log: MemoryLog, store: MemoryStore, **more: Any) -> Any:
    loop = loop_on(log, store, settings(**more))
    loop.run(until_end=True)
    return loop.owner


def test_who_goes_on_from_a_checkpoint_is_where_one_without_a_stop_would_be() -> None:
    """With models in memory, packed, and in blobs; the learning state is the same to the last bit."""
    every = values(EVENTS)
    straight = run(log_of(every), MemoryStore())
    log, store = log_of(every[:300]), MemoryStore(keep=2)
    run(log, store)
    for value in every[300:]:
        log.append("events", value, partition=0)
    resumed = run(log, store)
    assert resumed.lane.segmented.shelf.segments
    assert resumed.learning_state_hash() == straight.learning_state_hash()
    assert resumed.lane.segmented.totals.serving >= 2


def test_models_that_have_not_changed_are_not_written_again() -> None:
    """A checkpoint names the blob in which they lie."""
    every = values(300)
    store = MemoryStore(keep=2)
    owner = run(log_of(every), store)
    before = set(owner.lane.blobs)
    owner.checkpoint()
    assert set(owner.lane.blobs) == before
    assert {f"blobs/{each}" for each in before} <= set(store.blobs.held)


def test_followers_are_told_what_answers_after_it_is_committed() -> None:
    """The bytes of each model that answers, as it was at the commit; the newest of each is what serves."""
    log = log_of(values(EVENTS))
    owner = run(log, MemoryStore())
    segmented, newest = owner.lane.segmented, {name: each[-1] for name, each in told(log).items()}
    serving = {name for name, ready in segmented.everyone() if ready.serves}
    assert {name for name, each in newest.items() if each.artifact_base64} == serving
    model = statetree.decode(base64.b64decode(newest[min(serving)].artifact_base64))
    assert model.predict_one({"a": 1.0, "b": -1.0}) in (True, False)
    assert any(len(each) > 1 for each in told(log).values())  # refreshed


def test_a_segment_that_the_champion_answers_again_is_told() -> None:
    """By a message without a model: it has its place among the others, and a signature."""
    every = values(EVENTS)
    turned = [orjson.loads(each) for each in values(600, seed=4)]
    for each in turned:  # all tenants are alike from here on
        each["id"], each["label"] = f"late{each['id']}", each["features"]["a"] > each["features"]["b"]
    log = log_of([*every, *map(orjson.dumps, turned)])
    owner = run(log, MemoryStore())
    assert owner.lane.segmented.totals.swapped_out > 0
    assert any(not each[-1].artifact_base64 for each in told(log).values())


def test_a_rebuild_tells_its_models_in_a_later_epoch() -> None:
    """So that those of before count no more, whichever they were."""
    log, store = log_of(values(EVENTS)), MemoryStore(keep=2)
    first = run(log, store)
    loop = loop_on(log, store, settings(), how=StartOptions(rebuild=True))
    loop.run(until_end=True)
    assert loop.owner.lane.segmented.learned_state() == first.lane.segmented.learned_state()
    newest = max(each.epoch for several in told(log).values() for each in several)
    assert newest == loop.owner.epoch > first.epoch


def test_segments_by_another_feature_are_refused() -> None:
    """They would be models of other segments."""
    log, store = log_of(values(300)), MemoryStore()
    run(log, store)
    with pytest.raises(ConfigError, match=r"segments\.by"):
        run(log, store, segments={"by": "other"})


def test_segments_may_begin_later() -> None:
    """A checkpoint of before there were any is gone on from."""
    every = values(400)
    log, store = log_of(every[:200]), MemoryStore()
    loop_on(log, store, settings().model_copy(update={"segments": settings_of().segments})).run(until_end=True)
    for value in every[200:]:
        log.append("events", value, partition=0)
    assert run(log, store).lane.segmented.totals.models == TENANTS


def test_a_checkpoint_tells_how_segments_do() -> None:
    """For `anabranch state`."""
    store = MemoryStore()
    run(log_of(values(300)), store)
    found = inspect(settings(), store)["segments"]
    assert (found["by"], found["models"]) == ("tenant", TENANTS)


@pytest.mark.parametrize("late", [False, True])
def test_segments_by_the_kafka_key_are_those_of_the_records(late: bool) -> None:
    """No model sees the key; a record without one is in no segment; and the key waits with its event for the label."""
    log = MemoryLog(partitions=1)
    for n, value in enumerate(values(60)):
        table = orjson.loads(value)
        told = {"id": table["id"], "ts": table["ts"], "label": table["label"]}
        if late:
            del table["label"]
        log.append("events", orjson.dumps(table), key=[b"ann", b"bob", None][n % 3], partition=0)
        if late:
            log.append("labels", orjson.dumps(told), partition=0)
    owner = run(log, MemoryStore(), segments={"by": "@key"}, **({"labels": {"late": True}} if late else {}))
    assert {name: ready.learned for name, ready in owner.lane.segmented.everyone()} == {"ann": 20, "bob": 20}
    assert all("@key" not in x for x in owner.lane.canary)

"""Attacks on a follower: whatever lies on the topics, none of it is run, the thread lives, the model in use stays."""

import functools
import hashlib
import os
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import orjson
import pytest
import river
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from river import dummy, forest, linear_model, preprocessing, tree

from anabranch import artifact, follow, statetree
from anabranch.errors import ArtifactError
from anabranch.kafka import artifacts as kafka_artifacts
from anabranch.kafka import producer
from anabranch.kafka.updates import UPDATE_MAX_BYTES
from anabranch.learning_along import LearningAlong
from anabranch.messages import ExamplesTold, LearnedOrder, TopicRange, UnreadableMessage, encode
from anabranch.order import RECORDS_MAX, identified, read_order
from anabranch.signatures import Signer
from anabranch.statetree import MAGIC
from anabranch.testing import MemoryFollower
from consumers.kafka.sink import KafkaSink
from support.publisher import UPDATE, Publisher
from support.waiting import until

MUTATIONS = 3000
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def classes_of_river() -> dict[type, dict[str, int]]:
    """What every class of River that is loaded consists of."""
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "river"]
    found = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    return {each: {name: id(value) for name, value in vars(each).items()} for each in found}


@pytest.fixture(autouse=True)
def nothing_was_run_and_no_class_changed(tmp_path: Path) -> Iterator[None]:
    """Whatever a test here does."""
    before = classes_of_river()
    yield
    after = classes_of_river()
    assert {each: after[each] for each in before} == before
    assert not (tmp_path / "marker").exists()


# ── Bytes in place of a model ───────────────────────────────────────────────────────────────────────────────────────


class Command:
    """What unpickling would make of it is a call."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def model_bytes(layouts: list[Any], nodes: list[Any], root: Any) -> bytes:
    """A model's bytes around a tree that somebody made by hand."""
    tree_ = msgpack.packb([layouts, nodes, root])
    return MAGIC + bytes(msgpack.packb([1, river.__version__, "3.11.0", "2.0.0", tree_]))


def table_of(model: Any, **changes: Any) -> bytes:
    """An artifact that is right but for what is said."""
    table = {"model": model, "task": "binary", "positive": None, "features": ["a"], "canary": []}
    return statetree.encode({**table, **changes})


def prior() -> Any:
    model = dummy.PriorClassifier()
    model.learn_one({}, True)
    return model


GOOD_MODEL = statetree.encode(prior())
ROW, ANSWER = {"a": 1.0}, {True: 1.0}
TWISTER = b"\x01\x00\x00\x00" * 624
REGRESSION = "river.linear_model.log_reg:LogisticRegression"


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def laughs(depth: int) -> list[Any]:
    """Small on the wire and in memory; without end for whoever walks or prints it."""
    return functools.reduce(lambda inner, _: [inner] * 10, range(depth), [1.0])


def named(name: str) -> bytes:
    return model_bytes([], [], [-22, name])


def called(name: str, argument: str) -> bytes:
    return model_bytes([], [], [-23, [[-22, name]], [argument], []])


def attacks(marker: Path) -> dict[str, tuple[bytes, str]]:
    """Bytes, and the check that they do not pass."""
    touch = f"touch {marker}"
    pickled = {n: pickle.dumps(Command(marker), protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)}
    return {
        **{f"a pickle of protocol {n}": (data, "decode") for n, data in pickled.items()},
        "a pickle behind our magic": (MAGIC + pickled[4], "decode"),
        "a pickle as the model": (table_of(pickled[4]), "decode"),
        "a pickle as an extension": (MAGIC + msgpack.packb(msgpack.ExtType(1, pickled[4])), "decode"),
        "nothing": (b" ", "decode"),
        "foreign bytes": (b"\x89PNG\r\n\x1a\n" * 100, "decode"),
        "no table": (GOOD_MODEL, "decode"),
        "a table of something else": (statetree.encode({"model": 1}), "decode"),
        "no model": (table_of(7), "decode"),
        "a class as the model": (table_of(named(REGRESSION)), "decode"),
        "a function as the model": (table_of(named("river.utils.math:minkowski_distance")), "decode"),
        # Names that lead out of River.
        **{
            f"{kind} {name}": (table_of(make(name)), "decode")
            for name in (
                "os:system",
                "posix:system",
                "builtins:eval",
                "builtins:__import__",
                "subprocess:Popen",
                "importlib:import_module",
                "pickle:loads",
                "river:base.os.system",
                "river.base.base:Base.__init__.__globals__",
                "river.base.base:Base.__subclasses__",
                "river.base.base:inspect.os.system",
                "river.datasets.base:subprocess.Popen",
                "river.stream.iter_csv:open_filepath",
                "river..base:Base",
                "river.base.base:",
                ":system",
            )
            for kind, make in (("the name", named), ("a call of", functools.partial(called, argument=touch)))
        },
        # Classes that would be changed, or made to what they are not.
        "another class": (table_of(model_bytes([[REGRESSION, "__class__"]], [[0, [-22, REGRESSION]]], [0])), "decode"),
        "another dict": (table_of(model_bytes([[REGRESSION, "__dict__"]], [[0, 1]], [0])), "decode"),
        "attributes of a class": (table_of(model_bytes([["builtins:type", "x"]], [[0, 1]], [0])), "decode"),
        "a method bound to a class": (
            table_of(model_bytes([], [], [-24, "river.base.base:Base.clone", [-22, REGRESSION]])),
            "decode",
        ),
        "a method of its own": (
            table_of(model_bytes([[REGRESSION, "predict_one"]], [[0, [-22, "os:system"]]], [0])),
            "decode",
        ),
        "a hollow object": (table_of(model_bytes([[REGRESSION]], [[0]], [0]), canary=[(ROW, ANSWER)]), "canary"),
        # Sizes and depths.
        "a deep list as the model": (table_of(statetree.encode(nested(100_000))), "decode"),
        "deep tuples": (
            table_of(model_bytes([], [], functools.reduce(lambda inner, _: [-20, inner], range(400), 1))),
            "decode",
        ),
        "deep msgpack": (MAGIC + b"\x91" * 100_000 + b"\x01", "decode"),
        "a list that says it is huge": (MAGIC + b"\xdd\xff\xff\xff\xff", "decode"),
        "bytes that say they are huge": (MAGIC + b"\xc6\xff\xff\xff\xff", "decode"),
        "a million nodes": (table_of(model_bytes([], [[-80]] * 1_000_000, [0])), "decode"),
        "an array that says it is huge": (
            table_of(model_bytes([], [[-40, "<f8", "C", [2**39, 2**39], b""]], [0])),
            "decode",
        ),
        "a deque of huge bounds": (table_of(model_bytes([], [[-83, 2**63]], [0])), "decode"),
        "a model that holds itself": (table_of(own_step(), canary=[(ROW, ANSWER)]), "canary"),
        # Random states that would have numpy or Python read foreign memory.
        **{
            f"random state {number}": (table_of(model_bytes([], [node], [0])), "decode")
            for number, node in enumerate(
                (
                    [-42, TWISTER, 625, 0, 0.0],
                    [-42, TWISTER, -1, 0, 0.0],
                    [-42, TWISTER, 2**31, 0, 0.0],
                    [-42, TWISTER[:-4], 1, 0, 0.0],
                    [-43, "MT19937", TWISTER, 2**62],
                    [-41, 3, TWISTER, 2**40, None],
                    [-41, 3, TWISTER, -625, None],
                    [-43, "PCG64", bytes(16), bytes(16), 0, 0],
                )
            )
        },
        # Rows that the model is to be checked by.
        "rows that are none": (table_of(GOOD_MODEL, canary=[1, 2]), "decode"),
        "a row that is no dict": (table_of(GOOD_MODEL, canary=[([1], ANSWER)]), "decode"),
        "no list of rows": (table_of(GOOD_MODEL, canary={"a": 1}), "decode"),
        "too many rows": (table_of(GOOD_MODEL, canary=[(ROW, ANSWER)] * 101), "decode"),
        "features that are no names": (table_of(GOOD_MODEL, features=[1.0]), "decode"),
        "kinds that are none": (table_of(GOOD_MODEL, features={"a": [1.0]}), "decode"),
        "an answer of another": (table_of(GOOD_MODEL, canary=[(ROW, {True: 0.5})]), "canary"),
        "NaN for an answer": (table_of(GOOD_MODEL, canary=[(ROW, {True: float("nan")})]), "canary"),
        "a deep answer": (table_of(GOOD_MODEL, canary=[(ROW, nested(100_000))]), "canary"),
        "an answer without end": (table_of(GOOD_MODEL, canary=[(ROW, laughs(60))]), "canary"),
        "an array for an answer": (table_of(GOOD_MODEL, canary=[(ROW, {True: np.ones(9)})]), "canary"),
        "a huge row": (table_of(linear(), canary=[({f"x{n}": 1e300 for n in range(300_000)}, ANSWER)]), "canary"),
        "a nested row": (table_of(linear(), canary=[({"a": nested(100_000)}, ANSWER)]), "canary"),
        "a row of NaN": (table_of(linear(), canary=[({"a": float("nan")}, ANSWER)]), "canary"),
        "a row of no names": (table_of(linear(), canary=[({(1, 2): "x"}, ANSWER)]), "canary"),
    }


def linear() -> bytes:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for n in range(20):
        model.learn_one({"a": float(n)}, n > 9)
    return statetree.encode(model)


def own_step() -> bytes:
    """A pipeline whose last step is the pipeline."""
    pipeline = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    pipeline.steps["LogisticRegression"] = pipeline
    return statetree.encode(pipeline)


def test_no_bytes_in_place_of_a_model_harm_a_follower(embedded: Any, tmp_path: Path) -> None:
    """Each is refused by the check that is meant for it; one that starts then takes the newest good model."""
    publisher = Publisher(embedded.bootstrap)
    good = publisher.announce(1)
    counts: dict[str, int] = {}
    with follow("m", kafka=publisher.kafka) as model:
        model.wait(timeout_s=20)
        for number, (what, (data, check)) in enumerate(attacks(tmp_path / "marker").items()):
            publisher.publish(data, good, seq=number + 2)
            until(lambda number=number: sum(model.refusals.values()) > number)  # type: ignore[misc]  # bound for this turn
            counts[check] = counts.get(check, 0) + 1
            assert model.refusals == counts, (what, model.last_refusal)
            assert len(model.last_refusal or "") < 1000, what
            assert model.version == 1, what
        assert model.predict_proba_one({"a": 1.0}) == {True: 0.5, False: 0.5}
        with follow("m", kafka=publisher.kafka) as fresh:
            assert fresh.wait(timeout_s=60).version == 1
        publisher.announce(1000)
        assert model.wait(version=1000, timeout_s=20).version == 1000


def test_a_record_that_is_a_bomb_is_not_parsed(embedded: Any) -> None:
    """Artifacts and updates are not compressed; Kafka's own batches may be, and come out a thousand times as large."""
    publisher = Publisher(embedded.bootstrap)
    good = publisher.announce(1)
    sink = KafkaSink(producer({**publisher.kafka, "compression.type": "gzip", "message.max.bytes": 2**27}))
    for value in (b" " * 2**25, b"[" * (UPDATE_MAX_BYTES + 1)):
        sink.send(publisher.topic, key="m/global/2", value=value)
    key = f"m/global/3/{good.artifact.sha256[:12]}/"
    (sent,) = sink.send_all(good.artifact.topic, key=key, values=[bytes(2**25)])
    place = {"partition": sent.partition, "first_offset": sent.offset, "last_offset": sent.offset}
    pointer = good.artifact.model_copy(update=place)
    publisher.say(good.model_copy(update={"seq": 3, "version": 3, "artifact": pointer}))
    with follow("m", kafka=publisher.kafka) as model:
        assert model.wait(timeout_s=20).version == 1
        until(lambda: model.refusals.get("size") == 2)
        until(lambda: "more than the" in str(model.last_refusal) or sum(model.refusals.values()) == 3)
        assert model.version == 1


# ── Changed bytes ───────────────────────────────────────────────────────────────────────────────────────────────────


def mutations(data: bytes, *, seed: int, count: int = MUTATIONS) -> Iterator[bytes]:
    """The bytes with some of them changed, lost, doubled or out of place."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            at = rng.randrange(len(changed))
            match rng.randrange(5):
                case 0:
                    changed[at] ^= 1 << rng.randrange(8)
                case 1:
                    changed[at] = rng.choice((0x00, 0x7F, 0x80, 0xC0, 0xC1, 0xDD, 0xFF))
                case 2:
                    del changed[at : at + rng.randrange(1, 9)]
                case 3:
                    changed[at:at] = changed[at : at + rng.randrange(1, 9)]
                case _:
                    changed[at] = rng.randrange(256)
        if changed and changed != data:
            yield bytes(changed)


def test_a_changed_update_is_one_that_nobody_has_signed(embedded: Any) -> None:
    """Three thousand of them, with the signature of the right one."""
    publisher = Publisher(embedded.bootstrap, signer=SIGNER)
    good = publisher.announce(1)
    value = encode(good.model_copy(update={"seq": 2, "version": 2}))
    changed = list(mutations(value, seed=1))
    for each in changed:
        publisher.sink.send(publisher.topic, key="m/global/2", value=each, headers=SIGNER.headers(value))
    publisher.sink.flush()
    with follow("m", kafka=publisher.kafka, trusted_keys=[SIGNER.public]) as model:
        assert model.wait(timeout_s=60).version == 1
        until(lambda: model.refusals == {"signature": len(changed)})
        publisher.announce(3)
        assert model.wait(version=3, timeout_s=20).version == 3


def test_changed_bytes_are_not_those_that_were_announced(embedded: Any) -> None:
    """A signed update holds the digest, so nothing of them is decoded."""
    publisher = Publisher(embedded.bootstrap, signer=SIGNER)
    good = publisher.announce(1)
    for each in mutations(kafka_artifacts.fetch(publisher.kafka, good), seed=2):
        with pytest.raises(ArtifactError) as refused:
            artifact.unpack(each, sha256=good.artifact.sha256)
        assert refused.value.check == "digest"


def learned() -> list[Any]:
    """Models with trees, detectors written in Rust, and random states."""
    models = [
        preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        tree.HoeffdingAdaptiveTreeClassifier(grace_period=20, seed=1),
        forest.ARFClassifier(2, seed=1, grace_period=20),
    ]
    rng = random.Random(4)
    for model in models:
        for _ in range(100):
            x = {"a": rng.random(), "b": rng.gauss(0, 1)}
            model.learn_one(x, x["a"] > 0.5)
    return models


@pytest.mark.parametrize("number", range(3))
def test_changed_bytes_with_their_right_digest_are_refused_or_answer_as_they_say(number: int) -> None:
    """What an attacker can announce where no signature is asked for: three thousand, in all."""
    model = learned()[number]
    rows = [{"a": 0.1 * n, "b": -0.1 * n} for n in range(4)]
    data = artifact.pack(model, task="binary", positive=None, features=["a", "b"], canary=rows)
    with MemoryFollower("m") as follower:
        follower.publish(model, features=["a", "b"], canary=rows)
        refused = 0
        for version, each in enumerate(mutations(data, seed=10 + number, count=MUTATIONS // 3), 2):
            before = follower.champion
            follower._packed[version] = each
            follower._consider(follower._announced(each, version=version, kind="swap", river_version=river.__version__))
            if follower.version != version:
                refused += 1
                assert follower.champion is before
            else:
                for x, answer in follower.champion.artifact.canary:
                    assert artifact.predict(follower.champion.artifact.model, x) == answer
        # The others have another number at a place on which none of these answers depends.
        assert refused > MUTATIONS // 3 // 2
        assert sum(follower.refusals.values()) == refused
        assert set(follower.refusals) <= {"decode", "canary", "warm"}


# ── The learned order, where no signature is asked for ──────────────────────────────────────────────────────────────


def told(*runs: tuple[int, int, int], follows: str = "first", **changes: Any) -> LearnedOrder:
    """What a learner might tell after the copy, of a later epoch than the copy's: runs of (partition, start, end)."""
    ranges = tuple(TopicRange(topic="events", partition=each[0], start=each[1], end=each[2]) for each in runs)
    about = {"model": "m", "epoch": 9, "checkpoint": 9, "began": 9.5, "event_number": 9, "version": 1}
    return identified(LearnedOrder(id="", follows=follows, runs=ranges, **{**about, **changes}))


def renamed(order: LearnedOrder, name: str, **changes: Any) -> LearnedOrder:
    """With an id that it does not have."""
    return order.model_copy(update={"id": name, **changes})


def examples(partition: int, start: int, end: int) -> LearnedOrder:
    return told(examples=ExamplesTold(topic="model-examples", partition=partition, start=start, end=end))


FORGED = {
    "two that follow each other": (renamed(told(), "a", follows="b"), renamed(told(), "b", follows="a")),
    "one that follows itself": (renamed(told(), "a", follows="a"),),
    "another's id": (renamed(told((0, 0, 1)), told().id),),
    "an id without end": (renamed(told(), "a" * 100_000),),
    "a run without end": (told((0, 0, 10**15)),),
    "examples without end": (examples(0, 0, 10**15),),
    "more than is kept": (told((0, 5, RECORDS_MAX + 6)),),
    "an offset that none is": (told((0, 2**63, 2**63)),),
    "a partition that none is": (told((2**31, 0, 1)),),
    "a partition of examples that none is": (examples(-1, 0, 1),),
    "a run that ends before it begins": (told((0, 9, 3)),),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_no_message_of_the_order_kills_what_learns_along(forged: tuple[LearnedOrder, ...]) -> None:
    """None is taken; and one that was taken for all that ends in nothing, at once."""
    for each in forged:
        with pytest.raises(UnreadableMessage, match="not a LearnedOrder"):
            read_order(encode(each))
    along, good = LearningAlong(), UPDATE.model_copy(update={"order": "first"})
    data = artifact.pack(dummy.PriorClassifier(), task="binary", positive=None, features=["a"], canary=[])
    along.exchange(good, artifact.unpack(data, sha256=hashlib.sha256(data).hexdigest()))
    for each in forged:
        along.tell(each)
    assert (along.advance(), len(along.wanted()) < 2) == (0, True)


def test_a_forged_order_is_passed_over_while_models_are_taken(embedded: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The thread lives, each is logged, and what a learner has told is learned."""
    publisher = Publisher(embedded.bootstrap)
    good = told((0, 0, 1), epoch=1, checkpoint=1)
    event = b'{"id": "e", "ts": 0, "features": {"a": 1.0}, "label": true}'
    publisher.sink.send("events", key="e", value=event, partition=0)
    publisher.sink.send("model-learned", key="other", value=b"[]")
    publisher.announce(1, order="first")
    every = [each for several in FORGED.values() for each in several]
    with follow("m", kafka=publisher.kafka, learn_along=True) as model:
        until(lambda: model._live is not None and model._live.tail is not None)  # this broker knows no times
        for each in (*every, good):
            publisher.sink.send("model-learned", key=each.id[:40], value=encode(each))
        publisher.sink.flush()
        until(lambda: model.champion.event_number == 9)
        assert model.predict_proba_one({"a": 1.0})[True] > 0.6
        publisher.announce(2, order="first")
        assert model.wait(version=2, timeout_s=20).version == 2
        assert model.last_refusal is None
    assert caplog.text.count("passed over: model-learned") == len(every)


def test_what_a_newer_learner_says_beyond_it_is_in_its_id() -> None:
    """A follower that does not know the key goes on learning."""
    good = told((0, 0, 1))
    said = {**orjson.loads(encode(good)), "later": "said"}
    newer = {key: value for key, value in said.items() if key != "other_log"}  # empty, and later than the first ids
    newer |= {"id": "", "checkpoint": 0, "began": 0.0}
    digest = hashlib.sha256(orjson.dumps(newer)).hexdigest()[:32]
    assert read_order(orjson.dumps({**said, "id": digest})) == renamed(good, digest)
    assert read_order(encode(good)) == good

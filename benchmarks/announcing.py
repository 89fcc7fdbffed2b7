"""How soon a follower on a real Kafka predicts by what a learner announces: a small model and large ones."""

import copy
import gc
import random
import time
from contextlib import ExitStack
from typing import Any, NamedTuple

from river import ensemble, linear_model, preprocessing, tree

from anabranch import follow, statetree
from anabranch.artifact import unpack
from anabranch.kafka import producer
from anabranch.kafka.artifacts import fetch
from anabranch.messages import TrainedOn, encode
from benchmarks.agrawal import settings_of
from commands.brokers.local import LocalKafka
from consumers.announcer import Announcer, update_key
from consumers.kafka.sink import KafkaSink
from consumers.kafka.topics import create
from consumers.timing import SystemClock
from learners.derived import Seen
from learners.emitted import Promotion

AIMS_S = {"small": 0.2, "many weights": 2.0, "many trees": 0.2}
WEIGHTS_BYTES, TREES_BYTES = 20_000_000, 2_000_000
"""Trees are many small objects: packing and unpacking takes some ten times as long a byte, so a tenth tells enough."""

FEATURES = ("a", "b", "c")
ABOUT: dict[str, Any] = {"seen": Seen(dict.fromkeys(FEATURES, "number")), "positions": {}, "order": ""}


class Arrival(NamedTuple):
    """One announcement."""

    seconds: float
    """From just before the update was sent until the follower had the model."""
    bytes_sent_s: float
    """Before that: packing the model and publishing its bytes."""
    unpacking_s: float
    """What a reader needs for the bytes alone, without Kafka; measured once."""
    size_mb: float


def measured(rounds: int) -> dict[str, list[Arrival]]:
    """Ten times the rounds of the small model, twice of each large one."""
    models = {"small": small, "many weights": many_weights, "many trees": many_trees}
    counts = {"small": 10 * rounds, "many weights": 2 * rounds, "many trees": 2 * rounds}
    with ExitStack() as stack:
        kafka = stack.enter_context(LocalKafka())
        create(settings_of("HoeffdingTree", bootstrap=kafka.bootstrap))
        found = {}
        for name, made in models.items():
            model = made()
            gc.freeze()  # a full collection of the large ones takes .7 s, and they are not the follower's
            announcing = Announcing(name.replace(" ", "-"), model, bootstrap=kafka.bootstrap)
            found[name] = announcing.arrivals(counts[name])
    return found


class Announcing:
    """Announces versions of one model, and waits for each at a follower."""

    def __init__(self, name: str, model: Any, *, bootstrap: str) -> None:
        self.settings = settings_of("HoeffdingTree", bootstrap=bootstrap, name=name)
        self.model, self.data = model, statetree.encode(model)
        self.sink = KafkaSink(producer(self.settings.kafka))
        self.announcer = Announcer(self.settings, scope="global", sink=self.sink, clock=SystemClock())

    def arrivals(self, count: int) -> list[Arrival]:
        """So many; the first one, for which the follower is new, is not among them."""
        pauses, settings = random.Random(1), self.settings
        topic, found = settings.topics.name("updates"), []
        with follow(settings.name, kafka=settings.kafka, topic=topic) as follower:
            for version in range(1, count + 2):
                began_s = time.perf_counter()
                update = self.announcer.prepare(self._promotion(version), epoch=1, seq=version, **ABOUT)
                if version == 1:
                    self._say(topic, update)
                    follower.wait(timeout_s=120)
                    unpacking_s = self._unpacking_s(update)
                    continue
                sent_s = time.perf_counter()
                self._say(topic, update)
                follower.wait(version=version, timeout_s=120)
                seconds = time.perf_counter() - sent_s
                found.append(Arrival(seconds, sent_s - began_s, unpacking_s, update.pointer.size_bytes / 1e6))
                self.announcer.tidy()
                time.sleep(pauses.uniform(0.05, 0.25))  # not in step with the follower's polls
        return found

    def _say(self, topic: str, update: Any) -> None:
        self.sink.send(topic, key=update_key(update), value=encode(update))
        self.sink.flush()

    def _unpacking_s(self, update: Any) -> float:
        data = fetch(self.settings.kafka, update)
        began_s = time.perf_counter()
        unpack(data, sha256=update.pointer.sha256)
        return time.perf_counter() - began_s

    def _promotion(self, version: int) -> Promotion:
        return Promotion(
            kind="refresh", version=version, event_number=version, partition=0, offset=version,
            event_ts=time.time(), member="first", model=self.model, data=self.data,
            trained_on=TrainedOn(), reason="measured", scores={}, canary=tuple(rows(20, seed=3)),
        )  # fmt: skip


def rows(count: int, *, seed: int) -> list[dict[str, object]]:
    """Three floats each."""
    rng = random.Random(seed)
    return [{name: rng.gauss(0, 1) for name in FEATURES} for _ in range(count)]


def _learned(model: Any, count: int) -> Any:
    rng = random.Random(1)
    for x in rows(count, seed=1):
        model.learn_one(x, rng.random() < 0.5)
    return model


def small() -> Any:
    """Some kilobytes."""
    return _learned(preprocessing.StandardScaler() | linear_model.LogisticRegression(), 2_000)


def many_weights() -> Any:
    """A linear model of very many words."""
    model = _learned(linear_model.LogisticRegression(), 100)
    model.learn_one({f"word-{number}": 1.0 for number in range(WEIGHTS_BYTES // 22)}, True)
    return model


def many_trees() -> Any:
    """An ensemble of trees that noise has made grow; all alike, which the bytes do not show."""
    one = _learned(tree.HoeffdingTreeClassifier(grace_period=20, delta=0.5, tau=0.9), 4_000)
    count = TREES_BYTES // len(statetree.encode(one)) + 1
    return ensemble.VotingClassifier([copy.deepcopy(one) for _ in range(count)])

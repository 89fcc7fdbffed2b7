"""What must not go live, and what must come back: whole loops in memory and on a real Kafka, with real models."""

import random
import uuid
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from river import base, tree

from anabranch.kafka import producer
from anabranch.messages import ModelUpdate, Transition
from config.loading import build
from config.settings import Settings
from consumers.jobs import InlineRunner
from consumers.kafka.reader import KafkaLogReader
from consumers.kafka.sink import KafkaSink
from consumers.kafka.source import KafkaSource
from consumers.kafka.topics import create
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from consumers.telling import Ports
from consumers.timing import SystemClock
from learners.retraining import Job, JobResult
from support.loops import first_of, log_of, ports_on

TREE = {"steps": [{"use": "tree.HoeffdingTreeClassifier"}]}
FAMILIES = [
    {"name": "majority", "steps": [{"use": "dummy.PriorClassifier"}]},
    {"name": "linear", "steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}]},
    {"name": "perceptron", "steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.Perceptron"}]},
]


class Flipped(tree.HoeffdingTreeClassifier):
    """A tree that learns the opposite of every label."""

    def learn_one(self, x: dict[str, Any], y: Any, *, w: float = 1.0) -> None:
        """The opposite."""
        super().learn_one(x, not y, w=w)


class Spoiled(tree.HoeffdingTreeClassifier):
    """A tree that learns the truth, and from a day on the opposite: its feature `day` tells."""

    def learn_one(self, x: dict[str, Any], y: Any, *, w: float = 1.0) -> None:
        """The truth, until it is spoiled."""
        super().learn_one(x, y, w=w)

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        """Spoiled answers are the opposite."""
        proba = super().predict_proba_one(x)
        if x["day"] < 3.0:
            return proba
        return {label: 1 - p for label, p in proba.items()}


class Plants(InlineRunner):
    """Hands over models of this class, trained as the job says, in place of the recruits."""

    def __init__(self, *arguments: Any, planted: type[base.Classifier], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.planted = planted

    def submit(self, job: Job) -> None:
        """Train the planted ones."""
        super().submit(job)
        at, result = self.waiting.pop()
        self.waiting.append((at, JobResult(result.job_id, tuple(self.planted() for _ in result.models))))


def stream(events: int, *, change: int, rng: random.Random) -> Iterator[bytes]:
    """Two numbers and the day; the label is about the one number, and from the change on about the other."""
    for n in range(events):
        a, b = rng.random(), rng.random()
        y = (a if n < change else b) > 0.5
        yield orjson.dumps(
            {"id": f"e{n}", "ts": 1.6e9, "features": {"a": a, "b": b, "day": float(n // 2000)}, "label": y}
        )


def table(**more: Any) -> dict[str, Any]:
    """A quick configuration."""
    trusted = [f"{__name__}:Flipped", f"{__name__}:Spoiled"]
    return {
        "name": "m",
        "task": "binary",
        "model": {**TREE, "trusted": trusted},
        "checkpoint": {"every_events": 5000},
        **more,
    }


def run(
    values: Iterator[bytes],
    settings_table: dict[str, Any],
    *,
    planted: type[base.Classifier] | None = None,
    kafka: Any = None,
) -> list[Any]:
    """The loop over these events, to the end, on a log in memory or on a broker; everything that it says."""
    said: list[Any] = []
    settings = on(kafka, settings_table) if kafka else build(settings_table)
    ports = ports_on_kafka(settings, values) if kafka else ports_on(log_of(values), settings)
    if planted is not None:
        reader = KafkaLogReader(settings) if kafka else ports.source
        ports.runners = lambda scope: Plants(settings, reader=reader, planted=planted)
    LearningLoop(settings, first=first_of(settings), ports=ports, listener=said.append).run(until_end=True)
    return said


def on(kafka: Any, settings_table: dict[str, Any]) -> Settings:
    """The settings with a broker, and topics of their own."""
    topics = {"prefix": f"proof-{uuid.uuid4().hex[:8]}-", "partitions": 1}
    name = f"m-{uuid.uuid4().hex[:8]}"
    return build({**settings_table, "name": name, "topics": topics, "kafka": {"bootstrap.servers": kafka.bootstrap}})


def ports_on_kafka(settings: Settings, values: Iterator[bytes]) -> Ports:
    """Topics that hold the events."""
    create(settings)
    publisher, store = Producer(producer(settings.kafka)), MemoryStore()
    for value in values:
        publisher.produce(settings.topics.name("events"), value)
    assert not publisher.flush(30)
    return Ports(
        source=KafkaSource(settings),
        sink=KafkaSink(producer(settings.kafka)),
        stores=lambda scope: store,
        runners=lambda scope: InlineRunner(settings, reader=KafkaLogReader(settings)),
        clock=SystemClock(),
    )


def updates(said: list[Any]) -> list[ModelUpdate]:
    """Swaps and rollbacks."""
    return [each for each in said if isinstance(each, ModelUpdate) and each.kind in ("swap", "rollback")]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Any:
    """Where the log lies: in memory, or on a real Kafka."""
    return request.getfixturevalue("kafka") if request.param == "kafka" else None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_recruit_with_flipped_labels_never_goes_live(seed: int, broker: Any) -> None:
    """It enters after each trigger, learns on live events, loses, and leaves."""
    settings = table(retrain={"recruits": [{"on": "last", "events": 500}]}, arena={"contest_events": 2000})
    said = run(stream(6000, change=3000, rng=random.Random(seed)), settings, planted=Flipped, kafka=broker)
    steps = [each for each in said if isinstance(each, Transition)]
    assert any(step.before == "recruiting" and step.after == "arena" for step in steps)
    assert updates(said) == []


def test_a_champion_that_turns_bad_is_rolled_back(broker: Any) -> None:
    """A recruit that wins, and is spoiled within its probation, gives way to the version before."""
    settings = table(
        retrain={"recruits": [{"on": "last", "events": 500}], "library_max": 0}, arena={"probation_events": 3000}
    )
    said = run(stream(9000, change=5000, rng=random.Random(1)), settings, planted=Spoiled, kafka=broker)
    swap, rollback = [each for each in updates(said) if each.event_number > 5000][:2]
    assert (swap.kind, rollback.kind) == ("swap", "rollback")
    assert rollback.restores == swap.displaced_version
    assert 6000 < rollback.event_number < 6400


def coin_flips(seed: int, events: int, *, false_swap_every: float) -> int:
    """Swaps where nobody can predict the label, with three shadows of other families beside naive Bayes."""
    rng = random.Random(seed)
    values = (
        orjson.dumps(
            {
                "id": f"e{n}",
                "ts": 1.6e9,
                "features": {"a": rng.random(), "b": rng.random()},
                "label": rng.random() < 0.5,
            }
        )
        for n in range(events)
    )
    model = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
    settings = table(model=model, shadows={"standing": FAMILIES}, arena={"false_swap_every": false_swap_every})
    return len(updates(run(values, settings)))


def test_coin_flips_swap_nobody() -> None:
    """Four seeds of 2,500 events, as shipped: no swap."""
    assert [coin_flips(seed, 2500, false_swap_every=10_000) for seed in range(4)] == [0] * 4


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "false_swap_every", "allowed"), [(5, 80_000, 1), (3, 10_000, 4)])
def test_coin_flips_swap_no_oftener_than_is_promised(seeds: int, false_swap_every: float, allowed: int) -> None:
    """Seeds × 16,000 events: once where `false_swap_every` is as many, and as shipped, with 10,000, 4 times at most."""
    assert sum(coin_flips(seed, 16_000, false_swap_every=false_swap_every) for seed in range(seeds)) <= allowed

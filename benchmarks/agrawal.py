"""What the benchmarks share: a pre-encoded Agrawal stream, in a file and on a real broker, and the models on it."""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer
from river.datasets import synth

from anabranch.events import Record
from anabranch.kafka import producer
from anabranch.messages import TrainedOn
from commands.brokers.local import LocalKafka
from config.loading import build
from config.settings import Settings
from consumers.jobs.executors import Runners
from consumers.kafka.sink import KafkaSink
from consumers.kafka.source import KafkaSource
from consumers.kafka.topics import create
from consumers.loop import LearningLoop
from consumers.stores import CheckpointStore
from consumers.stores.files import FolderBlobs
from consumers.telling import Ports
from consumers.timing import SystemClock
from learners.models import catalogue

MODELS = {
    "HoeffdingTree": [{"use": "tree.HoeffdingTreeClassifier"}],
    "StandardScaler|LogisticRegression": [
        {"use": "preprocessing.StandardScaler"},
        {"use": "linear_model.LogisticRegression"},
    ],
    "ARF10": [{"use": "forest.ARFClassifier", "n_models": 10}],
}

QUICK = ("HoeffdingTree", "StandardScaler|LogisticRegression")
"""Models that take little time themselves: what is around them shows."""


def agrawal(events: int) -> Iterator[bytes]:
    """The encoded stream."""
    for number, (x, y) in enumerate(itertools.islice(synth.Agrawal(seed=42), events)):
        yield orjson.dumps({"id": f"agrawal-{number}", "ts": 1.6e9 + number / 1000, "features": x, "label": y})


def filled_kafka(stack: ExitStack, data: Path) -> str:
    """A real broker with the stream on one partition of its events topic."""
    broker = stack.enter_context(LocalKafka())
    settings = settings_of("HoeffdingTree", bootstrap=broker.bootstrap)
    create(settings)
    publisher = Producer(producer(settings.kafka))
    for value in data.read_bytes().splitlines():
        while True:
            try:
                publisher.produce("events", value, partition=0)
                break
            except BufferError:
                publisher.poll(0.1)
    publisher.flush()
    return broker.bootstrap


def settings_of(model: str, *, bootstrap: str = "", name: str = "bench", **more: Any) -> Settings:
    """Everything on that costs something on every event; `more` are further tables."""
    return build(
        {
            "name": name,
            "task": "binary",
            "model": {"steps": MODELS[model]},
            "scores": {"metrics": ["Accuracy", "F1", "LogLoss"]},
            # At work on every event, and never fired: retraining and shadows are work of their own.
            "detectors": {
                "adwin": {"use": "drift.ADWIN", "delta": 1e-12},
                "page_hinkley": {"use": "drift.PageHinkley", "threshold": 1e9, "delta": 0.02, "alpha": 1.0},
            },
            "kafka": {"bootstrap.servers": bootstrap} if bootstrap else {},
            **more,
        }
    )


def learning_loop(settings: Settings, *, source: KafkaSource, folder: Path) -> LearningLoop:
    """The loop of production on a real Kafka, with its checkpoints in a folder."""
    clock = SystemClock()
    return LearningLoop(
        settings,
        first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()),
        ports=Ports(
            source=source,
            sink=KafkaSink(producer(settings.kafka)),
            stores=lambda scope: CheckpointStore(FolderBlobs(folder), keep=2),
            runners=Runners(settings, clock=clock),
            clock=clock,
        ),
    )


class TimedSource(KafkaSource):
    """Notes when the first record came and when all were learned: joining and leaving the group are not the work."""

    began_s = ended_s = cpu_s = 0.0

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        records = super().poll(max_records, timeout_s=timeout_s)
        if records and not self.began_s:
            self.began_s, self.cpu_s = time.perf_counter(), -time.process_time()
        return records

    def at_end(self) -> bool:
        """Whether all is read."""
        ended = super().at_end()
        if ended:
            self.ended_s = time.perf_counter()
            self.cpu_s += time.process_time() if self.cpu_s < 0 else 0.0
        return ended

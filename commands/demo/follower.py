"""The demo's scoring service, which scores events by the champion that it follows; and how the demo reads topics.

It answers over HTTP as well. Its standard output, lines of JSON: its port, the first prediction with each version, and
once a second how far it is.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
from confluent_kafka import TopicPartition

from anabranch.events import Partition
from anabranch.follower import Follower
from anabranch.kafka import at, consumer, partitions, producer, reader
from anabranch.messages import DeadLetter, DriftSignal, Message, ModelReport, ModelUpdate, decode
from commands.demo.stream import EXAMPLE
from config import loading
from config.settings import Settings
from consumers.kafka.sink import KafkaSink
from evaluation.backtest import LabelValue
from serving import server as scoring
from serving.application import application
from serving.models import Models

BATCH_MAX = 100
SAY_EVERY_S = 1.0


class Scorer:
    """Scores each event with the newest champion, and says when a version was first used."""

    def __init__(self, model: Follower) -> None:
        self.model = model
        self.features = EXAMPLE
        """Of the last good event."""
        self.used: set[int] = set()
        self.scored = 0
        self.said_at_s = 0.0

    def score(self, value: bytes | None) -> None:
        """Score one record, if there is a model yet and the record is a good event."""
        features = features_of(value)
        if features is None or self.model.version is None:
            return
        self.features = features
        self._predict()
        self.scored += 1

    def try_new_version(self) -> None:
        """Score the last event again by a version that has not been used: where the learner is behind, none comes."""
        if self.model.version not in {None, *self.used}:
            self._predict()

    def _predict(self) -> None:
        version = self.model.version
        self.model.predict_proba_one(self.features)
        if version is not None and version not in self.used:
            self.used.add(version)
            _say(version=version, first_prediction_ts=time.time())

    def say(self) -> None:
        """How far it is, now and then."""
        if time.monotonic() - self.said_at_s >= SAY_EVERY_S:
            self.said_at_s = time.monotonic()
            _say(scored=self.scored)


def features_of(value: bytes | None) -> dict[str, float] | None:
    """The features of an event, None for a bad record."""
    try:
        features: dict[str, float] = orjson.loads(value or b"")["features"]
    except (orjson.JSONDecodeError, KeyError):
        return None
    return features if all(type(each) is float for each in features.values()) else None


def _say(**what: float) -> None:
    print(orjson.dumps(what).decode(), flush=True)


def main(config: Path) -> None:
    """Score until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings = loading.load(config)
    topics = settings.topics
    events = consumer(reader(settings.kafka))
    # The demo publishes on partition 0 alone, so that its events keep their order; the embedded broker makes four.
    events.assign(at({Partition(topics.name("events"), 0): 0}))
    served = scoring.served(settings)
    # Over HTTP it answers by the same follower.
    with scoring.in_a_thread(application(Models([served]), settings.score)) as port:
        scorer = Scorer(served.follower)
        _say(port=port)
        while not stopping.is_set():
            for message in events.consume(BATCH_MAX, timeout=0.05):
                if message.error() is None:
                    scorer.score(message.value())
            scorer.try_new_version()
            scorer.say()
    events.close()


# ── What the learner says, read from its topics as anybody would; and the events on their way to it ─────────────────

_KINDS: dict[str, type[Message]] = {
    "updates": ModelUpdate,
    "signals": DriftSignal,
    "reports": ModelReport,
    "dead_letters": DeadLetter,
}
_BATCH_MAX = 1000


class TopicsListener:
    """Everything on the learner's topics, from their beginning; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.kinds = {settings.topics.name(which): kind for which, kind in _KINDS.items()}
        # Unlike a learner, the view goes on where the embedded broker has dropped the beginning of a topic.
        self.consumer = consumer({**reader(settings.kafka), "auto.offset.reset": "earliest"})
        self.consumer.assign(
            [TopicPartition(topic, each, 0) for topic in self.kinds for each in partitions(settings.kafka, topic)]
        )

    def messages(self, *, timeout_s: float) -> Iterator[Message]:
        """What came within the time."""
        for record in self.consumer.consume(_BATCH_MAX, timeout=timeout_s):
            if record.error() is None:
                yield decode(self.kinds[record.topic() or ""], record.value() or b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.consumer.close()


class PacedEvents:
    """Publishes records on partition 0, no faster than `rate` a second and never too far ahead of the learner.

    The embedded broker keeps 5 MB a partition: a learner that fell behind by more would find a hole.
    """

    AHEAD_MAX = 10_000

    def __init__(self, settings: Settings, values: Iterable[bytes | LabelValue], *, rate: float) -> None:
        self.topic, self.labels = settings.topics.name("events"), settings.topics.name("labels")
        # Compressed, since the embedded broker keeps 5 MB a partition: so many more records fit.
        # Without a log: at the end the broker goes first, which is no news. Failures come with the acknowledgements.
        self.sink = KafkaSink(producer({**settings.kafka, "compression.type": "lz4", "log_level": 0}))
        self.values = iter(values)
        self.rate = rate
        self.began_s: float | None = None
        self.sent = 0

    def send_due(self, now_s: float, *, learned: int) -> None:
        """Publish what is due by now; labels when the event before which they come is."""
        self.began_s = now_s if self.began_s is None else self.began_s
        due = min(round((now_s - self.began_s) * self.rate), learned + self.AHEAD_MAX)
        while self.sent < due:
            value = next(self.values, None)
            if value is None:
                return
            if isinstance(value, bytes):
                self.sink.send(self.topic, key="", value=value, partition=0)
                self.sent += 1
            else:
                self.sink.send(self.labels, key="", value=value.value, partition=0)
        self.sink.producer.poll(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

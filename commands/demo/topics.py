"""What the learner says, read from its topics as anybody would; and the events on their way to it."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from confluent_kafka import TopicPartition

from anabranch.kafka.clients import consumer, partitions, producer, reader
from anabranch.messages import DeadLetter, DriftSignal, Message, ModelReport, ModelUpdate, decode
from config.settings import Settings
from consumers.kafka.outlet import KafkaOutlet

_KINDS: dict[str, type[Message]] = {
    "updates": ModelUpdate,
    "signals": DriftSignal,
    "reports": ModelReport,
    "dead_letters": DeadLetter,
}
_BATCH_MAX = 1000


class Hearing:
    """Everything on the learner's topics, from their beginning; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.kinds = {settings.topics.name(which): kind for which, kind in _KINDS.items()}
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

    def __init__(self, settings: Settings, values: Iterable[bytes], *, rate: float) -> None:
        self.topic = settings.topics.name("events")
        # Without a log: at the end the broker goes first, which is no news. Failures come with the acknowledgements.
        self.outlet = KafkaOutlet(producer({**settings.kafka, "compression.type": "lz4", "log_level": 0}))
        self.values = iter(values)
        self.rate = rate
        self.began_s: float | None = None
        self.sent = 0

    def send_due(self, now_s: float, *, learned: int) -> None:
        """Publish what is due by now."""
        self.began_s = now_s if self.began_s is None else self.began_s
        due = min(round((now_s - self.began_s) * self.rate), learned + self.AHEAD_MAX)
        while self.sent < due:
            value = next(self.values, None)
            if value is None:
                return
            self.outlet.send(self.topic, key="", value=value, partition=0)
            self.sent += 1
        self.outlet.producer.poll(0)

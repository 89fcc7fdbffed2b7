"""Reads topics as they grow, all partitions, outside any group."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, Message, TopicPartition

from anabranch.errors import KafkaUnavailable
from anabranch.kafka import QUIET, SLICE_S, TIMEOUT_S, Kafka, batch, consumer, partitions, reader
from anabranch.kafka.faults import with_words
from anabranch.messages import UnreadableMessage, decode
from anabranch.messages.codec import M

_BATCH_MAX = 100


class Tail:
    """The records of some topics, in no order across partitions; a context manager.

    Args:
        kafka: librdkafka's settings.
        start: "earliest", or "latest": only what is yet to come.
        timeout_s: how long to wait for a broker's first answer.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """

    def __init__(
        self, kafka: Kafka, topics: Sequence[str], *, start: str = "earliest", timeout_s: float = TIMEOUT_S
    ) -> None:
        self.topics = ", ".join(topics)
        every = [(topic, each) for topic in topics for each in partitions(kafka, topic, timeout_s=timeout_s)]
        self.unread = set(every)
        self.consumer = consumer({**reader(kafka), "auto.offset.reset": start, "enable.partition.eof": True})
        first = OFFSET_BEGINNING if start == "earliest" else OFFSET_END
        self.consumer.assign([TopicPartition(topic, partition, first) for topic, partition in every])

    @property
    def caught_up(self) -> bool:
        """Whether everything that was there at the start has been given."""
        return not self.unread

    def poll(self, timeout_s: float) -> list[Message]:
        """What has come.

        Raises:
            KafkaUnavailable: a topic is gone.
        """
        found = []
        for message in batch(self.consumer, _BATCH_MAX, timeout_s=timeout_s):
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self.unread.discard((message.topic() or "", message.partition() or 0))
            elif error.code() not in QUIET and not error.retriable():
                raise KafkaUnavailable(with_words(f"{self.topics}: {error.str()}"))
        return found

    def until_caught_up(self) -> Iterator[Message]:
        """Everything that is there now.

        Raises:
            KafkaUnavailable: nothing came for a while, or a topic is gone.
        """
        heard_s = time.monotonic()
        while not self.caught_up:
            found = self.poll(SLICE_S)
            if found:
                heard_s = time.monotonic()
            # The poll may have brought no record, but the last partition's end.
            elif time.monotonic() - heard_s > TIMEOUT_S and not self.caught_up:
                raise KafkaUnavailable(with_words(f"no record of {self.topics} came for {TIMEOUT_S:.0f} s"))
            yield from found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.consumer.close()


def told(kafka: Kafka, topic: str, kind: type[M], *, key: str = "") -> Iterator[tuple[Message, M]]:
    """All messages of a kind that are on a topic now, each with its record; what cannot be read is passed over.

    Args:
        key: how their keys begin; others are not even decoded.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    with Tail(kafka, [topic]) as tail:
        for message in tail.until_caught_up():
            if bytes(message.key() or b"").startswith(key.encode()):
                with suppress(UnreadableMessage):
                    yield message, decode(kind, bytes(message.value() or b""))

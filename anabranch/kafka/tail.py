"""Reads topics as they grow, all partitions, outside any group."""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, Message, TopicPartition

from anabranch.errors import KafkaUnavailable
from anabranch.kafka import SLICE_S, TIMEOUT_S, Kafka, batch, consumer, partitions, reader
from anabranch.kafka.faults import with_words

QUIET = (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
"""What comes instead of a record and is no fault, or mends by itself."""

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


# ── The learned order, and the events that it names ─────────────────────────────────────────────────────────────────

BEFORE_S = 60.0
"""Clocks of brokers and learners differ, and a message of the order is older than the announcement after it."""


class OrderTail(Tail):
    """The learned order of a model and the records that are asked for, as they come; a context manager.

    Args:
        topic: of the order.
        since_s: epoch seconds from which on it is read.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """

    def __init__(self, kafka: Kafka, *, topic: str, since_s: float, timeout_s: float = TIMEOUT_S) -> None:
        self.topics, self.unread = topic, set()
        every = partitions(kafka, topic, timeout_s=timeout_s)
        self.consumer = consumer({**reader(kafka), "auto.offset.reset": "earliest"})
        self.assigned: set[tuple[str, int]] = set()
        since_ms = int(1000 * max(0.0, since_s - BEFORE_S))
        try:
            starts = self.consumer.offsets_for_times(
                [TopicPartition(topic, each, since_ms) for each in every], timeout=timeout_s
            )
        except KafkaException as error:
            self.consumer.close()
            raise KafkaUnavailable(f"{topic}: {error.args[0].str()}") from error
        self.consumer.assign(starts)

    def want(self, starts: Mapping[tuple[str, int], int]) -> None:
        """Read these partitions too, from these offsets on; those that are read already go on as they are."""
        added = [place for place in starts if place not in self.assigned]
        if added:
            self.consumer.incremental_assign([TopicPartition(*place, starts[place]) for place in added])
            self.assigned |= set(added)

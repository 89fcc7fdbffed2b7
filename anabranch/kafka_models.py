"""Published models on Kafka: the updates of a model, and the bytes that an update points to."""

import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, Message

from anabranch import codec
from anabranch.artifact import chunk_key
from anabranch.codec import UnreadableMessage
from anabranch.errors import ArtifactError, KafkaUnavailable
from anabranch.kafka_clients import TIMEOUT_S, Kafka, at, batch, reader
from anabranch.kafka_tail import QUIET, Tail
from anabranch.messages import ModelUpdate

log = logging.getLogger("anabranch.models")

FOLLOWED_TIMEOUT_S = 5.0


class Updates:
    """Reads the updates of one model from the beginning of the topic, all partitions, for as long as it is asked.

    Args:
        kafka: librdkafka's settings.
        topic: the topic of the updates.
        model: only updates of this model are given.
        timeout_s: how long to wait for a broker's first answer. A follower asks again, and can be stopped in between.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """

    def __init__(
        self, kafka: Kafka, *, topic: str, model: str, scope: str = "global", timeout_s: float = FOLLOWED_TIMEOUT_S
    ) -> None:
        self.model = model
        self.scope = scope
        self.unreadable = ""
        """What is wrong with the last record that could not be read; passed over, or it would stop all readers."""
        self.tail = Tail(kafka, [topic], timeout_s=timeout_s)

    @property
    def caught_up(self) -> bool:
        """Whether everything that was there at the start has been given."""
        return self.tail.caught_up

    def poll(self, timeout_s: float) -> list[ModelUpdate]:
        """The updates that came, in no order across partitions: sort by (epoch, seq).

        Raises:
            KafkaUnavailable: the topic is gone.
        """
        return [update for message in self.tail.poll(timeout_s) for update in self._mine(message)]

    def until_caught_up(self) -> Iterator[ModelUpdate]:
        """The updates that are there now.

        Raises:
            KafkaUnavailable: nothing came for a while, or the topic is gone.
        """
        for message in self.tail.until_caught_up():
            yield from self._mine(message)

    def _mine(self, message: Message) -> list[ModelUpdate]:
        key, value = message.key() or b"", message.value()
        if value is None or not bytes(key).startswith(f"{self.model}/{self.scope}/".encode()):
            return []  # a tombstone, or another model's
        try:
            return [codec.decode(ModelUpdate, bytes(value))]
        except UnreadableMessage as error:
            self.unreadable = f"{message.topic()} partition {message.partition()} offset {message.offset()}: {error}"
            log.warning("passed over: %s", self.unreadable)
            return []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tail.__exit__(kind, error, trace)


def all_updates(kafka: Kafka, *, topic: str, model: str, scope: str = "global") -> list[ModelUpdate]:
    """What has been announced of a model so far, oldest first."""
    with Updates(kafka, topic=topic, model=model, scope=scope, timeout_s=TIMEOUT_S) as updates:
        found = list(updates.until_caught_up())
    return sorted(found, key=order)


def announced(kafka: Kafka, *, topic: str) -> set[tuple[str, str]]:
    """The models that have updates on a topic: name and scope of each.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    with Tail(kafka, [topic]) as tail:
        keys = [bytes(message.key() or b"").decode(errors="replace") for message in tail.until_caught_up()]
    return {(key.split("/")[0], key.split("/")[1]) for key in keys if key.count("/") == 2}


def order(update: ModelUpdate) -> tuple[int, int]:
    """What updates are ordered by."""
    return update.epoch, update.seq


def fetch(kafka: Kafka, update: ModelUpdate) -> bytes:
    """The bytes of an announced model. (Whether they are right, `artifact.unpack` says.)

    Raises:
        ArtifactError: chunks are missing.
        KafkaUnavailable: none came in time.
    """
    pointer = update.artifact
    wanted = chunk_key(update.model, update.scope, update.version, sha256=pointer.sha256)
    found: dict[int, bytes] = {}
    consumer = Consumer(reader(kafka))
    try:
        consumer.assign(at(pointer.topic, {pointer.partition: pointer.first_offset}))
        for key, value in _until(consumer, pointer.last_offset):
            if key.startswith(wanted):
                found[int(key.removeprefix(wanted))] = value
    finally:
        consumer.close()
    if len(found) != pointer.chunks:
        raise ArtifactError(f"{len(found)} of {pointer.chunks} chunks are on {pointer.topic}")
    return b"".join(found[number] for number in range(pointer.chunks))


def _until(consumer: Consumer, last_offset: int) -> Iterator[tuple[str, bytes]]:
    """Keys and values up to `last_offset`."""
    while True:
        messages = batch(consumer, 100, timeout_s=TIMEOUT_S)
        if not messages:
            raise KafkaUnavailable(f"no chunk of the model came for {TIMEOUT_S:.0f} s")
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() in QUIET or error.retriable():
                    continue
                raise ArtifactError(f"its chunks cannot be read: {error.str()}")
            offset = message.offset() or 0
            if offset <= last_offset:
                yield bytes(message.key() or b"").decode(), bytes(message.value() or b"")
            if offset >= last_offset:
                return

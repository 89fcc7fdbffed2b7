"""The settings of every librdkafka client that Anabranch makes, and what their errors mean."""

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, MemberDescription

from anabranch.errors import KafkaUnavailable
from anabranch.kafka_log import KAFKA_LOG

Kafka = Mapping[str, Any]
"""The `[kafka]` table: librdkafka's own names."""

DEFAULT_BOOTSTRAP = "localhost:9092"
TIMEOUT_S = 15.0
SLICE_S = 1.0
"""While librdkafka waits, no signal is heard: what may wait for long waits in slices."""

LOST = frozenset(
    {
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._FENCED,
        KafkaError._FATAL,  # how an idle consumer is told of either
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)
"""Answers that mean: this process owns the partitions no longer."""


_CONSUMER_ONLY = frozenset(
    {
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "queued.min.messages",
        "queued.max.messages.kbytes",
        "group.instance.id",
    }
)
_PRODUCER_ONLY = frozenset({"compression.type", "linger.ms", "batch.size", "acks", "message.timeout.ms"})


def common(kafka: Kafka) -> dict[str, Any]:
    """What all clients share: the user's own settings before ours, and quiet logs."""
    return {
        "bootstrap.servers": DEFAULT_BOOTSTRAP,
        "log_level": 3,
        "log.connection.close": False,
        "logger": KAFKA_LOG,
        # A broker that is away is asked for often enough to be found soon, and not twenty times a second.
        "reconnect.backoff.ms": 250,
        "reconnect.backoff.max.ms": 3000,
        **kafka,
    }


def reader(kafka: Kafka) -> dict[str, Any]:
    """Settings of a consumer outside any group, which never commits."""
    return {
        **_without(common(kafka), _PRODUCER_ONLY),
        "group.id": "anabranch-reader",  # librdkafka wants one; nothing joins it
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
    }


def owner(kafka: Kafka, *, model: str) -> dict[str, Any]:
    """Settings of the one consumer that owns a global model.

    The group's instance id is the same for every process of the model, so that a newcomer takes over at once and the
    broker fences the one before it.
    """
    return {**sharer(kafka, model=model, assignment="range"), "group.instance.id": f"anabranch-{model}"}


def sharer(kafka: Kafka, *, model: str, assignment: str) -> dict[str, Any]:
    """Settings of a consumer that shares the partitions with others.

    Args:
        assignment: librdkafka's name of the strategy.
    """
    return {
        **reader(kafka),
        "group.id": f"anabranch-{model}",
        "group.protocol": "classic",
        "partition.assignment.strategy": assignment,
        "enable.partition.eof": True,
    }


def producer(kafka: Kafka) -> dict[str, Any]:
    """Settings of a producer: idempotent, so that a retry neither doubles nor reorders."""
    shared = _without(common(kafka), _CONSUMER_ONLY)
    return {"linger.ms": 5, "message.timeout.ms": 60_000, **shared, "enable.idempotence": True}


def _without(settings: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


def partitions(kafka: Kafka, topic: str, *, timeout_s: float = TIMEOUT_S) -> list[int]:
    """The partitions of a topic.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    listed = reach(kafka, topic, timeout_s=timeout_s).topics[topic]
    if listed.error is not None:
        raise KafkaUnavailable(f"topic {topic!r}: {listed.error.str()}; create it with `anabranch topics create`")
    return sorted(listed.partitions)


def reach(kafka: Kafka, topic: str | None = None, *, timeout_s: float = TIMEOUT_S) -> ClusterMetadata:
    """What the first broker that answers knows: of a topic, or of all.

    Raises:
        KafkaUnavailable: none answers.
    """
    client, ends_s = admin(kafka), time.monotonic() + timeout_s
    while True:
        left_s = ends_s - time.monotonic()
        try:
            return client.list_topics(topic, timeout=max(0.1, min(SLICE_S, left_s)))
        except KafkaException as error:
            if left_s <= SLICE_S:
                raise KafkaUnavailable(
                    f"no answer from {common(kafka)['bootstrap.servers']}: {error.args[0].str()}; "
                    "check `bootstrap.servers` under [kafka], and that a broker runs there"
                ) from error


def members(kafka: Kafka, group: str, *, timeout_s: float = TIMEOUT_S) -> list[MemberDescription]:
    """The members of a consumer group, as its broker knows them.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    client = admin(kafka)
    try:
        described = client.describe_consumer_groups([group], request_timeout=timeout_s)[group].result()
    except KafkaException as error:
        raise KafkaUnavailable(f"group {group}: {error.args[0].str()}") from error
    return list(described.members)


def admin(kafka: Kafka) -> AdminClient:
    """A client that asks and tells the brokers about topics and groups."""
    return AdminClient(_without(common(kafka), _CONSUMER_ONLY | _PRODUCER_ONLY))


def at(topic: str, positions: dict[int, int], metadata: str = "") -> list[TopicPartition]:
    """Positions in librdkafka's words."""
    return [
        TopicPartition(topic, partition, offset, metadata) if metadata else TopicPartition(topic, partition, offset)
        for partition, offset in sorted(positions.items())
    ]


def batch(consumer: Consumer, max_messages: int, *, timeout_s: float) -> list[Message]:
    """What is there, or the first that comes: `Consumer.consume` alone would wait for the batch to fill."""
    messages = consumer.consume(max_messages, timeout=0)
    if messages:
        return messages
    first = consumer.poll(timeout_s)
    return [] if first is None else [first]

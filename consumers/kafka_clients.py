"""The settings of every librdkafka client that Anabranch makes, and what their errors mean."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from anabranch.errors import KafkaUnavailable
from anabranch.settings import Settings

TIMEOUT_S = 15.0

LOST = frozenset(
    {
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._FENCED,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)
"""Answers that mean: another process owns the partitions now."""


def common(settings: Settings) -> dict[str, Any]:
    """What producers and consumers share: the user's own settings, and quiet logs."""
    return {"bootstrap.servers": "localhost:9092", "log.connection.close": False, **settings.kafka}


def reader(settings: Settings) -> dict[str, Any]:
    """Settings of a consumer outside any group, which never commits."""
    return {
        **common(settings),
        "group.id": f"anabranch-{settings.name}-reader",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": False,
    }


def member(settings: Settings) -> dict[str, Any]:
    """Settings of the one consumer that owns a global model.

    The group's instance id is the same for every process of the model, so that a newcomer takes over at once and the
    broker fences the one before it.
    """
    group = f"anabranch-{settings.name}"
    return {
        **reader(settings),
        "group.id": group,
        "group.instance.id": group,
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",
    }


def producer(settings: Settings) -> dict[str, Any]:
    """Settings of the producer."""
    consumer_only = {
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "fetch.min.bytes",
        "fetch.wait.max.ms",
        "queued.min.messages",
        "queued.max.messages.kbytes",
    }
    shared = {key: value for key, value in common(settings).items() if key not in consumer_only}
    return {**shared, "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 60_000}


def partitions(settings: Settings, topic: str) -> list[int]:
    """The partitions of a topic.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    admin = AdminClient(common(settings))
    try:
        listed = admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise KafkaUnavailable(
            f"no answer from {common(settings)['bootstrap.servers']}: {error.args[0].str()}; "
            "check `bootstrap.servers` under [kafka]"
        ) from error
    if listed.error is not None:
        raise KafkaUnavailable(f"topic {topic!r}: {listed.error.str()}; create it with `anabranch topics create`")
    return sorted(listed.partitions)


def at(topic: str, positions: dict[int, int], metadata: str = "") -> list[TopicPartition]:
    """Positions in librdkafka's words."""
    return [
        TopicPartition(topic, partition, offset, metadata) if metadata else TopicPartition(topic, partition, offset)
        for partition, offset in sorted(positions.items())
    ]

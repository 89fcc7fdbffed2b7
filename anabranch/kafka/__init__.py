"""Kafka as followers and learners need it: every client is made here, with what its errors mean."""

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, MemberDescription

from anabranch.errors import ConfigError, KafkaRefused, KafkaUnavailable
from anabranch.events import Headers, Partition, carried
from anabranch.kafka.faults import KAFKA_LOG, Faults, fault_in, refused

Kafka = Mapping[str, Any]
"""The `[kafka]` table: librdkafka's own names."""

DEFAULT_BOOTSTRAP = "localhost:9092"
TIMEOUT_S = 15.0
AGAIN_S = 0.2
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

ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
QUIET = (KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
"""What comes instead of a record and is no fault, or mends by itself."""
NO_LEADER = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""A partition that was just made, or whose broker has gone: somebody will lead it in a moment."""
UNAUTHORISED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)

_OFFLINE = {"bootstrap.servers": "", "metadata.broker.list": "", "log_level": 0}
"""A client without an address connects to nobody."""

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
    """What all clients share: the user's own settings before ours, and quiet logs.

    Raises:
        ConfigError: something in them is wrong that librdkafka itself would pass over.
    """
    fault = fault_in(kafka)
    if fault:
        raise ConfigError(f"kafka: {fault}")
    return {
        "bootstrap.servers": DEFAULT_BOOTSTRAP,
        "log_level": 3,
        # Brokers hang up on idle connections (connections.max.idle.ms), which is no fault.
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
        # Positions are committed with the checkpoint that they belong to, and never by a timer.
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where retention has taken the position, librdkafka would otherwise go on elsewhere without a word.
        "auto.offset.reset": "error",
        # An aborted event must be learned by nobody, neither as
        # it comes nor when a recruit is trained on the log again.
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
        # Under the newer protocol it is the broker that names the strategy, and librdkafka refuses one of the client's.
        "group.protocol": "classic",
        "partition.assignment.strategy": assignment,
        # So that the broker tells where the log ends: position() still names the old place after a rewind.
        "enable.partition.eof": True,
    }


def producer(kafka: Kafka) -> dict[str, Any]:
    """Settings of a producer: idempotent, so that a retry neither doubles nor reorders."""
    shared = _without(common(kafka), _CONSUMER_ONLY)
    # Idempotence stands behind the user's settings, since none of them may switch it off.
    return {"linger.ms": 5, "message.timeout.ms": 60_000, **shared, "enable.idempotence": True}


def _without(settings: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in keys}


Client = TypeVar("Client")
T = TypeVar("T")


def consumer(configured: Mapping[str, Any]) -> Consumer:
    """A consumer with such settings, from `reader`, `owner` or `sharer`.

    Raises:
        ConfigError: librdkafka does not take them.
    """
    return _made(Consumer, configured)


def publisher(configured: Mapping[str, Any]) -> Producer:
    """A producer with such settings, from `producer`.

    Raises:
        ConfigError: librdkafka does not take them.
    """
    return _made(Producer, configured)


def admin(kafka: Kafka) -> AdminClient:
    """A client that asks and tells the brokers about topics and groups.

    Raises:
        ConfigError: librdkafka does not take its settings.
    """
    return _made(AdminClient, _without(common(kafka), _CONSUMER_ONLY | _PRODUCER_ONLY))


def _made(kind: Callable[[dict[str, Any]], Client], configured: Mapping[str, Any]) -> Client:
    try:
        return kind(dict(configured))
    except KafkaException as error:
        raise ConfigError(f"kafka: {refused(error.args[0].str(), configured)}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"kafka: librdkafka refuses these settings: {error}") from error


def examine(kafka: Kafka) -> None:
    """See that librdkafka takes the settings, without connecting to anybody.

    Raises:
        ConfigError: naming the one that is wrong.
    """
    consumer({**sharer(kafka, model="m", assignment="range"), **_OFFLINE}).close()
    publisher({**producer(kafka), **_OFFLINE})


def partitions(kafka: Kafka, topic: str, *, timeout_s: float = TIMEOUT_S) -> list[int]:
    """The partitions of a topic.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    listed = reach(kafka, topic, timeout_s=timeout_s).topics[topic]
    if listed.error is None:
        return sorted(listed.partitions)
    code = listed.error.code()
    if code in UNAUTHORISED:
        raise KafkaRefused(f"topic {topic!r}: {listed.error.str()}: this user may not read or write it")
    kind = KafkaRefused if code in ABSENT else KafkaUnavailable
    raise kind(f"topic {topic!r}: {listed.error.str()}; create it with `anabranch topics create`")


def reach(kafka: Kafka, topic: str | None = None, *, timeout_s: float = TIMEOUT_S) -> ClusterMetadata:
    """What the first broker that answers knows: of a topic, or of all.

    Raises:
        KafkaRefused: none answers, and none will: a password, a certificate, a name. It is said at once.
        KafkaUnavailable: none answers in time, or all hang up.
    """
    bootstrap = str(common(kafka)["bootstrap.servers"])
    faults, ends_s = Faults(bootstrap.count(",") + 1), time.monotonic() + timeout_s
    # The log of this client tells of closed connections too: a broker that wants TLS says nothing else.
    told = {"log_level": 6, "log.connection.close": True}
    client = admin({**kafka, **told, "logger": faults, "error_cb": faults.hear})
    while True:
        left_s = ends_s - time.monotonic()
        try:
            return client.list_topics(topic, timeout=max(0.1, min(SLICE_S, left_s)))
        except KafkaException as error:
            client.poll(0)  # what it has to say is heard only here
            reason = f"no answer from {bootstrap}: {faults.in_words(error.args[0].str())}"
            if not faults.hope_s:
                raise KafkaRefused(reason) from error
            if left_s <= SLICE_S or timeout_s - left_s + SLICE_S >= faults.hope_s:
                raise KafkaUnavailable(reason) from error


def members(kafka: Kafka, group: str, *, timeout_s: float = TIMEOUT_S) -> list[MemberDescription]:
    """The members of a consumer group, as its broker knows them.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    # Held by name: an answer is lost when its client is collected before it comes.
    client = admin(kafka)
    try:
        described = client.describe_consumer_groups([group], request_timeout=timeout_s)[group].result()
    except KafkaException as error:
        raise KafkaUnavailable(f"group {group}: {error.args[0].str()}") from error
    return list(described.members)


def at(positions: Mapping[Partition, int], metadata: str = "") -> list[TopicPartition]:
    """Positions (by topic and partition) in librdkafka's words."""
    return [
        TopicPartition(topic, partition, offset, metadata) if metadata else TopicPartition(topic, partition, offset)
        for (topic, partition), offset in sorted(positions.items())
    ]


def batch(consumer: Consumer, max_messages: int, *, timeout_s: float) -> list[Message]:
    """What is there, or the first that comes: `Consumer.consume` alone would wait for the batch to fill."""
    messages = consumer.consume(max_messages, timeout=0)
    if messages:
        return messages
    first = consumer.poll(timeout_s)
    return [] if first is None else [first]


def headers_of(message: Message) -> Headers:
    """What a record carries beside its key and value; a header without a value has an empty one."""
    given = message.headers() or ()
    pairs = given.items() if isinstance(given, dict) else given
    return [(name, value.encode() if isinstance(value, str) else value or b"") for name, value in pairs]


def trace_of(message: Message) -> list[tuple[str, bytes]]:
    """The trace of a record; where it has no headers, that costs a tenth of a microsecond."""
    return carried(headers_of(message)) if message.headers() else []


def patiently(ask: Callable[[], T], *, mends: Collection[int] = NO_LEADER, timeout_s: float = TIMEOUT_S) -> T:
    """What brokers answer; of a topic that was made just now they do not agree at once who leads it.

    Args:
        mends: codes of errors that go by.

    Raises:
        KafkaException: another error, or it did not go by.
    """
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in mends or time.monotonic() >= until_s:
                raise
            time.sleep(AGAIN_S)


def watermarks(
    client: Consumer, partition: tuple[str, int], *, mends: Collection[int] = NO_LEADER, timeout_s: float = TIMEOUT_S
) -> tuple[int, int]:
    """The first and the next offset of a partition.

    Raises:
        KafkaException: the broker does not tell.
    """
    ask = partial(client.get_watermark_offsets, TopicPartition(*partition), timeout=timeout_s)
    low, high = patiently(ask, mends=mends, timeout_s=timeout_s)
    return low, high

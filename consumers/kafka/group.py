"""The model's consumer group: who is in it, what it has committed; and which log a topic is now."""

import threading
from collections.abc import Iterable, Mapping

import orjson
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from anabranch.errors import AnabranchError, KafkaUnavailable, OwnershipLost, SessionExpired
from anabranch.events import Partition
from anabranch.kafka import TIMEOUT_S, members
from config.settings import Settings
from consumers.ports import Committed, Origin
from consumers.timing import STOP_S

ASKED_MAX = 3
SLOW = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._WAIT_COORD)
"""No answer came, or there was nobody to give one."""


class Group:
    """What a member asks about its group.

    Args:
        stopping: set when the process is to end: then the broker is waited for a few seconds only.
    """

    def __init__(self, settings: Settings, *, stopping: threading.Event) -> None:
        self.settings = settings
        self.id = f"anabranch-{settings.name}"
        self.topic = settings.topics.name("events")
        self.stopping = stopping
        self.member_id = ""

    def others(self) -> set[str]:
        """The members but this one.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        timeout_s = STOP_S if self.stopping.is_set() else TIMEOUT_S
        known = members(self.settings.kafka, self.id, timeout_s=timeout_s)
        return {each.member_id for each in known} - {self.member_id}

    def gone(self, reason: str) -> AnabranchError:
        """Who was displaced leaves for good; who was only taken for dead may begin again."""
        # Where partitions are shared there are other members in any case, and they say nothing.
        if self.settings.scope != "global":
            return SessionExpired(f"{self.topic}: {reason}: its partitions go to others in group {self.id}")
        try:
            others = self.others()
        except KafkaUnavailable as error:
            return SessionExpired(f"{self.topic}: {reason}, and cannot say who owns the model now: {error}")
        if others:
            return OwnershipLost(f"another process owns this model now ({self.topic}: {reason})")
        return SessionExpired(f"{self.topic}: {reason}: nobody else owns the model")

    def committed(
        self,
        client: AdminClient,
        partitions: Iterable[Partition],
        *,
        timeout_s: float = TIMEOUT_S,
        asked_max: int = ASKED_MAX,
    ) -> dict[Partition, TopicPartition]:
        """What the group holds, by partition. An answer that did not come is not the answer that there is nothing.

        Args:
            client: asks on a connection of its own. A broker answers what comes on one connection in its turn, and on
                the consumer's the question would wait behind the join of the next rebalance, which waits for members
                that may be waiting just so.

        Raises:
            KafkaUnavailable: the answer did not come, however often it was asked for.
        """
        wanted = [TopicPartition(*each) for each in partitions]
        for each in (known := self._told(client, wanted, timeout_s, asked_max) if wanted else []):
            if each.error is not None:
                raise KafkaUnavailable(f"offsets of group {self.id}: {each.error.str()}")
        # A negative offset (OFFSET_INVALID) stands for a partition of which nothing was ever committed.
        return {Partition(each.topic, each.partition): each for each in known if each.offset >= 0}

    def _told(
        self, client: AdminClient, wanted: list[TopicPartition], timeout_s: float, asked_max: int
    ) -> list[TopicPartition]:
        """Asked again, where no answer came: while members come and go, a coordinator may be slow to give one."""
        asked = [ConsumerGroupTopicPartitions(self.id, wanted)]
        for left in reversed(range(asked_max)):
            try:
                (answer,) = client.list_consumer_group_offsets(asked, request_timeout=timeout_s).values()
                found: list[TopicPartition] = answer.result().topic_partitions
                return found
            except KafkaException as error:
                refused: KafkaError = error.args[0]
                if not left or self.stopping.is_set() or refused.code() not in SLOW:
                    raise KafkaUnavailable(f"offsets of group {self.id}: {refused.str()}") from error
        raise AssertionError("the last time raises")


def newest_of(share: Iterable[Partition], known: Mapping[Partition, TopicPartition]) -> Committed | None:
    """What was committed for a share of the partitions, with the metadata of the newest checkpoint, which all share.

    None at the very first start. No positions, where the group has begun on others, and these were added since: those
    that it had when it began are begun by somebody else at this moment.

    >>> first, second, third = (Partition("events", each) for each in range(3))
    >>> known = {first: TopicPartition("events", 0, 7, '{"partitions":2,"number":3}')}
    >>> newest_of([first], known).positions == {first: 7}, newest_of([second], known), newest_of([third], known)
    (True, None, Committed(positions={}, metadata=''))
    """
    mine = [known[each] for each in share if each in known]
    if mine:
        metadata = max((each.metadata or "" for each in mine), key=_number)
        return Committed({Partition(each.topic, each.partition): each.offset for each in mine}, metadata)
    had = min((_had(each.metadata or "") for each in known.values()), default=None)
    return Committed({}, "") if had is not None and min((each.number for each in share), default=0) >= had else None


def _number(metadata: str) -> int:
    """The number of the checkpoint that the metadata names: a commit that was cut short leaves two."""
    return int(_entry(metadata).get("number", -1))


def _had(metadata: str) -> int:
    """How many partitions there were when the model began; old checkpoints were there before any was added."""
    return int(_entry(metadata).get("partitions", 0))


def _entry(metadata: str) -> dict[str, int]:
    entry: dict[str, int] = orjson.loads(metadata) if metadata else {}
    return entry


# ── Which log a topic is: its id and its cluster's, as far as the brokers tell ──────────────────────────────────────

_NO_ID = "A" * 22
"""Zeros in base64: a broker that knows no topic ids."""


def origin(client: AdminClient, topic: str) -> Origin:
    """Ask which log the topic is now.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    try:
        listed = client.list_topics(topic, timeout=TIMEOUT_S)
    except KafkaException as error:
        raise KafkaUnavailable(f"{topic}: {error.args[0].str()}") from error
    has_ids = listed.controller_id in listed.brokers  # without a controller, as embedded, the question would wait
    topic_id = _topic_id(client, topic) if has_ids else ""
    return Origin(topic, topic_id, _known(listed.cluster_id), len(listed.topics[topic].partitions))


def _topic_id(client: AdminClient, topic: str) -> str:
    """Made by the broker for each topic that is created; empty where it does not tell."""
    try:
        described = client.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)[topic].result()
    except KafkaException:
        return ""
    return _known(str(described.topic_id))


def _known(told: str | None) -> str:
    """Empty, where the broker has none."""
    return "" if not told or told.strip("=") == _NO_ID else told

"""The events topic as a source: a member of the model's consumer group.

With `scope = "global"` it is the one static member, which owns all partitions; with `scope = "partition"` it is one of
several, and each partition is gained and given up by itself.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from anabranch.errors import AnabranchError, KafkaUnavailable, LogTruncated, OwnershipLost, SessionExpired
from anabranch.kafka_clients import (
    LOST,
    SLICE_S,
    TIMEOUT_S,
    admin,
    at,
    batch,
    consumer,
    members,
    owner,
    partitions,
    sharer,
)
from anabranch.ports import Committed, Owners, Positions, Record
from anabranch.settings import Settings
from consumers.kafka_reader import record_of
from consumers.patience import STOP_S, Patience

COMMITS_MAX = 10
COMMIT_S = 45.0
COMMIT_AGAIN_S = 0.2


class KafkaSource:
    """Consumes the events topic, all of its partitions or this process's share.

    Args:
        stopping: set when the process is to end: then brokers that are away are waited for a few seconds only.
    """

    def __init__(self, settings: Settings, *, stopping: threading.Event | None = None) -> None:
        self.settings = settings
        self.stopping = stopping or threading.Event()
        self.topic = settings.topics.name("events")
        self.all = partitions(settings.kafka, self.topic)
        self.is_global = settings.scope == "global"
        self.is_cooperative = settings.assignment == "cooperative-sticky"
        configured = (
            owner(settings.kafka, model=settings.name)
            if self.is_global
            else sharer(settings.kafka, model=settings.name, assignment=settings.assignment)
        )
        self.group = configured["group.id"]
        self.consumer = consumer(configured)
        self.admin = admin(settings.kafka)
        """Asks whether a broker is there, on a connection that no fetch keeps waiting."""
        self.member_id = ""
        self.read: Positions = {}
        """What comes next, for every partition that is owned; its keys are the assignment."""
        self.ends: Positions | None = None
        """Where the partitions ended when they were gained; None before the first assignment."""
        self.rebalanced = False

    # ── ownership ───────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, owners: Owners) -> None:
        """Join the group; `owners` is told of what comes of it from within a later `poll`."""

        def on_assign(consumer: Consumer, assigned: list[TopicPartition]) -> None:
            self._gain(owners, [each.partition for each in assigned])

        def on_revoke(consumer: Consumer, revoked: list[TopicPartition]) -> None:
            self._give_up([each.partition for each in revoked], owners.released)

        def on_lost(consumer: Consumer, lost: list[TopicPartition]) -> None:
            if self.is_global:
                # The member that was taken for dead must not join again by itself: it would fence its successor.
                with suppress(KafkaException):  # fenced already
                    self.consumer.unsubscribe()
                raise self._gone("the broker has not heard from this process in time")
            self._give_up([each.partition for each in lost], owners.lost)

        self.consumer.subscribe([self.topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)

    def _gain(self, owners: Owners, gained: list[int]) -> None:
        self._all_or_nothing(gained)
        self.rebalanced = True
        self.member_id = self.consumer.memberid() or self.member_id
        known = self._committed(gained)
        positions: Positions = {}
        for share in [gained] if self.is_global else [[each] for each in gained]:
            positions |= owners.gained(share, _newest(known[each] for each in share if each in known))
        # assign(), not seek(): inside this callback that answers _STATE
        if self.is_cooperative:
            self.consumer.incremental_assign(at(self.topic, positions))
        else:
            self.consumer.assign(at(self.topic, positions))
        self.read |= positions
        self.ends = {**(self.ends or {}), **self.first_positions("latest", gained)}

    def _give_up(self, partitions: list[int], tell: Callable[[Sequence[int]], None]) -> None:
        self.rebalanced = True
        tell(partitions)
        for each in partitions:
            self.read.pop(each, None)

    def _all_or_nothing(self, gained: list[int]) -> None:
        if self.is_global and len(gained) < len(self.all):  # more, when partitions were added since
            raise OwnershipLost(
                f"{len(gained)} of {len(self.all)} partitions of {self.topic} are assigned to this process: "
                f"something else is in its group {self.group}; a global model owns them all"
            )

    def _committed(self, gained: list[int]) -> dict[int, TopicPartition]:
        """What the group holds, by partition. An answer that did not come is not the answer that there is nothing."""
        if not gained:
            return {}
        wanted = [TopicPartition(self.topic, each) for each in gained]
        try:
            known = self.consumer.committed(wanted, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"offsets of group {self.group}: {error.args[0].str()}") from error
        for each in known:
            if each.error is not None:
                raise KafkaUnavailable(f"offsets of group {self.group}: {each.error.str()}")
        return {each.partition: each for each in known if each.offset >= 0}

    def _gone(self, reason: str) -> AnabranchError:
        """Who was displaced leaves for good; who was only taken for dead may begin again."""
        if not self.is_global:
            return SessionExpired(f"{self.topic}: {reason}: its partitions go to others in group {self.group}")
        timeout_s = STOP_S if self.stopping.is_set() else TIMEOUT_S
        try:
            known = members(self.settings.kafka, self.group, timeout_s=timeout_s)
            others = {each.member_id for each in known} - {self.member_id}
        except KafkaUnavailable as error:
            return SessionExpired(f"{self.topic}: {reason}, and cannot say who owns the model now: {error}")
        if others:
            return OwnershipLost(f"{self.topic}: {reason}: another process owns this model now")
        return SessionExpired(f"{self.topic}: {reason}: nobody else owns the model")

    # ── records ─────────────────────────────────────────────────────────────────────────────────────────────────

    def first_positions(self, start: str, partitions: Sequence[int]) -> Positions:
        """The first or the next offset of each partition."""
        return {partition: self._watermarks(partition)[0 if start == "earliest" else 1] for partition in partitions}

    def _watermarks(self, partition: int) -> tuple[int, int]:
        try:
            low, high = self.consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"{self.topic} partition {partition}: {error.args[0].str()}") from error
        return low, high

    def rewind(self, positions: Positions) -> None:
        """Read on from `positions`."""
        self.read = dict(positions)
        there = at(self.topic, positions)
        if self.is_cooperative:
            self.consumer.incremental_unassign(there)
            self.consumer.incremental_assign(there)
        else:
            self.consumer.assign(there)

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        self.rebalanced = False
        try:
            messages = batch(self.consumer, max_records, timeout_s=timeout_s)
        except KafkaException as error:
            raise self._gone(error.args[0].str()) from error
        records = [record_of(message) for message in messages if message.error() is None or self._heed(message)]
        if self.rebalanced and messages:
            self.rewind(self.read)  # what came before the rebalance is of positions that no longer count
            return []
        for record in records:
            self.read[record.partition] = record.offset + 1
        return records

    def _heed(self, message: Message) -> bool:
        """What came instead of a record: most faults mend by themselves."""
        error, partition = message.error(), message.partition()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            # Behind the last record there may be control records, which nobody sees.
            self.read[partition or 0] = message.offset() or 0
        if error.code() in LOST:
            raise self._gone(error.str())
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise LogTruncated(
                f"{self.topic} partition {partition}: {error.str()}: retention has taken records that were never "
                "learned; raise retention.ms, and start again from a published version with `anabranch learn --from`"
            )
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            raise KafkaUnavailable(f"{self.topic}: {error.str()}")
        return False

    def at_end(self) -> bool:
        """Whether every partition that is owned is read up to where it ended when it was gained."""
        return self.ends is not None and all(here >= self.ends[partition] for partition, here in self.read.items())

    # ── commits ─────────────────────────────────────────────────────────────────────────────────────────────────

    def commit(self, positions: Positions, metadata: str) -> None:
        """Commit every partition's position with the same metadata, synchronously."""
        self._await_broker()
        for _ in range(COMMITS_MAX):
            error = self._commit(positions, metadata)
            if error is None:
                return
            reason = error.str()
            # Cooperative members keep what they own while others come and go, and cannot commit for that moment.
            if not self.is_cooperative or error.code() != KafkaError.REBALANCE_IN_PROGRESS:
                break
            time.sleep(COMMIT_AGAIN_S)
        raise self._gone(f"the commit was refused: {reason}")

    def _await_broker(self) -> None:
        """A commit without a broker would wait for the whole session, and no signal is heard meanwhile."""
        patience = Patience(COMMIT_S, stopping=self.stopping)
        while wait_s := patience.left_s(SLICE_S):
            with suppress(KafkaException):
                self.admin.list_topics(self.topic, timeout=wait_s)
                return
        raise self._gone("no broker answers, so nothing can be committed")

    def _commit(self, positions: Positions, metadata: str) -> KafkaError | None:
        try:
            done = self.consumer.commit(offsets=at(self.topic, positions, metadata), asynchronous=False)
        except KafkaException as error:
            refused: KafkaError = error.args[0]
            return refused
        return next((each.error for each in done or [] if each.error is not None), None)

    def close(self) -> None:
        """Leave. A static member keeps its place in the group: when it comes back it finds it."""
        self.consumer.close()


def _newest(several: Iterable[TopicPartition]) -> Committed | None:
    """What was committed, with the metadata of the newest checkpoint, which all partitions share."""
    known = list(several)
    if not known:
        return None
    metadata = max((each.metadata or "" for each in known), key=_number)
    return Committed({each.partition: each.offset for each in known}, metadata)


def _number(metadata: str) -> int:
    """The number of the checkpoint that the metadata names: a commit that was cut short leaves two."""
    head, _, tail = metadata.rpartition('"number":')
    return int(tail.rstrip("}")) if head else -1

"""The events topic as a source: one static member of a group that owns all partitions."""

from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from anabranch.errors import KafkaUnavailable, LogTruncated, OwnershipLost
from anabranch.kafka_clients import LOST, TIMEOUT_S, at, batch, member, partitions
from anabranch.ports import Committed, Positions, Record
from anabranch.settings import Settings
from consumers.kafka_reader import record_of

Owned = Callable[[Committed | None], Positions]


class KafkaSource:
    """Consumes all partitions of the events topic for one global model."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = settings.topics.name("events")
        self.all = partitions(settings.kafka, self.topic)
        configured = member(settings.kafka, model=settings.name)
        self.group = configured["group.id"]
        self.consumer = Consumer(configured)
        self.begun: Positions = {}
        self.ends: Positions | None = None

    def start(self, on_owned: Owned) -> None:
        """Join the group; `on_owned` is called from within a later `poll`."""

        def on_assign(consumer: Consumer, assigned: list[TopicPartition]) -> None:
            self._all_or_nothing(assigned)
            positions = on_owned(_committed(consumer.committed(assigned, timeout=TIMEOUT_S)))
            self.rewind(positions)  # assign(), not seek(): inside this callback that answers _STATE
            self.ends = self._ends()

        self.consumer.subscribe([self.topic], on_assign=on_assign, on_lost=_on_lost)

    def _all_or_nothing(self, assigned: list[TopicPartition]) -> None:
        if len(assigned) != len(self.all):
            raise OwnershipLost(
                f"{len(assigned)} of {len(self.all)} partitions of {self.topic} are assigned to this process: "
                f"something else is in its group {self.group}; a global model owns them all"
            )

    def first_positions(self, start: str) -> Positions:
        """The first or the next offset of every partition."""
        return {partition: self._watermarks(partition)[0 if start == "earliest" else 1] for partition in self.all}

    def _ends(self) -> Positions:
        return {partition: self._watermarks(partition)[1] for partition in self.all}

    def _watermarks(self, partition: int) -> tuple[int, int]:
        try:
            low, high = self.consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"{self.topic} partition {partition}: {error.args[0].str()}") from error
        return low, high

    def rewind(self, positions: Positions) -> None:
        """Read on from `positions`."""
        self.begun = dict(positions)
        self.consumer.assign(at(self.topic, positions))

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        try:
            messages = batch(self.consumer, max_records, timeout_s=timeout_s)
        except KafkaException as error:
            raise OwnershipLost(f"{self.topic}: {error.args[0].str()}") from error
        for message in messages:
            if (fault := message.error()) is not None:
                _raise_if_final(fault, self.topic, message.partition())
        return [record_of(message) for message in messages if message.error() is None]

    def commit(self, positions: Positions, metadata: str) -> None:
        """Commit every partition's position with the same metadata, synchronously."""
        try:
            done = self.consumer.commit(offsets=at(self.topic, positions, metadata), asynchronous=False)
        except KafkaException as error:
            raise _commit_failed(error.args[0]) from error
        for each in done or []:
            if each.error is not None:
                raise _commit_failed(each.error)

    def at_end(self) -> bool:
        """Whether every partition is read up to where it ended when ownership was gained."""
        if self.ends is None:
            return False
        # position() and not the last record's offset: the end may be a control record, which nobody sees.
        # It is negative until something has been read.
        here = self.consumer.position([TopicPartition(self.topic, partition) for partition in self.ends])
        return all(max(each.offset, self.begun[each.partition]) >= self.ends[each.partition] for each in here)

    def close(self) -> None:
        """Leave, without giving up the place in the group: a static member that comes back finds it."""
        self.consumer.close()


def _committed(several: list[TopicPartition]) -> Committed | None:
    """What the group holds: the metadata of the newest checkpoint, which all partitions share."""
    known = [each for each in several if each.offset >= 0]
    if not known:
        return None
    metadata = max((each.metadata or "" for each in known), key=_number)
    return Committed({each.partition: each.offset for each in known}, metadata)


def _number(metadata: str) -> int:
    """The number of the checkpoint that the metadata names: a commit that was cut short leaves two."""
    head, _, tail = metadata.rpartition('"number":')
    return int(tail.rstrip("}")) if head else -1


def _on_lost(consumer: Consumer, lost: list[TopicPartition]) -> None:
    raise OwnershipLost(f"{len(lost)} partitions were lost: the broker has not heard from this process in time")


def _commit_failed(error: KafkaError) -> Exception:
    if error.code() in LOST:
        return OwnershipLost(f"the commit was refused: {error.str()}: another process owns this model now")
    return OwnershipLost(f"the commit failed: {error.str()}: whether this process still owns the model is unknown")


def _raise_if_final(error: KafkaError, topic: str, partition: int | None) -> None:
    if error.code() in LOST or error.fatal():
        raise OwnershipLost(f"{error.str()}: another process owns this model now")
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise LogTruncated(
            f"{topic} partition {partition}: {error.str()}: retention has taken records that were never learned; "
            "raise retention.ms, and start again from a published version with `anabranch learn --from`"
        )
    if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
        raise KafkaUnavailable(f"{topic}: {error.str()}")

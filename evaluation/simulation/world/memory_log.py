"""A log in memory with groups, fencing, gaps and retention, and a clock that stands still."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import orjson

from anabranch.errors import LogTruncated, OwnershipLost, SessionExpired
from anabranch.events import Headers, Partition, Record
from consumers.ports import Committed, Origin, Owners, Positions, Sent

EVENTS = "events"


@dataclass
class MemoryLog:
    """Topics with partitions, and one consumer group.

    Args:
        shared: whether the group's members share the partitions; else the newest has them all, as a static member.
    """

    partitions: int = 1
    records: dict[tuple[str, int], list[Record]] = field(default_factory=dict)
    next_offset: dict[tuple[str, int], int] = field(default_factory=dict)
    starts: dict[tuple[str, int], int] = field(default_factory=dict)
    shared: bool = False
    topic_id: str = ""
    """Another one, and the topics are others of the same name."""
    commits: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Offset and metadata, by partition."""
    members: list[Hashable] = field(default_factory=list)
    owners: dict[int, Hashable] = field(default_factory=dict)
    """Who may commit, by partition."""

    def for_another_group(self) -> "MemoryLog":
        """The same records, with a group of its own: another model's."""
        return replace(self, commits={}, members=[], owners={})

    # ── the group ───────────────────────────────────────────────────────────────────────────────────────────────

    def join(self, member: Hashable) -> None:
        """One more member; or the only one, which the others are fenced by."""
        if self.shared:
            self.members.append(member)
        else:
            self.members = [member]
            self.owners = dict.fromkeys(range(self.partitions), member)

    def leave(self, member: Hashable) -> None:
        """It has left, or was not heard of for too long: what it owned is free."""
        self.members = [each for each in self.members if each != member]
        self.owners = {partition: owner for partition, owner in self.owners.items() if owner != member}

    def share_of(self, member: Hashable) -> list[int]:
        """The partitions that a member is to have."""
        place = self.members.index(member)
        return list(range(self.partitions))[place :: len(self.members)]

    def commit(self, committed: Committed) -> None:
        """What the next owner of these partitions will find."""
        self.commits |= {partition.number: (at, committed.metadata) for partition, at in committed.positions.items()}

    def committed_of(self, partitions: Iterable[int], topic: str = EVENTS) -> Committed | None:
        """What the group holds for some partitions, with the newest metadata of them."""
        known = {partition: self.commits[partition] for partition in partitions if partition in self.commits}
        if not known:
            return None
        # A commit that succeeded for some partitions only leaves the metadata of two checkpoints.
        newest = max((metadata for _, metadata in known.values()), key=_number)
        return Committed({Partition(topic, partition): at for partition, (at, _) in known.items()}, newest)

    @property
    def committed(self) -> Committed | None:
        """What the group holds for all partitions."""
        return self.committed_of(range(self.partitions))

    def forget(self, partitions: Iterable[int], *, offsets: bool) -> None:
        """The broker loses the metadata of some partitions' commits, or with `offsets` the commits."""
        for each in partitions:
            if each in self.commits:
                at, _ = self.commits.pop(each)
                if not offsets:
                    self.commits[each] = (at, "")

    # ── records ─────────────────────────────────────────────────────────────────────────────────────────────────

    def append(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int = 0,
        timestamp_s: float = 1.6e9,
        headers: Headers = (),
    ) -> Sent:
        """Add a record; where it landed."""
        place = (topic, partition)
        offset = self.next_offset.get(place, 0)
        self.next_offset[place] = offset + 1
        record = Record(topic, partition, offset, timestamp_s, key, value, headers)
        self.records.setdefault(place, []).append(record)
        return Sent(partition, offset)

    def skip(self, topic: str, *, partition: int = 0, offsets: int = 1) -> None:
        """Leave a gap, as transactions and compaction do."""
        self.next_offset[topic, partition] = self.next_offset.get((topic, partition), 0) + offsets

    def trim(self, topic: str, *, before: int, partition: int = 0) -> None:
        """Retention: forget the records before an offset."""
        kept = [record for record in self.records.get((topic, partition), []) if record.offset >= before]
        self.records[topic, partition] = kept
        self.starts[topic, partition] = max(before, self.start_of(topic, partition))

    def start_of(self, topic: str, partition: int) -> int:
        """The first offset that retention has not taken; it may lie in a gap."""
        return self.starts.get((topic, partition), 0)

    def values(self, topic: str) -> list[bytes]:
        """The values on a topic, by partition and offset."""
        places = sorted(place for place in self.records if place[0] == topic)
        return [record.value or b"" for place in places for record in self.records[place]]


class MemorySource:
    """A topic of the log as a source: a member of the log's group.

    Args:
        labels: the topic of labels, if one is read beside it.
        examples: the topic of examples.
    """

    def __init__(self, log: MemoryLog, topic: str, *, labels: str = "", examples: str = "") -> None:
        self.log = log
        self.topic = topic
        self.labels, self.examples = labels, examples
        self.positions: Positions = {}
        self.joined = False
        """Whether the group has said what this member owns."""
        self.is_resting = self.begins_resting = False

    def start(self, owners: Owners) -> None:
        """Join; a single owner takes over at once, and the one before is fenced from now on."""
        self.owners = owners
        self.log.join(self)
        if not self.log.shared:
            self._gain(range(self.log.partitions))

    def _gain(self, partitions: Sequence[int]) -> None:
        self.joined, self.is_resting = True, self.begins_resting
        self.positions |= self.owners.assigned(self._named(partitions), self.log.committed_of(partitions, self.topic))

    def _named(self, numbers: Iterable[int]) -> list[Partition]:
        return [Partition(self.topic, each) for each in numbers]

    def _rebalance(self) -> None:
        """Give up and take what the group says, one partition after the other."""
        # What is lost comes first: revoked() would commit for partitions that somebody else owns by now.
        self._drop([each for each in self.positions if self.log.owners.get(each.number) is not self], self.owners.lost)
        if self not in self.log.members:
            self.log.join(self)
        share = self.log.share_of(self)
        self._drop([each for each in self.positions if each.number not in share], self.owners.revoked)
        for each in share:
            if Partition(self.topic, each) not in self.positions and each not in self.log.owners:
                self.log.owners[each] = self
                self._gain([each])
        self.joined = True

    def _drop(self, partitions: Sequence[Partition], tell: Callable[[Sequence[Partition]], None]) -> None:
        if partitions:
            self.is_resting = False
            tell(partitions)
        for each in partitions:
            del self.positions[each]
        for each in partitions:
            if self.log.owners.get(each.number) is self:
                del self.log.owners[each.number]

    def first_positions(self, start: str, partitions: Sequence[Partition]) -> Positions:
        """The first or the next offset of each partition."""
        if start == "earliest":
            return {partition: self.log.start_of(*partition) for partition in partitions}
        return {partition: self.log.next_offset.get(partition, 0) for partition in partitions}

    def labels_of(self, partitions: Sequence[Partition]) -> list[Partition]:
        """Those with the same numbers."""
        return [Partition(self.labels, each.number) for each in partitions] if self.labels else []

    def origin(self, topic: str) -> Origin:
        """Which log it is."""
        return Origin(topic, self.log.topic_id, partitions=self.log.partitions)

    def rewind(self, positions: Positions) -> None:
        """Read on from there."""
        self.positions, self.is_resting = dict(positions), False

    def place(self) -> Positions:
        """What comes next."""
        return dict(self.positions)

    def rest(self) -> None:
        """Read nothing: somebody else does."""
        self.is_resting = True

    def passed(self, positions: Positions, told: Positions) -> None:
        """Somebody else has read up to there."""
        del told
        self.positions = dict(positions)

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records, partition by partition."""
        del timeout_s
        if self.log.shared:
            self._rebalance()
        taken: list[Record] = []
        if self.is_resting:
            return taken
        for partition, position in sorted(self.positions.items()):
            taken += self._next(partition, position, max_records - len(taken))
        return taken

    def _next(self, partition: Partition, position: int, most: int) -> Sequence[Record]:
        """At most so many records of a partition from its position, which moves on."""
        self._still_there(partition, position)
        records = self.log.records.get(partition, [])
        # By bisection: offsets have gaps, so that a position is no index.
        start = bisect_left(records, position, key=lambda record: record.offset)
        fresh = records[start : start + most]
        if fresh:
            self.positions[partition] = fresh[-1].offset + 1
        return fresh

    def _still_there(self, partition: Partition, position: int) -> None:
        start = self.log.start_of(*partition)
        if position < start:
            raise LogTruncated(
                f"{partition.topic} partition {partition.number}: offsets {position} to {start - 1} are gone"
            )

    def commit(self, positions: Positions, metadata: str) -> None:
        """Commit, unless another source has taken over."""
        if not self.owns(positions):
            if self.log.shared:
                raise SessionExpired("the commit was refused: the group has gone on without this source")
            raise OwnershipLost("the commit was refused: another source has taken the topic over")
        # As long as one member has all labels, what was committed of the events says it all.
        mine = {partition: at for partition, at in positions.items() if partition.topic == self.topic}
        if mine:
            self.log.commit(Committed(mine, metadata))

    def owns(self, partitions: Iterable[Partition]) -> bool:
        """Whether nobody has taken any of them over."""
        return all(self.log.owners.get(each.number) is self for each in partitions)

    def unread(self, partitions: Iterable[Partition]) -> int | None:
        """Nobody waits."""
        del partitions
        return None

    def at_end(self) -> bool:
        """Whether nothing is left to read."""
        return self.joined and all(
            # Between the last record and the end there may be a gap, in which no record ever comes.
            position >= self.log.next_offset.get(partition, 0) or not self._left(partition, position)
            for partition, position in self.positions.items()
        )

    def _left(self, partition: Partition, position: int) -> bool:
        records = self.log.records.get(partition, [])
        return bool(records) and records[-1].offset >= position

    def close(self) -> None:
        """Leave; a single owner keeps its place."""
        if self.log.shared:
            self.log.leave(self)

    def read(self, runs: Sequence[tuple[int, int, int]], *, topic: str = "") -> Iterable[Record]:
        """The records of the runs (partition, start, end) once more.

        Raises:
            LogTruncated: retention has taken some.
        """
        for partition, start, end in runs:
            place = Partition(topic or self.topic, partition)
            self._still_there(place, start)
            for record in self.log.records.get(place, []):
                if start <= record.offset < end:
                    yield record

    def read_examples(self, partition: int, start: int, end: int) -> Iterable[bytes]:
        """All that were told."""
        del start, end
        return (record.value or b"" for record in self.log.records.get((self.examples, partition), []))


class MemoryFetch:
    """Reads the log for several members, outside their groups."""

    def __init__(self, log: MemoryLog, topic: str = EVENTS) -> None:
        self.source = MemorySource(log, topic)
        self.told: Positions = {}
        self.is_closed = False

    @property
    def read(self) -> Positions:
        """What comes next."""
        return self.source.positions

    def start(self, positions: Positions) -> None:
        """Read from there on."""
        self.source.rewind(positions)

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        return self.source.poll(max_records, timeout_s=timeout_s)

    def ends(self) -> Positions | None:
        """Nobody waits."""
        return None

    def close(self) -> None:
        """Leave."""
        self.is_closed = True


class MemorySink:
    """Publishes to a log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log

    def send(
        self, topic: str, *, key: str, value: bytes | None, partition: int | None = None, headers: Headers = ()
    ) -> None:
        """Publish at once."""
        self.log.append(topic, value, key=key.encode(), partition=partition or 0, headers=headers)

    def send_all(self, topic: str, *, key: str, values: Iterable[bytes]) -> list[Sent]:
        """Publish at once, under keys numbered from 0; where each landed."""
        return [self.log.append(topic, value, key=f"{key}{n}".encode()) for n, value in enumerate(values)]

    def flush(self) -> None:
        """Nothing waits."""


class MemoryControl:
    """A topic of the log in memory as the control of a loop."""

    def __init__(self, log: MemoryLog, topic: str = "model-control") -> None:
        self.log = log
        self.topic = topic
        self.position = 0

    def start(self, position: int | None) -> int:
        """Read from there on, or from the end."""
        self.position = self.log.next_offset.get((self.topic, 0), 0) if position is None else position
        return self.position

    def poll(self) -> Sequence[Record]:
        """What has come since."""
        fresh = [each for each in self.log.records.get((self.topic, 0), []) if each.offset >= self.position]
        self.position += len(fresh)
        return fresh

    def close(self) -> None:
        """Leave."""


def _number(metadata: str) -> int:
    return int(orjson.loads(metadata)["number"]) if metadata else -1


# ── A clock that stands until it is moved ───────────────────────────────────────────────────────────────────────────


@dataclass
class FrozenClock:
    """A clock that stands until it is moved."""

    now_s: float = 1_600_000_000.0

    def time_s(self) -> float:
        """Wall time in epoch seconds."""
        return self.now_s

    def monotonic_s(self) -> float:
        """The same."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Move it."""
        self.now_s += seconds

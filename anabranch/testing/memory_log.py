"""A log in memory with groups, fencing, gaps and retention: it does what a broker promises, at once."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from anabranch.errors import LogTruncated, OwnershipLost
from anabranch.ports import Committed, Positions, Record, Sent


@dataclass
class MemoryLog:
    """Topics with partitions, and one group's commits."""

    partitions: int = 1
    records: dict[tuple[str, int], list[Record]] = field(default_factory=dict)
    next_offset: dict[tuple[str, int], int] = field(default_factory=dict)
    starts: dict[tuple[str, int], int] = field(default_factory=dict)
    committed: Committed | None = None
    owner: int = 0

    def append(
        self, topic: str, value: bytes, *, key: bytes | None = None, partition: int = 0, timestamp_s: float = 1.6e9
    ) -> Sent:
        """Add a record; where it landed."""
        place = (topic, partition)
        offset = self.next_offset.get(place, 0)
        self.next_offset[place] = offset + 1
        self.records.setdefault(place, []).append(Record(topic, partition, offset, timestamp_s, key, value))
        return Sent(partition, offset)

    def commit(self, committed: Committed) -> None:
        """What the group's next owner will find."""
        self.committed = committed

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
    """A topic of the log as a source; the newest source that has started owns it, as with a static member."""

    def __init__(self, log: MemoryLog, topic: str) -> None:
        self.log = log
        self.topic = topic
        self.generation = 0
        self.positions: Positions = {}

    def start(self, on_owned: Callable[[Committed | None], Positions]) -> None:
        """Take over; the owner before is fenced from now on."""
        self.log.owner += 1
        self.generation = self.log.owner
        self.rewind(on_owned(self.log.committed))

    def first_positions(self, start: str) -> Positions:
        """The first or the next offset of every partition."""
        if start == "earliest":
            return {partition: self.log.start_of(self.topic, partition) for partition in range(self.log.partitions)}
        return {
            partition: self.log.next_offset.get((self.topic, partition), 0) for partition in range(self.log.partitions)
        }

    def rewind(self, positions: Positions) -> None:
        """Read on from there."""
        self.positions = dict(positions)

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records, partition by partition."""
        del timeout_s
        taken: list[Record] = []
        for partition, position in sorted(self.positions.items()):
            taken += self._next(partition, position, max_records - len(taken))
        return taken

    def _next(self, partition: int, position: int, most: int) -> Sequence[Record]:
        """At most so many records of a partition from its position, which moves on."""
        self._still_there(partition, position)
        records = self.log.records.get((self.topic, partition), [])
        start = bisect_left(records, position, key=lambda record: record.offset)
        fresh = records[start : start + most]
        if fresh:
            self.positions[partition] = fresh[-1].offset + 1
        return fresh

    def _still_there(self, partition: int, position: int) -> None:
        start = self.log.start_of(self.topic, partition)
        if position < start:
            raise LogTruncated(f"{self.topic} partition {partition}: offsets {position} to {start - 1} are gone")

    def commit(self, positions: Positions, metadata: str) -> None:
        """Commit, unless a newer source has taken over."""
        if self.generation != self.log.owner:
            raise OwnershipLost("the commit was refused: another source has taken the topic over")
        self.log.commit(Committed(dict(positions), metadata))

    def at_end(self) -> bool:
        """Whether nothing is left to read."""
        return all(
            position >= self.log.next_offset.get((self.topic, partition), 0) or not self._left(partition, position)
            for partition, position in self.positions.items()
        )

    def _left(self, partition: int, position: int) -> bool:
        records = self.log.records.get((self.topic, partition), [])
        return bool(records) and records[-1].offset >= position

    def close(self) -> None:
        """Leave."""

    def read(self, runs: Sequence[tuple[int, int, int]]) -> Iterable[Record]:
        """The records of the runs (partition, start, end) once more.

        Raises:
            LogTruncated: retention has taken some.
        """
        for partition, start, end in runs:
            self._still_there(partition, start)
            for record in self.log.records.get((self.topic, partition), []):
                if start <= record.offset < end:
                    yield record


class MemoryOutlet:
    """Publishes to a log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log

    def send(self, topic: str, *, key: str, value: bytes) -> None:
        """Publish at once."""
        self.log.append(topic, value, key=key.encode())

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

"""A member that is behind: its partitions are merged by the records' timestamps, and paused at their share.

librdkafka hands a backlog over in runs of thousands of records of one partition. Learned like that, a drift comes and
goes with every run. While a partition is behind its end, records therefore wait until every such partition has one to
show, and the oldest of them goes first.

It is the record's timestamp that counts, as the producer or the broker stamped it, and not the event's own `ts`: that
one stands in a value which nobody has looked at yet. Where a timestamp is missing or lies in the future, the record
takes the place of the one before it in its partition: such a log comes in the order of its arrival.

>>> merger = Merger()
>>> merger.start({Partition("events", 0): 3, Partition("events", 1): 2})
>>> at = lambda partition, offset, second: Record("events", partition, offset, second, None, b"")
>>> merger.put([at(0, 0, 10.0), at(0, 1, 30.0), at(0, 2, 50.0)], now_s=99.0)
>>> merger.take(9, monotonic_s=0.0)  # partition 1 may hold an older one
[]
>>> merger.put([at(1, 0, 20.0), at(1, 1, 40.0)], now_s=99.0)
>>> [(each.partition, each.offset) for each in merger.take(9, monotonic_s=0.0)]
[(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]
>>> merger.is_merging
False
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Consumer, TopicPartition

from anabranch.events import Partition, Record
from anabranch.kafka import at
from consumers.ports import Positions

# ── The merger: partitions by their records' timestamps, so that the past is learned in the order it had ────────────

RECORDS_MAX = 100_000
BYTES_MAX = 64 * 1024 * 1024
SHARE_MIN = 1000
"""So many records of a partition may wait in any case, however many partitions share the bound."""
PATIENCE_S = 5.0
AHEAD_S = 3600.0
"""A timestamp further in the future is none: Kafka's own default refuses it as well."""

Entry = tuple[float, int, int, Record]
"""The time by which it is merged, how many of its partition have the same, the number of its arrival; the record."""


class Merger:
    """Holds records until it is certain which is the oldest; without partitions that are behind it holds nothing.

    Args:
        records_max: how many records wait at most, all partitions together; `crowded` says which have had their share.
        bytes_max: how many bytes their values have at most.
        patience_s: how long a partition that delivers nothing keeps the others waiting.
    """

    def __init__(
        self, *, records_max: int = RECORDS_MAX, bytes_max: int = BYTES_MAX, patience_s: float = PATIENCE_S
    ) -> None:
        self.records_max = records_max
        self.bytes_max = bytes_max
        self.patience_s = patience_s
        self.start({})

    def start(self, ends: Mapping[Partition, int]) -> None:
        """Drop what is held, and merge until every partition has come to its end; none: stop merging."""
        self.ends: Positions = dict(ends)
        self.queues: dict[Partition, deque[Entry]] = {partition: deque() for partition in ends}
        self.merged: deque[Record] = deque()
        """What is certain to come next."""
        self.left = dict.fromkeys(ends, 0)
        """How many records of each partition wait, in its queue or among the merged."""
        self.sizes = dict.fromkeys(ends, 0)
        self.last = dict.fromkeys(ends, (0.0, 0))
        """The time by which the newest record of each partition is merged, and how many before it have the same."""
        self.behind = set(ends)
        """The partitions that have not come to their ends."""
        self.awaited = set(ends)
        """Those of them of which nothing is there."""
        self.absent: set[Partition] = set()
        """Those that have kept the others waiting for too long."""
        self.arrivals = 0
        self.waits_since_s: float | None = None

    @property
    def is_merging(self) -> bool:
        """Whether records are held, or are to be."""
        return bool(self.behind or any(self.left.values()))

    @property
    def is_ready(self) -> bool:
        """Whether `take` has something to give without another record coming."""
        return bool(self.merged) or (not self.awaited and any(self.left.values()))

    def holds(self, partition: Partition) -> bool:
        """Whether a record of the partition waits."""
        return bool(self.left.get(partition))

    def crowded(self, share: float = 1.0) -> set[Partition]:
        """The partitions of which so large a part of their share of the bounds waits already."""
        parts = max(1, len(self.left))
        records = share * max(SHARE_MIN, self.records_max / parts)
        size = share * self.bytes_max / parts
        return {each for each, count in self.left.items() if count >= records or self.sizes[each] >= size}

    def put(self, records: Iterable[Record], *, now_s: float) -> None:
        """Records that have come, each partition's in their order."""
        latest_s = now_s + AHEAD_S
        for record in records:
            partition, stamped_s = Partition(record.topic, record.partition), record.timestamp_s
            time_s, turn = self.last[partition]
            # Never back: the order within a partition is what its positions count.
            time_s, turn = (stamped_s, 0) if time_s < stamped_s <= latest_s else (time_s, turn + 1)
            self.last[partition] = time_s, turn
            self.arrivals += 1
            # The number of the arrival is unique, so that sorting never comes to compare two records.
            self.queues[partition].append((time_s, turn, self.arrivals, record))
            self.left[partition] += 1
            self.sizes[partition] += len(record.value or b"")
            if partition in self.awaited or partition in self.absent:
                self._came(partition)
            if record.offset + 1 >= self.ends[partition]:
                self.reached(partition)

    def reached(self, partition: Partition) -> None:
        """The partition has come to its end: nothing of it is waited for any more."""
        self.behind.discard(partition)
        self._came(partition)

    def _came(self, partition: Partition) -> None:
        self.awaited.discard(partition)
        self.absent.discard(partition)
        self.waits_since_s = None

    def take(self, records_max: int, *, monotonic_s: float) -> list[Record]:
        """The oldest records that are certain to be."""
        if not self.merged:
            self._lose_patience(monotonic_s)
            self._merge()
        taken = [self.merged.popleft() for _ in range(min(records_max, len(self.merged)))]
        for record in taken:
            partition = Partition(record.topic, record.partition)
            self.left[partition] -= 1
            self.sizes[partition] -= len(record.value or b"")
        return taken

    def _merge(self) -> None:
        """Sort what is no younger than the newest of each partition that is behind: whatever comes is younger."""
        # One of them may yet deliver a record that is older than all that are here.
        if self.awaited:
            return
        horizon = min((self.queues[each][-1] for each in self.behind if self.queues[each]), default=None)
        entries: list[Entry] = []
        for partition, queue in self.queues.items():
            while queue and (horizon is None or queue[0] <= horizon):
                entries.append(queue.popleft())
            if not queue and partition in self.behind and partition not in self.absent:
                self.awaited.add(partition)
        self.merged.extend(entry[-1] for entry in sorted(entries))

    def _lose_patience(self, monotonic_s: float) -> None:
        """Go on without those that have delivered nothing for too long, until they do."""
        if not self.awaited or not any(self.left.values()):
            self.waits_since_s = None
        elif self.waits_since_s is None:
            self.waits_since_s = monotonic_s
        elif monotonic_s - self.waits_since_s >= self.patience_s:
            self.absent |= self.awaited
            self.awaited.clear()
            self.waits_since_s = None


# ── Who is behind ───────────────────────────────────────────────────────────────────────────────────────────────────

BEHIND = 1000
"""So many records may be left to read, and they are taken as they come: about what one poll brings."""


class KafkaBacklog:
    """What lies between what a consumer fetches and what its owner learns.

    Args:
        merges: whether partitions are merged at all; no, where each has a model of its own.
    """

    def __init__(self, consumer: Consumer, *, merges: bool) -> None:
        self.consumer = consumer
        self.merges = merges
        self.merger = Merger()
        self.paused: set[Partition] = set()

    @property
    def is_ready(self) -> bool:
        """Whether there are records without another fetch."""
        return self.merger.is_ready

    def reached(self, partition: Partition) -> None:
        """The broker has told that the partition ends here."""
        self.merger.reached(partition)

    def start(self, read: Positions, ends: Positions) -> None:
        """Drop what is held; the next records are those from `read` on, and behind is who is before its end."""
        if self.paused:
            self.consumer.resume(at(dict.fromkeys(self.paused, 0)))
            self.paused = set()
        self._merge_up_to(ends, read)

    def _merge_up_to(self, ends: Positions, read: Positions) -> None:
        ended = {partition for partition, here in read.items() if here >= ends.get(partition, here)}
        # A single partition has its order; and where nobody is behind, records are taken as they come.
        merges = self.merges and len(read) > 1 and len(ended) < len(read)
        self.merger.start({each: ends.get(each, here) for each, here in read.items()} if merges else {})
        for partition in ended:
            self.merger.reached(partition)

    def hand_on(
        self, records: Sequence[Record], max_records: int, *, read: Positions, told: Positions
    ) -> Sequence[Record]:
        """The next records, given those that were just fetched.

        Args:
            read: what comes next after what was handed on; it is moved on, up to where the broker told that a partition
                ends, where none of it waits any more.
            told: where the broker last said that a partition ends.
        """
        following = self._ordered(records, max_records, read=read, told=told)
        for record in following:
            read[Partition(record.topic, record.partition)] = record.offset + 1
        for partition, end in told.items():
            if not self.merger.holds(partition):
                # Behind the last record there may be control records, which nobody sees.
                read[partition] = max(end, read[partition])
        return following

    def _ordered(
        self, records: Sequence[Record], max_records: int, *, read: Positions, told: Positions
    ) -> Sequence[Record]:
        if not self.merger.is_merging and len(records) >= max_records:
            self._look_ahead(read, told)
        if not self.merger.is_merging:
            return records
        self.merger.put(records, now_s=time.time())
        taken = self.merger.take(max_records, monotonic_s=time.monotonic())
        self._make_room()
        return taken

    def _look_ahead(self, read: Positions, told: Positions) -> None:
        """A full batch is a sign that more has come than was learned meanwhile: if it is much, it is merged."""
        if not self.merges:
            return
        # An open transaction, behind what the broker calls the end, is no backlog.
        ends = {each: here if told.get(each) == here else self._end_heard_of(each, here) for each, here in read.items()}
        if sum(ends.values()) - sum(read.values()) > BEHIND:
            self._merge_up_to(ends, read)

    def _end_heard_of(self, partition: Partition, here: int) -> int:
        """Where a partition ended at the last fetch, without asking anybody."""
        _, high = self.consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        return max(here, high)

    def _make_room(self) -> None:
        """A partition that had its share of the bounds waits until the others have come as far."""
        # Room is made at half of the share only: at its full edge
        # a partition would be paused and resumed at every poll.
        roomy = self.paused - self.merger.crowded(0.5)
        if full := self.merger.crowded() - self.paused:
            # pause() and resume() look at topic and partition only; the offset is of no account.
            self.consumer.pause(at(dict.fromkeys(full, 0)))
        if roomy:
            self.consumer.resume(at(dict.fromkeys(roomy, 0)))
        self.paused = (self.paused | full) - roomy

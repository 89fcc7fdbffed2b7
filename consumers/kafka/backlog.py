"""Tells whether a member of the group is behind, and then has its partitions merged; pauses who had too much."""

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, TopicPartition

from anabranch.events import Partition, Record
from anabranch.kafka.clients import at
from consumers.kafka.merging import Merger
from consumers.ports import Positions

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

    def holds(self, partition: Partition) -> bool:
        """Whether a fetched record of the partition waits."""
        return self.merger.holds(partition)

    def reached(self, partition: Partition) -> None:
        """The broker has told that the partition ends here."""
        self.merger.reached(partition)

    def begin(self, read: Positions, ends: Positions) -> None:
        """Drop what is held; the next records are those from `read` on, and behind is who is before its end."""
        if self.paused:
            self.consumer.resume(at(dict.fromkeys(self.paused, 0)))
            self.paused = set()
        self._merge_up_to(ends, read)

    def _merge_up_to(self, ends: Positions, read: Positions) -> None:
        ended = {partition for partition, here in read.items() if here >= ends.get(partition, here)}
        merges = self.merges and len(read) > 1 and len(ended) < len(read)
        self.merger.begin({each: ends.get(each, here) for each, here in read.items()} if merges else {})
        for partition in ended:
            self.merger.reached(partition)

    def ordered(
        self,
        records: Sequence[Record],
        max_records: int,
        *,
        read: Positions,
        told: Positions,
    ) -> Sequence[Record]:
        """The next records, given those that were just fetched.

        Args:
            read: what comes next after what was handed on.
            told: where the broker last said that a partition ends.
        """
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
        roomy = self.paused - self.merger.crowded(0.5)
        if full := self.merger.crowded() - self.paused:
            self.consumer.pause(at(dict.fromkeys(full, 0)))
        if roomy:
            self.consumer.resume(at(dict.fromkeys(roomy, 0)))
        self.paused = (self.paused | full) - roomy

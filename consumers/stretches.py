"""Stretches of the log that a rebuild leaves out, since what lies there is wrong: the checkpoint keeps them."""

from collections.abc import Container, Iterable

from anabranch.events import Partition, Record
from anabranch.messages import TopicRange


class Stretches:
    """Runs of offsets, by topic and partition.

    >>> wrong = Stretches([TopicRange(topic="events", partition=0, start=20, end=30)])
    >>> Record("events", 0, 29, 0.0, None, b"") in wrong, Record("events", 0, 30, 0.0, None, b"") in wrong
    (True, False)
    >>> wrong.in_words
    'events/0 offsets 20 to 29'
    """

    def __init__(self, ranges: Iterable[TopicRange] = ()) -> None:
        self.ranges = sorted(ranges, key=lambda each: (each.topic, each.partition, each.start))

    def __contains__(self, record: Record) -> bool:
        return any(
            each.start <= record.offset < each.end and each.partition == record.partition and each.topic == record.topic
            for each in self.ranges
        )

    @property
    def in_words(self) -> str:
        """For people, from the first to the last offset of each."""
        return ", ".join(
            f"{each.topic}/{each.partition} offsets {each.start} to {each.end - 1}" for each in self.ranges
        )

    def keep(self, partitions: Container[Partition]) -> None:
        """The others are no business of whoever owns these."""
        self.ranges = [each for each in self.ranges if Partition(each.topic, each.partition) in partitions]

    def forget(self, topic: str) -> None:
        """The topic is another log now: its offsets are other records."""
        self.ranges = [each for each in self.ranges if each.topic != topic]

    def state(self) -> list[list[str | int]]:
        """For the checkpoint."""
        return [[each.topic, each.partition, each.start, each.end] for each in self.ranges]

    @classmethod
    def restored(cls, state: Iterable[tuple[str, int, int, int]]) -> "Stretches":
        """As they were kept."""
        return cls(TopicRange(topic=topic, partition=n, start=start, end=end) for topic, n, start, end in state)

"""Stretches of the log that a rebuild leaves out, since what lies there is wrong: the checkpoint keeps them."""

from bisect import bisect_right
from collections.abc import Container, Iterable

from anabranch.events import Partition, Record
from anabranch.messages import TopicRange

SHOWN = 20
"""So many are named to people."""


class Stretches:
    """Runs of offsets, by topic and partition.

    >>> wrong = Stretches([TopicRange(topic="events", partition=0, start=20, end=30)])
    >>> Record("events", 0, 29, 0.0, None, b"") in wrong, Record("events", 0, 30, 0.0, None, b"") in wrong
    (True, False)
    >>> wrong.in_words
    'events/0 offsets 20 to 29'
    """

    def __init__(self, ranges: Iterable[TopicRange] = ()) -> None:
        self.ranges = _apart(ranges)

    def __contains__(self, record: Record) -> bool:
        # Of one entity there may be thousands, and each record asks.
        at = bisect_right(self.ranges, (record.topic, record.partition, record.offset), key=_begin)
        before = self.ranges[at - 1] if at else None
        return (
            before is not None
            and (before.topic, before.partition) == (record.topic, record.partition)
            and record.offset < before.end
        )

    @property
    def in_words(self) -> str:
        """For people, from the first to the last offset of each; of many the first."""
        shown = [
            f"{each.topic}/{each.partition} offsets {each.start} to {each.end - 1}" for each in self.ranges[:SHOWN]
        ]
        left = len(self.ranges) - len(shown)
        return ", ".join([*shown, f"and {left:,} more"] if left else shown)

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


def _begin(each: TopicRange) -> tuple[str, int, int]:
    return each.topic, each.partition, each.start


def _apart(ranges: Iterable[TopicRange]) -> list[TopicRange]:
    """In order, those that overlap as one."""
    found: list[TopicRange] = []
    for each in sorted(ranges, key=_begin):
        last = found[-1] if found else None
        if last is not None and (last.topic, last.partition) == (each.topic, each.partition) and each.start < last.end:
            found[-1] = last.model_copy(update={"end": max(last.end, each.end)})
        else:
            found.append(each)
    return found

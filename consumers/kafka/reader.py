"""Reads ranges of the log again, outside any group: Kafka is the replay buffer."""

from collections import deque
from collections.abc import Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, Message

from anabranch.errors import KafkaUnavailable, LogTruncated
from anabranch.events import Partition, Record
from anabranch.kafka.clients import TIMEOUT_S, at, batch, consumer, reader
from config.settings import Settings


def record_of(message: Message) -> Record:
    """A fetched message as the loop sees it. (The types allow for one that was never fetched.)"""
    return Record(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1] / 1000,
        message.key(),
        message.value(),
    )


class KafkaLogReader:
    """Reads runs of the events topic, in the runs' order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = settings.topics.name("events")

    def read(self, runs: Sequence[tuple[int, int, int]]) -> Iterator[Record]:
        """The records of the runs (partition, start, end).

        Raises:
            LogTruncated: retention has taken some of them.
            KafkaUnavailable: nothing came for a while.
        """
        starts: dict[int, int] = {}
        for partition, start, _ in runs:
            starts[partition] = min(start, starts.get(partition, start))
        client = consumer({**reader(self.settings.kafka), "enable.partition.eof": True})
        try:
            client.assign(at({Partition(self.topic, partition): start for partition, start in starts.items()}))
            yield from _in_order(client, runs)
        finally:
            client.close()


def _in_order(consumer: Consumer, runs: Sequence[tuple[int, int, int]]) -> Iterator[Record]:
    """Partitions arrive as they like: what comes early waits for its turn."""
    waiting: dict[int, deque[Record]] = {}
    ended: set[int] = set()
    for partition, start, end in runs:
        queue = waiting.setdefault(partition, deque())
        expected = start
        while expected < end:
            while not queue:
                ended |= _fetch(consumer, waiting)
                if not queue and partition in ended:
                    raise LogTruncated(f"partition {partition}: offsets {expected} to {end - 1} are gone")
            record = queue.popleft()
            if record.offset > expected:
                raise LogTruncated(f"partition {partition}: offsets {expected} to {record.offset - 1} are gone")
            if record.offset == expected:
                expected += 1
                yield record


def _fetch(consumer: Consumer, waiting: dict[int, deque[Record]]) -> set[int]:
    """Put what comes into its queue; the partitions that have come to their end."""
    ended: set[int] = set()
    messages = batch(consumer, 1000, timeout_s=TIMEOUT_S)
    if not messages:
        raise KafkaUnavailable(f"no record came for {TIMEOUT_S:.0f} s")
    for message in messages:
        error = message.error()
        if error is None:
            waiting.setdefault(message.partition() or 0, deque()).append(record_of(message))
        elif error.code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition() or 0)
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise LogTruncated(f"partition {message.partition()}: {error.str()}")
        elif not error.retriable() and error.code() != KafkaError._ALL_BROKERS_DOWN:
            raise KafkaUnavailable(error.str())
    return ended

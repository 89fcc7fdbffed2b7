"""Reads topics for several models at once, outside any group: what `consumers/fanout.py` hands on."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from anabranch.errors import KafkaUnavailable
from anabranch.events import Partition, Record
from anabranch.kafka import QUIET, at, batch, consumer, reader, watermarks
from consumers.kafka.backlog import KafkaBacklog
from consumers.kafka.reader import record_of
from consumers.ports import Positions


class KafkaFetch:
    """A consumer without a group. (`Fetch` of consumers/fanout.py.)

    What is behind is merged by timestamps as a model that reads alone merges it.

    Args:
        kafka: librdkafka's settings.
    """

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self.consumer = consumer({**reader(kafka), "enable.partition.eof": True})
        self.backlog = KafkaBacklog(self.consumer, merges=True)
        self.read: Positions = {}
        self.told: Positions = {}

    def start(self, positions: Positions) -> None:
        """Read from there on.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        self.read, self.told = dict(positions), {}
        self.consumer.assign(at(positions))
        self.backlog.start(self.read, {each: self._end(each) for each in positions})

    def _end(self, partition: Partition) -> int:
        try:
            _, high = watermarks(self.consumer, partition)
        except KafkaException as error:
            raise KafkaUnavailable(f"{partition.topic} partition {partition.number}: {error.args[0].str()}") from error
        return int(high)

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records.

        Raises:
            KafkaUnavailable: something is wrong that does not mend by itself.
        """
        few = self.backlog.is_ready
        try:
            messages = batch(self.consumer, 1 if few else max_records, timeout_s=0 if few else timeout_s)
        except KafkaException as error:
            raise KafkaUnavailable(error.args[0].str()) from error
        fetched = [record_of(message) for message in messages if not self._heed(message)]
        return self.backlog.hand_on(fetched, max_records, read=self.read, told=self.told)

    def _heed(self, message: Any) -> bool:
        """Whether it came instead of a record."""
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            partition = Partition(message.topic(), message.partition())
            self.told[partition] = message.offset()
            self.backlog.reached(partition)
        elif error.code() not in QUIET and not error.retriable():
            raise KafkaUnavailable(f"{message.topic()}: {error.str()}")
        return True

    def ends(self) -> Positions | None:
        """Where brokers said with the last fetch that partitions end."""
        return {
            partition: self.consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)[1]
            for partition in self.read
        }

    def close(self) -> None:
        """Leave."""
        self.consumer.close()

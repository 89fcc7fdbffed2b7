"""The topic `model-control`: its only partition, read outside any group from the position in the checkpoint."""

from collections.abc import Sequence

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from anabranch.errors import KafkaUnavailable
from anabranch.events import Partition, Record
from anabranch.kafka.clients import TIMEOUT_S, at, consumer, partitions, reader
from config.settings import Settings
from consumers.kafka.reader import record_of

PARTITION = 0
REQUESTS_MAX = 100

log = structlog.get_logger()


class KafkaControl:
    """Requests on `model-control`, as they come; none, where the topic does not exist."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = settings.topics.name("control")
        self.consumer: Consumer | None = None

    def start(self, position: int | None) -> int:
        """Read from `position` on, or from the topic's end; from its first record, if retention has taken others.

        Raises:
            KafkaUnavailable: the broker does not answer.
        """
        self.close()
        if not self._is_there():
            return position or 0
        self.consumer = consumer(reader(self.settings.kafka))
        try:
            low, high = self.consumer.get_watermark_offsets(TopicPartition(self.topic, PARTITION), timeout=TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"{self.topic}: {error.args[0].str()}") from error
        # A position beyond the end: the topic was made anew.
        begin = high if position is None or position > high else max(low, position)
        self.consumer.assign(at({Partition(self.topic, PARTITION): begin}))
        return begin

    def _is_there(self) -> bool:
        try:
            partitions(self.settings.kafka, self.topic)
        except KafkaUnavailable as error:
            log.warning("no control", topic=self.topic, reason=str(error))
            return False
        return True

    def poll(self) -> Sequence[Record]:
        """What has come since; errors pass, since the client goes on trying by itself."""
        if self.consumer is None:
            return ()
        messages = self.consumer.consume(REQUESTS_MAX, timeout=0)
        return [record_of(message) for message in messages if message.error() is None]

    def close(self) -> None:
        """Leave."""
        if self.consumer is not None:
            self.consumer.close()
            self.consumer = None

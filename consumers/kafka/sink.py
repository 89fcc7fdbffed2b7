"""Publishes messages; every acknowledgement is checked."""

import threading
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, Message

from anabranch.errors import KafkaForbidden, KafkaUnavailable
from anabranch.events import Headers
from anabranch.kafka import SLICE_S, UNAUTHORISED, publisher
from anabranch.kafka.faults import with_words
from consumers.ports import Sent
from consumers.timing import Deadline

FLUSH_S = 60.0


class KafkaSink:
    """An idempotent producer whose failures are raised at the next flush.

    Args:
        configured: librdkafka's settings, from `kafka_clients.producer`.
        stopping: set when the process is to end: then a flush waits for a few seconds only.
    """

    def __init__(self, configured: dict[str, Any], *, stopping: threading.Event | None = None) -> None:
        self.producer = publisher(configured)
        self.stopping = stopping or threading.Event()
        self.failure: str | None = None
        self.is_forbidden = False

    def send(
        self,
        topic: str,
        *,
        key: str | bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Publish at some time; `flush` makes sure. Others' records may have any key, or none."""
        where: dict[str, Any] = {} if partition is None else {"partition": partition}
        where |= {"headers": list(headers)} if headers else {}
        self._produce(topic, key=key, value=value, on_delivery=self._delivered, **where)

    def send_all(self, topic: str, *, key: str, values: Iterable[bytes]) -> list[Sent]:
        """Publish in order to one partition, under keys numbered from 0, and wait; where each landed."""
        landed: dict[int, Sent] = {}

        def note(number: int) -> Any:
            def delivered(error: KafkaError | None, message: Message) -> None:
                self._delivered(error, message)
                if error is None:
                    landed[number] = Sent(message.partition() or 0, message.offset() or 0)

            return delivered

        for number, value in enumerate(values):
            # The first chunk goes where its key says, the others after it.
            where = {"partition": landed[0].partition} if landed else {}
            self._produce(topic, key=f"{key}{number}", value=value, on_delivery=note(number), **where)
            if not number:
                self.flush()
        self.flush()
        return [landed[number] for number in sorted(landed)]

    def _produce(self, topic: str, **record: Any) -> None:
        while True:
            try:
                self.producer.produce(topic, **record)
                break
            except BufferError:  # the queue is full: let it drain
                self.producer.poll(0.1)
        # Acknowledgements are heard within poll() only; without it they would wait in memory until the next flush.
        self.producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        # The first failure is the cause; those behind it mostly follow from it.
        if error is not None and self.failure is None:
            self.failure = f"{message.topic()}: {error.str()}"
            self.is_forbidden = error.code() in UNAUTHORISED

    def flush(self) -> None:
        """Wait until everything sent is acknowledged.

        Raises:
            KafkaForbidden: this user may not write there.
            KafkaUnavailable: something was not.
        """
        patience = Deadline(FLUSH_S, stopping=self.stopping)
        while (left := self.producer.flush(patience.left_s(SLICE_S))) and patience.left_s(SLICE_S):
            pass
        if self.is_forbidden:
            raise KafkaForbidden(
                f"messages were not delivered: {self.failure}: grant this user WRITE there; docs/RIGHTS.md lists what "
                "each process needs, and `anabranch doctor CONFIG` finds what a learner lacks"
            )
        if left or self.failure:
            raise KafkaUnavailable(
                f"messages were not delivered: {self.failure or with_words(f'{left} are still waiting')}; "
                "check that the topics exist (`anabranch topics create`) and the brokers answer"
            )

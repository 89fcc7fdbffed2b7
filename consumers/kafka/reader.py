"""Reads outside any group: ranges of the log, the learned order, single records, and requests on `model-control`."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from anabranch.errors import KafkaUnavailable, LogTruncated, SignatureError
from anabranch.events import Partition, Record
from anabranch.kafka import (
    QUIET,
    TIMEOUT_S,
    Kafka,
    at,
    batch,
    consumer,
    headers_of,
    partitions,
    reader,
    trace_of,
    watermarks,
)
from anabranch.kafka.faults import with_words
from anabranch.kafka.tail import Tail
from anabranch.messages import CONTROL_PARTITION, LearnedOrder, UnreadableMessage, decode
from anabranch.order import OrderReader, read_example
from anabranch.scope import Scope
from anabranch.signatures import TrustedKeys
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
        trace_of(message),
    )


class KafkaLogReader:
    """Reads runs of the events, or of another topic, in the runs' order; and examples."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = settings.topics.name("events")

    def read(self, runs: Sequence[tuple[int, int, int]], *, topic: str = "") -> Iterator[Record]:
        """The records of the runs (partition, start, end); of the events, if no topic is named.

        Raises:
            LogTruncated: retention has taken some of them.
            KafkaUnavailable: nothing came for a while.
        """
        # One assignment for all runs: each partition is read once, from its earliest run on.
        starts: dict[int, int] = {}
        for partition, start, _ in runs:
            starts[partition] = min(start, starts.get(partition, start))
        client = consumer({**reader(self.settings.kafka), "enable.partition.eof": True})
        try:
            topic = topic or self.topic
            client.assign(at({Partition(topic, partition): start for partition, start in starts.items()}))
            yield from _in_order(client, runs)
        finally:
            client.close()

    def read_examples(self, partition: int, start: int, end: int) -> Iterator[bytes]:
        """From about the example `start` on, as numbers and offsets are about as far apart; to the topic's end.

        Raises:
            LogTruncated: retention has taken some of them.
            KafkaUnavailable: nothing came for a while.
        """
        place = Partition(self.settings.topics.name("examples"), partition)
        client = consumer({**reader(self.settings.kafka), "enable.partition.eof": True})
        try:
            low, high = watermarks(client, place)
            back = (end - start) + EXAMPLES_SLACK
            while True:
                begin = max(low, high - back)
                first, values = -1, _to_end(client, place, begin, high)
                for value in values:
                    first = self._number(value) if first < 0 else first
                    if first > start and begin > low:
                        break
                    yield value
                else:
                    return
                back *= 4
        except KafkaException as error:
            raise KafkaUnavailable(f"{place.topic}: {error.args[0].str()}") from error
        finally:
            client.close()

    def _number(self, value: bytes) -> int:
        """Of an example of this model; one of another, and what is none, says nothing."""
        try:
            told = read_example(value)
        except UnreadableMessage:
            return -1
        return int(told["number"]) if told["model"] == self.settings.name else -1


EXAMPLES_SLACK = 2000
"""So many records more than wanted are looked at: some were told twice."""


def _to_end(client: Consumer, place: Partition, begin: int, end: int) -> Iterator[bytes]:
    """The values of a partition."""
    client.assign(at({place: begin}))
    waiting: dict[int, deque[Record]] = {}
    ended: set[int] = set()
    while begin < end and not ended:
        ended = _fetch(client, waiting)
        for record in waiting.pop(place.number, ()):
            begin = record.offset + 1
            yield record.value or b""


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
            # Runs hold accepted events only, and each of them was there once: a gap is what retention has taken.
            if record.offset > expected:
                raise LogTruncated(f"partition {partition}: offsets {expected} to {record.offset - 1} are gone")
            # What lies before it was refused once, or belongs to no run: it is passed over.
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


# ── The learned order ───────────────────────────────────────────────────────────────────────────────────────────────


def told_order(settings: Settings, scope: Scope, *, keys: TrustedKeys | None = None) -> OrderReader:
    """All that the topic of the learned order holds of a model; with `keys`, what one of them has signed.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    found = OrderReader()
    with Tail(settings.kafka, [settings.topics.name("learned")]) as tail:
        for message in tail.until_caught_up():
            value = bytes(message.value() or b"")
            with suppress(SignatureError, UnreadableMessage):  # other models' have other keys
                if keys is not None:
                    keys.verify(value, headers_of(message))
                order = decode(LearnedOrder, value)
                if (order.model, order.scope) == (settings.name, str(scope)):
                    found.add(order)
    return found


# ── Single records with all their headers, as those of dead letters ──────────────────────────────────────────────────

NEAR = 500
"""Up to so many records between two that are wanted are read, since asking anew takes as long."""


def records_at(kafka: Kafka, places: Iterable[tuple[str, int, int]]) -> Iterator[Record | None]:
    """The record of each place with all its headers; None where it is gone.

    Args:
        places: topic, partition and offset, in this order.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    with closing(consumer({**reader(kafka), "enable.partition.eof": True})) as client:
        place, bounds, following = Partition("", 0), (0, 0), -1
        for topic, partition, offset in places:
            if (topic, partition) != place:
                place = Partition(topic, partition)
                bounds, following = _bounds(client, place), -1
            if not bounds[0] <= offset < bounds[1]:
                yield None
                continue
            if following < 0 or not 0 <= offset - following <= NEAR:
                client.assign(at({place: offset}))
            found = _at(client, offset)
            # Where it was not there, the one after it has been read.
            following = -1 if found is None else offset + 1
            yield found


def bounds(kafka: Kafka, places: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
    """The first and the next offset of each partition; none of a topic that is gone.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    with closing(consumer(reader(kafka))) as client:
        return {place: _bounds(client, place) for place in places}


def offsets_at(kafka: Kafka, places: Iterable[Partition], *, at_s: float) -> dict[Partition, int]:
    """The first offset of each partition whose record is of this moment or later, by the records' timestamps.

    Where there is none, it is the partition's end.

    Args:
        at_s: epoch seconds.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such partition.
    """
    wanted = [TopicPartition(*place, int(at_s * 1000)) for place in places]
    with closing(consumer(reader(kafka))) as client:
        try:
            found = client.offsets_for_times(wanted, timeout=TIMEOUT_S) if wanted else []
        except KafkaException as error:
            raise KafkaUnavailable(with_words(error.args[0].str())) from error
        for each in found:
            if each.error is not None:
                raise KafkaUnavailable(f"{each.topic} partition {each.partition}: {each.error.str()}")
        return {
            place: each.offset if each.offset >= 0 else _bounds(client, place)[1]
            for each in found
            for place in (Partition(each.topic, each.partition),)
        }


def _bounds(client: Consumer, place: Partition) -> tuple[int, int]:
    """The first and the next offset of a partition; none of a topic that is gone."""
    try:
        low, high = watermarks(client, place)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION):
            return 0, 0
        raise KafkaUnavailable(with_words(f"{place.topic}: {error.args[0].str()}")) from error
    return low, high


def _at(client: Consumer, offset: int) -> Record | None:
    """The record at this offset; None if there is none, as in the gap that a transaction leaves."""
    until_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until_s:
        for message in batch(client, 1, timeout_s=1.0):
            error, found = message.error(), message.offset() or 0
            if error is None and found >= offset:
                return record_of(message)._replace(headers=headers_of(message)) if found == offset else None
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return None
            if error is not None and error.code() not in QUIET and not error.retriable():
                raise KafkaUnavailable(with_words(error.str()))
    raise KafkaUnavailable(with_words(f"no record came for {TIMEOUT_S:.0f} s"))


# ── The topic `model-control`: its only partition, read outside any group from the position in the checkpoint ───────

REQUESTS_MAX = 100

log = structlog.get_logger()


class KafkaControl:
    """Requests on `model-control`, or what followers tell on `model-acks`, as they come; none without the topic.

    Args:
        topic: "control" or "acks".
    """

    def __init__(self, settings: Settings, *, topic: str = "control") -> None:
        self.settings = settings
        self.topic = settings.topics.name(topic)
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
            low, high = watermarks(self.consumer, Partition(self.topic, CONTROL_PARTITION))
        except KafkaException as error:
            raise KafkaUnavailable(f"{self.topic}: {error.args[0].str()}") from error
        # A position beyond the end: the topic was recreated.
        begin = high if position is None or position > high else max(low, position)
        self.consumer.assign(at({Partition(self.topic, CONTROL_PARTITION): begin}))
        return begin

    def _is_there(self) -> bool:
        try:
            partitions(self.settings.kafka, self.topic)
        except KafkaUnavailable as error:
            log.warning("nobody can ask or tell", topic=self.topic, reason=str(error))
            return False
        return True

    def poll(self) -> Sequence[Record]:
        """What has come since; errors pass, since the client goes on trying by itself."""
        if self.consumer is None:
            return ()
        messages = self.consumer.consume(REQUESTS_MAX, timeout=0)
        # With all their headers: the signature is among them.
        return [record_of(each)._replace(headers=headers_of(each)) for each in messages if each.error() is None]

    def close(self) -> None:
        """Leave."""
        if self.consumer is not None:
            self.consumer.close()
            self.consumer = None

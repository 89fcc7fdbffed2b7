"""One pass over several topics: from a moment on, bounded, to where they end now; and on from there, if wanted."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from anabranch.errors import ConfigError, KafkaUnavailable
from anabranch.kafka import NO_LEADER, QUIET, SLICE_S, TIMEOUT_S, Kafka, batch, consumer, patiently, reader, watermarks
from anabranch.kafka.faults import with_words
from config.settings import Settings
from operations.picture import KINDS

Place = tuple[str, int]
"""A topic and one of its partitions."""

LEAST = 500
"""So many of the newest records of a partition are read, however old they are: what has not changed for long counts."""
LEAST_UPDATES = 5_000
BATCH_MAX = 500
UNSETTLED = (*NO_LEADER, KafkaError.UNKNOWN_TOPIC_OR_PART)
SPARING = {
    "queued.max.messages.kbytes": 4_096,
    "fetch.message.max.bytes": 262_144,
    "fetch.queue.backoff.ms": 20,
}
"""So little is read ahead, and asked for at once of a partition: librdkafka's own 64 MB and 1 MB, which is compressed,
would stay with the process. Where so much lies ready it looks again after 20 ms, and not after a second."""


class Reading:
    """The records of topics since a moment, in no order across partitions; a context manager.

    Args:
        since_s: epoch seconds.
        until_s: records from then on are left out; None: it goes on with what comes.
        records_max: of a partition's backlog, the newest.
        least: so many of the newest records of a partition are read, however old.
        is_again: it was read before until then: nothing older is read for its own sake.
    """

    def __init__(
        self,
        kafka: Kafka,
        *,
        since_s: float,
        until_s: float | None = None,
        records_max: int,
        least: int = LEAST,
        is_again: bool = False,
    ) -> None:
        ours = {"auto.offset.reset": "earliest", "enable.partition.eof": True}
        self.consumer = consumer({**SPARING, **reader(kafka), **ours})
        self.since_s, self.until_s, self.records_max = since_s, until_s, records_max
        self.least, self.is_again = least, is_again
        self.is_closed = False
        self.spans: dict[Place, tuple[int, int]] = {}
        """Of each partition, what is read of it, and where what was there at the start ends."""
        self.unread: dict[Place, int] = {}
        """How much of that is still to come; partitions that are read to there are left out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Read no more; once is enough."""
        if not self.is_closed:
            self.is_closed = True
            self.consumer.close()

    @property
    def whole(self) -> int:
        """How much was there at the start."""
        return sum(end - start for start, end in self.spans.values())

    def present(self, *, timeout_s: float = TIMEOUT_S) -> dict[str, list[int]]:
        """The topics that are there, with their partitions.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        try:
            listed = self.consumer.list_topics(timeout=timeout_s).topics
        except KafkaException as error:
            raise KafkaUnavailable(with_words(error.args[0].str())) from error
        return {name: sorted(each.partitions) for name, each in listed.items() if each.error is None}

    def add(
        self,
        places: Iterable[Place],
        *,
        whole: frozenset[str] = frozenset(),
        since_s: Mapping[str, float] | None = None,
        ends: Mapping[Place, int] | None = None,
    ) -> None:
        """Read these partitions too.

        Args:
            whole: topics of which more is read than the time says.
            since_s: by topic, where it is not that of all.
            ends: offsets that are read already, by somebody else, as is all behind them.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        new = [place for place in places if place not in self.spans]
        try:
            given, until_s = since_s or {}, self.until_s
            firsts = self._by_time({place: given.get(place[0], self.since_s) for place in new})
            known = ends or ({} if until_s is None else self._by_time(dict.fromkeys(new, until_s)))
            for place in new:
                low, high = watermarks(self.consumer, place, mends=UNSETTLED)
                end = min(high, known.get(place, high))
                newest = high if ends else end
                least = 0 if self.is_again else LEAST_UPDATES if place[0] in whole else self.least
                start = max(low, newest - self.records_max, min(firsts.get(place, end), newest - least))
                self.spans[place] = (min(start, end), end)
        except KafkaException as error:
            raise KafkaUnavailable(with_words(error.args[0].str())) from error
        self.unread |= {place: span for place in new if (span := self.spans[place][1] - self.spans[place][0])}
        live = [place for place in new if self.until_s is None or place in self.unread]
        if live:
            self.consumer.incremental_assign([TopicPartition(*place, self.spans[place][0]) for place in live])

    def _by_time(self, places: Mapping[Place, float]) -> dict[Place, int]:
        """The first offset of that time or later, of those partitions that have one."""
        if not places:
            return {}
        asked = [TopicPartition(*place, int(1000 * max(0.0, at_s))) for place, at_s in places.items()]
        found = patiently(partial(self.consumer.offsets_for_times, asked, timeout=TIMEOUT_S), mends=UNSETTLED)
        return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    def poll(self, timeout_s: float) -> list[Message]:
        """What has come.

        Raises:
            KafkaUnavailable: a topic is gone.
        """
        return list(self._those_that_count(batch(self.consumer, BATCH_MAX, timeout_s=timeout_s)))

    def until_caught_up(self) -> Iterator[Message]:
        """Everything that is there now.

        Raises:
            KafkaUnavailable: nothing came for a while, or a topic is gone.
        """
        heard_s = time.monotonic()
        while self.unread:
            found = self.poll(SLICE_S)
            if found:
                heard_s = time.monotonic()
            # The poll may have brought no record, but the last partition's end.
            elif time.monotonic() - heard_s > TIMEOUT_S and self.unread:
                silent = ", ".join(sorted({topic for topic, _ in self.unread}))
                raise KafkaUnavailable(with_words(f"no record of {silent} came for {TIMEOUT_S:.0f} s"))
            yield from found

    def _those_that_count(self, several: Iterable[Message]) -> Iterator[Message]:
        for message in several:
            place, error = (message.topic() or "", message.partition() or 0), message.error()
            if error is None:
                left = self.spans[place][1] - (message.offset() or 0) - 1
                if left > 0:
                    self.unread[place] = left
                else:
                    self.unread.pop(place, None)
                # Some brokers know no offsets by time, and what is told twice is not in order: its own time decides.
                if self.until_s is None or (left >= 0 and message.timestamp()[1] < 1000 * self.until_s):
                    yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                self.unread.pop(place, None)
            elif error.code() not in QUIET and not error.retriable():
                raise KafkaUnavailable(with_words(f"{place[0]}: {error.str()}"))


def share_of(*several: Reading) -> float:
    """Of what was there at the start, what has been read; 1: all of it."""
    whole, unread = sum(each.whole for each in several), sum(sum(each.unread.values()) for each in several)
    return 1.0 - unread / whole if unread else 1.0


def topics_of(present: Mapping[str, list[int]], wanted: Iterable[str]) -> list[Place]:
    """The partitions of those topics that are there.

    >>> topics_of({"a": [0, 1], "b": [0]}, ["a", "c"])
    [('a', 0), ('a', 1)]
    """
    return [(topic, each) for topic in wanted for each in present.get(topic, ())]


# ── Of several configurations ───────────────────────────────────────────────────────────────────────────────────────


def one_kafka(several: Sequence[Settings]) -> dict[str, Any]:
    """librdkafka's settings, of the first.

    Raises:
        ConfigError: the configurations are of another Kafka each.
    """
    servers = {str(each.kafka.get("bootstrap.servers", "")) for each in several}
    if len(servers) > 1:
        raise ConfigError(f"all configurations have to name one Kafka; found: {', '.join(sorted(servers))}")
    return dict(several[0].kafka)


def keys_of(several: Iterable[Settings]) -> dict[str, str]:
    """The topics that a picture is made of: the key of each in `[topics]`, by its full name."""
    return {each.topics.name(key): key for each in several for key in KINDS}

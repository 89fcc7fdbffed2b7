"""Models of one partition each, served together: a key's model is that of the partition on which its events lie.

Which that is, the producers' partitioner says. There are two that producers use by default, and they differ.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, Literal

from confluent_kafka import KafkaException

from anabranch.errors import ConfigError, KafkaUnavailable
from anabranch.events import Partition
from anabranch.kafka import TIMEOUT_S, Kafka, at, batch, consumer, partitions, reader
from anabranch.privacy import OPEN, Edge
from serving.models import Answerer, Choice, Served
from serving.refusal import Refusal

Partitioner = Literal["crc32", "murmur2"]

SAMPLED = 50
"""So many of a partition's last records are looked at."""

SAMPLE_S = 5.0


def crc32(key: bytes) -> int:
    """As librdkafka's `consistent_random`, its default, and so confluent-kafka's."""
    return zlib.crc32(key)


def murmur2(key: bytes) -> int:
    """As the Java client's default partitioner, and librdkafka's `murmur2_random`.

    >>> murmur2(b"21") == -973932308 & 0x7FFFFFFF, murmur2(b"foobar") == -790332482 & 0x7FFFFFFF
    (True, True)
    """
    length, mixed = len(key), 0x9747B28C ^ len(key)
    for start in range(0, length - 3, 4):
        word = int.from_bytes(key[start : start + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        word = (word ^ word >> 24) * 0x5BD1E995 & 0xFFFFFFFF
        mixed = mixed * 0x5BD1E995 & 0xFFFFFFFF ^ word
    if rest := key[length & ~3 :]:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return (mixed ^ mixed >> 15) & 0x7FFFFFFF


HASHES: dict[Partitioner, Callable[[bytes], int]] = {"crc32": crc32, "murmur2": murmur2}


def partition_of(key: str | bytes, *, count: int, partitioner: Partitioner) -> int:
    """The partition that a producer puts a key's events on.

    >>> [partition_of("customer-7", count=8, partitioner=each) for each in ("crc32", "murmur2")]
    [0, 7]
    """
    return HASHES[partitioner](key.encode() if isinstance(key, str) else key) % count


# ── Whether producers really use it ─────────────────────────────────────────────────────────────────────────────────


def see(kafka: Kafka, topic: str, *, partitioner: Partitioner, edge: Edge = OPEN) -> None:
    """See that the keys on the events topic lie where the partitioner says.

    Raises:
        ConfigError: some do not; says which one fits.
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    count = len(partitions(kafka, topic))
    found = list(_sampled(kafka, topic))
    elsewhere = [key for key, number in found if partition_of(key, count=count, partitioner=partitioner) != number]
    if not elsewhere:
        return
    fits = [name for name in HASHES if all(partition_of(key, count=count, partitioner=name) == at for key, at in found)]
    advice = f'set score.partitioner = "{fits[0]}"' if fits else "no other that is known here fits: say --partition"
    shown = edge.pseudonym(elsewhere[0][:50].decode("utf-8", errors="backslashreplace"))
    raise ConfigError(
        f"{topic}: {len(elsewhere)} of the {len(found)} keys that were looked at, {shown!r} for one, are not on the "
        f"partition that {partitioner} says, so that the model of another partition would answer for them; {advice}"
    )


def _sampled(kafka: Kafka, topic: str) -> Iterator[tuple[bytes, int]]:
    """Keys of the last records of each partition, and where they lie."""
    with closing(consumer(reader(kafka))) as client:
        left: dict[int, int] = {}
        starts: dict[Partition, int] = {}
        for number in partitions(kafka, topic):
            place = Partition(topic, number)
            try:
                low, high = client.get_watermark_offsets(at({place: 0})[0], timeout=TIMEOUT_S)
            except KafkaException as error:
                raise KafkaUnavailable(f"{topic} partition {number}: {error.args[0].str()}") from error
            if high > low:
                starts[place], left[number] = max(low, high - SAMPLED), high
        client.assign(at(starts))
        until_s = time.monotonic() + SAMPLE_S
        while left and time.monotonic() < until_s:
            for message in batch(client, 1000, timeout_s=0.2):
                number, key = message.partition() or 0, message.key()
                if message.error() is None and key:
                    yield key, number
                if (message.offset() or 0) + 1 >= left.get(number, 0):
                    left.pop(number, None)


# ── Served ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class ServedByPartition(Served):
    """The models of all partitions under one name; each key has that of its partition.

    Args:
        parts: of each partition, in the order of their numbers.
    """

    def __init__(self, parts: Sequence[Served], *, partitioner: Partitioner) -> None:
        first = parts[0]
        super().__init__(first.follower, string_max=first.string_max, computes=first.computes, edge=first.edge)
        self._parts = tuple(parts)
        self.partitioner: Partitioner = partitioner

    @property
    def takes_ids(self) -> bool:
        """An event's id says nothing of the partition on which it lies."""
        return False

    @property
    def parts(self) -> dict[str, Served]:
        """The models by their names for people, with the partition's number."""
        return {f"{self.name}/p{number}": each for number, each in enumerate(self._parts)}

    def of(self, key: str | bytes | None) -> Served:
        """The model of the partition on which a key's events lie.

        Raises:
            Refusal: 422; there is no key.
        """
        if key is None:
            raise Refusal(
                422,
                f"{self.name!r} has a model for each partition: say whom the request is about, by the header "
                "Anabranch-Key, with the key that its events have on Kafka",
                field="Anabranch-Key",
            )
        return self._parts[partition_of(key, count=len(self._parts), partitioner=self.partitioner)]

    def now(self, key: str | bytes | None = None) -> Answerer:
        """As `Served.now`, of the key's partition."""
        return self.of(key).now(key)

    def choice(self, key: str | bytes | None = None) -> Choice:
        """As `Served.choice`, of the key's partition; without a key, of the first."""
        return (self._parts[0] if key is None else self.of(key)).choice()

    def why_not_ready(self) -> str:
        """Why some partition's model cannot answer; empty if all can."""
        found: dict[str, Any] = {name: each.why_not_ready() for name, each in self.parts.items()}
        return "; ".join(f"{name}: {why}" for name, why in found.items() if why)

"""Models of one partition each, served together: a key's model is that of the partition on which its events lie.

Which that is, the producers' partitioner says. There are two that producers use by default, and they differ.
"""

import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any, Literal

import structlog
from confluent_kafka import KafkaException

from anabranch.errors import ConfigError, KafkaUnavailable
from anabranch.events import Partition
from anabranch.kafka import Kafka, at, batch, consumer, partitions, reader, watermarks
from anabranch.privacy import OPEN, Edge
from serving.explanation import Explanation
from serving.models import Answer, Answerer, Choice, Served, likeliest
from serving.refusal import Refusal

Partitioner = Literal["crc32", "murmur2"]

SAMPLED = 50
"""So many of a partition's last records are looked at."""

SAMPLE_S = 5.0

LOOKS_EVERY_S = 60.0
"""So often it is looked at again, while they are served."""

log = structlog.get_logger()


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
    elsewhere = keys_elsewhere(kafka, topic, partitioner=partitioner, edge=edge)
    if elsewhere:
        raise ConfigError(elsewhere)


def keys_elsewhere(kafka: Kafka, topic: str, *, partitioner: Partitioner, edge: Edge = OPEN) -> str:
    """What is wrong with the keys of the last events, and what to do; empty: they lie where the partitioner says.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    count = len(partitions(kafka, topic))
    found = list(_sampled(kafka, topic))
    elsewhere = [key for key, number in found if partition_of(key, count=count, partitioner=partitioner) != number]
    if not elsewhere:
        return ""
    fits = [name for name in HASHES if all(partition_of(key, count=count, partitioner=name) == at for key, at in found)]
    advice = f'set score.partitioner = "{fits[0]}"' if fits else "no other that is known here fits: say --partition"
    shown = edge.pseudonym(elsewhere[0][:50].decode("utf-8", errors="backslashreplace"))
    return (
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
                low, high = watermarks(client, place)
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


class KeysWatch:
    """Looks again and again whether events still lie where the partitioner says: producers and topics change.

    What it finds is logged, and on /metrics. The scorer goes on: most keys may be right, and a scorer that ends helps
    none of them.

    Args:
        model: its name.
        count: of the partitions whose models are served.
        edge: behind which keys are pseudonyms.
    """

    def __init__(
        self, kafka: Kafka, topic: str, *, model: str, count: int, partitioner: Partitioner, edge: Edge = OPEN
    ) -> None:
        self.kafka, self.topic, self.model, self.count = kafka, topic, model, count
        self.partitioner: Partitioner = partitioner
        self.edge = edge
        self.found = ""
        """What is wrong, as of the last look; empty: nothing."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"keys-{model}", daemon=True)

    def start(self) -> None:
        """Look from now on; the first time was before the scorer began."""
        self._thread.start()

    def stop(self) -> None:
        """End; a look that is under way takes its seconds."""
        self._stopping.set()

    def why_not_ready(self) -> dict[str, str]:
        """Nothing: see above."""
        return {}

    def _run(self) -> None:
        while not self._stopping.wait(LOOKS_EVERY_S):
            self.look()

    def look(self) -> None:
        """Look now; where no broker answers, what was found before still counts."""
        with suppress(KafkaUnavailable, KafkaException):
            before, self.found = self.found, self._elsewhere()
            if self.found and not before:
                log.warning("keys lie elsewhere", model=self.model, reason=self.found)

    def _elsewhere(self) -> str:
        there = len(partitions(self.kafka, self.topic))
        if there != self.count:
            return (
                f"{self.topic} has {there} partitions, and the models of {self.count} are served, so that keys lie "
                "elsewhere now: start the scorer again"
            )
        return keys_elsewhere(self.kafka, self.topic, partitioner=self.partitioner, edge=self.edge)


# ── Served ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Averaged(Answerer):
    """The models of all partitions as one that answers: the mean of their numbers, or of their probabilities.

    Args:
        parts: of each partition, in the order of their numbers.
    """

    def __init__(self, parts: Sequence[Answerer]) -> None:
        super().__init__(parts[0].champion)
        self.parts = tuple(parts)
        self.version = ",".join(str(each.version) for each in parts)
        self.features = frozenset().union(*(each.features for each in parts))
        self.hidden = frozenset().union(*(each.hidden for each in parts))
        self.kinds = {name: kind for each in parts for name, kind in each.kinds.items()}

    @property
    def about(self) -> dict[str, Any]:
        """As `Answerer.about`, with the versions in the order of the partitions."""
        champions = [each.champion for each in self.parts]
        return {
            "scope": "average",
            "versions": [each.version for each in self.parts],
            "events": sum(each.event_number for each in champions),
            "age_s": round(max(each.age_s for each in champions), 3),
        }

    def answer(self, x: dict[str, Any]) -> Answer:
        """As `Answerer.answer`. A model without probabilities counts as sure of its label.

        Raises:
            Refusal: one of the models cannot answer.
        """
        answers = [each.answer(x) for each in self.parts]
        if self.champion.artifact.task not in ("binary", "multiclass"):
            return Answer(sum(each.value for each in answers) / len(answers), None)
        shares: dict[Any, float] = {}
        told = [each.proba or {each.value: 1.0} for each in answers if each.value is not None]
        for label, share in (pair for each in told for pair in each.items()):
            shares[label] = shares.get(label, 0.0) + share / len(told)
        return Answer(likeliest(shares), None if self.proba_of is None else shares)

    def explained(self, x: dict[str, Any]) -> Explanation:
        """An explanation is about one model.

        Raises:
            Refusal: 422, always.
        """
        raise Refusal(422, "the mean of several models answers here, and explanations are of one: say --partition")


class ServedByPartition(Served):
    """The models of all partitions under one name; each key has that of its partition.

    Args:
        parts: of each partition, in the order of their numbers.
        averages: whether their mean answers instead, for everybody.
    """

    def __init__(self, parts: Sequence[Served], *, partitioner: Partitioner, averages: bool = False) -> None:
        first = parts[0]
        # Of what partition a caller is, nobody need know where all answer: so nothing is computed of its events either.
        computes = first.computes and not averages
        super().__init__(first.follower, string_max=first.string_max, computes=computes, edge=first.edge)
        self._parts = tuple(parts)
        self.partitioner: Partitioner = partitioner
        self.averages = averages
        self._averaged: Averaged | None = None

    @property
    def takes_ids(self) -> bool:
        """An event's id says nothing of the partition on which it lies."""
        return self.averages

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
        """As `Served.now`, of the key's partition; or all of them, for their mean."""
        return self._mean(key) if self.averages else self.of(key).now(key)

    def _mean(self, key: str | bytes | None) -> Averaged:
        parts, known = [each.now(key) for each in self._parts], self._averaged
        if known is None or any(each is not before for each, before in zip(parts, known.parts, strict=True)):
            known = self._averaged = Averaged(parts)
        return known

    def choice(self, key: str | bytes | None = None) -> Choice:
        """As `Served.choice`, of the key's partition; without a key, of the first."""
        if self.averages:
            return Choice(self._mean(key))
        return (self._parts[0] if key is None else self.of(key)).choice()

    def why_not_ready(self) -> str:
        """Why some partition's model cannot answer; empty if all can."""
        found: dict[str, Any] = {name: each.why_not_ready() for name, each in self.parts.items()}
        return "; ".join(f"{name}: {why}" for name, why in found.items() if why)

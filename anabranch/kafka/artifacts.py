"""The bytes of a published model, fetched from where its update says that they lie."""

import re
from collections.abc import Iterator
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, KafkaException

from anabranch.artifact import chunk_key
from anabranch.errors import ArtifactError, ArtifactMissing, KafkaUnavailable
from anabranch.events import Partition
from anabranch.kafka import QUIET, Kafka, at, batch, consumer, reader, watermarks
from anabranch.kafka.faults import with_words
from anabranch.messages import ArtifactPointer, ModelUpdate

SILENCE_S = 5.0
PARTITIONS_MAX, OFFSETS_MAX = 2**31, 2**63

CHUNK_MIN_BYTES = 1024
"""No learner cuts them smaller: the number of chunks is bounded by the size, and that by whoever asks."""

SPREAD_MAX = 100
"""So many records of other models, at most, lie between two chunks of one."""

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_NOWHERE = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
)


def fetch(kafka: Kafka, update: ModelUpdate) -> bytes:
    """The bytes of an announced model. (Whether they are right, `artifact.unpack` says.)

    Never more than the update says are read, whatever it says, and nothing is waited for that is not there.

    Raises:
        ArtifactMissing: they are not there, or not yet.
        ArtifactError: the update names a place that no learner would.
        KafkaUnavailable: none came in time.
    """
    with closing(Artifacts(kafka)) as artifacts:
        return artifacts.fetch(update)


def fetch_chunks(kafka: Kafka, pointer: ArtifactPointer, *, key: str, kept: str) -> bytes:
    """The bytes that lie there in chunks; raises what `fetch` raises.

    Args:
        key: of the chunks, less the number that each ends in.
        kept: how long they are, for people.
    """
    with closing(Artifacts(kafka)) as artifacts:
        return artifacts.fetch_chunks(pointer, key=key, kept=kept)


class Artifacts:
    """Fetches one model after the other, with a client that is kept.

    A new client takes several milliseconds until it has found the partition, and now and then seven hundred. One that
    failed is given up, and the next model has a new one. Not for several threads.
    """

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self._client: Consumer | None = None

    def fetch(self, update: ModelUpdate) -> bytes:
        """As the function of this name."""
        return self.fetch_chunks(
            update.pointer,
            key=chunk_key(update.model, update.scope, update.version, sha256=update.pointer.sha256),
            kept="a learner keeps those of its last `publish.versions_kept` versions",
        )

    def fetch_chunks(self, pointer: ArtifactPointer, *, key: str, kept: str) -> bytes:
        """As the function of this name."""
        _see_that_it_can_be(pointer)
        try:
            found = _read(self._kept_client(), pointer, key=key)
        except BaseException:
            self.close()
            raise
        return _joined(found, pointer, key=key, kept=kept)

    def _kept_client(self) -> Consumer:
        if self._client is None:
            # Without the end of the partition, chunks that retention has taken would be waited for. What is asked for
            # is there: a request that waits for more, at the partition's end, would only keep the next one waiting.
            self._client = consumer({**reader(self.kafka), "enable.partition.eof": True, "fetch.wait.max.ms": 1})
        return self._client

    def close(self) -> None:
        """Give the client up, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _read(client: Consumer, pointer: ArtifactPointer, *, key: str) -> dict[str, bytes]:
    """The chunks that are there, by their keys."""
    _see_that_it_is_there(client, pointer)
    found: dict[str, bytes] = {}
    client.assign(at({Partition(pointer.topic, pointer.partition): pointer.first_offset}))
    for found_key, value in _until(client, pointer.last_offset):
        # The key holds the digest: between these chunks may lie
        # others of the same version, from an attempt that was killed.
        if found_key.startswith(key) and value is not None:
            found[found_key] = value
        if sum(map(len, found.values())) > pointer.size_bytes:
            raise ArtifactError(f"its chunks are more than the {pointer.size_bytes} bytes that were announced")
    client.unassign()
    return found


def _joined(found: dict[str, bytes], pointer: ArtifactPointer, *, key: str, kept: str) -> bytes:
    numbers = [f"{key}{number}" for number in range(pointer.chunks)]
    missing = [number for number in numbers if number not in found]
    if missing:
        raise ArtifactMissing(
            f"{pointer.chunks - len(missing)} of {pointer.chunks} chunks are on {_place(pointer)}: {kept}"
        )
    return b"".join(found[number] for number in numbers)


def _see_that_it_can_be(pointer: ArtifactPointer) -> None:
    """Before anything is asked for or kept: whether the numbers can be those of an artifact."""
    span = pointer.last_offset - pointer.first_offset + 1
    if not (
        _TOPIC.fullmatch(pointer.topic)
        and 0 <= pointer.partition < PARTITIONS_MAX
        and 0 <= pointer.first_offset <= pointer.last_offset < OFFSETS_MAX
        and 1 <= pointer.chunks <= min(span, pointer.size_bytes // CHUNK_MIN_BYTES + 1)
        and span <= SPREAD_MAX * pointer.chunks
    ):
        raise ArtifactError(
            f"{pointer.chunks} chunks of {pointer.size_bytes} bytes in all cannot be on {_place(pointer)}"
        )


def _see_that_it_is_there(client: Consumer, pointer: ArtifactPointer) -> None:
    try:
        first, end = watermarks(client, Partition(pointer.topic, pointer.partition), timeout_s=SILENCE_S)
    except KafkaException as error:
        if error.args[0].code() in _NOWHERE:
            raise ArtifactMissing(f"{_place(pointer)}: {error.args[0].str()}") from error
        raise KafkaUnavailable(with_words(f"{_place(pointer)}: {error.args[0].str()}")) from error
    if not first <= pointer.first_offset <= pointer.last_offset < end:
        raise ArtifactMissing(f"its chunks were announced on {_place(pointer)}, which holds {first} to {end - 1}")


def _place(pointer: ArtifactPointer) -> str:
    return f"{pointer.topic!r} partition {pointer.partition} offsets {pointer.first_offset} to {pointer.last_offset}"


def _until(client: Consumer, last_offset: int) -> Iterator[tuple[str, bytes | None]]:
    """Keys and values up to `last_offset`, or up to the partition's end."""
    while True:
        messages = batch(client, 100, timeout_s=SILENCE_S)
        if not messages:
            raise KafkaUnavailable(with_words(f"no chunk of the model came for {SILENCE_S:.0f} s"))
        for message in messages:
            error, offset = message.error(), message.offset() or 0
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    return
                if error.code() in QUIET or error.retriable():
                    continue
                raise ArtifactMissing(f"its chunks cannot be read: {error.str()}")
            if offset <= last_offset:
                # Anybody may write there: a key that is no text must not end the reading.
                yield bytes(message.key() or b"").decode(errors="replace"), message.value()
            if offset >= last_offset:
                return

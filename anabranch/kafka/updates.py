"""Published models on Kafka: the updates of a model, and the bytes that an update points to."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Message

from anabranch.candidates import Refusals, order
from anabranch.errors import ArtifactError
from anabranch.events import Partition
from anabranch.kafka import TIMEOUT_S, Kafka, headers_of, producer, publisher
from anabranch.kafka.tail import Tail, told
from anabranch.messages import ModelAck, ModelUpdate, SegmentModel, ServedCounts, UnreadableMessage, decode, encode
from anabranch.segments import SegmentModels, key_of
from anabranch.signatures import TrustedKeys

log = logging.getLogger("anabranch.models")

FOLLOWED_TIMEOUT_S = 5.0

UPDATE_MAX_BYTES = 2**20
"""What a broker takes without being told otherwise; an update has a few thousand."""

EPOCH_MAX = 1_000_000
"""An epoch is a rebuild, or the loss of a checkpoint."""

NUMBER_MAX = 1_000_000_000
"""Of versions and announcements within an epoch: one a second for thirty years."""


class _Told:
    """Reads what is told of one model from the beginning of a topic; a context manager."""

    def __init__(
        self,
        kafka: Kafka,
        *,
        topic: str,
        model: str,
        scope: str = "global",
        timeout_s: float = FOLLOWED_TIMEOUT_S,
        keys: TrustedKeys | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.model, self.scope = model, scope
        self.keys, self.refusals = keys, refusals or Refusals()
        self.tail = Tail(kafka, [topic], timeout_s=timeout_s)

    def _pass_over(self, message: Message, error: Exception) -> None:
        """Count it, and say so: it must not stop the readers."""
        place = Partition(message.topic() or "", message.partition() or 0)
        if self.refusals.add_record(error, place, offset=message.offset() or 0):
            log.warning("passed over: %s", self.refusals.last)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tail.__exit__(kind, error, trace)


class Updates(_Told):
    """Reads the updates of one model from the beginning of the topic, all partitions, for as long as it is asked.

    Args:
        kafka: librdkafka's settings.
        topic: the topic of the updates.
        model: only updates of this model are given.
        timeout_s: how long to wait for a broker's first answer. A follower asks again, and can be stopped in between.
        keys: one of them must have signed an update; None: no signature is asked for.
        refusals: where what is passed over is counted.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """

    @property
    def caught_up(self) -> bool:
        """Whether everything that was there at the start has been given."""
        return self.tail.caught_up

    def poll(self, timeout_s: float) -> list[ModelUpdate]:
        """The updates that came, in no order across partitions: sort by (epoch, seq).

        Raises:
            KafkaUnavailable: the topic is gone.
        """
        return [update for message in self.tail.poll(timeout_s) for update in self._mine(message)]

    def until_caught_up(self) -> Iterator[ModelUpdate]:
        """The updates that are there now.

        Raises:
            KafkaUnavailable: nothing came for a while, or the topic is gone.
        """
        for message in self.tail.until_caught_up():
            yield from self._mine(message)

    def _mine(self, message: Message) -> list[ModelUpdate]:
        # By the key, before the value is looked at: what is wrong
        # with other models' updates is not this reader's to tell.
        if not bytes(message.key() or b"").startswith(f"{self.model}/{self.scope}/".encode()):
            return []
        try:
            update = _read(message, self.keys)
        except (ArtifactError, UnreadableMessage) as error:
            # Here and now, so that a forged one has no place among those that are tried.
            self._pass_over(message, error)
            return []
        return [] if update is None else [update]


def all_updates(
    kafka: Kafka, *, topic: str, model: str, scope: str = "global", keys: TrustedKeys | None = None
) -> list[ModelUpdate]:
    """What has been announced of a model so far, oldest first; with `keys`, what one of them has signed."""
    with Updates(kafka, topic=topic, model=model, scope=scope, timeout_s=TIMEOUT_S, keys=keys) as updates:
        found = list(updates.until_caught_up())
    return sorted(found, key=order)


def announced(kafka: Kafka, *, topic: str) -> set[tuple[str, str]]:
    """The models that have updates on a topic: name and scope of each.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    return {(update.model, update.scope) for _, update in records(kafka, topic=topic)}


def records(kafka: Kafka, *, topic: str) -> Iterator[tuple[Message, ModelUpdate]]:
    """The updates of all models that are on a topic now, each with its record; whoever has signed them.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    with Tail(kafka, [topic]) as tail:
        for message in tail.until_caught_up():
            try:
                update = _read(message)
            except (ArtifactError, UnreadableMessage):
                continue
            if update is not None:
                yield message, update


def _read(message: Message, keys: TrustedKeys | None = None) -> ModelUpdate | None:
    """The update in a record; None for a tombstone. Nothing is parsed before its size and its signature are right.

    Raises:
        ArtifactError: it is too large, or signed by nobody who is trusted.
        UnreadableMessage: it is none, or not one that a learner announces under such a key.
    """
    key, value = bytes(message.key() or b"").decode(errors="replace"), message.value()
    if value is None:
        return None
    if len(value) > UPDATE_MAX_BYTES:
        raise ArtifactError(f"{len(value)} bytes are more than an update has ({UPDATE_MAX_BYTES})", check="size")
    if keys is not None:
        keys.verify(value, headers_of(message))
    update = decode(ModelUpdate, value)
    if not key.startswith(f"{update.model}/{update.scope}/"):
        raise UnreadableMessage(f"it is of {update.model}/{update.scope}, but its key is {key[:200]!r}")
    for name, number, most in (
        ("epoch", update.epoch, EPOCH_MAX),
        ("seq", update.seq, NUMBER_MAX),
        ("version", update.version, NUMBER_MAX),
    ):
        if not 0 <= number <= most:
            raise UnreadableMessage(f"no learner announces {name} {number}")
    return update


# ── Models of segments ──────────────────────────────────────────────────────────────────────────────────────────────


class SegmentUpdates(_Told):
    """Reads what is announced of the segments of one model, from the beginning of the topic; a context manager.

    Args:
        kafka, model, scope, keys, refusals: as of `Updates`.
        topic: the topic of per-segment models.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """

    def poll_into(self, models: SegmentModels) -> None:
        """Take in what has come; what cannot be read is counted, and passed over.

        Raises:
            KafkaUnavailable: the topic is gone.
        """
        while found := self.tail.poll(0.0):
            for message in found:
                try:
                    self._take(message, models)
                except (ArtifactError, UnreadableMessage) as error:
                    self._pass_over(message, error)

    def _take(self, message: Message, models: SegmentModels) -> None:
        value, key = bytes(message.value() or b""), bytes(message.key() or b"").decode(errors="replace")
        if not value or not key.startswith(f"{self.model}/{self.scope}/"):
            return
        if self.keys is not None:
            self.keys.verify(value, headers_of(message))
        told = decode(SegmentModel, value)
        if key != key_of(self.model, self.scope, told.segment) or (told.model, told.scope) != (self.model, self.scope):
            raise UnreadableMessage(
                f"it is of {told.model}/{told.scope}/{told.segment[:100]}, but its key is {key[:200]!r}"
            )
        models.hear(told)


# ── Who serves what: told by followers, read by `anabranch followers` ───────────────────────────────────────────────

ALIVE_S = 30.0
"""So often a follower tells that it is there, at least."""

ROLLOUT_S = 2.0
"""So often it tells what it was asked, while a new champion is rolled out."""

LAST_WORDS_S = 2.0


class Acks:
    """Tells which version a follower serves. Nothing waits for it, and it is no harm where nobody can be told.

    Args:
        topic: where it is told.
        follower: its name.
    """

    def __init__(self, kafka: Kafka, *, topic: str, follower: str, model: str, scope: str = "global") -> None:
        self.topic = topic
        self.follower, self.model, self.scope = follower, model, scope
        self.producer = publisher(producer(kafka))
        self._last: ModelAck | None = None
        self._told: tuple[Any, ...] = ()
        self._due_s = 0.0

    def tell(
        self,
        update: ModelUpdate | None,
        *,
        taken_s: float | None,
        refusals: Refusals,
        served: ServedCounts | None = None,
    ) -> None:
        """Tell it, if it is news or the last was some time ago.

        Args:
            update: the one in use; that by which the model is retired.
            taken_s: how long it took from its announcement to its use.
            served: what was asked of both versions, while a new one is rolled out.
        """
        now_s = time.monotonic()
        numbers = (0, 0, 0) if update is None else (update.version, update.epoch, update.seq)
        way = None if served is None else (served.beside, served.refusing)
        news = (numbers, taken_s, refusals.counts.total(), refusals.last, way)
        if news == self._told and now_s < self._due_s:
            return
        self._told, self._due_s = news, now_s + (ALIVE_S if served is None else ROLLOUT_S)
        version, epoch, seq = numbers
        version = 0 if update is not None and update.kind == "retired" else version
        self._send(
            ModelAck(
                follower=self.follower,
                model=self.model,
                scope=self.scope,
                version=version,
                epoch=epoch,
                seq=seq,
                ts=time.time(),
                taken_s=taken_s,
                refusals=dict(refusals.counts),
                last_refusal=refusals.last or "",
                served=served,
            )
        )

    def _send(self, ack: ModelAck) -> None:
        self._last = ack
        with suppress(BufferError):  # brokers are away: the next one says it as well
            self.producer.produce(self.topic, key=f"{ack.model}/{ack.scope}/{ack.follower}", value=encode(ack))
        self.producer.poll(0)

    def leave(self) -> None:
        """Say that the follower ends."""
        if self._last is not None:
            self._send(self._last.model_copy(update={"ts": time.time(), "left": True}))
        self.producer.flush(LAST_WORDS_S)


def acknowledged(kafka: Kafka, *, topic: str, model: str, scope: str = "global") -> list[ModelAck]:
    """What followers of a model have told so far, oldest first.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    found = [ack for _, ack in told(kafka, topic, ModelAck) if (ack.model, ack.scope) == (model, scope)]
    return sorted(found, key=lambda ack: ack.ts)

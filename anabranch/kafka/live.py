"""A model that goes on learning as its learner does: from the learned order on Kafka, and the records that it names."""

import logging
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaException, Message, TopicPartition

from anabranch.artifact import Artifact
from anabranch.errors import KafkaUnavailable, SignatureError
from anabranch.kafka import TIMEOUT_S, Kafka, consumer, headers_of, partitions, reader
from anabranch.kafka.tail import Tail
from anabranch.learning_along import LearningAlong
from anabranch.messages import ModelUpdate, UnreadableMessage
from anabranch.order import read_example, read_order
from anabranch.signatures import TrustedKeys

log = logging.getLogger("anabranch.follower")

BEFORE_S = 60.0
"""Clocks of brokers and learners differ, and a message of the order is older than the announcement after it."""


class OrderTail(Tail):
    """The learned order of a model and the records that are asked for, as they come; a context manager.

    Args:
        topic: of the order.
        since_s: epoch seconds from which on it is read.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """

    def __init__(self, kafka: Kafka, *, topic: str, since_s: float, timeout_s: float = TIMEOUT_S) -> None:
        self.topics, self.unread = topic, set()
        every = partitions(kafka, topic, timeout_s=timeout_s)
        self.consumer = consumer({**reader(kafka), "auto.offset.reset": "earliest"})
        self.assigned: set[tuple[str, int]] = set()
        self.since_ms, self.timeout_s = int(1000 * max(0.0, since_s - BEFORE_S)), timeout_s
        try:
            self.consumer.assign(self._since([(topic, each) for each in every]))
        except KafkaUnavailable:
            self.consumer.close()
            raise

    def _since(self, places: Sequence[tuple[str, int]]) -> list[TopicPartition]:
        """Where what was told since then begins."""
        try:
            return self.consumer.offsets_for_times(
                [TopicPartition(*place, self.since_ms) for place in places], timeout=self.timeout_s
            )
        except KafkaException as error:
            raise KafkaUnavailable(f"{self.topics}: {error.args[0].str()}") from error

    def want(self, starts: Mapping[tuple[str, int], int | None]) -> None:
        """Read these partitions too, from these offsets on, None: from the same time as the order.

        Those that are read already go on as they are.
        """
        added = {place: start for place, start in starts.items() if place not in self.assigned}
        if added:
            begin = [TopicPartition(*place, start) for place, start in added.items() if start is not None]
            if by_time := [place for place, start in added.items() if start is None]:
                begin += self._since(by_time)
            self.consumer.incremental_assign(begin)
            self.assigned |= set(added)


LIVE_S = 0.02
"""How long a follower that learns along waits for what is learned next."""

LACKS_S = 30.0
"""What does not come for so long, though what came after it was told, is said to be missing."""


class _Said:
    """What the log was told last, so that it is told each thing once."""

    def __init__(self) -> None:
        self.last = ""

    def is_news(self, what: str) -> bool:
        before, self.last = self.last, what
        return what not in ("", before)


class LiveModel:
    """The model that learns along with its learner, on Kafka; a context manager, each time anew.

    Those who predict get snapshots of it, so that no model changes under them. What a snapshot takes is at most a tenth
    of the time: a large model is a little behind.

    Args:
        topic: of the learned order.
        trusted: import paths of classes outside River that it may hold.
        keys: one of them must have signed the order; None: no signature is asked for.
    """

    def __init__(
        self, kafka: Kafka, *, topic: str, model: str, scope: str, trusted: tuple[str, ...], keys: TrustedKeys | None
    ) -> None:
        self.kafka = kafka
        self.topic = topic
        self.model = model
        self.scope = scope
        self.trusted = trusted
        self.keys = keys
        self.along = LearningAlong(trusted=trusted)
        self.tail: OrderTail | None = None
        self.examples = ""
        """The topic of examples, where what is learned is told there."""
        self.copy: tuple[ModelUpdate, Artifact] | None = None
        """The last that was announced."""
        self._is_news, self._due_s = False, 0.0
        self._stopped, self._lacks = _Said(), _Said()
        """Why it stopped, and what is missing."""
        self._goes_on_s = time.monotonic()
        """When it last went on, or was looked what is missing."""
        self._has_unreadable = False

    def __enter__(self) -> Self:
        partitions(self.kafka, self.topic)  # raises where there is no such topic
        if self.copy is not None:
            self.along.exchange(*self.copy)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.tail is not None:
            self.tail.__exit__(kind, error, trace)
            self.tail = None
        self.along = LearningAlong(trusted=self.trusted)

    def exchange(self, update: ModelUpdate, artifact: Artifact) -> None:
        """A copy was announced."""
        self.copy, differed = (update, artifact), self.along.differed
        self.along.exchange(update, artifact)
        self._is_news = True
        if self.along.differed > differed:
            log.warning(
                "%s: version %d is not what was learned along; it goes on from the copy", self.model, update.version
            )

    def learned(self, *, timeout_s: float) -> Any:
        """The model as the learner has it by now; None if it is as it was, or it is too soon."""
        if self.copy is None:
            return None
        if self.tail is None:
            self.tail = OrderTail(self.kafka, topic=self.topic, since_s=self.copy[0].announced_ts)
        for message in self.tail.poll(timeout_s):
            self._hear(message)
        self.tail.want(self.along.wanted())
        before = self.along.at
        self._is_news = self.along.advance() > 0 or self._is_news
        self._warn_if_stopped()
        began_s = time.monotonic()
        if self.along.at != before:
            self._goes_on_s = began_s
        elif began_s - self._goes_on_s > LACKS_S:
            self._goes_on_s = began_s
            self._warn_if_it_lacks()
        if not self._is_news or began_s < self._due_s:
            return None
        snapshot = self.along.snapshot()
        self._is_news, now_s = False, time.monotonic()
        self._due_s = now_s + 9 * (now_s - began_s)
        return snapshot

    def _warn_if_stopped(self) -> None:
        if self._stopped.is_news(self.along.stopped):
            log.warning("%s: nothing is learned along until the next copy: %s", self.model, self.along.stopped)

    def _warn_if_it_lacks(self) -> None:
        if self._lacks.is_news(lacks := self.along.lacks()):
            log.warning(
                "%s: nothing is learned along until it comes or the next copy does: %s is missing, and more was told "
                "(has its topic a retention that is too short?)",
                self.model,
                lacks,
            )

    def _hear(self, message: Message) -> None:
        topic, value = message.topic() or "", bytes(message.value() or b"")
        if topic != self.topic:
            self._hear_record((topic, message.partition() or 0, message.offset() or 0), value, key=message.key())
            return
        try:
            if self.keys is not None:
                self.keys.verify(value, headers_of(message))
            order = read_order(value)
        except SignatureError as error:
            # On this topic it may well be another model's, whose learner has another key.
            log.debug("passed over: %s offset %s: %s", topic, message.offset(), error)
            return
        except UnreadableMessage as error:
            log.warning("passed over: %s offset %s: %s", topic, message.offset(), error)
            return
        if (order.model, order.scope) == (self.model, self.scope):
            self.along.tell(order, ts=message.timestamp()[1] / 1000)
            if order.examples is not None:
                self.examples = order.examples.topic

    def _hear_record(self, place: tuple[str, int, int], value: bytes, *, key: bytes | str | None) -> None:
        if place[0] != self.examples:
            self.along.hear(place, value, key=key.encode() if isinstance(key, str) else key)
            return
        try:
            told = read_example(value)
        except UnreadableMessage as error:
            level = logging.DEBUG if self._has_unreadable else logging.WARNING  # of many the first
            log.log(level, "passed over: %s partition %s offset %s: %s", *place, error)
            self._has_unreadable = True
            return
        # Other models' are on the topic, too.
        if (told["model"], told["scope"]) == (self.model, self.scope):
            self.along.hear_example(told, value)

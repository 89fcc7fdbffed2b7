"""Events answered on a topic: each record of the events gets one prediction, however often scorers crash and restart.

What was answered and how far the group has come are one transaction: whoever reads committed records sees each answer
once. A scorer that has no model, or too old a one, leaves its partitions to others.
"""

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from anabranch.errors import AnabranchError, KafkaUnavailable
from anabranch.events import Partition
from anabranch.kafka import (
    TIMEOUT_S,
    at,
    batch,
    consumer,
    partitions,
    producer,
    publisher,
    sharer,
    trace_of,
    watermarks,
)
from anabranch.messages import ModelPrediction, encode
from anabranch.values import as_key, plain
from config.settings import Settings
from serving.models import Answer, Choice, Served
from serving.refusal import Refusal
from serving.rows import Row, features_of, table_of, time_of

log = structlog.get_logger()

GROUP = "anabranch-score-"
"""Before the model's name: the group that answers its events."""

BATCH_MAX = 200
POLL_S = 0.05
AGAIN_S = 1.0
TRANSACTION_S = 30.0
OPEN_MAX_MS = 10_000
"""So long the transaction of a scorer that was killed hides the answers of others after it."""


class AnsweredEvents:
    """Answers the events of one model in a thread, as a member of the group that shares them.

    Args:
        served: the model.
    """

    def __init__(self, settings: Settings, served: Served) -> None:
        self.settings = settings
        self.served = served
        self.events = settings.topics.name("events")
        self.predictions = settings.topics.name("predictions")
        self.counted = _uncounted
        """Is told what became of records: how many were answered, and skipped, and how many are still to be."""
        self.has_begun = False
        """Whether it has had a place in the group, whatever partitions came with it."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"predictions-{served.name}", daemon=True)

    def start(self) -> None:
        """Begin as soon as there is a model."""
        self._thread.start()

    def stop(self) -> None:
        """End after the transaction at hand."""
        self._stopping.set()
        self._thread.join()

    def why_not_ready(self) -> dict[str, str]:
        """Before it has begun, events that come may be answered by nobody."""
        waits = f"no place yet in the group {GROUP}{self.served.name}, which answers events"
        return {} if self.has_begun else {self.served.name: waits}

    def _run(self) -> None:
        said = ""
        while not self._stopping.is_set():
            if self.served.why_not_ready():
                self._stopping.wait(POLL_S)
                continue
            try:
                self._answer_on()
            except (KafkaException, AnabranchError) as error:
                # Whatever it is, the group's position is that of the last transaction: begin again from there.
                reason = str(error.args[0].str() if isinstance(error, KafkaException) else error)
                if reason != said:
                    log.warning("predictions are interrupted", model=self.served.name, reason=reason)
                said = reason
                self._stopping.wait(AGAIN_S)

    def _answer_on(self) -> None:
        """Join the group and answer, for as long as there is a model.

        Raises:
            KafkaException, KafkaUnavailable: something came between.
        """
        for topic in (self.events, self.predictions):
            partitions(self.settings.kafka, topic)  # raises where there is none, and says what to do
        writer = publisher(_transactional(self.settings))
        writer.init_transactions(TRANSACTION_S)
        with closing(consumer(_sharing(self.settings))) as reader:
            gained: list[TopicPartition] = []
            has_place = False

            def on_assign(reader: Consumer, assigned: list[TopicPartition]) -> None:
                nonlocal has_place
                positions, has_place = self._positions(reader, assigned), True
                reader.assign(positions)
                gained.extend(positions)

            reader.subscribe([self.events], on_assign=on_assign)
            while not self._stopping.is_set() and not self.served.why_not_ready():
                messages = [each for each in batch(reader, BATCH_MAX, timeout_s=POLL_S) if _is_record(each)]
                if gained:
                    # Where a group begins is kept at once: whoever is killed before its first answer must not take the
                    # beginning along.
                    _move_on(writer, reader, gained)
                    gained.clear()
                self.has_begun = self.has_begun or has_place
                answered = self._transact(writer, reader, messages) if messages else 0
                self.counted(self.served.name, answered, len(messages) - answered, _lag(reader))
        self.counted(self.served.name, 0, 0, 0)  # what it has left is others' to answer

    def _positions(self, reader: Consumer, assigned: list[TopicPartition]) -> list[TopicPartition]:
        """Where the group has come to; in a partition where it has never been, the end or the beginning."""
        begins = self.settings.score.predictions_start == "earliest"
        positions = []
        for each in reader.committed(assigned, timeout=TIMEOUT_S):
            if each.error is not None:
                raise KafkaUnavailable(f"where group {GROUP}{self.served.name} has come to: {each.error.str()}")
            offset = each.offset
            if offset < 0:
                first, end = watermarks(reader, Partition(each.topic, each.partition))
                offset = first if begins else end
            positions.append(TopicPartition(each.topic, each.partition, offset))
        return positions

    def _transact(self, writer: Producer, reader: Consumer, messages: Sequence[Message]) -> int:
        """Answer these by the models of one moment, all or none; how many there were to answer."""
        choice, answered = self.served.choice(), 0
        writer.begin_transaction()
        try:
            for message in messages:
                each = self._told(choice, message)
                if each is not None:
                    answered += 1
                    writer.produce(self.predictions, key=each.id, value=encode(each), headers=[*trace_of(message)])
                    writer.poll(0)
            _end(writer, reader, _after(messages))
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                writer.abort_transaction(TRANSACTION_S)
            raise
        return answered

    def _told(self, choice: Choice, message: Message) -> ModelPrediction | None:
        try:
            table = table_of(bytes(message.value() or b""))
        except Refusal:
            return None  # the learner says what is wrong with it
        if not isinstance(table, dict) or not isinstance(table.get("id"), str) or not table["id"]:
            return None
        answerer, edge = choice.of(message.key() or table["id"]), self.served.edge
        try:
            # Without its label: what is answered must not depend on it.
            x = features_of(table.get("features"), where="features", string_max=self.served.string_max)
            row = Row(table["id"], x, time_of(table.get("ts"), field="ts")).within(edge)
            row = row.with_computed(self.served.computed(answerer, row, key=_text(message.key())))
            answer, failure = answerer.answer(row.x), ""
        except Refusal as refusal:
            row, answer, failure = Row(table["id"], {}), Answer(None, None), refusal.text
        champion = answerer.champion
        return ModelPrediction(
            id=edge.pseudonym(table["id"]),
            by="scorer",
            model=self.served.name,
            scope=champion.update.scope,
            version=champion.update.version,
            epoch=champion.update.epoch,
            seq=champion.update.seq,
            event_number=champion.event_number,
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            ts=time.time(),
            age_s=champion.age_s,
            prediction=plain(answer.value),
            probabilities={as_key(label): float(share) for label, share in (answer.proba or {}).items()},
            missing=() if failure else tuple(answerer.missing(row.x)),
            unknown=() if failure else tuple(answerer.unknown(row.x)),
            failure=failure,
        )


def _text(key: str | bytes | None) -> str | None:
    """A record's key as the learner takes it for a feature."""
    return key.decode("utf-8", errors="replace") if isinstance(key, bytes) else key


def _uncounted(model: str, answered: int, skipped: int, lag: int) -> None:
    """Nobody counts."""


def _lag(reader: Consumer) -> int:
    """How many records of its partitions it has not read, as far as the broker has told."""
    lag = 0
    for each in reader.position(reader.assignment()):
        _, end = reader.get_watermark_offsets(each, cached=True)
        lag += max(0, end - each.offset) if each.offset >= 0 else 0
    return lag


def _is_record(message: Message) -> bool:
    """Whether it is one; an end of the log is none, and faults that mend by themselves are none.

    Raises:
        KafkaUnavailable: something else came in place of one.
    """
    error = message.error()
    if error is None:
        return True
    if error.code() != KafkaError._PARTITION_EOF and not error.retriable():
        raise KafkaUnavailable(error.str())
    return False


def _move_on(writer: Producer, reader: Consumer, positions: list[TopicPartition]) -> None:
    writer.begin_transaction()
    _end(writer, reader, positions)


def _end(writer: Producer, reader: Consumer, positions: list[TopicPartition]) -> None:
    """Commit the transaction, and the group's positions with it: the broker refuses who is in the group no longer."""
    writer.send_offsets_to_transaction(positions, reader.consumer_group_metadata(), TRANSACTION_S)
    writer.commit_transaction(TRANSACTION_S)


def _after(messages: Sequence[Message]) -> list[TopicPartition]:
    """The group's positions once these are answered."""
    # Of one partition they come in the order of their offsets.
    return at({Partition(each.topic() or "", each.partition() or 0): (each.offset() or 0) + 1 for each in messages})


def _sharing(settings: Settings) -> dict[str, Any]:
    return sharer(settings.kafka, model=f"score-{settings.name}", assignment="range")


def _transactional(settings: Settings) -> dict[str, Any]:
    # A name of its own for each producer: what fences a former one is the group, which transactions carry along.
    name = f"{GROUP}{settings.name}-{uuid.uuid4().hex[:12]}"
    # librdkafka wants no message to be waited for longer than its transaction.
    bounds = {"transaction.timeout.ms": OPEN_MAX_MS, "message.timeout.ms": OPEN_MAX_MS}
    return {**producer(settings.kafka), "transactional.id": name, **bounds}

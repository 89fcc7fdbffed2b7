"""A worker: takes retraining jobs from their topic, in a group of its model's workers, and answers on another.

A job's offset is committed when its result is acknowledged, and not before: the jobs of a worker that dies are taken by
another one, and a result that comes twice is the same.
"""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from anabranch.errors import AnabranchError, ArtifactError, KafkaRefused, KafkaUnavailable
from anabranch.kafka import QUIET, Kafka, consumer, producer, sharer
from anabranch.messages import TrainJob, TrainResult, UnreadableMessage, decode, encode
from anabranch.statetree import StateTreeError
from config.settings import Settings
from consumers.jobs.packed import carry_out, digest, whole
from consumers.jobs.topic import POLL_S, NotCarriedOut, is_chunk, laid, lifted
from consumers.kafka.sink import KafkaSink
from consumers.ports import Clock
from consumers.timing import Voice

log = structlog.get_logger()

AGAIN_S = 2.0


class _Place(NamedTuple):
    topic: str
    partition: int
    offset: int


class _AtWork(NamedTuple):
    """The job that is being carried out."""

    job: TrainJob
    place: _Place
    future: "Future[bytes]"


def group_of(kafka: Kafka, *, model: str) -> dict[str, Any]:
    """Settings of a consumer in the group of a model's workers.

    No model's name holds a slash, so that no learner is ever in it.
    """
    settings = sharer(kafka, model=f"{model}/train", assignment="cooperative-sticky")
    settings.pop("group.instance.id", None)  # each worker is a member of its own
    # A job may have been there before the first worker: it is carried out if anybody waits for it.
    return {**settings, "auto.offset.reset": "earliest", "enable.partition.eof": False}


class Worker:
    """One job at a time, in a process of its own, while this thread stays in the group.

    Args:
        executor: carries jobs out.
        stopping: set when it is to end; the job at hand is then left to the others.
        process: who this is, for people.
    """

    def __init__(
        self, settings: Settings, *, executor: Executor, clock: Clock, stopping: threading.Event, process: str = ""
    ) -> None:
        self.settings = settings
        self.executor = executor
        self.clock = clock
        self.stopping = stopping
        self.process = process
        self.delivered = 0
        """How many results it has published."""
        self.waiting: deque[Message] = deque()
        self.at_work: _AtWork | None = None

    def run(self) -> None:
        """Carry out jobs until it is to end. Brokers that go away are waited for.

        Raises:
            KafkaRefused: no broker will ever take it: a password, a right that is missing.
        """
        voice = Voice()
        while not self.stopping.is_set():
            try:
                self._take_jobs()
            except KafkaRefused:
                raise
            except KafkaUnavailable as error:
                voice.waits(str(error))
                self.stopping.wait(AGAIN_S)

    def _take_jobs(self) -> None:
        """As a member of the group."""
        self.sink = KafkaSink(producer(self.settings.kafka), stopping=self.stopping)
        client = consumer(group_of(self.settings.kafka, model=self.settings.name))
        topic = self.settings.topics.name("train_jobs")
        client.subscribe([topic], on_revoke=self._gone, on_lost=self._gone)
        try:
            while not self.stopping.is_set():
                self._turn(client)
        finally:
            self._give_up()
            client.close()

    def _turn(self, client: Consumer) -> None:
        message = client.poll(POLL_S)
        if message is not None:
            self._hear(message)
        if self.at_work is not None:
            self._look_after(client, self.at_work)
        while self.waiting and self.at_work is None:
            self._begin(client, self.waiting.popleft())
        # Whoever has a job stays in the group, which polling does, and takes no other.
        mine = client.assignment()
        with suppress(KafkaException):  # they have just gone to another
            client.resume(mine) if self.at_work is None else client.pause(mine)

    def _hear(self, message: Message) -> None:
        error = message.error()
        if error is None:
            if not is_chunk(message):
                self.waiting.append(message)
        elif error.code() not in (*QUIET, KafkaError._MAX_POLL_EXCEEDED) and not error.retriable():
            raise KafkaUnavailable(f"{self.settings.topics.name('train_jobs')}: {error.str()}")

    def _begin(self, client: Consumer, message: Message) -> None:
        """Have a job carried out, if it is one of this model's and somebody waits for it."""
        place = _Place(message.topic() or "", message.partition() or 0, message.offset() or 0)
        try:
            job = decode(TrainJob, bytes(message.value() or b""))
        except UnreadableMessage as error:
            log.warning("passed over", **place._asdict(), reason=str(error))
            return self._commit(client, place)
        if job.model != self.settings.name:
            return self._commit(client, place)
        if job.until < self.clock.time_s():
            log.info("passed over", model=job.model, job=job.job, reason="nobody waits for it any more")
            return self._commit(client, place)
        log.info("job taken", model=job.model, job=job.job, partition=place.partition, offset=place.offset)
        self.at_work = _AtWork(job, place, self._submitted(job))
        return None

    def _submitted(self, job: TrainJob) -> "Future[bytes]":
        try:
            data = lifted(self.settings.kafka, job.data, model=job.model, job_id=job.id)
            if digest(data, self.settings) != job.id:
                raise NotCarriedOut(
                    "its configuration, or its version of River, is another than the learner's: give both the same"
                )
        except (ArtifactError, NotCarriedOut, StateTreeError) as error:
            failed: Future[bytes] = Future()
            failed.set_exception(error)
            return failed
        return self.executor.submit(carry_out, whole(self.settings), data)

    def _look_after(self, client: Consumer, work: _AtWork) -> None:
        """Answer when it is done; end it when nobody waits for it any more."""
        if work.future.done():
            self._answer(work)
        elif work.job.until < self.clock.time_s():
            log.warning("job ended", model=work.job.model, job=work.job.job, reason="nobody waits for it any more")
            work.future.cancel()
        else:
            return
        self.at_work = None
        self._commit(client, work.place)

    def _answer(self, work: _AtWork) -> None:
        """Put the result on its topic, and wait until it is there."""
        job, topic = work.job, self.settings.topics.name("train_results")
        failure, pointer = "", None
        error = work.future.exception()
        if error is None:
            pointer = laid(self.sink, work.future.result(), topic=topic, model=job.model, job_id=job.id)
        else:
            failure = str(error) if isinstance(error, AnabranchError) else f"{type(error).__name__}: {error}"
        told = TrainResult(
            id=job.id,
            model=job.model,
            job=job.job,
            by=self.process[:200],
            ts=self.clock.time_s(),
            failure=failure,
            data=pointer,
        )
        self.sink.send(topic, key=told.id, value=encode(told))
        self.sink.flush()
        self.delivered += 1
        log.info("job done", model=job.model, job=job.job, failure=failure)

    def _commit(self, client: Consumer, place: _Place) -> None:
        """What lies behind it is next. If the group has dealt it to another meanwhile, it is carried out once more."""
        next_one = TopicPartition(place.topic, place.partition, place.offset + 1)
        try:
            client.commit(offsets=[next_one], asynchronous=False)
        except KafkaException as error:
            log.warning("not committed", model=self.settings.name, reason=error.args[0].str())

    def _gone(self, client: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Another worker has these now, and what was not committed of them."""
        del client
        gone = {(each.topic, each.partition) for each in partitions}
        self.waiting = deque(each for each in self.waiting if (each.topic(), each.partition()) not in gone)
        if self.at_work is not None and self.at_work.place[:2] in gone:
            self._give_up()

    def _give_up(self) -> None:
        if self.at_work is not None:
            self.at_work.future.cancel()
        self.at_work = None

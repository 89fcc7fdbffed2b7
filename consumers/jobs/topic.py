"""An executor of retraining jobs that lie on a topic, until one of the workers there has answered on another."""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import closing, suppress
from typing import Any, NamedTuple

import structlog
from confluent_kafka import Message

from anabranch.errors import AnabranchError, ArtifactError, KafkaUnavailable
from anabranch.events import Partition
from anabranch.kafka import QUIET, Kafka, at, batch, consumer, partitions, producer, reader
from anabranch.kafka.artifacts import fetch_chunks
from anabranch.messages import ArtifactPointer, TrainJob, TrainResult, UnreadableMessage, decode, encode
from config.settings import Settings
from consumers.announcer import put
from consumers.jobs.packed import carry_out, digest, name_of
from consumers.kafka.reader import bounds
from consumers.kafka.sink import KafkaSink
from consumers.ports import Clock, Sink

log = structlog.get_logger()

POLL_S = 0.2


class NotCarriedOut(AnabranchError):
    """A worker could not carry out a job; says why."""


# ── Bytes on the topics: in chunks, as those of published models, and beside the messages that point to them ────────


def chunk_key(model: str, job_id: str) -> str:
    """The key of a job's chunks, or of its result's, less the number that each ends in."""
    return f"{model}/{job_id}/"


def laid(sink: Sink, data: bytes, *, topic: str, model: str, job_id: str) -> ArtifactPointer:
    """Put bytes there, and wait; where they lie."""
    return put(sink, data, topic=topic, key=chunk_key(model, job_id))


def lifted(kafka: Kafka, pointer: ArtifactPointer, *, model: str, job_id: str) -> bytes:
    """The bytes that lie there.

    Raises:
        ArtifactError: they are gone, or are not what the message says.
        KafkaUnavailable: they did not come in time.
    """
    data = fetch_chunks(kafka, pointer, key=chunk_key(model, job_id), kept="the topic keeps them for a day or two")
    if hashlib.sha256(data).hexdigest() != pointer.sha256:
        raise ArtifactError(f"what lies on {pointer.topic} for job {job_id[:12]} is not what was announced there")
    return data


def is_chunk(message: Message) -> bool:
    """Whether a record is a part of such bytes, and no message."""
    return b"/" in bytes(message.key() or b"")


# ── What is awaited ─────────────────────────────────────────────────────────────────────────────────────────────────


class Awaited:
    """The jobs that are out, by their digest. An answer counts once, and only if its job is here."""

    def __init__(self) -> None:
        self.futures: dict[str, list[Future[bytes]]] = {}

    def wait(self, job_id: str) -> "Future[bytes]":
        """What will come of the job; it may be given up by cancelling it."""
        future: Future[bytes] = Future()
        self.futures.setdefault(job_id, []).append(future)
        return future

    def wants(self, job_id: str) -> bool:
        """Whether anybody waits for this job."""
        self.futures = {
            each: left for each, several in self.futures.items() if (left := [one for one in several if not one.done()])
        }
        return job_id in self.futures

    @property
    def any(self) -> bool:
        """Whether anybody waits for any."""
        self.wants("")
        return bool(self.futures)

    def take(self, job_id: str, came: bytes | Exception) -> None:
        """An answer, or why there is none; passed over, if nobody waits for the job."""
        for future in self.futures.pop(job_id, ()):
            with suppress(InvalidStateError):  # it was given up at this moment
                future.set_exception(came) if isinstance(came, Exception) else future.set_result(came)


# ── The executor ────────────────────────────────────────────────────────────────────────────────────────────────────


class _Unsent(NamedTuple):
    job_id: str
    job: bytes


class TopicExecutor(Executor):
    """Puts jobs on `train-jobs` and waits for what comes on `train-results`; a thread does both while jobs are out.

    A result counts if its id is the digest of a job that is awaited, and its bytes have the digest that it says. What
    comes twice, or for a job that was given up, is passed over.
    """

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.awaited = Awaited()
        self._unsent: deque[_Unsent] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Have a worker carry out a job: `carry_out` with the settings, which each worker has itself, and the job."""
        assert fn is carry_out, "workers know no other function"
        _, job = args
        job_id = digest(job, self.settings)
        with self._lock:
            future = self.awaited.wait(job_id)
            # Once more after a restart: a worker that has it already answers first, and the second answer is the same.
            self._unsent.append(_Unsent(job_id, job))
            if self._thread is None:
                # A daemon: nothing of it needs an end in order, and no learner is to wait for it.
                self._thread = threading.Thread(target=self._serve, name="anabranch-train", daemon=True)
                self._thread.start()
        return future

    def _serve(self) -> None:
        """Until nobody waits any more."""
        while self._goes_on():
            try:
                self._exchange()
            except Exception as error:  # whoever waits has to know, and the learner goes on
                self._fail(error)

    def _exchange(self) -> None:
        # From the ends as they are before the first job is there: no answer can come sooner.
        with closing(_Results(self.settings)) as results:
            sink = KafkaSink(producer(self.settings.kafka))
            while self._goes_on():
                while self._unsent:
                    self._send(sink, self._unsent.popleft())
                for result in results.poll():
                    self._take(result)

    def _goes_on(self) -> bool:
        """Whether anybody waits; if not, the thread has ended for whoever comes next."""
        with self._lock:
            if not self.awaited.any:
                self._unsent.clear()
                self._thread = None
            # Another one may have begun since this one had nothing left to do.
            return self._thread is threading.current_thread()

    def _send(self, sink: KafkaSink, unsent: _Unsent) -> None:
        if not self._wants(unsent.job_id):
            return
        topic, model = self.settings.topics.name("train_jobs"), self.settings.name
        now_s = self.clock.time_s()
        message = TrainJob(
            id=unsent.job_id,
            model=model,
            job=name_of(unsent.job),
            ts=now_s,
            until=now_s + self.settings.retrain.job_timeout,
            data=laid(sink, unsent.job, topic=topic, model=model, job_id=unsent.job_id),
        )
        sink.send(topic, key=message.id, value=encode(message))
        sink.flush()

    def _take(self, result: TrainResult) -> None:
        if not self._wants(result.id):
            return
        came: bytes | Exception
        try:
            came = self._data_of(result)
        except AnabranchError as error:
            came = error
        with self._lock:
            self.awaited.take(result.id, came)

    def _wants(self, job_id: str) -> bool:
        with self._lock:
            return self.awaited.wants(job_id)

    def _data_of(self, result: TrainResult) -> bytes:
        if result.failure or result.data is None:
            raise NotCarriedOut(f"{result.by or 'a worker'} did not carry it out: {result.failure or 'no word'}")
        log.info("trained elsewhere", model=self.settings.name, job=result.job, by=result.by)
        return lifted(self.settings.kafka, result.data, model=result.model, job_id=result.id)

    def _fail(self, error: Exception) -> None:
        """Nobody waits for what cannot come."""
        with self._lock:
            self._unsent.clear()
            for job_id in list(self.awaited.futures):
                self.awaited.take(job_id, error)


class _Results:
    """The topic of results, from its ends on, outside any group."""

    def __init__(self, settings: Settings) -> None:
        topic = settings.topics.name("train_results")
        places = [Partition(topic, each) for each in partitions(settings.kafka, topic)]
        ends = {place: end for place, (_, end) in bounds(settings.kafka, places).items()}
        self.model = settings.name
        self.client = consumer(reader(settings.kafka))
        self.client.assign(at(ends))

    def poll(self) -> Iterator[TrainResult]:
        """What has come of this model's.

        Raises:
            KafkaUnavailable: the topic is gone.
        """
        for message in batch(self.client, 100, timeout_s=POLL_S):
            error = message.error()
            if error is not None:
                if error.code() in QUIET or error.retriable():
                    continue
                raise KafkaUnavailable(f"{message.topic()}: {error.str()}")
            if not is_chunk(message):
                # Anybody may write there.
                with suppress(UnreadableMessage):
                    result = decode(TrainResult, bytes(message.value() or b""))
                    if result.model == self.model:
                        yield result

    def close(self) -> None:
        """Leave."""
        self.client.close()

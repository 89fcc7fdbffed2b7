"""Jobs on a topic: workers carry them out, and only what was asked for comes back, once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import pytest

from anabranch.kafka import producer
from anabranch.messages import TrainResult, decode, encode
from commands.brokers import EmbeddedKafka
from config.settings import Settings
from consumers.jobs.executors import ExecutorRunner
from consumers.jobs.packed import digest, packed, told
from consumers.jobs.topic import TopicExecutor, laid
from consumers.jobs.worker import Worker
from consumers.kafka.sink import KafkaSink
from consumers.timing import SystemClock
from learners.retraining import JobResult
from support.jobs import JOB, fingerprints, settings_on, trained_here, with_events
from support.projects import values_on
from support.waiting import until


class AtOnce(Executor):
    """Carries out whatever it is given, in the caller's own thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture
def settings(embedded: EmbeddedKafka) -> Settings:
    return with_events(embedded)


@contextmanager
def working(settings: Settings, executor: Executor | None = None, **how: Any) -> Iterator[Worker]:
    """A worker in a thread."""
    stopping = threading.Event()
    worker = Worker(
        settings, executor=executor or AtOnce(), clock=SystemClock(), stopping=stopping, process="w1", **how
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        stopping.set()
        thread.join()


def runner_of(settings: Settings, *, fallback: Executor | None = None) -> ExecutorRunner:
    clock = SystemClock()
    return ExecutorRunner(settings, executor=TopicExecutor(settings, clock=clock), clock=clock, fallback=fallback)


def results_on(settings: Settings) -> list[TrainResult]:
    """All messages on the topic of results."""
    values = values_on(dict(settings.kafka), settings.topics.name("train_results"))
    return [decode(TrainResult, each) for each in values if each.startswith(b"{")]


def test_a_worker_trains_what_a_process_here_would_have_trained(settings: Settings) -> None:
    """To the last bit, whoever carries it out; and again, when the job comes once more."""
    here = trained_here(settings)
    one = runner_of(settings)
    with working(settings) as worker:
        one.submit(JOB)
        (result,) = until(lambda: one.finished(0))
        assert fingerprints(result) == here
        one.submit(JOB)
        (again,) = until(lambda: one.finished(0))
        assert (fingerprints(again), worker.delivered) == (here, 2)
    assert {each.id for each in results_on(settings)} == {digest(packed(JOB), settings)}


def test_a_worker_with_another_configuration_refuses_and_the_learner_sees_to_it_itself(
    settings: Settings, embedded: EmbeddedKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other models than the learner's own settings make must not come in."""
    one = runner_of(settings, fallback=AtOnce())
    with working(settings_on(embedded, augment={"minority": 2.0})):
        one.submit(JOB)
        (result,) = until(lambda: one.finished(0))
    assert fingerprints(result) == trained_here(settings)
    assert "w1 did not carry it out: its configuration, or its version of River, is another" in capsys.readouterr().out


def test_a_job_for_which_nobody_waits_any_more_is_passed_over(
    settings: Settings, embedded: EmbeddedKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was given up long before a worker came."""
    impatient = runner_of(settings_on(embedded, job_timeout=0.3), fallback=AtOnce())
    impatient.submit(JOB)
    until(lambda: jobs_on(settings) == 1)
    (result,) = until(lambda: impatient.finished(0))
    assert result.failure == ""  # by the fallback
    with working(settings):
        until(lambda: "nobody waits for it any more" in capsys.readouterr().out)
    assert results_on(settings) == []


def answer(settings: Settings, data: bytes, *, job_id: str, sha256: str = "", **told: Any) -> None:
    """What somebody puts on the topic of results."""
    sink, topic = KafkaSink(producer(settings.kafka)), settings.topics.name("train_results")
    pointer = laid(sink, data, topic=topic, model=settings.name, job_id=job_id)
    pointer = pointer.model_copy(update={"sha256": sha256 or pointer.sha256})
    message = TrainResult(id=job_id, model=settings.name, job="m-9", ts=0.0, data=pointer)
    sink.send(topic, key=job_id, value=encode(message.model_copy(update=told)))
    sink.flush()


def jobs_on(settings: Settings) -> int:
    """How many messages are on the topic of jobs."""
    return sum(each.startswith(b"{") for each in values_on(dict(settings.kafka), "train-jobs"))


def test_only_an_answer_to_a_job_that_is_awaited_counts_and_only_once(settings: Settings) -> None:
    """Others' answers are passed over, and so is the second of two."""
    one, job_id = runner_of(settings), digest(packed(JOB), settings)
    one.submit(JOB)
    until(lambda: jobs_on(settings) == 1)
    answer(settings, told(JobResult(JOB.id, ("another job's",)), settings), job_id="0" * 64)
    answer(settings, told(JobResult(JOB.id, ("another model's",)), settings), job_id=job_id, model="other")
    for _ in range(2):
        answer(settings, told(JobResult(JOB.id, ("a", "b")), settings), job_id=job_id)
    (result,) = until(lambda: one.finished(0))
    assert result.models == ("a", "b")
    assert one.finished(0) == []


def test_bytes_that_are_not_what_their_message_says_are_not_taken(settings: Settings) -> None:
    """They cost an attempt; the job is put there once more."""
    one, job_id = runner_of(settings), digest(packed(JOB), settings)
    one.submit(JOB)
    until(lambda: jobs_on(settings) == 1)
    data = told(JobResult(JOB.id, ("a", "b")), settings)
    answer(settings, data, job_id=job_id, sha256="f" * 64)
    until(lambda: not one.finished(0) and one.runs[0].attempt == 2)
    assert "is not what was announced there" in one.runs[0].before
    until(lambda: jobs_on(settings) == 2)
    answer(settings, data, job_id=job_id)
    (result,) = until(lambda: one.finished(0))
    assert result.models == ("a", "b")

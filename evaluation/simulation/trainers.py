"""Workers of a simulation: they take jobs from a topic, and die, answer twice and answer late, as it is drawn."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, NamedTuple

from anabranch import statetree
from config.settings import Settings
from consumers.jobs import outcome
from consumers.jobs.executors import ExecutorRunner
from consumers.jobs.packed import digest, told
from consumers.jobs.processes import ProcessEnded
from consumers.jobs.topic import Awaited
from consumers.order import returned
from consumers.ports import LogReader
from evaluation.simulation.runner import TURNS_MAX, Input
from evaluation.simulation.world import Process, Schedule
from learners.retraining import Job, JobResult

MISHAPS = 0.5
"""How often something befalls a worker, as long as faults are left."""

LATE_TURNS = 12
"""So many turns more a slow worker takes: nobody waits any more then."""


class Answer(NamedTuple):
    """What lies on the topic of results."""

    job_id: str
    data: bytes


@dataclass(slots=True)
class _Taken:
    job_id: str
    job: bytes
    turns_left: int


class JobTopic:
    """The topics of jobs and of results with the workers on them, which all outlive a learner."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.taken: list[_Taken] = []
        self.answers: list[Answer] = []

    def put(self, job_id: str, job: bytes) -> None:
        """A job, which a worker takes."""
        late = LATE_TURNS if self._befalls(job_id, "its worker is slow") else 0
        self.taken.append(_Taken(job_id, job, self._turns() + late))

    def turn(self, carry_out: Callable[[bytes], bytes]) -> None:
        """Each worker comes a little further."""
        for each in list(self.taken):
            each.turns_left -= 1
            if each.turns_left >= 0:
                continue
            if self._befalls(each.job_id, "its worker dies, and another takes the job"):
                each.turns_left = self._turns()
                continue
            self.taken.remove(each)
            self.answers.append(Answer(each.job_id, carry_out(each.job)))
            if self._befalls(each.job_id, "its worker has answered and dies; another answers once more"):
                self.taken.append(_Taken(each.job_id, each.job, self._turns()))

    def _turns(self) -> int:
        return self.schedule.rng.randint(0, TURNS_MAX)

    def _befalls(self, job_id: str, what: str) -> bool:
        # In this order, since take_fault() uses up one of the faults that are left.
        if self.schedule.rng.random() < MISHAPS and self.schedule.take_fault():
            self.schedule.note("world", job_id[:12], what)
            return True
        return False


class _OnTopic(Executor):
    """The learner's end of it."""

    def __init__(self, settings: Settings, *, topic: JobTopic) -> None:
        self.settings = settings
        self.topic = topic
        self.awaited = Awaited()
        self.position = len(topic.answers)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Put the job there."""
        _, job = args
        job_id = digest(job, self.settings)
        self.topic.put(job_id, job)
        return self.awaited.wait(job_id)

    def poll(self) -> None:
        """Hear what has been answered since, to whomever."""
        for answer in self.topic.answers[self.position :]:
            if self.awaited.wants(answer.job_id):
                self.awaited.take(answer.job_id, answer.data)
        self.position = len(self.topic.answers)


class _AtOnce(Executor):
    """A process of the learner's machine, which dies at times."""

    def __init__(self, schedule: Schedule, carry_out: Callable[[bytes], bytes]) -> None:
        self.schedule = schedule
        self.carry_out = carry_out

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Carry it out, or die."""
        _, job = args
        future: Future[Any] = Future()
        if self.schedule.rng.random() < 0.2 and self.schedule.take_fault():
            future.set_exception(ProcessEnded("it dies"))
        else:
            future.set_result(self.carry_out(job))
        return future


class _Turns:
    """A clock that goes on when the loop asks for results."""

    def __init__(self) -> None:
        self.count = 0.0

    def time_s(self) -> float:
        """As many seconds as turns."""
        return self.count

    monotonic_s = time_s


class RemoteRunner:
    """The runner that ships, on simulated workers.

    Args:
        inputs: is told what came back.
    """

    due = float("inf")

    def __init__(
        self, settings: Settings, *, reader: LogReader, process: Process, inputs: list[Input], topic: JobTopic
    ) -> None:
        self.settings = settings
        self.reader = reader
        self.process = process
        self.inputs = inputs
        self.topic = topic
        self.clock = _Turns()
        self.workers = _OnTopic(settings, topic=topic)
        self.runner = ExecutorRunner(
            settings,
            executor=self.workers,
            clock=self.clock,
            fallback=_AtOnce(process.schedule, self._carried_out),
        )

    def _carried_out(self, job: bytes) -> bytes:
        return told(outcome(Job.from_state(statetree.decode(job)), self.reader, self.settings), self.settings)

    def submit(self, job: Job) -> None:
        """Begin."""
        self.process.act(f"submit {job.id}", lambda: self.runner.submit(job))

    def finished(self, event_number: int) -> list[JobResult]:
        """What has come back, from workers or from a process."""
        self.clock.count += 1
        self.topic.turn(self._carried_out)
        self.workers.poll()
        done = self.runner.finished(event_number)
        for each in done:
            self.process.act(f"finish {each.job_id}", lambda: None)
        self.inputs += [Input(event_number, returned(each)) for each in done]
        return done

    def keep(self, job_ids: Collection[str]) -> None:
        """Jobs that were given up come back to nobody."""
        self.runner.keep(job_ids)

    def reset(self, jobs: Sequence[Job]) -> None:
        """Begin again; who has taken a job goes on with it."""
        self.runner.reset(jobs)

    def close(self) -> None:
        """Nobody waits any more."""
        self.runner.close()

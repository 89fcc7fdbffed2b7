"""Runs jobs in a simulation: they take their time, die, come back between two batches, and are noted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from config.settings import Settings
from consumers.jobs import ATTEMPTS, outcome
from consumers.ports import LogReader
from evaluation.simulation.world import Process
from learners.retraining.jobs import Job, JobResult

TURNS_MAX = 6
"""Batches that a job may take."""


class Input(NamedTuple):
    """A job that came back: after how many events, and why without recruits, if so."""

    event: int
    job_id: str
    failure: str
    failures: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class _Run:
    job: Job
    turns_left: int
    attempt: int = 1


class SimulatedRunner:
    """Carries jobs out after some turns, which the schedule draws; it also decides which of them die.

    Args:
        inputs: is told what came back.
    """

    due = float("inf")

    def __init__(self, settings: Settings, *, reader: LogReader, process: Process, inputs: list[Input]) -> None:
        self.settings = settings
        self.reader = reader
        self.process = process
        self.schedule = process.schedule
        self.inputs = inputs
        self.runs: list[_Run] = []

    def submit(self, job: Job) -> None:
        """Begin."""
        self.process.act(f"submit {job.id}", lambda: self._start(job))

    def _start(self, job: Job) -> None:
        self.runs.append(_Run(job, turns_left=self.schedule.rng.randint(0, TURNS_MAX)))

    def finished(self, event: int) -> list[JobResult]:
        """Those whose turns are over, and those that have died twice."""
        done: list[JobResult] = []
        for run in list(self.runs):
            run.turns_left -= 1
            if run.turns_left < 0:
                done += self._end(run)
        self.inputs += [Input(event, recruited.job_id, recruited.failure, recruited.failures) for recruited in done]
        return done

    def _end(self, run: _Run) -> list[JobResult]:
        if self.schedule.rng.random() < 0.2 and self.schedule.take_fault():
            return self._die(run)
        self.runs.remove(run)
        return [self.process.act(f"finish {run.job.id}", lambda: outcome(run.job, self.reader, self.settings))]

    def _die(self, run: _Run) -> list[JobResult]:
        self.schedule.note(self.process.name, run.job.id, f"the job dies, attempt {run.attempt}")
        run.attempt += 1
        if run.attempt <= ATTEMPTS:
            return []
        self.runs.remove(run)
        return [JobResult(run.job.id, failure="retraining ended twice")]

    def keep(self, job_ids: Collection[str]) -> None:
        """Jobs that were given up come back to nobody."""

    def reset(self, jobs: Sequence[Job]) -> None:
        """Begin again."""
        self.runs = []
        for job in jobs:
            self._start(job)

    def close(self) -> None:
        """End what is under way."""
        self.runs = []

"""Carries out retraining jobs: inline for backtests, in a process of their own for the live loop."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from river import base

from anabranch import statetree
from anabranch.errors import AnabranchError, LogTruncated
from anabranch.ports import AcceptedEvent, Clock, LogReader
from anabranch.settings import Settings
from consumers.guard import Guard
from learners.fence import is_fault
from learners.retraining import Job, Recruited, longest, retrain

ATTEMPTS = 2
"""A job that dies is tried once more, then reported."""


class Recruiter(Protocol):
    """Takes jobs, and gives recruits back when asked."""

    due: float
    """The number of accepted events at which `finished` must be asked, besides between batches."""

    def submit(self, job: Job) -> None:
        """Begin a job."""

    def finished(self, event: int) -> list[Recruited]:
        """What has come back since; `event` is the number of accepted events so far."""

    def reset(self, jobs: Sequence[Job]) -> None:
        """Drop everything and begin `jobs` again: after a restore."""

    def close(self) -> None:
        """End what is under way."""


def replayed(reader: LogReader, job: Job, settings: Settings) -> Iterable[AcceptedEvent]:
    """The events of a job's longest plan, read from the log again through the same guard.

    Its runs hold accepted events only, so there is nothing to refuse and no duplicate to drop.

    Raises:
        LogTruncated: retention has taken part of the range; a model trained on the rest would not be what it says.
    """
    guard = Guard(settings.model_copy(update={"guard": settings.guard.model_copy(update={"dedup_window": 0})}))
    for record in reader.read(longest(job)):
        checked = guard.check(record)
        if not isinstance(checked, AcceptedEvent):
            raise LogTruncated(
                f"partition {record.partition} offset {record.offset} was accepted once and is not now: "
                "the log or the guard's settings have changed"
            )
        yield checked


def carried_out(job: Job, reader: LogReader, settings: Settings) -> tuple[base.Estimator, ...]:
    """The recruits of a job.

    Raises:
        LogTruncated: as `replayed`.
    """
    return retrain(job, replayed(reader, job, settings), settings.model, augment=settings.retrain.augment)


def outcome(job: Job, reader: LogReader, settings: Settings) -> Recruited:
    """The job's recruits, or why there are none: a model that raises costs its job, and not whoever waits for it."""
    try:
        return Recruited(job.id, carried_out(job, reader, settings))
    except AnabranchError as error:
        return Recruited(job.id, failure=str(error))
    except BaseException as error:
        if not is_fault(error):
            raise
        return Recruited(job.id, failure=f"training raised {type(error).__name__}: {error}")


class InlineRecruiter:
    """Retrains at once, and hands over after `retrain.admit_after_events`: the same on every machine."""

    def __init__(self, settings: Settings, *, reader: LogReader) -> None:
        self.settings = settings
        self.reader = reader
        self.waiting: list[tuple[int, Recruited]] = []
        self.due = float("inf")

    def submit(self, job: Job) -> None:
        """Retrain now."""
        recruited = outcome(job, self.reader, self.settings)
        self.waiting.append((job.event + self.settings.retrain.admit_after_events, recruited))
        self._look_ahead()

    def finished(self, event: int) -> list[Recruited]:
        """Those whose number of events has come."""
        done = [recruited for at, recruited in self.waiting if at <= event]
        self.waiting = [(at, recruited) for at, recruited in self.waiting if at > event]
        self._look_ahead()
        return done

    def _look_ahead(self) -> None:
        self.due = min((at for at, _ in self.waiting), default=float("inf"))

    def reset(self, jobs: Sequence[Job]) -> None:
        """Begin again."""
        self.waiting = []
        self._look_ahead()
        for job in jobs:
            self.submit(job)

    def close(self) -> None:
        """Nothing is under way."""
        self.waiting = []


@dataclass(slots=True)
class _Run:
    """A retraining process and the folder it works in."""

    job: Job
    process: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str]
    deadline_s: float
    attempt: int


class ProcessRecruiter:
    """One process a job, started anew: never a fork, since librdkafka's threads would not come along."""

    due = float("inf")

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.runs: list[_Run] = []

    def submit(self, job: Job) -> None:
        """Start the process."""
        self._start(job, attempt=1)

    def _start(self, job: Job, *, attempt: int) -> None:
        folder = tempfile.TemporaryDirectory(prefix="anabranch-job-")
        order = {"settings": self.settings.model_dump(mode="json"), "job": job.state()}
        Path(folder.name, "job").write_bytes(statetree.encode(order))
        with Path(folder.name, "log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "consumers.retraining_process", folder.name],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline_s = self.clock.monotonic_s() + self.settings.retrain.job_timeout
        self.runs.append(_Run(job, process, folder, deadline_s, attempt))

    def finished(self, event: int) -> list[Recruited]:
        """Collect the processes that have ended; end those that take too long."""
        del event
        done = []
        for run in list(self.runs):
            if run.process.poll() is None and self.clock.monotonic_s() > run.deadline_s:
                _end(run.process)
            if run.process.poll() is not None:
                self.runs.remove(run)
                recruited = self._collect(run)
                if recruited is not None:
                    done.append(recruited)
        return done

    def _collect(self, run: _Run) -> Recruited | None:
        """The recruits of an ended process; None if it is tried again."""
        with run.folder as folder:
            if run.process.returncode == 0:
                data = Path(folder, "models").read_bytes()
                return Recruited(run.job.id, tuple(statetree.decode(data, trusted=self.settings.model.trusted)))
            said = Path(folder, "log").read_text(errors="replace").strip().splitlines()
        if run.attempt < ATTEMPTS:
            self._start(run.job, attempt=run.attempt + 1)
            return None
        reason = said[-1] if said else "no word"
        return Recruited(run.job.id, failure=f"retraining ended with {run.process.returncode} twice: {reason}")

    def reset(self, jobs: Sequence[Job]) -> None:
        """End what is under way and begin again."""
        self.close()
        for job in jobs:
            self.submit(job)

    def close(self) -> None:
        """End the processes that this recruiter started."""
        for run in self.runs:
            _end(run.process)
            run.folder.cleanup()
        self.runs = []


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()

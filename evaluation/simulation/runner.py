"""Runs jobs in a simulation, and logs the inputs of each checkpoint, which a straight run must know."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from anabranch.messages import JobReturned
from config.settings import Settings
from consumers.jobs import ATTEMPTS, outcome
from consumers.order import returned
from consumers.ports import Committed, LogReader, Positions, Store
from consumers.stores.manifest import Entry
from evaluation.simulation.world import MemoryLog, Process
from learners.labels.segments import Blob
from learners.retraining import Job, JobResult

TURNS_MAX = 6
"""Batches that a job may take."""


class Input(NamedTuple):
    """A job that came back, and after how many events."""

    event_number: int
    back: JobReturned


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

    def finished(self, event_number: int) -> list[JobResult]:
        """Those whose turns are over, and those that have died twice."""
        done: list[JobResult] = []
        for run in list(self.runs):
            run.turns_left -= 1
            if run.turns_left < 0:
                done += self._end(run)
        self.inputs += [Input(event_number, returned(each)) for each in done]
        return done

    def _end(self, run: _Run) -> list[JobResult]:
        # In this order, since take_fault() uses up one of the faults that are left.
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


# ── What a straight run must know beside the log: the inputs of each checkpoint; and commits looked at as they come ───


@dataclass
class Past:
    """How a learner came to its state.

    Args:
        rebuilt_from: the version after which a rebuild began; None without one.
    """

    inputs: list[Input] = field(default_factory=list)
    rebuilt_from: int | None = None

    def copy(self) -> "Past":
        """As it is now."""
        return Past(list(self.inputs), self.rebuilt_from)


def _is_checkpoint(data: bytes) -> bool:
    """Whether a blob is a checkpoint, and not a model that one refers to: only a checkpoint's state has this key."""
    return b"layout" in data


class InputLog:
    """A store that also knows the past of each checkpoint, which the checkpoint does not say.

    Args:
        known: shared by all processes, by checkpoint.
        past: of this process.
        rebuilding: the version at hand, where the process begins with a rebuild.
    """

    def __init__(
        self, store: Store, *, known: dict[str, Past], past: Past, rebuilding: Callable[[], int] | None = None
    ) -> None:
        self.store = store
        self.known = known
        self.past = past
        self.rebuilding = rebuilding

    def put(self, sha256: str, data: bytes) -> None:
        """With its past. A rebuild's first is put before it has learned anything."""
        if self.rebuilding is not None and self.past.rebuilt_from is None:
            self.past.rebuilt_from = self.rebuilding()
        if _is_checkpoint(data):
            # Before the blob: if the process crashes right after it, somebody may go on from there.
            self.known[sha256] = self.past.copy()
        self.store.put(sha256, data)

    def get(self, sha256: str) -> bytes:
        """Whoever reads a checkpoint goes on from its past; but a rebuild, which takes over the audit alone."""
        data = self.store.get(sha256)
        begins_anew = self.rebuilding is not None and self.past.rebuilt_from is None
        if _is_checkpoint(data) and not begins_anew:
            past = self.known[sha256]
            # In place, since this owner's runner holds the same list and adds to it.
            self.past.inputs[:] = past.inputs
            self.past.rebuilt_from = past.rebuilt_from
        return data

    def open(self, sha256: str) -> Blob:
        """As it is."""
        return self.store.open(sha256)

    def manifest(self) -> list[Entry]:
        """As it is."""
        return list(self.store.manifest())

    def record(self, entry: Entry) -> None:
        """As it is."""
        self.store.record(entry)


# ── A log that looks at every commit while a simulation runs: what is wrong there may heal before the end ───────────


@dataclass
class ObservedLog(MemoryLog):
    """A log that looks at every commit: its blob must be durable, and it must follow the one before.

    Args:
        holds: whether a blob is there, whole and durable.
    """

    holds: Callable[[str], bool] = field(kw_only=True)
    findings: list[str] = field(default_factory=list)
    positions_of: dict[str, Positions] = field(default_factory=dict)

    def commit(self, committed: Committed) -> None:
        """Look, then commit."""
        entry = orjson.loads(committed.metadata)
        if not self.holds(entry["sha"]):
            self.findings.append(f"checkpoint {entry['number']} was committed before its blob was durable")
        before = self.committed_of(each.number for each in committed.positions) if self.shared else self.committed
        if before is not None and before.metadata:
            self._follows(entry, orjson.loads(before.metadata))
        self.positions_of.setdefault(entry["sha"], committed.positions)
        super().commit(committed)

    def _follows(self, entry: dict[str, Any], before: dict[str, Any]) -> None:
        """The parent is the checkpoint before, or the parent of that if that is torn; a rebuild has none."""
        if not entry["parent"] and entry["epoch"] > before["epoch"]:
            return
        expected = before["sha"] if self.holds(before["sha"]) else before["parent"]
        if entry["parent"] not in (expected, before["sha"]):
            self.findings.append(
                f"checkpoint {entry['number']} was committed after {before['number']}, and does not go on from there"
            )

"""Runs retraining jobs by an executor: processes of this machine, those who take jobs from a topic, or a user's own."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any

import structlog

from anabranch.errors import AnabranchError, ConfigError
from anabranch.scope import GLOBAL, Scope
from anabranch.statetree import StateTreeError
from config.settings import Settings
from consumers.jobs import ATTEMPTS
from consumers.jobs.packed import carry_out, packed, unpacked, whole
from consumers.jobs.processes import ProcessExecutor
from consumers.jobs.topic import TopicExecutor
from consumers.ports import Clock
from learners.models.fence import is_fault
from learners.retraining import Job, JobResult

log = structlog.get_logger()


@dataclass(slots=True)
class _Run:
    """A job that an executor has, until `deadline_s` of the clock.

    Args:
        before: why the attempt before failed.
    """

    job: Job
    future: "Future[bytes]"
    deadline_s: float
    attempt: int
    before: str


class ExecutorRunner:
    """Gives an executor the jobs of one owner, and collects what comes of them. (The `JobRunner` of the live loop.)

    An executor is called with `carry_out`, the settings and the job, and answers with bytes. Nothing that it does can
    end the learner: a job that fails, is cancelled or takes too long is tried once more, and then reported.

    Args:
        executor: of the first attempt; several owners may share it.
        fallback: of the second; None: the same.
    """

    due = float("inf")

    def __init__(
        self, settings: Settings, *, executor: Executor, clock: Clock, fallback: Executor | None = None
    ) -> None:
        self.settings = settings
        self.executors = (executor, fallback or executor)
        self.clock = clock
        self.runs: list[_Run] = []

    def submit(self, job: Job) -> None:
        """Hand it to the executor."""
        self._start(job, attempt=1)

    def _start(self, job: Job, *, attempt: int, before: str = "") -> None:
        future = _submitted(self.executors[attempt - 1], whole(self.settings), packed(job))
        deadline_s = self.clock.monotonic_s() + self.settings.retrain.job_timeout
        self.runs.append(_Run(job, future, deadline_s, attempt, before))

    def finished(self, event_number: int) -> list[JobResult]:
        """Collect what has come back; end what takes too long."""
        del event_number
        done = []
        for run in list(self.runs):
            is_late = not run.future.done() and self.clock.monotonic_s() > run.deadline_s
            if not is_late and not run.future.done():
                continue
            self.runs.remove(run)
            came = self._too_late(run) if is_late else self._come_back(run)
            result = self._failed(run, came) if isinstance(came, str) else came
            if result is not None:
                done.append(result)
        return done

    def _too_late(self, run: _Run) -> str:
        run.future.cancel()
        return f"it took longer than {self.settings.retrain.job_timeout:g} s (retrain.job_timeout)"

    def _come_back(self, run: _Run) -> JobResult | str:
        """The result; or why there is none."""
        try:
            return unpacked(run.job.id, run.future.result(), self.settings)
        except CancelledError:
            return "its executor has cancelled it"
        except StateTreeError as error:
            return f"what came back cannot be read: {error}"
        except AnabranchError as error:
            return str(error)
        except BaseException as error:
            if not is_fault(error):
                raise
            return f"{type(error).__name__}: {error}"

    def _failed(self, run: _Run, reason: str) -> JobResult | None:
        """Once more; the second time it is told."""
        if run.attempt < ATTEMPTS:
            log.warning("retraining failed", model=self.settings.name, job=run.job.id, reason=reason, to_do="once more")
            self._start(run.job, attempt=run.attempt + 1, before=reason)
            return None
        twice = f"{reason}, twice" if reason == run.before else f"{run.before}; then {reason}"
        return JobResult(run.job.id, failure=f"retraining failed: {twice}")

    def keep(self, job_ids: Collection[str]) -> None:
        """Cancel jobs that were given up: nobody waits for them."""
        for run in [run for run in self.runs if run.job.id not in job_ids]:
            self.runs.remove(run)
            run.future.cancel()

    def reset(self, jobs: Sequence[Job]) -> None:
        """Cancel what is under way and begin again."""
        self.close()
        for job in jobs:
            self.submit(job)

    def close(self) -> None:
        """Cancel what this runner has submitted. The executor goes on: other owners may share it."""
        self.keep(())


def _submitted(executor: Executor, settings: dict[str, Any], job: bytes) -> "Future[bytes]":
    """Under way; or a failure at once, whatever a user's own executor raises."""
    try:
        return executor.submit(carry_out, settings, job)
    except BaseException as error:
        if not is_fault(error):
            raise
        failed: Future[bytes] = Future()
        failed.set_exception(error)
        return failed


# ── Which executor a configuration means ────────────────────────────────────────────────────────────────────────────


_MAKING = Lock()


def function_of(named: str) -> Callable[[], Any]:
    """What makes a user's own executor, by `module:function`; it is not called.

    Raises:
        ConfigError: it cannot be imported.
    """
    module, _, name = named.partition(":")
    with _blamed(named):
        function: Callable[[], Any] = getattr(import_module(module), name)
    return function


@contextmanager
def _blamed(named: str) -> Iterator[None]:
    """Whatever a user's own module raises is a fault of the setting."""
    try:
        yield
    except BaseException as error:
        if not is_fault(error):
            raise
        raise ConfigError(f"retrain.executor = {named!r}: {type(error).__name__}: {error}") from error


@cache
def _own(named: str) -> Executor:
    """A user's own, made once a process: several owners share it, and so do the loops after an outage."""
    function = function_of(named)
    with _blamed(named):
        made = function()
    if not isinstance(made, Executor):
        raise ConfigError(
            f"retrain.executor = {named!r} gives a {type(made).__name__}; it must be a concurrent.futures.Executor"
        )
    return made


class Runners:
    """Makes the runner of each owner; they share the executor, and the processes of this machine.

    Raises:
        ConfigError: `retrain.executor` gives none.
    """

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.processes = ProcessExecutor(processes_max=settings.retrain.processes_max)
        self.executor = self._executor(settings.retrain.executor)

    def _executor(self, named: str) -> Executor:
        if named == "topic":
            return TopicExecutor(self.settings, clock=self.clock)
        if named == "processes":
            return self.processes
        with _MAKING:  # a cache would let two threads make one each
            return _own(named)

    def __call__(self, scope: Scope = GLOBAL) -> ExecutorRunner:
        """The runner of an owner: they differ in nothing but their jobs."""
        del scope
        fallback = self.processes if self.settings.retrain.fallback else None
        return ExecutorRunner(self.settings, executor=self.executor, clock=self.clock, fallback=fallback)

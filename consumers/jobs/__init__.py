"""Carries out retraining jobs, at once in a backtest; what a runner of jobs is."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from anabranch.errors import AnabranchError, LogTruncated
from anabranch.events import AcceptedEvent
from anabranch.scope import GLOBAL, of_partition
from config.settings import Settings
from consumers.examples import counted
from consumers.guard import Guard
from consumers.ports import LogReader
from learners.derived import views_of
from learners.models.fence import is_fault
from learners.retraining import Job, JobResult, longest, retrain
from learners.retraining.lineage import count

ATTEMPTS = 2
"""A job that dies is tried once more, then reported."""


class JobRunner(Protocol):
    """Takes jobs, and gives recruits back when asked."""

    due: float
    """The number of accepted events at which `finished` must be asked, besides between batches."""

    def submit(self, job: Job) -> None:
        """Begin a job."""

    def finished(self, event_number: int) -> list[JobResult]:
        """What has come back since; `event` is the number of accepted events so far."""

    def keep(self, job_ids: Collection[str]) -> None:
        """End what is under way and none of these: it was given up meanwhile."""

    def reset(self, jobs: Sequence[Job]) -> None:
        """Drop everything and begin `jobs` again: after a restore."""

    def close(self) -> None:
        """End what is under way."""


def replayed(reader: LogReader, job: Job, settings: Settings) -> Iterable[AcceptedEvent]:
    """The events of a job's longest plan: examples that were told, or read from the log again through the same guard.

    Its runs hold accepted events only, so there is nothing to refuse and no duplicate to drop.

    Raises:
        LogTruncated: retention has taken part of the range; a model trained on the rest would not be what it says.
    """
    if settings.labels.tells_examples:
        for partition, start, end in longest(job):
            scope = GLOBAL if settings.scope == "global" else of_partition(partition)
            values = reader.read_examples(partition, start, end)
            yield from counted(values, model=settings.name, scope=scope, start=start, end=end)
        return
    guard = Guard(settings.model_copy(update={"guard": settings.guard.model_copy(update={"dedup_window": 0})}))
    for record in reader.read(longest(job)):
        checked = guard.check(record)
        if not isinstance(checked, AcceptedEvent):
            raise LogTruncated(
                f"partition {record.partition} offset {record.offset} was accepted once and is not now: "
                "the log or the guard's settings have changed"
            )
        yield checked


def carried_out(job: Job, reader: LogReader, settings: Settings) -> JobResult:
    """The recruits of a job; plans whose range the log no longer holds, or whose model raises, cost nobody else's.

    The longest plan that cannot be read is left out, until those that are left can be.
    """
    plans, failures, models = list(job.plans), dict[str, str](), dict[str, Any]()
    while plans:
        left = replace(job, plans=tuple(plans))
        raised: dict[str, str] = {}
        try:
            events = replayed(reader, left, settings)
            trained = retrain(
                left,
                events,
                settings.model,
                augment=settings.retrain.augment,
                failures=raised,
                views=views_of(settings),
            )
        except LogTruncated as error:
            span = count(longest(left))
            # Plans of one length begin with the same record, so what is gone for one is gone for all of them.
            failures |= {plan.name: str(error) for plan in plans if count(plan.runs) == span}
            plans = [plan for plan in plans if plan.name not in failures]
            continue
        failures |= raised
        models = {plan.name: model for plan, model in zip(plans, trained, strict=True) if plan.name not in raised}
        break
    if not models:
        return JobResult(job.id, failure="; ".join(dict.fromkeys(failures.values())) or "it has no plans")
    return JobResult(job.id, tuple(models.get(plan.name) for plan in job.plans), failures=failures)


def outcome(job: Job, reader: LogReader, settings: Settings) -> JobResult:
    """The job's recruits, or why there are none: a model that raises costs its job, and not whoever waits for it."""
    try:
        return carried_out(job, reader, settings)
    except AnabranchError as error:
        return JobResult(job.id, failure=str(error))
    except BaseException as error:
        if not is_fault(error):
            raise
        return JobResult(job.id, failure=f"training raised {type(error).__name__}: {error}")


class InlineRunner:
    """Retrains at once, and hands over after `retrain.admit_after_events`: the same on every machine."""

    def __init__(self, settings: Settings, *, reader: LogReader) -> None:
        self.settings = settings
        self.reader = reader
        self.waiting: list[tuple[int, JobResult]] = []
        self.due = float("inf")

    def submit(self, job: Job) -> None:
        """Retrain now."""
        result = outcome(job, self.reader, self.settings)
        self.waiting.append((job.event_number + self.settings.retrain.admit_after_events, result))
        self._look_ahead()

    def finished(self, event_number: int) -> list[JobResult]:
        """Those whose number of events has come."""
        done = [result for at, result in self.waiting if at <= event_number]
        self.waiting = [(at, result) for at, result in self.waiting if at > event_number]
        self._look_ahead()
        return done

    def _look_ahead(self) -> None:
        self.due = min((at for at, _ in self.waiting), default=float("inf"))

    def keep(self, job_ids: Collection[str]) -> None:
        """What waits costs nothing, and is not let in."""

    def reset(self, jobs: Sequence[Job]) -> None:
        """Begin again."""
        self.waiting = []
        self._look_ahead()
        for job in jobs:
            self.submit(job)

    def close(self) -> None:
        """Nothing is under way."""
        self.waiting = []

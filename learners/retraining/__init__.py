"""Retraining jobs: what a recruit is to learn, as data that another process can carry out.

A job names ranges of the log in the order in which they were learned, so that the same job gives the same model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from river import base

from anabranch import statetree
from anabranch.events import AcceptedEvent
from anabranch.memory import View, Views
from anabranch.messages import LogRange, TrainedOn
from config.learning import Augment, ModelSpec
from learners.models.catalogue import build
from learners.models.fence import is_fault
from learners.models.training import Repeats
from learners.retraining.lineage import Run, count, merged


@dataclass(frozen=True, slots=True)
class Plan:
    """One recruit of a job: its name and the runs to learn, oldest first; and what it begins with.

    It begins with a fresh model: the configured one, or that of `model`; or with the model whose bytes `warm` holds.
    """

    name: str
    runs: tuple[Run, ...]
    model: ModelSpec | None = None
    warm: bytes = b""


@dataclass(frozen=True, slots=True)
class Job:
    """A decision to retrain: all recruits of one trigger.

    Args:
        trigger: id of the signal or the request that it was decided on.
        champion_version: under which the champion was last published then; warm copies are of it.
    """

    id: str
    event_number: int
    reason: str
    seed: int
    plans: tuple[Plan, ...]
    trigger: str = ""
    champion_version: int | None = None

    def state(self) -> dict[str, Any]:
        """The job as plain values."""
        plans = [
            (
                plan.name,
                [tuple(run) for run in plan.runs],
                None if plan.model is None else plan.model.model_dump(mode="json"),
                plan.warm,
            )
            for plan in self.plans
        ]
        return {
            "id": self.id,
            "event": self.event_number,
            "reason": self.reason,
            "seed": self.seed,
            "plans": plans,
            "trigger": self.trigger,
            "champion_version": self.champion_version,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Job":
        """The job that `state` described."""
        plans = tuple(
            Plan(
                name,
                tuple(Run(*run) for run in runs),
                None if model is None else ModelSpec.model_validate(model),
                warm,
            )
            for name, runs, model, warm in state["plans"]
        )
        return cls(
            state["id"],
            state["event"],
            state["reason"],
            state["seed"],
            plans,
            trigger=state["trigger"],
            champion_version=state["champion_version"],
        )


def fresh_after(partition: int, offset: int, *, event_number: int) -> TrainedOn:
    """What a model has learned that begins right after an event: nothing, and from where."""
    begin = LogRange(partition=partition, start=offset + 1, end=offset + 1)
    return TrainedOn(ranges=(begin,), events=0, note=f"fresh after event {event_number}")


@dataclass(slots=True)
class JobUnderWay:
    """A job that has not come back, with the events that its recruits will have missed."""

    job: Job
    gap: list[AcceptedEvent] = field(default_factory=list)

    def trained_on(self, plan: Plan) -> TrainedOn:
        """What a recruit has learned when it enters: the replayed runs and the gap, as one range a partition."""
        gap = [Run(event.partition, event.offset, event.offset + 1) for event in self.gap]
        ranges = tuple(LogRange(partition=p, start=start, end=end) for p, start, end in merged([*plan.runs, *gap]))
        return TrainedOn(ranges=ranges, events=count(plan.runs) + len(gap), note=self.job.reason)


class Jobs:
    """The jobs under way, by their id, each with its gap.

    Args:
        jobs_max: how many there may be at once.
        gap_max: events that may pass without a job before it is given up.
    """

    def __init__(self, *, jobs_max: int, gap_max: int) -> None:
        self.jobs_max = jobs_max
        self.gap_max = gap_max
        self.under_way: dict[str, JobUnderWay] = {}

    def __len__(self) -> int:
        return len(self.under_way)

    @property
    def full(self) -> bool:
        """Whether no further job may begin."""
        return len(self.under_way) >= self.jobs_max

    def begun_at(self, event_number: int) -> bool:
        """Whether one that has not come back was decided on this event."""
        return any(each.job.event_number == event_number for each in self.under_way.values())

    def start(self, job: Job) -> None:
        """Keep what passes without the job from now on."""
        self.under_way[job.id] = JobUnderWay(job)

    def remember(self, event: AcceptedEvent) -> list[Job]:
        """Keep the event for all recruits that are being trained; the jobs that are given up for it."""
        given_up = []
        for each in list(self.under_way.values()):
            if len(each.gap) >= self.gap_max:
                del self.under_way[each.job.id]
                given_up.append(each.job)
            each.gap.append(event)
        return given_up

    def come_back(self, job_id: str) -> JobUnderWay | None:
        """The job, which is no longer under way; None if it was given up meanwhile."""
        return self.under_way.pop(job_id, None)

    def state(self) -> list[dict[str, Any]]:
        """What a checkpoint keeps."""
        return [
            {"job": each.job.state(), "gap": [event.kept() for event in each.gap]} for each in self.under_way.values()
        ]

    def restore(self, state: Iterable[dict[str, Any]]) -> None:
        """Go on from a checkpoint."""
        self.under_way = {}
        for each in state:
            job = Job.from_state(each["job"])
            self.under_way[job.id] = JobUnderWay(job, [AcceptedEvent(*event) for event in each["gap"]])


@dataclass(frozen=True, slots=True)
class JobResult:
    """A finished job: the models in the order of its plans, None where one failed. Or why there are none.

    Args:
        failure: why none of the plans came to anything.
        failures: why some did not, by the plan's name.
    """

    job_id: str
    models: tuple[Any, ...] = ()
    failure: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)

    def failure_of(self, plan: Plan) -> str:
        """Why a plan came to nothing; empty if it did not."""
        return self.failure or self.failures.get(plan.name, "")


def longest(job: Job) -> tuple[Run, ...]:
    """The runs of the plan that reaches back furthest; every other plan's are the end of it."""
    return max((plan.runs for plan in job.plans), key=count, default=())


def retrain(
    job: Job,
    events: Iterable[AcceptedEvent],
    spec: ModelSpec,
    *,
    augment: Augment | None = None,
    failures: dict[str, str] | None = None,
    views: Views | None = None,
) -> tuple[base.Estimator, ...]:
    """Models that learned `events`, those of the longest plan, each from where its own plan begins.

    `events` may hold fewer than the plans count, never others.

    Args:
        failures: is given what a plan's model raised, by the plan's name, and the others are trained to the end;
            without it, what one raises goes on.
        views: what models see of the events; None: everything.
    """
    wanted = count(longest(job))
    starts = [wanted - count(plan.runs) for plan in job.plans]
    models = tuple(_begun(plan, spec, seed=job.seed) for plan in job.plans)
    seen = [None if views is None else views.of(model) for model in models]
    repeats = Repeats(augment or Augment(), seed=job.seed)
    for n, event in enumerate(events):
        again = repeats.of(event)
        for plan, start, model, view in zip(job.plans, starts, models, seen, strict=True):
            if n < start or (failures and plan.name in failures):
                continue
            try:
                _learn(model, event, again, view)
            except BaseException as error:
                if failures is None or not is_fault(error):
                    raise
                failures[plan.name] = f"training raised {type(error).__name__}: {error}"
    return models


def _learn(model: Any, event: AcceptedEvent, again: Iterable[dict[str, object]], view: View | None) -> None:
    for x in (event.x, *again):
        model.learn_one(x if view is None else view(x), event.y)


def _begun(plan: Plan, spec: ModelSpec, *, seed: int) -> Any:
    """The model that a recruit begins with."""
    if plan.warm:
        return statetree.decode(plan.warm, trusted=spec.trusted)
    return build(plan.model or spec, seed=seed)

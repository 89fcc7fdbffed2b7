"""Retraining jobs: what a recruit is to learn, as data that another process can carry out.

A job names ranges of the log in the order in which they were learned, so that the same job gives the same model.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from river import base

from anabranch.ports import AcceptedEvent
from anabranch.settings import ModelSpec
from learners.catalogue import build
from learners.lineage import Run, count


@dataclass(frozen=True, slots=True)
class Plan:
    """One recruit of a job: its name and the runs to learn, oldest first."""

    name: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """A decision to retrain: all recruits of one trigger."""

    id: str
    event: int
    reason: str
    seed: int
    plans: tuple[Plan, ...]

    def state(self) -> dict[str, Any]:
        """The job as plain values."""
        plans = [(plan.name, [tuple(run) for run in plan.runs]) for plan in self.plans]
        return {"id": self.id, "event": self.event, "reason": self.reason, "seed": self.seed, "plans": plans}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Job":
        """The job that `state` described."""
        plans = tuple(Plan(name, tuple(Run(*run) for run in runs)) for name, runs in state["plans"])
        return cls(state["id"], state["event"], state["reason"], state["seed"], plans)


@dataclass(slots=True)
class JobUnderWay:
    """A job that has not come back, with the events that its recruits will have missed."""

    job: Job
    gap: list[AcceptedEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recruited:
    """A finished job: the models in the order of its plans. Or why there are none."""

    job_id: str
    models: tuple[Any, ...] = ()
    failure: str = ""


def longest(job: Job) -> tuple[Run, ...]:
    """The runs of the plan that reaches back furthest; every other plan's are the end of it."""
    return max((plan.runs for plan in job.plans), key=count, default=())


def retrain(job: Job, events: Iterable[AcceptedEvent], spec: ModelSpec) -> tuple[base.Estimator, ...]:
    """Fresh models that learned `events`, those of the longest plan, each from where its own plan begins.

    `events` may hold fewer than the plans count, never others.
    """
    wanted = count(longest(job))
    starts = [wanted - count(plan.runs) for plan in job.plans]
    models = tuple(build(spec, seed=job.seed) for _ in job.plans)
    for n, event in enumerate(events):
        for start, model in zip(starts, models, strict=True):
            if n >= start:
                model.learn_one(event.x, event.y)  # type: ignore[attr-defined]  # the task has checked it
    return models

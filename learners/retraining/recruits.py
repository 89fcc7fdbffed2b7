"""Recruits: what a trigger brings into the arena. Some enter at once; others are trained by a job first."""

from collections.abc import Iterator
from typing import Any

from anabranch import statetree
from anabranch.events import AcceptedEvent, Fired
from anabranch.messages import LogRange, Retrain, TrainedOn
from config.learning import Recruit
from config.settings import Settings
from learners.arena.lifecycle import Lifecycle
from learners.arena.members import Cause, Member
from learners.arena.shadows import Library, Shadows
from learners.emitted import Kept
from learners.models.catalogue import build
from learners.models.fence import is_fault
from learners.models.tasks import Task
from learners.retraining import Job, JobResult, Jobs, JobUnderWay, Plan, fresh_after
from learners.retraining.lineage import Lineage, merged

_DRIFTS = frozenset({"error", "input", "prediction", "label"})
"""Kinds of signals that say that something has changed; the others say that it is time."""

_DEMAND = "-demand"


class Recruits:
    """The recruits of a lane, from the trigger to the arena."""

    def __init__(
        self, settings: Settings, *, task: Task, shadows: Shadows, library: Library, lifecycle: Lifecycle
    ) -> None:
        retrain = settings.retrain
        self.settings = settings
        self.task = task
        self.shadows = shadows
        self.library = library
        self.lifecycle = lifecycle
        self.lineage = Lineage(events_max=retrain.history_max)
        self.jobs = Jobs(jobs_max=retrain.jobs_max, gap_max=retrain.gap_max)
        for recruit in retrain.recruits:
            if recruit.model is not None:  # a mistaken one shows at start, and not at the first trigger
                task.check(build(recruit.model, seed=settings.seed))

    def withheld(self, event_number: int) -> str:
        """Why no retraining can begin now, if so."""
        if not event_number:
            return "no event learned yet"
        if self.jobs.full:
            return f"jobs: {len(self.jobs)} under way"
        # The recruits of a second one would be the same, and bear the same names.
        return "nothing was learned since the last one began" if self._begun_at(event_number) else ""

    def _begun_at(self, event_number: int) -> bool:
        """Whether a retraining has begun on this event, and somebody is there of it."""
        cause = Cause("trigger", str(event_number))
        return self.jobs.begun_at(event_number) or any(member.cause == cause for member in self.shadows.members)

    def trigger(self, fired: tuple[Fired, ...], *, signal: str, champion: Member, event_number: int) -> Job | None:
        """Let in what needs no training, and make the job that trains the rest, one recruit for each distinct range.

        Args:
            signal: the id under which the first of those that fired was told.
        """
        what = "drift" if any(each.kind in _DRIFTS for each in fired) else "due"
        reason = f"{what}: " + ", ".join(each.name for each in fired)
        window = max(each.shift.window_events for each in fired)
        self._let_in(champion, event_number=event_number, reason=reason, trigger=signal)
        plans = self._plans(window, champion=champion, event_number=event_number)
        return self._begin(plans, champion=champion, event_number=event_number, reason=reason, trigger=signal)

    def demand(self, asked: Retrain, *, champion: Member, event_number: int) -> Job | None:
        """The same because somebody asked for it; on the last events only, if so many were named."""
        reason = f"demand: {asked.reason}"
        if not asked.events:
            self._let_in(champion, event_number=event_number, reason=reason, trigger=asked.id)
            plans = self._plans(0, champion=champion, event_number=event_number, what=_DEMAND)
        else:
            span = min(asked.events, event_number, self.settings.retrain.history_max)
            plans = (Plan(f"r{event_number}{_DEMAND}-{span}", tuple(self.lineage.last(span)), None, b""),)
        return self._begin(
            plans, champion=champion, event_number=event_number, reason=reason, trigger=asked.id, what=_DEMAND
        )

    def ranges(self, events: int) -> tuple[LogRange, ...]:
        """The last so many learned events, as one range a partition."""
        return tuple(LogRange(partition=p, start=start, end=end) for p, start, end in merged(self.lineage.last(events)))

    def _id(self, event_number: int, what: str = "") -> str:
        return f"{self.settings.name}-{event_number}{what}"

    def _let_in(self, champion: Member, *, event_number: int, reason: str, trigger: str) -> None:
        for member, why in self._at_once(champion, event_number=event_number):
            member.trigger = trigger
            self.shadows.enter(member, reason=f"{reason}; {why}")

    def _begin(
        self,
        plans: tuple[Plan, ...],
        *,
        champion: Member,
        event_number: int,
        reason: str,
        trigger: str,
        what: str = "",
    ) -> Job | None:
        if not plans:
            return None
        job = Job(
            id=self._id(event_number, what),
            event_number=event_number,
            reason=reason,
            seed=self.settings.seed,
            plans=plans,
            trigger=trigger,
            champion_version=champion.version,
        )
        for plan in plans:
            self.lifecycle.move(plan.name, "recruiting", reason=reason)
        self.jobs.start(job)
        return job

    def _plans(self, window: int, *, champion: Member, event_number: int, what: str = "") -> tuple[Plan, ...]:
        """What is to be trained; two recruits that would be the same model are one."""
        plans: dict[tuple[Any, ...], Plan] = {}
        for number, recruit in enumerate(self.settings.retrain.recruits):
            if recruit.on in ("now", "former"):
                continue
            events = max(window, recruit.events) if recruit.on == "detector-window" else recruit.events
            span = min(events, event_number, self.settings.retrain.history_max)
            key = (span, recruit.on == "warm", str(recruit.model))
            if key in plans:
                continue
            warm = self._bytes_of(champion) if recruit.on == "warm" else b""
            if warm is not None:
                name = f"r{event_number}{what}-{recruit.on}-{span}{_other(recruit, number)}"
                plans[key] = Plan(name, tuple(self.lineage.last(span)), recruit.model, warm)
        return tuple(plans.values())

    def _bytes_of(self, champion: Member) -> bytes | None:
        """The champion as it is now, for a warm copy; None if its state cannot be kept."""
        try:
            return statetree.encode(champion.model, trusted=self.settings.model.trusted)
        except statetree.StateTreeError:
            return None

    def _at_once(self, champion: Member, *, event_number: int) -> Iterator[tuple[Member, str]]:
        """Recruits that need no training."""
        for number, recruit in enumerate(self.settings.retrain.recruits):
            name = f"r{event_number}-now{_other(recruit, number)}"
            if recruit.on == "now" and name not in self.lifecycle.states:
                model = self._fresh(recruit)
                if model is not None:
                    yield (
                        self._member(name, model, self._from_now(event_number), event_number=event_number),
                        "fresh from now",
                    )
            elif recruit.on == "former":
                yield from self._former(champion, event_number=event_number)

    def _fresh(self, recruit: Recruit) -> Any:
        """None if it cannot be made now: a factory, which made one at the start, may do as it likes."""
        try:
            return build(recruit.model or self.settings.model, seed=self.settings.seed)
        except BaseException as error:
            if not is_fault(error):
                raise
            return None

    def _from_now(self, event_number: int) -> TrainedOn:
        """After the newest event that can be read again; there may be none."""
        newest = self.lineage.last(1)
        if not newest:
            return TrainedOn(note=f"fresh after event {event_number}")
        return fresh_after(newest[0].partition, newest[0].end - 1, event_number=event_number)

    def _former(self, champion: Member, *, event_number: int) -> Iterator[tuple[Member, str]]:
        """A copy of each former champion of which none is there."""
        for former in self.library:
            version, there = former.version, [champion, *self.shadows.members]
            if not any(version in (member.version, member.former) for member in there):
                model, name = self.library.copy(former), f"r{event_number}-former-{version}"
                member = self._member(name, model, former.trained_on, event_number=event_number, former=version)
                yield member, f"version {version} once more"

    def _member(
        self,
        name: str,
        model: Any,
        trained_on: TrainedOn,
        *,
        event_number: int,
        decided: int | None = None,
        former: int | None = None,
    ) -> Member:
        """A recruit that enters on this event; it was decided on by a trigger then, or before."""
        return Member(
            name,
            model,
            lifecycle=self.lifecycle,
            task=self.task,
            trained_on=trained_on,
            since=event_number,
            cause=Cause("trigger", str(event_number if decided is None else decided)),
            former=former,
        )

    def once_more(self, kept: Kept, *, event_number: int) -> Member:
        """A member that is as the version was when it was announced."""
        name = f"d{event_number}-former-{kept.version}"
        return self._member(name, kept.model, kept.trained_on, event_number=event_number, former=kept.version)

    def remember(self, event: AcceptedEvent) -> list[str]:
        """Keep the event for the recruits that are being trained; what there is to note of jobs given up for it."""
        notes = []
        for job in self.jobs.remember(event):
            notes.append(f"job {job.id} given up: {self.jobs.gap_max} events passed without it")
            for plan in job.plans:
                # The report has a note of the job already.
                self.lifecycle.move(plan.name, "gone", reason="its job took too long", level="alert", noted=False)
        return notes

    def admit(self, result: JobResult, *, event_number: int) -> list[str]:
        """A job came back: its recruits learn the gap and enter the arena; or it failed. What there is to note."""
        under_way = self.jobs.come_back(result.job_id)
        if under_way is None:
            return []
        notes = []
        models = result.models or (None,) * len(under_way.job.plans)
        for plan, model in zip(under_way.job.plans, models, strict=True):
            failure = result.failure_of(plan)
            if failure:
                self.lifecycle.move(plan.name, "gone", reason=failure, level="alert", noted=False)
                notes.append(f"job {result.job_id}{'' if result.failure else f', {plan.name}'}: {failure}")
            else:
                self._enter(plan, model, under_way, event_number=event_number)
        # A job that failed as a whole gives the same words for each of its plans; they are said once.
        return list(dict.fromkeys(notes))

    def _enter(self, plan: Plan, model: Any, under_way: JobUnderWay, *, event_number: int) -> None:
        trained_on, job = under_way.trained_on(plan), under_way.job
        member = self._member(plan.name, model, trained_on, event_number=event_number, decided=job.event_number)
        member.trigger = job.trigger
        member.parent = job.champion_version if plan.warm else None
        try:
            for each in under_way.gap:
                member.learn(each.x, each.y)
        except BaseException as error:
            if not is_fault(error):
                raise
            self.lifecycle.move(plan.name, "gone", reason=f"disqualified: {type(error).__name__}: {error}")
            return
        self.shadows.enter(member, reason=f"trained on {trained_on.events} events")


def _other(recruit: Recruit, number: int) -> str:
    """What tells a recruit of another model from one of the champion's: its place in the configuration."""
    return "" if recruit.model is None else f"-model{number + 1}"

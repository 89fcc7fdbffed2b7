"""The lane: one event's way through the champion, its shadows, the detectors and the arena, as a pure fold.

It reads no clock, no network and no random source: the same records in the same order, with the same inputs
(`admit`, `abandon`) between them, give the same state and the same messages.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from river import base

from anabranch.errors import LearnError
from anabranch.messages import DriftSignal, LogRange, Message, ModelReport, Retrain, TrainedOn
from anabranch.ports import AcceptedEvent, Findings, Fired, Watcher
from anabranch.settings import Settings
from learners.lineage import Lineage, merged
from learners.members import Member, Shadows, paired, revived
from learners.pending import Pending
from learners.promotion import Promotion
from learners.retraining import Job, Jobs, JobUnderWay, Plan, Recruited
from learners.scores import Scores, fits, metrics_of, wants_proba
from learners.tasks import Answer, Task, is_fault

Said = Message | Promotion | Job
"""What a lane yields: messages, models that go live, and jobs to carry out."""

SILENCE: tuple[Said, ...] = ()

_DRIFTS = ("error", "input", "prediction", "label", "threshold")
"""Kinds of signals that say that something changed; the others say that it is time."""


class Lane:
    """One model's fold over its records.

    Args:
        settings: of the model.
        champion: the first one, fresh or already trained.
        watch: the drift detectors on the champion's loss.
        trained_on: what it has learned before.

    Raises:
        ConfigError: the champion does not fit the task, or a metric does not fit the champion.
    """

    def __init__(
        self,
        settings: Settings,
        champion: base.Estimator,
        *,
        watch: Watcher,
        trained_on: TrainedOn | None = None,
    ) -> None:
        metrics = metrics_of(settings)
        self.settings = settings
        self.task = Task(settings, wants_proba=wants_proba(metrics) or watch.wants_proba)
        self.task.check(champion)
        fits(metrics, champion)
        self.scores = Scores(metrics, window=settings.scores.window)
        self.shadows = Shadows(settings.arena, settings.constraints, task=self.task)
        self.champion = Member(
            "first", champion, kind="champion", task=self.task, trained_on=trained_on or TrainedOn(), since=0
        )
        self.watch = watch
        self._watches_questions = watch.sees_questions
        self.lineage = Lineage(events_max=settings.retrain.history_max)
        self.jobs = Jobs(jobs_max=settings.retrain.jobs_max, gap_max=settings.retrain.gap_max)
        self.pending = Pending(pending_max=settings.pending_max)
        self.canary: deque[dict[str, object]] = deque(maxlen=settings.publish.canary_rows)
        self.newest: AcceptedEvent | None = None
        self.events = 0
        self.version = 0
        # Read on every event, and reading a pydantic model costs more than an attribute.
        self._is_regression = settings.task == "regression"
        self._window = settings.scores.window
        self._report_events = settings.publish.report_events
        self._refresh_events = settings.publish.refresh_events
        self._warm_up_events = settings.publish.warm_up_events
        self.notes: list[str] = []

    # ── the fold ────────────────────────────────────────────────────────────────────────────────────────────────

    def asked(self, event: AcceptedEvent) -> Sequence[Said]:
        """Every member predicts; if the event brings its label, every member is scored and learns too.

        Raises:
            LearnError: the champion raised; the lane must be restored from before the event.
        """
        try:
            answer = self.champion.ask(event.x)
        except BaseException as error:
            if not is_fault(error):
                raise
            raise _choked(event, error, learned=self.events) from error
        answers = {self.champion.name: answer}
        if self.shadows.members:
            self._ask_shadows(event, answers)
        if self._watches_questions:
            return self._watched(event, answer, answers)
        return self._go_on(event, answer, answers)

    def _go_on(self, event: AcceptedEvent, answer: Answer, answers: dict[str, Answer]) -> Sequence[Said]:
        """Learn the event, or keep it until its label comes."""
        if event.y is not None:
            return self._learn(event, answer, answers)
        self.pending.wait(event, answer, answers)
        return SILENCE

    def _watched(self, event: AcceptedEvent, answer: Answer, answers: dict[str, Answer]) -> Sequence[Said]:
        """The same, with signals that need no label."""
        number = self.events + (event.y is not None)
        findings = self.watch.asked(event, answer, number=number)
        said = self._go_on(event, answer, answers)
        return said if findings is None else [*said, *self._drifted(event, findings)]

    def labelled(self, event_id: str, y: Any) -> Sequence[Said]:
        """The label of an event asked before: members are scored on what they predicted then, and learn.

        A label that no pending event waits for is passed over.

        Raises:
            LearnError: the champion raised; the lane must be restored from before the label.
        """
        waiting = self.pending.take(event_id)
        if waiting is None:
            return SILENCE
        event, served, answers = waiting
        return self._learn(event._replace(y=y), served, answers)

    def admit(self, recruited: Recruited) -> Sequence[Said]:
        """A retraining job came back: its recruits learn the gap and enter the arena; or it failed."""
        under_way = self.jobs.come_back(recruited.job_id)
        if under_way is None:
            return SILENCE
        if recruited.failure:
            self.notes.append(f"job {recruited.job_id}: {recruited.failure}")
        for plan, model in zip(under_way.job.plans, recruited.models, strict=False):
            self._enter(plan, model, under_way)
        return SILENCE

    def rebuilt(self, *, reason: str) -> Promotion | None:
        """The champion goes live as it is, between two events; None before the warm-up is over."""
        if self.newest is None or self.events < self._warm_up_events:
            return None
        return self._publish("rebuild", self.newest, reason=reason)

    # ── one labelled event ──────────────────────────────────────────────────────────────────────────────────────

    def _learn(self, event: AcceptedEvent, served: Answer, answers: dict[str, Answer]) -> Sequence[Said]:
        """Score and teach every member; `answers` are those given when the event was asked, by member."""
        self.events += 1
        self.lineage.append(event.partition, event.offset)
        self.scores.update(event.y, served)
        own = answers.get(self.champion.name)  # none, if the champion entered after the question
        loss = None if own is None else self.task.loss(event.y, own)
        if loss is not None:
            self.champion.note_loss(loss, window=self._window)
        try:
            self.champion.learn(event.x, event.y)
        except BaseException as error:
            if not is_fault(error):
                raise
            raise _choked(event, error, learned=self.events - 1) from error
        self.newest = event
        self.canary.append(event.x)
        if self.shadows.members:
            self._judge_shadows(event, loss, answers)
        if self._is_regression:
            self.task.judged(event.y, served)
        if self.jobs.under_way:
            self.notes += [
                f"job {each} given up: {self.jobs.gap_max} events passed without it"
                for each in self.jobs.remember(event)
            ]
        return self._conclude(event, loss, own)

    def _conclude(self, event: AcceptedEvent, loss: float | None, own: Answer | None) -> Sequence[Said]:
        """What there is to say after the event: drift, a swap, a publication, a report. Mostly nothing."""
        findings = self.watch.update(loss, event=self.events, seen=event, answer=own)
        reports = self.events % self._report_events == 0
        if findings is None and not self.shadows.members and not reports and not self._publication_due():
            return SILENCE
        said: list[Said] = []
        if findings is not None:
            said += self._drifted(event, findings)
        promotion = self._contest(event) if self.shadows.members else None
        if promotion is None and self._publication_due():
            promotion = self._publish_as_it_is(event)
        if promotion is not None:
            said.append(promotion)
        if reports:
            said.append(self._report(event))
        return said

    def _ask_shadows(self, event: AcceptedEvent, answers: dict[str, Answer]) -> None:
        for member in list(self.shadows.members):
            try:
                answers[member.name] = member.ask(event.x)
            except BaseException as error:
                if not is_fault(error):
                    raise
                self._disqualify(member, error)

    def _judge_shadows(self, event: AcceptedEvent, loss: float | None, answers: dict[str, Answer]) -> None:
        window = self._window
        for member in list(self.shadows.members):
            answer = answers.get(member.name)
            if loss is not None and answer is not None:
                paired(loss, event.y, member, answer, task=self.task, window=window)
            try:
                member.learn(event.x, event.y)
            except BaseException as error:
                if not is_fault(error):
                    raise
                self._disqualify(member, error)

    def _disqualify(self, member: Member, error: BaseException) -> None:
        """A shadow that raises never costs an event: it leaves."""
        self.shadows.members.remove(member)
        self.notes.append(f"{member.name} disqualified: {type(error).__name__}: {error}")

    # ── drift and retraining ────────────────────────────────────────────────────────────────────────────────────

    def retrain_asked(self, asked: Retrain) -> Sequence[Said]:
        """Somebody asked for a retraining: an input, at a batch boundary, which a checkpoint must follow."""
        job_id = f"{self.settings.name}-{self.events}-demand"
        if self.newest is None:
            return [self._answer(asked, withheld="no event learned yet")]
        if self.jobs.full or job_id in self.jobs.under_way:
            return [self._answer(asked, withheld=f"jobs: {len(self.jobs)} under way")]
        self.notes.append(f"retraining asked for by {asked.by or 'somebody'}: {asked.reason}")
        most = min(asked.events, self.events, self.settings.retrain.history_max)
        spans = {most: "demand"} if asked.events else {n: f"demand-{on}" for n, on in self._spans(0).items()}
        return [self._answer(asked), self._begin(job_id, spans, reason=f"demand: {asked.reason}")]

    def _answer(self, asked: Retrain, *, withheld: str = "") -> DriftSignal:
        at = self.newest
        return DriftSignal(
            id=f"{self.settings.name}/{asked.id}",
            model=self.settings.name,
            detector="retrain",
            partition=at.partition if at else 0,
            offset=at.offset if at else 0,
            event=self.events,
            statistic=0.0,
            threshold=0.0,
            change_point=max(1, self.events - asked.events + 1),
            window_events=asked.events,
            triggered=not withheld,
            kind="demand",
            withheld=withheld,
            window=self._ranges(asked.events),
            reason=asked.reason,
            by=asked.by,
        )

    def _drifted(self, event: AcceptedEvent, findings: Findings) -> list[Said]:
        """The signals, and the job if they add up to a trigger."""
        if findings.triggered and self.jobs.full:
            why = f"jobs: {len(self.jobs)} under way"
            self.notes.append(f"trigger at event {self.events} passed over: {len(self.jobs)} jobs under way")
            findings = findings._replace(triggered=False, withheld=why)
        said: list[Said] = [self._signal(event, fired, findings) for fired in findings.fired]
        if findings.triggered:
            said.append(self._recruit(findings.fired))
        return said

    def _signal(self, event: AcceptedEvent, fired: Fired, findings: Findings) -> DriftSignal:
        shift = fired.shift
        return DriftSignal(
            id=f"{self.settings.name}/{event.partition}/{event.offset}/{fired.name}",
            model=self.settings.name,
            detector=fired.name,
            partition=event.partition,
            offset=event.offset,
            event=self.events,
            statistic=shift.statistic,
            threshold=shift.threshold,
            change_point=max(1, self.events - shift.window_events + 1),
            window_events=shift.window_events,
            triggered=findings.triggered,
            kind=fired.kind,
            moved=shift.moved,
            counted=findings.counted,
            window=self._ranges(shift.window_events),
            withheld=findings.withheld,
            dry_run=findings.dry_run,
        )

    def _ranges(self, events: int) -> tuple[LogRange, ...]:
        """The last so many learned events, as one range a partition."""
        return tuple(LogRange(partition=p, start=start, end=end) for p, start, end in merged(self.lineage.last(events)))

    def _recruit(self, fired: tuple[Fired, ...]) -> Job:
        """The job that retrains the configured recruits."""
        window = max(each.shift.window_events for each in fired)
        reason = "drift" if any(each.kind in _DRIFTS for each in fired) else "due"
        names = ", ".join(each.name for each in fired)
        return self._begin(f"{self.settings.name}-{self.events}", self._spans(window), reason=f"{reason}: {names}")

    def _spans(self, window: int) -> dict[int, str]:
        """How far back each recruit is to learn, one for each distinct range, and what it is called."""
        spans: dict[int, str] = {}
        for recruit in self.settings.retrain.recruits:
            events = max(window, recruit.events) if recruit.on == "detector-window" else recruit.events
            spans.setdefault(min(events, self.events, self.settings.retrain.history_max), recruit.on)
        return spans

    def _begin(self, job_id: str, spans: dict[int, str], *, reason: str) -> Job:
        plans = tuple(Plan(f"r{self.events}-{on}-{span}", tuple(self.lineage.last(span))) for span, on in spans.items())
        job = Job(
            id=job_id,
            event=self.events,
            reason=reason,
            seed=self.settings.seed,
            plans=plans,
        )
        self.jobs.begin(job)
        self.watch.trained()
        return job

    def _enter(self, plan: Plan, model: Any, under_way: JobUnderWay) -> None:
        member = Member(
            plan.name,
            model,
            kind="recruit",
            task=self.task,
            trained_on=under_way.trained_on(plan),
            since=self.events,
        )
        try:
            for event in under_way.gap:
                member.learn(event.x, event.y)
        except BaseException as error:
            if not is_fault(error):
                raise
            self.notes.append(f"{member.name} disqualified: {type(error).__name__}: {error}")
            return
        self.notes += [f"{name} left for {member.name}" for name in self.shadows.enter(member)]

    # ── going live ──────────────────────────────────────────────────────────────────────────────────────────────

    def _contest(self, event: AcceptedEvent) -> Promotion | None:
        """The swap, if a shadow has won; those whose time is up leave."""
        winner = self.shadows.winner()
        promotion = None if winner is None else self._swap(winner, event)
        for member in self.shadows.expire(event=self.events):
            self.notes.append(f"{member.name} left: no win in its time")
        return promotion

    def _publication_due(self) -> bool:
        if self.champion.version is None:
            return self.events >= self._warm_up_events
        return bool(self._refresh_events) and self.events % self._refresh_events == 0

    def _publish_as_it_is(self, event: AcceptedEvent) -> Promotion:
        """The champion once more, with what it has learned since; or for the first time."""
        if self.champion.version is not None:
            return self._publish("refresh", event, reason=f"{self._refresh_events} events more")
        return self._publish("first", event, reason=f"{self.events} events learned")

    def _swap(self, winner: Member, event: AcceptedEvent) -> Promotion:
        """Exchange champion and winner; the displaced champion stays for its probation."""
        displaced = self.champion
        verdict = winner.verdict(wins_at=self.shadows.wins_at)
        measured = self.shadows.measure(winner)
        rollback = winner.kind == "displaced"
        self.shadows.members.remove(winner)
        winner.take_role("champion", since=self.events)
        displaced.take_role("displaced", since=self.events)
        former = winner.version
        self.champion = winner
        self.shadows.start_over()
        if self.settings.arena.probation_events and displaced.version is not None:
            self.notes += [f"{name} left for {displaced.name}" for name in self.shadows.enter(displaced)]
        self.watch.start_over()
        reason = (
            f"version {former} is better after all" if rollback else f"{winner.name} wins after {verdict.events} events"
        )
        promotion = self._publish("rollback" if rollback else "swap", event, reason=reason)
        return promotion._replace(
            verdict=verdict, constraints=measured, displaced_version=displaced.version, restores=former
        )

    def _publish(self, kind: Any, event: AcceptedEvent, *, reason: str) -> Promotion:
        self.version += 1
        self.champion.version = self.version
        return Promotion(
            kind=kind,
            version=self.version,
            event=self.events,
            partition=event.partition,
            offset=event.offset,
            event_ts=event.ts,
            member=self.champion.name,
            model=self.champion.model,
            trained_on=self.champion.trained_on,
            reason=reason,
            scores=self.scores.values(),
            canary=tuple(self.canary),
        )

    # ── for people and checkpoints ──────────────────────────────────────────────────────────────────────────────

    def _report(self, event: AcceptedEvent) -> ModelReport:
        wins_at = self.shadows.wins_at
        notes, self.notes = tuple(self.notes), []
        return ModelReport(
            id=f"{self.settings.name}/{event.partition}/{event.offset}/report",
            model=self.settings.name,
            version=self.version,
            event=self.events,
            partition=event.partition,
            offset=event.offset,
            event_ts=event.ts,
            scores=self.scores.values(),
            windowed=self.scores.windowed_values(),
            members=tuple(member.report(wins_at=wins_at) for member in [self.champion, *self.shadows.members]),
            pending=len(self.pending),
            jobs=len(self.jobs),
            notes=notes,
        )

    def learning_state(self) -> dict[str, Any]:
        """What the learning state hash is taken of: models, contests, detectors, scores."""
        return {
            "events": self.events,
            "version": self.version,
            "champion": self.champion.state(),
            "shadows": [member.state() for member in self.shadows.members],
            "watch": self.watch.state(),
            "scores": self.scores.state(),
            "scale": (self.task.scale.count, self.task.scale.mean),
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the learning state and what is under way."""
        return {
            **self.learning_state(),
            "lineage": self.lineage.state(),
            "jobs": self.jobs.state(),
            "pending": self.pending.state(),
            "canary": list(self.canary),
            "newest": None if self.newest is None else tuple(self.newest),
            "notes": list(self.notes),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of a lane with the same settings."""
        self.events, self.version = state["events"], state["version"]
        self.champion = revived(state["champion"], task=self.task)
        self.shadows.restore(state["shadows"])
        self.watch.restore(state["watch"])
        self.scores.restore(state["scores"])
        self.task.scale.count, self.task.scale.mean = state["scale"]
        self.lineage.restore(state["lineage"])
        self.jobs.restore(state["jobs"])
        self.pending.restore(state["pending"])
        self.canary.clear()
        self.canary.extend(state["canary"])
        self.newest = None if state["newest"] is None else AcceptedEvent(*state["newest"])
        self.notes = list(state["notes"])


def _choked(event: AcceptedEvent, error: BaseException, *, learned: int) -> LearnError:
    return LearnError(partition=event.partition, offset=event.offset, learned=learned, cause=error)

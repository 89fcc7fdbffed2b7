"""What comes to a lane between two batches (jobs that end, what people ask for, measurements), and what it reports."""

from collections.abc import Mapping

from anabranch import statetree
from anabranch.events import AcceptedEvent
from anabranch.messages import (
    Decision,
    LabelsReport,
    Message,
    ModelReport,
    Retrain,
    RetrainAnswer,
    SegmentsReport,
    ServedCounts,
    TimeWindow,
    Transition,
    UpdateKind,
)
from learners.arena.members import Member
from learners.arena.succession import DecisionContext
from learners.emitted import NOTHING, Emitted, Kept, Promotion
from learners.parts import LaneParts
from learners.retraining import JobResult

HOLDS = {"pin": ("pinned", True), "unpin": ("pinned", False), "freeze": ("frozen", True), "thaw": ("frozen", False)}
"""By the step that is asked for, what it is about, and whether it begins."""


class LaneInputs(LaneParts):
    """A lane's inputs beside its records. Each is applied at a place of the log: a replay does the same there."""

    def admit(self, result: JobResult) -> Emitted:
        """A retraining job came back: its recruits learn the gap and enter the arena; or it failed."""
        self.notes += self.recruits.admit(result, event_number=self.events)
        return NOTHING if self.newest is None else Emitted(self._transitions(self.newest))

    def retrain_asked(self, asked: Retrain) -> Emitted:
        """Somebody asked for a retraining: the answer, and the job if there is one to begin."""
        at, withheld = self.newest, self._no_retraining(self.events)
        if at is None or withheld:
            return Emitted([self._answer(asked, withheld=withheld)])
        self.notes.append(f"retraining asked for by {asked.by or 'somebody'}: {asked.reason}")
        answer = self._answer(asked)
        job = self.recruits.demand(asked, champion=self.champion, event_number=self.events)
        self.watch.trained()
        return Emitted([answer, *self._transitions(at)], [] if job is None else [job])

    def refused(self, asked: Retrain | Decision, withheld: str) -> Message:
        """The answer to somebody who may not ask, or has asked before; it changes nothing."""
        if isinstance(asked, Retrain):
            return self._answer(asked, withheld=withheld)
        return self.reports.decision(asked, event_number=self.events, version=self.version, withheld=withheld)

    def _answer(self, asked: Retrain, *, withheld: str = "") -> RetrainAnswer:
        window = self.recruits.ranges(asked.events)
        return self.reports.answer(asked, event_number=self.events, window=window, withheld=withheld)

    def decided(self, asked: Decision, *, kept: Kept | None = None) -> Emitted:
        """Somebody's word on who answers and what is learned: the answer, and what goes live by it.

        Args:
            kept: the version to which is rolled back, as it was announced; it counts where it is in no probation.
        """
        at = self.newest
        promotion, withheld = None, "nothing is being rolled out"
        if at is None:
            withheld = "no event learned yet"
        elif asked.step == "envelope":
            withheld = self._approved(asked)
        elif asked.step in HOLDS:
            promotion, withheld = self._held(asked, self._context(at))
        elif asked.step in ("promote", "rollback"):
            promotion, withheld = self._put_in(asked, self._context(at), kept)
        elif self.succession.rollout.under_way:
            promotion, withheld = self._carried_out(asked, self._context(at))
        answer = self.reports.decision(asked, event_number=self.events, version=self.version, withheld=withheld)
        return Emitted([answer, *(self._transitions(at) if at is not None else [])], promotion=promotion)

    def _carried_out(self, asked: Decision, context: DecisionContext) -> tuple[Promotion | None, str]:
        """What goes live by somebody's word; or why nothing does."""
        by = f"by {asked.by or 'somebody'}: {asked.why}"
        if self.succession.held:
            return None, self.succession.held
        if asked.step == "approve":
            promotion = self.succession.complete(context, reason=f"approved {by}")
            withheld = "" if promotion else "the champion cannot be announced: see model-lifecycle"
        else:
            promotion, withheld = self.succession.withdraw(context, reason=f"withdrawn {by}")
            self._begun_with(promotion)
        return promotion and promotion._replace(by=asked.by), withheld

    def _put_in(self, asked: Decision, context: DecisionContext, kept: Kept | None) -> tuple[Promotion | None, str]:
        """Another champion by somebody's word; or why there is none."""
        succession, by = self.succession, f"by {asked.by or 'somebody'}: {asked.why}"
        if succession.held:
            return None, succession.held
        if succession.rollout.under_way:
            return None, f"version {succession.champion.version} is being rolled out: approve or withdraw it first"
        if self.blend.serves:
            return None, 'a blend of the members answers, and no champion: set `serve = "champion"` to choose one'
        if self.published.version is None:
            return None, "nothing is announced yet"
        if asked.step == "promote":
            promotion, withheld = succession.promote(asked.member, context, reason=f"promoted {by}")
        elif kept is not None and kept.version not in succession.in_probation():
            member = self.recruits.once_more(kept, event_number=self.events)
            promotion, withheld = succession.bring_back(member, context, reason=f"rolled back {by}")
        else:
            promotion, withheld = succession.roll_back(asked.version, context, reason=f"rolled back {by}")
        self._begun_with(promotion)
        return promotion and promotion._replace(by=asked.by), withheld

    def _held(self, asked: Decision, context: DecisionContext) -> tuple[Promotion | None, str]:
        """Pin or freeze the champion, or end that; or why nothing comes of it."""
        hold, begins = HOLDS[asked.step]
        before, by = getattr(self.succession, hold), f"by {asked.by or 'somebody'}: {asked.why}"
        if begins and before:
            return None, f"it is {hold} already {before}"
        if not begins and not before:
            return None, f"it is not {hold}"
        setattr(self.succession, hold, by if begins else "")
        reason = f"{hold if begins else f'no longer {hold}'} {by}"
        self.lifecycle.stay(self.champion.name, reason=reason, noted=True)
        if hold == "pinned":
            return None, ""
        if self.quarantine is not None:
            self.quarantine.start_over()
        promotion = self._announced_as_it_is(context, reason)
        return promotion and promotion._replace(by=asked.by), ""

    def enveloped(self, digest: str, *, approved: bool) -> Emitted:
        """The configuration has another change envelope: until it is approved, nothing is swapped by itself."""
        self.succession.unapproved = "" if approved else digest
        until = "" if approved else "; nothing is swapped by itself until it is approved"
        reason = f"goes on under the change envelope {digest}{until}"
        self.lifecycle.stay(self.champion.name, reason=reason, noted=True)
        return NOTHING if self.newest is None else Emitted(self._transitions(self.newest))

    def _approved(self, asked: Decision) -> str:
        """Let the change envelope that it has come to count; or why nothing comes of it."""
        unapproved = self.succession.unapproved
        if not unapproved:
            return "the change envelope in use is approved already"
        if asked.envelope != unapproved:
            return f"the change envelope in use is {unapproved}, and not {asked.envelope or 'named'}"
        self.succession.unapproved = ""
        reason = f"change envelope {unapproved} approved by {asked.by or 'somebody'}: {asked.why}"
        self.lifecycle.stay(self.champion.name, reason=reason, noted=True)
        return ""

    def served(self, told: ServedCounts) -> Emitted:
        """Followers have told what they make of the version that is being rolled out: it is withdrawn, or goes on."""
        succession, at = self.succession, self.newest
        fault = succession.rollout.hear(told)
        if not fault or at is None or succession.held:
            return NOTHING
        promotion, withheld = succession.withdraw(self._context(at), reason=f"withdrawn: {fault}")
        self._begun_with(promotion)
        if promotion is None and succession.rollout.heard is not None:
            succession.rollout.heard.start_over()
            why = f"held back: not withdrawn, though {fault}: {withheld}"
            self.lifecycle.stay(self.champion.name, reason=why, level="alert")
        return Emitted(self._transitions(at), promotion=promotion)

    def measured(self, *, stride: Mapping[str, int], too_slow: Mapping[str, float]) -> Emitted:
        """What members cost was measured: who takes part in every so many events only, and who may not win.

        Args:
            stride: by member's name: it takes part in one of so many events. 0 is a pause; who is not named takes
                part in all.
            too_slow: microseconds a prediction, of those that take longer than the constraint allows.
        """
        self.constraints.too_slow = dict(too_slow)
        for member in self.shadows.members:
            share = stride.get(member.name, 1) if member.kind != "displaced" else 1
            if share != member.share:
                self._pace(member, share)
        return NOTHING if self.newest is None else Emitted(self._transitions(self.newest))

    def _pace(self, member: Member, stride: int) -> None:
        member.allow(stride)
        if not stride:
            self.lifecycle.move(member.name, "paused", reason="paused: beyond the budget")
            return
        reason = "takes part in every event" if stride == 1 else f"takes part in one of {stride} events: the budget"
        if member.life == "paused":
            self.lifecycle.move(member.name, "arena", reason=reason)
        else:
            self.lifecycle.stay(member.name, reason=reason)

    def drop_unkeepable(self) -> tuple[str, ...]:
        """Let go of the shadows whose state cannot be kept: they would end every checkpoint. Their names."""
        dropped = []
        for member in list(self.shadows.members):
            try:
                statetree.encode(member.model, trusted=self.settings.model.trusted)
            except statetree.StateTreeError as error:
                self.arena.disqualify(member, error)
                dropped.append(member.name)
        return tuple(dropped)

    def rebuilt(self, *, reason: str, kind: UpdateKind = "rebuild") -> Promotion | None:
        """The champion goes live as it is, between two events; None before the warm-up is over, or if it is broken."""
        if self.newest is None:
            return None
        return self.succession.rebuilt(self._context(self.newest), reason=reason, kind=kind)

    # ── what the fold does as well ──────────────────────────────────────────────────────────────────────────────

    def _no_retraining(self, event_number: int) -> str:
        frozen = self.succession.frozen
        return f"learning is frozen {frozen}" if frozen else self.recruits.withheld(event_number)

    def _announced_as_it_is(self, context: DecisionContext, reason: str) -> Promotion | None:
        """Who learns along stops with the announcement of a freeze, and goes on with the one by which it ends."""
        if self.published.version is None:
            return None
        promotion = self.succession.publish_as_it_is(context)
        return promotion and promotion._replace(reason=reason)

    def _begun_with(self, promotion: Promotion | None) -> Promotion | None:
        """What is compared with when the champion began is compared anew, if another one answers now."""
        if promotion is not None:
            self.watch.start_over()
            self.observed.start_over()
            if self.quarantine is not None:
                self.quarantine.start_over()
        return promotion

    def _context(self, event: AcceptedEvent) -> DecisionContext:
        late = self.lateness.is_late
        return DecisionContext(event, self.events, self.scores.values(), tuple(self.canary), late)

    # ── for people and checkpoints ──────────────────────────────────────────────────────────────────────────────

    def _transitions(self, event: AcceptedEvent) -> list[Transition]:
        """The steps that members have taken since; those that end badly go into the report, too."""
        steps = self.lifecycle.emit()
        self.notes += [f"{step.member} {step.reason}" for step in steps if step.noted]
        return [self.reports.transition(step, event, event_number=self.events) for step in steps]

    def _report(self, event: AcceptedEvent) -> ModelReport:
        """The report that is part of the fold: what it tells of is told once."""
        self.observed.close()
        notes, self.notes = tuple(self.notes), []
        segments = None if self.segmented is None else self.segmented.report(ends=True)
        return self._standing(
            event, what="report", notes=notes, windows=self.observed.windows_ended(), segments=segments
        )

    def report_between(self, *, mark: str) -> ModelReport | None:
        """How it stands, for whoever asks between two events; it changes nothing. None before the first event.

        Args:
            mark: makes the report's id one of its own.
        """
        if self.newest is None:
            return None
        segments = None if self.segmented is None else self.segmented.report(ends=False)
        return self._standing(self.newest, what=f"report/{mark}", segments=segments)

    def _standing(
        self,
        event: AcceptedEvent,
        *,
        what: str,
        segments: SegmentsReport | None,
        notes: tuple[str, ...] = (),
        windows: tuple[TimeWindow, ...] = (),
    ) -> ModelReport:
        groups = self.champion.groups
        return self.reports.report(
            event,
            what=what,
            segments=segments,
            windows=windows,
            detectors=self.watch.levels(),
            features=self.observed.features(),
            groups=() if groups is None else groups.reports(),
            fairness=self.observed.fairness_reports(),
            balance=self.observed.balance.report(),
            event_number=self.events,
            version=self.version,
            scores=self.scores,
            members=[self.champion, *self.shadows.members],
            wins_at=self.shadows.wins_at,
            window=self._window,
            published=self.published.report(event, self.events, of_all=not self.succession.rollout.under_way),
            pending=len(self.join),
            labels=self.labels_report(),
            jobs=len(self.jobs),
            notes=notes,
            weights=self.blend.shares(),
            tradeoffs=self.shadows.tradeoffs(self.champion),
            ranked=self.ranked,
            lag=self.lateness.lag if self.lateness.is_late else None,
            rollout=self.succession.rollout.report(),
            held=self.succession.holds,
        )

    def labels_report(self) -> LabelsReport | None:
        """What becomes of events whose labels come late; None where they come with their events."""
        return self.join.report() if self._is_clocked else None

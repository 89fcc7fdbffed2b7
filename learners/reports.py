"""What a lane emits, as messages whose ids a restart repeats: signals, steps of a lifecycle, alerts, reports."""

from collections.abc import Iterable, Mapping
from typing import Any

from anabranch.events import AcceptedEvent, Findings, Fired
from anabranch.messages import (
    Alert,
    AlertKind,
    Decision,
    DecisionAnswer,
    DriftSignal,
    Level,
    LogRange,
    ModelReport,
    Retrain,
    RetrainAnswer,
    Transition,
)
from anabranch.scope import Scope
from learners.arena.lifecycle import Step
from learners.arena.members import Member, Tradeoff
from learners.ranked import Ranked
from learners.scores import Scores


class Reports:
    """Makes the messages about one model.

    Args:
        topic: of the events.
    """

    def __init__(self, model: str, *, scope: Scope, topic: str) -> None:
        self.model = model
        self.topic = topic
        self.scope = scope
        self.name = scope.within(model, "/")

    def _id(self, event: AcceptedEvent, what: str) -> str:
        return f"{self.model}/{event.partition}/{event.offset}/{what}"

    def signal(
        self, event: AcceptedEvent, fired: Fired, findings: Findings, *, event_number: int, window: tuple[LogRange, ...]
    ) -> DriftSignal:
        """A signal fired on the event with this number; `window` is what it proposes to retrain on."""
        shift = fired.shift
        return DriftSignal(
            id=self._id(event, fired.name),
            model=self.model,
            detector=fired.name,
            partition=event.partition,
            offset=event.offset,
            event_number=event_number,
            statistic=shift.statistic,
            threshold=shift.threshold,
            change_point=max(1, event_number - shift.window_events + 1),
            window_events=shift.window_events,
            triggered=findings.triggered,
            kind=fired.kind,
            moved=shift.moved,
            counted=findings.counted,
            window=window,
            withheld=findings.withheld,
            dry_run=findings.dry_run,
        )

    def answer(
        self, asked: Retrain, *, event_number: int, window: tuple[LogRange, ...], withheld: str
    ) -> RetrainAnswer:
        """What became of a request to retrain."""
        return RetrainAnswer(
            id=f"{self.name}/{asked.id}",
            model=self.model,
            request=asked.id,
            event_number=event_number,
            accepted=not withheld,
            withheld=withheld,
            window=window,
            reason=asked.reason,
            by=asked.by,
        )

    def decision(self, asked: Decision, *, event_number: int, version: int, withheld: str) -> DecisionAnswer:
        """What became of a decision."""
        return DecisionAnswer(
            id=f"{self.name}/{asked.id}",
            model=self.model,
            request=asked.id,
            step=asked.step,
            event_number=event_number,
            version=version,
            accepted=not withheld,
            withheld=withheld,
            why=asked.why,
            by=asked.by,
        )

    def alert(self, event: AcceptedEvent, kind: AlertKind, reason: str, *, event_number: int, level: Level) -> Alert:
        """Something about this event that a person should look at."""
        return Alert(
            id=self._id(event, f"alert/{kind}"),
            model=self.model,
            kind=kind,
            level=level,
            reason=reason,
            event_number=event_number,
            # As Kafka counts positions: the next record, not the one that this is about.
            positions={f"{self.topic}/{event.partition}": event.offset + 1},
        )

    def transition(self, step: Step, event: AcceptedEvent, *, event_number: int) -> Transition:
        """A model took a step in its life."""
        return Transition(
            id=self._id(event, f"{step.member}/{step.after}"),
            model=self.model,
            member=step.member,
            before=step.before,
            after=step.after,
            reason=step.reason,
            level=step.level,
            event_number=event_number,
            partition=event.partition,
            offset=event.offset,
            event_ts=event.ts,
        )

    def report(
        self,
        event: AcceptedEvent,
        *,
        what: str,
        event_number: int,
        version: int,
        scores: Scores,
        members: Iterable[Member],
        wins_at: float,
        window: int,
        weights: Mapping[str, float],
        tradeoffs: Mapping[str, Tradeoff],
        ranked: Ranked | None = None,
        **told: Any,
    ) -> ModelReport:
        """How the learner does.

        Args:
            weights: those in the blend, by member.
            tradeoffs: what they would do for groups, by shadow.
            ranked: of rankers, what is measured beside their losses.
            told: what others report, by its key in `ModelReport`.
        """
        beside = {} if ranked is None else ranked.values()
        beside_lately = {} if ranked is None else ranked.windowed_values()
        return ModelReport(
            id=self._id(event, what),
            model=self.model,
            version=version,
            event_number=event_number,
            partition=event.partition,
            offset=event.offset,
            event_ts=event.ts,
            scores={**scores.values(), **beside},
            windowed={**scores.windowed_values(), **beside_lately},
            members=tuple(
                member.report(
                    wins_at=wins_at,
                    event_number=event_number,
                    window=window,
                    weight=weights.get(member.name),
                    tradeoff=tradeoffs.get(member.name),
                    off_policy=None if ranked is None else ranked.report(member.name),
                )
                for member in members
            ),
            unusable=dict(scores.unusable),
            unscored=dict(scores.raised),
            **told,
        )

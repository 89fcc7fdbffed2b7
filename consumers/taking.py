"""What an owner does with records: guard, lane, and what comes of both; and what else enters between two batches."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple
from typing import Any

import orjson
import structlog
from mypy_extensions import mypyc_attr

from anabranch import statetree
from anabranch.blends import Blend, NumberBlend
from anabranch.errors import ArtifactError, KafkaUnavailable
from anabranch.events import AcceptedEvent, AcceptedLabel, Partition, Record
from anabranch.messages import (
    Act,
    DeadLetter,
    Decision,
    DecisionAnswer,
    Measured,
    Message,
    ModelUpdate,
    Retire,
    RetireAnswer,
    Retrain,
)
from anabranch.scope import Scope
from anabranch.values import unboxed
from config.settings import Settings
from consumers.announcer import Announcer
from consumers.audit import Auditing
from consumers.budget import ComputeBudget
from consumers.followers import Followers
from consumers.guard import Guard, Repeated
from consumers.intake import Read
from consumers.order import returned
from consumers.poison import Poison
from consumers.ports import Control
from consumers.requests import Requests
from consumers.retirement import answer, retirement
from consumers.stretches import Stretches
from consumers.telling import Ports
from learners.emitted import NOTHING, Emitted, Kept, Promotion
from learners.models.fence import is_fault
from learners.retraining import JobResult

log = structlog.get_logger()


@mypyc_attr(allow_interpreted_subclasses=True)
class Taking(Auditing):
    """Whoever takes the records of one model.

    Args:
        scope: "global", or "p3" for the model of partition 3.
        listener: is shown every message right after it was sent.
    """

    def __init__(self, settings: Settings, *, scope: Scope, ports: Ports, listener: Callable[[Any], None]) -> None:
        super().__init__(settings, scope=scope, ports=ports, listener=listener)
        self.runner = ports.runners(scope)
        self.announcer = Announcer(settings, scope=scope, sink=ports.sink, clock=ports.clock, envelope=self.envelope)
        self.requests = Requests(ports.controls(), model=settings.name, settings=settings.control, clock=ports.clock)
        self.followers = Followers(self._acks(), model=settings.name, scope=scope, clock=ports.clock)
        self.budget = ComputeBudget(settings, clock=ports.clock)
        self.playing = ExitStack()
        """Ends the processes in which shadows play."""
        self.guard = self._guard()
        self.poison = Poison(in_a_row_max=settings.guard.poison_max)
        self.left_out = Stretches()
        """What is passed over as if it were not there: the guard does not see it, and no dead letter says so."""
        self.outbox: list[ModelUpdate] = []
        self.approved = ""
        """The digest of the change envelope that a person, or the first start, has approved."""
        self.was_restored = False
        """Whether no record was taken since the state was restored."""
        self.read_before: Read
        """What had been read when the model was gained."""

    def _guard(self) -> Guard:
        """One that has seen nothing yet."""
        return Guard(self.settings, reading=self.ports.reading)

    def _acks(self) -> Control | None:
        """Where followers tell what they are asked; nobody listens where nothing can come of it."""
        rollout = self.settings.rollout
        return None if rollout.kind == "immediate" or not rollout.false_withdrawal else self.ports.acks()

    @abstractmethod
    def checkpoint(self) -> None:
        """Make the state durable, commit it, and say what waits for that."""

    # ── records ─────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, record: Record) -> None:
        """One record's way: guard, lane, messages.

        Raises:
            LearnError: the champion raised; `leave_out` undoes the event.
        """
        if self.budget.on and self.budget.is_due():
            with self.budget.measured(self.lane):
                self._take(record)
        else:
            self._take(record)

    def _take(self, record: Record) -> None:
        if self.was_restored:
            self.settle()
        self.trace = record.headers
        self.positions[Partition(record.topic, record.partition)] = record.offset + 1
        if self.left_out.ranges and record in self.left_out:
            return
        if self.poison.places and record in self.poison:
            self._refuse(self.guard.dead_letter(record, stage="learn", reason=self.poison.reason(record)))
            self._took("refused")
            self.checkpoint()  # the next one goes back no further than to here
            return
        if record.topic == self.labels_topic:
            self._take_label(record)
        else:
            self._take_event(record)
        self.trace = ()
        if self.lane.join.pending:
            self._end_due()
        if self.lane.join.early:
            self._give_up_orphans()

    def settle(self) -> None:
        """End what was due at the restored checkpoint, which may lie in the middle of that: no record need come.

        Raises:
            LearnError: the champion raised; `leave_out` undoes it.
        """
        if self.was_restored:
            self.was_restored, self.trace = False, ()  # what is due is of other records
            if self.lane.join.pending:
                self._end_due()

    def _take_event(self, record: Record) -> None:
        checked = self.guard.check(record)
        if type(checked) is AcceptedEvent:
            self.order.append(record)
            join = self.lane.join
            if checked.y is not None and join.pending and join.waits(checked.id):
                self.guard.was_waiting()
                self._took("label")
                self._fold(self.lane.on_label(brought_by(checked, record), by=checked))
            else:
                self._took("waiting" if checked.y is None else "learned")
                self._fold(self.lane.on_event(checked))
        elif type(checked) is Repeated:
            self._label_came(checked, record)
        elif checked is not None:
            self._refuse(checked)  # type: ignore[arg-type]  # what is nothing of these is a dead letter
            self._took("refused")
        else:
            self._took("duplicate")

    def _take_label(self, record: Record) -> None:
        """A record of the topic of labels."""
        told = self.guard.check_label(record)
        if isinstance(told, DeadLetter):
            self._refuse(told)
            self._took("refused")
            return
        verdict = self.lane.join.look(told.label)
        if verdict in ("wanted", "early"):
            self.order.append(record)
            self.guard.told_taken(told)
            self._took("label")
            self._fold(self.lane.on_label(told.label))
        elif verdict == "duplicate":
            self.guard.told_again()
            self._took("duplicate")
        else:
            self._refuse(self.guard.told_lost(told, record, verdict))
            self._took("refused")

    def _label_came(self, repeated: Repeated, record: Record) -> None:
        """An event came once more, with its label: the one that waits gets it, or a dead letter says why not."""
        event = repeated.event
        if not self.lane.join.waits(event.id):
            self._refuse(self.guard.label_lost(repeated, record))
            self._took("refused")
            return
        self.order.append(record)
        emitted = self.lane.on_label(brought_by(event, record), by=event)
        self.guard.label_taken(repeated)
        self._took("label")
        self._fold(emitted)

    def _fold(self, emitted: Emitted) -> None:
        """What comes of an event: mostly nothing."""
        if emitted is not NOTHING:
            self._emit(emitted)
            if self.lane.unlearned:
                self._refuse_unlearned()
        if self.lane.to_tell:
            self._tell_examples()
        if self.lane.events >= self.runner.due:
            self.take_inputs()

    def _end_due(self) -> None:
        """Events whose label has not come in time."""
        while self.lane.join.is_due:
            if self.poison.waiting:
                self._refuse_unlearnable()
            emitted = self.lane.end_due(unlearnable=self.poison.waiting)
            # Inputs enter behind them all: whoever learns this again ends them all after the same record.
            if emitted is not None and emitted is not NOTHING:
                self._emit(emitted)
            if self.lane.to_tell:
                self._tell_examples()
        if self.lane.events >= self.runner.due:
            self.take_inputs()

    def _refuse_unlearnable(self) -> None:
        """A dead letter, if the champion raises on the event that ends next, with the label by which it would."""
        join = self.lane.join
        if (said := self.poison.waiting.get(join.next_due())) is None:
            return
        waiting = join.pending.look(join.next_due())
        if waiting is not None:
            self._refuse_kept(waiting.event, f"the champion raises on it, with the label by which it ends: {said}")

    def _refuse_unlearned(self) -> None:
        """Dead letters for the events of a block on which the champion raises."""
        unlearned, self.lane.unlearned = self.lane.unlearned, []
        for event in unlearned:
            self._refuse_kept(event, f"the champion raises on it: {self.poison.waiting[event.id]}")

    def _refuse_kept(self, event: AcceptedEvent, reason: str) -> None:
        """A dead letter for an event whose record was read long ago: what is kept of it."""
        value = orjson.dumps({"id": event.id, "ts": event.ts, "features": event.x}, default=unboxed)
        record = Record(self.topic, event.partition, event.offset, event.ts, None, value)
        self._refuse(self.guard.dead_letter(record, stage="learn", reason=reason, is_clean=True))

    def _give_up_orphans(self) -> None:
        for label in self.lane.join.orphans():
            record = Record(label.topic, label.partition, label.offset, 0.0, None, label.value)
            reason = (
                f"no event {label.id[:100]!r} has come within `labels.early`, or too many labels wait for theirs: was "
                "it published on another topic, or under another id?"
            )
            self._refuse(self.guard.dead_letter(record, stage="label", reason=reason, is_clean=True))

    # ── inputs ──────────────────────────────────────────────────────────────────────────────────────────────────

    def take_inputs(self) -> None:
        """Let in finished jobs, requests and measurements. An input is journalled by the checkpoint after it."""
        done = self.runner.finished(self.lane.events)
        for result in done:
            log.info("job done", model=self.settings.name, job=result.job_id, failure=result.failure)
            self._tell_failures(result)
            self._emit(self.lane.admit(result))
        heard = self.requests.take()
        for request, refusal in heard:
            if isinstance(request, Act):
                self._record_act(request, refusal)
            elif refusal:
                self._send(self._refused(request, refusal))
        asked = [request for request, refusal in heard if not refusal]
        retrainings = tuple(each for each in asked if isinstance(each, Retrain))
        for each in retrainings:
            self._emit(self.lane.retrain_asked(each))
        self.budget.look(lambda: self.ports.source.unread(self.positions), read=sum(self.positions.values()))
        change = self.budget.change(self.lane)
        if change is not None:
            self._emit(self.lane.measured(stride=change.stride, too_slow=change.too_slow))
        if done or heard or change is not None:
            measured = None if change is None else Measured(**change._asdict())
            self.order.enter(returned=tuple(map(returned, done)), requests=retrainings, measured=measured)
            for request in asked:
                if isinstance(request, Retire):
                    self._send(self._answer(request))
                elif isinstance(request, Decision):
                    self._decide(request)
            self.checkpoint()
        self._hear_followers()
        self.runner.keep(self.lane.jobs.under_way)

    def _hear_followers(self) -> None:
        """What followers make of a version that is being rolled out: it may be withdrawn by that."""
        told = self.followers.take(self.lane.succession.rollout.beside)
        if told is None:
            return
        if self.outbox:
            self.checkpoint()  # what goes live now has an outbox of its own
        emitted = self.lane.served(told)
        self.order.enter(served=told)
        self._emit(emitted)
        self.checkpoint()

    def _refused(self, request: Retrain | Retire | Decision, why: str) -> Message:
        """The answer to a request that is not carried out."""
        if isinstance(request, Retire):
            number, version = self.lane.events, self.lane.version
            return answer(request, scope=self.scope, event_number=number, version=version, withheld=why)
        return self.lane.refused(request, why)

    def _decide(self, asked: Decision) -> None:
        """A person's word: what goes live by it is announced with the order that leads there."""
        if self.outbox:
            self.checkpoint()  # what goes live now has an outbox of its own
        kept, gone = self._kept(asked)
        emitted = self.lane.decided(asked, kept=kept) if not gone else Emitted([self.lane.refused(asked, gone)])
        if any(isinstance(each, DecisionAnswer) and each.accepted for each in emitted.messages):
            self.order.enter(decided=asked)
            self.approved = asked.envelope if asked.step == "envelope" else self.approved
        self._emit(emitted)
        self.tell_order()  # a message has place for one decision

    def _kept(self, asked: Decision) -> tuple[Kept | None, str]:
        """The version that somebody wants back, where its probation is over; or why it cannot be had."""
        version, there = asked.version, self.lane.succession.in_probation()
        if asked.step != "rollback" or version is None or version in there:
            return None, ""
        if version == self.lane.champion.version:
            return None, f"version {version} answers already"
        try:
            kept = self.ports.kept(self.scope, version)
        except (ArtifactError, statetree.StateTreeError) as error:
            probation = ", ".join(map(str, sorted(there))) or "none"
            held = ", ".join(str(each) for each in self.announcer.versions()) or "none"
            return None, (
                f"version {version} cannot be had: {error}; in their probation: {probation}; of which the bytes are "
                f"there: {held}"
            )
        is_blend = isinstance(kept.model, Blend | NumberBlend)
        return (None, f"version {version} was a blend of members") if is_blend else (kept, "")

    def _tell_failures(self, result: JobResult) -> None:
        """A retraining that came to nothing, all of it or a part."""
        if result.failure:
            self.alert("retraining", f"job {result.job_id}: {result.failure}")
        for plan, reason in result.failures.items():
            self.alert("retraining", f"job {result.job_id}, {plan}: {reason}; its other recruits are trained")

    # ── going live ──────────────────────────────────────────────────────────────────────────────────────────────

    def _emit(self, emitted: Emitted) -> None:
        """Say everything, and only then make a model live: what is not out before that commit never will be."""
        for message in emitted.messages:
            self._send(message)
        if emitted.jobs and self.lane.to_tell:
            self._tell_examples()
        if emitted.jobs and self.settings.labels.tells_examples:
            self.ports.sink.flush()  # the job reads them
        for job in emitted.jobs:
            log.info("trigger", model=self.settings.name, job=job.id, reason=job.reason)
            self.runner.submit(job)
        if emitted.promotion is not None:
            self._go_live(emitted.promotion)

    def _go_live(self, promotion: Promotion) -> None:
        """A new champion: its bytes go out, the state is checkpointed, then it is announced."""
        if self.rebuilding or self.retired is not None:
            return  # what is announced is better, until the rebuilt model has learned as much; or nothing is to be
        update = self._prepared(promotion)
        if update is None:
            return
        self.outbox = [update]
        self.checkpoint()
        self._tell(update)

    @property
    def _is_untold(self) -> bool:
        """Whether nobody could learn along: the records alone do not say what was learned, and no examples do."""
        settings, labels = self.settings, self.settings.labels
        is_made_up = labels.default is not None or labels.several != "first"
        is_elsewhere = labels.late or is_made_up or settings.learns_pseudonyms
        return bool(settings.publish.blocks) or (is_elsewhere and not labels.tells_examples)

    def _prepared(self, promotion: Promotion, *, by: str = "") -> ModelUpdate | None:
        """Its bytes on the log; None if the model fails now that it did not when it was examined."""
        self.tell_order()
        try:
            update = self.announcer.prepare(
                promotion,
                epoch=self.epoch,
                seq=self.seq + 1,
                seen=self.lane.seen_by(promotion.model, self.guard.kinds),
                positions=self._by_name(),
                # In blocks the champion learns nothing until it is announced again; without examples, its order is not
                # all that a follower needs where labels are late.
                order="" if self._is_untold else self.order.last,
                by=by or promotion.by,
            )
        except BaseException as error:
            if isinstance(error, KafkaUnavailable) or not is_fault(error):
                raise
            self.alert("answers", f"version {promotion.version} cannot be announced: {type(error).__name__}: {error}")
            return None
        self.seq += 1
        self._record_promotion(update)
        return update

    def end_rebuild(self) -> None:
        """Announce the rebuilt champion, now that it has learned what was there when the rebuild began."""
        promotion = self.lane.rebuilt(reason=self.rebuilding) if self.rebuilding else None
        if promotion is not None:
            self.order.enter(rebuilt=self.rebuilding)
            self.rebuilding = ""
            self._go_live(promotion)
            if self.retired is not None:  # it has gone live for nobody, but in its own state
                self.checkpoint()

    # ── out of service, and back ────────────────────────────────────────────────────────────────────────────────

    def _answer(self, asked: Retire) -> RetireAnswer:
        """Retire the model, or reinstate it. The checkpoint that follows makes it last, and announces it."""
        version, withheld = self._retire(asked) if asked.step == "retire" else self._reinstate(asked)
        return answer(asked, scope=self.scope, event_number=self.lane.events, version=version, withheld=withheld)

    def _retire(self, asked: Retire) -> tuple[int, str]:
        """The version that is out of service, and why nothing came of it."""
        if self.retired is not None:
            return self.retired.version, f"it is retired already: {self.retired.reason}"
        if not self.lane.version:
            return 0, "nothing is announced yet"
        self.seq += 1
        self.retired = retirement(
            asked,
            self.lane,
            scope=self.scope,
            epoch=self.epoch,
            seq=self.seq,
            positions=self._by_name(),
            ts=self.ports.clock.time_s(),
            envelope=self.envelope,
        )
        self.outbox.append(self.retired)
        self._record_promotion(self.retired)
        self._tell(self.retired)
        return self.retired.version, ""

    def _reinstate(self, asked: Retire) -> tuple[int, str]:
        """The version that is announced anew, 0 if none can be yet; and why nothing came of it."""
        if self.retired is None:
            return self.lane.version, "it is not retired"
        self.retired = None
        promotion = None if self.rebuilding else self.lane.rebuilt(reason=asked.why, kind="reinstated")
        if promotion is None:
            return 0, ""  # as soon as it can be, as any champion is
        self.order.enter(reinstated=asked.why)
        update = self._prepared(promotion, by=asked.by)
        if update is not None:
            self.outbox.append(update)
            self._tell(update)
        return (0 if update is None else update.version), ""

    @property
    def read(self) -> Read:
        """What was read since ownership was gained, and how much of it was of no use."""
        now, then = self._read(), self.read_before
        return Read(*(max(0, value - before) for value, before in zip(astuple(now), astuple(then), strict=True)))

    def _read(self) -> Read:
        guard = self.guard
        unusable = sum(self.lane.scores.unusable.values())
        # What waits for a label that may come in days is not unused.
        waiting = 0 if self.intake.labels_come_late else guard.accepted - self.lane.events
        return Read(guard.taken, guard.refused, guard.duplicates, waiting, unusable)


def brought_by(event: AcceptedEvent, record: Record) -> AcceptedLabel:
    """The label that an event has brought which came once more."""
    return AcceptedLabel(event.id, event.y, event.ts, 0, "", record.topic, record.partition, record.offset)

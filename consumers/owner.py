"""The owner of a model: all that one checkpoint holds, from its restore through each record to the next checkpoint.

The state and the positions it belongs to lie in one blob. The blob is durable before it is committed, the commit is
fenced by the broker, and updates are announced only after the commit: see docs/ARCHITECTURE.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import orjson
import structlog
from river import base

from anabranch import statetree
from anabranch.errors import CheckpointError, ConfigError, KafkaUnavailable, LearnError, LearningFrozen
from anabranch.events import AcceptedEvent, AcceptedLabel, Partition, Prediction, Record
from anabranch.messages import (
    Alert,
    AlertKind,
    DeadLetter,
    LearnedOrder,
    Level,
    Measured,
    Message,
    ModelReport,
    ModelUpdate,
    Retire,
    RetireAnswer,
    TrainedOn,
    decode,
    encode,
)
from anabranch.scope import Scope
from anabranch.signatures import Signer
from anabranch.values import unboxed
from config.settings import Settings
from consumers.announcer import Announcer, update_key
from consumers.belonging import Place, place, refuse_other_scope, settled
from consumers.budget import ComputeBudget
from consumers.checkpoint import CheckpointRef, contents_of, nested, newest, positions_of, rebuilt_from
from consumers.examples import ExampleWriter
from consumers.guard import Guard, Repeated
from consumers.guard.labels import answer_of
from consumers.intake import Intake, Outcome, Read
from consumers.jobs import JobRunner
from consumers.layouts import LAYOUT
from consumers.merges import Merges
from consumers.order import OrderWriter, returned
from consumers.poison import Poison
from consumers.ports import Clock, Committed, Control, Origin, Positions, Sink, Source, Store, offsets_in
from consumers.predictions import prediction
from consumers.requests import Requests
from consumers.retirement import answer, parted, retirement
from consumers.stores.manifest import digest
from consumers.timing import CheckpointTiming
from detectors.watch import Watch
from learners.emitted import NOTHING, Emitted, Promotion
from learners.lane import Lane, Observer
from learners.models.fence import is_fault
from learners.retraining import JobResult

log = structlog.get_logger()

FIRST_EPOCH = 1
SIGNED = (ModelUpdate, LearnedOrder)
"""What followers make their models of."""

LOSSES_MAX = 20
"""So many of the accepted losses are remembered, the newest."""

First = Callable[[], tuple[base.Estimator, TrainedOn]]
"""Makes the first champion, when there is no checkpoint to go on from."""


@dataclass(frozen=True)
class StartOptions:
    """How a gain of ownership may go.

    Args:
        rebuild: begin again at the log's first record, as a later epoch of what was checkpointed.
        accept_loss: go on where records are gone for good, or in another log; it is told and kept.
        first_only: options that count at the very first start only, as they were given; with a checkpoint they are
            refused.
    """

    rebuild: bool = False
    accept_loss: bool = False
    first_only: str = ""


PLAIN = StartOptions()


@dataclass
class Ports:
    """What a loop and its owners reach the world through.

    Args:
        stores: the store of an owner's checkpoints, by its scope.
        runners: what carries out an owner's retraining jobs, by its scope.
        controls: what people ask of an owner.
        announced: the newest announcement of a scope, asked for where there is no checkpoint.
        signer: signs what followers make their models of; None: it is not signed.
    """

    source: Source
    sink: Sink
    stores: Callable[[Scope], Store]
    runners: Callable[[Scope], JobRunner]
    clock: Clock
    controls: Callable[[], Control | None] = lambda: None
    announced: Callable[[Scope], ModelUpdate | None] = lambda scope: None
    signer: Signer | None = None


class Owner:
    """One model and the partitions that it learns from.

    Args:
        scope: "global", or "p3" for the model of partition 3.
        first: makes the first champion.
        listener: is shown every message right after it was sent.
        observer: is shown every learned event.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        scope: Scope,
        first: First,
        ports: Ports,
        listener: Callable[[Any], None],
        observer: Observer | None = None,
    ) -> None:
        self.settings = settings
        self.scope = scope
        self.first = first
        self.ports = ports
        self.listener = listener
        self.observer = observer
        self.topic = settings.topics.name("events")
        self.labels_topic = settings.topics.name("labels") if settings.labels.late else ""
        self.store = ports.stores(scope)
        self.runner = ports.runners(scope)
        self.announcer = Announcer(settings, scope=scope, sink=ports.sink, clock=ports.clock)
        self.requests = Requests(ports.controls(), model=settings.name)
        self.merges = Merges(self.store)
        self.timing = CheckpointTiming(ports.clock)
        self.budget = ComputeBudget(settings, clock=ports.clock)
        self.lane: Lane
        """Like all that it learns from, of a first champion or of a checkpoint: see `assign`."""
        self._asked = self._tell_answer if settings.publish.predictions else None
        self.guard = Guard(settings)
        self.intake = self._intake()
        self.poison = Poison(in_a_row_max=settings.guard.poison_max)
        self.positions: Positions = {}
        self.order = OrderWriter(settings.name, scope)
        self.examples = ExampleWriter(settings.name, scope)
        self.examples_topic = settings.topics.name("examples")
        self.began_ts = 0.0
        """When the model was gained."""
        self.outbox: list[ModelUpdate] = []
        self.refs: tuple[str, ...] = ()
        """The blobs that the last checkpoint refers to, which lie in the store."""
        self.epoch, self.seq, self.number, self.sha = FIRST_EPOCH, 0, 0, ""
        self.rebuilding = ""
        """Why, until the rebuilt model has caught up: so long nothing is announced."""
        self.retired: ModelUpdate | None = None
        """The update that took the model out of service, until it is reinstated: so long nothing else is announced."""
        self.checkpointed_at = (0, self.ports.clock.monotonic_s())
        self.origin = Origin("")
        self.labels_origin: Origin | None = None
        """Which logs the positions count in."""
        self.partitions = 0
        """How many partitions the log had when the model began: those after them were added."""
        self.losses: list[str] = []
        """What was passed by for good, because somebody said so."""
        self.written = 0
        """How many checkpoints it has written since."""
        self.unwritten = True
        """Whether the next turn has to begin with a checkpoint."""

    def _intake(self) -> Intake:
        labels = self.settings.labels
        return Intake(labels_come_late=labels.late or labels.horizon is not None)

    def _with_first(self, model: base.Estimator, trained_on: TrainedOn) -> None:
        """The state before the first event."""
        self.lane = Lane(
            self.settings,
            model,
            watch=Watch(self.settings),
            trained_on=trained_on,
            scope=self.scope,
            observer=self.observer,
        )
        self.lane.asked = self._asked
        self.read_before = self._read()
        if trained_on.events:
            self.guard.labels.expect(answer_of(model))

    # ── gaining and giving up ───────────────────────────────────────────────────────────────────────────────────

    def assign(
        self, partitions: Sequence[Partition], committed: Committed | None, *, how: StartOptions = PLAIN
    ) -> Positions:
        """Ownership was gained: go on from what was committed, or begin; where to read on."""
        self.began_ts = self.ports.clock.time_s()
        entry = newest(committed, self.store, scope=self.scope)
        if entry is None or how.rebuild:
            self.requests.start(None)
        if how.rebuild:
            return self._rebuild(partitions, entry)
        if entry is None:
            return self._begin(partitions, added=committed is not None)
        refuse_other_scope(entry.scope, self.scope, name=self.settings.name)
        self._refuse_first_only(how.first_only, entry)
        return self._go_on(partitions, committed, entry, accept_loss=how.accept_loss)

    def _refuse_first_only(self, given: str, entry: CheckpointRef) -> None:
        """What would be ignored is refused; but the partitions of several processes have checkpoints at any time."""
        if not given:
            return
        there = f"there is a checkpoint of {self.settings.name} already ({entry.sha[:12]}), which is gone on from"
        if self.scope.is_global:
            raise ConfigError(
                f"{given} is for the very first start, and {there}: leave it out, or give this model another `name`"
            )
        log.warning("passed over", option=given, scope=self.scope, reason=there)

    def _go_on(
        self, partitions: Sequence[Partition], committed: Committed | None, entry: CheckpointRef, *, accept_loss: bool
    ) -> Positions:
        """From the checkpoint that the entry names, or its parent."""
        self._restore(entry.sha, parent=entry.parent, partitions=partitions, accept_loss=accept_loss)
        if committed is None or not committed.metadata or self.sha != entry.sha:
            # A later checkpoint may have been announced: what is announced from here on must be newer, and other.
            self.epoch, self.number = entry.epoch + 1, entry.number
            self.unwritten = True  # the new epoch is told of nothing before it is committed
        log.info(
            "restored",
            model=self.settings.name,
            scope=self.scope,
            events=self.lane.events,
            checkpoint=self.sha[:12],
        )
        self.read_before = self._read()
        self._publish_outbox()
        return self.positions

    def _begin(self, partitions: Sequence[Partition], *, added: bool = False) -> Positions:
        """The very first start; or every trace of the checkpoints is lost, but not what was announced.

        Args:
            added: the group has begun on other partitions: what lies on an added one is new, whatever `start` says.
        """
        self._with_first(*self.first())
        self._look_at_log()
        start = "earliest" if added else self.settings.start
        self.positions = self.ports.source.first_positions(start, self._with_labels(partitions))
        before = self.ports.announced(self.scope)
        if before is not None:
            self.epoch, self.seq, self.lane.version = before.epoch + 1, before.seq, before.version
            self._stay_retired(before)
        log.info(
            "begin",
            model=self.settings.name,
            scope=self.scope,
            positions=nested(self.positions),
            announced_before=None if before is None else before.version,
        )
        return self.positions

    def _look_at_log(self) -> None:
        self.origin = self.ports.source.origin(self.topic)
        self.labels_origin = self.ports.source.origin(self.labels_topic) if self.labels_topic else None
        self.partitions = self.origin.partitions

    def _with_labels(self, partitions: Sequence[Partition]) -> list[Partition]:
        return [*partitions, *self.ports.source.labels_of(partitions)]

    def _rebuild(self, partitions: Sequence[Partition], entry: CheckpointRef | None) -> Positions:
        """A rebuild: nothing is restored, and all that it will announce is newer than all that was announced."""
        if entry is None:
            raise CheckpointError(
                f"there is no checkpoint of {self.settings.name} to rebuild; `anabranch learn` starts one"
            )
        self._with_first(*self.first())
        self._look_at_log()
        # The chain of parents starts again as well: whoever fell back behind the rebuild would undo what it announced.
        self.epoch, self.seq, self.number = entry.epoch + 1, entry.seq, entry.number
        self.lane.version = entry.version
        self._stay_retired(self.ports.announced(self.scope))
        self.positions = self.ports.source.first_positions("earliest", self._with_labels(partitions))
        self.rebuilding = rebuilt_from(self._offsets())
        log.warning("rebuild", model=self.settings.name, epoch=self.epoch, source=self.rebuilding)
        return self.positions

    def _stay_retired(self, newest: ModelUpdate | None) -> None:
        """Whatever begins anew begins out of service, if that was the last word."""
        self.retired = newest if newest is not None and newest.kind == "retired" else None

    def _restore(
        self, sha: str, *, parent: str = "", partitions: Sequence[Partition] = (), accept_loss: bool = False
    ) -> None:
        """The state of the blob, or of its parent at the parent's positions.

        Args:
            partitions: gained just now, so that the log may be another, or hold less; none: it is what it was.
            accept_loss: then go on all the same.
        """
        state, blobs, self.sha = contents_of(self.settings, self.store, sha=sha, parent=parent, scope=self.scope)
        self.positions = positions_of(state["positions"])
        found = self._places(state, partitions, accept_loss=accept_loss) if partitions else {}
        if found:
            self.positions = {
                Partition(t, each): at for t, place in found.items() for each, at in place.positions.items()
            }
        self.epoch, self.seq, self.number = state["epoch"], state["seq"], state["number"]
        self.requests.start(state["control"])
        self.order = OrderWriter(self.settings.name, self.scope)
        self.order.last, self.order.version = state["order"], state["lane"]["version"]
        self.poison = Poison(in_a_row_max=self.settings.guard.poison_max)
        self.poison.restore(state["poison"])
        self.rebuilding = state["rebuilding"]
        self.retired = decode(ModelUpdate, state["retired"]) if state["retired"] else None
        self.losses = list(state["losses"])
        self.outbox = [decode(ModelUpdate, each) for each in state["outbox"]]
        if state["configured"] != self._configured():
            log.warning(
                "the configuration's model has changed",
                model=self.settings.name,
                what="the models of the checkpoint go on; recruits are of the new one",
                to_do="`anabranch rebuild CONFIG` learns the log again with it",
            )
        self.announcer.kept = list(state["artifacts"])
        self.merges.close()
        self.guard, self.intake = Guard(self.settings), self._intake()
        self.guard.restore(state["guard"])
        self.intake.restore(state["intake"])
        self.lane = Lane.restored(
            self.settings,
            state["lane"],
            blobs=blobs,
            watch=Watch(self.settings),
            scope=self.scope,
            observer=self.observer,
        )
        self.lane.asked = self._asked
        self.refs = tuple(blobs)
        self.unwritten = any(there.losses for there in found.values())
        for topic, there in found.items():
            self._accept(there, is_events=topic == self.topic)
        self.runner.reset([each.job for each in self.lane.jobs.under_way.values()])
        self.checkpointed_at = (self.guard.taken, self.ports.clock.monotonic_s())

    def _places(
        self, state: Mapping[str, Any], partitions: Sequence[Partition], *, accept_loss: bool
    ) -> dict[str, Place]:
        """Where the log holds what comes next, by topic.

        Raises:
            AnabranchError: nowhere; says what to do.
        """
        before, labels = state["log"], self.ports.source.labels_of(partitions)
        found = {self.topic: self._place(before, self.topic, partitions, accept_loss=accept_loss)}
        self._look_at_log()
        self.partitions = self.origin.partitions if before is None else before["partitions"]
        if labels:
            found[self.labels_topic] = self._place(
                state["labels_log"], self.labels_topic, labels, accept_loss=accept_loss
            )
        return found

    def _place(
        self, before: Mapping[str, Any] | None, topic: str, partitions: Sequence[Partition], *, accept_loss: bool
    ) -> Place:
        source = self.ports.source
        return place(
            offsets_in(topic if before is None else before["topic"], self.positions),
            before=None if before is None else Origin(**before),
            now=source.origin(topic),
            # Where one that was added begins, too.
            first=offsets_in(topic, source.first_positions("earliest", partitions)),
            ends=offsets_in(topic, source.first_positions("latest", partitions)),
            accept_loss=accept_loss,
        )

    def _accept(self, found: Place, *, is_events: bool) -> None:
        """Go on without what is gone for good: told, and kept at once."""
        if found.is_other and is_events:
            self._forget_log(found.losses[0])
        for loss in found.losses:
            self.losses = [*self.losses, loss][-LOSSES_MAX:]
            self.lane.notes.append(f"accepted loss: {loss}")
            self.alert("log", f"gone on without what will never be learned, as --accept-loss says: {loss}")

    def _forget_log(self, why: str) -> None:
        """Offsets in the state are those of another log: nothing can be read there again."""
        self.partitions = self.origin.partitions
        self.poison = Poison(in_a_row_max=self.settings.guard.poison_max)
        self.lane.lineage.forget()
        given_up = [
            JobResult(each, failure="the log that it was to read is another now") for each in self.lane.jobs.under_way
        ]
        for result in given_up:
            self._emit(self.lane.admit(result))
        self.order.enter(other_log=why, returned=tuple(map(returned, given_up)))

    def close(self) -> None:
        """End what is under way; what was not checkpointed is dropped."""
        self.merges.close()
        self.runner.close()
        self.requests.close()

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
        if self.lane.join.pending:
            self._end_due()  # what a crash has cut short
        self.positions[Partition(record.topic, record.partition)] = record.offset + 1
        if self.poison.places and record in self.poison:
            self._refuse(self.guard.dead_letter(record, stage="learn", reason=self.poison.reason(record)))
            self._took("refused")
            self.checkpoint()  # the next one goes back no further than to here
            return
        if record.topic == self.labels_topic:
            self._take_label(record)
        else:
            self._take_event(record)
        if self.lane.join.pending:
            self._end_due()
        if self.lane.join.early:
            self._give_up_orphans()

    def _take_event(self, record: Record) -> None:
        checked = self.guard.check(record)
        if type(checked) is AcceptedEvent:
            self.order.append(record)
            if checked.y is not None and self.lane.join.waits(checked.id):
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
            event = waiting.event
            value = orjson.dumps({"id": event.id, "ts": event.ts, "features": event.x}, default=unboxed)
            record = Record(self.topic, event.partition, event.offset, event.ts, None, value)
            reason = f"the champion raises on it, with the label by which it ends: {said}"
            self._refuse(self.guard.dead_letter(record, stage="learn", reason=reason))

    def _give_up_orphans(self) -> None:
        for label in self.lane.join.orphans():
            record = Record(label.topic, label.partition, label.offset, 0.0, None, label.value)
            reason = (
                f"no event {label.id[:100]!r} has come within `labels.early`, or too many labels wait for theirs: was "
                "it published on another topic, or under another id?"
            )
            self._refuse(self.guard.dead_letter(record, stage="label", reason=reason))

    def _tell_answer(self, event: AcceptedEvent, answered: Prediction) -> None:
        """What the champion answered, while it is in service: a rebuilt one is not yet."""
        if self.rebuilding or self.retired is not None:
            return
        self._send(
            prediction(
                event,
                answered,
                self.lane,
                model=self.settings.name,
                scope=self.scope,
                epoch=self.epoch,
                seq=self.seq,
                ts=self.ports.clock.time_s(),
            )
        )

    def _took(self, outcome: Outcome) -> None:
        """Say what there is to say of the records so far."""
        for kind, reason in self.intake.took(outcome):
            if kind:
                self.alert(kind, reason)
            else:
                log.warning("intake", model=self.settings.name, scope=self.scope, what=reason)

    def _offsets(self) -> dict[int, int]:
        """The positions in the topic of events."""
        return offsets_in(self.topic, self.positions)

    def _by_name(self) -> dict[str, int]:
        """The positions as messages have them, by topic and partition."""
        return {f"{topic}/{each}": at for (topic, each), at in sorted(self.positions.items())}

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

    def _fold(self, emitted: Emitted) -> None:
        """What comes of an event: mostly nothing."""
        if emitted is not NOTHING:
            self._emit(emitted)
        if self.lane.to_tell:
            self._tell_examples()
        if self.lane.events >= self.runner.due:
            self.take_inputs()

    def _tell_examples(self) -> None:
        """What was learned since the last time."""
        told = self.lane.to_tell or []
        for learned in told:
            value = self.examples.encoded(learned, epoch=self.epoch, checkpoint=self.number, began=self.began_ts)
            self.ports.sink.send(
                self.examples_topic, key=self.examples.key, value=value, partition=self.examples.partition
            )
        told.clear()

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

    def take_inputs(self) -> None:
        """Let in finished jobs, requests and measurements. An input is journalled by the checkpoint after it."""
        done = self.runner.finished(self.lane.events)
        for result in done:
            log.info("job done", model=self.settings.name, job=result.job_id, failure=result.failure)
            self._tell_failures(result)
            self._emit(self.lane.admit(result))
        retrainings, others = parted(self.requests.take())
        for each in retrainings:
            self._emit(self.lane.retrain_asked(each))
        change = self.budget.change(self.lane)
        if change is not None:
            self._emit(self.lane.measured(stride=change.stride, too_slow=change.too_slow))
        if done or retrainings or others or change is not None:
            measured = None if change is None else Measured(**change._asdict())
            self.order.enter(returned=tuple(map(returned, done)), requests=retrainings, measured=measured)
            for asked in others:
                self._send(self._answer(asked))
            self.checkpoint()
        self.runner.keep(self.lane.jobs.under_way)

    def _tell_failures(self, result: JobResult) -> None:
        """A retraining that came to nothing, all of it or a part."""
        if result.failure:
            self.alert("retraining", f"job {result.job_id}: {result.failure}")
        for plan, reason in result.failures.items():
            self.alert("retraining", f"job {result.job_id}, {plan}: {reason}; its other recruits are trained")

    def leave_out(self, error: LearnError) -> None:
        """The champion raised half way through an event: back to the last checkpoint, and past it next time.

        The source has to be rewound to the positions after it.
        """
        log.error("poison", model=self.settings.name, partition=error.partition, offset=error.offset, error=str(error))
        self.poison.found(error, kinds=self.guard.kinds)
        poison, epoch, number = self.poison, self.epoch, self.number
        self._restore(self.sha)
        self.poison, self.epoch, self.number = poison, epoch, number  # the checkpoint may be of before a new epoch

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────────────

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

    def alert(self, kind: AlertKind, reason: str, *, level: Level = "alert") -> None:
        """Have somebody look: a line in the log, and a message on its topic."""
        place = "-".join(f"{partition.number}.{offset}" for partition, offset in sorted(self.positions.items()))
        self._send(
            Alert(
                id=f"{self.settings.name}/{self.scope}/{kind}/{place}",
                model=self.settings.name,
                kind=kind,
                level=level,
                reason=reason,
                event_number=self.lane.events,
                positions=self._by_name(),
            )
        )

    def _send(self, message: Any) -> None:
        """On the topic that it goes to."""
        if isinstance(message, ModelReport):
            message = message.model_copy(update={"checkpoint_pause_s": self.timing.take()})
        elif isinstance(message, Alert):
            tell = log.error if message.level == "alert" else log.warning
            tell(message.kind, model=message.model, scope=self.scope, reason=message.reason)
        topic = self.settings.topics.name(message.goes_to)
        self._put(topic, key=message.id, message=message)
        self.listener(message)

    def _put(self, topic: str, *, key: str, message: Message) -> None:
        value = encode(message)
        signer = self.ports.signer if isinstance(message, SIGNED) else None
        headers = () if signer is None else signer.headers(value)
        self.ports.sink.send(topic, key=key, value=value, headers=headers)

    def tell_order(self) -> None:
        """Publish what was learned since the last time, and what has entered."""
        message = self.order.message(
            epoch=self.epoch,
            checkpoint=self.number,
            began=self.began_ts,
            event_number=self.lane.events,
            version=self.lane.version,
        )
        if message is not None:
            self._send(message)

    def _refuse(self, letter: DeadLetter) -> None:
        if self.intake.is_first(letter):
            log.warning(
                "refused",
                model=self.settings.name,
                stage=letter.stage,
                topic=letter.topic,
                partition=letter.partition,
                offset=letter.offset,
                reason=letter.reason,
                note="the first of its stage; all go to dead-letters",
            )
        self._send(letter)

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
        )
        self.outbox.append(self.retired)
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

    def _tell(self, update: ModelUpdate) -> None:
        """What is announced, in the log and to the listener."""
        log.info(
            update.kind,
            model=update.model,
            scope=update.scope,
            version=update.version,
            events=update.event_number,
            reason=update.reason,
            arena_events=update.verdict.events if update.verdict else None,
        )
        self.listener(update)

    def _prepared(self, promotion: Promotion, *, by: str = "") -> ModelUpdate | None:
        """Its bytes on the log; None if the model fails now that it did not when it was examined."""
        self.tell_order()
        try:
            update = self.announcer.prepare(
                promotion,
                epoch=self.epoch,
                seq=self.seq + 1,
                features=self.guard.kinds,
                positions=self._by_name(),
                # In blocks the champion learns nothing until it is announced again.
                order="" if self.settings.publish.blocks else self.order.last,
                by=by,
            )
        except BaseException as error:
            if isinstance(error, KafkaUnavailable) or not is_fault(error):
                raise
            self.alert("answers", f"version {promotion.version} cannot be announced: {type(error).__name__}: {error}")
            return None
        self.seq += 1
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

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────

    def checkpoint_if_due(self) -> None:
        """After so many records or seconds."""
        if self._checkpoint_due():
            self.checkpoint()

    def _checkpoint_due(self) -> bool:
        events, at_s = self.checkpointed_at
        done = self.guard.taken - events
        every = self.settings.checkpoint
        return done >= every.every_events or (done > 0 and self.ports.clock.monotonic_s() - at_s >= every.every)

    def checkpoint(self) -> None:
        """Make the state durable, then commit it, then publish the outbox: in this order, or a crash loses or repeats.

        Raises:
            OwnershipLost: the commit was refused; nothing of this state may be written any more.
            SessionExpired: likewise, and nobody has taken over.
        """
        self.timing.start()
        self.tell_order()  # before the commit, or what is committed may never be told
        if self.lane.to_tell:
            self._tell_examples()
        self.ports.sink.flush()
        self.timing.lap("flush_s")
        self.poison.forget(self.positions)
        self.lane.join.pending.put_away()
        blob = self._encoded()
        sha = digest(blob)
        self.timing.lap("encode_s")
        refs = self._put_refs()
        self.store.put(sha, blob)
        self.timing.lap("store_s")
        reference = self._reference(sha, refs=tuple(dict.fromkeys((*refs, *self.refs))))
        self.ports.source.commit(self.positions, reference.as_metadata())
        self.timing.lap("commit_s")
        # Not before the commit: what is told until then is told by the owner of the checkpoint before.
        self.sha, self.number, self.refs = sha, self.number + 1, refs
        self.unwritten, self.written = False, self.written + 1
        self.store.record(reference.as_entry(self.positions))
        self._publish_outbox()
        self.merges.step(self.lane.join.pending)
        self.timing.lap("announce_s")
        self.checkpointed_at = (self.guard.taken, self.ports.clock.monotonic_s())
        log.debug("checkpoint", scope=self.scope, number=self.number, size_bytes=len(blob), **self.timing.end())

    def _put_refs(self) -> tuple[str, ...]:
        """What the state refers to, durable before the state is; most of it lies there since an earlier checkpoint."""
        blobs = self.lane.blobs
        for sha, data in blobs.items():
            if sha not in self.refs and data is not None:
                self.store.put(sha, data)
        self.lane.join.pending.let_go(self.store.open)
        return tuple(blobs)

    def _encoded(self) -> bytes:
        """The state as bytes. A shadow whose state cannot be kept leaves; a champion's freezes learning."""
        trusted = self.settings.model.trusted
        try:
            return statetree.encode(self._state(), trusted=trusted)
        except statetree.StateTreeError:
            self.order.enter(unkeepable=self.lane.drop_unkeepable())
            self.tell_order()
            self.ports.sink.flush()
        try:
            return statetree.encode(self._state(), trusted=trusted)
        except statetree.StateTreeError as error:
            raise LearningFrozen(
                f"learning is frozen: the state of the champion, {self.lane.champion.name}, can no longer be kept: "
                f"{error}. Nothing since checkpoint {self.sha[:12]} is lost: it is in the log. Mend the model, and let "
                "`anabranch rebuild CONFIG` learn the log again with it"
            ) from error

    def _reference(self, sha: str, *, refs: tuple[str, ...]) -> CheckpointRef:
        return CheckpointRef(
            sha=sha,
            parent=self.sha,
            epoch=self.epoch,
            seq=self.seq,
            version=self.lane.version,
            scope=self.scope,
            partitions=self.partitions,
            refs=refs,
            number=self.number + 1,
        )

    def _publish_outbox(self) -> None:
        for update in self.outbox:
            # Signed as they go out, not as they were decided: a learner that has a new key signs with that.
            self._put(self.settings.topics.name("updates"), key=update_key(update), message=update)
        if self.outbox:
            self.ports.sink.flush()
            self.announcer.tidy()
        self.outbox = []

    def _state(self) -> dict[str, Any]:
        """What the next checkpoint keeps."""
        return {
            "layout": LAYOUT,
            "name": self.settings.name,
            "scope": str(self.scope),
            "epoch": self.epoch,
            "seq": self.seq,
            "number": self.number + 1,
            "parent": self.sha,
            "positions": nested(self.positions),
            "control": self.requests.position,
            "log": {**self.origin._asdict(), "partitions": self.partitions},
            "labels_log": None if self.labels_origin is None else self.labels_origin._asdict(),
            "settled": settled(self.settings),
            "losses": list(self.losses),
            "configured": self._configured(),
            "order": self.order.last,
            "poison": self.poison.state(),
            "rebuilding": self.rebuilding,
            "retired": b"" if self.retired is None else encode(self.retired),
            "outbox": [encode(update) for update in self.outbox],
            "artifacts": list(self.announcer.kept),
            "guard": self.guard.state(),
            "intake": self.intake.state(),
            "lane": self.lane.state(),
        }

    def _configured(self) -> dict[str, Any]:
        return self.settings.model.model_dump(mode="json", include={"factory", "steps"})

    def learning_state_hash(self) -> str:
        """The canonical hash of models, contests, detectors and scores."""
        return statetree.digest(self.lane.learning_state(), trusted=self.settings.model.trusted)


def brought_by(event: AcceptedEvent, record: Record) -> AcceptedLabel:
    """The label that an event has brought which came once more."""
    return AcceptedLabel(event.id, event.y, event.ts, 0, "", record.topic, record.partition, record.offset)

"""The owner of a model: all that one checkpoint holds, from its restore through each record to the next checkpoint.

The state and the positions it belongs to lie in one blob. The blob is durable before it is committed, the commit is
fenced by the broker, and updates are announced only after the commit: see docs/ARCHITECTURE.md.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import structlog
from river import base

from anabranch import statetree
from anabranch.chain import Head
from anabranch.errors import CheckpointError, ConfigError, LearnError, LearningFrozen
from anabranch.events import Partition
from anabranch.messages import (
    EnvelopeEntered,
    ModelUpdate,
    TopicRange,
    TrainedOn,
    decode,
    encode,
)
from anabranch.scope import Scope
from config import envelope
from config.settings import Settings
from consumers.announcer import update_key
from consumers.audit import NOTHING_HELD
from consumers.belonging import Place, place, refuse_other_scope, settled
from consumers.checkpoint import CheckpointRef, contents_of, nested, newest, positions_of, rebuilt_from
from consumers.guard.labels import answer_of
from consumers.intake import Intake
from consumers.layouts import LAYOUT
from consumers.merges import Merges
from consumers.order import OrderWriter, returned
from consumers.poison import Poison
from consumers.ports import Committed, Origin, Positions, offsets_in
from consumers.rounds import Processes
from consumers.stores.manifest import digest
from consumers.stretches import Stretches
from consumers.taking import Taking
from consumers.telling import Ports
from detectors.watch import Watch
from learners.lane import Lane
from learners.parts import Observer
from learners.retraining import JobResult

log = structlog.get_logger()

LOSSES_MAX = 20
"""So many of the accepted losses are remembered, the newest."""

First = Callable[[], tuple[base.Estimator, TrainedOn]]
"""Makes the first champion, when there is no checkpoint to go on from."""


@dataclass(frozen=True)
class StartOptions:
    """How a gain of ownership may go.

    Args:
        rebuild: begin again at the log's first record, as a later epoch of what was checkpointed.
        without: what a rebuild leaves out, and whoever goes on with it.
        accept_loss: go on where records are gone for good, or in another log; it is told and kept.
        first_only: options that count at the very first start only, as they were given; with a checkpoint they are
            refused.
    """

    rebuild: bool = False
    without: tuple[TopicRange, ...] = ()
    accept_loss: bool = False
    first_only: str = ""


PLAIN = StartOptions()


class Owner(Taking):
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
        self.store = ports.stores(scope)
        super().__init__(settings, scope=scope, ports=ports, listener=listener)
        self.first = first
        self.observer = observer
        self.merges = [Merges(self.store), Merges(self.store)]
        """Of what waits for a label, and of per-segment models."""
        self._asked = self._tell_answer if settings.publish.predictions else None
        self.sha = ""
        """Of the last checkpoint."""
        self.refs: tuple[str, ...] = ()
        """The blobs that the last checkpoint refers to, which lie in the store."""
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
        self._equip()
        self.read_before = self._read()
        if trained_on.events:
            self.guard.labels.expect(answer_of(model))

    def _equip(self) -> None:
        """Give a lane, new or restored, what it has around it: processes for its shadows, if they are configured."""
        self.lane.unlearnable = self.poison.waiting
        self.lane.asked = self._asked
        rounds = self.lane.arena.rounds
        self.playing.close()
        if rounds is not None and self.settings.shadows.processes:
            rounds.crew = self.playing.enter_context(closing(Processes(self.settings, task=self.lane.task)))

    # ── gaining and giving up ───────────────────────────────────────────────────────────────────────────────────

    def assign(
        self, partitions: Sequence[Partition], committed: Committed | None, *, how: StartOptions = PLAIN
    ) -> Positions:
        """Ownership was gained: go on from what was committed, or begin; where to read on."""
        self.began_ts = self.ports.clock.time_s()
        entry = newest(committed, self.store, scope=self.scope)
        if entry is None or how.rebuild:
            self.requests.start(None)
            self.followers.restore({})
        if entry is not None:
            self.audit.known = Head.read(entry.audit)
        if how.rebuild:
            self.left_out = Stretches(how.without)
            return self._rebuild(partitions, entry)
        if entry is None:
            return self._begin(partitions, added=committed is not None)
        refuse_other_scope(entry.scope, self.scope, name=self.settings.name)
        self._refuse_first_only(how.first_only, entry)
        self.approved = entry.envelope
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
            if self.lane.segmented is not None:
                self.lane.segmented.announced_again()
        # Nothing is told before a checkpoint of one's own is committed: so no two learners, of which the one went on
        # where the other did, tell what they learn under one epoch and number, and no clock has to say who was later.
        self.unwritten = True
        log.info(
            "restored",
            model=self.settings.name,
            scope=self.scope,
            events=self.lane.events,
            checkpoint=self.sha[:12],
        )
        self.read_before = self._read()
        self._record_start(f"goes on from checkpoint {self.sha[:12]}")
        self._enter_envelope()
        self._publish_outbox()
        return self.positions

    def _enter_envelope(self) -> None:
        """See whether the configuration has the change envelope of before; if not, it is told, or waits for approval.

        Under `control.envelope = "told"` what is in use counts as approved.
        """
        now, unapproved = self.envelope, self.lane.succession.unapproved
        before = unapproved or self.approved or now
        approved = self.settings.control.envelope == "told" or now == (self.approved or now)
        if approved:
            self.approved = now
        if now == before and approved == (not unapproved):
            return
        self.order.enter(envelope=EnvelopeEntered(digest=now, approved=approved))
        self._emit(self.lane.enveloped(now, approved=approved))
        text = envelope.canonical(self.settings).decode()
        waits = "" if approved else ": nothing is swapped by itself until it is approved"
        self._record(
            "envelope", why=f"another configuration{waits}", before=before, after=now, details={"envelope": text}
        )
        to_do = "; nothing is swapped by itself until `anabranch models envelope CONFIG --approve` says so"
        self.alert(
            "envelope",
            f"the change envelope of the configuration was {before}, and is {now}{'' if approved else to_do}",
            level="info" if approved else "alert",
        )

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
            self.approved = before.envelope
            self._stay_retired(before)
        self._record_start("begins" if before is None else "begins anew: no checkpoint is left")
        self._enter_envelope()
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
        self.lane.version, self.approved = entry.version, entry.envelope
        self._stay_retired(self.ports.announced(self.scope))
        self.positions = self.ports.source.first_positions("earliest", self._with_labels(partitions))
        self.left_out.keep(self.positions)
        self.rebuilding = rebuilt_from(self._offsets(), without=self.left_out.in_words)
        self._take_over_audit(entry)
        self._record_start("taken over by a rebuild")
        held, self.audit.holds = self.audit.holds, NOTHING_HELD
        self._record(
            "rebuild",
            why=self.rebuilding,
            before="; ".join(filter(None, (f"epoch {entry.epoch}", held))),
            after=f"epoch {self.epoch}, from nothing; {self._held()}",
        )
        self._enter_envelope()
        log.warning("rebuild", model=self.settings.name, epoch=self.epoch, source=self.rebuilding)
        return self.positions

    def _take_over_audit(self, entry: CheckpointRef) -> None:
        """A rebuild needs nothing else of the checkpoint; where that cannot be read, the chain goes on from its head.

        Then what was recorded behind the last commit and not published any more is missing in the chain.
        """
        self.audit.head, self.audit.version = self.audit.known, entry.version
        try:
            state = contents_of(self.settings, self.store, sha=entry.sha, scope=self.scope).state
        except (CheckpointError, ConfigError) as error:
            log.warning("audit", model=self.settings.name, what="its checkpoint cannot be read", reason=str(error))
            return
        self.audit.restore(state.get("audit"))
        self._publish_audit()

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
        self.requests.restore(state.get("requests", {}))
        self.followers.restore(state.get("followers", {}))
        self.order = OrderWriter(self.settings.name, self.scope)
        self.order.restore(state["order"], state["lane"])
        self.poison = Poison(in_a_row_max=self.settings.guard.poison_max)
        self.poison.restore(state["poison"])
        self.rebuilding = state["rebuilding"]
        self.left_out = Stretches.restored(state.get("left_out", ()))
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
        self.audit.restore(state.get("audit"))
        self._end_merges()
        self.guard, self.intake = self._guard(), Intake(labels_come_late=self.intake.labels_come_late)
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
        self._equip()
        self.was_restored = True
        self.refs = tuple(blobs)
        for topic, there in found.items():
            if there.is_other:
                self.left_out.forget(topic)
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
            self._record("loss", why="--accept-loss", before="", after=loss)
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

    def end(self) -> None:
        """Give the model up, with a checkpoint that says so: whoever goes on knows that this process has not died."""
        self.audit.ended = True
        self.checkpoint()

    def close(self) -> None:
        """End what is under way; what was not checkpointed is dropped."""
        self._end_merges()
        self.playing.close()
        self.runner.close()
        self.requests.close()
        self.followers.close()

    def _end_merges(self) -> None:
        for each in self.merges:
            each.close()

    # ── records ─────────────────────────────────────────────────────────────────────────────────────────────────

    def leave_out(self, error: LearnError) -> None:
        """The champion raised half way through an event: back to the last checkpoint, and past it next time.

        The source has to be rewound to the positions after it.
        """
        log.error("poison", model=self.settings.name, partition=error.partition, offset=error.offset, error=str(error))
        self.poison.found(error, kinds=self.guard.kinds)
        poison, epoch, number = self.poison, self.epoch, self.number
        self._restore(self.sha)
        self.poison, self.epoch, self.number = poison, epoch, number  # the checkpoint may be of before a new epoch
        self.lane.unlearnable = poison.waiting

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
        self.lane.put_away()
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
        self.audit.committed = len(self.audit.pending)
        self.unwritten, self.written = False, self.written + 1
        self.store.record(reference.as_entry(self.positions))
        self._publish_outbox()
        for merges, shelf in zip(self.merges, self.lane.shelves, strict=False):
            merges.step(shelf)
        self.timing.lap("announce_s")
        self.checkpointed_at = (self.guard.taken, self.ports.clock.monotonic_s())
        log.debug("checkpoint", scope=self.scope, number=self.number, size_bytes=len(blob), **self.timing.end())

    def _put_refs(self) -> tuple[str, ...]:
        """What the state refers to, durable before the state is; most of it lies there since an earlier checkpoint."""
        blobs = self.lane.blobs
        for sha, data in blobs.items():
            if sha not in self.refs and data is not None:
                self.store.put(sha, data)
        for shelf in self.lane.shelves:
            shelf.let_go(self.store.open)
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
            envelope=self.approved,
            audit=self.audit.head.text,
        )

    def _publish_outbox(self) -> None:
        for update in self.outbox:
            # Signed as they go out, not as they were decided: a learner that has a new key signs with that.
            self._put(self.settings.topics.name("updates"), key=update_key(update), message=update)
        self._publish_audit()
        if self.lane.segmented is not None and not self.rebuilding and self.retired is None:
            self._tell_segments(self.lane.segmented)
        if self.outbox:
            self.ports.sink.flush()
            self.announcer.tidy(in_use=self.lane.succession.rollout.beside)
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
            # Only where there is something of it: other checkpoints have the bytes that they had before.
            **({"requests": made} if (made := self.requests.state()) else {}),
            **({"followers": heard} if (heard := self.followers.state()) else {}),
            "log": {**self.origin._asdict(), "partitions": self.partitions},
            "labels_log": None if self.labels_origin is None else self.labels_origin._asdict(),
            "settled": settled(self.settings),
            "losses": list(self.losses),
            "configured": self._configured(),
            "order": self.order.last,
            "poison": self.poison.state(),
            "rebuilding": self.rebuilding,
            **({"left_out": self.left_out.state()} if self.left_out.ranges else {}),
            "retired": b"" if self.retired is None else encode(self.retired),
            "outbox": [encode(update) for update in self.outbox],
            "artifacts": list(self.announcer.kept),
            "audit": self.audit.state(),
            "guard": self.guard.state(),
            "intake": self.intake.state(),
            "lane": self.lane.state(),
        }

    def _configured(self) -> dict[str, Any]:
        return self.settings.model.model_dump(mode="json", include={"factory", "steps"})

    def learning_state_hash(self) -> str:
        """The canonical hash of models, contests, detectors and scores."""
        return statetree.digest(self.lane.learning_state(), trusted=self.settings.model.trusted)

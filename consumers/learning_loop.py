"""The learning loop: records in, through guard and lane, messages out; and the checkpoints that make it exactly-once.

The state and the positions it belongs to lie in one blob. The blob is durable before it is committed, the commit is
fenced by the broker, and updates are announced only after the commit: see docs/ARCHITECTURE.md.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog
from river import base

from anabranch import codec, statetree
from anabranch.errors import CheckpointError, LearnError
from anabranch.messages import DeadLetter, DriftSignal, ModelReport, ModelUpdate, TrainedOn
from anabranch.ports import AcceptedEvent, Clock, Committed, Control, Outlet, Positions, Record, Source, Store
from anabranch.settings import Settings
from consumers.announcer import Announcer, update_key
from consumers.blobs import digest
from consumers.guard import Guard
from consumers.pauses import Pauses
from consumers.poison import Poison
from consumers.recruiting import Recruiter
from consumers.requests import Requests
from consumers.restoring import newest, rebuilt_from, state_of
from detectors.watch import Watch
from learners.lane import Lane, Said
from learners.promotion import Promotion
from learners.retraining import Job

log = structlog.get_logger()

BATCH_MAX = 1000
FIRST_EPOCH = 1

First = Callable[[], tuple[base.Estimator, TrainedOn]]
"""Makes the first champion, when there is no checkpoint to go on from."""


class LearningLoop:
    """One model's loop over its source.

    Args:
        first: makes the first champion.
        rebuild: begin again at the log's first record, as a later epoch of what was checkpointed.
        control: what people ask for.
        listener: is shown every message right after it was sent (a backtest's report, the demo's view).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        first: First,
        source: Source,
        outlet: Outlet,
        store: Store,
        recruiter: Recruiter,
        clock: Clock,
        rebuild: bool = False,
        listener: Callable[[Any], None] | None = None,
        control: Control | None = None,
    ) -> None:
        self.settings = settings
        self.first = first
        self.source = source
        self.outlet = outlet
        self.store = store
        self.recruiter = recruiter
        self.clock = clock
        self.rebuild = rebuild
        self.listener = listener or (lambda message: None)
        self.announcer = Announcer(settings, outlet=outlet, clock=clock)
        self.pauses = Pauses(clock)
        self.requests = Requests(control, model=settings.name)
        self.stopping = threading.Event()
        self._start_afresh()

    def _start_afresh(self) -> None:
        """The state before the first event. Made at once, so that a mistaken configuration shows at start."""
        model, trained_on = self.first()
        self.lane = Lane(self.settings, model, watch=Watch(self.settings), trained_on=trained_on)
        self.guard = Guard(self.settings)
        self.positions: Positions = {}
        self.poison = Poison(in_a_row_max=self.settings.guard.poison_max)
        self.outbox: list[ModelUpdate] = []
        self.epoch, self.seq, self.number, self.sha = FIRST_EPOCH, 0, 0, ""
        self.rebuilding = ""
        """Why, until the rebuilt model has caught up: so long nothing is announced."""
        self.checkpointed_at = (0, self.clock.monotonic_s())

    # ── running ─────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, *, until_end: bool = False) -> None:
        """Learn until `stop` is called, or with `until_end` until what was there at the start is learned.

        Raises:
            OwnershipLost: another process has taken the model over.
            LogTruncated: the log no longer holds what comes next.
            CheckpointError: nothing that was kept can be restored.
            LearningFrozen: the champion raised on too many events in a row.
        """
        self.source.start(self._owned)
        try:
            while not self.stopping.is_set() and not (until_end and self.source.at_end()):
                self._turn()
            self._end_rebuild()  # here too: the log may have held nothing more
            self.checkpoint()
        finally:
            self.recruiter.close()
            self.requests.close()
            self.source.close()

    def stop(self) -> None:
        """End `run` after the record at hand, with a checkpoint. May be called from a signal handler."""
        self.stopping.set()

    def _turn(self) -> None:
        """One batch."""
        records = self.source.poll(BATCH_MAX, timeout_s=0.2)
        if not self.sha and self.positions:
            self.checkpoint()  # records where the very first start began, and is what a poison event goes back to
            self.rebuild = False  # whoever gains ownership once more goes on from here
        try:
            for record in records:
                if self.stopping.is_set():  # a thousand records of a slow model take their time
                    break
                self._take(record)
        except LearnError as error:
            self._leave_out(error)
        self._take_inputs()
        self._end_rebuild()
        if self._checkpoint_due():
            self.checkpoint()

    def _take(self, record: Record) -> None:
        """One record's way: guard, lane, messages."""
        self.positions[record.partition] = record.offset + 1
        if self.poison.places and record in self.poison:
            self._refuse(self.guard.dead_letter(record, stage="learn", reason="the champion raises on it"))
            self.checkpoint()  # the next one goes back no further than to here
            return
        checked = self.guard.check(record)
        if type(checked) is AcceptedEvent:
            for said in self.lane.asked(checked):
                self._say(said)
            if self.lane.events >= self.recruiter.due:
                self._take_inputs()
        elif checked is not None:
            self._refuse(checked)  # type: ignore[arg-type]  # what is neither an event nor None is a dead letter

    def _take_inputs(self) -> None:
        """Let finished jobs and requests in. An input is journalled by the checkpoint that follows it."""
        done = self.recruiter.finished(self.lane.events)
        for recruited in done:
            log.info("recruited", model=self.settings.name, job=recruited.job_id, failure=recruited.failure)
            self.lane.admit(recruited)
        asked = self.requests.take()
        for said in [said for each in asked for said in self.lane.retrain_asked(each)]:
            self._say(said)
        if done or asked:
            self.checkpoint()

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────────────

    def _say(self, said: Said) -> None:
        if isinstance(said, Promotion):
            self._go_live(said)
        elif isinstance(said, Job):
            log.info("trigger", model=self.settings.name, job=said.id, reason=said.reason)
            self.recruiter.submit(said)
        elif isinstance(said, DriftSignal):
            self._send("signals", said)
        elif isinstance(said, ModelReport):
            self._send("reports", said.model_copy(update={"checkpoint_pause_s": self.pauses.take()}))

    def _send(self, topic: str, message: DriftSignal | ModelReport | DeadLetter) -> None:
        self.outlet.send(self.settings.topics.name(topic), key=message.id, value=codec.encode(message))
        self.listener(message)

    def _refuse(self, letter: DeadLetter) -> None:
        self._send("dead_letters", letter)

    def _go_live(self, promotion: Promotion) -> None:
        """A new champion: its bytes go out, the state is checkpointed, then it is announced."""
        if self.rebuilding:
            return  # what is announced is better, until the rebuilt model has learned as much
        self.seq += 1
        update = self.announcer.prepare(promotion, epoch=self.epoch, seq=self.seq, features=list(self.guard.kinds))
        self.outbox = [update]
        self.checkpoint()
        log.info(
            promotion.kind,
            model=update.model,
            version=update.version,
            events=update.event,
            reason=update.reason,
            arena_events=update.verdict.events if update.verdict else None,
        )
        self.listener(update)

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────

    def _checkpoint_due(self) -> bool:
        events, at_s = self.checkpointed_at
        done = self.guard.accepted + self.guard.refused - events
        checkpoint = self.settings.checkpoint
        return done >= checkpoint.every_events or (done > 0 and self.clock.monotonic_s() - at_s >= checkpoint.every)

    def checkpoint(self) -> None:
        """Make the state durable, then commit it, then publish the outbox: in this order, or a crash loses or repeats.

        Raises:
            OwnershipLost: the commit was refused; nothing of this state may be written any more.
        """
        self.pauses.begin()
        self.outlet.flush()
        self.pauses.lap("flush_s")
        parent, self.number = self.sha, self.number + 1
        self.poison.forget(self.positions)
        blob = statetree.encode(self._state(parent), trusted=self.settings.model.trusted)
        sha = digest(blob)
        self.pauses.lap("encode_s")
        self.store.put(sha, blob)
        self.pauses.lap("store_s")
        entry = self._entry(sha, parent)
        self.source.commit(self.positions, orjson.dumps(entry).decode())
        self.pauses.lap("commit_s")
        self.sha = sha
        self.store.record({**entry, "positions": {str(key): value for key, value in self.positions.items()}})
        self._publish_outbox()
        self.pauses.lap("announce_s")
        self.checkpointed_at = (self.guard.accepted + self.guard.refused, self.clock.monotonic_s())
        log.debug("checkpoint", number=self.number, size_bytes=len(blob), **self.pauses.end())

    def _entry(self, sha: str, parent: str) -> dict[str, Any]:
        """What names a checkpoint: in the manifest, and in the offsets' metadata, where `number` must be the last."""
        return {
            "sha": sha,
            "parent": parent,
            "epoch": self.epoch,
            "seq": self.seq,
            "version": self.lane.version,
            "number": self.number,
        }

    def _publish_outbox(self) -> None:
        for update in self.outbox:
            self.outlet.send(self.settings.topics.name("updates"), key=update_key(update), value=codec.encode(update))
        if self.outbox:
            self.outlet.flush()
        self.outbox = []

    def _state(self, parent: str) -> dict[str, Any]:
        return {
            "name": self.settings.name,
            "epoch": self.epoch,
            "seq": self.seq,
            "number": self.number,
            "parent": parent,
            "positions": dict(self.positions),
            "control": self.requests.position,
            "poison": self.poison.state(),
            "rebuilding": self.rebuilding,
            "outbox": [codec.encode(update) for update in self.outbox],
            "guard": self.guard.state(),
            "lane": self.lane.state(),
        }

    def learning_state_hash(self) -> str:
        """The canonical hash of models, contests, detectors and scores."""
        return statetree.digest(self.lane.learning_state(), trusted=self.settings.model.trusted)

    def _owned(self, committed: Committed | None) -> Positions:
        """Ownership was gained: go on from what was committed, or begin."""
        entry = newest(committed, self.store)
        self._start_afresh()
        if entry is None or self.rebuild:
            self.requests.begin(None)
        if self.rebuild:
            return self._begin_again(entry)
        if entry is None:
            self.positions = self.source.first_positions(self.settings.start)
            log.info("begin", model=self.settings.name, positions=self.positions)
            return self.positions
        self._restore(str(entry["sha"]), parent=str(entry["parent"]))
        if committed is None or not committed.metadata or self.sha != entry["sha"]:
            # A later checkpoint may have been announced: what is announced from here on must be newer, and other.
            self.epoch, self.number = entry["epoch"] + 1, entry["number"]
        log.info("restored", model=self.settings.name, events=self.lane.events, checkpoint=self.sha[:12])
        self._publish_outbox()
        known = self.source.first_positions("earliest")  # a partition that was added since begins at its start
        self.positions = {**known, **self.positions}
        return self.positions

    def _begin_again(self, entry: Mapping[str, Any] | None) -> Positions:
        """A rebuild: nothing is restored, and all that it will announce is newer than all that was announced."""
        if entry is None:
            raise CheckpointError(
                f"there is no checkpoint of {self.settings.name} to rebuild; `anabranch learn` begins anew"
            )
        # The chain of parents begins anew as well: whoever fell back behind the rebuild would undo what it announced.
        self.epoch, self.seq, self.number = entry["epoch"] + 1, entry["seq"], entry["number"]
        self.lane.version = entry["version"]
        self.positions = self.source.first_positions("earliest")
        self.rebuilding = rebuilt_from(self.positions)
        log.warning("rebuild", model=self.settings.name, epoch=self.epoch, source=self.rebuilding)
        return self.positions

    def _end_rebuild(self) -> None:
        """Announce the rebuilt champion, once it has learned what was there when the rebuild began."""
        if self.rebuilding and not self.stopping.is_set() and self.source.at_end():
            promotion = self.lane.rebuilt(reason=self.rebuilding)
            if promotion is not None:
                self.rebuilding = ""
                self._go_live(promotion)

    def _restore(self, sha: str, *, parent: str) -> None:
        """The state of the blob, or of its parent at the parent's positions."""
        state, self.sha = state_of(self.settings, self.store, sha=sha, parent=parent)
        self.epoch, self.seq, self.number = state["epoch"], state["seq"], state["number"]
        self.positions = dict(state["positions"])
        self.requests.begin(state["control"])
        self.poison.restore(state["poison"])
        self.rebuilding = state["rebuilding"]
        self.outbox = [codec.decode(ModelUpdate, each) for each in state["outbox"]]
        self.guard.restore(state["guard"])
        self.lane.restore(state["lane"])
        self.recruiter.reset([each.job for each in self.lane.jobs.under_way.values()])
        self.checkpointed_at = (self.guard.accepted + self.guard.refused, self.clock.monotonic_s())

    def _leave_out(self, error: LearnError) -> None:
        """The champion raised half way through an event: back to the last checkpoint, and past it next time."""
        log.error("poison", model=self.settings.name, partition=error.partition, offset=error.offset, error=str(error))
        self.poison.found(error)
        sha, poison, epoch, number = self.sha, self.poison, self.epoch, self.number
        self._start_afresh()
        self._restore(sha, parent="")
        self.poison, self.epoch, self.number = poison, epoch, number  # the checkpoint may be of before a new epoch
        self.source.rewind(self.positions)

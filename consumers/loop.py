"""The learning loop: records from the source to the owners of their partitions, and the owners' checkpoints.

With `scope = "global"` one owner has all partitions; with `scope = "partition"` each partition has one of its own, and
they move between processes as the consumer group has it, by their checkpoints.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from anabranch.errors import LearnError
from anabranch.events import Partition, Record
from anabranch.scope import GLOBAL, Scope, of_partition
from config.settings import Settings
from consumers.intake import Read
from consumers.owner import PLAIN, First, Owner, StartOptions
from consumers.ports import Committed, Positions
from consumers.telling import Ports
from learners.parts import Observer

log = structlog.get_logger()

BATCH_MAX = 1000


class LearningLoop:
    """The loop of one process.

    Args:
        first: makes the first champion.
        how: what may come of the first gain of each scope; later ones go on from the checkpoint that follows it.
        started: the scopes that a loop before this one has started so.
        listener: is shown every message right after it was sent (a backtest's report, the demo's view).
        observer: is shown every learned event.
        stopping: ends `run` when it is set.
    """

    owner_type = Owner

    def __init__(
        self,
        settings: Settings,
        *,
        first: First,
        ports: Ports,
        how: StartOptions = PLAIN,
        started: Iterable[str] = (),
        listener: Callable[[Any], None] | None = None,
        observer: Observer | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        self.settings = settings
        self.first = first
        self.ports = ports
        self.how = how
        self.listener = listener or (lambda message: None)
        self.observer = observer
        self.stopping = stopping or threading.Event()
        self.owners: dict[Scope, Owner] = {}
        """By scope."""
        self.owner_of: dict[tuple[str, int], Owner] = {}
        """By partition."""
        self.leaving = False
        self.has_restored = False
        """Whether it has gone on from a checkpoint: broker and store have been there."""
        self.was_well = False
        """Whether it has written a checkpoint: all was there that it needs."""
        self.started = set(started)
        """The scopes that this process has a checkpoint of: gained once more, they are not started once more."""

    @property
    def is_global(self) -> bool:
        """Whether one owner has all partitions."""
        return self.settings.scope == "global"

    def _owner(self, scope: Scope) -> Owner:
        return self.owner_type(
            self.settings,
            scope=scope,
            first=self.first,
            ports=self.ports,
            listener=self.listener,
            observer=self.observer,
        )

    @property
    def owner(self) -> Owner:
        """The one that owns all partitions of a global model, once it has gained them."""
        return self.owners[GLOBAL]

    @property
    def read(self) -> Read:
        """What this run has read so far, of the partitions that it owns."""
        return sum((owner.read for owner in self.owners.values()), start=Read(0, 0, 0, 0))

    # ── running ─────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, *, until_end: bool = False) -> None:
        """Learn until `stop` is called, or with `until_end` until what was there at the start is learned.

        Raises:
            OwnershipLost: another process has taken the model over.
            SessionExpired: the broker took this process for dead, and nobody has taken over: run once more.
            LogTruncated: the log no longer holds what comes next.
            CheckpointError: nothing that was kept can be restored.
            StoreUnavailable: the store of the checkpoints does not answer, or takes nothing: run once more.
            LearningFrozen: the champion raised on too many events in a row.
        """
        self.ports.source.start(self)
        try:
            while not self.stopping.is_set() and not (until_end and self.ports.source.at_end()):
                self._turn()
            while until_end and any(owner.was_restored for owner in self.owners.values()):
                self._begin()
                self._learn([])  # no turn may have followed
            self._end_rebuild()  # here too: the log may have held nothing more
            for owner in self.owners.values():
                owner.end()
        finally:
            self.leaving = True
            for owner in self.owners.values():
                owner.close()
            self.ports.source.close()

    def stop(self) -> None:
        """End `run` after the record at hand, with a checkpoint. May be called from a signal handler."""
        self.stopping.set()

    def _turn(self) -> None:
        """One batch."""
        records = self.ports.source.poll(BATCH_MAX, timeout_s=0.2)
        # After the poll, within which partitions are gained, and before a record is taken: an event that the champion
        # raises on needs a checkpoint to go back to.
        self._begin()
        self._learn(records)
        for owner in self.owners.values():
            owner.tell_order()
            # Between two batches, and followed by a checkpoint: no crash may make an input enter once more, elsewhere.
            owner.take_inputs()
        self._end_rebuild()
        for owner in self.owners.values():
            owner.report_if_due()
            owner.checkpoint_if_due()
        self.was_well = self.was_well or any(owner.written for owner in self.owners.values())

    def _learn(self, records: Sequence[Record]) -> None:
        """What a crash has cut short, then the records; an event that the champion raises on is left out."""
        topic = ""
        try:
            for owner in self.owners.values():
                owner.settle()
            for record in records:
                if self.stopping.is_set():  # a thousand records of a slow model take their time
                    break
                owner, topic = self.owner_of[record.topic, record.partition], record.topic
                owner.take(record)
        except LearnError as error:
            error.topic = topic
            owner.leave_out(error)
            # The owner is restored by now: what was fetched and not taken belongs to positions that no longer count.
            self.ports.source.rewind(self._positions())

    def _begin(self) -> None:
        """A first checkpoint records where the very first start began, and is what a poison event goes back to."""
        for scope, owner in self.owners.items():
            if owner.unwritten:
                owner.checkpoint()
            self.started.add(scope)

    @property
    def has_run(self) -> bool:
        """Whether it, or the loop before it, has ever had its partitions and its state."""
        return bool(self.started) or self.has_restored

    def _positions(self) -> Positions:
        return {partition: at for owner in self.owners.values() for partition, at in owner.positions.items()}

    def _end_rebuild(self) -> None:
        """Announce rebuilt champions, once they have learned what was there when the rebuild began."""
        rebuilding = [owner for owner in self.owners.values() if owner.rebuilding]
        if rebuilding and not self.stopping.is_set() and self.ports.source.at_end():
            for owner in rebuilding:
                owner.end_rebuild()

    # ── ownership, from within the source's start and poll ──────────────────────────────────────────────────────

    def assigned(self, partitions: Sequence[Partition], committed: Committed | None) -> Positions:
        """Restore what was committed for these partitions, or begin; where to read on."""
        scope = GLOBAL if self.is_global else of_partition(partitions[0].number)
        owner = self._owner(scope)
        try:
            positions = owner.assign(partitions, committed, how=PLAIN if scope in self.started else self.how)
        except BaseException:
            owner.close()  # its jobs are under way already, and nobody would know of them
            raise
        self.has_restored |= bool(owner.sha)
        self.owners[scope] = owner
        self.owner_of |= dict.fromkeys(positions, owner)
        return positions

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Another process is about to own these: what was learned so far is checkpointed for it."""
        for owner in self._dropped(partitions):
            # Without one it has not learned anything yet: the first checkpoint comes before the first record.
            if owner.sha:
                owner.end()

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Another process may own these already: nothing of them may be written any more."""
        self._dropped(partitions)

    def _dropped(self, partitions: Sequence[Partition]) -> list[Owner]:
        """The owners of these partitions, which this process owns no longer."""
        if self.leaving:
            return []  # leaving gives everything up, and the last checkpoint is written
        owners = list({id(owner): owner for each in partitions if (owner := self.owner_of.pop(each, None))}.values())
        for owner in owners:
            del self.owners[owner.scope]
            owner.close()
        return owners

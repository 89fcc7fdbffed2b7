"""The events topic as a source: a member of the model's consumer group.

With `scope = "global"` it is the one static member, which owns all partitions; with `scope = "partition"` it is one of
several, and each partition is gained and given up by itself.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress

import structlog
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec

from anabranch.errors import KafkaRefused, KafkaUnavailable, LogTruncated, OwnershipLost
from anabranch.events import Partition, Record
from anabranch.kafka import LOST, SLICE_S, TIMEOUT_S, admin, at, batch, consumer, owner, partitions, sharer
from config.settings import Settings
from consumers.belonging import truncated
from consumers.kafka.backlog import KafkaBacklog
from consumers.kafka.group import Group, newest_of, origin
from consumers.kafka.reader import record_of
from consumers.ports import Origin, Owners, Positions
from consumers.timing import Deadline

log = structlog.get_logger()

COMMITS_MAX = 10
COMMIT_S = 45.0
COMMIT_AGAIN_S = 0.2
HEARD_S = 1.0
"""A broker that has answered is there for so long."""
CLOSE_S = 1.0
SILENT_S = 2.5
"""After so long without a place in the group somebody wants to know why."""
SAID_EVERY_S = 15.0

_SPECS: dict[str, OffsetSpec] = {
    "earliest": OffsetSpec.earliest(),  # type: ignore[no-untyped-call]  # confluent-kafka gives it no types
    "latest": OffsetSpec.latest(),  # type: ignore[no-untyped-call]  # likewise
}


class KafkaSource:
    """Consumes the events topic, all of its partitions or this process's share.

    Args:
        stopping: set when the process is to end: then brokers that are away are waited for a few seconds only.
    """

    def __init__(self, settings: Settings, *, stopping: threading.Event | None = None) -> None:
        self.settings = settings
        self.stopping = stopping or threading.Event()
        self.topic = settings.topics.name("events")
        self.all = [Partition(self.topic, each) for each in partitions(settings.kafka, self.topic)]
        self.labels = labels_partitions(settings)
        self.is_global = settings.scope == "global"
        self.is_cooperative = settings.assignment == "cooperative-sticky"
        self.group = Group(settings, stopping=self.stopping)
        self.consumer = consumer(
            owner(settings.kafka, model=settings.name)
            if self.is_global
            else sharer(settings.kafka, model=settings.name, assignment=settings.assignment)
        )
        self.admin = admin(settings.kafka)
        """Asks on connections that neither a fetch nor a join keeps waiting."""
        self.read: Positions = {}
        """What comes next after what was handed on, for every partition that is owned; its keys are the assignment."""
        self.ends: Positions | None = None
        """Where the partitions ended when they were gained; None before the first assignment."""
        self.told: Positions = {}
        """Where the broker last said that a partition ends."""
        # Labels and their events are merged, too, whoever owns them.
        self.backlog = KafkaBacklog(self.consumer, merges=self.is_global or bool(self.labels))
        self.rebalanced = False
        self.is_within_poll = False
        """Whether this is within a callback of `poll`."""
        self.is_resting = False
        """Whether somebody else reads for it."""
        self.begins_resting = False
        self.has_given_up = False
        """Whether a commit is still on its way, for all that is known."""
        self.waits_since_s = self.said_s = 0.0
        self.origins: dict[str, Origin] = {}
        """Of topics, as they were asked for since partitions were last gained."""
        self.answered_s = float("-inf")
        """When a broker was last heard before a commit."""
        self.was_idle = False
        """Whether it was without partitions, and has said so."""

    # ── ownership ───────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, owners: Owners) -> None:
        """Join the group; `owners` is told of what comes of it from within a later `poll`."""

        def on_assign(consumer: Consumer, assigned: list[TopicPartition]) -> None:
            with self._within_poll():
                self._gain(owners, _partitions(assigned))

        def on_revoke(consumer: Consumer, revoked: list[TopicPartition]) -> None:
            with self._within_poll():
                self._give_up(_partitions(revoked), owners.revoked)

        def on_lost(consumer: Consumer, lost: list[TopicPartition]) -> None:
            if self.is_global:
                # The member that was taken for dead must not join again by itself: it would fence its successor.
                with suppress(KafkaException):  # fenced already
                    self.consumer.unsubscribe()
                raise self.group.gone("the broker has not heard from this process in time")
            self._give_up(_partitions(lost), owners.lost)

        self.waits_since_s = self.said_s = time.monotonic()
        # The callbacks run within poll(), in the loop's own thread, so that they may checkpoint and restore.
        self.consumer.subscribe([self.topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)

    @contextmanager
    def _within_poll(self) -> Iterator[None]:
        self.is_within_poll = True
        try:
            yield
        finally:
            self.is_within_poll = False

    def _gain(self, owners: Owners, assigned: list[Partition]) -> None:
        self.rebalanced = True
        self.origins = {}
        self._wake()
        self.group.member_id = self.consumer.memberid() or self.group.member_id
        gained = self._all_or_nothing(assigned)
        # Of all partitions: one that was added since has no commit,
        # and only the others tell whether the model has begun.
        known = self.group.committed(self.admin, sorted({*self.all, *gained}))
        positions: Positions = {}
        for share in [gained] if self.is_global else [[each] for each in gained]:
            positions |= owners.assigned(share, newest_of(share, known))
        # assign(), not seek(): inside this callback that answers _STATE
        if self.is_cooperative:
            self.consumer.incremental_assign(at(positions))
        else:
            self.consumer.assign(at(positions))
        self.read |= positions
        if self.begins_resting:
            self.rest()  # at once, or it would fetch what nobody takes
        self.ends = {**(self.ends or {}), **self.first_positions("latest", list(positions))}
        if not self.is_resting:
            self._begin_reading()
        if not self.read and not self.was_idle:  # once: others come and go, and there is nothing to do about it
            self.was_idle = True
            log.info("no partition so far", group=self.group.id, partitions=len(self.all), what="it waits for one")

    def _give_up(self, partitions: list[Partition], tell: Callable[[Sequence[Partition]], None]) -> None:
        self.rebalanced = True
        self._wake()
        tell(partitions)
        # No subscription has them, so that the client lets go of them only when it is told.
        labels = [each for each in self.labels_of(partitions) if each in self.read]
        if labels and self.is_cooperative:
            self.consumer.incremental_unassign(at(dict.fromkeys(labels, 0)))
        for each in [*partitions, *labels]:
            self.read.pop(each, None)
            self.told.pop(each, None)
        self.backlog.start({}, {})

    def _all_or_nothing(self, assigned: list[Partition]) -> list[Partition]:
        """A global model owns every partition.

        A member that comes back within its session gets what it had, which partitions that were added since are not
        among: where nobody else is in the group, it takes them.
        """
        missing = sorted(set(self.all) - set(assigned)) if self.is_global else []
        if not missing:
            return assigned
        if self.group.others():
            raise OwnershipLost(
                f"{len(assigned)} of {len(self.all)} partitions of {self.topic} are assigned to this process: "
                f"something else is in its group {self.group.id}; a global model owns them all"
            )
        log.info("partitions were added", topic=self.topic, partitions=[each.number for each in missing])
        return sorted([*assigned, *missing])

    def _say_that_it_waits(self) -> None:
        """The broker gives a place away only when it takes the one before for dead."""
        now_s = time.monotonic()
        if now_s - self.said_s < (SILENT_S if self.said_s == self.waits_since_s else SAID_EVERY_S):
            return
        self.said_s = now_s
        log.warning(
            "waiting for a place in the group",
            group=self.group.id,
            waited_s=round(now_s - self.waits_since_s),
            reason="a former process of this model may still hold it, until its session is over",
            session_timeout_ms=self.settings.kafka.get("session.timeout.ms", 45_000),
        )

    # ── records ─────────────────────────────────────────────────────────────────────────────────────────────────

    def labels_of(self, partitions: Sequence[Partition]) -> list[Partition]:
        """All of them for a global model, else those with the same numbers."""
        if self.is_global:
            return self.labels if partitions else []
        numbers = {each.number for each in partitions}
        return [each for each in self.labels if each.number in numbers]

    def origin(self, topic: str) -> Origin:
        """Which log the topic is now: asked once for all partitions that are gained together."""
        if topic not in self.origins:
            self.origins[topic] = origin(self.admin, topic)
        return self.origins[topic]

    def first_positions(self, start: str, partitions: Sequence[Partition]) -> Positions:
        """The first or the next offset of each partition."""
        if not partitions:
            return {}
        wanted = dict.fromkeys((TopicPartition(*each) for each in partitions), _SPECS[start])
        # By the admin: on the consumer's own connections each question waits for the fetch before it, half a second.
        asked = self.admin.list_offsets(
            wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT_S
        )
        return {Partition(each.topic, each.partition): _offset(each, answer) for each, answer in asked.items()}

    def rewind(self, positions: Positions) -> None:
        """Read on from `positions`."""
        self._wake()
        self.read = dict(positions)
        there = at(positions)
        # A cooperative member may not assign() as a whole: librdkafka refuses it under that strategy.
        if self.is_cooperative:
            # Taken out first: incremental_assign() refuses a partition that is assigned already.
            self.consumer.incremental_unassign(there)
            self.consumer.incremental_assign(there)
        else:
            self.consumer.assign(there)
        self._begin_reading()

    def _begin_reading(self) -> None:
        """What was fetched before is of other positions."""
        self.told = {}
        self.backlog.start(self.read, self.ends or {})

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records. What waits to be merged comes first, but the group wants to be heard all the same."""
        self.rebalanced = False
        few = self.backlog.is_ready
        try:
            # Polled even if nothing more is wanted: within poll() the client learns of rebalances, and without it the
            # broker takes the member for dead after max.poll.interval.ms.
            messages = batch(self.consumer, 1 if few else max_records, timeout_s=0 if few else timeout_s)
        except KafkaException as error:
            raise self.group.gone(error.args[0].str()) from error
        if self.ends is None:
            self._say_that_it_waits()
        records = [record_of(message) for message in messages if message.error() is None or self._heed(message)]
        if self.rebalanced and messages:
            self.rewind(self.read)  # what came before the rebalance is of positions that no longer count
            return []
        if self.is_resting:
            return []  # fetched before it rested: whoever reads for it hands it on
        return self.backlog.hand_on(records, max_records, read=self.read, told=self.told)

    def place(self) -> Positions:
        """What comes next after what was handed on."""
        return dict(self.read)

    def rest(self) -> None:
        """Fetch nothing more: somebody else reads for it."""
        self.told = {}
        self.backlog.start({}, {})
        self.consumer.pause(at(self.read))
        self.is_resting = True

    def passed(self, positions: Positions, told: Positions) -> None:
        """Somebody else has read up to there."""
        self.read, self.told = dict(positions), dict(told)

    def _wake(self) -> None:
        """What comes after this sets the positions."""
        if self.is_resting:
            self.is_resting = False
            self.consumer.resume(at(self.read))

    def _heed(self, message: Message) -> bool:
        """What came instead of a record: most faults mend by themselves."""
        error, partition = message.error(), Partition(message.topic() or self.topic, message.partition() or 0)
        assert error is not None
        # The end may be that of a partition which was given up in the meantime.
        if error.code() == KafkaError._PARTITION_EOF and partition in self.read:
            self.told[partition] = message.offset() or 0
            self.backlog.reached(partition)
        if error.code() in LOST:
            raise self.group.gone(error.str())
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise self._truncated(partition)
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
            raise KafkaUnavailable(f"{partition.topic}: {error.str()}")
        return False

    def _truncated(self, partition: Partition) -> LogTruncated:
        """What the log no longer holds, of what comes next."""
        first, here = self.first_positions("earliest", [partition])[partition], self.read.get(partition, 0)
        if first > here:
            return LogTruncated(truncated(partition.topic, {partition.number: (here, first)}))
        return LogTruncated(
            f"{partition.topic} partition {partition.number} holds no offset {here}, and begins at {first}: it was "
            "recreated, or cut; start again, which says what can be done"
        )

    def at_end(self) -> bool:
        """Whether every partition that is owned is read up to where it ended when it was gained.

        What the broker calls the end is one: behind it lies a transaction that nobody has ended.
        """
        return self.ends is not None and all(
            here >= self.ends[partition] or here == self.told.get(partition) for partition, here in self.read.items()
        )

    def unread(self, partitions: Iterable[Partition]) -> int | None:
        """What brokers said with the last fetch that they hold of these beyond what was read."""
        behind = 0
        for partition in partitions:
            if partition in self.read:
                _, high = self.consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
                behind += max(0, high - self.read[partition])  # below 0: nothing was fetched yet
        return behind

    # ── commits ─────────────────────────────────────────────────────────────────────────────────────────────────

    def commit(self, positions: Positions, metadata: str) -> None:
        """Commit every partition's position with the same metadata, synchronously."""
        self._await_broker()
        for _ in range(COMMITS_MAX):
            error = self._commit(positions, metadata)
            if error is None:
                return
            reason = error.str()
            # Cooperative members keep what they own while others come and go, and cannot commit for that moment.
            if not self.is_cooperative or error.code() != KafkaError.REBALANCE_IN_PROGRESS:
                break
            time.sleep(COMMIT_AGAIN_S)
        raise self.group.gone(f"the commit was refused: {reason}")

    def _await_broker(self) -> None:
        """A commit without a broker would wait for the whole session, and no signal is heard meanwhile.

        Not asked once more of a broker that was heard just now: the models of a thousand partitions commit together.
        """
        if time.monotonic() - self.answered_s < HEARD_S:
            return
        patience = Deadline(COMMIT_S, stopping=self.stopping)
        while wait_s := patience.left_s(SLICE_S):
            with suppress(KafkaException):
                self.admin.list_topics(self.topic, timeout=wait_s)
                self.answered_s = time.monotonic()
                return
        raise self.group.gone("no broker answers, so nothing can be committed")

    def _commit(self, positions: Positions, metadata: str) -> KafkaError | None:
        attempt = _Commit(self.consumer, at(positions, metadata))
        if self.is_within_poll:
            # Within poll() librdkafka answers no other thread's commit before that has returned.
            attempt.run()
            return attempt.refused
        attempt.start()
        patience = Deadline(COMMIT_S, stopping=self.stopping)
        while attempt.is_alive() and (wait_s := patience.left_s(SLICE_S)):
            attempt.join(wait_s)
        if attempt.is_alive():
            self.has_given_up = True
            raise self.group.gone("no coordinator answers, and whether the commit has arrived is unknown")
        return attempt.refused

    def close(self) -> None:
        """Leave. A static member keeps its place in the group: when it comes back it finds it."""
        if not self.has_given_up:
            self.consumer.close()
            return
        # It would wait for the commit that was given up. Whoever is in the group next has the broker refuse that one.
        closing = threading.Thread(target=self.consumer.close, name="close", daemon=True)
        closing.start()
        closing.join(CLOSE_S)


class _Commit(threading.Thread):
    """A commit that can be given up: librdkafka asks without end where a broker shuts down just then."""

    def __init__(self, consumer: Consumer, offsets: list[TopicPartition]) -> None:
        super().__init__(name="commit", daemon=True)
        self.consumer = consumer
        self.offsets = offsets
        self.refused: KafkaError | None = None

    def run(self) -> None:
        """Commit, and keep what the broker says against it."""
        try:
            done = self.consumer.commit(offsets=self.offsets, asynchronous=False)
        except KafkaException as error:
            self.refused = error.args[0]
        else:
            self.refused = next((each.error for each in done or [] if each.error is not None), None)


def labels_partitions(settings: Settings) -> list[Partition]:
    """The partitions of the labels; none, where they are not late.

    Raises:
        KafkaRefused: each partition of the events has a model of its own, and the labels have another number of them.
    """
    if not settings.labels.late:
        return []
    topic, events = settings.topics.name("labels"), settings.topics.name("events")
    there, wanted = partitions(settings.kafka, topic), partitions(settings.kafka, events)
    if settings.scope == "partition" and len(there) != len(wanted):
        raise KafkaRefused(
            f'{topic} has {len(there)} partitions and {events} has {len(wanted)}: with scope = "partition" they must '
            "be as many, and a label has to have the key of its event, so that it reaches the same model. Make the "
            "topic anew with as many (`anabranch topics create` does), or add partitions to it"
        )
    return [Partition(topic, each) for each in there]


def _offset(partition: TopicPartition, answer: "Future[ListOffsetsResultInfo]") -> int:
    try:
        return int(answer.result().offset)
    except KafkaException as error:
        raise KafkaUnavailable(f"{partition.topic} partition {partition.partition}: {error.args[0].str()}") from error


def _partitions(several: list[TopicPartition]) -> list[Partition]:
    return [Partition(each.topic, each.partition) for each in several]

"""A backtest: the learning loop over a file as a log, without Kafka, and what came of it."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from river import base

from anabranch.errors import ConfigError, LogTruncated
from anabranch.events import AcceptedEvent, Headers, Partition, Prediction, Record
from anabranch.messages import DeadLetter, DriftSignal, Message, ModelUpdate, TrainedOn, Transition
from config.settings import Settings
from consumers.guard import own_time_s
from consumers.jobs import InlineRunner
from consumers.loop import LearningLoop
from consumers.ports import Clock, Origin, Owners, Positions, Sent
from consumers.stores import MemoryStore
from consumers.telling import Ports
from learners.models.fence import Predictor
from learners.parts import LaneParts, Observer
from learners.publication import copied
from learners.scores import Scores, metrics_of
from learners.segmented import COPY

# ── A file as a log of one partition: the offset is the record's place in the file ──────────────────────────────────

TOPIC = "file"
PARTITION = Partition(TOPIC, 0)


class LabelValue(NamedTuple):
    """An encoded label among the events of a file, which would come on a topic of its own."""

    value: bytes


Values = Callable[[], Iterator[bytes | LabelValue]]
"""Opens a file: each call gives the encoded events from the first, and labels where they come."""


class FileSource:
    """Serves records from a file, and the last `history_max` of its events once more.

    Args:
        labels: the topic that labels are said to be on; empty: there are none.
        examples: what was told on the topic of examples lately.
        timestamp_of: what stands for the broker's timestamp, in epoch seconds, by the record's number; None: each
            event's own time.
    """

    def __init__(
        self,
        values: Values,
        *,
        timestamp_of: Callable[[int], float] | None,
        history_max: int,
        limit: int | None = None,
        labels: str = "",
        examples: Iterable[bytes] = (),
    ) -> None:
        self.values = values
        self.labels = Partition(labels, 0)
        self.examples = examples
        self.timestamp_of = timestamp_of
        self.limit = limit
        self.history: deque[bytes] = deque(maxlen=history_max)
        """The events just before `offset`; their records are made again, which takes half the memory."""
        self.rewind({PARTITION: 0})

    def start(self, owners: Owners) -> None:
        """A file belongs to whoever reads it."""
        self.rewind(owners.assigned([PARTITION], None))

    def first_positions(self, start: str, partitions: Sequence[Partition]) -> Positions:
        """The file's beginning."""
        del start
        return dict.fromkeys(partitions, 0)

    def labels_of(self, partitions: Sequence[Partition]) -> list[Partition]:
        """The one that labels are on."""
        return [self.labels] if self.labels.topic else []

    def origin(self, topic: str) -> Origin:
        """A file of its own."""
        return Origin(topic)

    def rewind(self, positions: Positions) -> None:
        """Read on from there."""
        self.offset, self.offset_of_labels, self._ended = 0, 0, False
        self._values = itertools.islice(self.values(), self.limit)
        self.history.clear()
        for value in itertools.islice(self._values, sum(positions.values())):
            self._record(value)

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        del timeout_s
        records = [self._record(value) for value in itertools.islice(self._values, max_records)]
        self._ended = len(records) < max_records
        return records

    def _record(self, value: bytes | LabelValue) -> Record:
        """The next one."""
        if isinstance(value, LabelValue):
            number, told = self.offset_of_labels, value.value
            self.offset_of_labels += 1
            return Record(self.labels.topic, 0, number, self._timestamp_s(told), None, told)
        self.history.append(value)
        self.offset += 1
        return self._event(self.offset - 1, value)

    def _event(self, number: int, value: bytes) -> Record:
        return Record(TOPIC, 0, number, self._timestamp_s(value, number), None, value)

    def _timestamp_s(self, value: bytes, number: int | None = None) -> float:
        if self.timestamp_of is None or number is None:
            return own_time_s(value)
        return self.timestamp_of(number)

    def commit(self, positions: Positions, metadata: str) -> None:
        """Nobody else needs to know."""

    def unread(self, partitions: Iterable[Partition]) -> int | None:
        """Nobody waits."""
        del partitions
        return None

    def at_end(self) -> bool:
        """Whether the file is read."""
        return self._ended

    def close(self) -> None:
        """Nothing is open."""

    def read(self, runs: Sequence[tuple[int, int, int]], *, topic: str = "") -> Iterable[Record]:
        """The events of the runs once more.

        Raises:
            LogTruncated: they lie further back than `history_max`.
        """
        first = self.offset - len(self.history)
        for _, start, end in runs:
            for number in range(start, end):
                if not first <= number < self.offset:
                    raise LogTruncated(f"offset {number} lies more than {self.history.maxlen} records back")
                yield self._event(number, self.history[number - first])

    def read_examples(self, partition: int, start: int, end: int) -> Iterable[bytes]:
        """Those that were told lately."""
        del partition, start, end
        return iter(self.examples)


# ── The backtest ────────────────────────────────────────────────────────────────────────────────────────────────────


class Refusals:
    """The dead letters of one stage: how many, and the first."""

    def __init__(self, first: DeadLetter) -> None:
        self.first = first
        self.count = 0

    def result(self) -> dict[str, Any]:
        """As plain values."""
        first = self.first
        return {"stage": first.stage, "count": self.count, "offset": first.offset, "reason": first.reason}


class NoSink:
    """Where messages go that nobody reads: numbered, and dropped; but for the last of the examples.

    Args:
        examples: their topic.
    """

    def __init__(self, *, examples: str = "", examples_max: int = 0) -> None:
        self.sent = 0
        self.topic_of_examples = examples
        self.examples: deque[bytes] = deque(maxlen=examples_max)

    def send(
        self, topic: str, *, key: str, value: bytes | None, partition: int | None = None, headers: Headers = ()
    ) -> None:
        """Count it."""
        self.sent += 1
        if topic == self.topic_of_examples and value is not None:
            self.examples.append(value)

    def send_all(self, topic: str, *, key: str, values: Iterable[bytes]) -> list[Sent]:
        """Count them."""
        landed = []
        for _ in values:
            landed.append(Sent(0, self.sent))
            self.sent += 1
        return landed

    def flush(self) -> None:
        """Nothing waits."""


class Followers:
    """What followers would have answered, by the copy that they had when an event was asked.

    Args:
        late: events that pass from an announcement until followers have it: about their rate times the seconds that it
            takes to arrive. With 0 they have it at once, and no service is as quick.

    Raises:
        ConfigError: followers are late, and it is not known what they would answer then.
    """

    def __init__(self, settings: Settings, *, late: int = 0) -> None:
        unknown = {
            "`publish.blocks`": settings.publish.blocks,
            "`publish.refresh_level = 0`": not settings.publish.refresh_level,
            "labels that come late": settings.labels.late,
            "`segments.by`": settings.segments.by is not None,
        }
        if late and (found := [what for what, is_so in unknown.items() if is_so]):
            raise ConfigError(f"late followers do not go with {found[0]}: leave `--followers-late` out")
        self.late = late
        self.scores = Scores(metrics_of(settings), window=settings.scores.window)
        self._coming: deque[tuple[int, Predictor]] = deque()
        """The copies that followers do not have yet, each with the event after which they do."""
        self._has: Predictor | None = None
        self._version: int | None = None
        """Of the newest copy that answers where no key is told, as in a file."""
        self._newest: Predictor | None = None
        self._was_under_way = False

    def observe(
        self, event: AcceptedEvent, served: Prediction, answers: Mapping[str, Prediction], lane: LaneParts
    ) -> None:
        """Compare what a follower would have answered with the label."""
        is_rolled_out = lane.succession.rollout.under_way
        # An event is observed when it is learned, and what came of it announced: a copy that is new now is of it.
        is_new = lane.published.version != self._version and not is_rolled_out
        if self.late:
            answer = self._late(event, lane)
        elif self._was_under_way:
            answer = self._newest and self._newest(event.x)
        else:
            answer = _prompt(served, answers, lane, is_announced=self._version is not None)
        self._was_under_way = is_rolled_out
        if is_new and lane.published.is_asked:
            self._newest = lane.published.predictor()
            if self.late:
                self._coming.append((lane.events + self.late, self._newest))
        self._version = self._version if is_rolled_out else lane.published.version
        if answer is not None:
            self.scores.update(event.y, answer)

    def _late(self, event: AcceptedEvent, lane: LaneParts) -> Prediction | None:
        if lane.lateness.lag:
            raise ConfigError(
                "late followers do not go with labels that come later than their events, as some do here: leave "
                "`--followers-late` out"
            )
        while self._coming and self._coming[0][0] < lane.events:
            self._has = self._coming.popleft()[1]
        return None if self._has is None else self._has(event.x)


def _prompt(
    served: Prediction, answers: Mapping[str, Prediction], lane: LaneParts, *, is_announced: bool
) -> Prediction | None:
    # In blocks there is no copy beside the champion: it is its own.
    if COPY in answers:
        return answers[COPY]
    if lane.settings.publish.blocks and is_announced:
        return None if lane.succession.held_until else served  # what was learned could not be announced
    return copied(answers)


class Backtest:
    """Runs a model over a file and gathers what it said.

    Args:
        first: makes the first champion.
        timestamp_of: what stands for the broker's timestamp, in epoch seconds, by the record's number; None: each
            event's own time.
        listener: is shown every message, as it comes.
        observer: is shown each learned event.
        followers_late: events that pass from an announcement until followers have it.

    Raises:
        ConfigError: as `Followers`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        first: Callable[[], tuple[base.Estimator, TrainedOn]],
        values: Values,
        timestamp_of: Callable[[int], float] | None,
        clock: Clock,
        limit: int | None = None,
        listener: Callable[[Message], None] | None = None,
        observer: Observer | None = None,
        followers_late: int = 0,
    ) -> None:
        self.clock = clock
        self.listener = listener
        self.said: list[Message] = []
        self.refusals: dict[str, Refusals] = {}
        topics, history_max = settings.topics, 2 * settings.retrain.history_max + 1000
        sink = NoSink(examples=topics.name("examples"), examples_max=history_max)
        source = FileSource(
            values,
            timestamp_of=timestamp_of,
            limit=limit,
            history_max=history_max,
            labels=topics.name("labels") if settings.labels.late else "",
            examples=sink.examples,
        )
        store = MemoryStore()
        settings = settings.model_copy(update={"scope": "global"})  # a file is one partition: one model either way
        ports = Ports(
            source=source,
            sink=sink,
            stores=lambda scope: store,
            runners=lambda scope: InlineRunner(settings, reader=source),
            clock=clock,
        )
        self.observer = observer
        self.followers = Followers(settings, late=followers_late)
        self.loop = LearningLoop(settings, first=first, ports=ports, listener=self._hear, observer=self._observe)
        self.seconds = 0.0

    def _observe(
        self, event: AcceptedEvent, served: Prediction, answers: Mapping[str, Prediction], lane: LaneParts
    ) -> None:
        self.followers.observe(event, served, answers, lane)
        if self.observer is not None:
            self.observer(event, served, answers, lane)

    def _hear(self, message: Message) -> None:
        if isinstance(message, DriftSignal | ModelUpdate) or _is_held_back(message):
            self.said.append(message)
        elif isinstance(message, DeadLetter):
            self.refusals.setdefault(message.stage, Refusals(message)).count += 1
        if self.listener is not None:
            self.listener(message)

    def run(self) -> dict[str, Any]:
        """Run to the end of the file; the result as one object of plain values."""
        began_s = self.clock.monotonic_s()
        self.loop.run(until_end=True)
        self.seconds = self.clock.monotonic_s() - began_s
        return self.result()

    def result(self) -> dict[str, Any]:
        """What came of it."""
        lane, guard = self.loop.owner.lane, self.loop.owner.guard
        signals = [said for said in self.said if isinstance(said, DriftSignal)]
        updates = [said for said in self.said if isinstance(said, ModelUpdate)]
        return {
            "model": lane.settings.name,
            "events": lane.events,
            "scores": lane.scores.values() if lane.ranked is None else lane.scores.values() | lane.ranked.values(),
            "followers": {
                "scores": self.followers.scores.values(),
                "late": self.followers.late,
                "announced": len(updates),
                "bytes": sum(each.pointer.size_bytes for each in updates),
            },
            "signals": [_signal(said) for said in signals],
            "swaps": [_swap(said) for said in updates if _is_swap(said)],
            "dead_letters": guard.refused,
            "refusals": [each.result() for each in self.refusals.values()],
            "duplicates": guard.duplicates,
            "waiting_for_label": len(lane.join),
            "labels": None if (report := lane.labels_report()) is None else report.model_dump(),
            "fairness": [each.model_dump(mode="json") for each in lane.observed.fairness_reports()],
            **_segments(lane),
            "held_back": [_held_back(said) for said in self.said if isinstance(said, Transition)],
            "unusable_answers": dict(lane.scores.unusable),
            "read": asdict(self.loop.read),
            "events_per_second": round(lane.events / self.seconds, 1) if self.seconds else 0.0,
            "state_hash": self.loop.owner.learning_state_hash(),
        }


def _segments(lane: LaneParts) -> dict[str, Any]:
    """How per-segment models did; nothing where there are none."""
    if lane.segmented is None:
        return {}
    return {"segments": lane.segmented.report(ends=False).model_dump(mode="json")}


def _signal(said: DriftSignal) -> dict[str, Any]:
    named = {"offset": said.offset, "detector": said.detector, "kind": said.kind, "triggered": said.triggered}
    return {**named, "moved": [each.feature for each in said.moved]} if said.moved else named


def _is_swap(update: ModelUpdate) -> bool:
    """Whether another model answers, for all keys or for a share of them."""
    return update.kind in ("swap", "rollback") or update.is_step


def _is_held_back(message: Message) -> bool:
    """Whether it is the step of a winner that does not go live."""
    return (
        isinstance(message, Transition) and message.before == message.after == "arena" and "held back" in message.reason
    )


def _held_back(step: Transition) -> dict[str, Any]:
    return {"offset": step.offset, "member": step.member, "reason": step.reason}


def _swap(update: ModelUpdate) -> dict[str, Any]:
    verdict = update.verdict
    return {
        "offset": update.offset,
        "version": update.version,
        "kind": update.kind,
        "arena_events": verdict.events if verdict else 0,
        "gain": [verdict.low, verdict.gain, verdict.high] if verdict else [],
        "trained_on": update.trained_on.model_dump(mode="json"),
        "member": update.member,
    }

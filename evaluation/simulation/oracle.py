"""What must hold after a simulated run, whatever went wrong in it: each event learned once, each update said once."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from anabranch import statetree
from anabranch.chain import ChainReader
from anabranch.errors import LogTruncated
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import (
    AuditRecord,
    DeadLetter,
    LearnedOrder,
    Message,
    ModelReport,
    ModelUpdate,
    SegmentModel,
    decode,
    encode,
)
from anabranch.order import OrderReader
from anabranch.scope import Scope
from anabranch.segments import order_of
from config.settings import Settings
from consumers.checkpoint import rebuilt_from
from consumers.examples import counted
from consumers.guard import Guard
from consumers.owner import First, Owner
from detectors.watch import Watch
from evaluation.replay import Replay
from evaluation.simulation.runner import Input, Past
from evaluation.simulation.stream import Stream
from evaluation.simulation.world import MemoryLog
from learners.emitted import Promotion
from learners.lane import Lane
from learners.segmented import Segmented

Place = tuple[int, int]


class StreamRecords:
    """The log before retention took anything.

    Args:
        labels: the topic of labels.
        examples: all that was told on the topic of examples.
    """

    def __init__(self, stream: Stream, *, labels: str = "", examples: Sequence[bytes] = ()) -> None:
        self.stream = stream
        self.labels = labels
        self.examples = examples

    def read(self, runs: Sequence[tuple[int, int, int]], *, topic: str = "") -> Iterable[Record]:
        """The records of some runs."""
        records = self.stream.labels if topic and topic == self.labels else self.stream.records
        return (records[place] for place in _places(runs))

    def read_examples(self, partition: int, start: int, end: int) -> Iterable[bytes]:
        """All of them."""
        del partition, start, end
        return self.examples


def _places(runs: Iterable[tuple[int, int, int]]) -> list[Place]:
    return [(partition, offset) for partition, start, end in runs for offset in range(start, end)]


@dataclass(frozen=True)
class Oracle:
    """Looks at what a run has left behind.

    Args:
        calm: no checkpoint rotted and the broker forgot nothing; otherwise epochs rise, and updates may come late.
    """

    settings: Settings
    first: First
    stream: Stream
    log: MemoryLog
    scope: str
    calm: bool

    def findings(self, owner: Owner, past: Past) -> Iterator[str]:
        """What is wrong, in words."""
        if self.settings.labels.tells_examples:
            yield from self._findings_late(owner, past)
            return
        runs = owner.lane.lineage.last(owner.lane.events)
        places = _places(runs)
        yield from _once(places, self.stream, learned=owner.lane.events)
        straight = self._straight(past)
        try:
            _learn_again(straight, [self.stream.records[place] for place in places], past.inputs)
        except Exception as error:  # whatever it is, the run cannot be told again
            yield f"the recorded order cannot be learned again: {type(error).__name__}: {error}"
            return
        begun = self._begun() if past.rebuilt_from is not None else {}
        rebuilt = rebuilt_from(begun) if past.rebuilt_from is not None else ""
        straight.rebuild(rebuilt)
        yield from self._same(straight, owner)
        yield from self._complete(straight.guard, set(places), begun)
        yield from self._published(straight, past)
        yield from self._audited(owner)
        yield from self._told(places, past.inputs, rebuilt if straight.promotions else "")

    def _findings_late(self, owner: Owner, past: Past) -> Iterator[str]:
        """The same where labels come late, or features are computed: what counts is the order that was told."""
        every = (decode(LearnedOrder, value) for value in self.log.values(self._topic("learned")))
        orders = OrderReader(each for each in every if each.scope == self.scope).chain(until=owner.order.last)
        yield from _in_order(orders)
        straight = self._straight(past)
        straight.unlearnable = frozenset(owner.poison.waiting)
        try:
            straight.run(orders)
        except Exception as error:  # whatever it is, the run cannot be told again
            yield f"the told order cannot be learned again: {type(error).__name__}: {error}"
            return
        if owner.rebuilding:
            straight.promotions = []  # announced to nobody: the log held too little for the rebuild's warm-up
        yield from self._same(straight, owner)
        yield from self._same_join(straight, owner)
        begun = self._begun() if past.rebuilt_from is not None else {}
        yield from self._complete_late(straight, orders, begun)
        yield from self._examples_told(straight)
        yield from self._published(straight, past)
        yield from self._audited(owner)

    def _published(self, straight: Replay, past: Past) -> Iterator[str]:
        """What was announced and said is what the straight run promotes and says."""
        every = (decode(ModelUpdate, value) for value in self.log.values(self._topic("updates")))
        updates = [update for update in every if update.scope == self.scope]
        yield from announced_once(updates, calm=self.calm, rebuilt=past.rebuilt_from is not None)
        yield from _all_announced(straight.promotions, updates, after=past.rebuilt_from or 0)
        yield from _later(updates, after=past.rebuilt_from)
        yield from self._fetchable(updates)
        yield from self._said(straight.messages)
        if straight.lane.segmented is not None:
            yield from swapped_on_evidence(straight.messages, wins_at=self.settings.arena.false_swap_every)
            if self.calm and past.rebuilt_from is None:
                yield from self._segments_told(straight.lane.segmented)

    def _same_join(self, straight: Replay, owner: Owner) -> Iterator[str]:
        """What waits and how what has waited ended; each event that was asked has ended once, or waits."""
        expected, found = (_join_of(lane) for lane in (straight.lane, owner.lane))
        differing = [name for name in expected if expected[name] != found[name]]
        if differing:
            yield f"the labels' state is not that of the straight run; they differ in {', '.join(differing)}"
        asked, endings = straight.asked, owner.lane.join.endings
        ended = sum(count for ending, count in endings.items() if ending != "corrected")
        waiting = len(owner.lane.join)
        if asked != ended + waiting:
            yield f"{asked} events were asked, {ended} have ended ({dict(endings)}), and {waiting} wait"

    def _complete_late(
        self, straight: Replay, orders: Sequence[LearnedOrder], begun: Mapping[int, int]
    ) -> Iterator[str]:
        """What is not in the order was refused with a dead letter, or is there twice."""
        told = {
            (run.topic, run.partition, offset)
            for order in orders
            for run in order.runs
            for offset in range(run.start, run.end)
        }
        letters = {decode(DeadLetter, value).id for value in self.log.values(self._topic("dead_letters"))}
        seen: set[object] = set()
        for record in (*self.stream.records.values(), *self.stream.labels.values()):
            if (record.topic, record.partition, record.offset) in told:
                seen.add(_identity(record))
        for record in (*self.stream.records.values(), *self.stream.labels.values()):
            place = (record.topic, record.partition, record.offset)
            if record.topic != self._topic("labels") and record.offset < begun.get(record.partition, 0):
                continue
            letter = straight.guard.dead_letter(record, stage="learn", reason="").id
            if place not in told and letter not in letters and _identity(record) not in seen:
                yield f"{place} was neither learned nor refused: {record.value!r}"

    def _examples_told(self, straight: Replay) -> Iterator[str]:
        """Of all that were told, those that count are what was learned."""
        scope, settings = straight.lane.reports.scope, self.settings
        values = self.log.values(self._topic("examples"))
        try:
            found = list(counted(values, model=settings.name, scope=scope, start=0, end=straight.lane.examples))
        except LogTruncated as error:
            yield str(error)
            return
        for told, learned in zip(found, straight.told, strict=True):
            if (told.id, told.x, told.y) != (learned.event.id, learned.event.x, learned.event.y):
                yield f"example {learned.number} is told as {told}, and {learned.event} was learned"
                return

    def _topic(self, which: str) -> str:
        return self.settings.topics.name(which)

    def _begun(self) -> dict[int, int]:
        """Where a rebuild has begun: at what retention has left."""
        topic = self._topic("events")
        return {partition: self.log.start_of(topic, partition) for partition in range(self.log.partitions)}

    def _told(self, places: Sequence[Place], inputs: Sequence[Input], rebuilt: str) -> Iterator[str]:
        """The learned order, as whoever reads its topic has it, is the one that was learned."""
        every = (decode(LearnedOrder, value) for value in self.log.values(self._topic("learned")))
        orders = OrderReader(each for each in every if each.scope == self.scope).chain()
        if orders and orders[0].follows:
            yield f"{orders[0].id} of the learned order follows {orders[0].follows}, which was never told"
        told = _places((run.partition, run.start, run.end) for order in orders for run in order.runs)
        if told != list(places):
            wrong = next((n for n, pair in enumerate(zip(told, places, strict=False)) if pair[0] != pair[1]), -1)
            yield f"{len(told)} records were told in order, {len(places)} learned; they differ at number {wrong}"
        entered = [Input(order.event_number, back) for order in orders for back in order.returned]
        if entered != list(inputs):
            yield f"{entered} were told to have entered, and {inputs} have"
        reasons = [order.rebuilt for order in orders if order.rebuilt]
        if reasons != ([rebuilt] if rebuilt else []):
            yield f"{reasons} were told to be why it was rebuilt, and {rebuilt!r} is"

    def _straight(self, past: Past) -> Replay:
        model, trained_on = self.first()
        lane = Lane(self.settings, model, watch=Watch(self.settings), trained_on=trained_on, scope=Scope(self.scope))
        lane.version = past.rebuilt_from or 0
        examples = self.log.values(self._topic("examples"))
        return Replay(
            lane, Guard(self.settings), StreamRecords(self.stream, labels=self._topic("labels"), examples=examples)
        )

    def _same(self, straight: Replay, owner: Owner) -> Iterator[str]:
        expected = straight.lane.learning_state()
        if statetree.digest(expected, trusted=self.settings.model.trusted) == owner.learning_state_hash():
            return
        found = owner.lane.learning_state()
        trusted = self.settings.model.trusted
        differing = [
            name
            for name in expected
            if statetree.digest(expected[name], trusted=trusted) != statetree.digest(found[name], trusted=trusted)
        ]
        yield f"the learning state is not that of the straight run; they differ in {', '.join(differing)}"

    def _complete(self, guard: Guard, learned: set[Place], begun: dict[int, int]) -> Iterator[str]:
        """Every record was learned, or else the guard that has seen everything still refuses it, or it is poison.

        Those before the positions at which all begun are none of its business.
        """
        letters = {decode(DeadLetter, value).id for value in self.log.values(self._topic("dead_letters"))}
        for place, record in self.stream.records.items():
            if place in learned or place[1] < begun.get(place[0], 0):
                continue
            checked = guard.check(record)
            letter = guard.dead_letter(record, stage="learn", reason="").id
            if isinstance(checked, AcceptedEvent) and checked.y is not None and letter not in letters:
                yield f"partition {place[0]} offset {place[1]} was neither learned nor refused: {record.value!r}"
            elif isinstance(checked, DeadLetter) and letter not in letters:
                yield f"partition {place[0]} offset {place[1]} was refused without a dead letter"

    def _fetchable(self, updates: Iterable[ModelUpdate]) -> Iterator[str]:
        """Every update's artifact is there when somebody reads the update."""
        for update in updates:
            at = update.pointer
            chunks = self.log.records.get((at.topic, at.partition), [])[at.first_offset : at.last_offset + 1]
            if hashlib.sha256(b"".join(chunk.value or b"" for chunk in chunks)).hexdigest() != at.sha256:
                yield f"the artifact of version {update.version} is not where its update says"

    def _audited(self, owner: Owner) -> Iterator[str]:
        """The audit is one chain to its head, and each announcement is recorded once."""
        chain, recorded = ChainReader(), dict[tuple[int, int], set[int]]()
        for place, value in enumerate(self.log.values(self._topic("audit"))):
            record = decode(AuditRecord, value)
            if record.scope == self.scope:
                chain.add(value, where=f"audit {place}")
                if record.kind == "promotion":
                    recorded.setdefault((record.epoch, record.seq), set()).add(record.number)
        chain.compare(self.settings.name, self.scope, owner.audit.head)
        if self.calm:  # a checkpoint that rots takes along what it was to publish
            yield from chain.faults
        every = (decode(ModelUpdate, value) for value in self.log.values(self._topic("updates")))
        for update in (each for each in every if each.scope == self.scope):
            times = len(recorded.get((update.epoch, update.seq), ()))
            if times != 1 and (self.calm or times > 1):
                yield f"update {update.epoch}/{update.seq} is recorded {times} times in the audit"

    def _segments_told(self, segmented: Segmented) -> Iterator[str]:
        """What a reader of the topic takes for the models that answer is what answers."""
        told: dict[str, SegmentModel] = {}
        for value in self.log.values(self._topic("segments")):
            message = decode(SegmentModel, value)
            before = told.get(message.segment)
            if message.scope == self.scope and (before is None or order_of(message) >= order_of(before)):
                told[message.segment] = message
        having = {name: each for name, each in told.items() if each.artifact_base64}
        for name, ready in segmented.everyone():
            newest = having.get(name)
            if (newest is not None) != ready.serves:
                yield f"segment {name}: followers were told that its own model answers: {newest is not None}"
            elif newest is None or newest.learned != ready.learned:
                continue
            elif segmented.encoded(name, ready.model) != base64.b64decode(newest.artifact_base64):
                yield f"segment {name}: followers were told another model than it had after {ready.learned} labels"

    def _said(self, expected: Iterable[Message]) -> Iterator[str]:
        """Every signal, step, report and alert is on its topic, as the straight run says it."""
        known: dict[str, set[bytes]] = {}
        for message in expected:
            if message.goes_to not in known:
                values = self.log.values(self._topic(message.goes_to))
                known[message.goes_to] = {_timeless(decode(type(message), value)) for value in values}
            if _timeless(message) not in known[message.goes_to]:
                yield f"{_name(message)} was never published"


def swapped_on_evidence(messages: Iterable[Message], *, wins_at: float) -> Iterator[str]:
    """Each swap of a segment has its evidence, and they take turns."""
    serving: set[str] = set()
    for report in (each for each in messages if isinstance(each, ModelReport) and each.segments is not None):
        assert report.segments is not None
        for swap in report.segments.swaps:
            if swap.reason == "evidence" and not (swap.evidence >= wins_at and swap.evidence > swap.events):
                yield f"segment {swap.segment} was swapped at event {swap.event_number} on evidence of {swap.evidence}"
            if swap.serves == (swap.segment in serving):
                yield f"segment {swap.segment} was swapped twice in a row at event {swap.event_number}"
            serving ^= {swap.segment}
        if len(serving) != report.segments.serving:
            yield f"{report.id}: {report.segments.serving} are said to answer, and {len(serving)} were let in"


def _learn_again(straight: Replay, records: Iterable[Record], inputs: Sequence[Input]) -> None:
    """Each input enters after as many events as it did."""
    waiting = list(inputs)[::-1]
    for record in records:
        straight.learn(record)
        while waiting and waiting[-1].event_number == straight.lane.events:
            straight.admit(waiting.pop().back)
    assert not waiting, f"{waiting} came after the last event"


def _join_of(lane: Lane) -> dict[str, Any]:
    """What is known of labels, wherever it is kept."""
    join = {**lane.join.state(), "pending": list(lane.join.pending.waiting())}
    del join["ended_since"]
    return join


def _identity(record: Record) -> object:
    """By what a record is known when it comes twice: an id, and the label that it brings."""
    try:
        table = orjson.loads(record.value or b"")
    except ValueError:
        return None
    if "features" in table:
        return table.get("id"), table.get("label"), None
    return table.get("id"), table.get("label"), table.get("blocked")


def _in_order(orders: Sequence[LearnedOrder]) -> Iterator[str]:
    """Each record is told once, in the order of its partition, and nothing before the first message is missing."""
    if orders and orders[0].follows:
        yield f"{orders[0].id} of the learned order follows {orders[0].follows}, which was never told"
    ends: dict[tuple[str, int], int] = {}
    for run in (run for order in orders for run in order.runs):
        place = (run.topic, run.partition)
        if run.start < ends.get(place, 0):
            yield f"{place} offsets {run.start} to {run.end} were told after offset {ends[place]}"
        ends[place] = run.end


def _timeless(message: Message) -> bytes:
    """The message without what a clock has put into it."""
    if isinstance(message, ModelReport):
        message = message.model_copy(update={"checkpoint_pause_s": None, "refused": {}})
    return encode(message)


def _name(message: Message) -> str:
    return f"{type(message).__name__} {getattr(message, 'id', '')}"


def _once(places: Sequence[Place], stream: Stream, *, learned: int) -> Iterator[str]:
    """The recorded order names each event at most once, in the order of its partition, and all of them."""
    if len(places) != learned:
        yield f"{learned} events were learned, the lineage holds {len(places)}"
    last: dict[int, int] = {}
    for partition, offset in places:
        if (partition, offset) not in stream.records:
            yield f"partition {partition} offset {offset} was learned, and never was"
        if offset <= last.get(partition, -1):
            yield f"partition {partition} offset {offset} was learned after offset {last[partition]}"
        last[partition] = offset


def announced_once(updates: Sequence[ModelUpdate], *, calm: bool, rebuilt: bool = False) -> Iterator[str]:
    """An (epoch, seq) is always the same update, and for a reader of the topic they rise without a gap.

    But a rebuild reads no checkpoint: what the last one had still to announce, it does not; a process that was taken
    over may do so afterwards, and nobody takes the older for the newer.
    """
    known: dict[tuple[int, int], ModelUpdate] = {}
    newest = (0, 0)
    for update in updates:
        at = (update.epoch, update.seq)
        if known.setdefault(at, update) != update:
            yield f"two updates are called epoch {at[0]} seq {at[1]}: {_brief(known[at])} and {_brief(update)}"
        if known[at] is not update:
            continue
        if at < newest and calm and not rebuilt:
            yield f"epoch {at[0]} seq {at[1]} was first announced after epoch {newest[0]} seq {newest[1]}"
        if at > newest:
            leaps = update.seq > newest[1] + 1 and not (rebuilt and at[0] > newest[0])
            if leaps or (at[0] == newest[0] and update.seq != newest[1] + 1):
                yield f"epoch {at[0]} seq {at[1]} follows epoch {newest[0]} seq {newest[1]}"
            newest = at


def _all_announced(promotions: Iterable[Promotion], updates: Iterable[ModelUpdate], *, after: int) -> Iterator[str]:
    """What a follower ends up with, after a version, is what the straight run promotes."""
    newest: Mapping[int, ModelUpdate] = {
        each.version: each for each in sorted(updates, key=lambda each: (each.epoch, each.seq))
    }
    expected = {each.version: _decided(each) for each in promotions}
    found = {each.version: _decided(each) for each in newest.values() if each.version > after}
    for version in sorted(expected.keys() | found.keys()):
        if expected.get(version) != found.get(version):
            yield f"version {version} was announced as {found.get(version)}, and is {expected.get(version)}"


def _decided(each: Promotion | ModelUpdate) -> tuple[object, ...]:
    return each.kind, each.event_number, each.partition, each.offset, each.parent, each.trigger, each.reason


def _later(updates: Sequence[ModelUpdate], *, after: int | None) -> Iterator[str]:
    """What a rebuild announces belongs to a later epoch than all before it."""
    if after is None:
        return
    before = max((each.epoch for each in updates if each.version <= after), default=0)
    for each in updates:
        if each.version > after and each.epoch <= before:
            yield f"the rebuild was announced as epoch {each.epoch}, after epoch {before}"


def _brief(update: ModelUpdate) -> str:
    return f"version {update.version} ({update.kind} at event {update.event_number}, {update.pointer.sha256[:8]})"

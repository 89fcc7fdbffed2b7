"""Reproduces a published version: all that led to it is learned again from the topics, and the bytes are compared."""

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy
import river

from anabranch import statetree
from anabranch.events import Partition
from anabranch.messages import LearnedOrder, ModelUpdate, TopicRange, TrainedOn
from anabranch.order import OrderReader
from anabranch.scope import Scope
from config.settings import Settings
from consumers.announcer import packed
from consumers.finding import Finding, failure, warning
from consumers.guard import Guard
from consumers.guard.labels import answer_of
from consumers.owner import First
from consumers.ports import LogReader
from detectors.watch import Watch
from evaluation.replay import Replay
from learners.emitted import Promotion
from learners.lane import Lane

Bounds = Mapping[Partition, tuple[int, int]]
"""The first and the next offset that a partition holds."""

# ── What led to a version ───────────────────────────────────────────────────────────────────────────────────────────


def chain_to(update: ModelUpdate, reader: OrderReader) -> list[LearnedOrder]:
    """The messages of the learned order that lead to an announcement, oldest first; none, if they are not there.

    One that followers cannot learn on from does not say after which message it stands: that is then the one which ends
    with the same event in the same epoch, as the order is told before each announcement.
    """
    until = update.order
    if not until:
        ends = [
            each
            for each in reader.messages.values()
            if (each.epoch, each.event_number) == (update.epoch, update.event_number)
        ]
        ends.sort(key=lambda each: (each.checkpoint, each.began))
        until = ends[-1].id if ends else ""
    return reader.chain(until=until) if until else []


class Inputs(NamedTuple):
    """What a version is learned from, and nothing else."""

    ranges: tuple[TopicRange, ...]
    """Of records that reached the model, by topic, partition and offset; what was refused lies between them."""
    messages: int
    """Of the learned order."""
    first_message: str
    last_message: str
    examples: int
    """How many were told; retraining reads them where labels come late."""
    jobs: int
    """Retrainings that brought recruits: they are carried out once more."""
    requests: int
    """Of people: to retrain, or about who answers."""

    @property
    def records(self) -> int:
        """How many are learned."""
        return sum(each.end - each.start for each in self.ranges)

    def spans(self) -> dict[Partition, tuple[int, int]]:
        """From the first offset to the one after the last, of each partition."""
        found: dict[Partition, tuple[int, int]] = {}
        for each in self.ranges:
            place = Partition(each.topic, each.partition)
            start, end = found.get(place, (each.start, each.end))
            found[place] = min(start, each.start), max(end, each.end)
        return found


def inputs_of(orders: Sequence[LearnedOrder]) -> Inputs:
    """What the messages name.

    >>> def said(start, end):
    ...     runs = (TopicRange(topic="events", partition=0, start=start, end=end),)
    ...     known = {"epoch": 1, "checkpoint": 1, "began": 1.0, "model": "m", "event_number": end, "version": 0}
    ...     return LearnedOrder(id=f"{start}", follows="", runs=runs, **known)
    >>> [(each.start, each.end) for each in inputs_of([said(0, 5), said(5, 9), said(11, 12)]).ranges]
    [(0, 9), (11, 12)]
    """
    told = [each.examples.end for each in orders if each.examples is not None]
    return Inputs(
        ranges=tuple(_merged(run for each in orders for run in each.runs)),
        messages=len(orders),
        first_message=orders[0].id if orders else "",
        last_message=orders[-1].id if orders else "",
        examples=told[-1] if told else 0,
        jobs=sum(not back.failure for each in orders for back in each.returned),
        requests=sum(len(each.requests) + (each.decided is not None) for each in orders),
    )


def _merged(runs: Iterator[TopicRange]) -> list[TopicRange]:
    """In the order of places, each as long as it goes without a gap."""
    found: list[TopicRange] = []
    for run in sorted(runs, key=lambda each: (each.topic, each.partition, each.start)):
        last = found[-1] if found else None
        if last is not None and (last.topic, last.partition, last.end) == (run.topic, run.partition, run.start):
            found[-1] = last.model_copy(update={"end": run.end})
        else:
            found.append(run)
    return found


def first_announcement(orders: Sequence[LearnedOrder], known: Sequence[ModelUpdate]) -> ModelUpdate | None:
    """Of all that these messages have led to: what it was trained on is what its first champion had learned before."""
    number = orders[0].version + 1 if orders else 0
    return next((each for each in known if each.version == number and each.kind != "retired"), None)


# ── What stands in the way ──────────────────────────────────────────────────────────────────────────────────────────


def obstacles(
    update: ModelUpdate,
    orders: Sequence[LearnedOrder],
    *,
    settings: Settings,
    bounds: Bounds,
    trained_on: TrainedOn,
    first_given: bool,
) -> Iterator[Finding]:
    """What is known beforehand to prevent it (failures), or may change what comes out (warnings).

    Args:
        orders: that lead to the version.
        bounds: what the topics hold now, of all partitions that the orders name.
        trained_on: what the first champion had learned before the log.
        first_given: whether somebody has said how it was made.
    """
    yield from _other_program(update)
    yield from _untold(update, orders, topic=settings.topics.name("learned"))
    yield from _gone(inputs_of(orders), bounds)
    if any(back for each in orders for back in each.returned) and settings.labels.tells_examples:
        yield from _examples_gone(settings.topics.name("examples"), bounds)
    if trained_on.events and not trained_on.ranges and not first_given:
        yield failure(
            "reproduce.first-champion",
            f"the first champion had learned {trained_on.events:,} events before the log ({trained_on.note})",
            "say --warm-up FILE or --from models:/NAME/7, as it was said to `anabranch learn` at its first start",
        )


def _other_program(update: ModelUpdate) -> Iterator[Finding]:
    if update.river != river.__version__:
        yield failure(
            "reproduce.river",
            f"version {update.version} was made with River {update.river}, and here is {river.__version__}: the "
            "model bytes of two Rivers are never the same",
            f"run this where River {update.river} is installed: in the image or the checkout that the learner had",
        )
    here = {"Python": platform.python_version(), "numpy": numpy.__version__}
    for name, then in {"Python": update.python, "numpy": update.numpy}.items():
        if then != here[name]:
            yield warning(
                "reproduce.versions",
                f"version {update.version} was made with {name} {then}, and here is {here[name]}",
                "if the bytes are not the same, try it with the learner's own",
            )


def _untold(update: ModelUpdate, orders: Sequence[LearnedOrder], *, topic: str) -> Iterator[Finding]:
    keep = (
        f"raise retention.ms of {topic}, as that of the events, for versions to come; `anabranch rebuild` begins a new "
        "order, from which its versions can be reproduced"
    )
    if not orders:
        yield failure("reproduce.order", f"{topic} does not tell what led to version {update.version}", keep)
        return
    if orders[0].follows:
        what = f"what was learned before message {orders[0].id} (event {orders[0].event_number:,}) is gone from {topic}"
        yield failure("reproduce.order", what, keep)
    for each in orders:
        if each.other_log:
            yield failure(
                "reproduce.other-log",
                f"what was learned up to event {each.event_number:,} lies in another log: {each.other_log}",
                "the log of before would have to be there; `anabranch rebuild` begins with the one that is",
            )


def _gone(inputs: Inputs, bounds: Bounds) -> Iterator[Finding]:
    for place, (start, end) in inputs.spans().items():
        low, high = bounds.get(place, (0, 0))
        name = f"{place.topic} partition {place.number}"
        if start < low:
            yield failure(
                "reproduce.retention",
                f"{name}: offsets {start:,} to {min(low, end) - 1:,} were learned, and are gone",
                f"raise retention.ms of {place.topic} for versions to come; records that are gone cannot be had back, "
                "unless somebody has a copy of the topic",
            )
        elif end > high:
            yield failure(
                "reproduce.retention",
                f"{name}: it was learned up to offset {end - 1:,}, and the topic ends at {high:,}: it is another",
                "the topic of before would have to be there",
            )


def _examples_gone(topic: str, bounds: Bounds) -> Iterator[Finding]:
    for place, (low, _) in bounds.items():
        if place.topic == topic and low:
            yield warning(
                "reproduce.examples",
                f"{topic} partition {place.number}: records before offset {low:,} are gone; a retraining may need them",
                f"if so, it ends with exit code 2; raise retention.ms of {topic} for versions to come",
            )


# ── Learning it again ───────────────────────────────────────────────────────────────────────────────────────────────


class Reproduction:
    """A version that is learned again.

    Args:
        first: makes the first champion, as the learner's was made.
        log: where the records and the examples are.

    Attributes:
        data: the bytes by which it would be announced; none: it did not go live here.
    """

    def __init__(self, settings: Settings, update: ModelUpdate, *, first: First, log: LogReader) -> None:
        model, trained_on = first()
        lane = Lane(settings, model, watch=Watch(settings), trained_on=trained_on, scope=Scope(update.scope))
        guard = Guard(settings)
        if trained_on.events:
            guard.labels.expect(answer_of(model))
        self.settings, self.update, self.data = settings, update, b""
        self.replay = Replay(lane, guard, log, went_live=self._went_live)

    def run(self, orders: Sequence[LearnedOrder]) -> Iterator[int]:
        """Learn what led to it; after each message, how many events are learned.

        Raises:
            ReplayError: it went apart, or a retraining cannot be carried out any more (`JobLost`).
            LearnError: the champion raised, which it did not at the learner's.
            LogTruncated: records are gone.
        """
        self.replay.begin(orders)
        for order in orders:
            self.replay.follow(order)
            yield self.replay.lane.events

    def _went_live(self, promotion: Promotion) -> None:
        """Packed at once: with the next event the model and what is known of features are others."""
        if (promotion.version, promotion.event_number) == (self.update.version, self.update.event_number):
            seen = self.replay.lane.seen_by(promotion.model, self.replay.guard.kinds)
            self.data = packed(promotion, seen, settings=self.settings)

    @property
    def sha256(self) -> str:
        """Of the bytes that came out; empty: none did."""
        return hashlib.sha256(self.data).hexdigest() if self.data else ""

    @property
    def is_equal(self) -> bool:
        """Whether they are those that were announced."""
        return self.sha256 == self.update.pointer.sha256


def differing(data: bytes, announced: bytes, *, trusted: tuple[str, ...] = ()) -> list[str]:
    """The parts of two artifacts that are not the same, by name: `model`, `canary`, `features`, …

    Raises:
        StateTreeError: one of them cannot be read.
    """
    here, there = (statetree.decode(each, trusted=trusted) for each in (data, announced))

    def part(table: dict[str, object], name: str) -> bytes:
        return statetree.encode(table[name], trusted=trusted) if name in table else b""

    return [name for name in sorted({*here, *there}) if part(here, name) != part(there, name)]

"""Reading the learned order: which of its messages count, in which sequence, and a model that learns along.

A learner that restarts goes on from its last checkpoint, and says once more, perhaps in other portions, what came after
it; one that was taken over may still say something when its successor is long under way. So each message names the one
that it follows, and its id is a digest of what it says and follows: what is said twice has one id, and the chain that
ends in the newest message is the order in which the model has learned.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from anabranch import statetree
from anabranch.artifact import Artifact, predict
from anabranch.computing import SharedComputing
from anabranch.messages import BOM, ExamplesTold, LearnedOrder, ModelUpdate, TopicRange, UnreadableMessage, decode
from anabranch.rolling import KEY
from anabranch.values import KINDS, epoch_s

NOT_IN_THE_ID = {"id": "", "checkpoint": 0, "began": 0.0}
"""What stands in place of keys that tell who says it, and not what."""

LATER = {"other_log"}
"""Keys that came later: left out where they say nothing, so that what was told before has the same id again."""


def identified(message: LearnedOrder) -> LearnedOrder:
    """The message with its id."""
    said = message.model_copy(update=NOT_IN_THE_ID)
    return message.model_copy(update={"id": _digest(said.model_dump(mode="json"))})


def _digest(said: dict[str, Any]) -> str:
    told = {key: value for key, value in said.items() if value or key not in LATER}
    return hashlib.sha256(orjson.dumps(told)).hexdigest()[:32]


def read_order(value: bytes) -> LearnedOrder:
    """A message of the order, if a learner can have told it: with its own id, which no two that follow each other have.

    The id is looked at in the bytes, so that what a newer learner says beyond it is in it.

    Raises:
        UnreadableMessage: it is none.
    """
    message = decode(LearnedOrder, value)
    if message.id != _digest({**orjson.loads(value.removeprefix(BOM)), **NOT_IN_THE_ID}):
        raise UnreadableMessage(f"not a LearnedOrder: its id {message.id[:40]!r} is not the digest of what it says")
    told = message.examples
    ranges = [(run.partition, run.start, run.end) for run in message.runs]
    ranges += [] if told is None else [(told.partition, told.start, told.end)]
    for partition, start, end in ranges:
        if not (0 <= partition < 2**31 and 0 <= start <= end < 2**63 and end - start <= RECORDS_MAX):
            raise UnreadableMessage(
                f"not a LearnedOrder: partition {partition}, {start} to {end}, is no place of a topic, or holds more "
                f"than {RECORDS_MAX} records"
            )
    return message


class OrderReader:
    """The messages of one model and scope as they come, and the chain among them that counts.

    Ends of several chains may be there at once. The newest is the one of the latest epoch; then of the learner whose
    last checkpoint is the latest, as only who owns the model can write one; then of who has begun last. Of one that
    comes twice only who says it may be news.

    >>> def said(follows, start, **of_whom):
    ...     runs = ({"topic": "events", "partition": 0, "start": start, "end": start + 5},)
    ...     known = {"epoch": 1, "checkpoint": 1, "began": 1.0, "model": "m", "event_number": start + 5, "version": 0}
    ...     return identified(LearnedOrder(id="", follows=follows, runs=runs, **{**known, **of_whom}))
    >>> first = said("", 0)
    >>> lost = said(first.id, 5)
    >>> again = said(first.id, 6, began=2.0)
    >>> late = said(lost.id, 10)
    >>> reader = OrderReader()
    >>> for message in (first, lost, again, late):
    ...     reader.add(message)
    >>> [each.runs[0].start for each in reader.chain()]
    [0, 6]
    """

    def __init__(self, messages: Iterable[LearnedOrder] = ()) -> None:
        self.messages: dict[str, LearnedOrder] = {}
        self.told_ts: dict[str, float] = {}
        """When each was told, epoch seconds, where that is known."""
        self.newest: LearnedOrder | None = None
        self.past = 0
        """One of fewer events is not the newest: it was forgotten, and has come once more."""
        for message in messages:
            self.add(message)

    def add(self, message: LearnedOrder, *, ts: float = 0.0) -> None:
        """One more message, told at `ts`; 0: that is not known."""
        known = self.messages.get(message.id)
        if known is not None and _rank(known) >= _rank(message):
            return
        self.messages[message.id] = message
        self.told_ts[message.id] = ts
        is_past = message.event_number < self.past
        if not is_past and (self.newest is None or _rank(message) >= _rank(self.newest)):
            self.newest = message

    def chain(self, *, after: str = "", until: str = "") -> list[LearnedOrder]:
        """The messages that count, oldest first.

        Args:
            after: begin with the message that follows this one. Where the first does not, those in between are not
                there (any more).
            until: end with this one, as an update or a checkpoint names it, and not with the newest.
        """
        chain: list[LearnedOrder] = []
        at = self.messages.get(until) if until else self.newest
        # Some that follow each other, which no learner has told, would never end.
        while at is not None and at.id != after and len(chain) < len(self.messages):
            chain.append(at)
            at = self.messages.get(at.follows)
        return chain[::-1]

    def forget(self, until: str) -> None:
        """Drop a message, those that it follows, and whatever came before it of no more events."""
        last = self.messages.get(until)
        if last is not None:
            ids = list(self.messages)
            followed = {each.id for each in self.chain(until=until)}
            for each in ids[: ids.index(until) + 1]:
                # One that follows it has come first where it comes once more.
                if each in followed or self.messages[each].event_number < last.event_number:
                    del self.messages[each], self.told_ts[each]
            if self.newest is not None and self.newest.id not in self.messages:
                self.newest = None
                for message in list(self.messages.values()):
                    self.add(message, ts=self.told_ts[message.id])

    def keep(self, most: int) -> None:
        """Drop those that came first, until there are no more than `most`, one at least; the newest stays."""
        while len(self.messages) > most:
            first = self.messages.pop(next(iter(self.messages)))
            if first is self.newest:
                self.messages[first.id] = first
            else:
                del self.told_ts[first.id]


def _rank(message: LearnedOrder) -> tuple[int, int, float]:
    return message.epoch, message.checkpoint, message.began


# ── A published model that goes on learning ─────────────────────────────────────────────────────────────────────────

ASKED_MAX = 30_000
"""So many events are remembered whose label has not come."""

RECORDS_MAX = 200_000
"""Events and messages since the last copy: they are kept, since its learner may go back as far."""

SETTLES_FROM = 50_000
"""From so many on, the model at a checkpoint of its learner is a copy as well: the learner goes back no further."""

AHEAD_MAX = 1_000
"""Messages that are kept while nothing is learned along: the next copy stands after one of the last."""

NOWHERE = "-"
"""In place of a message's id: a copy that learns no more, as its learner says of no message that it stands after it."""

Place = tuple[Any, ...]
"""Topic, partition and offset of a record; of an example its number, and who has told it."""


_VALUES = {*KINDS, type(None)}


def read_example(value: bytes) -> dict[str, Any]:
    """An example as it was written, if it is one; in a quarter of the time that `decode` takes.

    Raises:
        UnreadableMessage: it is none.
    """
    try:
        told = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UnreadableMessage(f"not an Example: not JSON: {error}") from error
    match told:
        case {
            "number": int(),
            "model": str(),
            "scope": str(),
            "epoch": int(),
            "checkpoint": int(),
            "began": float() | int(),
            "id": str(),
            "ts": float() | int(),
            "features": dict(features),
            "label": bool() | int() | float() | str(),
            "label_ts": float() | int(),
            "corrects": bool(),
        } if {*map(type, features.values())} <= _VALUES:
            example: dict[str, Any] = told
            return example
    raise UnreadableMessage("not an Example: a key is missing, or a value is of another type than its schema says")


def _example(number: int, by: Any) -> Place:
    """An example of a learner, which says of itself what the messages of its order say."""
    return "", 0, number, by.epoch, by.checkpoint, by.began


class _Teller(NamedTuple):
    epoch: int
    checkpoint: int
    began: float


class LearningAlong:
    """The newest published copy, taught what its learner has learned since, in the learner's order.

    It is given announced copies, messages of the order and records as they come, in any sequence, and is then the very
    model that the learner has: at each copy the two are compared.

    Attributes:
        model: None before the first copy.
        at: the message up to which it has learned.
        event_number: the learner's count of labelled events there.
        as_of_ts: when the learner has told of it, epoch seconds: announced the copy then, or sent the message.
        differed: copies that were not as this model was at their place. It goes on from the copy.
        features: kinds by name of what it has learned with since the copy; the copy's are those up to there.
        stopped: why it learns no more until the next copy; empty where it does, and where the copy itself says so.
    """

    def __init__(self, *, trusted: tuple[str, ...] = ()) -> None:
        self.trusted = trusted
        self.model: Any = None
        self.at, self.event_number, self.as_of_ts = "", 0, 0.0
        self.differed = 0
        self.features: dict[str, str] = {}
        self.stopped = ""
        self._order = OrderReader()
        self.computing: SharedComputing | None = None
        """What features are computed of, where copies bring it: events are counted in it as they are told."""
        self._records: dict[Place, tuple[bytes, bytes | None]] = {}
        """Values and keys."""
        self._asked: dict[str, dict[str, Any]] = {}
        self._checkpoint = (0, 0)
        """Epoch and number of the last one before the message that was taken last."""
        self._settled = ""
        self._copy, self._copied_at, self._copied_events, self._copied_ts = b"", "", 0, 0.0
        self._copied_computing, self._copied_features = b"", dict[str, str]()
        self._label_of: Callable[[Any], Any] = _whole
        self._hidden: frozenset[str] = frozenset()
        """Features of what is learned that the model does not see."""

    @property
    def told(self) -> int:
        """How many labelled events the learner has learned, as far as it has told."""
        newest = self._order.newest
        return self.event_number if newest is None else max(newest.event_number, self.event_number)

    def exchange(self, update: ModelUpdate, artifact: Artifact) -> None:
        """A copy was announced: go on from there, with what is known to have been learned after it."""
        before, before_at = self.model, self.at
        self.stopped = ""
        self._order.past = update.event_number if update.order else 0
        self._forget(update.order)
        self._copy = self._bytes(artifact.model)
        self._copied_at, self._copied_events = update.order or NOWHERE, update.event_number
        self._copied_ts = update.announced_ts
        self._label_of = label_reader(artifact.task, artifact.positive)
        self._hidden = artifact.hidden
        self._copied_computing = b"" if artifact.computing is None else artifact.computing.packed()
        self._copied_features, self._settled = {}, ""
        self._go_back()
        self.advance()
        # Only a refresh is the same champion; whoever comes to serve otherwise is another model.
        compared = update.kind == "refresh" and before is not None and before_at == self.at != NOWHERE
        if compared and self._bytes(before) != self._bytes(self.model):
            self.differed += 1

    def _bytes(self, model: Any) -> bytes:
        return statetree.encode(model, trusted=self.trusted)

    def _go_back(self) -> None:
        self.model = statetree.decode(self._copy, trusted=self.trusted)
        self.at, self.event_number, self.as_of_ts = self._copied_at, self._copied_events, self._copied_ts
        self.features = dict(self._copied_features)
        kept = self._copied_computing
        self.computing = SharedComputing.unpacked(kept) if kept else None

    def _forget(self, until: str) -> None:
        """What came before a copy is in the copy."""
        ends: dict[tuple[str, int], int] = {}
        for message in self._order.chain(until=until):
            for run in message.runs:
                ends[run.topic, run.partition] = max(run.end, ends.get((run.topic, run.partition), 0))
            if message.examples is not None:
                ends["", 0] = message.examples.end
        self._records = {
            place: value for place, value in self._records.items() if place[2] >= ends.get((place[0], place[1]), 0)
        }
        if until:
            self._order.forget(until)
        else:
            # Nothing is learned until a copy that names its place, and that is a later one.
            self._order.keep(1)

    def tell(self, message: LearnedOrder, *, ts: float = 0.0) -> None:
        """A message of the order has come, which was told at `ts`, epoch seconds; 0: that is not known."""
        self._order.add(message, ts=ts)
        if message.id == self._copied_at:  # the copy was there before it
            self._forget(message.id)
        self._bound()

    def hear(self, place: Place, value: bytes, *, key: bytes | None = None) -> None:
        """A record of the events has come, with its key."""
        self._records[place] = value, key
        self._bound()

    def hear_example(self, told: Mapping[str, Any], value: bytes) -> None:
        """An example has come: as `read_example` has it, and as it was written."""
        by = _Teller(told["epoch"], told["checkpoint"], told["began"])
        self.hear(_example(told["number"], by), value)

    def _bound(self) -> None:
        """Where more comes than is kept, it stays as it is until the next copy."""
        if self.at != NOWHERE and len(self._records) + len(self._order.messages) > RECORDS_MAX:
            self._stop(
                f"more than {RECORDS_MAX} records and messages came since the last; let its learner announce more "
                "often (publish.refresh_interval, publish.refresh_events)"
            )
        if self.at == NOWHERE:
            # The last are kept, as the next copy may stand before them.
            self._order.keep(AHEAD_MAX)
            while len(self._records) > RECORDS_MAX - AHEAD_MAX:
                del self._records[next(iter(self._records))]

    def wanted(self) -> dict[tuple[str, int], int | None]:
        """Where what comes next begins, by topic and partition: an offset of the events.

        None stands for examples: an offset of theirs is not known, but that they were told after the copy.
        """
        starts: dict[tuple[str, int], int | None] = {}
        for message in self._chain():
            if message.examples is not None:
                starts[message.examples.topic, message.examples.partition] = None
            for run in self._runs(message):
                starts.setdefault((run.topic, run.partition), run.start)
        return starts

    def _runs(self, message: LearnedOrder) -> tuple[TopicRange, ...]:
        """Records that are to be read: all where something is computed of events, else those that are learned."""
        return message.runs if self.computing is not None else _learned(message)

    def _chain(self) -> list[LearnedOrder]:
        """What comes after the place that it has reached; after the copy, if what it has learned counts no more."""
        if self.at == NOWHERE:
            return []
        chain = self._order.chain(after=self.at)
        if chain and chain[0].follows != self.at and self.at != self._copied_at:
            self._go_back()
            chain = self._order.chain(after=self.at)
        return chain if chain and chain[0].follows == self.at else []

    def advance(self) -> int:
        """Learn what is there; how many labels that were."""
        if self.model is None:
            return 0
        learned = 0
        for message in self._chain():
            if not all(place in self._records for place in self._named(message)):
                break
            if (message.epoch, message.checkpoint) > self._checkpoint:
                self._checkpoint = message.epoch, message.checkpoint
                if len(self._records) >= SETTLES_FROM:
                    self._settle()
            try:
                learned += self._take(message)
            except BaseException as error:  # whatever lies on a topic, a panic in River's Rust included
                self._go_back()  # not to a half of a message
                self._stop(f"what the message {message.id} names cannot be learned: {type(error).__name__}: {error}")
                return 0
            self.at, self.event_number = message.id, message.event_number
            self.as_of_ts = max(self._copied_ts, self._order.told_ts[message.id])
        return learned

    def _settle(self) -> None:
        """Where announcements are rare, or all of another model that is rolled out: what came long ago is dropped."""
        self._copy = self._bytes(self.model)
        self._copied_at, self._copied_events, self._copied_ts = self.at, self.event_number, self.as_of_ts
        self._copied_computing = b"" if self.computing is None else self.computing.packed()
        self._copied_features = dict(self.features)
        before, self._settled = self._order.messages.get(self._settled), self.at
        if before is not None:  # and not up to here: a copy of a little earlier may be under way
            self._order.past = before.event_number
            self._forget(before.id)

    def lacks(self) -> str:
        """What it waits for, though more was told: it may be under way yet, or lost. Empty where nothing is."""
        newest = self._order.newest
        if self.at == NOWHERE or newest is None or newest.event_number <= self.event_number:
            return ""
        chain = self._chain()
        if not chain:
            return f"the message of the order that follows {self.at}"
        place = next((each for each in self._named(chain[0]) if each not in self._records), None)
        return "" if place is None else _said(place)

    def _stop(self, why: str) -> None:
        self.stopped = why
        self.at = self._copied_at = NOWHERE

    def _named(self, message: LearnedOrder) -> Iterator[Place]:
        """All that is to be there; one after the other, as somebody may name more than there is room for."""
        yield from _places(self._runs(message))
        if message.examples is not None:
            yield from _examples(message, message.examples)

    def _take(self, message: LearnedOrder) -> int:
        """What a message names; how many labels that were."""
        if self.computing is not None:
            for place in _places(self._runs(message)):
                self._count(self.computing, *self._records[place])
        told = message.examples
        places = _places(_learned(message)) if told is None else _examples(message, told)
        return sum(self._learn(self._records[place][0]) for place in places)

    def _learn(self, value: bytes) -> bool:
        event = orjson.loads(value.removeprefix(BOM))
        if "number" in event:  # an example holds what was learned as it was learned
            told, hidden = event["features"], self._hidden
            x = {name: each for name, each in told.items() if name not in hidden} if hidden else told
            self._teach(x, event["label"])
            if self.computing is not None and not event["corrects"]:
                self.computing.on_label(told, event["label"], event["label_ts"])
            return True
        x = {name: each for name, each in event["features"].items() if each is not None and name not in self._hidden}
        if event.get("label") is None:
            self._ask(event["id"], x)
            # The learner asks it too, and some models change when they are asked about a name that is new.
            with suppress(Exception):
                predict(self.model, x)
            return False
        # The features of when it was asked are what is learned.
        self._teach(self._asked.pop(event["id"], x), self._label_of(event["label"]))
        return True

    def _teach(self, x: dict[str, Any], y: Any) -> None:
        self.model.learn_one(x, y)
        if not x.keys() <= self.features.keys():
            self.features |= {name: KINDS[type(value)] for name, value in x.items() if value is not None}

    def _count(self, computing: SharedComputing, value: bytes, key: bytes | None) -> None:
        """A record that the learner has taken, which may be a label; an event that comes again with one counts once."""
        event = orjson.loads(value.removeprefix(BOM))
        if "features" not in event:
            return
        if event.get("label") is None:
            self._ask(event["id"], {})
        elif self._asked.pop(event["id"], None) is not None:
            return
        x = {name: each for name, each in event["features"].items() if each is not None}
        ts = epoch_s(event["ts"]) if isinstance(event["ts"], str) else float(event["ts"])
        if ts is not None:
            computing.on_event(x if key is None else {**x, KEY: key.decode("utf-8", "replace")}, ts)

    def _ask(self, event_id: str, x: dict[str, Any]) -> None:
        self._asked[event_id] = x
        if len(self._asked) > ASKED_MAX:
            del self._asked[next(iter(self._asked))]

    def snapshot(self) -> Any:
        """The model as it is now, which learns no more: for those who predict meanwhile."""
        return statetree.decode(self._bytes(self.model), trusted=self.trusted)


def _said(place: Place) -> str:
    topic, partition, number = place[:3]
    return f"the record {topic}/{partition} at offset {number}" if topic else f"the example {number}"


def _learned(message: LearnedOrder) -> tuple[TopicRange, ...]:
    """Records that are learned as they are: where examples are told, those are."""
    return () if message.frozen or message.examples is not None else message.runs


def _places(runs: Iterable[TopicRange]) -> Iterator[Place]:
    return ((run.topic, run.partition, offset) for run in runs for offset in range(run.start, run.end))


def _examples(message: LearnedOrder, told: ExamplesTold) -> Iterator[Place]:
    return (_example(number, message) for number in range(told.start, told.end))


def _whole(label: Any) -> Any:
    return int(label) if isinstance(label, float) else label


def label_reader(task: str, positive: str | None) -> Callable[[Any], Any]:
    """How a task reads labels that its learner has accepted."""
    if task in ("regression", "reco", "rank"):
        return float
    if task == "multiclass":
        return _whole
    return bool if positive is None else lambda label: label == positive

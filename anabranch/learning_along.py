"""A published model that goes on learning what its learner learns, in the learned order."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import orjson

from anabranch import statetree
from anabranch.artifact import Artifact, predict
from anabranch.computing import SharedComputing
from anabranch.messages import BOM, ExamplesTold, LearnedOrder, ModelUpdate, TopicRange
from anabranch.order import RECORDS_MAX, OrderReader
from anabranch.rolling import KEY
from anabranch.values import KINDS, epoch_s, label_reader, whole_label

ASKED_MAX = 30_000
"""So many events are remembered whose label has not come."""

SETTLES_FROM = 50_000
"""From so many on, the model at a checkpoint of its learner is a copy as well: the learner goes back no further."""

AHEAD_MAX = 1_000
"""Messages that are kept while nothing is learned along: the next copy stands after one of the last."""

NOWHERE = "-"
"""In place of a message's id: a copy that learns no more, as its learner says of no message that it stands after it."""

Place = tuple[Any, ...]
"""Topic, partition and offset of a record; of an example its number, and who has told it."""


def _example(number: int, by: Any) -> Place:
    """An example of a learner, which says of itself what the messages of its order say."""
    return "", 0, number, by.epoch, by.checkpoint, by.began


class _Teller(NamedTuple):
    epoch: int
    checkpoint: int
    began: float


class _Copy(NamedTuple):
    """A model to go back to: where it stands, and what belongs to it there."""

    data: bytes = b""
    at: str = ""
    event_number: int = 0
    as_of_ts: float = 0.0
    computing: bytes = b""
    features: dict[str, str] = {}  # noqa: RUF012  # a NamedTuple's default, never changed


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
        self._copy = _Copy()
        self._label_of: Callable[[Any], Any] = whole_label
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
        self._copy = _Copy(
            self._bytes(artifact.model),
            at=update.order or NOWHERE,
            event_number=update.event_number,
            as_of_ts=update.announced_ts,
            computing=_packed(artifact.computing),
        )
        self._settled = ""
        self._label_of = label_reader(artifact.task, artifact.positive)
        self._hidden = artifact.hidden
        self._go_back()
        self.advance()
        # Only a refresh is the same champion; whoever comes to serve otherwise is another model.
        compared = update.kind == "refresh" and before is not None and before_at == self.at != NOWHERE
        if compared and self._bytes(before) != self._bytes(self.model):
            self.differed += 1

    def _bytes(self, model: Any) -> bytes:
        return statetree.encode(model, trusted=self.trusted)

    def _go_back(self) -> None:
        copy = self._copy
        self.model = statetree.decode(copy.data, trusted=self.trusted)
        self.at, self.event_number, self.as_of_ts = copy.at, copy.event_number, copy.as_of_ts
        self.features = dict(copy.features)
        self.computing = SharedComputing.unpacked(copy.computing) if copy.computing else None

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
        if message.id == self._copy.at:  # the copy was there before it
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
        if chain and chain[0].follows != self.at and self.at != self._copy.at:
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
            self.as_of_ts = max(self._copy.as_of_ts, self._order.told_ts[message.id])
        return learned

    def _settle(self) -> None:
        """Where announcements are rare, or all of another model that is rolled out: what came long ago is dropped."""
        self._copy = _Copy(
            self._bytes(self.model),
            at=self.at,
            event_number=self.event_number,
            as_of_ts=self.as_of_ts,
            computing=_packed(self.computing),
            features=dict(self.features),
        )
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
        self.at = NOWHERE
        self._copy = self._copy._replace(at=NOWHERE)

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


def _packed(computing: SharedComputing | None) -> bytes:
    return b"" if computing is None else computing.packed()


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

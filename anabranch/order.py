"""Reading the learned order: which of its messages count, and in which sequence.

A learner that restarts goes on from its last checkpoint, and says once more, perhaps in other portions, what came after
it; one that was taken over may still say something when its successor is long under way. So each message names the one
that it follows, and its id is a digest of what it says and follows: what is said twice has one id, and the chain that
ends in the newest message is the order in which the model has learned.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from anabranch.messages import BOM, LearnedOrder, UnreadableMessage, decode
from anabranch.values import KINDS

NOT_IN_THE_ID = {"id": "", "checkpoint": 0, "began": 0.0}
"""What stands in place of keys that tell who says it, and not what."""

LATER = {"other_log"}
"""Keys that came later: left out where they say nothing, so that what was told before has the same id again."""

RECORDS_MAX = 200_000
"""So many records one message names at most, and so many, with messages, are kept of those since the last copy."""


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

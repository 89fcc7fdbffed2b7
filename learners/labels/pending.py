"""Events that wait for their label, with the predictions that were made for them."""

from typing import NamedTuple

import msgpack

from anabranch.events import AcceptedEvent, Prediction
from anabranch.values import unboxed


class Waiting(NamedTuple):
    """An event, the answer that was served for it, every member's own, by the member's name; and when it was asked.

    `asked_ts` is the clock of event time then, in epoch seconds.
    """

    event: AcceptedEvent
    served: Prediction
    answers: dict[str, Prediction]
    asked_ts: float


class Pending:
    """The events that wait, in the order in which they were asked.

    Each is packed once: a checkpoint that looked at all of them again would take seconds.

    >>> pending = Pending()
    >>> answer = Prediction(True, {True: 0.75, False: 0.25})
    >>> for n in range(3):
    ...     event = AcceptedEvent(f"e{n}", {"a": n}, None, 1.6e9, 0, n)
    ...     pending.put(Waiting(event, answer, {"first": answer}, 7.0 + n))
    >>> pending.take("e1").answers["first"], len(pending)
    (Prediction(value=True, proba={True: 0.75, False: 0.25}, unusable=''), 2)
    >>> pending.oldest_ts, pending.take_oldest().event.id, pending.oldest_ts, pending.take("e0")
    (7.0, 'e0', 9.0, None)
    """

    def __init__(self) -> None:
        self.waiting: dict[str, tuple[float, bytes]] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self.waiting

    def put(self, waiting: Waiting) -> None:
        """Keep what was predicted until the label comes."""
        event, served, answers, asked_ts = waiting
        self.waiting[event.id] = asked_ts, msgpack.packb((event, served, answers), default=unboxed)

    def look(self, event_id: str) -> Waiting | None:
        """What waits for this label, and goes on waiting; None if nothing does."""
        there = self.waiting.get(event_id)
        return None if there is None else _unpacked(*there)

    def take(self, event_id: str) -> Waiting | None:
        """What waits for this label; None if nothing does."""
        there = self.waiting.pop(event_id, None)
        return None if there is None else _unpacked(*there)

    @property
    def oldest_ts(self) -> float:
        """When the one that waits longest was asked; infinity if none waits."""
        return next(iter(self.waiting.values()))[0] if self.waiting else float("inf")

    def oldest(self) -> str:
        """The id of the one that waits longest."""
        return next(iter(self.waiting))

    def take_oldest(self) -> Waiting:
        """The one that waits longest, which no longer does."""
        return _unpacked(*self.waiting.pop(self.oldest()))

    def state(self) -> bytes:
        """What a checkpoint keeps."""
        packed: bytes = msgpack.packb([(event_id, *each) for event_id, each in self.waiting.items()])
        return packed

    def restore(self, state: bytes) -> None:
        """Go on from a checkpoint."""
        self.waiting = {event_id: (asked_ts, packed) for event_id, asked_ts, packed in msgpack.unpackb(state)}


def _unpacked(asked_ts: float, packed: bytes) -> Waiting:
    # Tables of probabilities have labels as keys, and msgpack by default takes strings and bytes only.
    event, served, answers = msgpack.unpackb(packed, strict_map_key=False)
    own = {name: Prediction(*each) for name, each in answers.items()}
    return Waiting(AcceptedEvent(*event), Prediction(*served), own, asked_ts)

"""Events that wait for their label, with the predictions that were made for them."""

from typing import NamedTuple

import msgpack

from anabranch.events import AcceptedEvent, Prediction
from anabranch.values import unboxed


class Waiting(NamedTuple):
    """An event, the answer that was served for it, and every member's own, by the member's name."""

    event: AcceptedEvent
    served: Prediction
    answers: dict[str, Prediction]


class Pending:
    """At most `pending_max` events; the oldest gives way.

    Each is packed once: a checkpoint that looked at all of them again would take seconds.

    >>> pending = Pending(pending_max=2)
    >>> answer = Prediction(True, {True: 0.75, False: 0.25})
    >>> for n in range(3):
    ...     pending.wait(AcceptedEvent(f"e{n}", {"a": n}, None, 1.6e9, 0, n), answer, {"first": answer})
    >>> pending.take("e0"), len(pending)
    (None, 2)
    >>> pending.take("e2").answers["first"]
    Prediction(value=True, proba={True: 0.75, False: 0.25}, unusable='')
    """

    def __init__(self, *, pending_max: int) -> None:
        self.pending_max = pending_max
        self.waiting: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self.waiting

    def wait(self, event: AcceptedEvent, served: Prediction, answers: dict[str, Prediction]) -> None:
        """Keep what was predicted until the label comes."""
        self.waiting[event.id] = msgpack.packb((event, served, answers), default=unboxed)
        if len(self.waiting) > self.pending_max:
            del self.waiting[next(iter(self.waiting))]

    def take(self, event_id: str) -> Waiting | None:
        """What waits for this label; None if nothing does."""
        packed = self.waiting.pop(event_id, None)
        if packed is None:
            return None
        # Tables of probabilities have labels as keys, and msgpack by default takes strings and bytes only.
        event, served, answers = msgpack.unpackb(packed, strict_map_key=False)
        own = {name: Prediction(*each) for name, each in answers.items()}
        return Waiting(AcceptedEvent(*event), Prediction(*served), own)

    def state(self) -> bytes:
        """What a checkpoint keeps."""
        packed: bytes = msgpack.packb(list(self.waiting.items()))
        return packed

    def restore(self, state: bytes) -> None:
        """Go on from a checkpoint."""
        self.waiting = dict(msgpack.unpackb(state))

"""Events that wait for their label, with the predictions that were made for them.

They lie on a shelf: the youngest in memory, those beyond a bound in immutable blobs.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgpack

from anabranch.events import AcceptedEvent, Prediction
from anabranch.values import unboxed
from learners.labels.segments import Entry, Segment
from learners.labels.shelf import Shelf

INFINITY = float("inf")


class Waiting(NamedTuple):
    """An event, the answer that was served for it, every member's own, by the member's name; and when it was asked.

    `asked_ts` is the clock of event time then, in epoch seconds.
    """

    event: AcceptedEvent
    served: Prediction
    answers: dict[str, Prediction]
    asked_ts: float


class Pending(Shelf):
    """The events that wait, in the order in which they were asked.

    Each is packed once: a checkpoint that looked at all of them again would take seconds.

    Args:
        memory_max: how many may wait in memory before they are put away.

    >>> pending = Pending(memory_max=2)
    >>> answer = Prediction(True, {True: 0.75, False: 0.25})
    >>> for n in range(5):
    ...     event = AcceptedEvent(f"e{n}", {"a": n}, None, 1.6e9, 0, n)
    ...     pending.put(Waiting(event, answer, {"first": answer}, 7.0 + n))
    ...     pending.put_away()
    >>> pending.take("e1").answers["first"], len(pending), len(pending.segments)
    (Prediction(value=True, proba={True: 0.75, False: 0.25}, unusable=''), 4, 1)
    >>> pending.oldest_ts, pending.take_oldest().event.id, pending.oldest_ts, pending.take("e0")
    (7.0, 'e0', 9.0, None)
    """

    def __init__(self, *, memory_max: int) -> None:
        super().__init__(memory_max=memory_max)
        self._oldest_ts: float | None = None

    def put(self, waiting: Waiting) -> None:
        """Keep what was predicted until the label comes."""
        event, served, answers, asked_ts = waiting
        if self._oldest_ts == INFINITY:
            self._oldest_ts = asked_ts
        self.young[event.id] = asked_ts, msgpack.packb((event.kept(), served, answers), default=unboxed)

    def look(self, event_id: str) -> Waiting | None:
        """What waits for this label, and goes on waiting; None if nothing does."""
        there = self.young.get(event_id)
        if there is not None:
            return _unpacked(*there)
        found = self._found(event_id) if self.left else None
        return None if found is None else _of_entry(found[0].entry(found[1]))

    def take(self, event_id: str) -> Waiting | None:
        """What waits for this label; None if nothing does."""
        there = self.young.pop(event_id, None)
        if there is not None:
            self._oldest_ts = None
            return _unpacked(*there)
        found = self._found(event_id) if self.left else None
        return None if found is None else self._take(*found)

    def _take(self, segment: Segment, number: int) -> Waiting:
        entry = segment.entry(number)
        self._drop(segment, number)
        self._oldest_ts = None
        return _of_entry(entry)

    # ── the oldest ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def oldest_ts(self) -> float:
        """When the one that waits longest was asked; infinity if none waits."""
        if self._oldest_ts is None:
            self._oldest_ts = self._look_for_oldest()
        return self._oldest_ts

    def _look_for_oldest(self) -> float:
        if self.segments:
            return self.segments[0].first().asked_ts
        return next(iter(self.young.values()))[0] if self.young else INFINITY

    def oldest(self) -> str:
        """The id of the one that waits longest."""
        return self.segments[0].first().event_id if self.segments else next(iter(self.young))

    def take_oldest(self) -> Waiting:
        """The one that waits longest, which no longer does."""
        self._oldest_ts = None
        if self.segments:
            return self._take(self.segments[0], self.segments[0].first_number())
        return _unpacked(*self.young.pop(next(iter(self.young))))

    def waiting(self) -> Iterator[Entry]:
        """All that wait, in order, as they are kept."""
        return self.entries()

    def restore(self, state: Mapping[str, Any], blobs: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; `blobs` as of `Shelf.restore`."""
        super().restore(state, blobs)
        self._oldest_ts = None


def _of_entry(entry: Entry) -> Waiting:
    return _unpacked(entry.asked_ts, entry.packed)


def _unpacked(asked_ts: float, packed: bytes) -> Waiting:
    # Tables of probabilities have labels as keys, and msgpack by default takes strings and bytes only.
    event, served, answers = msgpack.unpackb(packed, strict_map_key=False)
    own = {name: Prediction(*each) for name, each in answers.items()}
    return Waiting(AcceptedEvent(*event), Prediction(*served), own, asked_ts)

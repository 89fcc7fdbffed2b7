"""Events that wait for their label, with the predictions that were made for them.

The youngest lie in memory, and with each checkpoint are written anew. Beyond a bound they are put away as a segment, an
immutable blob in the store of the checkpoints, which checkpoints only name: who goes on from one finds there all that
waited, on any machine, and what a crash undid never was. What ends is marked; a segment of which nothing waits is named
no more. Segments that have become many or empty are merged.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgpack
import numpy as np

from anabranch.events import AcceptedEvent, Prediction
from anabranch.values import unboxed
from learners.labels.segments import Blob, BytesBlob, Entry, Segment, built, hash_of, merged

INFINITY = float("inf")
HELD_BYTES_MAX = 64 * 2**20
"""So much of the newest segments stays in memory, too."""


class Waiting(NamedTuple):
    """An event, the answer that was served for it, every member's own, by the member's name; and when it was asked.

    `asked_ts` is the clock of event time then, in epoch seconds.
    """

    event: AcceptedEvent
    served: Prediction
    answers: dict[str, Prediction]
    asked_ts: float


class Merge(NamedTuple):
    """Segments that follow each other, to become one; and what waited in each when that was decided."""

    segments: tuple[Segment, ...]
    live: tuple[bytes, ...]

    def carried_out(self) -> bytes:
        """The bytes of the new one: nothing changes meanwhile that it looks at, so any thread may do it."""
        return merged(self.segments, self.live)


class Pending:
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
        self.memory_max = memory_max
        self.young: dict[str, tuple[float, bytes]] = {}
        self.segments: list[Segment] = []
        """Oldest first, all older than the young."""
        self.left = 0
        """How many wait in the segments."""
        self._oldest_ts: float | None = None

    def __len__(self) -> int:
        return len(self.young) + self.left

    def __contains__(self, event_id: str) -> bool:
        return event_id in self.young or (self.left > 0 and self._found(event_id) is not None)

    def _found(self, event_id: str) -> tuple[Segment, int] | None:
        hashed = np.uint64(hash_of(event_id))
        for segment in reversed(self.segments):
            if segment.left and (number := segment.find(event_id, hashed)) >= 0:
                return segment, number
        return None

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
        segment.drop(number)
        self.left -= 1
        self._oldest_ts = None
        if not segment.left:
            self.segments.remove(segment)
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
        for segment in self.segments:
            yield from segment.waiting()
        for event_id, each in self.young.items():
            yield Entry(event_id, *each)

    # ── segments ────────────────────────────────────────────────────────────────────────────────────────────────

    def put_away(self) -> None:
        """If too many lie in memory, make a segment of them; before a checkpoint, and never within one."""
        if len(self.young) <= self.memory_max:
            return
        self.segments.append(Segment.of(built(Entry(event_id, *each) for event_id, each in self.young.items())))
        self.left += len(self.young)
        self.young = {}

    def merge_due(self) -> Merge | None:
        """Segments that are to be merged: two neighbours of which the older has no more waiting than twice the younger.

        So there are as many segments as doublings from the first size, and each event is written as often.
        """
        for older, younger in zip(self.segments[-2::-1], self.segments[:0:-1], strict=True):
            if older.left <= 2 * younger.left or older.left < older.count // 4:
                return Merge((older, younger), (bytes(older.live), bytes(younger.live)))
        return None

    def adopt(self, merge: Merge, segment: Segment) -> None:
        """The merged segment takes the place of those that it was made of, less what has ended meanwhile."""
        if any(each not in self.segments for each in merge.segments):
            return  # one of them is empty by now, and gone: the other goes on
        at = self.segments.index(merge.segments[0])
        first = 0
        for before, then in zip(merge.segments, merge.live, strict=True):
            waited = np.frombuffer(then, dtype=np.uint8)
            ended = (waited == 1) & (np.frombuffer(before.live, dtype=np.uint8) == 0)
            for number in (first + np.cumsum(waited, dtype=np.int64) - 1)[ended].tolist():
                segment.drop(number)
            first += int(waited.sum())
        self.segments[at : at + len(merge.segments)] = [segment] if segment.left else []

    @property
    def blobs(self) -> dict[str, bytes | None]:
        """The segments' bytes by their digests; None, where they are no longer held: they lie in the store."""
        return {each.sha256: each.blob.data if isinstance(each.blob, BytesBlob) else None for each in self.segments}

    def let_go(self, opened: Callable[[str], Blob]) -> None:
        """All segments lie in the store: hold only the newest.

        Args:
            opened: opens one there, by its digest.
        """
        held = 0
        for segment in reversed(self.segments):
            held += segment.blob.size
            if held > HELD_BYTES_MAX and isinstance(segment.blob, BytesBlob):
                segment.blob = opened(segment.sha256)

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the young, and the names of the segments, with what waits in each."""
        return {
            "young": msgpack.packb([(event_id, *each) for event_id, each in self.young.items()]),
            "segments": [(each.sha256, each.count, _bits(each.live)) for each in self.segments],
        }

    def restore(self, state: Mapping[str, Any], blobs: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            blobs: the segments' bytes, or a `Blob` of each.
        """
        self.young = {event_id: (asked_ts, packed) for event_id, asked_ts, packed in msgpack.unpackb(state["young"])}
        self.segments = [
            Segment(sha, _opened(blobs[sha]), live=_flags(bits, count)) for sha, count, bits in state["segments"]
        ]
        self.left = sum(each.left for each in self.segments)
        self._oldest_ts = None


def refers_to(state: Mapping[str, Any]) -> list[str]:
    """The digests of the segments that a state names."""
    return [sha for sha, _, _ in state["segments"]]


def _opened(given: bytes | Blob) -> Blob:
    return BytesBlob(given) if isinstance(given, bytes) else given


def _bits(live: bytearray) -> bytes:
    return np.packbits(np.frombuffer(bytes(live), dtype=np.uint8)).tobytes()


def _flags(bits: bytes, count: int) -> bytes:
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=count).tobytes()


def _of_entry(entry: Entry) -> Waiting:
    return _unpacked(entry.asked_ts, entry.packed)


def _unpacked(asked_ts: float, packed: bytes) -> Waiting:
    # Tables of probabilities have labels as keys, and msgpack by default takes strings and bytes only.
    event, served, answers = msgpack.unpackb(packed, strict_map_key=False)
    own = {name: Prediction(*each) for name, each in answers.items()}
    return Waiting(AcceptedEvent(*event), Prediction(*served), own, asked_ts)

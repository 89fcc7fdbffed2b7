"""A shelf: packed things by their id, the newest in memory, the others put away by the thousand as immutable blobs.

The young lie in memory, and with each checkpoint are written anew. Beyond a bound they are put away as a segment, an
immutable blob in the store of the checkpoints, which checkpoints only name: who goes on from one finds there all that
lay on the shelf, on any machine, and what a crash undid never was. What is taken is marked; a segment of which nothing
is left is named no more. Segments that have become many or empty are merged.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgpack
import numpy as np

from learners.labels.segments import Blob, BytesBlob, Entry, Segment, built, hash_of, merged

HELD_BYTES_MAX = 64 * 2**20
"""So much of the newest segments stays in memory, too."""


class Merge(NamedTuple):
    """Segments that follow each other, to become one; and what lay in each when that was decided."""

    segments: tuple[Segment, ...]
    live: tuple[bytes, ...]

    def carried_out(self) -> bytes:
        """The bytes of the new one: nothing changes meanwhile that it looks at, so any thread may do it."""
        return merged(self.segments, self.live)


class Shelf:
    """Packed things by their id, in the order in which they were put there.

    Args:
        memory_max: how many may lie in memory before they are put away.

    >>> shelf = Shelf(memory_max=2)
    >>> for name in "abcd":
    ...     shelf.young[name] = 0.0, name.encode()
    ...     shelf.put_away()
    >>> len(shelf), len(shelf.segments), shelf.find("a").packed, shelf.drop("a"), "a" in shelf
    (4, 1, b'a', True, False)
    """

    def __init__(self, *, memory_max: int) -> None:
        self.memory_max = memory_max
        self.young: dict[str, tuple[float, bytes]] = {}
        """When each was put there, as far as that counts, and what it is."""
        self.segments: list[Segment] = []
        """Oldest first, all older than the young."""
        self.left = 0
        """How many lie in the segments."""

    def __len__(self) -> int:
        return len(self.young) + self.left

    def __contains__(self, name: str) -> bool:
        return name in self.young or (self.left > 0 and self._found(name) is not None)

    def _found(self, name: str) -> tuple[Segment, int] | None:
        hashed = np.uint64(hash_of(name))
        for segment in reversed(self.segments):
            if segment.left and (number := segment.find(name, hashed)) >= 0:
                return segment, number
        return None

    def find(self, name: str) -> Entry | None:
        """What lies there under this id, and stays; None if nothing does."""
        there = self.young.get(name)
        if there is not None:
            return Entry(name, *there)
        found = self._found(name) if self.left else None
        return None if found is None else found[0].entry(found[1])

    def drop(self, name: str) -> bool:
        """Nothing lies there under this id any more; whether something did."""
        if self.young.pop(name, None) is not None:
            return True
        found = self._found(name) if self.left else None
        if found is not None:
            self._drop(*found)
        return found is not None

    def _drop(self, segment: Segment, number: int) -> None:
        segment.drop(number)
        self.left -= 1
        if not segment.left:
            self.segments.remove(segment)

    def entries(self) -> Iterator[Entry]:
        """All that lies there, in order."""
        for segment in self.segments:
            yield from segment.waiting()
        for name, each in self.young.items():
            yield Entry(name, *each)

    # ── segments ────────────────────────────────────────────────────────────────────────────────────────────────

    def put_away(self) -> None:
        """If too many lie in memory, make a segment of them; before a checkpoint, and never within one."""
        if len(self.young) <= self.memory_max:
            return
        self.segments.append(Segment.of(built(Entry(name, *each) for name, each in self.young.items())))
        self.left += len(self.young)
        self.young = {}

    def merge_due(self) -> Merge | None:
        """Segments that are to be merged: two neighbours of which the older has no more left than twice the younger.

        So there are as many segments as doublings from the first size, and each entry is written as often.
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
        """What a checkpoint keeps: the young, and the names of the segments, with what is left in each."""
        return {
            "young": msgpack.packb([(name, *each) for name, each in self.young.items()]),
            "segments": [(each.sha256, each.count, _bits(each.live)) for each in self.segments],
        }

    def restore(self, state: Mapping[str, Any], blobs: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            blobs: the segments' bytes, or a `Blob` of each.
        """
        self.young = {name: (put_ts, packed) for name, put_ts, packed in msgpack.unpackb(state["young"])}
        self.segments = [
            Segment(sha, _opened(blobs[sha]), live=_flags(bits, count)) for sha, count, bits in state["segments"]
        ]
        self.left = sum(each.left for each in self.segments)


def refers_to(state: Mapping[str, Any]) -> list[str]:
    """The digests of the segments that a state names."""
    return [sha for sha, _, _ in state["segments"]]


def _opened(given: bytes | Blob) -> Blob:
    return BytesBlob(given) if isinstance(given, bytes) else given


def _bits(live: bytearray) -> bytes:
    return np.packbits(np.frombuffer(bytes(live), dtype=np.uint8)).tobytes()


def _flags(bits: bytes, count: int) -> bytes:
    return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=count).tobytes()

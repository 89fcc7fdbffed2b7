"""Segments: events that wait, put away by the thousand as one immutable blob each, and found there again by their id.

A blob is `magic, count, hashes, order, offsets, entries`: the hashes of all ids, sorted; for each of them the number of
its entry; and where each entry begins. Only what stands before the entries is kept in memory, 20 bytes an event.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, sha256
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import msgpack
import numpy as np

from anabranch.errors import CheckpointCorrupt

MAGIC = b"ANABRANCH-PENDING1"
_HEAD = struct.Struct(f"<{len(MAGIC)}sQ")
_ENTRY = struct.Struct("<dI")
"""When the event was asked, and the check sum of what follows."""


class Blob(Protocol):
    """Immutable bytes, of which parts are read."""

    @property
    def size(self) -> int:
        """In bytes."""

    def read(self, start: int, size: int) -> bytes:
        """A part of it.

        Raises:
            StoreUnavailable: it cannot be read now.
        """


class BytesBlob:
    """In memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def read(self, start: int, size: int) -> bytes:
        """A part of it."""
        return self.data[start : start + size]


class Entry(NamedTuple):
    """An event that waits: its id, when it was asked, and all else, packed."""

    event_id: str
    asked_ts: float
    packed: bytes


def hash_of(event_id: str) -> int:
    """64 bits, the same everywhere."""
    return int.from_bytes(blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def built(entries: Iterable[Entry]) -> bytes:
    """A segment's bytes, of entries in the order in which they were asked."""
    hashes: list[int] = []
    bodies: list[bytes] = []
    for event_id, asked_ts, packed in entries:
        hashes.append(hash_of(event_id))
        body: bytes = msgpack.packb((event_id, packed))
        bodies.append(_ENTRY.pack(asked_ts, crc32(body)) + body)
    lengths = np.fromiter(map(len, bodies), dtype=np.uint64, count=len(bodies))
    return _laid_out(np.array(hashes, dtype=np.uint64), lengths, bodies)


def _laid_out(hashes: Any, lengths: Any, bodies: Sequence[bytes]) -> bytes:
    count = len(lengths)
    order = np.argsort(hashes, kind="stable").astype(np.uint32)
    offsets = np.zeros(count + 1, dtype=np.uint64)
    np.cumsum(lengths, out=offsets[1:])
    index = (hashes[order].astype("<u8"), order.astype("<u4"), offsets.astype("<u8"))
    return b"".join((_HEAD.pack(MAGIC, count), *(each.tobytes() for each in index), *bodies))


class Segment:
    """One blob, and which of its entries still wait.

    Args:
        sha256: of the blob.
        blob: where its bytes are.
        live: a byte for each entry, 1 while it waits; None: all of them.

    Raises:
        CheckpointCorrupt: the blob is no segment, or not all of one.

    >>> entries = [Entry(f"e{n}", float(n), b"%d" % n) for n in range(5)]
    >>> segment = Segment.of(built(entries))
    >>> segment.take("e3"), segment.take("e3"), len(segment), segment.first()
    (Entry(event_id='e3', asked_ts=3.0, packed=b'3'), None, 4, Entry(event_id='e0', asked_ts=0.0, packed=b'0'))
    """

    def __init__(self, sha256: str, blob: Blob, *, live: bytes | None = None) -> None:
        self.sha256 = sha256
        self.blob = blob
        magic, count = _HEAD.unpack(self._part(0, _HEAD.size))
        if magic != MAGIC:
            raise CheckpointCorrupt(f"blob {sha256[:12]} holds no pending events")
        self.count = count
        at = _HEAD.size
        self.hashes = np.frombuffer(self._part(at, 8 * count), dtype="<u8")
        self.order = np.frombuffer(self._part(at + 8 * count, 4 * count), dtype="<u4")
        self.offsets = np.frombuffer(self._part(at + 12 * count, 8 * (count + 1)), dtype="<u8")
        self.begin = at + 20 * count + 8
        if self.begin + int(self.offsets[-1]) != blob.size:
            raise CheckpointCorrupt(f"blob {sha256[:12]} of pending events is cut off")
        self.live = bytearray(b"\x01" * count if live is None else live)
        self.left = self.live.count(1)
        self.head = 0
        """No entry before it waits."""

    def _part(self, start: int, size: int) -> bytes:
        part = self.blob.read(start, size)
        if len(part) != size:
            raise CheckpointCorrupt(f"blob {self.sha256[:12]} of pending events is cut off")
        return part

    @classmethod
    def of(cls, data: bytes) -> "Segment":
        """New bytes, which lie in memory."""
        return cls(sha256(data).hexdigest(), BytesBlob(data))

    def __len__(self) -> int:
        """How many still wait."""
        return self.left

    def find(self, event_id: str, hashed: Any) -> int:
        """The number of the entry that waits under this id; -1 if none does."""
        at = int(np.searchsorted(self.hashes, hashed))
        while at < self.count and self.hashes[at] == hashed:
            number = int(self.order[at])
            if self.live[number] and self.entry(number).event_id == event_id:
                return number
            at += 1
        return -1

    def entry(self, number: int) -> Entry:
        """An entry as it was put away.

        Raises:
            CheckpointCorrupt: its bytes are others.
        """
        start, end = int(self.offsets[number]), int(self.offsets[number + 1])
        data = self._part(self.begin + start, end - start)
        asked_ts, check = _ENTRY.unpack_from(data)
        body = data[_ENTRY.size :]
        if crc32(body) != check:
            raise CheckpointCorrupt(
                f"blob {self.sha256[:12]} of pending events is damaged at entry {number}: bring it back, or learn the "
                "log again: `anabranch rebuild CONFIG`"
            )
        event_id, packed = msgpack.unpackb(body)
        return Entry(event_id, asked_ts, packed)

    def drop(self, number: int) -> None:
        """The entry waits no longer."""
        self.live[number] = 0
        self.left -= 1

    def take(self, event_id: str) -> Entry | None:
        """The entry with this id, which waits no longer."""
        number = self.find(event_id, np.uint64(hash_of(event_id)))
        if number < 0:
            return None
        self.drop(number)
        return self.entry(number)

    def first_number(self) -> int:
        """The number of the one that waits longest; there must be one."""
        self.head = self.live.index(1, self.head)
        return self.head

    def first(self) -> Entry:
        """The one that waits longest."""
        return self.entry(self.first_number())

    def waiting(self) -> Iterator[Entry]:
        """All that wait, in order."""
        return (self.entry(number) for number in range(self.count) if self.live[number])


def merged(segments: Sequence[Segment], live: Sequence[bytes]) -> bytes:
    """The bytes of one segment with all that wait in several, which follow each other.

    Args:
        live: which wait in each of them, as of one moment: meanwhile others may end.
    """
    hashes, lengths = [], []
    bodies: list[bytes] = []
    for segment, flags in zip(segments, live, strict=True):
        waits = np.frombuffer(flags, dtype=np.uint8).astype(bool)
        by_number = np.empty(segment.count, dtype=np.uint64)
        by_number[segment.order] = segment.hashes
        hashes.append(by_number[waits])
        lengths.append(np.diff(segment.offsets)[waits])
        bodies += _runs(segment, waits)
    return _laid_out(np.concatenate(hashes), np.concatenate(lengths), bodies)


def _runs(segment: Segment, waits: Any) -> Iterator[bytes]:
    """The bytes of the entries that wait, as many at a time as lie together."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], waits.astype(np.int8), [0]))))
    for first, end in edges.reshape(-1, 2).tolist():
        start = int(segment.offsets[first])
        yield segment.blob.read(segment.begin + start, int(segment.offsets[end]) - start)

"""The campaign's events: good ones, and bad records, duplicates and poison among them; and what should be learned."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import orjson

Kind = Literal["good", "bad", "duplicate", "poison", "unseen"]
"""What nobody sees has an offset too: control records, and the records of aborted transactions."""

GOOD_AT_FIRST = 50
BACK_MAX = 500

Spice = tuple[float, float, float]
"""The shares of bad records, duplicates and poison."""

SPICE: Spice = (0.01, 0.01, 0.0005)

_BAD: tuple[Callable[[int], bytes], ...] = (
    lambda n: b"not json",
    lambda n: b"",
    lambda n: b'{"id":"bad-%d","ts":1,"features":{"a":NaN}}' % n,
    lambda n: b'{"id":"bad-%d","ts":1,"features":{"a":1e999}}' % n,
    lambda n: b'{"id":"bad-%d","ts":1}' % n,
    lambda n: b'{"id":"bad-%d","ts":9e12,"features":{"a":1}}' % n,
    lambda n: b'{"id":"bad-%d","ts":1,"features":{"a":{"b":1}}}' % n,
    lambda n: b'{"id":"bad-%d","ts":1,"features":{"a":1},"label":"yes"}' % n,
)


class Entry(NamedTuple):
    """One record as it lies on the log."""

    kind: Kind
    number: int
    value: bytes


class Stream:
    """Makes records and remembers them, by partition and offset.

    Args:
        spice: the shares of bad records, duplicates and poison.
        flip_every: after so many good events the labels turn round; 0 is never.
    """

    def __init__(
        self,
        *,
        seed: str,
        partitions: int,
        spice: Spice = SPICE,
        flip_every: int = 0,
    ) -> None:
        self.rng = random.Random(seed)
        self.log: list[list[Entry]] = [[] for _ in range(partitions)]
        self.spice = spice
        self.flip_every = flip_every
        self.numbers = 0

    def __len__(self) -> int:
        return sum(map(len, self.log))

    def more(self, count: int) -> Iterator[tuple[int, bytes]]:
        """The next records, each with its partition."""
        for _ in range(count):
            partition = self.rng.randrange(len(self.log))
            entry = self._next(partition)
            self.log[partition].append(entry)
            yield partition, entry.value

    def unseen(self, partition: int, count: int = 1) -> None:
        """So many offsets that no reader is shown."""
        self.log[partition] += [Entry("unseen", 0, b"")] * count

    def left(self, positions: dict[int, int]) -> int:
        """How many records lie at these positions and behind them."""
        rest = [entry for partition, part in enumerate(self.log) for entry in part[positions.get(partition, 0) :]]
        return sum(entry.kind != "unseen" for entry in rest)

    def _next(self, partition: int) -> Entry:
        kind = self._kind(partition)
        if kind == "duplicate":
            return self._again(partition)
        self.numbers += 1
        if kind == "bad":
            return Entry(kind, self.numbers, self.rng.choice(_BAD)(self.numbers))
        return Entry(kind, self.numbers, self._event(self.numbers, poison=kind == "poison"))

    def _kind(self, partition: int) -> Kind:
        draw = self.rng.random()
        bad, duplicate, poison = self.spice
        if len(self.log[partition]) < GOOD_AT_FIRST:
            return "good"
        if draw < bad:
            return "bad"
        if draw < bad + duplicate:
            return "duplicate"
        return "poison" if draw < bad + duplicate + poison else "good"

    def _again(self, partition: int) -> Entry:
        """In the partition of the first, as the key would have it: so it is the second everywhere."""
        recent = [each for each in self.log[partition][-BACK_MAX:] if each.kind == "good"]
        first = self.rng.choice(recent)
        return Entry("duplicate", first.number, first.value)

    def _event(self, number: int, *, poison: bool) -> bytes:
        a, b, c = (round(self.rng.uniform(-3, 3), 3) for _ in range(3))
        turned = bool(self.flip_every) and number // self.flip_every % 2 == 1
        label = (a + b > 0.3 * c) != turned
        features = {"n": number, "poison": poison, "a": a, "b": b, "c": c}
        return orjson.dumps({"id": f"e{number}", "ts": time.time(), "features": features, "label": label})

    def learnable(self, positions: dict[int, int]) -> list[int]:
        """The numbers of the events that a learner at these positions has learned, once each."""
        return [
            entry.number
            for partition, end in positions.items()
            for entry in self.log[partition][:end]
            if entry.kind == "good"
        ]

    def count(self, kind: Kind, partitions: Iterable[int] | None = None) -> int:
        """How many there are of a kind, in some partitions or in all."""
        parts = self.log if partitions is None else [self.log[each] for each in partitions]
        return sum(entry.kind == kind for part in parts for entry in part)

    def places(self, *kinds: Kind) -> set[tuple[int, int]]:
        """Partition and offset of every record of these kinds."""
        return {(p, offset) for p, part in enumerate(self.log) for offset, e in enumerate(part) if e.kind in kinds}

"""What a simulated log holds: events whose concept changes, or a file's; duplicates, bad records, poison, and gaps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from anabranch.events import Record
from config.settings import Settings
from evaluation.simulation.world import MemoryLog
from evaluation.simulation.world.choking import POISON

BAD = (
    b"{",
    b"[1]",
    b"",
    b'{"id":"no features"}',
    b'{"id":"nan","ts":1600000000,"features":{"a":NaN},"label":true}',
    b'{"id":"","ts":1600000000,"features":{},"label":true}',
)
"""Records that every guard refuses."""

PARTITIONS_MAX = 3
TS = 1.6e9

Stamped = tuple[float, bytes]
"""The broker's timestamp of a record, and its value."""

Events = Callable[[Settings, Random], Iterator[Stamped]]
"""Encoded events, drawn again for each schedule."""


@dataclass
class Stream:
    """The log at its fullest, before retention takes anything."""

    records: dict[tuple[int, int], Record] = field(default_factory=dict)

    def of(self, partitions: Sequence[int]) -> "Stream":
        """Some partitions of it."""
        return Stream({place: record for place, record in self.records.items() if place[0] in partitions})


@dataclass(frozen=True)
class Recipe:
    """How the log of a schedule is filled. The shares are of all events."""

    events: Events
    duplicates: float = 0.03
    bad: float = 0.03
    gaps: float = 0.02

    def fill(self, log: MemoryLog, settings: Settings, rng: Random) -> Stream:
        """Fill the log; what is in it now."""
        topic = settings.topics.name("events")
        seen: list[Stamped] = []
        for event in self.events(settings, rng):
            seen.append(event)
            _append(log, topic, event, rng)
            if rng.random() < self.duplicates:
                _append(log, topic, rng.choice(seen), rng)
            if rng.random() < self.bad:
                _append(log, topic, (event[0], rng.choice(BAD)), rng)
            if rng.random() < self.gaps:
                log.skip(topic, partition=rng.randrange(log.partitions), offsets=rng.randint(1, 3))
        places = [(topic, partition) for partition in range(log.partitions)]
        return Stream({(each.partition, each.offset): each for place in places for each in log.records.get(place, [])})


def _append(log: MemoryLog, topic: str, event: Stamped, rng: Random) -> None:
    timestamp_s, value = event
    log.append(topic, value, partition=rng.randrange(log.partitions), timestamp_s=timestamp_s)


@dataclass(frozen=True)
class Synthetic:
    """Events with three numbers, whose label turns into another one at each of the changes.

    Args:
        poison: the share of events that carry the number on which `evaluation.simulation.world.choking` chokes.
    """

    events: int
    changes: int = 2
    poison: float = 0.0

    def __call__(self, settings: Settings, rng: Random) -> Iterator[Stamped]:
        """The events, encoded."""
        label_of = _labels(settings)
        poison = self.poison * rng.choice((0, 0, 1, 4))
        for n in range(self.events):
            turned = n * (self.changes + 1) // self.events % 2 == 1
            x = {name: round(rng.uniform(0.0, 10.0), 2) for name in "abc"}
            label = label_of(x["a"] + x["b"], turned)
            if rng.random() < poison:
                x["c"] = POISON
            yield TS, orjson.dumps({"id": f"e{n}", "ts": TS, "features": x, "label": label})


@dataclass(frozen=True)
class Given:
    """The events of a file, the same for each schedule."""

    events: tuple[Stamped, ...]

    def __call__(self, settings: Settings, rng: Random) -> Iterator[Stamped]:
        """The events, encoded."""
        return iter(self.events)


def _labels(settings: Settings) -> Callable[[float, bool], Any]:
    """From the sum of two features in 0 to 20, and whether the concept is the turned one, to a label of the task."""
    if settings.numeric:
        return lambda total, turned: 20.0 - total if turned else total
    if settings.task == "multiclass":
        return lambda total, turned: ("low", "middle", "high")[(int(total / 6.7) + turned) % 3]
    truths: tuple[Any, Any] = (False, True) if settings.positive is None else ("other", settings.positive)
    return lambda total, turned: truths[(total < 9.0) != turned]

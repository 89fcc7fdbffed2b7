"""What a simulated log holds: events whose concept changes, or a file's; duplicates, bad records, poison, and gaps."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from zlib import crc32

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
KEYS = 5
TS = 1.6e9

Stamped = tuple[float, bytes]
"""The broker's timestamp of a record, and its value."""

Events = Callable[[Settings, Random], Iterator[Stamped]]
"""Encoded events, drawn again for each schedule."""


@dataclass
class Stream:
    """The log at its fullest, before retention takes anything."""

    records: dict[tuple[int, int], Record] = field(default_factory=dict)
    labels: dict[tuple[int, int], Record] = field(default_factory=dict)
    """Likewise, of the topic of labels."""

    def of(self, partitions: Sequence[int]) -> "Stream":
        """Some partitions of it."""
        several = (
            {place: each for place, each in of.items() if place[0] in partitions} for of in (self.records, self.labels)
        )
        return Stream(*several)


@dataclass(frozen=True)
class Recipe:
    """How the log of a schedule is filled. The shares are of all events."""

    events: Events
    duplicates: float = 0.03
    bad: float = 0.03
    gaps: float = 0.02

    def fill(self, log: MemoryLog, settings: Settings, rng: Random) -> Stream:
        """Fill the log; what is in it now."""
        topic, topic_of_labels = settings.topics.name("events"), settings.topics.name("labels")
        seen: list[Stamped] = []
        late = Late(log, topic_of_labels, rng)
        for whole in self.events(settings, rng):
            event = late.apart(whole) if settings.labels.late else whole
            seen.append(event)
            _append(log, topic, event, rng)
            if rng.random() < self.duplicates:
                _append(log, topic, rng.choice(seen), rng)
            if rng.random() < self.bad:
                _append(log, topic, (event[0], rng.choice(BAD)), rng)
            if rng.random() < self.gaps:
                log.skip(topic, partition=rng.randrange(log.partitions), offsets=rng.randint(1, 3))
        late.end()
        return Stream(_all(log, topic), _all(log, topic_of_labels))


def _all(log: MemoryLog, topic: str) -> dict[tuple[int, int], Record]:
    places = [(topic, partition) for partition in range(log.partitions)]
    return {(each.partition, each.offset): each for place in places for each in log.records.get(place, [])}


class Late:
    """Takes labels out of events, and publishes them at some time: early, late, twice, corrected, or never.

    Event time goes on by a minute an event.
    """

    def __init__(self, log: MemoryLog, topic: str, rng: Random) -> None:
        self.log = log
        self.topic = topic
        self.rng = rng
        self.events = 0
        self.coming: list[tuple[int, bytes]] = []

    def apart(self, event: Stamped) -> Stamped:
        """The event without its label, if that comes by itself."""
        stamp, value = event
        self.events += 1
        table = {**orjson.loads(value), "ts": TS + 60.0 * self.events}
        chance = self.rng.random()
        if chance > 0.1:
            label = table.pop("label")
            if chance > 0.2:
                self._publish(table["id"], label)
        self._tell(self.events)
        return stamp, orjson.dumps(table)

    def _publish(self, event_id: str, label: Any) -> None:
        rng, after = self.rng, self.events + self.rng.choice((0, 1, 5, 5, 20, 60))
        said: dict[str, Any] = {"id": event_id, "ts": TS + 60.0 * after, "label": label}
        if rng.random() < 0.05:
            said = {"id": event_id, "ts": said["ts"], "blocked": "declined"}
        self._come(after, said)
        if rng.random() < 0.1:
            self._come(after + 3, said)
        if rng.random() < 0.1:
            self._come(after + 7, {**said, "revision": rng.randint(1, 2)})
        if rng.random() < 0.03:
            self._come(after, {**said, "id": f"nobody{self.events}"})
        if rng.random() < 0.03:
            self._come(after, {"label": label})

    def _come(self, after: int, said: dict[str, Any]) -> None:
        self.coming.append((after, orjson.dumps(said)))

    def _tell(self, now: int) -> None:
        due = [value for after, value in self.coming if after <= now]
        self.coming = [each for each in self.coming if each[0] > now]
        for value in due:
            _append(self.log, self.topic, (TS, value), self.rng)

    def end(self) -> None:
        """All that is still to come."""
        self._tell(sys.maxsize)


def _append(log: MemoryLog, topic: str, event: Stamped, rng: Random) -> None:
    timestamp_s, value = event
    key = b"k%d" % (crc32(value) % KEYS)  # without a draw, so that seeds mean what they meant without keys
    log.append(topic, value, key=key, partition=rng.randrange(log.partitions), timestamp_s=timestamp_s)


@dataclass(frozen=True)
class Synthetic:
    """Events with three numbers, whose label turns into another one at each of the changes.

    Args:
        poison: the share of events that carry the number on which `evaluation.simulation.world.choking` chokes.
        tenants: how many there are, as the feature `tenant`; every second of them has the labels of the other concept.
    """

    events: int
    changes: int = 2
    poison: float = 0.0
    tenants: int = 0

    def __call__(self, settings: Settings, rng: Random) -> Iterator[Stamped]:
        """The events, encoded."""
        label_of = _labels(settings)
        poison = self.poison * rng.choice((0, 0, 1, 4))
        for n in range(self.events):
            turned = n * (self.changes + 1) // self.events % 2 == 1
            x = {name: round(rng.uniform(0.0, 10.0), 2) for name in "abc"}
            if self.tenants:
                x["tenant"] = rng.randrange(self.tenants)
            label = label_of(x["a"] + x["b"], turned != (x.get("tenant", 0) % 2 == 1))
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

"""What there is of one entity, a customer say: on each topic, in checkpoints, in models; and what ends it.

Nothing here reads a topic: it is given records. What is found is told by places and numbers, and no value with it.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from anabranch.events import Partition, Record
from anabranch.messages import BOM, TopicRange
from anabranch.privacy import OPEN
from config.settings import Settings

WORD_MIN = 4
"""Characters from which on a word is looked for in bytes: a shorter one stands in all of them by chance."""

CODED_MIN = 8
"""Characters of base64, likewise: the ends of a word are coded with what stands beside it."""

IDS_MAX = 1000
"""So many of its events' ids are looked for in checkpoints."""

READ = ("events", "labels")
"""The topics that a learner learns; a rebuild may leave records of them out."""

WRITTEN = ("examples", "predictions", "dead_letters")
"""The topics on which there is something of single events."""


class Entity(NamedTuple):
    """Who is meant: those whose records have this Kafka key, or this value of a feature."""

    value: str
    feature: str = ""
    """Empty: the Kafka key."""

    @property
    def in_words(self) -> str:
        """How it is known, without its value."""
        return f"by the feature {self.feature!r}" if self.feature else "by the Kafka key"


@dataclass
class Found:
    """The records of one topic that are of the entity."""

    places: list[tuple[str, int, int]] = field(default_factory=list)
    newest_s: float = 0.0
    """When the newest of them was written, epoch seconds."""
    keys: set[tuple[int, bytes]] = field(default_factory=set)
    """Partitions and keys under which they lie, for tombstones."""
    shared: set[tuple[int, bytes]] = field(default_factory=set)
    """Those under which other records lie, too."""

    def add(self, record: Record) -> None:
        """One more."""
        self.places.append((record.topic, record.partition, record.offset))
        self.newest_s = max(self.newest_s, record.timestamp_s)
        if record.key is not None:
            self.keys.add((record.partition, record.key))

    @property
    def own_keys(self) -> list[tuple[int, bytes]]:
        """Keys under which nothing else lies."""
        return sorted(self.keys - self.shared)


class Traces:
    """What is of an entity on the topics: first all records of `events` are shown, then those of the others.

    >>> from config.loading import build
    >>> model = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
    >>> settings = build({"name": "m", "task": "binary", "model": model, "labels": {"late": True}})
    >>> traces = Traces(settings, Entity("ann", "customer"))
    >>> for offset, customer in enumerate(["ann", "bob", "ann", "ann"]):
    ...     value = orjson.dumps({"id": f"e{offset}", "features": {"customer": customer}})
    ...     traces.hear("events", Record("events", 0, offset, 0.0, b"", value))
    >>> traces.hear("labels", Record("labels", 0, 9, 0.0, b"", b'{"id": "e3", "label": true}'))
    >>> [(each.topic, each.start, each.end) for each in traces.stretches()]
    [('events', 0, 1), ('events', 2, 4), ('labels', 9, 10)]
    """

    def __init__(self, settings: Settings, entity: Entity) -> None:
        self.entity = entity
        self.edge = edge = settings.edge
        veils = not entity.feature or entity.feature in edge.users
        self.name = edge.pseudonym(entity.value) if veils else entity.value
        """How it is called behind the edge."""
        self.ids: dict[str, None] = {}
        """Of its events, behind the edge."""
        self.raw_ids: set[str] = set()
        self.found: dict[str, Found] = {which: Found() for which in (*READ, *WRITTEN)}
        self._at: set[tuple[str, int, int]] = set()
        self._learned = READ if settings.labels.late else READ[:1]

    def hear(self, which: str, record: Record) -> None:
        """One record of a topic."""
        found = self.found[which]
        if self._is_of_it(which, record):
            found.add(record)
            self._at.add((record.topic, record.partition, record.offset))
        elif record.key is not None:
            found.shared.add((record.partition, record.key))

    def _is_of_it(self, which: str, record: Record) -> bool:
        told = _loaded(record.value)
        if which == "events":
            return self._is_its_event(record, told)
        its_key = not self.entity.feature and record.key == self.entity.value.encode()
        if which == "labels":
            return its_key or _id_of(told) in self.raw_ids
        if which == "dead_letters":
            return self._is_its_letter(told)
        return _id_of(told) in self.ids

    def _is_its_event(self, record: Record, told: Any) -> bool:
        entity = self.entity
        if not entity.feature:
            if record.key != entity.value.encode():
                return False
        elif told is None:
            return len(entity.value) >= WORD_MIN and entity.value.encode() in (record.value or b"")
        elif not _holds(told, entity.feature, entity.value):
            return False
        if id_ := _id_of(told):
            self.raw_ids.add(id_)
            self.ids[self.edge.pseudonym(id_)] = None
        return True

    def _is_its_letter(self, told: Any) -> bool:
        if not isinstance(told, dict) or "offset" not in told:
            return False
        if (told["topic"], told["partition"], told["offset"]) in self._at:
            return True
        kept = _loaded(base64.b64decode(told.get("value_base64", "")))
        return _id_of(kept) in self.ids or (bool(self.entity.feature) and _holds(kept, self.entity.feature, self.name))

    def stretches(self) -> tuple[TopicRange, ...]:
        """Its records as stretches that a rebuild leaves out."""
        places = sorted({place for which in self._learned for place in self.found[which].places})
        runs: list[tuple[Partition, int, int]] = []
        for topic, partition, offset in places:
            if runs and runs[-1][0] == (topic, partition) and runs[-1][2] == offset:
                runs[-1] = (*runs[-1][:2], offset + 1)
            else:
                runs.append((Partition(topic, partition), offset, offset + 1))
        return tuple(TopicRange(topic=at.topic, partition=at.number, start=start, end=end) for at, start, end in runs)

    def spoken(self) -> list[bytes]:
        """What is looked for on topics, byte for byte: its value as producers write it, too."""
        value = self.entity.value
        own = [value.encode("utf-8", "surrogatepass")] if len(value) >= WORD_MIN else []
        return list(dict.fromkeys([*own, *self.words()]))

    def words(self) -> list[bytes]:
        """What is looked for in bytes that no message describes: models, and checkpoints."""
        several = [self.name, *list(self.ids)[:IDS_MAX]]
        return [each.encode("utf-8", "surrogatepass") for each in several if len(each) >= WORD_MIN]


def spellings(word: bytes) -> list[bytes]:
    """A word as it is, as JSON may escape it, and in base64 at any of the three places where it may begin.

    >>> spellings("Zoë-5".encode())
    [b'Zo\\xc3\\xab-5', b'Zo\\\\u00eb-5']
    >>> spellings(b"customer-7")
    [b'customer-7', b'Y3VzdG9tZXIt', b'c3RvbWVy', b'dXN0b21l']
    """
    escaped = json.dumps(word.decode("utf-8", "surrogatepass"))[1:-1].encode()
    coded = [base64.b64encode(b"\0" * n + word)[4 if n else 0 : -4] for n in range(3)]
    return list(dict.fromkeys([word, escaped, *(each for each in coded if len(each) >= CODED_MIN)]))


def mentions(data: bytes, words: Iterable[bytes]) -> bool:
    """Whether any of the words stands in it."""
    return any(word in data for word in words)


def _id_of(told: Any) -> str:
    id_ = told.get("id") if isinstance(told, dict) else None
    return id_ if isinstance(id_, str) else ""


def _holds(told: Any, feature: str, value: str) -> bool:
    """Whether the feature has the value, at any depth: what is refused may have it elsewhere."""
    return any(OPEN.of_value(each) == value for each in _under(told, feature))


def _under(told: Any, name: str) -> Iterator[Any]:
    if isinstance(told, dict):
        for key, inner in told.items():
            yield from [inner] if key == name else _under(inner, name)
    elif isinstance(told, list):
        for inner in told:
            yield from _under(inner, name)


def _loaded(value: bytes | None) -> Any:
    with suppress(orjson.JSONDecodeError):
        return orjson.loads((value or b"").removeprefix(BOM))
    return None

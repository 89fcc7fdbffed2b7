"""Features that are computed of the events before: counts, sums, means and rates by entity, in bounded memory.

The features of an event are of what came before it: the event itself is counted after it was asked.

>>> paid = Rule("paid_1h", "sum", by="who", of="amount", over_s=3600.0)
>>> rolling = RollingFeatures([paid, Rule("events_1h", "count", by="who", over_s=3600.0)], keys_max=1000)
>>> for ts, amount in [(0.0, 10.0), (60.0, 20.0), (120.0, 5.0)]:
...     rolling.on_event({"who": "ann", "amount": amount}, ts)
{'paid_1h': 0.0, 'events_1h': 0}
{'paid_1h': 10.0, 'events_1h': 1}
{'paid_1h': 30.0, 'events_1h': 2}
>>> rolling.on_event({"amount": 1.0}, 180.0)  # whose it is is not known
{}
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, Protocol

import msgpack

from anabranch.windows import Decaying, Distinct, Latest, Sums

What = Literal["count", "sum", "mean", "distinct", "since_last", "ewma", "positive_rate"]

KEY = "@key"
"""In place of a feature: the record's Kafka key."""

_LONG = 64
"""Characters from which on of an entity a digest is kept."""

X = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """How one feature is computed.

    Args:
        name: of the feature.
        by: the feature that holds the entity, or `@key`.
        of: the feature whose values are counted.
        over_s: window of event time in seconds; of an `ewma` the half-life.
    """

    name: str
    what: What
    by: str
    of: str = ""
    over_s: float = 0.0

    @property
    def words(self) -> str:
        """What it is, for people.

        >>> Rule("paid", "sum", by="who", of="amount", over_s=3600.0).words
        'sum of amount by who over 3600 s'
        """
        of = f" of {self.of}" if self.of else ""
        over = f" over {self.over_s:g} s" if self.over_s else ""
        return f"{self.what}{of} by {self.by}{over}"


class Track(Protocol):
    """What is kept of each entity for some rules, and the features that come of it."""

    def fresh(self) -> Any:
        """Of an entity that was never seen."""

    def read(self, state: Any, ts: float, into: dict[str, Any]) -> None:
        """Put the features in, as of `ts`; those that are not known are left out."""

    def on_event(self, state: Any, x: X, ts: float, into: dict[str, Any]) -> None:
        """The same, and count the event then."""

    def on_label(self, state: Any, ts: float, *, positive: bool) -> None:
        """Count a label that has become known at `ts`; most have no use for one."""


class _OfEvents:
    """What labels do not change."""

    def on_label(self, state: Any, ts: float, *, positive: bool) -> None:
        """Nothing."""


class _Totals(_OfEvents):
    """Counts, sums and means of one feature over one window; without a feature, of events."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.of = rules[0].of
        self.sums = Sums(over_s=rules[0].over_s, adds=bool(self.of))
        self.fresh = self.sums.fresh
        self.names = [(rule.what, rule.name) for rule in rules]

    def read(self, state: Any, ts: float, into: dict[str, Any]) -> None:
        self._put(into, *self.sums.read(state, ts))

    def on_event(self, state: Any, x: X, ts: float, into: dict[str, Any]) -> None:
        value = _number(x.get(self.of)) if self.of else 0.0
        if value is None:
            self.read(state, ts, into)
        else:
            self._put(into, *self.sums.read_and_add(state, ts, value))

    def _put(self, into: dict[str, Any], count: int, total: float) -> None:
        for what, name in self.names:
            if what == "count":
                into[name] = count
            elif what == "sum":
                into[name] = total
            elif count:
                into[name] = total / count


class _Different(_OfEvents):
    """How many different values."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.of, self.names = rules[0].of, [rule.name for rule in rules]
        self.values = Distinct(over_s=rules[0].over_s)
        self.fresh = self.values.fresh

    def read(self, state: Any, ts: float, into: dict[str, Any]) -> None:
        _put(into, self.names, self.values.read(state, ts))

    def on_event(self, state: Any, x: X, ts: float, into: dict[str, Any]) -> None:
        self.read(state, ts, into)
        value = x.get(self.of)
        if value is not None:
            self.values.add(state, ts, entity(value))


class _Since(_OfEvents):
    """How long ago the event before was."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.names, self.latest = [rule.name for rule in rules], Latest()
        self.fresh = self.latest.fresh

    def read(self, state: Any, ts: float, into: dict[str, Any]) -> None:
        since = self.latest.read(state, ts)
        if since is not None:
            _put(into, self.names, since)

    def on_event(self, state: Any, x: X, ts: float, into: dict[str, Any]) -> None:
        self.read(state, ts, into)
        self.latest.add(state, ts)


class _Level(_OfEvents):
    """A decaying mean."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.of, self.names = rules[0].of, [rule.name for rule in rules]
        self.mean = Decaying(half_life_s=rules[0].over_s)
        self.fresh = self.mean.fresh

    def read(self, state: Any, ts: float, into: dict[str, Any]) -> None:
        mean = self.mean.read(state)
        if mean is not None:
            _put(into, self.names, mean)

    def on_event(self, state: Any, x: X, ts: float, into: dict[str, Any]) -> None:
        self.read(state, ts, into)
        value = _number(x.get(self.of))
        if value is not None:
            self.mean.add(state, ts, value)


class _Rate:
    """The share of positive ones among the labels that have become known within the window."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.names, self.labels = [rule.name for rule in rules], Sums(over_s=rules[0].over_s)
        self.fresh = self.labels.fresh

    def read(self, state: Any, ts: float, into: dict[str, Any]) -> None:
        count, positives = self.labels.read(state, ts)
        if count:
            _put(into, self.names, positives / count)

    def on_event(self, state: Any, x: X, ts: float, into: dict[str, Any]) -> None:
        self.read(state, ts, into)

    def on_label(self, state: Any, ts: float, *, positive: bool) -> None:
        self.labels.add(state, ts, float(positive))


_TRACKS: Mapping[str, Any] = {
    "totals": _Totals,
    "distinct": _Different,
    "since_last": _Since,
    "ewma": _Level,
    "positive_rate": _Rate,
}


def entity(value: Any) -> Any:
    """What stands for an entity: its value, of a long text a digest."""
    if type(value) is str and len(value) > _LONG:
        return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return value


def _put(into: dict[str, Any], names: list[str], value: Any) -> None:
    for name in names:
        into[name] = value


def _number(value: Any) -> float | None:
    """Of true and false 1 and 0; None where it is no number."""
    return float(value) if isinstance(value, int | float) else None


class Table:
    """All that is kept by one feature: tracks, and their states by entity, least recently seen first.

    Whoever was not seen since the last checkpoint is kept as it was written there: in a seventh of the memory, and the
    next checkpoint takes no longer for it.
    """

    def __init__(self, by: str, rules: Sequence[Rule], *, keys_max: int) -> None:
        self.by = by
        self.keys_max = keys_max
        several = _alike(rules)
        self.tracks: list[Track] = [_TRACKS[key[0]](alike) for key, alike in several.items()]
        self.spelt = [" ".join(key) for key in several]
        """What each track counts, whatever the features are called that come of it."""
        self.counts_labels = any(isinstance(track, _Rate) for track in self.tracks)
        self.entities: OrderedDict[Any, list[Any] | bytes] = OrderedDict()

    def fresh(self) -> list[Any]:
        """Of an entity that was never seen."""
        return [track.fresh() for track in self.tracks]

    def of(self, key: Any) -> list[Any]:
        """The states of an entity, which from now on is the one seen most recently."""
        states = self.entities.get(key)
        if type(states) is list:
            self.entities.move_to_end(key)
            return states
        if states is None:
            if len(self.entities) >= self.keys_max:
                self.entities.popitem(last=False)
            opened = self.fresh()
        else:
            self.entities.move_to_end(key)
            opened = _opened(states)
        self.entities[key] = opened
        return opened

    def look(self, key: Any) -> list[Any]:
        """The states of an entity, which are not to be changed."""
        states = self.entities.get(key)
        return self.fresh() if states is None else _opened(states)

    def state(self) -> list[Any]:
        """What a checkpoint keeps."""
        entities = self.entities
        for key in [key for key, states in entities.items() if type(states) is list]:
            entities[key] = msgpack.packb(entities[key])
        return [self.by, self.spelt, list(entities.items())]

    def restore(self, spelt: list[str], entities: list[Any]) -> None:
        """Go on from a checkpoint; what was counted under other rules begins anew."""
        kept = entities[-self.keys_max :]
        if spelt != self.spelt:
            places = [spelt.index(each) if each in spelt else None for each in self.spelt]
            kept = [(key, self._moved(_opened(states), places)) for key, states in kept]
        self.entities = OrderedDict(kept)

    def _moved(self, states: list[Any], places: Sequence[int | None]) -> list[Any]:
        fresh = zip(self.fresh(), places, strict=True)
        return [begun if place is None else states[place] for begun, place in fresh]


def _opened(states: list[Any] | bytes) -> list[Any]:
    if type(states) is list:
        return states
    opened: list[Any] = msgpack.unpackb(states, strict_map_key=False)
    return opened


def _alike(rules: Sequence[Rule]) -> dict[tuple[str, str, str], list[Rule]]:
    """Rules that are read of one track: by what is kept, of which feature, over how long."""
    alike: dict[tuple[str, str, str], list[Rule]] = {}
    for rule in rules:
        kept = "totals" if rule.what in ("count", "sum", "mean") else rule.what
        alike.setdefault((kept, rule.of, repr(rule.over_s)), []).append(rule)
    return alike


class RollingFeatures:
    """The features of some rules, over events as they come.

    Args:
        keys_max: entities that are remembered of each feature that rules go by; the least recently seen go first.
    """

    def __init__(self, rules: Iterable[Rule], *, keys_max: int) -> None:
        self.rules = tuple(rules)
        by: dict[str, list[Rule]] = {}
        for rule in self.rules:
            by.setdefault(rule.by, []).append(rule)
        self.tables = [Table(name, several, keys_max=keys_max) for name, several in by.items()]
        self.labelled = [table for table in self.tables if table.counts_labels]

    def on_event(self, x: X, ts: float) -> dict[str, Any]:
        """The features of an event, which is counted then."""
        features: dict[str, Any] = {}
        for table in self.tables:
            value = x.get(table.by)
            if value is None:
                continue
            for track, state in zip(table.tracks, table.of(entity(value)), strict=True):
                track.on_event(state, x, ts, features)
        return features

    def look(self, x: X, ts: float) -> dict[str, Any]:
        """The features that an event would have; nothing is counted, and nobody counts as seen."""
        features: dict[str, Any] = {}
        for table in self.tables:
            value = x.get(table.by)
            if value is None:
                continue
            for track, state in zip(table.tracks, table.look(entity(value)), strict=True):
                track.read(state, ts, features)
        return features

    def on_label(self, x: X, ts: float, *, positive: bool) -> None:
        """The label of an event with these features has become known at `ts`."""
        for table in self.labelled:
            value = x.get(table.by)
            if value is not None:
                for track, state in zip(table.tracks, table.of(entity(value)), strict=True):
                    track.on_label(state, ts, positive=positive)

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> bytes:
        """What a checkpoint keeps: entities, least recently seen first, with what is counted of each."""
        kept: bytes = msgpack.packb([table.state() for table in self.tables])
        return kept

    def restore(self, state: bytes) -> None:
        """Go on from a checkpoint; what was counted under other rules begins anew."""
        kept = {by: (spelt, entities) for by, spelt, entities in msgpack.unpackb(state)}
        for table in self.tables:
            table.restore(*kept.get(table.by, ([], [])))

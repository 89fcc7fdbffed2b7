"""What the guard makes of a record by itself, whatever came before: JSON, the schema, its time, sizes, the label.

Several models that read one topic and agree about this share one `Reading`: each record is decoded once for them all.
What depends on the records before (types as first seen, labels, duplicates) is each guard's own.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from mypy_extensions import mypyc_attr

from anabranch.events import NOTHING_APART, Record
from anabranch.rolling import KEY
from anabranch.values import KINDS, NUMBER_MAX
from config.settings import Settings
from consumers.guard import labels, lookalikes
from consumers.guard.event_times import Plausible
from consumers.guard.labels import Refused, named

_KEYS = frozenset(lookalikes.KEYS)
SHAPES_MAX = 256
"""Combinations of names and types that are recognised at a glance."""


class Shape:
    """The names and types of an event's features; one object for each, so that it is recognised by its identity."""

    __slots__ = ("absent", "is_plain", "numbers", "strings")

    def __init__(self, features: Mapping[str, Any]) -> None:
        kinds = {name: KINDS.get(type(value)) for name, value in features.items()}
        self.strings = tuple(name for name, kind in kinds.items() if kind == "string")
        self.numbers = tuple(name for name, kind in kinds.items() if kind in ("number", "boolean"))
        self.absent = any(value is None for value in features.values())
        self.is_plain = len(self.numbers) == len(features)
        """Whether there are numbers and booleans alone."""


class Content(NamedTuple):
    """What a record holds as an event. Nobody may change it: others may be shown the same one."""

    id: str
    ts: float
    features: dict[str, Any]
    """As they came, or as they are behind the edge; missing ones are among them, as None."""
    shape: Shape
    is_sound: bool
    """Whether no number and no string is beyond its bound."""
    apart: Mapping[str, object]
    key: Any
    """Of the record, where the lane computes by it; else None."""
    label: Any
    y: Any
    """The label as the task reads it."""
    fault: Refused | None
    """What is wrong with the label."""


class Reading:
    """How records become events under these settings.

    Args:
        is_shared: whether several guards ask it about the same records; then it remembers what it made of a record
            that can carry that (`SharedRecord`), and a guard may hand on only copies of the features.
    """

    def __init__(self, settings: Settings, *, is_shared: bool = False) -> None:
        limits = settings.guard
        self.is_shared = is_shared
        self.agreed = agreed(settings)
        """Whose settings agree in this may share it."""
        self.read_label = labels.reader(settings)
        # Read on every event, and reading a pydantic model costs more than an attribute.
        self._event_max_bytes, self._string_max = limits.event_max_bytes, limits.string_max
        self._by_key = settings.computed.by_key
        self._segments_by_key = settings.segments.by == KEY
        self.time = Plausible(behind_max=limits.ts_behind_max, ahead_max=limits.ts_ahead_max).time
        self.edge = settings.edge
        self._is_veiled = self.edge.is_on
        self._shapes: dict[tuple[Any, ...], Shape] = {}

    def of(self, record: Record) -> Content:
        """What the record holds; for records that several models are handed it is made once.

        Raises:
            Refused: it is no event, for reasons that lie in the record alone.
        """
        if not self.is_shared or type(record) is not SharedRecord:
            return self._read(record)
        content = record.contents.get(self)
        if content is None:
            content = record.contents[self] = self._read(record)
        return content

    def _read(self, record: Record) -> Content:
        table = self.decode(record.value)
        try:
            id_, ts, features = table["id"], table["ts"], table["features"]
        except KeyError as error:
            raise Refused("schema", f"no {error.args[0]!r}{lookalikes.of_table(table)}") from None
        # Three keys are there by now, so only a table with a fourth can hold one that nobody knows.
        if len(table) > 3 and not table.keys() <= _KEYS:
            unknown = next(key for key in table if key not in _KEYS)
            raise Refused("schema", f"unknown key {unknown[:100]!r}{lookalikes.of_table(table)}")
        if type(id_) is not str or not 0 < len(id_) <= self._string_max:
            self.check_string("id", id_)
            raise Refused("schema", "'id' is empty")
        if type(features) is not dict:
            raise Refused("schema", f"'features' is {named(features)}, not an object")
        time_s = self.time(ts, record.timestamp_s)
        apart = NOTHING_APART
        if self._is_veiled:
            id_, apart, features = self.edge.pseudonym(id_), self.edge.apart(features), self.edge.features(features)
        if self._segments_by_key and record.key is not None:
            apart = {**apart, KEY: self.edge.of_key(record.key)}
        shape = self._shape(features)
        key = self.edge.of_key(record.key) if self._by_key and record.key is not None else None
        label, y, fault = table.get("label"), None, None
        if label is not None:
            try:
                y = self.label(label) if type(label) is str else self.read_label(label)
            except Refused as refused:  # told only where nothing is wrong with the features
                fault = refused
        is_sound = all_within(features.values()) if shape.is_plain else self._is_sound(features, shape)
        return Content(id_, time_s, features, shape, is_sound, apart, key, label, y, fault)

    def decode(self, value: bytes | None, *, what: str = "event") -> dict[str, Any]:
        """The object that a record's value is.

        Raises:
            Refused: it is none, or too large.
        """
        if value is None:
            raise Refused("decode", "the record is empty (a tombstone)")
        if len(value) > self._event_max_bytes:
            raise Refused("limits", f"{len(value)} bytes; at most {self._event_max_bytes} are taken")
        try:
            table = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            if value.startswith(lookalikes.BOM):  # some editors begin with it, and readers may pass over it (RFC 8259)
                return self.decode(value.removeprefix(lookalikes.BOM), what=what)
            # orjson takes no NaN, no Infinity, and no 1e999 either.
            raise Refused("decode", f"not JSON: {error}{lookalikes.of_bytes(value)}") from None
        if type(table) is not dict:
            raise Refused("schema", f"the {what} is {named(table)}, not an object{lookalikes.of_value(table)}")
        return table

    def check_string(self, name: str, value: Any) -> None:
        """See that it is a string, and not too long.

        Raises:
            Refused: it is not.
        """
        if type(value) is not str:
            raise Refused("schema", f"{name!r} is {named(value)}, not a string")
        if len(value) > self._string_max:
            raise Refused("limits", f"{name!r} has {len(value)} characters; at most {self._string_max}")

    def label(self, label: Any) -> Any:
        """The label as the task reads it.

        Raises:
            Refused: it cannot.
        """
        if type(label) is str:
            self.check_string("label", label)
        return self.read_label(label)

    def _shape(self, features: dict[str, Any]) -> Shape:
        names_and_types = (*features, *map(type, features.values()))
        shape = self._shapes.get(names_and_types)
        if shape is None:
            if len(self._shapes) >= SHAPES_MAX:
                # A stream of ever new shapes must not make it grow; the usual ones are known again after one event.
                self._shapes.clear()
            shape = self._shapes[names_and_types] = Shape(features)
        return shape

    def _is_sound(self, features: dict[str, Any], shape: Shape) -> bool:
        longest = self._string_max
        return all(len(features[name]) <= longest for name in shape.strings) and all_within(
            [features[name] for name in shape.numbers]
        )


@mypyc_attr(native_class=False)
class SharedRecord(Record):
    """A record that several models are handed, with what was made of it."""

    contents: dict[Reading, Content]


def shared(record: Record) -> SharedRecord:
    """The same record, as several models are handed it."""
    several = SharedRecord(*record)
    several.contents = {}
    return several


def agreed(settings: Settings) -> tuple[Any, ...]:
    """What two models must agree in, so that a record is the same to both of their guards."""
    limits, privacy, hidden = settings.guard, settings.privacy, frozenset(settings.privacy.hidden)
    return (
        (settings.task, settings.positive, settings.computed.by_key, settings.segments.by == KEY),
        (limits.event_max_bytes, limits.string_max, limits.ts_behind_max, limits.ts_ahead_max),
        (hidden, frozenset(privacy.users), privacy.key),
        hidden.intersection((*settings.constraints.groups, *settings.fairness.sensitive)),
    )


def all_within(numbers: Iterable[Any]) -> bool:
    """Whether no number is beyond the bound; their length as a vector, which is computed in C, is larger than any."""
    try:
        return math.hypot(*numbers) <= NUMBER_MAX
    except OverflowError:
        return False

"""The guard: decides which records reach the lane. One NaN would silently destroy a River model.

What it refuses becomes a dead letter; a duplicate is only counted. Neither changes the learning state.
"""

import base64
import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgpack
import orjson

from anabranch.messages import DeadLetter
from anabranch.ports import AcceptedEvent, Record
from anabranch.settings import Settings

_KINDS: dict[type, str] = {float: "number", int: "number", str: "string", bool: "boolean"}
_KEYS = {"id", "ts", "features", "label"}
SHAPES_MAX = 256
"""Combinations of names and types that are recognised at a glance."""

REASON_MAX = 500
"""Characters of a dead letter's reason: it may quote the record, whose strings can be as long as the record."""

NUMBER_MAX = 1e100
"""The largest magnitude of a number. Beyond 1e150 its square is infinite: a scaler then answers NaN for ever, and a
regression tree raises on every later event."""

# What Python reads and RFC 3339 does not know (weeks, no dashes, +02:80) would not be an Event for others.
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:[0-5]\d)?", re.ASCII).fullmatch


class Refused(Exception):
    """A record that may not reach the lane; caught by the guard itself."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


class Guard:
    """Schema, finite numbers, bounds, types as first seen, plausible time, and duplicates.

    `check` is the only way in. Its memory (feature types, labels, ids) grows within the settings' bounds, and only
    by accepted events.
    """

    def __init__(self, settings: Settings) -> None:
        self.model = settings.name
        self.limits = settings.guard
        self.read_label = _label_reader(settings)
        self.labels_max = {"binary": 2, "multiclass": settings.guard.classes_max}.get(settings.task, 0)
        # Read on every event, and reading a pydantic model costs more than an attribute.
        self._event_max_bytes = self.limits.event_max_bytes
        self._string_max = self.limits.string_max
        self._ts_earliest, self._ts_latest = -self.limits.ts_behind_max, self.limits.ts_ahead_max
        self.kinds: dict[str, str] = {}
        self._plain_shapes: set[tuple[Any, ...]] = set()
        self.labels: dict[Any, None] = {}
        self.ids = RecentIds(settings.guard.dedup_window)
        self.accepted = self.refused = self.duplicates = 0

    @property
    def taken(self) -> int:
        """Records that were looked at."""
        return self.accepted + self.refused + self.duplicates

    def check(self, record: Record) -> AcceptedEvent | DeadLetter | None:
        """The event, or the dead letter that says what is wrong with it, or None for a duplicate."""
        try:
            event, new_kinds, label = self._read(record)
        except Refused as refused:
            self.refused += 1
            return self.dead_letter(record, stage=refused.stage, reason=refused.reason)
        if not self.ids.add(event.id):
            self.duplicates += 1
            return None
        if new_kinds:  # only now: neither a refused event nor a duplicate leaves a trace
            self.kinds.update(new_kinds)
        if label is not None and self.labels_max and label not in self.labels:
            self.labels[label] = None
        self.accepted += 1
        return event

    def dead_letter(self, record: Record, *, stage: Any, reason: str) -> DeadLetter:
        """The record as a dead letter."""
        value = record.value or b""
        return DeadLetter(
            id=f"{self.model}/{record.topic}/{record.partition}/{record.offset}",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            stage=stage,
            reason=reason if len(reason) <= REASON_MAX else reason[: REASON_MAX - 1] + "…",
            value_base64=base64.b64encode(value[: self.limits.dead_letter_max_bytes]).decode("ascii"),
            value_bytes=len(value),
        )

    def _read(self, record: Record) -> tuple[AcceptedEvent, dict[str, str], Any]:
        """The event, and what is to be remembered if it is no duplicate: new feature types, and its label."""
        table = self._decode(record.value)
        try:
            id_, ts, features = table["id"], table["ts"], table["features"]
        except KeyError as error:
            raise Refused("schema", f"no {error.args[0]!r}") from None
        if len(table) > 3:
            self._no_more_than_known(table)
        self._check_string("id", id_)
        if not id_:
            raise Refused("schema", "'id' is empty")
        if type(features) is not dict:
            raise Refused("schema", f"'features' is {_named(features)}, not an object")
        time_s = self._time(ts, record.timestamp_s)
        x, new_kinds = self._features(features)
        label = table.get("label")
        y = None if label is None else self._label(label)
        return AcceptedEvent(id_, x, y, time_s, record.partition, record.offset), new_kinds, label

    def _decode(self, value: bytes | None) -> dict[str, Any]:
        if value is None:
            raise Refused("decode", "the record is empty (a tombstone)")
        if len(value) > self._event_max_bytes:
            raise Refused("limits", f"{len(value)} bytes; at most {self._event_max_bytes} are taken")
        try:
            table = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            # orjson takes no NaN, no Infinity, and no 1e999 either.
            raise Refused("decode", f"not JSON: {error}") from None
        if type(table) is not dict:
            raise Refused("schema", f"the event is {_named(table)}, not an object")
        return table

    def _no_more_than_known(self, table: dict[str, Any]) -> None:
        if table.keys() <= _KEYS:
            return
        unknown = next(key for key in table if key not in _KEYS)
        raise Refused("schema", f"unknown key {unknown[:100]!r}")

    def _check_string(self, name: str, value: Any) -> None:
        if type(value) is not str:
            raise Refused("schema", f"{name!r} is {_named(value)}, not a string")
        if len(value) > self._string_max:
            raise Refused("limits", f"{name!r} has {len(value)} characters; at most {self._string_max}")

    def _features(self, features: dict[str, Any]) -> tuple[dict[str, object], dict[str, str]]:
        """The features without the missing ones, and the kinds of those never seen before."""
        shape = (*features, *map(type, features.values()))
        if shape in self._plain_shapes:  # the usual case: numbers and booleans that were all seen before
            if not _all_within(features.values()):
                self._refuse_too_large(features)
            return features, {}
        if len(features) > self.limits.features_max:
            raise Refused("limits", f"{len(features)} features; at most {self.limits.features_max}")
        new: dict[str, str] = {}
        for name, value in features.items():
            self._feature(name, value, new)
        if not new and not {type(None), str} & set(shape[len(features) :]):
            self._remember_shape(shape)
        return {name: value for name, value in features.items() if value is not None}, new

    def _feature(self, name: str, value: Any, new: dict[str, str]) -> None:
        kind = _KINDS.get(type(value))
        if kind is None and value is not None:
            raise Refused("type", f"feature {name[:100]!r} is {_named(value)}")
        if kind == "string":
            self._check_string(name, value)
        elif kind == "number" and not -NUMBER_MAX <= value <= NUMBER_MAX:
            raise _too_large(f"feature {name[:100]!r}", value)
        if kind is not None and self.kinds.get(name) != kind:
            self._new_kind(name, kind, new)

    def _refuse_too_large(self, features: dict[str, Any]) -> None:
        name, value = max(features.items(), key=lambda each: abs(each[1]))
        if abs(value) > NUMBER_MAX:
            raise _too_large(f"feature {name[:100]!r}", value)

    def _remember_shape(self, shape: tuple[Any, ...]) -> None:
        if len(self._plain_shapes) >= SHAPES_MAX:
            self._plain_shapes.clear()
        self._plain_shapes.add(shape)

    def _new_kind(self, name: str, kind: str, new: dict[str, str]) -> None:
        seen = self.kinds.get(name)
        if seen is not None:
            raise Refused("type", f"feature {name!r} is a {kind}; it was a {seen} before")
        self._check_string("a feature's name", name)
        new[name] = kind
        if len(self.kinds) + len(new) > self.limits.shapes_max:
            raise Refused("limits", f"feature {name!r} is new, and {self.limits.shapes_max} names are known already")

    def _label(self, label: Any) -> Any:
        if type(label) is str:
            self._check_string("label", label)
        y = self.read_label(label)
        if self.labels_max and label not in self.labels and len(self.labels) >= self.labels_max:
            known = ", ".join(repr(each) for each in list(self.labels)[:5])
            raise Refused("label", f"label {str(label)[:100]!r} is one too many beside {known}")
        return y

    def _time(self, ts: Any, broker_s: float) -> float:
        """Event time in epoch seconds, within bounds of the broker's timestamp."""
        time_s = ts if type(ts) in (float, int) else _parsed(ts)
        ahead = time_s - broker_s
        if not self._ts_earliest <= ahead <= self._ts_latest:
            side = "after" if ahead > 0 else "before"
            raise Refused("time", f"ts {str(ts)[:40]} lies {abs(ahead):.12g} s {side} the record's timestamp")
        return float(time_s)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "kinds": dict(self.kinds),
            "labels": list(self.labels),
            "ids": self.ids.state(),
            "counts": (self.accepted, self.refused, self.duplicates),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.kinds = dict(state["kinds"])
        self._plain_shapes.clear()
        self.labels = dict.fromkeys(state["labels"])
        self.ids.restore(state["ids"])
        self.accepted, self.refused, self.duplicates = state["counts"]


class RecentIds:
    """The last `window` to 2·`window` ids, in two generations: bounded, and as cheap as two look-ups.

    >>> ids = RecentIds(2)
    >>> [ids.add(each) for each in "abacda"]
    [True, True, False, True, True, False]
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.young: dict[str, None] = {}
        self.old: dict[str, None] = {}

    def add(self, event_id: str) -> bool:
        """Remember an id; False if it was there already."""
        if event_id in self.young or event_id in self.old:
            return False
        if len(self.young) >= self.window:
            self.old, self.young = self.young, {}
        if self.window:
            self.young[event_id] = None
        return True

    def state(self) -> bytes:
        """Packed, since there are many: the state tree would look at each."""
        packed: bytes = msgpack.packb([list(self.old), list(self.young)])
        return packed

    def restore(self, state: bytes) -> None:
        """Go on from a checkpoint."""
        old, young = msgpack.unpackb(state)
        self.old, self.young = dict.fromkeys(old), dict.fromkeys(young)


def _label_reader(settings: Settings) -> Any:
    if settings.numeric:
        return _number
    if settings.task == "multiclass":
        return _category
    positive = settings.positive
    return _truth if positive is None else lambda label: _is_positive(label, positive)


def _number(label: Any) -> float:
    if type(label) in (float, int):
        if not -NUMBER_MAX <= label <= NUMBER_MAX:
            raise _too_large("label", label)
        return float(label)
    raise Refused("label", f"label is {_named(label)}, not a number")


def _too_large(what: str, number: float) -> Refused:
    return Refused("limits", f"{what} is {number:g}; numbers up to ±{NUMBER_MAX:g} are taken")


def _category(label: Any) -> Any:
    if type(label) in (str, int, bool):
        return label
    raise Refused("label", f"label is {_named(label)}, not a string, an integer or a boolean")


def _truth(label: Any) -> bool:
    if label in (0, 1) and type(label) is not str:
        return bool(label)
    hint = "; name the positive class with `positive` in the configuration" if type(label) is str else ""
    raise Refused("label", f"label {str(label)[:100]!r} is not true, false, 0 or 1{hint}")


def _is_positive(label: Any, positive: str) -> bool:
    if type(label) is str:
        return label == positive
    raise Refused("label", f"label is {_named(label)}, not a string")


def _parsed(ts: Any) -> float:
    if type(ts) is not str:
        raise Refused("time", f"'ts' is {_named(ts)}, not RFC 3339 or epoch seconds")
    try:
        if not _RFC_3339(ts):
            raise ValueError(ts)
        parsed = datetime.fromisoformat(ts.upper())
    except ValueError:
        raise Refused("time", f"'ts' {ts[:40]!r} is not RFC 3339") from None
    if parsed.tzinfo is None:
        raise Refused("time", f"'ts' {ts[:40]!r} names no time zone")
    return parsed.timestamp()


def _named(value: Any) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return "null" if value is None else names[type(value)]


def _all_within(numbers: Iterable[Any]) -> bool:
    """Whether no number is beyond the bound; their length as a vector, which is computed in C, is larger than any."""
    try:
        return math.hypot(*numbers) <= NUMBER_MAX
    except OverflowError:
        return False

"""What becomes of an event on its way: the record, the accepted event, the prediction, and what signals find in it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from anabranch.messages import CountedSignal, MovedFeature, SignalKind


class Partition(NamedTuple):
    """A partition of a topic: what a position counts in."""

    topic: str
    number: int


Headers = Sequence[tuple[str, bytes]]
"""What a record carries beside its key and value."""


class Record(NamedTuple):
    """One record of the log, as it came."""

    topic: str
    partition: int
    offset: int
    timestamp_s: float
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    """Where events are read, those of its trace alone: nothing of an event stands in them."""


NOTHING_APART: Mapping[str, object] = {}
"""Shared by all events, and never written to. (A proxy that could not be would keep lanes from being pickled.)"""


class AcceptedEvent(NamedTuple):
    """An event that the guard let through; `x` has no missing values, `y` is None while unknown."""

    id: str
    x: dict[str, object]
    y: object
    ts: float
    partition: int
    offset: int
    apart: Mapping[str, object] = NOTHING_APART
    """Hidden features that groups are made of, and nothing else: they are no part of `x`."""

    @property
    def grouped_by(self) -> Mapping[str, object]:
        """The features that groups may be made of, the hidden ones among them."""
        return {**self.x, **self.apart} if self.apart else self.x

    def kept(self) -> tuple[Any, ...]:
        """For checkpoints: without `apart` where there is nothing in it, as it was before there was that."""
        return tuple(self) if self.apart else tuple(self)[:-1]


class AcceptedLabel(NamedTuple):
    """A label that the guard let through; `y` is as the task reads it, None where there can be none."""

    id: str
    """Of the event."""
    y: Any
    ts: float
    revision: int
    blocked: str
    """Why there can be no label; empty where there is one."""
    topic: str
    partition: int
    offset: int
    value: bytes = b""
    """The record's, for the dead letter of a label whose event never comes."""


class Prediction(NamedTuple):
    """A prediction: the label or number, and the probabilities where the task wants them."""

    value: Any
    proba: dict[Any, float] | None = None
    unusable: str = ""
    """Why what the model answered cannot be used; then there is neither value nor probabilities."""


class Shift(NamedTuple):
    """What a signal found when it fired."""

    statistic: float
    threshold: float
    window_events: int
    """Events since the estimated change, the firing one included."""
    moved: tuple[MovedFeature, ...] = ()


class Fired(NamedTuple):
    """A signal that fired, by its configured name."""

    name: str
    shift: Shift
    kind: SignalKind = "error"


class Findings(NamedTuple):
    """The signals that fired on one event, and what the trigger made of them."""

    fired: tuple[Fired, ...]
    triggered: bool
    counted: tuple[CountedSignal, ...] = ()
    withheld: str = ""
    dry_run: bool = False


# ── To which trace a record belongs (W3C Trace Context): what is carried on to what comes of it ────────────────────

STATE_MAX = 512
"""Bytes of `tracestate` that are passed on, at most; a longer one is left out, as the recommendation allows."""

# Neither all zeros nor version ff is one; what a later version adds comes after these fields.
_PARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{1,100})?"
)


def carried(headers: Headers) -> list[tuple[str, bytes]]:
    """Those of the headers that say to which trace something belongs; none where there is no usable `traceparent`.

    >>> parent = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    >>> carried([("content-type", b"x"), parent, ("tracestate", b"vendor=1")])
    [('traceparent', b'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'), ('tracestate', b'vendor=1')]
    >>> carried([("traceparent", b"00-00000000000000000000000000000000-00f067aa0ba902b7-01")])
    []
    """
    found = {name.lower(): value for name, value in headers if name.lower() in ("traceparent", "tracestate")}
    parent, state = found.get("traceparent", b""), found.get("tracestate", b"")
    if not _PARENT.fullmatch(parent):
        return []
    return [("traceparent", parent), *([("tracestate", state)] if 0 < len(state) <= STATE_MAX else [])]

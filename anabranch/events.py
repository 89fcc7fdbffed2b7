"""What becomes of an event on its way: the record, the accepted event, the prediction, and what signals find in it."""

from collections.abc import Sequence
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


class AcceptedEvent(NamedTuple):
    """An event that the guard let through; `x` has no missing values, `y` is None while unknown."""

    id: str
    x: dict[str, object]
    y: object
    ts: float
    partition: int
    offset: int


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

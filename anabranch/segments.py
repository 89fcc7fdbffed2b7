"""Segments: which one an event is in, by the value of a feature; and the models that answer for some of them."""

from typing import Any

from anabranch.messages import SegmentModel

SEGMENT_MAX = 256
"""Characters of a segment: an event with a longer value is in none."""


def key_of(model: str, scope: str, segment: str) -> str:
    """Under which the model of a segment is announced."""
    return f"{model}/{scope}/{segment}"


def order_of(message: SegmentModel) -> tuple[int, int]:
    """What messages of one segment are ordered by."""
    return message.epoch, message.event_number


def segment_of(value: Any) -> str | None:
    """The segment that a value names, the same here and in every process; None: it names none.

    >>> segment_of("acme"), segment_of(7), segment_of(7.0), segment_of(True), segment_of(2.5), segment_of(None)
    ('acme', '7', '7', 'true', '2.5', None)
    """
    if type(value) is str:
        return value if 0 < len(value) <= SEGMENT_MAX else None
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if type(value) is int else None

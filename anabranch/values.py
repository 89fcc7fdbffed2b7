"""Plain values that rooms agree on: the bounds of numbers, what stands for an unusable prediction, moments as text.

>>> rfc_3339("2026-11-25 10:00:00+00"), rfc_3339("2026-11-25T10:00:00.5 UTC"), rfc_3339("2026-11-25T10:00:00+0530")
('2026-11-25T10:00:00+00:00', '2026-11-25T10:00:00.5+00:00', '2026-11-25T10:00:00+05:30')
>>> rfc_3339("2026-11-25 10:00:00"), rfc_3339("25.11.2026 10:00:00Z")
(None, None)
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

NUMBER_MAX = 1e100
"""The largest magnitude of a number. Beyond 1e150 its square is infinite: a scaler then answers NaN for ever, and a
regression tree raises on every later event."""

SUM_LEAST, SUM_MOST = 0.999, 1.001
"""What probabilities may sum to: rounding in single precision stays far within."""

KINDS: dict[type, str] = {float: "number", int: "number", str: "string", bool: "boolean"}
"""What a feature's or a label's value can be, by its type."""


def worst(y: Any, *, numeric: bool) -> Any:
    """An answer that is certainly wrong: for numbers beyond all bounds.

    >>> worst(True, numeric=False), worst("red", numeric=False), worst(7.5, numeric=True)
    (False, None, 1e+100)
    """
    if numeric:
        return NUMBER_MAX
    return not y if isinstance(y, bool) else None


def worst_probabilities(y: Any) -> dict[Any, float]:
    """Probabilities that are certain of what is wrong."""
    return {y: 0.0, not y: 1.0} if isinstance(y, bool) else {y: 0.0}


# ── Moments as people and databases write them: RFC 3339, and the usual spellings of its zones ──────────────────────

EARLIEST_S, LATEST_S = -62_135_596_800.0, 253_402_300_800.0
"""The years 1 to 9999 in epoch seconds: what a date can say."""

# What Python reads and RFC 3339 does not know (weeks, no dashes, +02:80) would not be an Event for others.
_INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)"
    r" ?(?:([Zz]|UTC|GMT)|([+-]\d\d)(?::?([0-5]\d))?)",
    re.ASCII,
).fullmatch


def rfc_3339(text: str) -> str | None:
    """The moment in RFC 3339; None if it is no moment, or names no zone. `+00`, `+0000`, ` UTC` and ` GMT` are read."""
    found = _INSTANT(text)
    if found is None:
        return None
    date, time, zulu, hours, minutes = found.groups()
    zone = "+00:00" if zulu else f"{hours}:{minutes or '00'}"
    return f"{date}T{time}{zone}"


def epoch_s(text: str) -> float | None:
    """The moment in epoch seconds; None as with `rfc_3339`, or if there is no such day or hour."""
    moment = rfc_3339(text)
    try:
        return None if moment is None else datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError):
        return None


def spelt_out(ts: Any) -> Any:
    """A text with its zone as RFC 3339 writes it; everything else as it is."""
    return rfc_3339(ts) or ts if type(ts) is str else ts


def usable(answer: Any) -> bool:
    """Whether a model's answer is one: a label, a number within bounds, or shares of 1 by label.

    >>> usable("red"), usable(1.5), usable({True: 0.5, False: 0.5})
    (True, True, True)
    >>> usable(None), usable(float("nan")), usable({}), usable({True: 0.9, False: 0.9})
    (False, False, False, False)
    """
    if isinstance(answer, dict):
        shares = list(answer.values())
        return bool(SUM_LEAST <= sum(shares) <= SUM_MOST and min(shares) >= 0.0)
    return isinstance(answer, str) or (answer is not None and bool(-NUMBER_MAX <= answer <= NUMBER_MAX))


def plain(value: Any) -> Any:
    """An answer as JSON knows it: a NumPy scalar, as which some models answer, as Python's."""
    return unboxed(value) if hasattr(value, "item") else value


def as_key(label: Any) -> str:
    """A label as a key of JSON.

    >>> as_key(True), as_key(3), as_key("red")
    ('true', '3', 'red')
    """
    value = plain(label)
    return str(value).lower() if isinstance(value, bool) else str(value)


def unboxed(scalar: Any) -> Any:
    """NumPy's numbers, as which some models answer, as Python's: msgpack's `default`."""
    return scalar.item()


def whole_label(label: Any) -> Any:
    """A whole number is the same label with and without a fraction of 0."""
    return int(label) if isinstance(label, float) else label


def label_reader(task: str, positive: str | None) -> Callable[[Any], Any]:
    """How a task reads labels that its learner has accepted."""
    if task in ("regression", "reco", "rank"):
        return float
    if task == "multiclass":
        return whole_label
    return bool if positive is None else lambda label: label == positive

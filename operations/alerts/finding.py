"""What a rule finds of a model: a value, its bound, and whether it is beyond it; and when that cannot be said."""

from typing import NamedTuple

from config.alerts import AlertRule
from config.settings import Settings


class Moment(NamedTuple):
    """When it is judged, and since when the topics could be heard: silence before that is none."""

    now_s: float
    listening_s: float = 0.0


class Finding(NamedTuple):
    """What a rule finds."""

    is_on: bool
    value: float
    threshold: float
    said: str
    """The value in words, beside its bound."""
    since_s: float | None = None
    """When it began, where the topics tell it."""


class Asked(NamedTuple):
    """What a rule is asked with."""

    rule: AlertRule
    settings: Settings
    moment: Moment

    @property
    def now_s(self) -> float:
        """Epoch seconds."""
        return self.moment.now_s


def against(rule: AlertRule, value: float, said: str, *, since_s: float | None = None) -> Finding:
    """A value beside the bound of its rule."""
    if rule.above is not None:
        return Finding(value > rule.above, value, rule.above, said, since_s)
    assert rule.below is not None, "the settings want one of both"
    return Finding(value < rule.below, value, rule.below, said, since_s)


def duration(seconds: float) -> str:
    """As people say it.

    >>> duration(42), duration(200), duration(7200), duration(200_000)
    ('42 s', '3 min', '2.0 h', '2.3 d')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def listed(names: list[str], *, most: int = 5) -> str:
    """Some of them, in order.

    >>> listed(["b", "a"]), listed(["c", "b", "a"], most=2)
    ('a, b', 'a, b and 1 more')
    """
    shown = ", ".join(sorted(names)[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown

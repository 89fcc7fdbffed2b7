"""Rates of groups, how far they lie apart, and intervals that hold at every event at once; all from counts.

The interval is Robbins' mixture: with s successes among n, and B the beta function, M(p) = B(½ + s, ½ + n − s) /
(B(½, ½) · pˢ · (1 − p)ⁿ⁻ˢ) is a martingale where p is the rate, so that it ever reaches 1/α with a probability of at
most α. The rates p at which it has not are the interval. Since the function of a value that is summed up is convex, it
holds for the mean of any values in [0, 1], and not of 0 and 1 alone.

It is a function of s and n, so nothing is kept for it, intervals of two stretches are had by adding up their counts,
and nothing is computed before somebody asks. `arena.evidence` keeps sums for its intervals, since it knows nothing of
the variance of its differences; on rates both are as wide (1.0 to 1.2 times this one, 100 to 10,000 events).

Where the rate changes meanwhile, the interval holds for the mean of the rates so far at each event taken by itself (by
the inequality of arithmetic and geometric means), but no longer at all of them at once.

Sources: Robbins, "Statistical methods related to the law of the iterated logarithm" (1970); Howard, Ramdas, McAuliffe
and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021).

>>> low, high = Rate(30, 100).interval(alpha=0.05)
>>> round(low, 3), round(high, 3)
(0.166, 0.463)
>>> rates = {"under 30": Rate(30, 100), "30 and over": Rate(500, 1000)}
>>> found = gap({group: rate.measured(alpha=0.05 / 2) for group, rate in rates.items()})
>>> found.least, found.most, round(found.difference, 3), round(found.ratio, 3)
('under 30', '30 and over', 0.2, 0.6)
>>> round(found.low, 3), round(found.high, 3)
(0.0, 0.402)
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

EVENTS_MIN = 30
"""A rate over fewer events of a group says nothing."""

_HALVINGS = 40
_LOG_PRIOR = math.log(math.pi)
"""The logarithm of B(½, ½)."""


class Rate(NamedTuple):
    """A mean of values in [0, 1].

    Args:
        total: their sum.
        events: how many there are.
    """

    total: float
    events: int

    @property
    def value(self) -> float | None:
        """The mean; None of nothing."""
        return self.total / self.events if self.events else None

    def measured(self, *, alpha: float) -> "Measured | None":
        """Its value and its interval; None of fewer than `EVENTS_MIN` events."""
        return Measured(self.total / self.events, *self.interval(alpha=alpha)) if self.events >= EVENTS_MIN else None

    def interval(self, *, alpha: float) -> tuple[float, float]:
        """The interval in which the rate lies, at every event at once, with a probability of at least 1 − `alpha`."""
        if not self.events:
            return 0.0, 1.0
        # Rounding may have left a sum of probabilities a little outside.
        hits = min(max(self.total, 0.0), float(self.events))
        misses = self.events - hits
        # log M(p) < log 1/α, with what does not depend on p on the right.
        bound = -math.log(alpha) + _LOG_PRIOR - _log_beta(hits + 0.5, misses + 0.5)
        middle = hits / self.events
        return _end(hits, misses, bound, inside=middle, outside=0.0), _end(
            hits, misses, bound, inside=middle, outside=1.0
        )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _end(hits: float, misses: float, bound: float, *, inside: float, outside: float) -> float:
    """Where the martingale reaches its bound between a rate that is inside and the end of all rates, by bisection."""
    if inside == outside:
        return outside
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if -hits * math.log(middle) - misses * math.log1p(-middle) < bound:
            inside = middle
        else:
            outside = middle
    return outside


class Measured(NamedTuple):
    """What was measured of a group: a rate, or a difference of rates, with the ends of its interval."""

    value: float
    low: float
    high: float


class Gap(NamedTuple):
    """How far the highest and the lowest value of several groups lie apart.

    Args:
        difference: of both.
        low, high: the ends of its interval.
        ratio: of the lowest to the highest; None where the highest is not above 0.
        ratio_low, ratio_high: likewise.
        most, least: the groups.
    """

    difference: float
    low: float
    high: float
    ratio: float | None
    ratio_low: float
    ratio_high: float
    most: str
    least: str


def gap(groups: Mapping[str, Measured]) -> Gap | None:
    """The gap between groups; None with fewer than two.

    Its interval holds where all of theirs do: divide the error that it may have by the number of groups there can be.
    """
    if len(groups) < 2:
        return None
    values = {name: each.value for name, each in groups.items()}
    most, least = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    # The highest rate is at least the highest lower end, and at most the highest upper end; likewise the lowest.
    highest = max(each.low for each in groups.values()), max(each.high for each in groups.values())
    lowest = min(each.low for each in groups.values()), min(each.high for each in groups.values())
    return Gap(
        difference=values[most] - values[least],
        low=max(0.0, highest[0] - lowest[1]),
        high=highest[1] - lowest[0],
        ratio=values[least] / values[most] if values[most] > 0 else None,
        ratio_low=lowest[0] / highest[1] if highest[1] > 0 else 0.0,
        ratio_high=min(1.0, lowest[1] / highest[0]) if highest[0] > 0 else 1.0,
        most=most,
        least=least,
    )


def worst(gaps: Iterable[Gap | None]) -> Gap | None:
    """Of several gaps the largest, with an interval for whichever is the largest; None if one is missing."""
    several = list(gaps)
    known = [each for each in several if each is not None]
    if not known or len(known) < len(several):
        return None
    widest = max(known, key=lambda each: each.difference)
    ratios = [each.ratio for each in known if each.ratio is not None]
    return widest._replace(
        low=max(each.low for each in known),
        high=max(each.high for each in known),
        ratio=min(ratios) if len(ratios) == len(known) else None,
        ratio_low=min(each.ratio_low for each in known),
        ratio_high=min(each.ratio_high for each in known),
    )

"""Which group of people or things an event is in: the value of one feature, or the band in which a number lies.

>>> age = Grouping("age", edges=(30, 60))
>>> [age.of({"age": each}) for each in (29, 30, 60)]
['under 30', '30 to 60', '60 and over']
>>> age.of({"country": "FR"}) is None
True
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from config.settings import Settings


class Grouping:
    """The groups by one feature.

    Args:
        edges: between the bands of a number, growing; each belongs to the band above it. Without any, each value is a
            group.
    """

    __slots__ = ("edges", "feature", "names")

    def __init__(self, feature: str, *, edges: Iterable[float] = ()) -> None:
        self.feature = feature
        self.edges = tuple(edges)
        self.names = _names(self.edges)

    def of(self, x: dict[str, Any]) -> str | None:
        """The group of an event with these features; None if it lacks the feature: then it is in no group."""
        value = x.get(self.feature)
        if value is None:
            return None
        if self.edges and isinstance(value, int | float):
            return self.names[bisect_right(self.edges, value)]
        return value if type(value) is str else str(value)


def _names(edges: tuple[float, ...]) -> tuple[str, ...]:
    if not edges:
        return ()
    told = [f"{each:g}" for each in edges]
    between = [f"{low} to {high}" for low, high in pairwise(told)]
    return (f"under {told[0]}", *between, f"{told[-1]} and over")


def groupings(features: Iterable[str], settings: Settings) -> tuple[Grouping, ...]:
    """The groups by each of these features, in the bands that are configured."""
    bands = settings.fairness.bands
    return tuple(Grouping(feature, edges=bands.get(feature, ())) for feature in features)

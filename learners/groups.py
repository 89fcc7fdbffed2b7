"""How a model does on each group of people or things: the gap between the best and the worst served.

>>> groups = Groups("country", window=1000)
>>> for n in range(100):
...     groups.update({"country": "FR"}, 1.0)
...     groups.update({"country": "PT"}, n % 2)
>>> groups.gap(last=200)
0.5
"""

from collections import defaultdict, deque
from itertools import islice
from typing import Any

EVENTS_MIN = 30
"""A rate over fewer events of a group says nothing."""


class Groups:
    """A rate (of right answers, or of positive ones) by the value of one feature, over a window of events."""

    __slots__ = ("feature", "recent")

    def __init__(self, feature: str, *, window: int) -> None:
        self.feature = feature
        self.recent: deque[tuple[Any, float]] = deque(maxlen=window)

    def __len__(self) -> int:
        return len(self.recent)

    def update(self, x: dict[str, object], value: float) -> None:
        """Take in one event; one without the feature is in no group."""
        group = x.get(self.feature)
        if group is not None:
            self.recent.append((group, value))

    def gap(self, *, last: int) -> float:
        """The highest less the lowest rate over the last so many events; 0 with fewer than two groups."""
        values = defaultdict(list)
        for group, value in islice(self.recent, max(0, len(self.recent) - last), None):
            values[group].append(value)
        rates = [sum(each) / len(each) for each in values.values() if len(each) >= EVENTS_MIN]
        return max(rates) - min(rates) if len(rates) > 1 else 0.0

    def state(self) -> list[tuple[Any, float]]:
        """What a checkpoint keeps."""
        return list(self.recent)

    def restore(self, state: list[tuple[Any, float]]) -> None:
        """Go on from a checkpoint."""
        self.recent.clear()
        self.recent.extend(state)

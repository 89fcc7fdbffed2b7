"""Augmentation: what a retrained recruit learns besides the events themselves, drawn with the job's seed.

Events of rarer classes are learned more than once; the repeats may carry noise on their numbers. It changes what a
probability means, as every resampling does: choose between it and a proper loss with care.
"""

import random
from collections import Counter
from typing import Any

from river import stats

from anabranch.events import AcceptedEvent
from config.settings import Augment


class Repeats:
    """Draws how often an event is learned again, and with which numbers.

    >>> repeats = Repeats(Augment(minority=3.0), seed=1)
    >>> event = AcceptedEvent("e", {"a": 1.0}, False, 0.0, 0, 0)
    >>> common = sum(len(repeats.of(event)) for _ in range(100))
    >>> rare = sum(len(repeats.of(event._replace(y=True))) for _ in range(50))
    >>> common, rare
    (0, 100)
    """

    def __init__(self, augment: Augment, *, seed: int) -> None:
        self.again = augment.minority - 1.0
        self.jitter = augment.jitter
        self.rng = random.Random(seed)
        self.seen: Counter[Any] = Counter()
        self.spread: dict[str, stats.Var] = {}

    def of(self, event: AcceptedEvent) -> list[dict[str, object]]:
        """The features to learn once more, with the event's own label; none for the commonest class."""
        if not self.again:
            return []
        self.seen[event.y] += 1
        if self.jitter:
            self._measure(event.x)
        if self.seen[event.y] == max(self.seen.values()):
            return []
        whole = int(self.again)
        times = whole + (self.rng.random() < self.again - whole)
        return [self._moved(event.x) for _ in range(times)]

    def _measure(self, x: dict[str, object]) -> None:
        for name, value in x.items():
            if type(value) is float or type(value) is int:
                self.spread.setdefault(name, stats.Var()).update(value)

    def _moved(self, x: dict[str, object]) -> dict[str, object]:
        """The features with noise on the numbers; without jitter as they are."""
        if not self.jitter:
            return x
        return {name: self._noisy(name, value) for name, value in x.items()}

    def _noisy(self, name: str, value: object) -> object:
        if name not in self.spread or type(value) not in (float, int):
            return value
        return value + self.rng.gauss(0.0, self.jitter * self.spread[name].get() ** 0.5)  # type: ignore[operator]

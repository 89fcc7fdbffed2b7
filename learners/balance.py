"""How labels are distributed lately, beside how they were when the champion began: for people, and no signal.

>>> import random
>>> rng = random.Random(7)
>>> balance = LabelBalance(numeric=False)
>>> for n in range(REFERENCE_LABELS + WINDOW_LABELS):
...     full = balance.update(rng.random() < (0.05 if n < REFERENCE_LABELS else 0.3))
>>> report = balance.report()
>>> [(each.label, each.before, each.now) for each in report.shares], round(report.effect, 2)
([('false', 0.948, 0.664), ('true', 0.052, 0.336)], 0.78)
"""

import math
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from anabranch.messages import LabelBalanceReport, LabelShare
from anabranch.values import as_key

REFERENCE_LABELS, WINDOW_LABELS, BLOCKS = 500, 500, 5
BLOCK_LABELS = WINDOW_LABELS // BLOCKS
"""An effect between so many has a standard deviation of .063, whatever the shares: .4 is six of them."""
NAMED_MAX = 10
"""Labels that are told by name: those that were most when the champion began. All others are one."""
OTHERS = "all others"
EFFECT_MAX = 100.0
"""Where a constant has become another one, an effect would be infinite."""


class Moments(NamedTuple):
    """How many, their mean, and the squared distances from it: two add up without cancellation (Chan et al., 1979)."""

    size: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def plus(self, other: "Moments") -> "Moments":
        """Of both together."""
        size = self.size + other.size
        if not size:
            return self
        apart = other.mean - self.mean
        mean = self.mean + apart * other.size / size
        return Moments(size, mean, self.squares + other.squares + apart * apart * self.size * other.size / size)

    @property
    def sd(self) -> float:
        """The standard deviation."""
        return math.sqrt(self.squares / self.size) if self.size else 0.0


class _Shares:
    """Counts by label."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.count = 0

    def add(self, ys: list[Any]) -> None:
        for y, times in Counter(ys).items():
            self.counts[as_key(y)] += times
        self.count += len(ys)

    def state(self) -> dict[str, int]:
        return dict(self.counts)

    def restore(self, state: dict[str, int]) -> None:
        self.counts = Counter(state)
        self.count = self.counts.total()


class _Numbers:
    """The moments of labels that are numbers."""

    def __init__(self) -> None:
        self.moments = Moments()

    def add(self, ys: list[Any]) -> None:
        for y in ys:
            self.moments = self.moments.plus(Moments(1, float(y), 0.0))

    @property
    def count(self) -> int:
        return self.moments.size

    def state(self) -> list[float]:
        return list(self.moments)

    def restore(self, state: list[float]) -> None:
        size, mean, squares = state
        self.moments = Moments(int(size), mean, squares)


class LabelBalance:
    """The first labels that a champion was scored on, and the latest, in the order in which they have come.

    Memory: what of the first ones is there by name, and the counts of so many blocks; of numbers only moments. They are
    counted many at a time, or when somebody asks.
    """

    def __init__(self, *, numeric: bool) -> None:
        self.make: type[_Shares] | type[_Numbers] = _Numbers if numeric else _Shares
        self.start_over()

    def start_over(self) -> None:
        """Another champion begins."""
        self.reference: _Shares | _Numbers = self.make()
        self.block: _Shares | _Numbers = self.make()
        self.blocks: deque[_Shares | _Numbers] = deque(maxlen=BLOCKS)
        self.uncounted: list[Any] = []
        self._room = REFERENCE_LABELS

    def update(self, y: Any) -> bool:
        """One label; whether a block is full with it, and the report another one."""
        self.uncounted.append(y)
        return len(self.uncounted) >= self._room and self._count()

    def _count(self) -> bool:
        """Count what has come since, which fits into what is counted in now; whether a block is full."""
        into = self.reference if self.reference.count < REFERENCE_LABELS else self.block
        into.add(self.uncounted)
        self.uncounted = []
        is_full = self.block.count >= BLOCK_LABELS
        if is_full:
            self.blocks.append(self.block)
            self.block = self.make()
        missing = REFERENCE_LABELS - self.reference.count
        self._room = missing if missing > 0 else BLOCK_LABELS - self.block.count
        return is_full

    def report(self) -> LabelBalanceReport | None:
        """None until there is something to compare: the first labels, and then a window of them."""
        self._count()
        if len(self.blocks) < BLOCKS:
            return None
        if isinstance(self.reference, _Numbers):
            several = [each.moments for each in self.blocks if isinstance(each, _Numbers)]
            return _of_numbers(self.reference.moments, several)
        return _of_shares(self.reference.counts, [each.counts for each in self.blocks if isinstance(each, _Shares)])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        self._count()
        return {
            "reference": self.reference.state(),
            "block": self.block.state(),
            "blocks": [each.state() for each in self.blocks],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.start_over()
        self.reference.restore(state["reference"])
        self.block.restore(state["block"])
        for each in state["blocks"]:
            self.blocks.append(self.make())
            self.blocks[-1].restore(each)
        self._count()


def _of_numbers(before: Moments, several: Iterable[Moments]) -> LabelBalanceReport:
    now = Moments()
    for each in several:
        now = now.plus(each)
    return LabelBalanceReport(
        events_before=before.size,
        events=now.size,
        effect=_cohens_d(before, now),
        mean_before=before.mean,
        mean=now.mean,
        sd_before=before.sd,
        sd=now.sd,
    )


def _cohens_d(before: Moments, now: Moments) -> float:
    """How far the mean has moved, in standard deviations (Cohen, 1988)."""
    apart, spread = abs(now.mean - before.mean), math.sqrt((before.sd**2 + now.sd**2) / 2)
    if not spread:
        return EFFECT_MAX if apart else 0.0
    return min(EFFECT_MAX, apart / spread)


def _of_shares(before: Counter[str], several: Iterable[Counter[str]]) -> LabelBalanceReport:
    now = sum(several, Counter[str]())
    every = before.keys() | now.keys()
    ranked = sorted(every, key=lambda each: (-before[each], -now[each], each))
    named = ranked if len(ranked) <= NAMED_MAX else ranked[: NAMED_MAX - 1]
    counts = [(each, before[each], now[each]) for each in named]
    if len(named) < len(ranked):
        left = ranked[len(named) :]
        counts.append((OTHERS, sum(before[each] for each in left), sum(now[each] for each in left)))
    was, found = before.total(), now.total()
    shares = tuple(LabelShare(label=label, before=b / was, now=n / found) for label, b, n in counts)
    most = max(shares, key=lambda each: _cohens_h(each.before, each.now))
    effect = _cohens_h(most.before, most.now)
    return LabelBalanceReport(events_before=was, events=found, effect=effect, shares=shares, furthest=most.label)


def _cohens_h(before: float, now: float) -> float:
    """How far apart two shares lie: as far for 1 % and 8 % as for 50 % and 69 % (Cohen, 1988)."""
    return 2 * abs(math.asin(math.sqrt(now)) - math.asin(math.sqrt(before)))

r"""Off-policy evidence: whether a ranker's lists would earn more than the champion's, by lists that others have shown.

A list of n items was shown, drawn so that item i was in it with the probability p_i. Whatever was shown, of a shadow
and a champion that would have listed the items S and C at that moment

    x = 1/n · (Σ (1/p_i) · [i is in S \ C and taken, or in C \ S and not taken] − |C \ S|),  over the items i shown

has the mean V(shadow) − V(champion), V being the share that would be taken of what a ranker lists. What the champion
alone lists is counted by what of it was *not* taken, so that x is never below −1, however improbable an item was: that
is all that a bet needs, and no weight has to be cut. Where both list the same, x is 0. It is of a list and not of an
item, since items of one list are drawn together; and what a member would list is asked with the list's first item,
before any of its labels is learned.

Sources: Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro, "Anytime-valid off-policy inference for contextual
bandits" (2022), for importance-weighted bets without a bound on the weights and for the mirrored reward; Shin, Ramdas
and Rinaldo, "E-detectors" (2023), as in `learners.arena.evidence`.

One list in ten is one item of a hundred, each as probable as any other; the shadow's is taken twice in three times, the
champion's once:

>>> import random
>>> rng, contest = random.Random(3), ListContest()
>>> def shown():
...     item = rng.choice(range(100)) if rng.random() < 0.1 else 0  # the champion lists item 0, the shadow item 1
...     weight = 1 / (0.9 * (item == 0) + 0.001)
...     taken = rng.random() < (0.67 if item == 1 else 0.33)
...     ahead, behind = weight * (item == 1), weight * (item == 0)
...     return ahead * taken + behind * (not taken) - 1, behind * taken + ahead * (not taken) - 1
>>> next(n for n in range(1, 10**6) if contest.compare(*shown()) >= 10_000)
7571
>>> low, high = contest.interval.ends()
>>> round(low, 2) < 0.34 < round(high, 2)
True
"""

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Self

from anabranch.ranking import PROPENSITY, SHOWN, text
from learners.arena.evidence import CONFIDENCE_ALPHA, EVIDENCE_MAX, Contest

STAKES = tuple(2.0**-k for k in range(1, 15))
"""Smaller ones than for losses: an item that one list in a thousand shows counts a thousand times."""
BESIDE_MAX = 64
"""The impressions of a list come before so many newer lists have come, or count for nothing."""
OPEN_MAX = 16_384
"""Lists whose items wait for their labels; of more, the oldest counts as it is."""

Compared = dict[str, tuple[float, float]]
"""What a list says: by shadow x, and x with the sides exchanged."""


class LowerBound:
    """A lower confidence sequence for a mean of values that are at least −1, of sums alone.

    For each stake λ, Π (1 + λ·x) / (1 + λ·m)ᵗ is a test martingale's lower bound if m is the mean of the values'
    conditional means, by the inequality of arithmetic and geometric means. So all m are refused at which the average
    over the stakes has reached 2/α.
    """

    __slots__ = ("count", "logs")

    def __init__(self) -> None:
        self.count = 0
        self.logs = [0.0] * len(STAKES)

    def update(self, x: float) -> None:
        """Take in one value."""
        self.count += 1
        self.logs = [log + math.log1p(lam * x) for log, lam in zip(self.logs, STAKES, strict=True)]

    def end(self) -> float:
        """The least mean that is not refused, within [−1, 1]."""
        low, high = -1.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self.refuses(middle) else (low, middle)
        return low

    def refuses(self, mean: float, *, shadows: float = 1.0) -> bool:
        """Whether the mean lies below it; by an interval that holds for so many shadows at once."""
        exponents = [log - self.count * math.log1p(lam * mean) for log, lam in zip(self.logs, STAKES, strict=True)]
        wealth = sum(math.exp(min(each, math.log(EVIDENCE_MAX))) for each in exponents) / len(STAKES)
        return wealth >= 2 * shadows / CONFIDENCE_ALPHA


class Difference:
    """A confidence sequence for V(shadow) − V(champion): the upper end is the lower one with the sides exchanged."""

    __slots__ = ("ahead", "behind")

    def __init__(self) -> None:
        self.ahead, self.behind = LowerBound(), LowerBound()

    @property
    def count(self) -> int:
        """Lists."""
        return self.ahead.count

    def update(self, d: float, behind: float = 0.0, /) -> None:
        """Take in one list: x, and x with the sides exchanged."""
        self.ahead.update(d)
        self.behind.update(behind)

    def ends(self) -> tuple[float, float]:
        """The lower and the upper end, within [−1, 1]."""
        return self.ahead.end(), -self.behind.end()


class ListContest(Contest):
    """One ranker against the champion by lists that were shown. Its interval is over all of them, from the first on.

    A win takes both: the evidence of the e-detector, and an interval above the least useful gain. Improbable items make
    steps so large that the e-detector between equals comes near its own bound: within A lists some three in ten would
    win. The interval is wrong in one contest of forty, divided among the shadows, however long it lasts.

    Args:
        alone: the evidence that a win takes against one shadow; None: there is one.
    """

    __slots__ = ("alone", "sequence")

    stakes = STAKES

    def __init__(self, *, min_gain: float = 0.0, alone: float | None = None) -> None:
        super().__init__(min_gain=min_gain)
        self.alone = alone
        self.interval = self.sequence = Difference()

    def won(self, wins_at: float, *, times_ties: float = 1.0) -> bool:
        """Whether the evidence suffices, and the interval lies above the least useful gain."""
        shadows = wins_at / (self.alone or wins_at)
        is_sure = super().won(wins_at, times_ties=times_ties)
        return is_sure and self.sequence.ahead.refuses(self.min_gain, shadows=shadows)

    def compare(self, ahead: float, behind: float) -> float:
        """Take in one list: x, and x with the sides exchanged; the evidence after it."""
        self.events += 1
        self.total += ahead
        self.sequence.update(ahead, behind)
        return self._bet(ahead)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        sides = (self.sequence.ahead, self.sequence.behind)
        return {
            "events": self.events,
            "powers": list(self.powers),
            "ties": self.ties,
            "total": self.total,
            "sides": [list(each.logs) for each in sides],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.events, self.ties, self.total = state["events"], state["ties"], state["total"]
        self.powers = list(state["powers"])
        for side, logs in zip((self.sequence.ahead, self.sequence.behind), state["sides"], strict=True):
            side.count, side.logs = self.events, list(logs)


class RankerContest(Contest):
    """A ranker's contest: by losses on what was taken, and by lists that were shown; a setting says which one decides.

    Args:
        by_lists: whether a win is decided by lists (`arena.evidence`).
        alone: as in `ListContest`.
    """

    __slots__ = ("by_lists", "lists")

    def __init__(self, *, min_gain: float = 0.0, by_lists: bool = False, alone: float | None = None) -> None:
        super().__init__(min_gain=min_gain)
        self.by_lists = by_lists
        self.lists = ListContest(min_gain=min_gain, alone=alone)

    @property
    def deciding(self) -> Contest:
        """What a win is decided by."""
        return self.lists if self.by_lists else self

    def update(self, d: float) -> float:
        """Take in one difference of losses; the evidence after it, 0 where lists decide."""
        evidence = super().update(d)
        return 0.0 if self.by_lists else evidence

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        # Only where there is one: a state without lists is what it was before they were compared.
        return {**super().state(), **({"lists": self.lists.state()} if self.lists.events else {})}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().restore(state)
        if "lists" in state:
            self.lists.restore(state["lists"])


# ── lists whose items wait for their labels ─────────────────────────────────────────────────────────────────────────


class Impression(NamedTuple):
    """One item of a list that was shown.

    Attributes:
        key: of its list: a digest, so that no names are kept while it waits.
        items: the names of the list's items.
        item: its own name.
        propensity: with which probability it was among them.
    """

    key: bytes
    items: tuple[str, ...]
    item: str
    propensity: float


def impression(x: Mapping[str, Any], ts: float, *, user: str, item: str) -> Impression | None:
    """An event as an impression; None if it does not say of which list, or with which probability.

    Args:
        ts: of the event, which is the same for all impressions of a list.
        user, item: the features that hold them.
    """
    propensity, shown = x.get(PROPENSITY), x.get(SHOWN)
    if shown is None or not isinstance(propensity, int | float) or not 0.0 < propensity <= 1.0:
        return None
    key = hashlib.blake2b(repr((ts, text(x.get(user)), shown)).encode(), digest_size=12).digest()
    return Impression(key, tuple(str(shown).split()), text(x.get(item)) or "", propensity)


class OpenList:
    """A list that was shown, and what it says of each shadow so far: x, and x with the sides exchanged.

    Args:
        number: of the list, in the order in which they came.
        items: what was shown.
        champion: the items that the champion would have listed.
        shadows: those that each shadow would have listed, by name.
    """

    __slots__ = ("asked", "champion", "ended", "number", "shadows", "size", "sums")

    def __init__(
        self, number: int, items: Sequence[str], *, champion: Collection[str], shadows: Mapping[str, Collection[str]]
    ) -> None:
        self.number = number
        self.size = max(1, len(items))
        self.asked = self.ended = 0
        # A bit for each item that was shown: what a member would list besides says nothing.
        self.champion = _bits(items, champion)
        self.shadows = {name: _bits(items, listed) for name, listed in shadows.items()}
        self.sums = {
            name: (-len({*champion} - {*listed}) / self.size, -len({*listed} - {*champion}) / self.size)
            for name, listed in shadows.items()
        }

    def end(self, each: Impression, *, taken: bool) -> None:
        """An impression has its label."""
        weight, place = 1.0 / (each.propensity * self.size), each.items.index(each.item)
        by_champion = self.champion >> place & 1
        for name, bits in self.shadows.items():
            by_shadow = bits >> place & 1
            if by_shadow != by_champion:
                ahead, behind = self.sums[name]
                gains = by_shadow == taken  # its own, and taken; or the champion's, and not taken
                self.sums[name] = (ahead + weight, behind) if gains else (ahead, behind + weight)

    def state(self) -> tuple[Any, ...]:
        """What a checkpoint keeps; bits as bytes, since a list may have a thousand items."""
        wide = -(-self.size // 8)
        shadows = [(name, bits.to_bytes(wide, "big"), *self.sums[name]) for name, bits in self.shadows.items()]
        return self.number, self.size, self.asked, self.ended, self.champion.to_bytes(wide, "big"), shadows

    @classmethod
    def restored(cls, state: Sequence[Any]) -> Self:
        """One that `state` described."""
        number, size, asked, ended, champion, shadows = state
        self = cls(number, (), champion=(), shadows={})
        self.size, self.asked, self.ended, self.champion = size, asked, ended, int.from_bytes(champion, "big")
        self.shadows = {name: int.from_bytes(bits, "big") for name, bits, _, _ in shadows}
        self.sums = {name: (ahead, behind) for name, _, ahead, behind in shadows}
        return self


def _bits(items: Sequence[str], listed: Collection[str]) -> int:
    return sum(1 << place for place, item in enumerate(items) if item in listed)


class Lists:
    """The lists that are open, in the order in which they were shown; they are closed in that order alone.

    Labels of what was taken come before it is known what was not taken, so lists that counted as soon as they could
    would be those with takes. What a list lacks counts as nothing gained, which only makes x smaller: the evidence is
    right whatever does not come, and weaker.

    >>> lists = Lists()
    >>> pair = [impression({"item": item, "shown": "a b", "propensity": 0.5}, 1.0, user="user", item="item")
    ...     for item in "ab"]
    >>> for each in pair:
    ...     if lists.is_new(each):
    ...         lists.open(each, champion=["a", "c"], shadows={"near": ["b", "c"]})
    ...     lists.ask(each)
    >>> lists.end(pair[1], taken=True), lists.end(pair[0], taken=False)
    ([], [{'near': (1.5, -0.5)}])
    """

    def __init__(self) -> None:
        self.champion = ""
        """Whom the shadows are compared with in all of them."""
        self.opened = 0
        self.waiting: dict[bytes, OpenList] = {}

    def start_over(self, champion: str) -> None:
        """Another one is the champion: what was compared with the one before counts for nothing."""
        self.champion = champion
        self.waiting.clear()

    def is_new(self, each: Impression) -> bool:
        """Whether it is the first of its list."""
        return each.key not in self.waiting

    def open(self, each: Impression, *, champion: Collection[str], shadows: Mapping[str, Collection[str]]) -> None:
        """A list of which it is the first impression.

        Args:
            champion: the items that the champion would have listed, as many as were shown.
            shadows: those of each shadow, by name.
        """
        self.opened += 1
        self.waiting[each.key] = OpenList(self.opened, each.items, champion=champion, shadows=shadows)

    def ask(self, each: Impression) -> None:
        """An impression has come."""
        self.waiting[each.key].asked += 1

    def end(self, each: Impression, *, taken: bool | None) -> list[Compared]:
        """An impression has its label, or will have none (None): what the lists say that are closed by it."""
        found = self.waiting.get(each.key)
        if found is None:
            return []  # it was shown before the champion, or came long after the rest of its list
        found.ended += 1
        if taken is not None and each.item in each.items:
            found.end(each, taken=taken)
        closed = []
        while self.waiting and self._is_done(oldest := next(iter(self.waiting.values()))):
            closed.append(oldest.sums)
            del self.waiting[next(iter(self.waiting))]
        return closed

    def _is_done(self, oldest: OpenList) -> bool:
        is_whole = oldest.asked >= oldest.size or self.opened - oldest.number >= BESIDE_MAX
        return (is_whole and oldest.ended >= oldest.asked) or len(self.waiting) > OPEN_MAX

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        several = [(key, each.state()) for key, each in self.waiting.items()]
        return {"champion": self.champion, "opened": self.opened, "waiting": several}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.champion, self.opened = state["champion"], state["opened"]
        self.waiting = {key: OpenList.restored(each) for key, each in state["waiting"]}

"""What is measured of rankers beside their losses: popularity's scores, and what each would earn if it were shown.

Off-policy: the event of an item that was shown with a known probability, its `propensity`, tells of any ranker that
would have shown it, too. Each such event weighs 1/propensity for a member that puts the item among as many as were
shown, and nothing for others; the value is the weighted mean of what was taken, self-normalised (SNIPS: Swaminathan and
Joachims, "The Self-Normalized Estimator for Counterfactual Learning", 2015). What an item earns is taken to be its own,
whatever stands beside it.

>>> value = OffPolicy()
>>> for n in range(400):
...     shows, taken = n % 4 == 0, n % 8 == 0   # it would have shown one in four; half of these were taken
...     value.update(weight=1 / 0.25 if shows else 0.0, reward=float(taken))
>>> [round(each, 2) for each in value.estimate()]
[0.5, 0.4, 0.6]
"""

import math
from collections.abc import Iterable
from typing import Any

from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import OffPolicyReport
from anabranch.ranking import PROPENSITY, SHOWN, Popularity
from config.ranking import K
from config.settings import Settings
from learners.arena.members import Member
from learners.arena.off_policy import Compared, Impression, Lists, impression
from learners.arena.standing import BASELINE, StandingPlaces
from learners.models.fence import is_fault
from learners.models.tasks import AMONG_ALL, Task
from learners.scores import Scores, metrics_of

TOLD_MIN = 30
"""Events that a member would have shown, before its value is told."""
LISTED_EVERY = 4
"""A list costs as much as a position, and who serves is asked for one on so many takes."""
ABOUT_ITEM = "item_"
"""How the names of features begin that describe an item."""
MEMBERS_MAX = 64
"""Those that came last are kept: recruits come and go."""
_NORMAL_95 = 1.959963984540054


class OffPolicy:
    """A self-normalised estimate of a member's value, of sums alone."""

    __slots__ = ("events", "rewards", "squared_rewards", "squares", "weights")

    def __init__(self) -> None:
        self.events = 0
        """That it would have shown."""
        self.weights = self.rewards = self.squares = self.squared_rewards = 0.0

    def update(self, *, weight: float, reward: float) -> None:
        """Take in one event.

        Args:
            weight: 1/propensity, or 0 if the member would not have shown the item.
            reward: 1 if it was taken, else 0.
        """
        if not weight:
            return
        self.events += 1
        self.weights += weight
        self.rewards += weight * reward
        self.squares += weight * weight
        self.squared_rewards += weight * weight * reward

    def estimate(self) -> tuple[float, float, float]:
        """The share that would be taken of what it shows, and the ends of its 95 % interval (delta method)."""
        if not self.weights:
            return math.nan, 0.0, 1.0
        value = self.rewards / self.weights
        # Σ w²(r − v)², since r² = r.
        spread = self.squared_rewards * (1 - 2 * value) + value * value * self.squares
        radius = _NORMAL_95 * math.sqrt(max(0.0, spread)) / self.weights
        return value, max(0.0, value - radius), min(1.0, value + radius)


class Catalogue:
    """How much of the catalogue is listed: the items in the last lists of what serves, as a share of all it knows.

    >>> catalogue = Catalogue(lists_max=2)
    >>> for items in (["a", "b"], ["b", "c"], ["c", "d"]):
    ...     catalogue.update(items, known=10)
    >>> catalogue.coverage
    0.3

    Args:
        lists_max: so many lists count, the last ones.
    """

    __slots__ = ("known", "lists", "lists_max", "newest")

    def __init__(self, *, lists_max: int) -> None:
        self.lists_max = lists_max
        self.lists = self.known = 0
        self.newest: dict[str, int] = {}
        """The number of the last list that an item was in; in that order."""

    @property
    def coverage(self) -> float:
        """The share; NaN before the first list."""
        return min(1.0, len(self.newest) / self.known) if self.known else math.nan

    def update(self, items: Iterable[str], *, known: int) -> None:
        """Take in one list.

        Args:
            known: how many items the ranker knows.
        """
        self.lists, self.known = self.lists + 1, known
        for item in items:
            self.newest.pop(item, None)
            self.newest[item] = self.lists
        while self.newest and self.newest[oldest := next(iter(self.newest))] <= self.lists - self.lists_max:
            del self.newest[oldest]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"lists": self.lists, "known": self.known, "newest": list(self.newest.items())}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.lists, self.known, self.newest = state["lists"], state["known"], dict(state["newest"])


class Ranked:
    """What is measured of a lane's rankers.

    Args:
        settings: of the model.
        task: what each model sees of an event.
        standing: where popularity has its place.
    """

    def __init__(self, settings: Settings, *, task: Task, standing: StandingPlaces) -> None:
        self.task = task
        self.scores = Scores(metrics_of(settings), window=settings.scores.window)
        """Of popularity, on the takes that what is served is scored on."""
        self.standing = standing
        self.off_policy: dict[str, OffPolicy] = {}
        """By member."""
        self.catalogue = Catalogue(lists_max=settings.scores.window)
        """Of what serves. It is observed for people, and no part of the learning state."""
        self.lists = Lists()
        """Those that were shown with known probabilities, until all of their items have their labels."""
        self.user, self.item = settings.model.user, settings.model.item
        self._takes = 0

    def on_event(self, event: AcceptedEvent, champion: Member, shadows: Iterable[Member]) -> None:
        """An item was shown: with the first of a list, what each member would list itself is kept."""
        shown = self._impression(event)
        if shown is None:
            return
        if self.lists.champion != champion.name:
            self.lists.start_over(champion.name)
        if self.lists.is_new(shown):
            several = [each for each in shadows if each.stride == 1]
            x, n = _context(event.x, self.item), len(shown.items)
            self.lists.open(
                shown,
                champion=self._listed(champion.model, x, n=n),
                shadows={each.name: self._listed(each.model, x, n=n) for each in several},
            )
        self.lists.ask(shown)

    def on_end(self, event: AcceptedEvent, champion: Member, *, taken: bool | None) -> list[Compared]:
        """It is known whether it was taken, or never will be (None): what the lists say of which all is known now."""
        shown = self._impression(event)
        if shown is None or self.lists.champion != champion.name:
            return []
        return self.lists.end(shown, taken=taken)

    def _impression(self, event: AcceptedEvent) -> Impression | None:
        return impression(event.x, event.ts, user=self.user, item=self.item)

    def _listed(self, ranker: Any, x: dict[str, Any], *, n: int) -> frozenset[str]:
        """What a ranker would list now; nothing, if it raises or is none."""
        if not isinstance(ranker, Popularity):
            return frozenset()
        try:
            return frozenset(each.item for each in ranker.rank(self.task.rows(ranker, [x])[0], n=n))
        except BaseException as error:
            if not is_fault(error):
                raise
            return frozenset()  # a ranker of somebody's own; what it predicts is judged at the fence

    def on_take(self, y: Any, answers: dict[str, Prediction]) -> None:
        """An item was taken: where popularity had put it."""
        baseline = self.standing.holders.get(BASELINE.name)
        answer = None if baseline is None else answers.get(baseline.name)
        if answer is not None:
            self.scores.update(y, answer)

    def looks(self, ranker: Any) -> bool:
        """Whether it is looked at what the ranker lists at this take, which is counted: on one in four."""
        self._takes += 1
        return self._takes % LISTED_EVERY == 0 and isinstance(ranker, Popularity)

    def look(self, ranker: Popularity, x: dict[str, Any]) -> None:
        """What the ranker would list now, before it learns of the take.

        Args:
            x: what it sees of the event.
        """
        try:
            listed = [each.item for each in ranker.rank(x, n=K)]
        except BaseException as error:
            if not is_fault(error):
                raise
            return  # as in `_listed`
        self.catalogue.update(listed, known=len(ranker.slots))

    def on_label(self, x: dict[str, Any], y: Any, answers: dict[str, Prediction]) -> None:
        """An item that was shown was taken or not."""
        propensity = x.get(PROPENSITY)
        if not isinstance(propensity, int | float) or not 0.0 < propensity <= 1.0:
            return
        listed = len(str(x[SHOWN]).split()) if SHOWN in x else K
        for name, answer in answers.items():
            if answer.proba is not None:
                shows = 1.0 <= abs(answer.proba[AMONG_ALL]) <= listed
                self._value_of(name).update(weight=1.0 / propensity if shows else 0.0, reward=float(y > 0))

    def _value_of(self, name: str) -> OffPolicy:
        found = self.off_policy.get(name)
        if found is None:
            if len(self.off_policy) >= MEMBERS_MAX:
                del self.off_policy[next(iter(self.off_policy))]
            found = self.off_policy[name] = OffPolicy()
        return found

    def report(self, name: str) -> OffPolicyReport | None:
        """What a member would earn; None before there is enough to tell."""
        found = self.off_policy.get(name)
        if found is None or found.events < TOLD_MIN:
            return None
        value, low, high = found.estimate()
        return OffPolicyReport(events=found.events, value=value, low=low, high=high)

    def values(self) -> dict[str, float]:
        """Popularity's running scores, by names of their own."""
        return _named(self.scores.values())

    def windowed_values(self) -> dict[str, float]:
        """Those over the window; and the coverage of the catalogue, over as many lists."""
        covered = {} if math.isnan(self.catalogue.coverage) else {"coverage": self.catalogue.coverage}
        return {**_named(self.scores.windowed_values()), **covered}

    def observed(self) -> dict[str, Any]:
        """What a checkpoint keeps for people."""
        return {"takes": self._takes, "catalogue": self.catalogue.state()}

    def restore_observed(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._takes = state["takes"]
        self.catalogue.restore(state["catalogue"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        values = {name: [getattr(each, slot) for slot in OffPolicy.__slots__] for name, each in self.off_policy.items()}
        # Only where there are some: a state without lists is what it was before they were compared.
        lists = {"lists": self.lists.state()} if self.lists.opened else {}
        return {"scores": self.scores.state(), "off_policy": values, **lists}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.scores.restore(state["scores"])
        for name, values in state["off_policy"].items():
            value = self.off_policy[name] = OffPolicy()
            for slot, each in zip(OffPolicy.__slots__, values, strict=True):
                setattr(value, slot, each)
        if "lists" in state:
            self.lists.restore(state["lists"])


def _context(x: dict[str, Any], item: str) -> dict[str, Any]:
    """Of an impression's features those that a list is asked with: nothing that tells what was shown."""
    return {
        name: value
        for name, value in x.items()
        if name not in (item, SHOWN, PROPENSITY) and not name.startswith(ABOUT_ITEM)
    }


def _named(scores: dict[str, float]) -> dict[str, float]:
    # It is never cold: it knows nobody and ranks for all.
    return {f"{BASELINE.name}_{name}": value for name, value in scores.items() if name != "coldshare"}

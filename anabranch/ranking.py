"""Rankers: models that put items in order for a user, and learn from what users take and pass over.

One feedback event is about one user and one item. Its label is a weight: above 0 the user took the item (clicked,
bought, liked), 0 it was shown and not taken, below 0 the user does not want it. What a ranker *predicts* of an event is
the position of its item, 1 for the first, among the items that were shown together with it (`shown`, names with spaces
between them), or among all items that it knows and the user has not taken yet. So each answer can be judged, and
whoever serves asks `rank` for the items themselves.

A position is negative where the ranker did not know the user and its fallback has ranked; it is 0 if the item is not
known. The fallbacks are inherited: factors → co-occurrence → popularity → the newest first.

>>> model = CoOccurrence()
>>> for user, film in [("Ann", "Alien"), ("Ann", "Heat"), ("Bob", "Alien"), ("Bob", "Heat"), ("Cy", "Babe")] * 2:
...     model.learn_one({"user": user, "item": film}, 1.0)
>>> model.learn_one({"user": "Eve", "item": "Alien"}, 1.0)
>>> [each.item for each in model.rank({"user": "Eve"})]
['Heat', 'Babe']
>>> model.predict_one({"user": "Eve", "item": "Babe"}), model.predict_one({"user": "Zoe", "item": "Babe"})
(2.0, -3.0)
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

Scores = NDArray[np.float64]
Slots = NDArray[np.int64]

SHOWN, PROPENSITY = "shown", "propensity"
"""Features of an event: what was shown together, and with which probability this item was among it."""

STEP_MAX = 1e25
"""What fades is not made smaller: what is new counts more instead. Beyond this, all is divided by it (float32)."""

WEIGHT_MAX = 1e3
"""A label counts for so much at most: one event does not outweigh all others for good."""


class Ranked(NamedTuple):
    """An item in its place."""

    item: str
    score: float
    cold: str
    """Why the model itself did not rank it: "user", "item" (it is not known), or "model" (nothing was taken yet)."""


class Popularity(base.Regressor):
    """What was taken most often comes first; with `fading` below 1, what was taken lately.

    It is the baseline of each race, and what all other rankers fall back to. Before anything was taken, the newest
    items come first.

    Args:
        user: the feature that holds the user; an event without one teaches what is popular.
        item: the feature that holds the item.
        shown: the feature that holds the names of the items that were shown together, with spaces between them.
        fading: what an older take counts, per newer one.
        items_max: items that are known; one more displaces the one of which nothing was heard for longest.
        users_max: users that are known, likewise.
        history_max: items of a user that are not ranked for them again, the latest ones.
    """

    _PER_ITEM: tuple[str, ...] = ("taken", "born")

    def __init__(
        self,
        *,
        user: str = "user",
        item: str = "item",
        shown: str = "shown",
        fading: float = 1.0,
        items_max: int = 10_000,
        users_max: int = 10_000,
        history_max: int = 500,
    ) -> None:
        if not 0.0 < fading <= 1.0:
            raise ValueError(f"fading is {fading}; it has to be above 0 and at most 1")
        if min(items_max, users_max, history_max) < 1:
            raise ValueError("items_max, users_max and history_max have to be at least 1")
        self.user = user
        self.item = item
        self.shown = shown
        self.fading = fading
        self.items_max = items_max
        self.users_max = users_max
        self.history_max = history_max
        self.step = 1.0
        self.items_seen = 0
        self.slots: dict[str, int] = {}
        """By item, in the order in which they were last heard of."""
        self.names: list[str] = []
        """By slot."""
        self.users: dict[str, dict[str, bool]] = {}
        """By user: what was taken (true) or refused, oldest first."""
        self.taken: Scores = np.zeros(1)
        self.born: Scores = np.zeros(1)

    def call(self, *, user: str, item: str) -> None:
        """Take other features for the user and the item, before anything is learned."""
        self.user, self.item = user, item

    # ── learning ────────────────────────────────────────────────────────────────────────────────────────────────

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn that the user took the item (y > 0), passed it over (0), or does not want it (below 0)."""
        item = text(x.get(self.item))
        if item is None:
            return
        slot, user, weight = self._heard_of(item), text(x.get(self.user)), min(float(y), WEIGHT_MAX)
        self._learn(user, slot, x, weight)
        if weight > 0:
            self.taken[slot] += self.step * weight
            self.step /= self.fading
            if self.step > STEP_MAX:
                self._rescale()
        if weight and user is not None:
            self._remember(user, item, is_taken=weight > 0)

    def _learn(self, user: str | None, slot: int, x: dict[Any, Any], weight: float) -> None:
        """What a kind of ranker learns itself, before the event is counted."""

    def _heard_of(self, item: str) -> int:
        slot = self.slots.pop(item, None)
        if slot is None:
            slot = self._place()
            self.names[slot] = item
            self.items_seen += 1
            self.born[slot] = self.items_seen
        self.slots[item] = slot  # at the end again: the first is the one that was not heard of for longest
        return slot

    def _place(self) -> int:
        """A slot for one more item."""
        if len(self.names) < self.items_max:
            self.names.append("")
            if len(self.names) > len(self.taken):
                self._grow(min(2 * len(self.taken), self.items_max))
            return len(self.names) - 1
        slot = self.slots.pop(next(iter(self.slots)))
        self._forget(slot)
        return slot

    def _grow(self, rows: int) -> None:
        for name in self._PER_ITEM:
            before = getattr(self, name)
            after = np.zeros((rows, *before.shape[1:]), before.dtype)
            after[: len(before)] = before
            setattr(self, name, after)

    def _forget(self, slot: int) -> None:
        for name in self._PER_ITEM:
            getattr(self, name)[slot] = 0

    def _remember(self, user: str, item: str, *, is_taken: bool) -> None:
        history = self.users.pop(user, {})
        history.pop(item, None)
        history[item] = is_taken
        if len(history) > self.history_max:
            del history[next(iter(history))]
        if len(self.users) >= self.users_max:
            self._forget_user(next(iter(self.users)))
        self.users[user] = history

    def _forget_user(self, user: str) -> None:
        del self.users[user]

    def _rescale(self) -> None:
        self.taken /= self.step
        self.step = 1.0

    # ── ranking ─────────────────────────────────────────────────────────────────────────────────────────────────

    def rank(
        self,
        x: dict[Any, Any],
        *,
        candidates: Iterable[Any] | None = None,
        exclude: Iterable[Any] = (),
        n: int = 10,
    ) -> list[Ranked]:
        """The `n` best items for a user or a context, best first.

        Args:
            x: features, as of an event: the user if known, and the context.
            candidates: the items to choose from; None: all that are known. One that is not known comes last.
            exclude: items that are not wanted, beside what the user has taken or refused.
            n: items, at most.
        """
        user = text(x.get(self.user))
        left_out = {text(each) for each in exclude} | self._history(user).keys()
        slots, strangers = self._candidates(candidates, left_out)
        scores, cold = self._scored(user, x, slots)
        best = self._best(scores, slots, n)
        ranked = [Ranked(self.names[slots[place]], float(scores[place]), cold) for place in best]
        return ranked + [Ranked(each, 0.0, "item") for each in strangers[: max(0, n - len(ranked))]]

    def choices(
        self, x: dict[Any, Any], *, candidates: Iterable[Any] | None = None, exclude: Iterable[Any] = ()
    ) -> list[str]:
        """The names of all items that `rank` chooses from: the known ones first, each once."""
        left_out = {text(each) for each in exclude} | self._history(text(x.get(self.user))).keys()
        slots, strangers = self._candidates(candidates, left_out)
        return [*(self.names[slot] for slot in slots), *strangers]

    def _candidates(self, candidates: Iterable[Any] | None, left_out: set[Any]) -> tuple[Slots, list[str]]:
        """The slots of those that are known, and the names of those that are not; each once."""
        if candidates is None:
            return self._all_but(left_out), []
        named = dict.fromkeys(each for each in map(text, candidates) if each is not None and each not in left_out)
        known = [self.slots[each] for each in named if each in self.slots]
        return np.array(known, np.int64), [each for each in named if each not in self.slots]

    def _all_but(self, left_out: Iterable[Any]) -> Slots:
        keeps = np.ones(len(self.names), bool)
        keeps[[self.slots[each] for each in left_out if each in self.slots]] = False
        return np.flatnonzero(keeps)

    def _best(self, scores: Scores, slots: Slots, n: int) -> Slots:
        """Places of the best, by score, then by popularity, then the newest first."""
        if len(scores) > 4 * n > 0:
            # Only what is as good as the n-th can be among them, and sorting a thousand for ten takes longest here.
            threshold = np.partition(scores, len(scores) - n)[len(scores) - n]
            near = np.flatnonzero(scores >= threshold)
            return near[self._order(scores[near], slots[near])[:n]]
        return self._order(scores, slots)[:n]

    def _order(self, scores: Scores, slots: Slots) -> Slots:
        return np.lexsort((-self.born[slots], -self.taken[slots], -scores))

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> float:
        """The position of the event's item; negative if a fallback ranked, 0 if the item is not known."""
        item, user = text(x.get(self.item)), text(x.get(self.user))
        slot = None if item is None else self.slots.get(item)
        if slot is None:
            return 0.0
        shown = x.get(self.shown)
        if shown is None:
            slots = self._all_but(self._history(user).keys() - {item})
        else:
            several = {self.slots[each] for each in str(shown).split() if each in self.slots} | {slot}
            slots = np.array(sorted(several), np.int64)
        scores, cold = self._scored(user, x, slots)
        return self._position(scores, slots, slot) * (-1.0 if cold else 1.0)

    def _position(self, scores: Scores, slots: Slots, slot: int) -> float:
        place = np.flatnonzero(slots == slot)[0]
        score, taken, born = scores[place], self.taken[slots], self.born[slots]
        level = scores == score
        ahead = scores > score
        if level.sum() > 1:
            ahead |= level & ((taken > taken[place]) | ((taken == taken[place]) & (born > born[place])))
        return 1.0 + float(np.count_nonzero(ahead))

    def _history(self, user: str | None) -> dict[str, bool]:
        return {} if user is None else self.users.get(user, {})

    def _scored(self, user: str | None, x: dict[Any, Any], slots: Slots) -> tuple[Scores, str]:
        """A score for each slot, and why the model itself could not give it."""
        own = self._scores(user, x, slots)
        if own is not None:
            return own, ""
        return self._fallback(user, slots), "user" if self.taken.any() else "model"

    def _scores(self, user: str | None, x: dict[Any, Any], slots: Slots) -> Scores | None:
        """The model's own scores, the higher the better; None if it knows too little of the user."""
        return self._popular(slots) if self.taken.any() else None

    def _fallback(self, user: str | None, slots: Slots) -> Scores:
        return self._popular(slots)

    def _popular(self, slots: Slots) -> Scores:
        scores: Scores = self.taken[slots] / self.step
        return scores


class CoOccurrence(Popularity):
    """Items are near each other that the same users have taken: what is near to a user's latest comes first.

    Of each item the nearest are kept, after Misra and Gries ("Finding repeated elements", 1982): a newcomer takes from
    the one that counts least, and its place once that has nothing left. (To give it the least's count, as Space-Saving
    does, put what came last before what came often.) A score is the sum of c_ij / (n_i^source · n_j^target) over the
    user's latest items i, the older ones weighing less.

    Args:
        neighbours_max: items that are kept near each item.
        latest_max: items of a user that count, the latest ones.
        recency: what an item of the user weighs, per later one.
        source, target: how far counts are divided by how often the items were taken: 0 = not at all, 1 = wholly.
        prior: how many takes more than it has each target counts as: what was taken twice is not yet known to be rare.
    """

    _PER_ITEM = (*Popularity._PER_ITEM, "near", "together")
    prior = 0.0  # of models that were kept before there was one

    def __init__(
        self,
        *,
        user: str = "user",
        item: str = "item",
        shown: str = "shown",
        fading: float = 1.0,
        items_max: int = 10_000,
        users_max: int = 10_000,
        history_max: int = 500,
        neighbours_max: int = 200,
        latest_max: int = 50,
        recency: float = 0.9,
        source: float = 0.5,
        target: float = 0.7,
        prior: float = 30.0,
    ) -> None:
        super().__init__(
            user=user,
            item=item,
            shown=shown,
            fading=fading,
            items_max=items_max,
            users_max=users_max,
            history_max=history_max,
        )
        if min(neighbours_max, latest_max) < 1:
            raise ValueError("neighbours_max and latest_max have to be at least 1")
        self.neighbours_max = neighbours_max
        self.latest_max = latest_max
        self.recency = recency
        self.source = source
        self.target = target
        self.prior = prior
        self.near = np.zeros((1, neighbours_max), np.int32)
        """By slot: 1 + the slots near it; 0 is a free place."""
        self.together = np.zeros((1, neighbours_max), np.float32)

    def _learn(self, user: str | None, slot: int, x: dict[Any, Any], weight: float) -> None:
        if weight <= 0 or user is None or self.names[slot] in self._history(user):
            return
        others = self._latest(user)
        if len(others):
            self._near_each(others, slot, self.step * weight)
            self._near_one(slot, others, self.step * weight)

    def _near_each(self, rows: Slots, slot: int, weight: float) -> None:
        """Count one item once more near each of several."""
        is_there = self.near[rows] == slot + 1
        is_known = is_there.any(axis=1)
        self.together[rows[is_known], is_there[is_known].argmax(axis=1)] += weight
        new = rows[~is_known]
        if len(new):
            self._squeeze_in(new, self.together[new].argmin(axis=1), np.full(len(new), slot), weight)

    def _near_one(self, slot: int, others: Slots, weight: float) -> None:
        """Count several items once more near one."""
        is_there = self.near[slot] == (others + 1)[:, None]
        is_known = is_there.any(axis=1)
        self.together[slot, is_there[is_known].argmax(axis=1)] += weight
        new = others[~is_known][: self.neighbours_max]
        if len(new):
            least = np.argsort(self.together[slot], kind="stable")[: len(new)]
            self._squeeze_in(np.full(len(new), slot), least, new, weight)

    def _squeeze_in(self, rows: Slots, at: Slots, newcomers: Slots, weight: float) -> None:
        """Newcomers take from whoever holds those places, and the place if nothing is left; a free one has nothing."""
        left = self.together[rows, at] - weight
        is_over = left <= 0
        self.together[rows, at] = np.where(is_over, weight, left)
        self.near[rows, at] = np.where(is_over, newcomers + 1, self.near[rows, at])

    def _latest(self, user: str | None) -> Slots:
        """The user's latest items, the latest first."""
        history = self._history(user)
        latest: list[int] = []
        for item in reversed(history):
            if history[item] and item in self.slots:
                latest.append(self.slots[item])
                if len(latest) == self.latest_max:
                    break
        return np.array(latest, np.int64)

    def _scores(self, user: str | None, x: dict[Any, Any], slots: Slots) -> Scores | None:
        latest = self._latest(user)
        if not len(latest):
            return None
        weights = self.recency ** np.arange(len(latest)) / np.maximum(self.taken[latest], 1e-300) ** self.source
        counts = self.together[latest] * weights[:, None]
        sums = np.bincount(self.near[latest].ravel(), weights=counts.ravel(), minlength=len(self.names) + 1)[1:]
        often = np.maximum(self.taken[slots] + self.prior * self.step, 1e-300)
        scores: Scores = sums[slots] / often**self.target
        scores *= self.step ** (self.source + self.target - 1.0)
        return scores

    def _fallback(self, user: str | None, slots: Slots) -> Scores:
        near = CoOccurrence._scores(self, user, {}, slots)
        return super()._fallback(user, slots) if near is None else near

    def _forget(self, slot: int) -> None:
        super()._forget(slot)
        self.together[self.near == slot + 1] = 0
        self.near[self.near == slot + 1] = 0

    def _rescale(self) -> None:
        self.together /= np.float32(self.step)
        super()._rescale()


def text(name: Any) -> str | None:
    """A user's or an item's name: a whole number is the same with and without a fraction of 0; None is none."""
    if type(name) is str or name is None:
        return name
    return str(int(name)) if isinstance(name, float) and name.is_integer() else str(name)

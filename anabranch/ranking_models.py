"""Rankers that learn weights by gradient descent: factors, a pairwise linear model, and any model of River's.

Each falls back on what it inherits from `anabranch.ranking` as long as it knows too little of a user.
"""

import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base, reco

from anabranch.ranking import PROPENSITY, CoOccurrence, Popularity, Scores, Slots, text
from anabranch.recommender import Recommender

_LINE = np.uint32(0x9E3779B1)
"""Knuth's multiplicative hashing: 2³² over the golden ratio."""


class Factors(CoOccurrence):
    """Incremental matrix factorisation of what was taken, against items drawn as not taken.

    A take is one step of gradient descent on the logistic loss, for it and for `negatives` items drawn at random; an
    item that was shown and passed over is a step, too (Vinagre, Jorge and Gama, "Fast Incremental Matrix Factorization
    for Recommendation with Positive-Only Feedback", 2014, with drawn negatives). A user with fewer than `takes_min`
    takes is ranked for by co-occurrence.

    Args:
        n_factors: of each user and item.
        lr: the step's length.
        l2: how far factors are drawn to 0.
        negatives: items drawn, per take.
        takes_min: of a user before the factors rank.
        seed: of the first factors, and of what is drawn.
    """

    _PER_ITEM = (*CoOccurrence._PER_ITEM, "items", "bias")

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
        n_factors: int = 16,
        lr: float = 0.05,
        l2: float = 0.01,
        negatives: int = 4,
        takes_min: int = 5,
        seed: int = 1,
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
        if n_factors < 1 or negatives < 0:
            raise ValueError("n_factors has to be at least 1, and negatives at least 0")
        self.n_factors = n_factors
        self.lr = lr
        self.l2 = l2
        self.negatives = negatives
        self.takes_min = takes_min
        self.seed = seed
        self.random = np.random.RandomState(seed)
        self.items = np.zeros((1, n_factors))
        self.bias = np.zeros(1)
        self.tastes: dict[str, Scores] = {}
        """By user; those that are in `users`, and no others."""

    def _heard_of(self, item: str) -> int:
        is_new = item not in self.slots
        slot = super()._heard_of(item)
        if is_new:
            self.items[slot] = self._drawn()
        return slot

    def _drawn(self) -> Scores:
        return self.random.normal(0.0, 0.1, self.n_factors)

    def _learn(self, user: str | None, slot: int, x: dict[Any, Any], weight: float) -> None:
        super()._learn(user, slot, x, weight)
        if user is None or weight < 0:
            return
        taste = self.tastes.get(user)
        if taste is None:
            if not weight:
                return  # who has taken nothing is not kept
            taste = self.tastes[user] = self._drawn()
        self._step(taste, np.array([slot]), float(weight > 0), weight or 1.0)
        if weight > 0 and self.negatives:
            drawn = np.unique(self.random.randint(len(self.names), size=self.negatives))
            self._step(taste, drawn[drawn != slot], 0.0, weight)

    def _step(self, taste: Scores, slots: Slots, truth: float, weight: float) -> None:
        """One step for each of several items, all of them at once."""
        items, rate = self.items[slots], self.lr * min(weight, 1.0)
        errors = truth - 1.0 / (1.0 + np.exp(-np.clip(items @ taste + self.bias[slots], -30.0, 30.0)))
        self.bias[slots] += rate * errors
        self.items[slots] += rate * (errors[:, None] * taste - self.l2 * items)
        taste += rate * (errors @ items - self.l2 * taste)

    def _forget_user(self, user: str) -> None:
        super()._forget_user(user)
        self.tastes.pop(user, None)

    def _scores(self, user: str | None, x: dict[Any, Any], slots: Slots) -> Scores | None:
        taste = None if user is None else self.tastes.get(user)
        if taste is None or sum(self._history(user).values()) < self.takes_min:
            return None
        scores: Scores = self.items[slots] @ taste + self.bias[slots]
        return scores


class PairwiseLinear(Popularity):
    """A linear model over items, their features, the user and the context, learned from pairs.

    Of the items that were shown together, the one that was taken should have come before each of the others: for each
    pair there is a step of AdaGrad on the logistic loss (RankNet's; Burges et al., "Learning to Rank using Gradient
    Descent", 2005). Where no list was logged, the others are drawn at random. An item is described by its name and by
    the features `item_…` of the last event about it, a context by all other features; each part of an item has a weight
    of its own, and one with the user and with each part of the context. Weights lie in a table of 2^`bits` places, by
    hash.

    Args:
        about: how the names of features begin that describe the item.
        lr: AdaGrad's rate.
        bits: of the table of weights.
        parts_max: features of an item, at most.
        negatives: items drawn where no list was logged.
        seed: of what is drawn.
    """

    _PER_ITEM = (*Popularity._PER_ITEM, "parts", "values")

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
        about: str = "item_",
        lr: float = 0.1,
        bits: int = 16,
        parts_max: int = 8,
        negatives: int = 4,
        seed: int = 1,
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
        if not 4 <= bits <= 24:
            raise ValueError(f"bits is {bits}; it has to be from 4 to 24")
        self.about = about
        self.lr = lr
        self.bits = bits
        self.parts_max = parts_max
        self.negatives = negatives
        self.seed = seed
        self.random = np.random.RandomState(seed)
        self.weights = np.zeros(2**bits)
        self.squares = np.full(2**bits, 1e-8)
        self.parts = np.zeros((1, 1 + parts_max), np.uint32)
        self.values = np.zeros((1, 1 + parts_max))

    def _learn(self, user: str | None, slot: int, x: dict[Any, Any], weight: float) -> None:
        self._describe(slot, x)
        if weight <= 0:
            return  # what was passed over is learned from, once something else of the list is taken
        shown = x.get(self.shown)
        if shown is None:
            others = np.unique(self.random.randint(len(self.names), size=self.negatives))
        else:
            others = np.array(sorted({self.slots[each] for each in str(shown).split() if each in self.slots}), np.int64)
        others = others[others != slot]
        if len(others):
            self._step(np.array([slot]), others, self._context(user, x), min(weight, 1.0))

    def _describe(self, slot: int, x: dict[Any, Any]) -> None:
        """The item as the event describes it; one that says nothing leaves it as it was."""
        self.parts[slot, 0], self.values[slot, 0] = _hash(self.names[slot]), 1.0
        described = [(name, value) for name, value in x.items() if name.startswith(self.about)][: self.parts_max]
        if described:
            self.values[slot, 1:] = 0.0
        for place, part in enumerate(map(_part, described), start=1):
            self.parts[slot, place], self.values[slot, place] = part

    def _context(self, user: str | None, x: dict[Any, Any]) -> list[tuple[int, float]]:
        """Each part of the context with its value; first the one that stands for any context."""
        own = (self.user, self.item, self.shown, PROPENSITY)
        rest = [each for each in x.items() if each[0] not in own and not each[0].startswith(self.about)]
        several = [(0, 1.0), *map(_part, rest)]
        return several if user is None else [*several, (_hash(f"user={user}"), 1.0)]

    def _places(self, slots: Slots, context: list[tuple[int, float]]) -> tuple[NDArray[np.int64], Scores]:
        """Where the weights of some items lie in this context, and what each is multiplied by: two matrices."""
        marks = np.array([mark for mark, _ in context], np.uint32)
        times = np.array([value for _, value in context])
        mixed = (self.parts[slots][:, :, None] ^ marks) * _LINE
        places = (mixed >> np.uint32(32 - self.bits)).astype(np.int64)
        values = self.values[slots][:, :, None] * times
        flat = (len(slots), self.parts.shape[1] * len(context))  # no -1, which cannot be told where there are no items
        return places.reshape(flat), values.reshape(flat)

    def _step(self, taken: Slots, others: Slots, context: list[tuple[int, float]], weight: float) -> None:
        """One step for all pairs of a list at once."""
        places, values = self._places(np.concatenate([taken, others]), context)
        scores = (self.weights[places] * values).sum(axis=1)
        pulls = weight / (1.0 + np.exp(np.clip(scores[0] - scores[1:], -30.0, 30.0))) / len(others)
        slopes = (values * np.concatenate([[pulls.sum()], -pulls])[:, None]).ravel()
        at, which = np.unique(places.ravel(), return_inverse=True)
        slope = np.bincount(which, weights=slopes)
        self.squares[at] += slope**2
        self.weights[at] += self.lr * slope / np.sqrt(self.squares[at])

    def _scores(self, user: str | None, x: dict[Any, Any], slots: Slots) -> Scores | None:
        if not self.taken.any():
            return None
        places, values = self._places(slots, self._context(user, x))
        scores: Scores = (self.weights[places] * values).sum(axis=1)
        return scores


class Pointwise(Popularity):
    """Any regressor or classifier of River's as a ranker: a recommender of `reco`, a factorisation machine of `facto`.

    It learns 1 for an item that was taken, 0 for one that was not and for `negatives` items that are drawn, and ranks
    by what it predicts of each candidate: one call a candidate, so at most `candidates_max` are ranked, those that were
    taken most often; the others come after them, by popularity. It sees an item's features (`item_…`) as of the last
    event about it.

    Args:
        model: of River's; one of `reco` is asked by user and item.
        candidates_max: items that the model is asked about, at most.
        about, negatives, seed: as in `PairwiseLinear`.
    """

    def __init__(
        self,
        model: Any,
        *,
        user: str = "user",
        item: str = "item",
        shown: str = "shown",
        fading: float = 1.0,
        items_max: int = 10_000,
        users_max: int = 10_000,
        history_max: int = 500,
        about: str = "item_",
        candidates_max: int = 200,
        negatives: int = 1,
        seed: int = 1,
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
        self.model = Recommender(model, user, item) if isinstance(model, reco.base.Ranker) else model
        self.about = about
        self.candidates_max = candidates_max
        self.negatives = negatives
        self.seed = seed
        self.random = np.random.RandomState(seed)
        self.described: dict[str, dict[str, Any]] = {}

    def call(self, *, user: str, item: str) -> None:
        """Take other features for the user and the item, before anything is learned."""
        super().call(user=user, item=item)
        if isinstance(self.model, Recommender):
            self.model.user, self.model.item = user, item

    def _learn(self, user: str | None, slot: int, x: dict[Any, Any], weight: float) -> None:
        features = {name: value for name, value in x.items() if name.startswith(self.about)}
        if features:
            self.described[self.names[slot]] = features
        self._teach(x, slot, weight > 0)
        if weight > 0:
            drawn = self.random.randint(len(self.names), size=self.negatives)
            for other in drawn[drawn != slot]:
                self._teach(x, int(other), False)

    def _teach(self, x: dict[Any, Any], slot: int, is_taken: bool) -> None:
        truth = is_taken if isinstance(self.model, base.Classifier) else float(is_taken)
        self.model.learn_one(next(self._rows(x, [slot])), truth)

    def _rows(self, x: dict[Any, Any], slots: Any) -> Iterator[dict[str, Any]]:
        """The features of the event, each time of another item; as text, since an item's name is a category."""
        own = (self.shown, PROPENSITY)
        rest = {name: value for name, value in x.items() if name not in own and not name.startswith(self.about)}
        if (user := text(x.get(self.user))) is not None:
            rest[self.user] = user
        for slot in slots:
            name = self.names[slot]
            yield {**rest, **self.described.get(name, {}), self.item: name}

    def _forget(self, slot: int) -> None:
        super()._forget(slot)
        self.described.pop(self.names[slot], None)

    def _scores(self, user: str | None, x: dict[Any, Any], slots: Slots) -> Scores | None:
        if user is None or user not in self.users:
            return None
        popular = self._popular(slots)
        # Those behind have scores below all that a model predicts.
        scores: Scores = popular - popular.max(initial=0.0) - 1e12
        asked = self._order(popular, slots)[: self.candidates_max]
        scores[asked] = [self._predicted(row) for row in self._rows(x, slots[asked])]
        return scores

    def _predicted(self, row: dict[Any, Any]) -> float:
        if isinstance(self.model, base.Classifier):
            return float(self.model.predict_proba_one(row).get(True, 0.0))
        return float(self.model.predict_one(row))


def _part(feature: tuple[str, Any]) -> tuple[int, float]:
    """A feature as its place and what it is multiplied by: a number by its logarithm, with its sign; a word by 1."""
    name, value = feature
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Nobody scales them here, and a price of thousands would outweigh everything that is 0 or 1.
        return _hash(name), math.copysign(math.log1p(abs(value)), value)
    return _hash(f"{name}={value}"), 1.0


def _hash(name: str) -> int:
    """The same in every process, which Python's is not."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))

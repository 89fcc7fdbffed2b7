"""Recommenders that are asked by features.

River's `reco` models want a user and an item, which here are features of the event.
"""

from collections.abc import Mapping
from typing import Any

from river import base, stats

Shares = Mapping[Any, float]
"""Probabilities by label."""


class Recommender(base.Regressor):
    """A `reco` model that is asked and taught by features.

    Asking it about a user or an item that it has never learned changes nothing in it (River would draw and keep random
    factors): the answer is then the mean with the biases that are known.

    Args:
        model: of `river.reco`.
        user: the feature that holds the user.
        item: the feature that holds the item.

    >>> from river import optim, reco
    >>> model = Recommender(reco.Baseline(optim.SGD(0.1)), user="who", item="film")
    >>> stars = {("Alice", "Alien"): 5, ("Bob", "Alien"): 5, ("Alice", "Heat"): 1, ("Bob", "Heat"): 1}
    >>> for (who, film), y in list(stars.items()) * 20:
    ...     model.learn_one({"who": who, "film": film}, y)
    >>> [round(model.predict_one({"who": who, "film": "Alien"})) for who in ("Alice", "Eve")]
    [5, 5]
    """

    def __init__(self, model: Any, user: str = "user", item: str = "item") -> None:
        self.model = model
        self.user = user
        self.item = item
        self.mean = stats.Mean()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn what the user thinks of the item; an event without one of them teaches nothing."""
        user, item = x.get(self.user), x.get(self.item)
        if user is None or item is None:
            return
        self.mean.update(y)
        self.model.learn_one(user, item, y, _rest(x, self.user, self.item))

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> float:
        """What the user would think of the item."""
        user, item = x.get(self.user), x.get(self.item)
        if user is not None and item is not None and self._knows("u", user) and self._knows("i", item):
            return float(self.model.predict_one(user, item, _rest(x, self.user, self.item)))
        return float(self.mean.get()) + self._bias("u", user) + self._bias("i", item)

    def _knows(self, side: str, who: Any) -> bool:
        # River's own names: u_biases, i_latents and so on. Baseline has no latents, FunkMF no biases.
        tables = [getattr(self.model, f"{side}_{name}", None) for name in ("biases", "latents")]
        return all(table is None or who in table for table in tables)

    def _bias(self, side: str, who: Any) -> float:
        # By get(), since the table is a defaultdict: an index would draw a value for a stranger and keep it.
        return float(getattr(self.model, f"{side}_biases", {}).get(who, 0.0))


def _rest(x: dict[Any, Any], user: str, item: str) -> dict[Any, Any]:
    return {name: value for name, value in x.items() if name not in (user, item)}

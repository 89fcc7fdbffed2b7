"""The campaign's model: a River model that keeps, for every event, how often it has learned it.

The campaign copies this file beside its configurations, which name it: factory = "witness:linear". So a user's own
module, and its class among the `trusted` ones, go through every crash too.
"""

from collections.abc import Hashable
from typing import Any

import numpy
from river import base, linear_model, naive_bayes, preprocessing

SLOTS = 600_000
"""How many events it can tell apart; a byte each, so that an artifact takes more than one chunk."""

FEATURES = ("a", "b", "c")


class Witness(base.Classifier):
    """Learns with `model`, and counts in `learned` what came by, by the feature `n`.

    Args:
        model: what predicts and learns; `n` and `poison` are kept from it.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.learned = numpy.zeros(SLOTS, dtype=numpy.uint8)

    def predict_proba_one(self, x: dict[Hashable, Any], **given: Any) -> dict[Any, float]:
        """The inner model's."""
        found: dict[Any, float] = self.model.predict_proba_one(_plain(x), **given)
        return found

    def learn_one(self, x: dict[Hashable, Any], y: Any) -> None:
        """Count, and learn; an event that is marked as poison is counted and then raised on, half way through."""
        self.learned[int(x["n"])] += 1
        if x["poison"]:
            raise ValueError(f"event {x['n']} is poison")
        self.model.learn_one(_plain(x), y)


def _plain(x: dict[Hashable, Any]) -> dict[Hashable, Any]:
    return {name: x[name] for name in FEATURES if name in x}


def linear() -> Witness:
    """Around a model whose every bit depends on the order of the events."""
    return Witness(preprocessing.StandardScaler() | linear_model.LogisticRegression())


def bayes() -> Witness:
    """Around a model that is slow to forget, so that a recruit has a chance."""
    return Witness(naive_bayes.GaussianNB())

"""Models that have learned and are explained, as a follower has them."""

import random
from typing import Any

from anabranch import statetree
from anabranch.testing import MemoryFollower
from serving.explanation import Explainer

Row = tuple[dict[str, Any], Any]
FEATURES = ("age", "amount", "score")
COUNTRIES = ("FR", "DE", "IT")


def rows(task: str, *, events: int = 600, words: bool = True) -> list[Row]:
    """Events whose label depends on two numbers and on a word, if there are any, with noise."""
    rng, found = random.Random(3), []
    for _ in range(events):
        x: dict[str, Any] = {name: rng.gauss(10.0, 3.0) for name in FEATURES}
        number = x["amount"] - 0.5 * x["age"] + rng.gauss(0, 1)
        if words:
            x["country"] = rng.choice(COUNTRIES)
            number += 3.0 * (x["country"] == "FR")
        label = "low" if number < 4 else "mid" if number < 7 else "high"
        found.append((x, {"binary": number > 5.5, "multiclass": label}.get(task, number)))
    return found


def numbers(task: str, *, events: int = 600) -> list[Row]:
    """The same without words, and around nought, as linear models like it."""
    around = [
        ({name: (value - 10.0) / 3.0 for name, value in x.items()}, y)
        for x, y in rows(task, events=events, words=False)
    ]
    return [(x, y if task != "regression" else (y - 5.0) / 3.0) for x, y in around]


def explainer(
    model: Any, task: str, taught: list[Row], *, canary: int = 6, learns: bool = True
) -> tuple[Explainer, MemoryFollower]:
    """The model after it has learned, published, and explained as a follower has it."""
    model = statetree.decode(statetree.encode(model))  # as catalogue.build does: sets have a lasting order
    for x, y in taught if learns else ():
        model.learn_one(dict(x), y)
    follower = MemoryFollower("m")
    features = {name: "number" if isinstance(each, float) else "string" for name, each in taught[0][0].items()}
    follower.publish(model, features=features, task=task, canary=[x for x, _ in taught[:canary]])
    return Explainer(follower.champion), follower

"""Groups of people or things: which one an event is in, and models that make up for how groups are served.

Both models are made around a classifier of two classes that gives probabilities, and need to see the feature by which
there are groups: where `features.drop` hides it, they answer as the model alone.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from river import base

from anabranch.artifact import gives_probabilities, last_step

GROUPS_MAX = 100
"""Groups that a model tells apart; those that come later are one."""
WEIGHT_MAX = 10.0
"""What an event counts for at most, however rare its label is in its group."""
_UNIT_MAX = 1e12


class Grouping:
    """The groups by one feature: its values, or the bands in which a number lies.

    Args:
        edges: between the bands of a number, growing; each belongs to the band above it. Without any, each value is a
            group.

    >>> age = Grouping("age", edges=(30, 60))
    >>> [age.of({"age": each}) for each in (29, 30, 60)]
    ['under 30', '30 to 60', '60 and over']
    >>> age.of({"country": "FR"}) is None
    True
    """

    __slots__ = ("edges", "feature", "names")

    def __init__(self, feature: str, *, edges: Sequence[float] = ()) -> None:
        self.feature = feature
        self.edges = tuple(edges)
        self.names = _names(self.edges)

    def of(self, x: Mapping[str, Any]) -> str | None:
        """The group of an event with these features; None if it lacks the feature: then it is in no group."""
        value = x.get(self.feature)
        if value is None:
            return None
        if self.edges and isinstance(value, int | float):
            return self.names[bisect_right(self.edges, value)]
        return value if type(value) is str else str(value)


def _names(edges: tuple[float, ...]) -> tuple[str, ...]:
    if not edges:
        return ()
    told = [f"{each:g}" for each in edges]
    between = [f"{low} to {high}" for low, high in pairwise(told)]
    return (f"under {told[0]}", *between, f"{told[-1]} and over")


class _AroundModel(base.Classifier):
    """A model around another that knows its groups."""

    def __init__(self, model: Any, *, feature: str, edges: Sequence[float] = ()) -> None:
        if not gives_probabilities(model):
            raise ValueError(f"{type(last_step(model)).__name__} gives no probabilities")
        if list(edges) != sorted(set(edges)):
            raise ValueError("`edges` has to grow, as in [30, 45, 60]")
        self.model = model
        self.feature = feature
        self.edges = list(edges)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """As the model."""
        found: dict[Any, float] = self.model.predict_proba_one(x, **kwargs)
        return found

    def _group(self, x: Mapping[Any, Any], known: Mapping[str, Any]) -> str:
        """Events without the feature are a group, too; so are those beyond `GROUPS_MAX`."""
        value = x.get(self.feature)
        if self.edges and isinstance(value, int | float):
            value = bisect_right(self.edges, value)
        group = str(value)
        return group if group in known or len(known) < GROUPS_MAX else "other"


class Reweighing(_AroundModel):
    """A model that learns as if labels were as frequent in each group as in all of them together.

    An event counts for P(group) · P(label) / P(group, label), which is 1 where both are independent. The model learns
    it so often, whatever model it is: what is left of a whole number is kept for the next such event, and so nothing is
    drawn by chance.

    Args:
        model: what learns and answers.
        feature: by which there are groups.
        edges: where numbers are cut into bands.
        window: events over which shares are taken, older ones fading.

    Source: Kamiran and Calders, "Data preprocessing techniques for classification without discrimination" (2012).

    >>> from river import dummy
    >>> model = Reweighing(dummy.PriorClassifier(), feature="land")
    >>> for n in range(4000):
    ...     model.learn_one({"land": "PT" if n % 4 == 0 else "FR"}, n % 8 == 0)
    >>> [round(model.weight(*each), 2) for each in (("PT", True), ("PT", False), ("FR", False))]
    [0.25, 1.75, 0.88]
    """

    def __init__(self, model: Any, *, feature: str, edges: Sequence[float] = (), window: int = 1000) -> None:
        super().__init__(model, feature=feature, edges=edges)
        self.window = window
        self.unit = 1.0
        # By group, of false and true: what has come (the newest counts `unit`), and what is left to learn.
        self.counts: dict[str, list[float]] = {}
        self.left: dict[str, list[float]] = {}

    def weight(self, group: str, y: bool) -> float:
        """What an event of this group with this label counts for."""
        counts = self.counts[group]
        of_label = sum(each[y] for each in self.counts.values())
        of_all = sum(map(sum, self.counts.values()))
        return min(WEIGHT_MAX, sum(counts) * of_label / (of_all * counts[y])) if counts[y] else 1.0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn it so often as it counts."""
        group, label = self._group(x, self.counts), bool(y)
        self.counts.setdefault(group, [0.0, 0.0])[label] += self.unit
        self._fade()
        left = self.left.setdefault(group, [0.0, 0.0])
        left[label] += self.weight(group, label)
        while left[label] >= 1.0:
            left[label] -= 1.0
            self.model.learn_one(x, y)

    def _fade(self) -> None:
        """What is new counts more; all is divided once in a while."""
        self.unit /= 1.0 - 1.0 / self.window
        if self.unit > _UNIT_MAX:
            self.counts = {group: [each / self.unit for each in counts] for group, counts in self.counts.items()}
            self.unit = 1.0


class GroupThresholds(_AroundModel):
    """A model whose positive answers take another probability in each group, so that their rates come to be equal.

    The rate that all are to have is that of the model over all groups, with a threshold of .5. A group's threshold
    falls where it is selected less often than that, and rises where it is selected more (Robbins and Monro, 1951).
    Probabilities are the model's own.

    Args:
        model: what learns, and gives probabilities.
        feature: by which there are groups.
        edges: where numbers are cut into bands.
        criterion: whose rates are made equal: of all events, or of those with positive labels.
        step: how far a threshold moves on an event, at most.
        window: events over which the rate over all groups is taken.

    Source: Hardt, Price and Srebro, "Equality of opportunity in supervised learning" (2016), of thresholds by group.

    >>> from river import dummy
    >>> model = GroupThresholds(dummy.PriorClassifier(), feature="land")
    >>> for _ in range(10):
    ...     model.learn_one({"land": "FR"}, True)
    >>> model.predict_one({"land": "FR"}), model.predict_one({"land": "PT"})
    (True, True)
    """

    def __init__(
        self,
        model: Any,
        *,
        feature: str,
        edges: Sequence[float] = (),
        criterion: Literal["demographic-parity", "equal-opportunity"] = "demographic-parity",
        step: float = 0.005,
        window: int = 1000,
    ) -> None:
        super().__init__(model, feature=feature, edges=edges)
        if criterion not in ("demographic-parity", "equal-opportunity"):
            raise ValueError(f'`criterion` is "demographic-parity" or "equal-opportunity", not {criterion!r}')
        self.criterion = criterion
        self.step = step
        self.window = window
        self.thresholds: dict[str, float] = {}
        self.events = 0
        self.rate = 0.0

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        """Whether the probability of true is above the group's threshold; None while the model knows of no label."""
        proba = self.predict_proba_one(x, **kwargs)
        if not proba:
            return None
        selected = proba.get(True, 0.0) > self.thresholds.get(self._group(x, self.thresholds), 0.5)
        return bool(selected)

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Move the threshold of the event's group, then learn."""
        if y or self.criterion == "demographic-parity":
            self._move(x, self.predict_proba_one(x).get(True, 0.0))
        self.model.learn_one(x, y)

    def _move(self, x: Mapping[Any, Any], probability: float) -> None:
        self.events += 1
        self.rate += ((probability > 0.5) - self.rate) / min(self.events, self.window)
        group = self._group(x, self.thresholds)
        threshold = self.thresholds.get(group, 0.5)
        moved = threshold + self.step * ((probability > threshold) - self.rate)
        self.thresholds[group] = min(max(moved, 0.0), 1.0)

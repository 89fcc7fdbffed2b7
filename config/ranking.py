"""Metrics of ranking, on the position that a ranker gave to an item that was taken.

The position is 1 for the first, negative where a fallback ranked, 0 where the item was not known (see
`anabranch.ranking`). They are means over takes: what was shown and not taken is not judged.

>>> metric = NDCG(k=10)
>>> for position in (1.0, -3.0, 0.0, 25.0):
...     metric.update(1.0, position)
>>> metric.get()
0.375
"""

import math
from typing import Any

from river import metrics

K = 10
"""Where a list ends, if nothing else is said: what comes behind was not seen."""


def gain(position: float, k: int = K) -> float:
    """What a position is worth: NDCG@k with one item that is wanted (Järvelin and Kekäläinen, 2002)."""
    place = abs(position)
    return 1.0 / math.log2(1.0 + place) if 1.0 <= place <= k else 0.0


class _OnPositions(metrics.base.MeanMetric, metrics.base.RegressionMetric):
    """A mean over takes of what a position is worth."""

    def update(self, y_true: Any, y_pred: Any, w: float = 1.0) -> None:
        """Take in one label and the position that was given; a label that is no take is passed over."""
        if y_true > 0:
            super().update(y_true, y_pred, w)

    @property
    def bigger_is_better(self) -> bool:
        """It is."""
        return True


class HitRate(_OnPositions):
    """The share of takes whose item was among the first k."""

    def __init__(self, k: int = K) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # River's
        self.k = k

    def _eval(self, y_true: Any, y_pred: Any) -> float:
        return float(1.0 <= abs(y_pred) <= self.k)


class NDCG(_OnPositions):
    """The mean gain of a take: 1 for the first place, 0 behind the k-th."""

    def __init__(self, k: int = K) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # River's
        self.k = k

    def _eval(self, y_true: Any, y_pred: Any) -> float:
        return gain(y_pred, self.k)


class MRR(_OnPositions):
    """The mean of 1 / position."""

    def _eval(self, y_true: Any, y_pred: Any) -> float:
        return 1.0 / abs(y_pred) if y_pred else 0.0


class ColdShare(_OnPositions):
    """The share of takes that the model itself could not rank: it did not know the user, or not the item."""

    def _eval(self, y_true: Any, y_pred: Any) -> float:
        return float(y_pred <= 0.0)

    @property
    def bigger_is_better(self) -> bool:
        """It is not."""
        return False


OURS: dict[str, type[metrics.base.Metric]] = {kind.__name__: kind for kind in (HitRate, NDCG, MRR, ColdShare)}
"""By name, beside River's."""

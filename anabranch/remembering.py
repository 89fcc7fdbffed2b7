"""Models that know the last labels: nothing changes, or what changes is learned, or labels are features of any model.

>>> from river import linear_model, preprocessing
>>> model = Labels() | preprocessing.StandardScaler() | linear_model.LogisticRegression()
>>> sees_labels(model), sees_labels(linear_model.LogisticRegression())
(True, False)
"""

from typing import Any

from river import base, stats

from anabranch.memory import LAST, PREFIX, sees_labels

__all__ = ["Differences", "Labels", "LastLabel", "LastValue", "sees_labels"]


class Labels(base.Transformer):
    """The step that lets a pipeline see the last labels: numbers as they are, truths as 0 and 1, others one-hot.

    >>> Labels().transform_one({"a": 1.5, "@label_1": "red", "@label_2": "blue"})
    {'a': 1.5, '@label_1=red': 1, '@label_2=blue': 1}
    """

    sees_labels = True

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, Any]:
        """The features with the labels in a form that every model can compute with."""
        seen = {}
        for name, value in x.items():
            if not name.startswith(PREFIX) or type(value) is float:
                seen[name] = value
            elif isinstance(value, bool):
                seen[name] = float(value)
            else:
                seen[f"{name}={value}"] = 1
        return seen


class LastLabel(base.Classifier):
    """The label is the last one again, with the probability that this has had; before, as often as each was there.

    >>> model = LastLabel()
    >>> model.learn_one({}, "sun")
    >>> for last, y in [("sun", "sun"), ("sun", "rain"), ("rain", "rain"), ("rain", "rain")]:
    ...     model.learn_one({"@label_1": last}, y)
    >>> model.predict_proba_one({"@label_1": "rain"}), model.predict_one({})
    ({'rain': 0.6666666666666666, 'sun': 0.33333333333333337}, 'rain')
    """

    sees_labels = True

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}
        self.asked = self.same = 0

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Count the label, and whether it was the last one again."""
        self.counts[y] = self.counts.get(y, 0) + 1
        last = x.get(LAST)
        if last is not None:
            self.asked += 1
            self.same += last == y

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """The last label's share is never below one half: it is the answer in any case."""
        last = x.get(LAST)
        if last is None:
            total = sum(self.counts.values())
            return {label: count / total for label, count in self.counts.items()}
        others = [label for label in self.counts if label != last]
        if not others:
            return {last: 1.0}
        share = max(0.5, (self.same + 1) / (self.asked + 2))
        return {last: share, **dict.fromkeys(others, (1.0 - share) / len(others))}


class LastValue(base.Regressor):
    """The number is the last one again; the mean of all, where none is known."""

    sees_labels = True

    def __init__(self) -> None:
        self.mean = stats.Mean()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """It learns the mean only."""
        self.mean.update(y)

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> float:
        """The last known label."""
        last = x.get(LAST)
        return float(self.mean.get()) if last is None else float(last)


class Differences(base.Regressor):
    """What a regressor learns is how far the number is from the last known one, which is added to what it answers.

    Args:
        regressor: a tree needs means in its leaves: a linear leaf has answered 10²³ here.

    >>> from river import dummy, stats
    >>> model = Differences(dummy.StatisticRegressor(stats.Mean()))
    >>> for last, y in [(5.0, 6.0), (10.0, 13.0)]:
    ...     model.learn_one({"@label_1": last}, y)
    >>> model.predict_one({"@label_1": 100.0}), model.predict_one({})
    (102.0, 9.5)
    """

    sees_labels = True

    def __init__(self, regressor: Any) -> None:
        self.regressor = regressor
        self.mean = stats.Mean()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """An event without a last label teaches the mean only."""
        self.mean.update(y)
        last = x.get(LAST)
        if last is not None:
            self.regressor.learn_one(x, y - last)

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> float:
        """The last known label, and by how much it will change."""
        last = x.get(LAST)
        return float(self.mean.get()) if last is None else float(last + self.regressor.predict_one(x))

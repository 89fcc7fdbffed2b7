"""Several models that answer together: blends of classifiers and of regressors, as followers get them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from river import base, naive_bayes

from anabranch.memory import LAST, sees_labels, without_labels
from anabranch.values import NUMBER_MAX, SUM_LEAST, SUM_MOST

Shares = Mapping[Any, float]
"""Probabilities by label."""


class Blend(base.Classifier):
    """The weighted mean of what several classifiers answer.

    It is a copy, made to be asked. A model that raises, or whose answer cannot be used, sits the question out; one
    without probabilities is certain of its label.

    Args:
        models: in the order in which they are summed up.
        weights: one for each model.
        clip: probabilities are brought into [clip, 1 - clip] first, so that no model outvotes others by being certain.

    >>> from river import dummy
    >>> blend = Blend([dummy.PriorClassifier(), dummy.PriorClassifier()], [0.75, 0.25], clip=0.25)
    >>> blend.models[0].learn_one({}, True)
    >>> blend.models[1].learn_one({}, False)
    >>> blend.predict_proba_one({}), blend.predict_one({})
    ({True: 0.625, False: 0.375}, True)
    """

    def __init__(self, models: Sequence[Any] = (), weights: Sequence[float] = (), clip: float = 0.0) -> None:
        self.models = list(models)
        self.weights = list(weights)
        self.clip = clip

    @property
    def _multiclass(self) -> bool:
        return all(getattr(model, "_multiclass", False) for model in self.models)

    @property
    def sees_labels(self) -> bool:
        """Whether one of the models is made to know the last labels; the others do not see them."""
        return any(sees_labels(model) for model in self.models)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Probabilities by label; none if no model answers."""
        seen = [x] * len(self.models)
        if LAST in x:
            bare = without_labels(x)
            seen = [x if sees_labels(model) else bare for model in self.models]
        asked = zip(self.weights, self.models, seen, strict=True)
        return mixed(((weight, _answered(model, each)) for weight, model, each in asked), clip=self.clip)

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """It does not: what its models weigh depends on what they answered before, which is not in it.

        Raises:
            TypeError: always.
        """
        raise TypeError("a published blend learns nothing: its weights come from its learner, with the next version")


def mixed(tables: Iterable[tuple[float, Shares]], *, clip: float) -> dict[Any, float]:
    """The weighted mean of tables of probabilities, as shares of 1; empty if all tables are.

    >>> mixed([(0.5, {True: 1.0}), (0.5, {True: 0.25, False: 0.75}), (0.5, {})], clip=0.0)
    {True: 0.625, False: 0.375}
    """
    several = [(weight, table) for weight, table in tables if table]
    sums = dict.fromkeys([label for _, table in several for label in table], 0.0)
    least, most = clip, 1.0 - clip
    for weight, table in several:
        for label in sums:
            share = table.get(label, 0.0)
            sums[label] += weight * (least if share < least else most if share > most else share)
    total = sum(sums.values())
    # With weights of 0 alone nobody answers.
    return {label: each / total for label, each in sums.items()} if total else {}


def certain(label: Any) -> dict[Any, float]:
    """What a label without probabilities counts for in a blend."""
    return {} if label is None else {label: 1.0}


class NumberBlend(base.Regressor):
    """The weighted mean of what several regressors answer, each brought within the span in which numbers lie.

    It is a copy, made to be asked. A model that raises, or whose answer is no finite number, sits the question out.

    Args:
        models: in the order in which they are summed up.
        weights: one for each model.
        low: what answers below are taken for; a linear model answers 10²³ once, and one answer must not be all.
        high: what answers above are taken for.

    >>> from river import dummy, stats
    >>> blend = NumberBlend([dummy.StatisticRegressor(stats.Mean()) for _ in "ab"], [0.75, 0.25], low=-5.0, high=5.0)
    >>> blend.models[0].learn_one({}, 1.0)
    >>> blend.models[1].learn_one({}, 1e23)
    >>> blend.predict_one({})
    2.0
    """

    def __init__(
        self,
        models: Sequence[Any] = (),
        weights: Sequence[float] = (),
        low: float = -math.inf,
        high: float = math.inf,
    ) -> None:
        self.models = list(models)
        self.weights = list(weights)
        self.low = low
        self.high = high

    @property
    def sees_labels(self) -> bool:
        """Whether one of the models is made to know the last labels; the others do not see them."""
        return any(sees_labels(model) for model in self.models)

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> float:
        """The number; NaN if no model answers."""
        bare = without_labels(x) if LAST in x else x
        seen = [x if sees_labels(model) else bare for model in self.models]
        numbers = [_number(model, each) for model, each in zip(self.models, seen, strict=True)]
        mean = mean_within(zip(self.weights, numbers, strict=True), low=self.low, high=self.high)
        return math.nan if mean is None else mean

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """It does not: what its models weigh depends on what they answered before, which is not in it.

        Raises:
            TypeError: always.
        """
        raise TypeError("a published blend learns nothing: its weights come from its learner, with the next version")


def mean_within(answers: Iterable[tuple[float, float | None]], *, low: float, high: float) -> float | None:
    """The weighted mean of numbers, each brought within a span; None if there are none.

    >>> mean_within([(0.5, 1.0), (0.25, 1e23), (0.25, None)], low=0.0, high=4.0)
    2.0
    """
    several = [(weight, number) for weight, number in answers if number is not None]
    total = sum(weight for weight, _ in several)
    if not total:
        return None
    return sum(weight * min(max(number, low), high) for weight, number in several) / total


def _number(model: Any, x: dict[Any, Any]) -> float | None:
    """A usable number, or none."""
    try:
        number = float(model.predict_one(x))
    except Exception:  # whatever a model does: at its learner it sits out as well
        return None
    return number if -NUMBER_MAX <= number <= NUMBER_MAX else None


def _answered(model: Any, x: dict[Any, Any]) -> dict[Any, float]:
    """Usable probabilities, or none."""
    try:
        answered = _probabilities(model, x)
        shares = {label: float(share) for label, share in answered.items()}
        # A NaN fails the comparison, too.
        is_usable = SUM_LEAST <= sum(shares.values()) <= SUM_MOST and min(shares.values()) >= 0.0
    except Exception:  # whatever a model does: at its learner it sits out as well
        return {}
    return shares if is_usable else {}


def _probabilities(model: Any, x: dict[Any, Any]) -> Mapping[Any, Any]:
    if type(model) is naive_bayes.GaussianNB:
        quick = bayes_shares(model, x)
        if quick is not None:
            return quick
    try:
        answered: Mapping[Any, Any] = model.predict_proba_one(x)
    except NotImplementedError:
        answered = certain(model.predict_one(x))
    return answered


def bayes_shares(model: naive_bayes.GaussianNB, x: dict[Any, Any]) -> dict[Any, float] | None:
    """Its probabilities without SciPy's general, slow sum; None where only that one can tell.

    They differ from River's own in the last digit, so whoever serves and whoever checks both have to ask here.
    """
    logs = model.joint_log_likelihood(x)
    # The largest is taken off before exp(): over many features all likelihoods underflow to 0 together.
    top = max(logs.values(), default=0.0)
    if not math.isfinite(top):
        return None
    shares = {label: math.exp(each - top) for label, each in logs.items()}
    total = sum(shares.values())
    return {label: share / total for label, share in shares.items()}

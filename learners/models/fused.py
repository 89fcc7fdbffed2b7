"""River's scaled logistic regression in one step each for asking and learning: the same answers, the same state.

River does the same in a dozen calls, each of which looks up what never changes. What is computed, and in which order,
is River's to the last digit, and it is kept in River's own objects, so that state trees, artifacts and followers know
of nothing. Any other model, and any other parameter than those known here, is left to River: a subclass may compute
anything, so classes are compared exactly.
"""

import math
from collections.abc import Callable
from typing import Any

from river import compose, linear_model, optim, preprocessing
from river.utils import VectorDict

from anabranch.events import Prediction

LOGIT_MAX = 30.0
"""Beyond which River's sigmoid is 0 or 1."""
MARGIN_MAX = 18.0
"""Beyond which River's gradient of the logistic loss leaves out one of two terms."""
YES, NO = Prediction(True), Prediction(False)


def is_fused(model: Any) -> bool:
    """Whether `learner` and `predictor` know it."""
    if type(model) is not compose.Pipeline:
        return False
    steps = list(model.steps.values())
    if [type(step) for step in steps] != [preprocessing.StandardScaler, linear_model.LogisticRegression]:
        return False
    scaler, linear = steps
    return bool(
        scaler.with_std
        and scaler.window_size is None
        and linear.l1 == 0
        and type(linear.loss) is optim.losses.Log
        and type(linear.optimizer) in (optim.SGD, optim.AdaGrad)
    )


def learner(model: Any) -> Callable[[dict[Any, Any], Any], None]:
    """A function that does what `model.learn_one` does."""
    scaler, linear = model.steps.values()
    optimizer = linear.optimizer
    descend = _adagrad if type(optimizer) is optim.AdaGrad else _sgd

    def learn(x: dict[Any, Any], y: Any) -> None:
        scaled = _learn_scale(scaler, x)
        weights: Any = VectorDict(linear._weights, linear.initializer, scaled)
        slope = _slope(linear, weights.dot(scaled) + linear.intercept, y)
        gradient = VectorDict.from_scaled(scaled, slope)
        if linear.l2:
            gradient.iadd_scaled(weights, linear.l2)
        linear.intercept -= linear.intercept_lr.get(optimizer.n_iterations) * slope
        descend(optimizer, weights, gradient)
        optimizer.n_iterations += 1

    return learn


def predictor(
    model: Any, beyond: Callable[[dict[Any, Any]], Prediction], *, with_proba: bool
) -> Callable[[dict[Any, Any]], Prediction]:
    """A function that does what `model.predict_proba_one` does, with the likeliest label; or `model.predict_one`.

    Args:
        model: of which `is_fused` holds.
        beyond: what becomes of probabilities that are none.
        with_proba: whether probabilities are wanted.
    """
    if model._plan is None:
        model._build_plan()  # as the first question to a pipeline does: it is part of its state
    scaler, linear = model.steps.values()
    means, variances = scaler.means, scaler.vars

    def predict(x: dict[Any, float]) -> Prediction:
        scaled: dict[Any, float] = {}
        for name, value in x.items():
            variance: float = variances[name]
            mean: float = means[name]
            scaled[name] = (value - mean) / variance**0.5 if variance else 0.0
        share = _sigmoid(linear._weights.dot(scaled) + linear.intercept)
        rest = 1.0 - share
        if not with_proba:
            return YES if share > rest else NO
        if share >= 0.0:
            return Prediction(share > rest, {False: rest, True: share})
        return beyond({False: rest, True: share})  # NaN

    return predict


def _sigmoid(logit: float) -> float:
    if logit < -LOGIT_MAX:
        return 0.0
    if logit > LOGIT_MAX:
        return 1.0
    return 1 / (1 + math.exp(-logit))


def _learn_scale(scaler: Any, x: dict[Any, float]) -> dict[Any, float]:
    """`StandardScaler.learn_one` and `transform_one`, feature by feature."""
    counts, means, variances = scaler.counts, scaler.means, scaler.vars
    scaled: dict[Any, float] = {}
    for name, value in x.items():
        count: int = counts[name] + 1
        counts[name] = count
        before: float = means[name]
        mean = before + (value - before) / count
        means[name] = mean
        variance: float = variances[name]
        variance += ((value - before) * (value - mean) - variance) / count
        variances[name] = variance
        scaled[name] = (value - mean) / variance**0.5 if variance else 0.0
    return scaled


def _slope(linear: Any, logit: float, y: Any) -> float:
    """The derivative of the logistic loss by the logit, clipped."""
    if y == 0:
        sign, weight = -1, linear.loss.weight_neg
    else:
        sign, weight = int(y), linear.loss.weight_pos
    margin = logit * sign
    if margin > MARGIN_MAX:
        slope = weight * math.exp(-margin) * -sign
    elif margin < -MARGIN_MAX:
        slope = weight * -sign
    else:
        slope = weight * -sign / (math.exp(margin) + 1.0)
    clip = linear.clip_gradient
    return float(max(min(slope, clip), -clip))


def _sgd(optimizer: Any, weights: Any, gradient: Any) -> None:
    weights.isub_scaled(gradient, optimizer.lr.get(optimizer.n_iterations))


def _adagrad(optimizer: Any, weights: Any, gradient: Any) -> None:
    squares = optimizer.g2
    eps: float = optimizer.eps
    rate: float = optimizer.lr.get(optimizer.n_iterations)
    name: Any
    slope: float
    for name, slope in gradient.items():
        square: float = squares[name] + slope**2
        squares[name] = square
        weights[name] -= rate / (square + eps) ** 0.5 * slope

"""Exact contributions where a model adds up what each feature says: linear models, and naive Bayes in log-odds.

Transformers in front of them are not listed here: each feature is asked about alone, through the whole pipeline, and it
is checked that what is said of an event is the sum of that. So `country_FR` counts for `country`, whatever made it.
"""

from collections.abc import Callable, Mapping, Sequence
from math import fsum, isclose
from typing import Any

from river import base, compose, linear_model
from river.linear_model.base import GLM
from river.naive_bayes.base import BaseNB

from serving.explanation.sampling import ABSENT, Event, Shares

Scores = dict[Any, float]
"""By label, such that the difference of two is their log-odds; of a regressor: its number, under None."""
Scorer = Callable[[Event], Scores]

LINEAR = (GLM, linear_model.PARegressor, linear_model.BayesianLinearRegression)


class NotAdditive(Exception):  # no fault: it is explained in another way
    """What a model says of an event is not the sum of what it says of each feature."""


def scorer_of(model: Any) -> Scorer | None:
    """What a model adds up, by label; None if it does not, or not that we know of."""
    if isinstance(model, compose.Pipeline):
        return _behind(model)
    if isinstance(model, base.Regressor):
        return _number_of(model) if _is_linear(model) else None
    if isinstance(model, linear_model.SoftmaxRegression):
        return lambda x: {label: _dot(weights, x) for label, weights in model.weights.items()}
    if isinstance(model, GLM):
        return lambda x: {True: float(model._raw_dot_one(x)), False: 0.0}
    if isinstance(model, BaseNB):
        return lambda x: dict(model.joint_log_likelihood(x))  # type: ignore[call-overload]  # River says it is a number
    return None


def _behind(pipeline: compose.Pipeline) -> Scorer | None:
    last = pipeline._last_step
    if isinstance(last, base.Regressor):
        return _number_of(pipeline) if _is_linear(last) else None
    inner = scorer_of(last)
    return None if inner is None else lambda x: inner(pipeline._transform_one(x)[0])


def _number_of(model: Any) -> Scorer:
    return lambda x: {None: float(model.predict_one(x))}


def _is_linear(model: Any) -> bool:
    """A linear regressor, or one of a scaled target."""
    while isinstance(model, compose.Pipeline | compose.TargetTransformRegressor):
        model = model._last_step if isinstance(model, compose.Pipeline) else model.regressor
    return isinstance(model, LINEAR)


def _dot(weights: Mapping[Any, float], x: Event) -> float:
    return fsum(weights.get(name, 0.0) * value for name, value in x.items())


class Additive:
    """A model that adds up, with what its features say on average over the background.

    What a feature says is measured against a reference: an event without any, where the model can be asked about that,
    and else a row of the background. Where the model adds up, the reference does not matter.

    Raises:
        NotAdditive: on a row of the background it does not, or it cannot be asked about one feature at a time.
    """

    def __init__(self, scorer: Scorer, background: Sequence[Event]) -> None:
        self.scorer = scorer
        self.reference: Event = {} if self._takes_parts(background[0]) else background[0]
        self.start = self._scored(self.reference)
        self.means: dict[str, Scores] = {}
        """Of each feature and label, over the background."""
        for row in background:
            for name, said in self._parts(row).items():
                mean = self.means.setdefault(name, dict.fromkeys(self.start, 0.0))
                for label, each in said.items():
                    mean[label] += each / len(background)

    def _takes_parts(self, row: Event) -> bool:
        """Whether it can be asked about events that lack features. (`compose.Select` cannot.)"""
        try:
            for each in ({}, *({name: value} for name, value in row.items())):
                self.scorer(each)
        except Exception:  # whatever a transformer raises on features that it misses
            return False
        return True

    def shares(self, x: Event, label: Any, against: Any) -> Shares:
        """What each feature says for a label and against another; of a regressor, for its number.

        Raises:
            NotAdditive: of this event it is not the sum, or one of the labels was never learned.
        """
        if not {label, against} <= self.start.keys():
            raise NotAdditive(f"nothing was learned yet of {label!r}, or of {against!r}")
        parts = self._parts(x)
        amounts = {
            name: _between(parts.get(name, {}), label, against) - _between(self.means.get(name, {}), label, against)
            for name in sorted({*parts, *self.means})
        }
        means = (_between(each, label, against) for each in self.means.values())
        return Shares(fsum((_between(self.start, label, against), *means)), amounts, {})

    def _parts(self, x: Event) -> dict[str, Scores]:
        """What each feature of an event says, beyond what is said of the reference."""
        start, parts = self.start, {}
        for name in x.keys() | self.reference.keys():
            if x.get(name, ABSENT) != self.reference.get(name, ABSENT):
                said = self._scored(self._with(name, x))
                parts[name] = {label: said[label] - each for label, each in start.items()}
        for label, whole in self._scored(dict(x)).items():
            added = fsum((start[label], *(said[label] for said in parts.values())))
            if not isclose(whole, added, rel_tol=1e-9, abs_tol=1e-9):
                raise NotAdditive(f"{whole} is said of {label!r}, and its features add up to {added}")
        return parts

    def _with(self, name: str, x: Event) -> Event:
        """The reference with the event's value of a feature."""
        if name in x:
            return {**self.reference, name: x[name]}
        return {other: value for other, value in self.reference.items() if other != name}

    def _scored(self, x: Event) -> Scores:
        try:
            return self.scorer(x)
        except Exception as error:  # a model may raise anything on an event that lacks a feature
            raise NotAdditive(f"{type(error).__name__}: {error}") from error


def _between(said: Scores, label: Any, against: Any) -> float:
    return said.get(label, 0.0) - (0.0 if against is None else said.get(against, 0.0))

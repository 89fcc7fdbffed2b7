"""Why a model answered so for an event: what each of the event's features contributed, against a background of events.

All ways of explaining answer the same question, so that what they say can be compared: by how much would the answer
differ on average if a feature had the value that it has in a row of the background? These are Shapley values; with the
base, which is the answer on average over the background, they add up to the answer. The background are the canary rows
that every published model brings along; without any, an event without features.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from river import linear_model, optim

from anabranch.artifact import gives_probabilities, last_step
from anabranch.champion import Champion
from anabranch.errors import ExplanationError
from serving.explanation.additive import Additive, NotAdditive, scorer_of
from serving.explanation.sampling import Event, Shares, sampled
from serving.explanation.trees import Trees, trees_of

BACKGROUND_MAX = 32
PAIRS_MIN = 32
"""Of orders in which features join, where all is sampled."""


class Contribution(NamedTuple):
    """What one feature did to the answer."""

    feature: str
    value: Any
    """None: the event lacks it."""
    amount: float
    error: float
    """Its standard error; 0: it is exact."""


class Explanation(NamedTuple):
    """Why an answer is as it is: `base` and all amounts add up to `value`."""

    prediction: Any
    about: Any
    """The label whose log-odds or probability is explained; None: the number itself."""
    against: Any
    """The label that it is weighed against, in log-odds; None: there is no other."""
    unit: str
    """log-odds, margin, probability or number."""
    base: float
    value: float
    method: str
    """exact, tree and sampled, or sampled."""
    rows: int
    """Of the background."""
    contributions: tuple[Contribution, ...]
    """The largest first."""
    missing: tuple[str, ...]
    """Features that the model has learned with and the event lacks."""
    unknown: tuple[str, ...]
    """The event's features that nothing was learned of."""

    def as_json(self) -> dict[str, Any]:
        """The same as a table, for JSON."""
        contributions = [_without_nothing(each._asdict()) for each in self.contributions]
        table = {**self._asdict(), "contributions": contributions}
        return {name: value for name, value in table.items() if value is not None and value != ()}


def _without_nothing(contribution: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in contribution.items() if name != "error" or value}


class Explainer:
    """Explains the answers of one champion; what does not depend on the event is computed once."""

    def __init__(self, champion: Champion) -> None:
        artifact = champion.artifact
        self.champion, self.model, self.task = champion, artifact.model, artifact.task
        self.proba_of = self.model.predict_proba_one if gives_probabilities(self.model) else None
        rows = [champion.known(dict(row)) for row, _ in artifact.canary]
        self.background: list[Event] = rows[-BACKGROUND_MAX:] or [{}]
        self.additive = self._additive()
        self.trees: Trees | None = None if self.additive else trees_of(self.model)

    def _additive(self) -> Additive | None:
        scorer = scorer_of(self.model)
        try:
            return None if scorer is None else Additive(scorer, self.background)
        except NotAdditive:
            return None

    def explain(self, x: Mapping[str, Any]) -> Explanation:
        """Why the model answers so for these features.

        Raises:
            ExplanationError: it cannot be asked about a mixture of the event and the background.
        """
        known = self.champion.known(dict(x))
        try:
            prediction = self.model.predict_one(dict(known))
            return self._explained(x, known, prediction)
        except ExplanationError:
            raise
        except Exception as error:  # a model may raise anything on features that do not go together
            raise ExplanationError(
                f"version {self.champion.update.version} cannot be asked about this event, or about mixtures of it and "
                f"the {len(self.background)} rows of its background: {type(error).__name__}: {error}"
            ) from error

    def _explained(self, x: Mapping[str, Any], known: Event, prediction: Any) -> Explanation:
        about, against = self._labels(known, prediction)
        shares, unit, method = self._shares(known, about, against)
        contributions = [
            Contribution(name, known.get(name), amount, shares.errors.get(name, 0.0))
            for name, amount in shares.amounts.items()
        ]
        features, hidden = self.champion.artifact.features, self.champion.artifact.hidden
        return Explanation(
            prediction,
            about,
            against if unit in ("log-odds", "margin") else None,
            unit,
            shares.base,
            shares.base + sum(shares.amounts.values()),
            method,
            len(self.background),
            tuple(sorted(contributions, key=lambda each: (-abs(each.amount), each.feature))),
            tuple(sorted(each for each in features if x.get(each) is None)),
            tuple(sorted(each for each in x if each not in features and each not in hidden)),
        )

    def _labels(self, x: Event, prediction: Any) -> tuple[Any, Any]:
        """What is explained: of a truth always why it is true; of several classes the answer, against the next."""
        if self.task == "binary":
            return True, False
        if self.task != "multiclass":
            return None, None
        proba = {} if self.proba_of is None else self.proba_of(dict(x))
        others = {label: share for label, share in proba.items() if label != prediction}
        return prediction, max(others, key=others.__getitem__, default=None)

    def _shares(self, x: Event, about: Any, against: Any) -> tuple[Shares, str, str]:
        if self.additive is not None:
            try:
                return self.additive.shares(x, about, against), self._unit_added(), "exact"
            except NotAdditive:  # on the background it was
                pass
        unit = "number" if about is None else "probability"
        value = self._value_of(about)
        if self.trees is not None:
            try:
                shares = self.trees.shares(value, x, self.background, about)
                return shares, unit, "tree and sampled" if shares.errors else "exact"
            except NotAdditive:  # transformers before the trees mix features
                pass
        rounds = -(-PAIRS_MIN // len(self.background))
        return sampled(value, x, self.background, rounds=rounds), unit, "sampled"

    def _unit_added(self) -> str:
        last = last_step(self.model)
        if self.task not in ("binary", "multiclass"):
            return "number"
        is_margin = isinstance(last, linear_model.LogisticRegression) and not _is_logistic(last)
        return "margin" if is_margin else "log-odds"

    def _value_of(self, about: Any) -> Any:
        """The number that is explained: a probability, or what a regressor answers."""
        model, proba_of = self.model, self.proba_of
        if about is None:
            return lambda z: float(model.predict_one(z))
        if proba_of is None:
            return lambda z: float(model.predict_one(z) == about)
        return lambda z: float(proba_of(z).get(about, 0.0))


def _is_logistic(model: Any) -> bool:
    return isinstance(model.loss, optim.losses.Log)

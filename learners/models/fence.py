"""The fence: where what a model predicts enters the system. What passes it, everything behind it can compute with.

An answer is used whole or not at all. One that cannot be used has no value and no probabilities, only the reason: it
costs as much as a wrong answer can, and nothing that a model answers raises here or further in.

>>> fence = Fence("binary")
>>> fence.label(True), fence.label(None)
(Prediction(value=True, proba=None, unusable=''), Prediction(value=None, proba=None, unusable=''))
>>> fence.label("yes").unusable, fence.probabilities({True: 0.9, False: 0.9}).unusable
('a label of another kind', 'probabilities that do not sum to 1')
>>> number = Fence("regression").number
>>> number(1.5).value, number(float("nan")).unusable, number(1e200).unusable, number("1.5").unusable
(1.5, 'NaN', 'a number beyond ±1e+100', 'not a number')
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from anabranch.events import Prediction
from anabranch.values import NUMBER_MAX, SUM_LEAST, SUM_MOST

Predictor = Callable[[dict[str, object]], Prediction]

NOTHING = Prediction(None)
"""What a model that cannot predict yet answers, and what stands for a missing answer. It is no fault."""

NAN = Prediction(None, None, "NaN")
INFINITE = Prediction(None, None, "infinite")
BEYOND = Prediction(None, None, f"a number beyond ±{NUMBER_MAX:g}")
NO_NUMBER = Prediction(None, None, "not a number")
OTHER_LABEL = Prediction(None, None, "a label of another kind")
TOO_MANY_LABELS = Prediction(None, None, "one label too many")
NO_PROBABILITIES = Prediction(None, None, "probabilities that are none")
NOT_SUMMING = Prediction(None, None, "probabilities that do not sum to 1")

WITHOUT_BOUND = frozenset({INFINITE.unusable, BEYOND.unusable})
"""Reasons for which a number was there, and was larger than any error can be."""


class Fence:
    """What may pass, by the task.

    Args:
        kind: "binary", "multiclass" or "regression".
        labels_max: several classes: how many different labels are answers, besides those that were learned.
        label_max: characters of a label.
    """

    def __init__(self, kind: str, *, labels_max: int = 1000, label_max: int = 1024) -> None:
        self.kind = kind
        self.labels_max = labels_max
        self.label_max = label_max
        self.labels: dict[Any, Any] = {False: False, True: True} if kind == "binary" else {}
        """Those that may be answered, by what is equal to them: a NumPy number that equals one becomes it."""

    def learned(self, y: Any) -> None:
        """A true label, which the guard has bounded, may be answered."""
        if y not in self.labels:
            self.labels[y] = y

    def predictor(
        self, predict: Callable[[Any], Any] | None, predict_proba: Callable[[Any], Any] | None = None
    ) -> Predictor:
        """A function that asks a model, by one of its methods or both; the label is the likeliest without the first."""
        if predict_proba is None:
            assert predict is not None
            usable = self.number if self.kind == "regression" else self.label
            return lambda x: usable(predict(x))
        if predict is None:
            likeliest = self.probabilities
            return lambda x: likeliest(predict_proba(x))
        return lambda x: self._both(predict(x), predict_proba(x))

    # ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────

    def number(self, answered: Any) -> Prediction:
        """A regressor's answer."""
        # The quick way for nearly all answers. A NaN fails the comparison, and takes the long one.
        if type(answered) is float and -NUMBER_MAX <= answered <= NUMBER_MAX:
            return Prediction(answered)
        return NOTHING if answered is None else _number(answered)

    # ── labels ──────────────────────────────────────────────────────────────────────────────────────────────────

    def label(self, answered: Any) -> Prediction:
        """A classifier's answer without probabilities."""
        if answered is True or answered is False:
            return Prediction(self.labels[answered]) if answered in self.labels else self._other_label(answered)
        return NOTHING if answered is None else self._other_label(answered)

    def _other_label(self, answered: Any) -> Prediction:
        """Anything but a truth: a label of several classes, a number that stands for a truth, or nothing usable."""
        try:
            label = answered.item() if isinstance(answered, np.generic) else answered
            # By exact type: a subclass may do anything when it is hashed or compared, here and far behind the fence.
            if type(label) not in (bool, int, str, float):
                return OTHER_LABEL
            if self.kind == "binary":
                return Prediction(self.labels[label]) if label in self.labels else OTHER_LABEL
            return self._of_several(label)
        except Exception:  # whatever an object from elsewhere does when it is looked at
            return OTHER_LABEL

    def _of_several(self, label: Any) -> Prediction:
        if label in self.labels:
            return Prediction(self.labels[label])
        if not self._could_be_one(label):
            return OTHER_LABEL
        if len(self.labels) >= self.labels_max:
            return TOO_MANY_LABELS
        self.labels[label] = label  # a model that was trained elsewhere may know more than was learned here
        return Prediction(label)

    def _could_be_one(self, label: Any) -> bool:
        """Whether the guard could have let it in."""
        if type(label) is str:
            return len(label) <= self.label_max and bool(label.encode())  # raises on half of a character
        return type(label) is not float and -(2**63) <= label < 2**63

    # ── probabilities ───────────────────────────────────────────────────────────────────────────────────────────

    def probabilities(self, answered: Any) -> Prediction:
        """A classifier's probabilities, with the likeliest label."""
        try:
            known = self.labels
            # A table that is ours: a model may go on counting in the one that it gave away.
            proba: dict[Any, float] = {}
            total, likeliest, most, least = 0.0, None, -math.inf, 0.0
            for label, each in answered.items():
                share = float(each)
                proba[known[label]] = share
                total += share
                if share > most:
                    likeliest, most = known[label], share
                least = min(least, share)
            if SUM_LEAST <= total <= SUM_MOST and least == 0.0:
                return Prediction(likeliest, proba)
            return _not_shares(proba)
        except KeyError:
            return self._with_other_labels(answered)
        except Exception:  # whatever an object from elsewhere does when it is looked at
            return NOTHING if answered is None else NO_PROBABILITIES

    def _with_other_labels(self, answered: Any) -> Prediction:
        """Probabilities of labels that are not known yet, or that are no labels."""
        try:
            labels = [self._other_label(each) for each in answered]
            unusable = next((each for each in labels if each.unusable), None)
            if unusable is not None:
                return unusable
            # All of them are known from here on, so this goes no deeper.
            return self.probabilities(
                {each.value: share for each, share in zip(labels, answered.values(), strict=True)}
            )
        except Exception:  # the same
            return NO_PROBABILITIES

    def _both(self, predicted: Any, shares: Any) -> Prediction:
        """The label and the probabilities of a model whose label is not always the likeliest."""
        label, likeliest = self.label(predicted), self.probabilities(shares)
        if label.unusable or likeliest.unusable:
            return label if label.unusable else likeliest
        return Prediction(label.value, likeliest.proba)

    def state(self) -> list[Any]:
        """What a checkpoint keeps."""
        return list(self.labels)

    def restore(self, state: list[Any]) -> None:
        """Go on from a checkpoint."""
        self.labels = {label: label for label in state}


def _number(answered: Any) -> Prediction:
    """An answer that is no plain float within the bounds."""
    try:
        if isinstance(answered, bool | np.bool_) or not isinstance(answered, int | float | np.integer | np.floating):
            return NO_NUMBER
        number = float(answered)
    except OverflowError:
        return BEYOND  # an integer of hundreds of digits
    except Exception:  # whatever an object from elsewhere does when it is looked at
        return NO_NUMBER
    if math.isnan(number):
        return NAN
    if math.isinf(number):
        return INFINITE
    return Prediction(number) if -NUMBER_MAX <= number <= NUMBER_MAX else BEYOND


def _not_shares(proba: dict[Any, float]) -> Prediction:
    """What is wrong with a table of numbers, if anything: an empty one is no answer yet."""
    total = sum(proba.values())
    if not proba:
        return NOTHING
    return NAN if math.isnan(total) else INFINITE if math.isinf(total) else NOT_SUMMING


def answered(predict: Predictor, x: dict[str, object]) -> Prediction:
    """What a model answers that somebody else serves, too; one that raises answers nothing that could be used."""
    try:
        return predict(x)
    except BaseException as error:
        if not is_fault(error):
            raise
        return Prediction(None, None, f"{type(error).__name__} raised")


def is_fault(error: BaseException) -> bool:
    """Whether a model is to blame for what is raised while it works.

    A panic of River's Rust parts is a BaseException, and so is what a model raises that wants to end the process.
    """
    return isinstance(error, Exception | SystemExit) or type(error).__name__ == "PanicException"

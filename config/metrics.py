"""Metrics by name, whether they want probabilities, and when one is undefined because it divides by nothing.

Where its divisor is 0, River's metrics answer 0 (or 1), which looks like a model that is always wrong (or right). That
is no judgement: neither a signal, nor a constraint, nor a score may rest on it.

>>> from river import metrics
>>> defined(metrics.Recall(), [False, False], [False, False])
False
>>> defined(metrics.Recall(), [False, True], [False, False])
True
>>> defined(metrics.R2(), [3.5, 3.5, 3.5], [3.0, 3.4, 3.6])
False
"""

import inspect
from collections import Counter
from collections.abc import Iterable
from typing import Any

from river import metrics

from anabranch.errors import ConfigError, did_you_mean
from config import ranking


class Tally:
    """What labels and answers hold of what metrics divide by, taken in one pair at a time.

    Labels are counted by class, numbers by their range only; so it stays as small as there are classes.

    Args:
        numeric: labels are numbers, and not classes.
    """

    def __init__(self, *, numeric: bool = False) -> None:
        self.numeric = numeric
        self.pairs = 0
        self.labels: Counter[Any] = Counter()
        self.answers: Counter[Any] = Counter()
        self.low, self.high = float("inf"), float("-inf")
        self.nonzero = False
        """Whether a label was not 0."""
        self.nonzero_answer = False

    @classmethod
    def of_matrix(cls, matrix: metrics.ConfusionMatrix) -> "Tally":
        """What a confusion matrix has counted."""
        tally = cls()
        tally.pairs = int(matrix.n_samples)
        # River's table has entries of 0 where somebody has only asked for a class.
        tally.labels = Counter({label: int(count) for label, count in matrix.sum_row.items() if count})
        tally.answers = Counter({label: int(count) for label, count in matrix.sum_col.items() if count})
        return tally

    def add(self, y: Any, answer: Any) -> None:
        """One more label, and the label or number that was answered; None where only probabilities were."""
        self.pairs += 1
        if self.numeric:
            self.low, self.high = min(self.low, y), max(self.high, y)
            self.nonzero = self.nonzero or y != 0
            self.nonzero_answer = self.nonzero_answer or bool(answer)
            return
        self.labels[y] += 1
        if answer is not None:
            self.answers[answer] += 1

    def allows(self, metric: metrics.base.Metric) -> bool:
        """Whether the metric is defined on what was taken in."""
        return self.pairs > 0 and _NEEDS.get(type(metric).__name__, _anything)(self, metric)

    def state(self) -> tuple[Any, ...]:
        """What a checkpoint keeps."""
        classes = list(self.labels.items()), list(self.answers.items())
        return self.pairs, *classes, self.low, self.high, self.nonzero, self.nonzero_answer

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go on from a checkpoint."""
        self.pairs, labels, answers, self.low, self.high, self.nonzero, self.nonzero_answer = state
        self.labels, self.answers = Counter(dict(labels)), Counter(dict(answers))


def defined(metric: metrics.base.Metric, ys: Iterable[Any], answers: Iterable[Any]) -> bool:
    """Whether a metric is defined on these labels and the answers to them.

    Args:
        answers: labels or numbers; where the metric is computed on probabilities, these (they are not looked at).
    """
    on_proba = isinstance(metric, metrics.base.ClassificationMetric) and not metric.requires_labels
    tally = Tally(numeric=isinstance(metric, metrics.base.RegressionMetric))
    for y, answer in zip(ys, answers, strict=True):
        tally.add(y, None if on_proba else answer)
    return tally.allows(metric)


# ── what each needs ─────────────────────────────────────────────────────────────────────────────────────────────────


def _anything(tally: Tally, metric: Any) -> bool:
    """A mean over events: one is enough."""
    return True


def _positive(tally: Tally, metric: Any) -> bool:
    """A label that is positive: without one there is nothing to recall."""
    return tally.labels[_positive_class(metric)] > 0


def _positive_answer(tally: Tally, metric: Any) -> bool:
    """An answer that is positive: precision is a share of these."""
    return tally.answers[_positive_class(metric)] > 0


def _positive_class(metric: Any) -> Any:
    return getattr(metric, "pos_val", True)


def _two_classes(tally: Tally, metric: Any) -> bool:
    """Labels of two classes: with one, whoever always answers it is as good as whoever knows it."""
    return len(tally.labels) > 1


def _both_sides(tally: Tally, metric: Any) -> bool:
    """A label that is positive and one that is not."""
    return 0 < tally.labels[_positive_class(metric)] < tally.pairs


def _each_answered_labelled(tally: Tally, metric: Any) -> bool:
    """A label of each class that was answered, too: a mean of recalls."""
    return _two_classes(tally, metric) and tally.answers.keys() <= tally.labels.keys()


def _each_labelled_answered(tally: Tally, metric: Any) -> bool:
    """Each class among the labels was answered, too: a mean of precisions."""
    return _two_classes(tally, metric) and tally.labels.keys() <= tally.answers.keys()


def _two_answers(tally: Tally, metric: Any) -> bool:
    """Labels and answers of two classes."""
    return _two_classes(tally, metric) and len(tally.answers) > 1


def _pairs(tally: Tally, metric: Any) -> bool:
    """Two labels of one class, and two equal answers, beside another class."""
    several = (tally.labels, tally.answers)
    return _two_classes(tally, metric) and all(max(each.values(), default=0) > 1 for each in several)


def _varies(tally: Tally, metric: Any) -> bool:
    """Two different labels: R2 is a share of their variance."""
    return tally.low < tally.high


def _not_zero(tally: Tally, metric: Any) -> bool:
    """A label that is not 0: the error is a share of it."""
    return tally.nonzero


def _neither_zero(tally: Tally, metric: Any) -> bool:
    """A label or an answer that is not 0."""
    return tally.nonzero or tally.nonzero_answer


def _taken(tally: Tally, metric: Any) -> bool:
    """An item that was taken."""
    return tally.high > 0


_NEEDS = {
    **dict.fromkeys(ranking.OURS, _taken),
    "Recall": _positive,
    "F1": _positive,
    "FBeta": _positive,
    "Jaccard": _positive,
    "RollingPRAUC": _positive,
    "Precision": _positive_answer,
    "ROCAUC": _both_sides,
    "RollingROCAUC": _both_sides,
    "MCC": _both_sides,
    "CohenKappa": _two_classes,
    "BalancedAccuracy": _two_classes,  # River leaves out classes that are only answered
    "GeometricMean": _each_answered_labelled,
    "MacroRecall": _each_answered_labelled,
    "MacroPrecision": _each_labelled_answered,
    "WeightedPrecision": _each_labelled_answered,
    "MacroF1": _two_classes,
    "MacroFBeta": _two_classes,
    "MultiFBeta": _two_classes,
    "MacroJaccard": _two_classes,
    "AdjustedMutualInfo": _two_classes,
    "AdjustedRand": _two_classes,
    "Homogeneity": _two_classes,
    "MutualInfo": _two_classes,
    "NormalizedMutualInfo": _two_classes,
    "Completeness": _two_answers,
    "VBeta": _two_answers,
    "Rand": _pairs,
    "FowlkesMallows": _pairs,
    "R2": _varies,
    "MAPE": _not_zero,
    "SMAPE": _neither_zero,
}
"""By the metric's name; the others are means over events, which one event defines.

Where a divisor is 0 only because of the answers, and the labels would have allowed another one, the metric's usual 0
stands (MCC and kappa of a model that always answers the same): that is a judgement. Precision has no such value.
"""


# ── River's metrics by their name in a configuration ────────────────────────────────────────────────────────────────

_KINDS = {
    "binary": (metrics.base.BinaryMetric, metrics.base.MultiClassMetric),
    "multiclass": (metrics.base.MultiClassMetric,),
    "regression": (metrics.base.RegressionMetric,),
    "rank": tuple(ranking.OURS.values()),
}


def metric_of(wanted: str | dict[str, Any], *, task: str) -> metrics.base.Metric:
    """A fresh metric by its name, or by a table with `use` and parameters.

    Raises:
        ConfigError: naming the nearest that exists, the task that it does not fit, or the parameter that it lacks.
    """
    parameters = {"use": wanted} if isinstance(wanted, str) else dict(wanted)
    kind = _class(str(parameters.pop("use", "")).removeprefix("metrics."), task=task)
    try:
        metric = kind(**parameters)
        # Asked once while it is empty: what is not a single number is then refused here, and not at the first report.
        metric.get()
    except TypeError as error:
        raise ConfigError(f"the metric {kind.__name__} refuses its parameters: {error}") from error
    except NotImplementedError as error:
        raise ConfigError(f"the metric {kind.__name__} is not one number") from error
    return metric


def _class(name: str, *, task: str) -> type[metrics.base.Metric]:
    """The class in river.metrics, or of ours, with this name, in any case."""
    everything: dict[str, Any] = {each: getattr(metrics, each, None) for each in metrics.__all__} | ranking.OURS
    known = {each.lower(): each for each, kind in everything.items() if inspect.isclass(kind)}
    if name.lower() not in known:
        nearest = did_you_mean(name.lower(), known, show="{}")
        raise ConfigError("; ".join(filter(None, [f"no metric {name!r} in river.metrics", nearest])))
    kind: type[metrics.base.Metric] = everything[known[name.lower()]]
    if not issubclass(kind, _KINDS[task]):
        raise ConfigError(f"the metric {kind.__name__} does not fit task = {task!r}")
    return kind


def on_proba(metric: Any) -> bool:
    """Whether a metric is computed on probabilities."""
    return isinstance(metric, metrics.base.ClassificationMetric) and not metric.requires_labels

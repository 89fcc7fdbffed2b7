"""What a metric divides by."""

import pytest
from river import metrics

from anabranch.errors import ConfigError
from config.metrics import Tally, defined, metric_of, on_proba

PARAMETERS = {"FBeta": 2.0, "MacroFBeta": 2.0, "MicroFBeta": 2.0, "WeightedFBeta": 2.0}


def accepted(task):
    """All metrics of River that a configuration may name."""
    for name in metrics.__all__:
        wanted = {"use": name, "beta": PARAMETERS[name]} if name in PARAMETERS else name
        try:
            yield metric_of(wanted, task=task)
        except ConfigError:
            continue


def shown(metric, answers):
    """Answers as the metric takes them."""
    return [{each: 1.0} for each in answers] if on_proba(metric) else answers


def names(task, ys, answers):
    """The metrics of a task that are not defined on these."""
    return {type(m).__name__ for m in accepted(task) if not defined(m, ys, shown(m, answers))}


MEANS = {
    *("Accuracy", "CrossEntropy", "LogLoss", "MicroF1", "MicroFBeta", "MicroJaccard", "MicroPrecision", "MicroRecall"),
    *("WeightedF1", "WeightedFBeta", "WeightedJaccard", "WeightedRecall"),
}
"""What one event defines."""


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_of_one_class_only_means_over_events_are_defined(task):
    """A window without a single positive, and a model that is always right: all that compares classes is silent."""
    every = {type(each).__name__ for each in accepted(task)}
    assert every - names(task, [False] * 50, [False] * 50) == MEANS & every
    assert len(every) > 25


def test_nothing_is_defined_on_nothing():
    """No metric is a judgement before the first event."""
    for task in ("binary", "multiclass", "regression"):
        assert all(not defined(each, [], []) for each in accepted(task))


@pytest.mark.parametrize(
    ("task", "ys", "answers"),
    [
        ("binary", [True, False] * 20, [True, False] * 20),
        ("multiclass", ["a", "b", "c"] * 20, ["a", "b", "b", "c", "c", "a"] * 10),
        ("regression", [1.0, 2.0] * 20, [1.5, 1.0] * 20),
    ],
)
def test_all_are_defined_where_labels_and_answers_hold_every_class(task, ys, answers):
    """Usual windows are judged by whatever is configured."""
    assert names(task, ys, answers) == set()


def test_an_undefined_metric_is_one_that_river_answers_with_a_constant():
    """Of one class, each undefined metric has the same value for a model that is right and for an empty window."""
    for metric in accepted("binary"):
        ys, answers = [False] * 50, shown(metric, [False] * 50)
        if not defined(metric, ys, answers) and type(metric).__name__ not in ("BalancedAccuracy", "GeometricMean"):
            value = metric.clone()
            for y, answer in zip(ys, answers, strict=True):
                value.update(y, answer)
            assert float(value.get()) in (0.0, 1.0), metric


def test_a_model_that_never_finds_the_positives_is_judged():
    """Labels of both classes, one answer: recall, F1, MCC, kappa and the AUC are 0 or chance, and rightly so."""
    silent = names("binary", [True, False] * 20, [False] * 40)
    assert silent == {"Precision", "MacroPrecision", "WeightedPrecision", "Completeness", "VBeta"}


def test_numbers_are_held_against_their_variance_and_size():
    """A constant label has no R2; labels of 0 have no relative error."""
    assert names("regression", [5.0] * 9, [4.0] * 9) == {"R2"}
    assert names("regression", [0.0] * 9, [4.0] * 9) == {"R2", "MAPE"}
    assert names("regression", [0.0] * 9, [0.0] * 9) == {"R2", "MAPE", "SMAPE"}


def test_the_positive_class_is_the_metrics_own():
    """A metric on another class than True is defined by that one."""
    recall = metrics.Recall(pos_val=False)
    assert defined(recall, [False], [True])
    assert not defined(recall, [True], [True])


def test_a_tally_goes_on_from_its_state():
    """What was taken in before a checkpoint counts after it."""
    tally, later = Tally(), Tally()
    tally.add(True, False)
    later.restore(tally.state())
    later.add(False, False)
    assert later.allows(metrics.ROCAUC())
    assert not later.allows(metrics.Precision())

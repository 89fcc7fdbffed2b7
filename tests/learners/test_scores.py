"""The scores: to the last digit what River's own test-then-train says, running and over the window."""

import itertools
import random
from collections.abc import Iterable
from typing import Any

import pytest
from river import datasets, dummy, evaluate, metrics
from river.datasets import synth

from anabranch import statetree
from anabranch.errors import ConfigError, ModelSpecError
from anabranch.events import AcceptedEvent, Prediction
from config.loading import build
from config.metrics import metric_of
from consumers.guard.reading import Reading
from detectors.watch import Watch
from learners.lane import Lane
from learners.models import catalogue
from learners.scores import Measures, Scores, _sharing

Rows = list[tuple[dict[str, Any], Any]]


def rows(stream: Iterable[Any], count: int) -> Rows:
    """The first rows of one of River's streams."""
    return [(dict(x), y) for x, y in itertools.islice(stream, count)]


STREAMS = {
    "binary": lambda: rows(datasets.Phishing(), 600) + rows(synth.SEA(seed=1), 150),
    "multiclass": lambda: rows(datasets.ImageSegments(), 800),
    "regression": lambda: rows(synth.Friedman(seed=1), 800),
}
SCALED = {"use": "preprocessing.StandardScaler"}
LOGISTIC = {"use": "linear_model.LogisticRegression"}
TREE = {"use": "tree.HoeffdingTreeClassifier", "grace_period": 50}
MODELS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "binary": {
        "logistic regression": [SCALED, LOGISTIC],
        "naive Bayes": [{"use": "naive_bayes.GaussianNB"}],
        "tree": [TREE],
        "adaptive tree": [{"use": "tree.HoeffdingAdaptiveTreeClassifier", "grace_period": 50}],
        "forest": [{"use": "forest.ARFClassifier", "n_models": 3}],
        "bagging": [{"use": "ensemble.LeveragingBaggingClassifier", "model": TREE, "n_models": 3}],
        "passive-aggressive": [SCALED, {"use": "linear_model.PAClassifier"}],
        "prior": [{"use": "dummy.PriorClassifier"}],
        "no change": [{"use": "dummy.NoChangeClassifier"}],
    },
    "multiclass": {
        "softmax": [SCALED, {"use": "linear_model.SoftmaxRegression"}],
        "naive Bayes": [{"use": "naive_bayes.GaussianNB"}],
        "tree": [TREE],
        "one against the rest": [SCALED, {"use": "multiclass.OneVsRestClassifier", "classifier": LOGISTIC}],
        "one against one": [SCALED, {"use": "multiclass.OneVsOneClassifier", "classifier": LOGISTIC}],
        "no change": [{"use": "dummy.NoChangeClassifier"}],
    },
    "regression": {
        "linear": [SCALED, {"use": "linear_model.LinearRegression"}],
        "tree": [{"use": "tree.HoeffdingTreeRegressor", "grace_period": 50}],
        "rules": [{"use": "rules.AMRules"}],
        "scaled target": [
            SCALED,
            {"use": "preprocessing.TargetStandardScaler", "regressor": {"use": "linear_model.LinearRegression"}},
        ],
    },
}
METRICS = {
    "binary": ["Accuracy", "F1", "ROCAUC", "LogLoss", "CohenKappa", "MCC"],
    "multiclass": ["Accuracy", "MacroF1", "CohenKappa", "MicroF1"],
    "regression": ["MAE", "RMSE", "R2", "SMAPE"],
}
CASES = [(task, name) for task, models in MODELS.items() for name in models]


def lane_of(task: str, steps: list[dict[str, Any]], several: Any = None, **more: Any) -> Lane:
    """A lane without detectors over the model."""
    table = {"name": "m", "task": task, "model": {"steps": steps}, "detectors": {}, **more}
    settings = build(table if several is None else {**table, "scores": {"metrics": several, "window": 300}})
    return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))


def show(lane: Lane, stream: Rows) -> Lane:
    """Show the lane all rows, each with its label."""
    for n, (x, y) in enumerate(stream):
        lane.on_event(AcceptedEvent(str(n), x, y, 0.0, 0, n))
    return lane


@pytest.mark.parametrize(("task", "name"), CASES)
def test_scores_are_those_of_river_to_the_last_digit(task: str, name: str) -> None:
    """The very number of `progressive_val_score`, for every metric at once."""
    steps, stream = MODELS[task][name], STREAMS[task]()
    ours = show(lane_of(task, steps, METRICS[task]), stream).scores.values()
    for metric in METRICS[task]:
        model = lane_of(task, steps).champion.model
        theirs = evaluate.progressive_val_score(stream, model, getattr(metrics, metric)())
        assert ours[metric.lower()] == theirs.get(), metric


@pytest.mark.parametrize("task", METRICS)
def test_windowed_scores_are_those_of_the_last_events_only(task: str) -> None:
    """A metric that saw nothing but the last 300 predictions says the same, to the last digit."""
    lane, stream = lane_of(task, MODELS[task]["tree"], METRICS[task]), STREAMS[task]()
    fresh = [getattr(metrics, name)() for name in METRICS[task]]
    for n, (x, y) in enumerate(stream):
        answer = lane.champion.predict(x)
        if n >= len(stream) - 300:
            for metric in fresh:
                on_labels = task == "regression" or metric.requires_labels
                metric.update(y, answer.value if on_labels else answer.proba)
        lane.on_event(AcceptedEvent(str(n), x, y, 0.0, 0, n))
    assert lane.scores.windowed_values() == {type(each).__name__.lower(): each.get() for each in fresh}


def test_string_labels_score_as_truths() -> None:
    """With `positive` a stream of words has the very scores of the same stream of truths."""
    stream = STREAMS["binary"]()
    lane = lane_of("binary", [TREE], METRICS["binary"], positive="fraud")
    said = ["fraud" if y else "fine" for _, y in stream]
    read = [Reading(lane.settings).read_label(label) for label in said]
    truths = show(lane_of("binary", [TREE], METRICS["binary"]), stream)
    show(lane, [(x, y) for (x, _), y in zip(stream, read, strict=True)])
    assert lane.scores.values() == truths.scores.values()


def test_a_metric_may_have_parameters() -> None:
    """A table with `use` gives them."""
    stream = STREAMS["binary"]()[:300]
    lane = show(lane_of("binary", [TREE], [{"use": "metrics.FBeta", "beta": 2.0}]), stream)
    theirs = evaluate.progressive_val_score(stream, lane_of("binary", [TREE]).champion.model, metrics.FBeta(beta=2.0))
    assert lane.scores.values() == {"fbeta": theirs.get()}


@pytest.mark.parametrize(
    ("task", "wanted", "said"),
    [
        ("binary", ["Acuracy"], "no metric 'Acuracy' in river.metrics; did you mean Accuracy?"),
        ("multiclass", ["ROCAUC"], "the metric ROCAUC does not fit task = 'multiclass'"),
        ("regression", ["Accuracy"], "the metric Accuracy does not fit task = 'regression'"),
        ("binary", ["FBeta"], "the metric FBeta refuses its parameters: .* 'beta'"),
        ("binary", [{"use": "F1", "beta": 2}], "the metric F1 refuses its parameters"),
        ("binary", [{}], "no metric '' in river.metrics"),
        ("binary", ["ConfusionMatrix"], "the metric ConfusionMatrix is not one number"),
        ("binary", ["F1", "f1"], "the metric f1 is given twice"),
    ],
)
def test_a_mistaken_metric_is_named_at_start(task: str, wanted: list[Any], said: str) -> None:
    """It would otherwise raise on the first event, or at the first report."""
    steps = MODELS[task]["tree"]
    with pytest.raises(ConfigError, match=f"^{said}"):
        lane_of(task, steps, wanted)


def test_probabilities_that_no_model_gives_are_refused_at_start() -> None:
    """A vote of classifiers has none, and would raise on every event."""
    vote = [{"use": "ensemble.VotingClassifier", "models": [TREE, {"use": "naive_bayes.GaussianNB"}]}]
    with pytest.raises(ModelSpecError, match="VotingClassifier gives no probabilities"):
        lane_of("binary", vote)
    assert show(lane_of("binary", vote, ["Accuracy"]), STREAMS["binary"]()[:50]).events == 50


def test_what_is_undefined_is_left_out() -> None:
    """A champion that answers NaN has no error of 0."""
    scores = Scores([metrics.MAE(), metrics.R2()], window=2)
    scores.update(1.0, Prediction(float("nan")))
    assert "mae" not in scores.values()
    assert "mae" not in scores.windowed_values()
    scores.update(1.0, Prediction(2.0))
    scores.update(2.0, Prediction(2.0))
    assert scores.windowed_values()["mae"] == 0.5


def test_a_missing_answer_is_passed_over() -> None:
    """As River does: a model that cannot answer yet has no score for it."""
    scores = Scores([metrics.Accuracy(), metrics.LogLoss()], window=10)
    scores.update(True, Prediction(None, {}))
    scores.update(True, Prediction(True, {True: 1.0}))
    assert scores.values()["accuracy"] == 1.0


def test_scores_go_on_from_their_state() -> None:
    """Running and windowed, in the middle of a stream."""
    rng, answers = random.Random(1), []
    for _ in range(500):
        p = rng.random()
        answers.append((rng.random() < p, Prediction(p > 0.5, {True: p, False: 1 - p})))
    scores, twin = (Scores([metrics.F1(), metrics.ROCAUC(), metrics.LogLoss()], window=100) for _ in range(2))
    for y, answer in answers[:250]:
        scores.update(y, answer)
    twin.restore(statetree.decode(statetree.encode(scores.state())))
    for each in (scores, twin):
        for y, answer in answers[250:]:
            each.update(y, answer)
    assert (scores.values(), scores.windowed_values()) == (twin.values(), twin.windowed_values())


def test_other_metrics_than_the_checkpoints_begin_afresh() -> None:
    """Who changes the metrics gets those that were asked for."""
    old, new = Scores([metrics.Accuracy()], window=9), Scores([metrics.F1()], window=9)
    old.update(True, Prediction(True))
    new.restore(old.state())
    assert new.values() == {}
    new.update(True, Prediction(False))
    assert new.values() == {"f1": 0.0}


def test_a_metric_on_labels_asks_for_no_probabilities() -> None:
    """A model is asked for what is needed only: probabilities take longer."""
    lane = lane_of("binary", [{"use": "dummy.PriorClassifier"}], ["Accuracy"])
    assert isinstance(lane.champion.model, dummy.PriorClassifier)
    assert lane.champion.predict({}).proba is None


def test_many_answers_at_once_come_to_what_one_after_the_other_does() -> None:
    rng = random.Random(5)
    several = ["Accuracy", "F1", "LogLoss", "CohenKappa", "ROCAUC", "CrossEntropy"]
    at_once, one_by_one = (Measures(_sharing([metric_of(name, task="binary") for name in several])) for _ in range(2))
    rows: list[Any] = []
    for _ in range(700):
        p = rng.choice([rng.random(), 0.0, 1.0])
        rows.append((rng.random() < 0.3, p > 0.5, {False: 1.0 - p, True: p}))
        rows.append((rng.random() < 0.3, rng.choice([None, True]), None))
    at_once.show_all(rows)
    for row in rows:
        one_by_one.show_all([row])
    assert at_once.values() == one_by_one.values()
    assert statetree.encode(at_once.metrics) == statetree.encode(one_by_one.metrics)

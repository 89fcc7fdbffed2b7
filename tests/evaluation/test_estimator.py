"""The lane as a River estimator: River's own tools work with it, and it is the lane that a learner on Kafka runs."""

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from river import checks, evaluate, linear_model, metrics, naive_bayes, preprocessing
from river.datasets import synth

from anabranch import statetree
from config.loading import build
from evaluation.backtest import Backtest
from evaluation.estimator import AdaptiveClassifier, AdaptiveRegressor
from evaluation.simulation.world.memory_log import FrozenClock
from support.loops import first_of


def drifting(events: int = 4000) -> Iterator[tuple[dict[str, float], bool]]:
    """A stream whose concept is the opposite from its middle on."""
    for n, (x, y) in enumerate(synth.SEA(variant=0, seed=7).take(events)):
        yield {str(name): each for name, each in x.items()}, bool(y) if n < events // 2 else not y


def shown(model: Any, stream: Iterator[tuple[dict[str, float], Any]]) -> list[Any]:
    """What it answered to each event before it learned it."""
    answers = []
    for x, y in stream:
        answers.append(model.predict_one(x))
        model.learn_one(x, y)
    return answers


class Choking(linear_model.LogisticRegression):
    """Raises on what it is shown."""

    def learn_one(self, x: dict[str, Any], y: Any, w: float = 1.0) -> None:
        """It cannot."""
        raise ArithmeticError("no")


def checked(kind: type[Any]) -> list[Any]:
    return [(kind, params) for params in kind._unit_test_params()]


@pytest.mark.peers
@pytest.mark.parametrize(("kind", "params"), [*checked(AdaptiveClassifier), *checked(AdaptiveRegressor)])
def test_it_passes_the_checks_of_river(kind: type[Any], params: dict[str, Any]) -> None:
    """River's own, of its estimators; some of their data come with scikit-learn."""
    pytest.importorskip("sklearn", reason="`make peers` installs scikit-learn")
    passed = 0
    for check in checks.yield_checks(kind(**params)):
        check(kind(**params))
        passed += 1
    assert passed > 20


def test_it_is_the_lane_that_a_backtest_runs() -> None:
    """The same stream and settings: the same learning state, to the last digit."""
    spec = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
    sections = {"trigger": {"debounce_events": 100}, "retrain": {"admit_after_events": 50}}
    quiet = {"refresh_level": 0, "refresh_events": 0, "report_events": 10**9}
    settings = build({"name": "m", "task": "binary", "serve": "champion", "model": spec, "publish": quiet, **sections})
    rows = [
        orjson.dumps({"id": str(n), "ts": float(n), "features": x, "label": y}) for n, (x, y) in enumerate(drifting())
    ]
    found = Backtest(
        settings, first=first_of(settings), values=lambda: iter(rows), timestamp_of=None, clock=FrozenClock()
    ).run()
    model = AdaptiveClassifier(naive_bayes.GaussianNB(), portfolio=None, sections=sections)
    answers = shown(model, drifting())
    accuracy = metrics.Accuracy()
    for (_, y), answer in zip(drifting(), answers, strict=True):
        if answer is not None:
            accuracy.update(y, answer)
    assert model._lane is not None
    assert statetree.digest(model._lane.learning_state()) == found["state_hash"]
    assert model.events == 4000
    assert any(each.kind == "swap" for each in model.swaps)
    assert accuracy.get() > 0.9


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301  # our own
def test_a_copy_goes_on_alike(copied: Callable[[Any], Any]) -> None:
    """In the middle of a contest, with a job that has not come back."""
    sections = {"trigger": {"debounce_events": 100}, "retrain": {"admit_after_events": 300}}
    rows = list(drifting())
    model = AdaptiveClassifier(naive_bayes.GaussianNB(), portfolio="cheap", sections=sections)
    shown(model, iter(rows[:2100]))
    assert model._waiting
    other = copied(model)
    assert shown(other, iter(rows[2100:])) == shown(model, iter(rows[2100:]))
    assert [each.event_number for each in other.swaps] == [each.event_number for each in model.swaps]
    assert len(model.swaps) > 1


def test_it_works_where_labels_are_late() -> None:
    def pairs() -> Iterator[Any]:
        for n, (x, y) in enumerate(drifting()):
            yield {**x, "n": n}, y

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    adaptive = AdaptiveClassifier(naive_bayes.GaussianNB())
    alone = evaluate.progressive_val_score(pairs(), model, metrics.Accuracy(), moment="n", delay=100)
    found = evaluate.progressive_val_score(pairs(), adaptive, metrics.Accuracy(), moment="n", delay=100)
    assert adaptive.events == 4000
    assert found.get() > 0.85
    assert alone.get() > 0.5


def test_numbers_drift_too() -> None:
    def pairs() -> Iterator[Any]:
        for n, (x, y) in enumerate(synth.Friedman(seed=7).take(4000)):
            yield x, y if n < 2000 else -y

    alone = preprocessing.StandardScaler() | linear_model.LinearRegression()
    model = AdaptiveRegressor(alone.clone(), portfolio=None)
    without = evaluate.progressive_val_score(pairs(), alone, metrics.MAE())
    found = evaluate.progressive_val_score(pairs(), model, metrics.MAE())
    assert model.signals
    assert found.get() <= without.get()


def test_several_classes_and_labels_of_numpy() -> None:
    model = AdaptiveClassifier(naive_bayes.GaussianNB(), portfolio=None)
    for n in range(600):
        model.learn_one({"a": n % 3 + n % 7 / 20}, np.str_("abc"[n % 3]))
    assert model.predict_one({"a": 1.0}) == "b"
    assert set(model.predict_proba_one({"a": 1.0})) == {"a", "b", "c"}


def test_what_the_model_raises_is_raised() -> None:
    model = AdaptiveClassifier(Choking(), portfolio=None, trusted=[__name__])
    with pytest.raises(ArithmeticError, match="no"):
        model.learn_one({"a": 1.0}, True)

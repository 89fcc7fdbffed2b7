"""River's hot functions once more: the same answers and the same state, to the last digit, on streams of chance."""

import functools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from river import drift, ensemble, forest, linear_model, naive_bayes, preprocessing, tree

from anabranch import statetree
from learners.models import speedups
from support.lanes import lane_of

MODELS: dict[str, Callable[[], Any]] = {
    "tree": lambda: tree.HoeffdingTreeClassifier(grace_period=20, delta=0.05),
    "tree, naive Bayes": lambda: tree.HoeffdingTreeClassifier(grace_period=20, delta=0.05, leaf_prediction="nb"),
    "tree, gini": lambda: tree.HoeffdingTreeClassifier(grace_period=20, delta=0.05, split_criterion="gini"),
    "tree, low": lambda: tree.HoeffdingTreeClassifier(
        grace_period=20, delta=0.5, max_depth=2, nominal_attributes=["b"]
    ),
    "tree, poor attributes": lambda: tree.HoeffdingTreeClassifier(grace_period=20, remove_poor_attrs=True, delta=0.5),
    "adaptive tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(
        grace_period=20, delta=0.05, drift_window_threshold=30, seed=1
    ),
    "adaptive tree, majority": lambda: tree.HoeffdingAdaptiveTreeClassifier(
        grace_period=20, delta=0.05, leaf_prediction="mc", drift_detector=drift.ADWIN(0.1, grace_period=5), seed=1
    ),
    "extremely fast tree": lambda: tree.ExtremelyFastDecisionTreeClassifier(grace_period=20, delta=0.05),
    "last": tree.LASTClassifier,
    "forest": lambda: forest.ARFClassifier(n_models=3, grace_period=20, seed=1),
    "bagging": lambda: ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=2, seed=1),
    "naive Bayes": naive_bayes.GaussianNB,
    "scaled": lambda: preprocessing.StandardScaler() | linear_model.SoftmaxRegression(),
    "centred": lambda: preprocessing.StandardScaler(with_std=False) | linear_model.SoftmaxRegression(),
    "scaled by a window": lambda: preprocessing.StandardScaler(window_size=20) | linear_model.SoftmaxRegression(),
}
ONLY_NUMBERS = ("naive Bayes", "scaled", "centred", "scaled by a window")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """What is put in River's place stays there for a process: tests that follow find it as a lane leaves it."""
    yield
    speedups.install()


def stream(seed: int, *, classes: int, words: bool, count: int = 300) -> Iterator[tuple[dict[str, Any], Any]]:
    """Numbers of all sizes, features that come and go, words; in the middle what the labels hang on changes."""
    rng = random.Random(seed)
    for number in range(count):
        x: dict[str, Any] = {"a": rng.gauss(0, 1), "b": rng.randrange(4), "c": rng.choice([0.0, -0.0, 1e-9, 1e12])}
        if rng.random() < 0.8:
            x["d"] = rng.random() > 0.5
        if words:
            x["e"] = rng.choice("uvw")
        at = x["a"] + x["b"] if number < count / 2 else x["b"] - 2 * x["a"]
        yield x, int(at + rng.gauss(0, 0.3)) % classes


def passed(model: Any, events: Iterator[tuple[dict[str, Any], Any]]) -> tuple[list[str], str]:
    """Each event's probabilities, asked twice, and what the model is in the end."""
    said = []
    for x, y in events:
        said.append(repr(model.predict_proba_one(x)))
        model.learn_one(x, y)
        said.append(repr(model.predict_proba_one(x)))
    return said, statetree.digest(model)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("classes", [2, 5])
def test_answers_and_state_are_rivers(name: str, classes: int) -> None:
    """To the last digit, on numbers and on words, with two classes and with more."""
    for words in (False, True) if name not in ONLY_NUMBERS else (False,):
        speedups.remove()
        rivers = passed(MODELS[name](), stream(classes, classes=classes, words=words))
        assert speedups.install()
        assert passed(MODELS[name](), stream(classes, classes=classes, words=words)) == rivers


def test_one_table_filled_in_again_and_again_is_another_event_each_time() -> None:
    """A leaf's last answer is kept for the values that it was given for, and for no object."""
    speedups.install()
    model: Any = tree.HoeffdingTreeClassifier()
    x = {"a": 0.0}
    for number in range(100):
        model.learn_one({"a": float(number % 2) + number / 1000}, bool(number % 2))
    asked = []
    for x["a"] in (0.0, 1.0):
        asked.append(model.predict_one(x))
    assert asked == [False, True]


def test_what_an_answer_is_used_for_does_not_change_the_next_one() -> None:
    """The table is the caller's own."""
    speedups.install()
    weights = {True: 1.0, False: 3.0}
    model: Any = tree.HoeffdingTreeClassifier()
    for number in range(50):
        model.learn_one({"a": number / 10}, number > 25)
    splitters = model._root.splitters
    first = speedups.naive_bayes_votes({"a": 1.0}, weights, splitters)
    first.clear()
    assert speedups.naive_bayes_votes({"a": 1.0}, weights, splitters)


def test_only_so_many_leaves_are_kept() -> None:
    """Those of models that are long gone do not add up."""
    speedups.install()
    for number in range(speedups.LEAVES_MAX + 10):
        speedups.naive_bayes_votes({"a": float(number)}, {True: 1.0 + number}, {})
    assert len(speedups._leaves) <= speedups.LEAVES_MAX


def test_another_river_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared with one version is put in place of that one only."""
    speedups.remove()
    monkeypatch.setattr(speedups, "RIVER", "0.0.1")
    assert not speedups.install()
    assert naive_bayes.GaussianNB.learn_one is not speedups.learn_naive_bayes


def test_a_lane_puts_them_in_place() -> None:
    """Whoever has a lane is as quick as can be."""
    speedups.remove()
    lane_of()
    assert naive_bayes.GaussianNB.learn_one is speedups.learn_naive_bayes


@pytest.mark.parametrize(
    "make", [tree.HoeffdingTreeClassifier, functools.partial(tree.HoeffdingAdaptiveTreeClassifier, seed=1)]
)
def test_a_tree_that_was_kept_is_as_large_as_one_that_was_not(make: Callable[..., Any]) -> None:
    """River measures its size now and then, after a million events by default, and it is part of the state."""
    speedups.install()
    straight, kept = (make(grace_period=20, delta=0.05, memory_estimate_period=50) for _ in range(2))
    for number, (x, y) in enumerate(stream(7, classes=2, words=True, count=600)):
        straight.learn_one(x, y)
        kept.learn_one({**x}, y)
        if number % 150 == 149:
            kept = statetree.decode(statetree.encode(kept))
    assert straight._size_estimate_overhead_fraction != 1.0
    assert statetree.digest(kept) == statetree.digest(straight)


def test_a_tree_beyond_its_bound_stops_growing_where_it_promises_least() -> None:
    speedups.install()
    small, free = (
        tree.HoeffdingTreeClassifier(grace_period=20, delta=0.5, memory_estimate_period=20, max_size=size)
        for size in (0.01, 100.0)
    )
    for x, y in stream(7, classes=2, words=False, count=600):
        small.learn_one(x, y)
        free.learn_one(x, y)
    assert small.n_inactive_leaves > 0 == free.n_inactive_leaves

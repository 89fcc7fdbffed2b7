"""Explanations: contributions add up to the answer, and are Shapley values, counted out over all coalitions."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from river import (
    compose,
    ensemble,
    forest,
    linear_model,
    multiclass,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    reco,
    rules,
    tree,
)

from anabranch.blends import Blend
from anabranch.errors import ExplanationError
from anabranch.recommender import Recommender
from anabranch.testing import MemoryFollower
from config.learning import ModelSpec, Portfolio
from learners.arena.standing import members, remembering
from learners.models.catalogue import build
from serving.explanation import Explanation
from serving.explanation.sampling import ABSENT, names_of
from support.explained import explainer, rows


def answered(follower: MemoryFollower, x: dict[str, Any], found: Explanation) -> float:
    """What the model itself says, in the unit of the explanation."""
    if found.unit == "number":
        return float(follower.predict_one(x))
    proba = follower.predict_proba_one(x)
    if found.unit == "probability":
        return proba.get(found.about, 0.0)
    assert found.unit == "log-odds"
    return math.log(proba[found.about] / proba[found.against])


def catalogued() -> Iterator[tuple[str, str, tuple[dict[str, Any], ...]]]:
    """Every model of the portfolios that answers by features, with its task."""
    portfolio: Portfolio = "cheap+forest"
    for task in ("binary", "multiclass", "regression"):
        for each in [*members(portfolio, task=task, words=True), *remembering(task, words=True)]:
            yield task, each.name, each.steps


@pytest.mark.parametrize(("task", "name", "steps"), list(catalogued()), ids=lambda each: str(each)[:30])
def test_contributions_add_up_for_every_model_of_the_portfolio(
    task: str, name: str, steps: tuple[dict[str, Any], ...]
) -> None:
    """With the base, to the very answer; by the event's own features, whatever was made of them."""
    taught = rows(task, words=(task, name) != ("regression", "forest"))  # its linear leaves take no words
    explained, follower = explainer(build(ModelSpec(steps=steps), seed=1), task, taught)
    for x, _ in taught[-3:]:
        found = explained.explain(x)
        assert {each.feature for each in found.contributions} == set(x)
        assert found.value == pytest.approx(answered(follower, x, found), rel=1e-6, abs=1e-6)
        assert found.value == pytest.approx(found.base + sum(each.amount for each in found.contributions))


OTHERS: dict[str, tuple[str, Callable[[], Any]]] = {
    "softmax": ("multiclass", lambda: one_hot(linear_model.SoftmaxRegression())),
    "bernoulli": ("binary", lambda: one_hot(naive_bayes.BernoulliNB())),
    "bagging": ("binary", lambda: ensemble.BaggingClassifier(one_hot(linear_model.LogisticRegression()), 3, seed=1)),
    "one against the rest": (
        "multiclass",
        lambda: one_hot(multiclass.OneVsRestClassifier(linear_model.PAClassifier())),
    ),
    "neighbours": (
        "regression",
        lambda: compose.SelectType(float) | neighbors.KNNRegressor(engine=neighbors.LazySearch()),
    ),
    "median forest": ("regression", lambda: forest.ARFRegressor(3, leaf_prediction="mean", seed=1)),
    "tree behind a scaler": (
        "regression",
        lambda: compose.SelectType(float) | preprocessing.StandardScaler() | tree.HoeffdingTreeRegressor(),
    ),
    "tree of mixed features": (
        "regression",
        lambda: (
            compose.SelectType(float) | preprocessing.Normalizer() | tree.HoeffdingTreeRegressor(leaf_prediction="mean")
        ),
    ),
    "adaptive tree": ("binary", lambda: tree.HoeffdingAdaptiveTreeClassifier(50, leaf_prediction="nb", seed=1)),
    "eager tree": ("binary", lambda: tree.ExtremelyFastDecisionTreeClassifier(grace_period=50)),
    "logarithmic link": (
        "regression",
        lambda: (
            compose.SelectType(float)
            | preprocessing.StandardScaler()
            | linear_model.LinearRegression(optim.SGD(0.001), loss=optim.losses.Poisson())
        ),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_contributions_add_up_for_models_of_all_kinds(name: str) -> None:
    """However they are found."""
    task, make = OTHERS[name]
    taught = rows(task, events=300)
    explained, follower = explainer(make(), task, taught, canary=3)
    found = explained.explain(taught[-1][0])
    assert found.value == pytest.approx(answered(follower, taught[-1][0], found), rel=1e-6, abs=1e-6)


def test_a_blend_and_a_recommender_add_up() -> None:
    """What answers where labels come late, and what is asked by user and item."""
    taught = rows("binary", words=False)
    members = [naive_bayes.GaussianNB(), tree.HoeffdingTreeClassifier()]
    for each in members:
        for x, y in taught:
            each.learn_one(x, y)
    explained, follower = explainer(
        Blend(members, [0.25, 0.75]), "binary", [(taught[0][0], None)], canary=1, learns=False
    )
    found = explained.explain(taught[-1][0])
    assert (found.method, found.unit) == ("sampled", "probability")
    assert found.value == pytest.approx(follower.predict_proba_one(taught[-1][0])[True])

    stars = [({"user": f"u{n % 5}", "item": f"i{n % 3}"}, float(n % 5)) for n in range(60)]
    explained, follower = explainer(Recommender(reco.Baseline(optim.SGD(0.1))), "reco", stars)
    found = explained.explain({"user": "u4", "item": "i1"})
    assert found.value == pytest.approx(follower.predict_one({"user": "u4", "item": "i1"}))
    assert found.contributions[0].feature == "user"


def test_a_margin_is_what_is_compared_with_nought() -> None:
    """Where a loss makes no probabilities of it."""
    taught = rows("binary")
    explained, _ = explainer(one_hot(linear_model.LogisticRegression(loss=optim.losses.Hinge())), "binary", taught)
    for x, _y in taught[-5:]:
        found = explained.explain(x)
        assert (found.unit, found.value > 0) == ("margin", found.prediction)


def test_a_class_that_was_never_learned_has_no_odds() -> None:
    """The probability is explained instead."""
    taught = [(x, False) for x, _ in rows("binary", words=False)]
    explained, _ = explainer(naive_bayes.GaussianNB(), "binary", taught)
    found = explained.explain(taught[-1][0])
    assert (found.unit, found.value, found.prediction) == ("probability", 0.0, False)


def counted_out(value: Callable[[dict[str, Any]], float], x: dict[str, Any], background: Any) -> dict[str, float]:
    """Shapley values by their definition: over all coalitions."""
    names = names_of(x, background)

    def worth(joined: frozenset[str]) -> float:
        total = 0.0
        for row in background:
            mixed = {name: (x if name in joined else row).get(name, ABSENT) for name in names}
            total += value({name: each for name, each in mixed.items() if each is not ABSENT})
        return total / len(background)

    found = dict.fromkeys(names, 0.0)
    for size in range(len(names)):
        share = 1 / (len(names) * math.comb(len(names) - 1, size))
        for name in names:
            for joined in itertools.combinations([each for each in names if each != name], size):
                found[name] += share * (worth(frozenset({*joined, name})) - worth(frozenset(joined)))
    return found


def one_hot(*last: Any) -> compose.Pipeline:
    """Numbers scaled, words one-hot."""
    numbers = compose.SelectType(float) | preprocessing.StandardScaler()
    return compose.Pipeline(numbers + (compose.SelectType(str) | preprocessing.OneHotEncoder()), *last)


EXACT = {
    "logistic": ("binary", lambda: one_hot(linear_model.LogisticRegression())),
    "linear": ("regression", lambda: one_hot(linear_model.LinearRegression())),
    "scaled target": (
        "regression",
        lambda: one_hot(preprocessing.TargetStandardScaler(linear_model.LinearRegression())),
    ),
    "bayes": ("binary", lambda: one_hot(naive_bayes.GaussianNB())),
    "majority tree": ("binary", lambda: tree.HoeffdingTreeClassifier(grace_period=50, leaf_prediction="mc")),
    "mean tree": ("regression", lambda: tree.HoeffdingTreeRegressor(grace_period=50, leaf_prediction="mean")),
    "majority forest": ("binary", lambda: forest.ARFClassifier(4, grace_period=50, leaf_prediction="mc", seed=1)),
    "mean forest": (
        "regression",
        lambda: forest.ARFRegressor(4, grace_period=50, leaf_prediction="mean", aggregation_method="mean", seed=1),
    ),
    "tree behind an encoder": (
        "binary",
        lambda: one_hot(tree.HoeffdingTreeClassifier(grace_period=50, delta=0.1, tau=0.3, leaf_prediction="mc")),
    ),
    "several classes": ("multiclass", lambda: tree.HoeffdingTreeClassifier(grace_period=50, leaf_prediction="mc")),
}


def value_of(model: Any, found: Explanation) -> Callable[[dict[str, Any]], float]:
    """What is explained, asked of the model itself."""
    if found.unit == "number":
        return lambda z: float(model.predict_one(z))
    if found.unit == "probability":
        return lambda z: float(model.predict_proba_one(z).get(found.about, 0.0))

    def odds(z: dict[str, Any]) -> float:
        proba = model.predict_proba_one(z)
        return math.log(proba[found.about] / proba[found.against])

    return odds


@pytest.mark.parametrize("name", EXACT)
def test_exact_contributions_are_shapley_values(name: str) -> None:
    """As they are counted out over all coalitions, of whole events and of such that lack a feature."""
    task, make = EXACT[name]
    taught = rows(task, events=900)
    explained, follower = explainer(make(), task, taught, canary=3)
    whole = taught[-1][0]
    for x in (whole, {each: whole[each] for each in ("amount", "age", "country")}):
        found = explained.explain(x)
        assert found.method == "exact"
        expected = counted_out(value_of(follower.champion.artifact.model, found), x, explained.background)
        assert {each.feature: each.amount for each in found.contributions} == pytest.approx(expected, abs=1e-6)
    assert found.missing == ("score",)


@pytest.mark.parametrize("model", [rules.AMRules(), tree.HoeffdingTreeRegressor(grace_period=50), "normalised"])
def test_sampled_contributions_come_near_with_their_error(model: Any) -> None:
    """Four standard errors, with something for none; the same event is explained alike each time."""
    if model == "normalised":  # what one feature says depends on all others
        model = preprocessing.Normalizer() | linear_model.LinearRegression()
    taught = rows("regression", words=False)
    explained, follower = explainer(model, "regression", taught, canary=4)
    x = taught[-1][0]
    found = explained.explain(x)
    assert "sampled" in found.method
    expected = counted_out(value_of(follower.champion.artifact.model, found), x, explained.background)
    for each in found.contributions:
        assert each.amount == pytest.approx(expected[each.feature], abs=4 * each.error + 1e-3)
    assert explained.explain(x) == found


def test_features_that_a_model_cannot_do_without_are_exact_too() -> None:
    """`compose.Select` raises without them: each is measured against a row of the background."""
    model = compose.Select("amount", "age") | preprocessing.StandardScaler() | linear_model.LogisticRegression()
    taught = rows("binary")
    explained, follower = explainer(model, "binary", taught)
    found = explained.explain(taught[-1][0])
    expected = counted_out(value_of(follower.champion.artifact.model, found), taught[-1][0], explained.background)
    assert found.method == "exact"
    assert {each.feature: each.amount for each in found.contributions} == pytest.approx(expected, abs=1e-6)


def test_a_model_that_cannot_be_asked_is_an_error_for_people() -> None:
    """It names the version, and what the model said."""
    explained, _ = explainer(linear_model.LinearRegression(), "regression", (rows("regression", words=False)))
    with pytest.raises(ExplanationError, match=r"version 1 cannot be asked.*TypeError"):
        explained.explain({"amount": "much", "age": 1.0, "score": 2.0})

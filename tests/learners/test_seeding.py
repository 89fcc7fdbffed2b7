"""Seeds for what a factory made without: the configuration's, wherever that is right; a refusal everywhere else."""

import importlib
import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from river import (
    base,
    compose,
    drift,
    ensemble,
    feature_extraction,
    forest,
    linear_model,
    naive_bayes,
    preprocessing,
    tree,
)

from anabranch import statetree
from anabranch.errors import ModelSpecError
from config.learning import ModelSpec
from learners.models.catalogue import _ROOMS_OF_RIVER, build
from learners.models.training import seeded, unseeded


@pytest.fixture
def factories(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A user's module."""
    module = types.ModuleType("users_models")
    monkeypatch.setitem(sys.modules, "users_models", module)
    return module


def built(factories: types.ModuleType, make: Any, *, seed: int = 7) -> Any:
    """The model of a factory."""
    vars(factories)["make"] = make
    return build(ModelSpec(factory="users_models:make"), seed=seed)


def same(one: Any, other: Any) -> bool:
    """Whether two models are of the same state."""
    return statetree.digest(one) == statetree.digest(other)


def forest_of(seed: int | None = None) -> forest.ARFClassifier:
    return forest.ARFClassifier(n_models=2, seed=seed)


# Each with the seed for what is left without: None in the factory, and the configuration's in the model expected.
FACTORIES: dict[str, Any] = {
    "alone": forest_of,
    "in a pipeline": lambda seed=None: preprocessing.StandardScaler() | forest_of(seed),
    "in an ensemble": lambda seed=None: ensemble.BaggingClassifier(forest_of(seed), n_models=2, seed=1),
    "around another": lambda seed=None: ensemble.BaggingClassifier(forest_of(1), n_models=2, seed=seed),
    "at two depths": lambda seed=None: ensemble.BaggingClassifier(forest_of(seed), n_models=2, seed=seed),
    "in a list": lambda seed=None: ensemble.VotingClassifier([forest_of(seed), naive_bayes.GaussianNB()]),
    "in a union": lambda seed=None: (
        (
            preprocessing.StandardScaler()
            + (compose.Select("a") | preprocessing.GaussianRandomProjector(n_components=2, seed=seed))
        )
        | naive_bayes.GaussianNB()
    ),
    "in a detector": lambda seed=None: ensemble.ADWINBaggingClassifier(
        tree.HoeffdingAdaptiveTreeClassifier(drift_detector=drift.KSWIN(seed=seed), seed=3), n_models=2, seed=4
    ),
    "deep": lambda seed=None: (
        preprocessing.MinMaxScaler()
        | (preprocessing.StandardScaler() | ensemble.BaggingClassifier(forest_of(seed), n_models=2, seed=1))
    ),
}


@pytest.mark.parametrize("make", FACTORIES.values(), ids=FACTORIES)
def test_a_factory_without_seeds_gets_those_of_the_configuration(make: Any, factories: types.ModuleType) -> None:
    """As if they had been written in the factory; other seeds stay, and another seed is another model."""
    assert same(built(factories, make, seed=7), built(factories, lambda: make(7), seed=99))
    assert same(built(factories, make, seed=7), built(factories, make, seed=7))
    assert not same(built(factories, make, seed=7), built(factories, make, seed=8))


def rivers() -> Iterator[tuple[str, type[base.Base], dict[str, Any]]]:
    """Everything in River that draws random numbers, with parameters that name no seed."""
    for room in sorted(_ROOMS_OF_RIVER):
        module = importlib.import_module(f"river.{room}")
        for name in getattr(module, "__all__", ()):
            kind = getattr(module, name, None)
            if inspect.isclass(kind) and issubclass(kind, base.Base) and not inspect.isabstract(kind):
                for n, parameters in enumerate(_parameters(kind)):
                    yield f"{room}.{name}-{n}", kind, parameters


def _parameters(kind: type[base.Base]) -> Iterator[dict[str, Any]]:
    try:
        several = list(kind._unit_test_params())
    except NotImplementedError:
        return
    for each in several:
        parameters = {name: value for name, value in each.items() if name != "seed"}
        try:
            made = kind(**parameters)
        except (RuntimeError, TypeError, ValueError):
            continue  # it cannot be made like this, or not on this Python
        if any(unseeded(made)) and not statetree.refusals(made):
            yield parameters


CATALOGUE = {where: (kind, parameters) for where, kind, parameters in rivers()}
REFUSED = {
    "drift.DummyDriftDetector-0",  # its clone() takes no parameters
    "feature_extraction.RBFSampler-0",  # these three draw when they are made: whether they have learned is not plain
    "preprocessing.FeatureHasher-0",
    "sketch.NUnique-0",
}


@pytest.mark.parametrize("where", sorted(CATALOGUE.keys() - REFUSED))
def test_all_of_river_can_be_seeded(where: str) -> None:
    """Nothing is left without, and it is what the class makes of that seed itself."""
    kind, parameters = CATALOGUE[where]
    one, other = (seeded(kind(**parameters), seed=7) for _ in range(2))
    assert not list(unseeded(one))
    assert same(one, other)
    if "seed" in inspect.signature(kind).parameters:
        meant = kind(**parameters, seed=7)
        assert any(unseeded(meant)) or same(one, meant)


def test_what_cannot_be_seeded_is_known_by_name() -> None:
    """So that a River that mends one of them is noticed."""
    assert CATALOGUE.keys() >= REFUSED
    assert len(CATALOGUE) > 60


class Stubborn(linear_model.LogisticRegression):
    """A user's model that breaks River's rules: its clone() takes no parameters."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        self.seed = seed

    def clone(self) -> "Stubborn":  # type: ignore[override]  # that is what is wrong with it
        return Stubborn()


def trained() -> Any:
    model = forest_of()
    for n in range(300):
        model.learn_one({"a": n % 7}, n % 7 > 3)
    return preprocessing.StandardScaler() | model


def altered() -> Any:
    model = forest_of()
    model.n_models += 1
    model.lambda_value = 17  # a parameter, and so kept
    model._n_samples_seen = 5
    return model


def shared() -> Any:
    one = forest_of()
    return ensemble.VotingClassifier([one, one])


UNFIT = {
    "trained": (trained, "ARFClassifier"),
    "altered afterwards": (altered, "ARFClassifier"),
    "one model in two places": (shared, "ARFClassifier, ARFClassifier"),
    "drawing when made": (lambda: feature_extraction.RBFSampler() | naive_bayes.GaussianNB(), "RBFSampler"),
}


@pytest.mark.parametrize(("make", "named"), UNFIT.values(), ids=UNFIT)
def test_what_would_not_be_the_same_is_refused(make: Any, named: str, factories: types.ModuleType) -> None:
    """Making it once more would forget something: the factory must pass the seed."""
    with pytest.raises(ModelSpecError, match=rf"users_models:make: {named} without a seed: .*; pass seed=… in the fac"):
        built(factories, make)


def test_a_class_that_breaks_rivers_rules_is_refused(factories: types.ModuleType) -> None:
    """By the same words, not by what Python says of it."""
    vars(factories)["make"] = Stubborn
    with pytest.raises(ModelSpecError, match="users_models:make: Stubborn without a seed"):
        build(ModelSpec(factory="users_models:make", trusted=(f"{__name__}:Stubborn",)), seed=1)


def test_a_trained_part_beside_an_unseeded_one_keeps_what_it_has_learned(factories: types.ModuleType) -> None:
    """Only what stands without a seed, and what holds it, is made once more."""
    scaler = preprocessing.StandardScaler()
    for n in range(50):
        scaler.learn_one({"a": n})
    model = built(factories, lambda: compose.Pipeline(scaler, forest_of()))
    assert model["StandardScaler"].means["a"] == scaler.means["a"] == 24.5
    assert model["ARFClassifier"].seed == 7

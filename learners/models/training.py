"""How a model is made and trained: seeds for estimators made without one, and repeats of rare classes with jitter.

>>> from river import ensemble, forest, preprocessing
>>> model = preprocessing.StandardScaler() | ensemble.BaggingClassifier(forest.ARFClassifier(), n_models=2, seed=1)
>>> list(unseeded(model))
['ARFClassifier']
>>> bagging = seeded(model, seed=7)["BaggingClassifier"]
>>> bagging.seed, bagging.model.seed
(1, 7)
"""

import gc
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from river import base, compose, stats

from anabranch import statetree
from anabranch.events import AcceptedEvent
from config.learning import Augment


def unseeded(model: base.Base) -> Iterator[str]:
    """The names of estimators inside `model` that draw random numbers without a seed."""
    stack: list[tuple[str, Any]] = [(type(model).__name__, model)]
    while stack:
        name, item = stack.pop()
        if isinstance(item, base.Base):
            stack.append((type(item).__name__, item._get_params()))
        elif isinstance(item, Mapping):
            if "seed" in item and item["seed"] is None:
                yield name
            stack.extend(item.items())
        elif isinstance(item, tuple) and item and isinstance(item[0], type):  # how River describes an inner estimator
            stack.extend((item[0].__name__, each) for each in item[1:])
        elif isinstance(item, list | tuple):
            stack.extend((name, each) for each in item)


def seeded(model: Any, *, seed: int, trusted: tuple[str, ...] = ()) -> Any:
    """The model made once more, with `seed` wherever it had none.

    Making an estimator once more forgets what it has learned and what was set on it afterwards. A model that would not
    be the same, but for its random sources, is therefore given back as it is.

    Raises:
        StateTreeError: the model holds something that cannot be compared.
    """
    same = _remade(model, seed=None)
    if _fingerprint(model, trusted) != _fingerprint(same, trusted):
        return model
    return _remade(model, seed=seed)


def _remade(model: Any, *, seed: int | None) -> Any:
    """A model of the same parameters; those without anything unseeded inside are kept as they are."""
    if not any(unseeded(model)):
        return model
    if isinstance(model, compose.Pipeline):
        return model.clone({name: _remade(step, seed=seed) for name, step in model.steps.items()})
    if isinstance(model, compose.TransformerUnion):
        return model.clone({name: _remade(each, seed=seed) for name, each in model.transformers.items()})
    # The objects themselves, where River would describe them as a class and its parameters: clone() takes both.
    held = {name: getattr(model, name, value) for name, value in model._get_params().items()}
    parameters = {name: _value(value, seed=seed) for name, value in held.items()}
    if held.get("seed", 0) is None:
        parameters["seed"] = seed
    return model.clone(parameters)


def _value(value: Any, *, seed: int | None) -> Any:
    if isinstance(value, base.Base):
        return _remade(value, seed=seed)
    if type(value) in (list, tuple):
        return type(value)(_value(each, seed=seed) for each in value)
    if type(value) is dict:
        return {key: _value(each, seed=seed) for key, each in value.items()}
    return value


def _fingerprint(model: Any, trusted: tuple[str, ...]) -> str:
    """The digest of a model's state, as if all its random sources stood at the same place."""
    # A copy, since its random sources are about to be set back.
    twin = statetree.decode(statetree.encode(model, trusted=trusted), trusted=trusted)
    for source in _random_sources(twin):
        if isinstance(source, np.random.Generator):
            # A Generator has no seed() of its own.
            source.bit_generator.state = type(source.bit_generator)(0).state
        else:
            source.seed(0)
    return statetree.digest(twin, trusted=trusted)


def _random_sources(model: Any) -> list[Any]:
    """Every random source that can be reached from the model, but not from its classes and their modules."""
    found, seen, left = [], {id(model)}, [model]
    while left:
        item = left.pop()
        if isinstance(item, random.Random | np.random.RandomState | np.random.Generator):
            found.append(item)
            continue
        # As the garbage collector sees it: a random source may lie in a slot or a container that no parameter names.
        for each in gc.get_referents(item):
            if id(each) not in seen and not isinstance(each, type | ModuleType | FunctionType):
                seen.add(id(each))
                left.append(each)
    return found


# ── Augmentation: what a retrained recruit learns besides the events themselves, drawn with the job's seed ──────────

# Events of rarer classes are learned more than once; the repeats may carry noise on their numbers. It changes what a
# probability means, as every resampling does: choose between it and a proper loss with care.


class Repeats:
    """Draws how often an event is learned again, and with which numbers.

    >>> repeats = Repeats(Augment(minority=3.0), seed=1)
    >>> event = AcceptedEvent("e", {"a": 1.0}, False, 0.0, 0, 0)
    >>> common = sum(len(repeats.of(event)) for _ in range(100))
    >>> rare = sum(len(repeats.of(event._replace(y=True))) for _ in range(50))
    >>> common, rare
    (0, 100)
    """

    def __init__(self, augment: Augment, *, seed: int) -> None:
        self.again = augment.minority - 1.0
        self.jitter = augment.jitter
        self.rng = random.Random(seed)
        self.seen: Counter[Any] = Counter()
        self.spread: dict[str, stats.Var] = {}

    def of(self, event: AcceptedEvent) -> list[dict[str, object]]:
        """The features to learn once more, with the event's own label; none for the commonest class."""
        if not self.again:
            return []
        self.seen[event.y] += 1
        if self.jitter:
            self._measure(event.x)
        if self.seen[event.y] == max(self.seen.values()):
            return []
        whole = int(self.again)
        # What is left of a whole number falls to chance, so that `minority` is right on average.
        times = whole + (self.rng.random() < self.again - whole)
        return [self._moved(event.x) for _ in range(times)]

    def _measure(self, x: dict[str, object]) -> None:
        for name, value in x.items():
            if type(value) is float or type(value) is int:
                self.spread.setdefault(name, stats.Var()).update(value)

    def _moved(self, x: dict[str, object]) -> dict[str, object]:
        """The features with noise on the numbers; without jitter as they are."""
        if not self.jitter:
            return x
        return {name: self._noisy(name, value) for name, value in x.items()}

    def _noisy(self, name: str, value: object) -> object:
        # By exact type, since bool is a subclass of int and noise would make a number of a truth.
        if name not in self.spread or type(value) not in (float, int):
            return value
        return value + self.rng.gauss(0.0, self.jitter * self.spread[name].get() ** 0.5)  # type: ignore[operator]

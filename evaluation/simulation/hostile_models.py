"""Models that answer anything: a good one inside, and now and then something else than what it says.

They are real models to everything around them: they learn, are checkpointed, trained again and published.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
from river import base, dummy, linear_model, multiclass, preprocessing, stats, tree


class PanicException(BaseException):
    """What a panic of Rust looks like from Python: by its name alone."""


class Evil:
    """An object that raises however it is looked at."""

    def _raise(self, *_: Any) -> Any:
        raise ZeroDivisionError("do not look at me")

    __eq__ = __hash__ = __float__ = __len__ = __iter__ = __lt__ = __bool__ = __neg__ = __getattr__ = _raise


def _raising(error: type[BaseException]) -> Callable[[], Any]:
    def answer() -> Any:
        raise error("hostile")

    return answer


FAULTS = tuple(
    _raising(error)
    for error in (ValueError, RecursionError, MemoryError, StopIteration, SystemExit, PanicException, AssertionError)
)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


NUMBERS: Sequence[Callable[[], Any]] = (
    *map(_constant, (math.nan, math.inf, -math.inf, 1e200, -1e308, 1e101, -1e99, 5e-324, -0.0, 10**400, -(10**30))),
    *map(_constant, (2**63, True, None, "1.5", "", b"1", 1j, (), object, len, Decimal("NaN"), Decimal(1))),
    *map(_constant, (Fraction(1, 3), np.float64("nan"), np.float32(2), np.int64(7), np.bool_(1), np.datetime64("NaT"))),
    *(lambda: np.array(1.0), lambda: np.array([1.0, 2.0]), lambda: np.array([]), Evil, list, dict, lambda: [1.0]),
)

LABELS: Sequence[Callable[[], Any]] = (
    *NUMBERS,
    *map(_constant, ("never seen", "x" * 5_000, "\ud800", -1, 2, 0.5, frozenset({1}), (True,), np.str_("b"))),
    *(lambda: {True}, lambda: bytearray(b"b")),
)

_TABLES: Sequence[dict[Any, Any]] = (
    {True: math.nan, False: math.nan},
    {True: 1.0, False: 1.0},
    {True: 2.0, False: -1.0},
    {True: 0.0, False: 0.0},
    {True: math.inf, False: 0.0},
    {True: 0.3},
    {None: 1.0},
    {"never seen": 1.0},
    {"x" * 5_000: 1.0},
    {0.5: 1.0},
    {True: "0.5", False: "0.5"},
    {True: None},
    {True: Decimal("0.5"), False: Decimal("0.5")},
    {True: Fraction(1, 2), False: 0.5},
    {(1, 2): 1.0},
    {"\ud800": 1.0},
    {10**30: 1.0},
    dict.fromkeys(range(5000), 1 / 5000),
    {np.int64(1): 1.0},
    {True: np.float64("nan")},
    {True: True, False: False},
)

PROBABILITIES: Sequence[Callable[[], Any]] = (
    *NUMBERS,
    *map(_constant, _TABLES),
    *(lambda: {True: Evil()}, lambda: [(True, 1.0)], lambda: {object(): 1.0}, lambda: np.array([0.5, 0.5])),
)


class _Hostile:
    """What classifiers and regressors share.

    Args:
        model: what it would have been.
        seed: of what it answers instead.
        share: of the calls at which it does.
        faults: share of the events on which it raises, when asked or while it learns.
    """

    given = 0
    """Hostile answers of all models in this process."""

    def __init__(self, model: Any, seed: int = 1, share: float = 0.5, faults: float = 0.02) -> None:
        self.model = model
        self.seed = seed
        self.share = share
        self.faults = faults
        self._rng = Random(seed)

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """As the model inside; it may raise before, or after."""
        fault = self._fault(x, "learn")
        if fault < self.faults / 2:
            self._rng.choice(FAULTS)()
        self.model.learn_one(x, y)
        if fault < self.faults:
            self._rng.choice(FAULTS)()

    def _fault(self, x: dict[Any, Any], what: str) -> float:
        """Drawn from the event: what raises on one event raises on it again."""
        return Random(f"{what}{x}").random() if self.faults else 1.0

    def _instead(self, x: dict[Any, Any], answered: Any, others: Sequence[Callable[[], Any]]) -> Any:
        faulty = self._fault(x, "predict") < self.faults
        if not faulty and self._rng.random() >= self.share:
            return answered
        _Hostile.given += 1
        return self._rng.choice(FAULTS if faulty else others)()


class HostileClassifier(_Hostile, base.Classifier):
    """A classifier that answers anything."""

    _multiclass = True

    def predict_one(self, x: dict[Any, Any], **named: Any) -> Any:
        """A label, perhaps."""
        return self._instead(x, self.model.predict_one(x), LABELS)

    def predict_proba_one(self, x: dict[Any, Any], **named: Any) -> Any:
        """Probabilities, perhaps."""
        return self._instead(x, self.model.predict_proba_one(x), PROBABILITIES)


class HostileRegressor(_Hostile, base.Regressor):
    """A regressor that answers anything."""

    def predict_one(self, x: dict[Any, Any], **named: Any) -> Any:
        """A number, perhaps."""
        return self._instead(x, self.model.predict_one(x), NUMBERS)


def given() -> int:
    """Hostile answers of all models in this process, so far."""
    return _Hostile.given


# ── factories, to be named in a configuration ───────────────────────────────────────────────────────────────────────

TRUSTED = tuple(f"{__name__}:{name}" for name in ("HostileClassifier", "HostileRegressor"))


def classifier() -> base.Classifier:
    """Every second answer is hostile."""
    return HostileClassifier(preprocessing.StandardScaler() | linear_model.LogisticRegression())


def multiclassifier() -> base.Classifier:
    """For several classes."""
    return HostileClassifier(multiclass.OneVsRestClassifier(tree.HoeffdingTreeClassifier(grace_period=50)))


def regressor() -> base.Regressor:
    """For numbers."""
    return HostileRegressor(preprocessing.StandardScaler() | linear_model.LinearRegression())


def always() -> base.Classifier:
    """No answer is its own."""
    return HostileClassifier(tree.HoeffdingTreeClassifier(), share=1.0, faults=0.0)


def always_a_number() -> base.Regressor:
    """No answer is its own."""
    return HostileRegressor(dummy.StatisticRegressor(stats.Mean()), share=1.0, faults=0.0)

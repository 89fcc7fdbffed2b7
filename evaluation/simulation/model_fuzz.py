"""Fuzzes the fence: models that predict anything, and what must hold beside them whatever they do.

A backtest of a few hundred events, with a misbehaving champion or with misbehaving shadows, and beside them a good
model that stands by. At the end that one must be equal to a twin that learned the same events alone.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import orjson
from river import base, dummy, linear_model, multiclass, preprocessing, stats, tree

from anabranch import statetree
from anabranch.errors import LearningFrozen
from anabranch.messages import Message, TrainedOn, decode, encode
from config.loading import build
from config.settings import Settings
from consumers.timing import SystemClock
from evaluation.backtest import Backtest
from evaluation.simulation.campaign import Result, quiet
from learners.arena.members import Member
from learners.lane import Lane
from learners.models import catalogue

# ── Models that answer anything: a good one inside, and now and then something else than what it says ───────────────

# They are real models to everything around them: they learn, are checkpointed, trained again and published.


class PanicException(BaseException):
    """What a panic of Rust looks like from Python: by its name alone."""


class Evil:
    """An object that raises however it is looked at."""

    def _raise(self, *_: Any) -> Any:
        raise ZeroDivisionError("do not look at me")

    __eq__ = __hash__ = __float__ = __len__ = __iter__ = __lt__ = __bool__ = __neg__ = __getattr__ = _raise


def _raising(error: type[BaseException]) -> Callable[[], Any]:
    def answer() -> Any:
        raise error("malformed")

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


class _Misbehaving:
    """What classifiers and regressors share.

    Args:
        model: what it would have been.
        seed: of what it answers instead.
        share: of the calls at which it does.
        faults: share of the events on which it raises, when asked or while it learns.
    """

    given = 0
    """Malformed answers of all models in this process."""

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
        # On the class: an attribute of the instance would be part of the model's state, and of its digest.
        _Misbehaving.given += 1
        return self._rng.choice(FAULTS if faulty else others)()


class MisbehavingClassifier(_Misbehaving, base.Classifier):
    """A classifier that answers anything."""

    # What River's own classifiers say if they take more than two classes.
    _multiclass = True

    def predict_one(self, x: dict[Any, Any], **named: Any) -> Any:
        """A label, perhaps."""
        return self._instead(x, self.model.predict_one(x), LABELS)

    def predict_proba_one(self, x: dict[Any, Any], **named: Any) -> Any:
        """Probabilities, perhaps."""
        return self._instead(x, self.model.predict_proba_one(x), PROBABILITIES)


class MisbehavingRegressor(_Misbehaving, base.Regressor):
    """A regressor that answers anything."""

    def predict_one(self, x: dict[Any, Any], **named: Any) -> Any:
        """A number, perhaps."""
        return self._instead(x, self.model.predict_one(x), NUMBERS)


def given() -> int:
    """Malformed answers of all models in this process, so far."""
    return _Misbehaving.given


# ── factories, to be named in a configuration ───────────────────────────────────────────────────────────────────────

TRUSTED = tuple(f"{__name__}:{name}" for name in ("MisbehavingClassifier", "MisbehavingRegressor"))


def classifier() -> base.Classifier:
    """Every second answer is malformed."""
    return MisbehavingClassifier(preprocessing.StandardScaler() | linear_model.LogisticRegression())


def multiclassifier() -> base.Classifier:
    """For several classes."""
    return MisbehavingClassifier(multiclass.OneVsRestClassifier(tree.HoeffdingTreeClassifier(grace_period=50)))


def regressor() -> base.Regressor:
    """For numbers."""
    return MisbehavingRegressor(preprocessing.StandardScaler() | linear_model.LinearRegression())


def always() -> base.Classifier:
    """No answer is its own."""
    return MisbehavingClassifier(tree.HoeffdingTreeClassifier(), share=1.0, faults=0.0)


def always_a_number() -> base.Regressor:
    """No answer is its own."""
    return MisbehavingRegressor(dummy.StatisticRegressor(stats.Mean()), share=1.0, faults=0.0)


# ── The fuzz ────────────────────────────────────────────────────────────────────────────────────────────────────────

EVENTS = 300
ANSWERS = 200
"""Malformed answers of a seed, at least: what a count of them is divided by."""

GOOD = "good"
_FACTORIES = {
    "binary": ("classifier", "always"),
    "multiclass": ("multiclassifier", "always"),
    "regression": ("regressor", "always_a_number"),
}
_METRICS = {
    "binary": ["Accuracy", "F1", "LogLoss", "ROCAUC", "BalancedAccuracy", "MCC"],
    "multiclass": ["Accuracy", "MacroF1", "CohenKappa", "CrossEntropy"],
    "regression": ["MAE", "RMSE", "R2", "RMSLE", "MAPE"],
}
_SIGNALS: dict[str, dict[str, Any]] = {
    # So eager that it fires by chance: what a trigger brings about is to be tried as well.
    "adwin": {"use": "drift.ADWIN", "delta": 0.5},
    "answers": {"use": "predictions", "reference_events": 200, "window": 200},
}
_LOW = {
    "binary": {"metric": "Accuracy", "below": 0.6},
    "multiclass": {"metric": "CrossEntropy", "above": 1.0},
    "regression": {"metric": "RMSE", "above": 1.0},
}


class Unsafe(Exception):
    """A misbehaving model did what none may."""


@dataclass
class ModelFuzz:
    """One backtest with misbehaving models."""

    settings: Settings
    seed: int
    given: int = field(init=False, default=0)
    """Malformed answers."""

    def run(self) -> None:
        """All events.

        Raises:
            Unsafe: saying what was noticed.
        """
        before = given()
        events = list(_events(self.settings.task, Random(self.seed)))
        run = Backtest(
            self.settings,
            first=lambda: (catalogue.build(self.settings.model, seed=self.seed + 1), TrainedOn()),
            values=lambda: iter([orjson.dumps(event) for event in events]),
            timestamp_of=None,
            clock=SystemClock(),
            listener=_published,
        )
        frozen = self._carried_out(run)
        lane = run.loop.owner.lane
        members = [lane.champion, *lane.shadows.members]
        self.given = given() - before
        if not frozen:
            self._same(lane, members, events)
            _finite(run.result())

    def _carried_out(self, run: Backtest) -> bool:
        """Whether learning was frozen, by a champion that raises too often: with the true reason."""
        try:
            run.run()
        except LearningFrozen as frozen:
            if "the champion raised" not in str(frozen) or "malformed" not in str(frozen):
                raise Unsafe(f"frozen for another reason: {frozen}") from frozen
            return True
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise Unsafe(f"{type(error).__name__} ended the learner: {error}") from error
        return False

    def _same(self, lane: Lane, members: list[Member], events: list[dict[str, Any]]) -> None:
        """Those that are not malformed are equal to twins which learned alone."""
        trusted = self.settings.model.trusted
        learned = [offset for run in lane.lineage.last(lane.events) for offset in range(run.start, run.end)]
        for member in members:
            if member.place != GOOD:
                continue
            twin = lane.standing.build(GOOD)
            # A standing model begins on the event on which its place was filled, and has learned none before it.
            for offset in learned[lane.standing.born.get(GOOD, 0) :]:
                twin.learn_one(events[offset]["features"], _label(self.settings.task, events[offset]["label"]))
            if statetree.digest(twin, trusted=trusted) != statetree.digest(member.model, trusted=trusted):
                raise Unsafe("a model beside the misbehaving ones is not what it would have become alone")


def _label(task: str, label: Any) -> Any:
    return float(label) if task == "regression" else label


def _published(message: Message) -> None:
    """What is said of malformed answers can be read by others."""
    decode(type(message), encode(message))


def _finite(result: dict[str, Any]) -> None:
    wrong = [name for name, value in result["scores"].items() if not math.isfinite(value)]
    if wrong:
        raise Unsafe(f"the score {wrong[0]} is {result['scores'][wrong[0]]}")


def _events(task: str, rng: Random) -> Iterator[dict[str, Any]]:
    """A concept that turns round in the middle; one event in twenty comes without its label."""
    for n in range(EVENTS):
        x = {name: rng.gauss(0, 1) for name in "abc"}
        score = (x["a"] + x["b"]) * (1 if n < EVENTS // 2 else -1)
        label = {"binary": score > 0, "multiclass": "xyz"[(score > 0) + (x["c"] > 1)], "regression": score}[task]
        yield {"id": f"e{n}", "ts": 1.6e9 + n, "features": x, "label": None if rng.random() < 0.05 else label}


# ── many ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ModelFuzzes:
    """Runs seeds over settings: seed n is of settings n modulo their number."""

    settings: tuple[Settings, ...]

    def some(self, seeds: Iterable[int]) -> list[Result]:
        """The results of some seeds."""
        with quiet():
            return [self.one(seed) for seed in seeds]

    def one(self, seed: int) -> Result:
        """One seed."""
        settings = self.settings[seed % len(self.settings)]
        fuzz, finding = ModelFuzz(settings, seed), ""
        try:
            fuzz.run()
        except Unsafe as found:
            finding = str(found)
        return Result(seed, settings.name, finding, f"{settings.name}, {fuzz.given} malformed answers", fuzz.given)


def shipped() -> ModelFuzzes:
    """Each task: with a misbehaving champion, with one that never answers itself, and with misbehaving shadows."""
    return ModelFuzzes(
        tuple(_settings(task, which) for task in _FACTORIES for which in ("champion", "never-itself", "shadows"))
    )


def _settings(task: str, which: str) -> Settings:
    misbehaving, always = ({"factory": f"{__name__}:{name}", "trusted": list(TRUSTED)} for name in _FACTORIES[task])
    good = _good(task)
    return build(
        {
            "name": f"{task}-{which}",
            "task": task,
            "model": {"champion": misbehaving, "never-itself": always, "shadows": {"steps": good}}[which],
            "scores": {"metrics": _METRICS[task], "window": 50},
            "detectors": {**_SIGNALS, "low": {"use": "threshold", "window": 50, **_LOW[task]}},
            "trigger": {"debounce_events": 20},
            "retrain": {
                "recruits": [
                    {"on": "now", "model": misbehaving},
                    {"on": "last", "events": 30, "model": misbehaving},
                    {"on": "former"},
                ],
                "history_max": EVENTS,
                "admit_after_events": 5,
            },
            "shadows": {"standing": [{"name": GOOD, "steps": good}]},
            "arena": {"loss": "absolute" if task == "regression" else "brier", "false_swap_every": 20,
                      "probation_events": 40, "contest_events": 100},
            "publish": {"warm_up_events": 20, "refresh_events": 50, "report_events": 50, "canary_rows": 3},
            "guard": {"poison_max": 5},
        }
    )  # fmt: skip


def _good(task: str) -> list[dict[str, Any]]:
    scaler = {"use": "preprocessing.StandardScaler"}
    if task == "regression":
        return [scaler, {"use": "linear_model.LinearRegression"}]
    return [scaler, {"use": "linear_model.SoftmaxRegression" if task == "multiclass" else "naive_bayes.GaussianNB"}]

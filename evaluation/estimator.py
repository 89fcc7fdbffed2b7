"""The lane as a River estimator: champion, detectors, retraining, shadows and arena in one object, without Kafka.

Whoever knows River can try Anabranch on their own stream, and check what it claims with River's own tools:

>>> from river import evaluate, metrics, naive_bayes
>>> from river.datasets import synth
>>> def stream():
...     for n, (x, y) in enumerate(synth.SEA(variant=0, seed=7).take(6000)):
...         yield x, y if n < 3000 else not y
>>> evaluate.progressive_val_score(stream(), naive_bayes.GaussianNB(), metrics.Accuracy())
Accuracy: 49.37%
>>> model = AdaptiveClassifier(naive_bayes.GaussianNB(), portfolio=None)
>>> evaluate.progressive_val_score(stream(), model, metrics.Accuracy())
Accuracy: 94.47%
>>> [(signal.detector, signal.event_number) for signal in model.signals]
[('adwin', 3008), ('page_hinkley', 3025)]
>>> [(swap.member, swap.event_number) for swap in model.swaps]
[('first', 200), ('r3008-now', 3035), ('r3008-detector-window-320', 4437)]
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from river import base, linear_model, naive_bayes, preprocessing

from anabranch import statetree
from anabranch.errors import ConfigError, LearnError
from anabranch.events import AcceptedEvent
from anabranch.messages import DriftSignal
from anabranch.values import unboxed
from config.learning import Portfolio
from config.loading import build
from config.settings import Settings
from detectors.watch import Watch
from learners.emitted import Promotion
from learners.lane import Lane
from learners.models import catalogue
from learners.models.training import seeded
from learners.retraining import Job, JobResult, longest, retrain

QUIET = {"refresh_level": 0, "refresh_events": 0, "report_events": 10**9}
"""Nobody follows: only swaps are announced, and nothing is reported."""


class _Adaptive(base.Estimator):
    """What the classifier and the regressor share.

    Args:
        model: the first champion, and what recruits begin as.
        portfolio: the standing shadows that race beside it; None: recruits alone.
        sections: more of the configuration, by section, as in the TOML file: `{"trigger": {"debounce_events": 200}}`.
        trusted: import paths of classes outside River that the model holds, `"module:Class"` or `"module"`.
        seed: of everything random.

    Attributes:
        signals: what the detectors have noticed, oldest first; the last thousand.
        swaps: which member went live, when and why, the first champion's included; the last thousand.
    """

    _task: ClassVar[str] = ""

    def __init__(
        self,
        model: Any,
        portfolio: Portfolio | None = "cheap",
        sections: Mapping[str, Any] | None = None,
        trusted: Sequence[str] | None = None,
        seed: int = 1,
    ) -> None:
        self.model = model
        self.portfolio = portfolio
        self.sections = sections
        self.trusted = trusted
        self.seed = seed
        self.signals: deque[DriftSignal] = deque(maxlen=1000)
        self.swaps: deque[Promotion] = deque(maxlen=1000)
        self._lane: Lane | None = None
        self._history: deque[AcceptedEvent] = deque()
        """What jobs may be trained on, the newest last; their offsets have no gaps."""
        self._waiting: list[tuple[int, JobResult]] = []
        """Results, and after how many events they are let in."""

    # ── the champion ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def champion(self) -> Any:
        """The River model that answers."""
        return self.model if self._lane is None else self._lane.champion.model

    @property
    def events(self) -> int:
        """How many it has learned."""
        return 0 if self._lane is None else self._lane.events

    @property
    def _trusted(self) -> tuple[str, ...]:
        return tuple(self.trusted or ())

    def _answer(self, x: dict[Any, Any]) -> Any:
        # The lane's way to ask it is what it is judged by; before the first event there is no lane.
        return self.model.predict_one(x) if self._lane is None else self._lane.champion.predict(x).value

    # ── learning ────────────────────────────────────────────────────────────────────────────────────────────────

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Score and teach every member, look for drift, and exchange the champion if one has proved itself.

        Members are scored on what they say now. Where labels come late, that is later than `predict_one` was asked;
        the configured `labels` of a learner on Kafka, and `backtest --delay`, keep what was said then.
        """
        y = unboxed(y) if isinstance(y, np.generic) else y
        lane = self._lane = self._lane or self._begun(y)
        number = lane.events
        event = AcceptedEvent(str(number), dict(x), y, float(number), 0, number)
        self._history.append(event)
        if len(self._history) > lane.settings.retrain.history_max:
            self._history.popleft()
        self._admit(lane)
        try:
            emitted = lane.on_event(event)
        except LearnError as error:
            raise error.cause from None
        self.signals.extend(each for each in emitted.messages if isinstance(each, DriftSignal))
        if emitted.promotion is not None:
            self.swaps.append(emitted.promotion)
        for job in emitted.jobs:
            self._waiting.append((lane.events + lane.settings.retrain.admit_after_events, self._retrained(lane, job)))

    def _begun(self, y: Any) -> Lane:
        settings = self._settings(y)
        return Lane(settings, catalogue.build(settings.model, seed=self.seed), watch=Watch(settings))

    def _settings(self, y: Any) -> Settings:
        sections = dict(self.sections or {})
        if computed := [name for name in ("features", "memory") if name in sections]:
            raise ConfigError(
                f"[{computed[0]}] is of events with a time and a key, which a River estimator is not given"
            )
        if "segments" in sections:
            raise ConfigError("[segments] is for learners and followers: a River estimator answers by its champion")
        settings: Settings = build(
            {
                **sections,
                "name": "adaptive",
                "task": self._task or ("binary" if isinstance(y, bool) else "multiclass"),
                "seed": self.seed,
                "serve": "champion",
                "model": {"factory": "a:model", "trusted": list(self._trusted)},
                "shadows": {"portfolio": self.portfolio, **sections.get("shadows", {})},
                "publish": {**QUIET, **sections.get("publish", {})},
            }
        )
        fresh = seeded(self.model.clone(), seed=self.seed, trusted=self._trusted)
        given = settings.model.giving(statetree.encode(fresh, trusted=self._trusted))
        return settings.model_copy(update={"model": given})

    def _admit(self, lane: Lane) -> None:
        while self._waiting and self._waiting[0][0] <= lane.events:
            _, result = self._waiting.pop(0)
            lane.admit(result)

    def _retrained(self, lane: Lane, job: Job) -> JobResult:
        """The job's recruits, trained at once: the same on every machine."""
        failures: dict[str, str] = {}
        settings = lane.settings
        models = retrain(job, self._replayed(job), settings.model, augment=settings.retrain.augment, failures=failures)
        kept = tuple(None if plan.name in failures else model for plan, model in zip(job.plans, models, strict=True))
        return JobResult(job.id, kept, failures=failures)

    def _replayed(self, job: Job) -> Iterator[AcceptedEvent]:
        first = self._history[0].offset
        for _, start, end in longest(job):
            for offset in range(start, end):
                yield self._history[offset - first]

    # ── copies ──────────────────────────────────────────────────────────────────────────────────────────────────

    def __getstate__(self) -> dict[str, Any]:
        """All that it is, as plain values and model bytes: it is pickled and copied as a checkpoint is written."""
        lane = self._lane
        kept = {name: value for name, value in vars(self).items() if name != "_lane"}
        if lane is None:
            return {**kept, "_lane": None}
        waiting = [(at, statetree.encode(list(each.models), trusted=self._trusted), each) for at, each in self._waiting]
        return {
            **kept,
            "_waiting": [(at, data, replace(each, models=())) for at, data, each in waiting],
            "swaps": deque((each._replace(model=None) for each in self.swaps), maxlen=self.swaps.maxlen),
            "_lane": (
                statetree.encode(lane.state(), trusted=self._trusted),
                {name: data for name, data in lane.blobs.items() if data is not None},
                lane.settings,
            ),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """From what `__getstate__` gave."""
        kept = state["_lane"]
        vars(self).update(state)
        self._waiting = [
            (at, replace(each, models=tuple(statetree.decode(data, trusted=self._trusted))))
            for at, data, each in state["_waiting"]
        ]
        if kept is not None:
            data, blobs, settings = kept
            told = statetree.decode(data, trusted=self._trusted)
            self._lane = Lane.restored(settings, told, blobs=blobs, watch=Watch(settings))


class AdaptiveClassifier(_Adaptive, base.Classifier):
    """A classifier that notices drift, retrains, and exchanges its model when a better one has proved itself.

    Labels that are true or false are two classes; anything else is several.

    Args:
        model: the first champion, and what recruits begin as.
        portfolio: the standing shadows that race beside it; None: recruits alone.
        sections: more of the configuration, by section, as in the TOML file.
        trusted: import paths of classes outside River that the model holds.
        seed: of everything random.
    """

    @property
    def _multiclass(self) -> bool:
        return bool(self.model._multiclass)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """The champion's probabilities by label, as River's model gives them."""
        found: dict[Any, float] = self.champion.predict_proba_one(x)
        return found

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        """The champion's label."""
        return self._answer(x)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": preprocessing.StandardScaler() | linear_model.LogisticRegression()}
        yield {"model": naive_bayes.GaussianNB()}


class AdaptiveRegressor(_Adaptive, base.Regressor):
    """A regressor that notices drift, retrains, and exchanges its model when a better one has proved itself.

    Args:
        model: the first champion, and what recruits begin as.
        portfolio: the standing shadows that race beside it; None: recruits alone.
        sections: more of the configuration, by section, as in the TOML file.
        trusted: import paths of classes outside River that the model holds.
        seed: of everything random.
    """

    _task = "regression"

    def predict_one(self, x: dict[Any, Any], **kwargs: Any) -> Any:
        """The champion's number."""
        return self._answer(x)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": preprocessing.StandardScaler() | linear_model.LinearRegression()}

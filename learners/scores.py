"""The scores of served predictions: River's metrics, running since the start and over a window."""

import math
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

import msgpack
from river import base, metrics

from anabranch.errors import ConfigError
from anabranch.events import Prediction
from anabranch.values import unboxed, worst
from config.metrics import Tally, on_proba
from config.metrics import metric_of as metric_of  # noqa: PLC0414  # named from here, too
from config.settings import Settings
from learners.models.fence import WITHOUT_BOUND

DEFAULTS = {
    "binary": ("Accuracy", "F1", "LogLoss"),
    "multiclass": ("Accuracy", "MacroF1", "CohenKappa"),
    "regression": ("MAE", "RMSE", "R2"),
    "rank": ("HitRate", "NDCG", "MRR", "ColdShare"),
}


def metrics_of(settings: Settings) -> list[metrics.base.Metric]:
    """The configured metrics, or the task's usual ones.

    Raises:
        ConfigError: naming the nearest metric that exists, or the task that one does not fit.
    """
    wanted = settings.scores.metrics if settings.scores.metrics is not None else DEFAULTS[settings.measured_as]
    several = [metric_of(each, task=settings.measured_as) for each in wanted]
    twice = {name for name, times in Counter(map(_name, several)).items() if times > 1}
    if twice:
        raise ConfigError(f"the metric {min(twice)} is given twice; values are published by name")
    return several


def wants_proba(several: Iterable[metrics.base.Metric]) -> bool:
    """Whether one of the metrics is computed on probabilities."""
    return any(map(on_proba, several))


def fits(several: Iterable[metrics.base.Metric], model: base.Estimator) -> None:
    """Refuse metrics that do not work with the model.

    Raises:
        ConfigError: naming the metric.
    """
    for metric in several:
        if not metric.works_with(model):
            raise ConfigError(f"the metric {type(metric).__name__} does not work with {model}")


class Measures:
    """Several metrics that are shown the same labels and answers.

    Args:
        several: the metrics, fresh or as a checkpoint kept them.
        tally: what they divide by, as a checkpoint kept it.
    """

    def __init__(self, several: list[Any], *, tally: Tally | None = None) -> None:
        self.metrics = several
        self.numeric = any(isinstance(each, metrics.base.RegressionMetric) for each in several)
        self.matrix: Any = next((each.cm for each in several if _derived(each)), None)
        self.tally = tally or Tally(numeric=self.numeric)
        """What they divide by, where no confusion matrix counts it."""
        self.on_labels, self.on_probas = _updates(several)
        self.raised: dict[str, int] = {}

    def show(self, y: Any, value: Any, proba: dict[Any, float] | None) -> None:
        """One label, with the label or number and the probabilities that were answered; None where there were none."""
        if self.matrix is None:
            self.tally.add(y, value)
        if value is not None:
            for update in self.on_labels:
                try:
                    update(y, value)
                except Exception:  # the metric's, on an answer that it has no value for
                    self._note(update)
        if proba:
            for update in self.on_probas:
                try:
                    update(y, proba)
                except Exception:  # the same
                    self._note(update)

    def _note(self, update: Any) -> None:
        name = _name(update.__self__)
        self.raised[name] = self.raised.get(name, 0) + 1

    def values(self) -> list[float]:
        """In the order of the metrics; NaN for one that divides by what has not come."""
        tally = self.tally if self.matrix is None else Tally.of_matrix(self.matrix)
        return [_value(each) if tally.allows(each) else math.nan for each in self.metrics]


class Scores:
    """Running and windowed values of several metrics on the same predictions.

    The running ones see exactly what `river.evaluate.progressive_val_score` shows them, so they equal it to the last
    digit: an empty prediction is passed over, a metric on probabilities gets the probabilities. The windowed ones are
    recomputed from the last `window` answers when asked for: that is less work than adding and taking back on every
    event, leaves no rounding behind, and needs no metric that can take back.

    An answer that could not be used is a wrong label to metrics on labels, and nothing to those on probabilities. To
    metrics on numbers it is an error beyond all bounds, 1e100: in the window always, and in the running values, which
    never forget, only where a number was there and was too large. What a metric raises on is passed over and counted.

    Attributes:
        unusable: answers that could not be used, by the reason.
    """

    def __init__(self, fresh: Iterable[metrics.base.Metric], *, window: int) -> None:
        self.running = Measures(_sharing(fresh))
        self.recent: deque[tuple[Any, Prediction]] = deque(maxlen=window)
        self.unusable: dict[str, int] = {}

    @property
    def raised(self) -> dict[str, int]:
        """Answers on which a metric has raised, by the metric's name."""
        return self.running.raised

    def update(self, y: Any, answer: Prediction) -> None:
        """Take in one label and the answer that was served for it."""
        self.recent.append((y, answer))
        value, proba, unusable = answer
        if unusable:
            self.unusable[unusable] = self.unusable.get(unusable, 0) + 1
            # A running mean never forgets: a NaN that counted as 1e100 would be the only thing it ever said again.
            if unusable in WITHOUT_BOUND or not self.running.numeric:
                value = worst(y, numeric=self.running.numeric)
        self.running.show(y, value, proba)

    @property
    def names(self) -> list[str]:
        """Of the metrics, in lower case."""
        return list(map(_name, self.running.metrics))

    def values(self) -> dict[str, float]:
        """The running values, by lower-case name; those that are undefined or infinite are left out."""
        return self._named(self.running.values())

    def windowed_values(self) -> dict[str, float]:
        """The values over the window, by lower-case name; those that are undefined or infinite are left out."""
        return self._named(self.measured())

    def measured(self) -> list[float]:
        """The values over the window, in the order of the metrics; NaN for one that divides by what is not there."""
        fresh = Measures(_sharing(self.running.metrics))
        for y, (value, proba, unusable) in self.recent:
            fresh.show(y, worst(y, numeric=fresh.numeric) if unusable else value, proba)
        return fresh.values()

    def _named(self, values: Iterable[float]) -> dict[str, float]:
        """Messages hold finite numbers, and no number in place of NaN would be true: an error of 0 is a perfect one."""
        named = zip(self.names, values, strict=True)
        return {name: value for name, value in named if math.isfinite(value)}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "running": self.running.metrics,
            "tally": self.running.tally.state(),
            # Packed: as many values as all models together have, and a checkpoint has to be quick.
            "recent": msgpack.packb([(y, *answer) for y, answer in self.recent], default=unboxed),
            "unusable": dict(self.unusable),
            "raised": dict(self.raised),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; metrics that the configuration changed since restart."""
        if list(map(_described, state["running"])) != list(map(_described, self.running.metrics)):
            return
        if state["tally"] is not None:
            self.running.tally.restore(state["tally"])
        self.running = Measures(state["running"], tally=self.running.tally)
        self.recent.clear()
        recent = state["recent"]  # a list, in old checkpoints
        if isinstance(recent, bytes):
            recent = msgpack.unpackb(recent, strict_map_key=False)
        self.recent.extend((y, Prediction(*answer)) for y, *answer in recent)
        self.unusable = dict(state["unusable"])
        self.running.raised = dict(state["raised"])


def _sharing(several: Iterable[metrics.base.Metric]) -> list[Any]:
    """Fresh metrics with one confusion matrix for all that are derived from one: it is updated once an event."""
    shared = metrics.ConfusionMatrix()
    return [_viewing(metric, shared) if _derived(metric) else metric.clone() for metric in several]


def _viewing(metric: Any, matrix: metrics.ConfusionMatrix) -> Any:
    """A fresh metric on a given matrix. (`clone` would copy the matrix.)"""
    return type(metric)(**{**metric._get_params(), "cm": matrix})


def _described(metric: Any) -> tuple[Any, ...]:
    """What a configuration says of a metric."""
    return type(metric), {name: each for name, each in metric._get_params().items() if name != "cm"}


def _derived(metric: Any) -> bool:
    """Whether a metric is nothing but a view of the confusion matrix of labels as they come."""
    plain = (metrics.base.ClassificationMetric.update, metrics.base.BinaryMetric.update)
    return (
        isinstance(metric, metrics.base.ClassificationMetric)
        and type(metric).update in plain
        and metric.requires_labels
        # BinaryMetric compares labels with pos_val before it counts
        # them; only True leaves the counts of a shared matrix right.
        and getattr(metric, "pos_val", True) is True
    )


def _updates(several: list[Any]) -> tuple[list[Any], list[Any]]:
    """The update methods of what takes labels (or numbers), and of metrics on probabilities."""
    matrices = {id(metric.cm): metric.cm.update for metric in several if _derived(metric)}
    others = [metric for metric in several if not _derived(metric)]
    labels = [metric.update for metric in others if not on_proba(metric)]
    return [*matrices.values(), *labels], [metric.update for metric in others if on_proba(metric)]


def _value(metric: Any) -> float:
    """NaN where the metric cannot tell: some raise instead."""
    try:
        return float(metric.get())
    except Exception:
        return math.nan


def _name(metric: Any) -> str:
    return type(metric).__name__.lower()

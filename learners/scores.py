"""The scores of served predictions: River's metrics, running since the start and over a window."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import islice
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


AT_ONCE_MAX = 256
"""How many answers the running metrics are shown at once."""
SHARE_LEAST, SHARE_MOST = 1e-15, 1 - 1e-15
"""What River's LogLoss takes for the least and the largest probability."""

Row = tuple[Any, Any, dict[Any, float] | None]
"""A label; the label or number that was answered, and the probabilities: None where there were none."""


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
        self.matrices: list[Any] = list({id(each.cm): each.cm for each in several if _derived(each)}.values())
        self.matrix: Any = self.matrices[0] if self.matrices else None
        self.tally = tally or Tally(numeric=self.numeric)
        """What they divide by, where no confusion matrix counts it."""
        self.on_labels, self.on_probas = _updates(several)
        self.log_losses = [each for each in several if type(each) is metrics.LogLoss]
        self.raised: dict[str, int] = {}

    def show_all(self, rows: Sequence[Row]) -> None:
        """Several labels at once, in their order: every metric comes to what it would if it were shown each of them.

        A confusion matrix holds counts, so it is shown each pair once, with its number.
        """
        if self.matrix is None:
            for y, value, _ in rows:
                self.tally.add(y, value)
        else:
            self._count(rows)
        for metric in self.log_losses:
            _log_losses(metric, rows)
        for update in self.on_labels:
            for y, value, _ in rows:
                if value is not None:
                    self._update(update, y, value)
        for update in self.on_probas:
            for y, _, proba in rows:
                if proba:
                    self._update(update, y, proba)

    def _count(self, rows: Sequence[Row]) -> None:
        pairs: dict[tuple[Any, Any], int] = {}
        for y, value, _ in rows:
            if value is not None:
                pairs[y, value] = pairs.get((y, value), 0) + 1
        for matrix in self.matrices:
            for (y, value), times in pairs.items():
                matrix.update(y, value, float(times))
                matrix.n_samples += times - 1

    def _update(self, update: Any, y: Any, answer: Any) -> None:
        try:
            update(y, answer)
        except Exception:  # the metric's, on an answer that it has no value for
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

    The running ones are shown what came since when somebody asks for them, or when it is a good many: nobody asks on
    every event, and many at once cost less.

    Attributes:
        unusable: answers that could not be used, by the reason.
    """

    def __init__(self, fresh: Iterable[metrics.base.Metric], *, window: int) -> None:
        self._running = Measures(_sharing(fresh))
        self.recent: deque[tuple[Any, Prediction]] = deque(maxlen=window)
        self._unshown = 0
        """How many of the last ones the running metrics have not been shown."""
        self._unshown_max = min(window, AT_ONCE_MAX)
        self.unusable: dict[str, int] = {}

    @property
    def running(self) -> Measures:
        """The running metrics, as of now."""
        if self._unshown:
            self._catch_up()
        return self._running

    @property
    def raised(self) -> dict[str, int]:
        """Answers on which a metric has raised, by the metric's name."""
        return self.running.raised

    def update(self, y: Any, answer: Prediction) -> None:
        """Take in one label and the answer that was served for it."""
        self.recent.append((y, answer))
        if answer.unusable:
            self.unusable[answer.unusable] = self.unusable.get(answer.unusable, 0) + 1
        self._unshown += 1
        if self._unshown >= self._unshown_max:
            self._catch_up()

    def _catch_up(self) -> None:
        """Show the running metrics what came since."""
        rows: list[Row] = []
        numeric, start = self._running.numeric, len(self.recent) - self._unshown
        for y, (value, proba, unusable) in islice(self.recent, start, None):
            # A running mean never forgets: a NaN that counted as 1e100 would be the only thing it ever said again.
            bad = unusable and (unusable in WITHOUT_BOUND or not numeric)
            rows.append((y, worst(y, numeric=numeric) if bad else value, proba))
        self._unshown = 0
        self._running.show_all(rows)

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
        fresh.show_all(
            [
                (y, worst(y, numeric=fresh.numeric) if unusable else value, proba)
                for y, (value, proba, unusable) in self.recent
            ]
        )
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
        self._running = Measures(state["running"], tally=self.running.tally)
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
    """The update methods of what takes labels or numbers, and of metrics on probabilities, less those known by name."""
    others = [metric for metric in several if not _derived(metric) and type(metric) is not metrics.LogLoss]
    labels = [metric.update for metric in others if not on_proba(metric)]
    return labels, [metric.update for metric in others if on_proba(metric)]


def _log_losses(metric: metrics.LogLoss, rows: Iterable[Row]) -> None:
    """`LogLoss.update` for each row that has probabilities."""
    running = metric._mean
    n: float = running.n
    mean: float = running._mean
    for y, _, proba in rows:
        if proba:
            share: float = max(min(proba.get(True, 0.0), SHARE_MOST), SHARE_LEAST)
            n += 1.0
            mean += (1.0 / n) * (-math.log(share if y else 1 - share) - mean)
    running.n, running._mean = n, mean


def _value(metric: Any) -> float:
    """NaN where the metric cannot tell: some raise instead."""
    try:
        return float(metric.get())
    except Exception:
        return math.nan


def _name(metric: Any) -> str:
    return type(metric).__name__.lower()

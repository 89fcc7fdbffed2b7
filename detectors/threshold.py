"""A signal on a metric: over the last events, or a span of event time, it crosses a value or grows worse.

A window that lacks what the metric divides by (a positive, for recall) is not judged: see config/metrics.py.

>>> from anabranch.events import Prediction
>>> signal = Threshold("low", ThresholdSettings(metric="Accuracy", window=100, below=0.7), task="binary")
>>> right = [True] * 300 + [n % 2 == 0 for n in range(300)]
>>> [n for n, each in enumerate(right, 1) if signal.on_label(True, Prediction(each), now_s=None)]
[380]
"""

import math
from collections import deque
from contextlib import suppress
from typing import Any

from pydantic import Field, model_validator
from river import metrics

from anabranch.events import Prediction, Shift
from anabranch.messages import SignalKind
from anabranch.values import worst, worst_probabilities
from config.metrics import defined, metric_of, on_proba
from config.sections import Seconds, Section
from detectors.signal import Level


class ThresholdSettings(Section):
    """Parameters of `use = "threshold"`: a metric, a window, and one of `below`, `above` and `worsens_by`."""

    metric: str | dict[str, Any] = Field(description="a name in river.metrics, or a table with `use` and parameters")
    window: int = Field(1000, ge=10, description="labelled events; with `window_time`, at most so many")
    window_time: Seconds = Field(0.0, description="a span of event time instead; it must hold a tenth of `window`")
    below: float | None = Field(None, description="it fires when the metric is less")
    above: float | None = Field(None, description="it fires when the metric is more")
    worsens_by: float | None = Field(None, gt=0, description="against the champion's first full window")
    recovers_by: float = Field(0.0, ge=0, description="how far back it must go before the signal can fire again")
    check_every: int = Field(0, ge=0, description="events between two looks; 0: a fifth of the window")

    @model_validator(mode="after")
    def _one_bound(self) -> "ThresholdSettings":
        if sum(each is not None for each in (self.below, self.above, self.worsens_by)) != 1:
            raise ValueError("write one of `below`, `above` and `worsens_by`")
        return self


class Threshold:
    """Fires when the metric crosses its bound, once; again only after it has come back by `recovers_by`."""

    kind: SignalKind = "threshold"
    of_champion = True

    def __init__(self, name: str, settings: ThresholdSettings, *, task: str) -> None:
        self.name = name
        self.settings = settings
        self.metric: Any = metric_of(settings.metric, task=task)
        self.wants_proba = on_proba(self.metric)
        self.recent: deque[tuple[float, Any, Any]] = deque(maxlen=settings.window)
        self.every = settings.check_every or max(1, settings.window // 5)
        self.until_check = self.every
        self.reference: float | None = None
        self.crossed = False

    def on_label(self, y: Any, answer: Prediction | None, *, now_s: float | None) -> Shift | None:
        """Take in one label and the answer to it."""
        # A model that cannot predict yet is at no fault and is
        # passed over; an answer that cannot be used counts as wrong.
        if answer is not None and (answer.value is not None or answer.unusable):
            self.recent.append((now_s or 0.0, y, answer.proba if self.wants_proba else answer.value))
        self.until_check -= 1
        if self.until_check > 0:
            return None
        self.until_check = self.every
        return self._check(now_s)

    def level(self) -> Level | None:
        """The metric over the window, and its bound."""
        has_reference = self.settings.worsens_by is None or self.reference is not None
        value = self._value() if self.recent and has_reference else None
        if value is None:
            return None
        bound, excess = self._excess(value)
        # What fires above: the value is beyond its bound by what it exceeds it.
        return Level(value, bound, fires_below=(value - bound) * excess < 0)

    def _check(self, now_s: float | None) -> Shift | None:
        if not self._is_full(now_s):
            return None
        value = self._value()
        if value is None:
            return None
        if self.settings.worsens_by is not None and self.reference is None:
            if any(answer is None for *_, answer in self.recent):
                return None  # what could not be used is no measure for what comes
            self.reference = value
        bound, excess = self._excess(value)
        if self.crossed:
            self.crossed = excess > -self.settings.recovers_by
            return None
        self.crossed = excess > 0
        return Shift(value, bound, len(self.recent)) if self.crossed else None

    def _is_full(self, now_s: float | None) -> bool:
        recent, window_time = self.recent, self.settings.window_time
        if not window_time:
            return len(recent) == recent.maxlen
        # By the events' clock and not the newest event, so that a single time from the future empties no window.
        while now_s is not None and recent and recent[0][0] < now_s - window_time:
            recent.popleft()
        return len(recent) >= max(10, self.settings.window // 10)

    def _value(self) -> float | None:
        """The metric over the window; None where it is no number, or divides by what the window does not hold."""
        shown = [(y, self._worst(y) if answer is None else answer) for _, y, answer in self.recent]
        if not defined(self.metric, (y for y, _ in shown), (answer for _, answer in shown)):
            return None
        # Computed from nothing: not every metric of River can take a value back, and those that can gather rounding.
        fresh = self.metric.clone()
        for y, answer in shown:
            with suppress(Exception):  # the metric's, on an answer that it has no value for: the scores count it
                fresh.update(y, answer)
        value = float(fresh.get())
        return value if math.isfinite(value) else None

    def _worst(self, y: Any) -> Any:
        """What stands for an answer that could not be used: it is wrong, beyond all bounds."""
        if self.wants_proba:
            return worst_probabilities(y)
        return worst(y, numeric=isinstance(self.metric, metrics.base.RegressionMetric))

    def _excess(self, value: float) -> tuple[float, float]:
        """The bound, and how far the value lies beyond it."""
        below, above, worse = self.settings.below, self.settings.above, self.settings.worsens_by
        if below is not None:
            return below, below - value
        if above is not None:
            return above, value - above
        assert worse is not None
        assert self.reference is not None
        bound = self.reference - worse if self.metric.bigger_is_better else self.reference + worse
        return bound, bound - value if self.metric.bigger_is_better else value - bound

    def trained(self) -> None:
        """It goes on."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "recent": list(self.recent),
            "until_check": self.until_check,
            "reference": self.reference,
            "crossed": self.crossed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.recent.clear()
        self.recent.extend(tuple(each) for each in state["recent"])
        self.until_check, self.reference, self.crossed = state["until_check"], state["reference"], state["crossed"]

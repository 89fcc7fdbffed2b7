"""How served answers were by minute, hour and day of event time, in counts that add up.

>>> tally = BinaryTally()
>>> for y, p in [(True, 0.9), (True, 0.6), (False, 0.7), (False, 0.2)]:
...     tally.add(y, p >= 0.5, {True: p, False: 1 - p})
>>> {name: round(value, 3) for name, value in tally.scores().items() if name != "f1"}
{'accuracy': 0.75, 'precision': 0.667, 'recall': 1.0, 'brier': 0.175, 'logloss': 0.511, 'rocauc': 0.75, 'prauc': 0.833}
"""

import math
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, ClassVar, Literal

from anabranch.events import Prediction
from anabranch.messages import CalibrationBin, TimeWindow
from anabranch.values import worst
from config.ranking import K, gain
from learners.scores import Scores

Span = Literal["minute", "hour", "day"]
SPANS: dict[Span, float] = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}
BINS = 100
"""Of probabilities, for areas under curves: what is nearer than a hundredth counts as equal."""
TENTHS = 10
EVENTS_MIN = 20
"""Scores over fewer events say nothing: such a window is left out."""
UNTOLD_MAX = 200
WITNESSES = 5
"""Of so many events more than half must lie beyond the end of a window: one from the future ends none."""
NEAR_ZERO = 1e-15


class _Tally:
    """What is counted of answers, as counts and sums by name: two tallies add up to that of both."""

    sums: ClassVar[tuple[str, ...]] = ()
    rows: ClassVar[tuple[str, ...]] = ()
    kept: ClassVar[tuple[str, ...]] = ()
    """All attributes, in the order in which a checkpoint keeps them."""

    def __init__(self) -> None:
        self.events = 0

    def merge(self, other: Any) -> None:
        """What another has counted, too."""
        self.events += other.events
        for name in self.sums:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in self.rows:
            mine = getattr(self, name)
            for at, each in enumerate(getattr(other, name)):
                mine[at] += each

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: _copied(getattr(self, name)) for name in self.kept}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name, each in state.items():
            setattr(self, name, _copied(each))

    def calibration(self) -> tuple[CalibrationBin, ...]:
        """Nothing, where there are no probabilities."""
        return ()


def _copied(each: Any) -> Any:
    if isinstance(each, list):
        return list(each)
    return {name: list(counts) for name, counts in each.items()} if isinstance(each, dict) else each


class BinaryTally(_Tally):
    """Of two classes: a confusion matrix, and histograms of the probabilities of both."""

    sums: ClassVar = ("brier", "logloss", "with_proba")
    rows: ClassVar = ("cells", "of_false", "of_true", "said")
    kept: ClassVar = ("events", *rows, *sums)

    def __init__(self) -> None:
        super().__init__()
        self.cells = [0, 0, 0, 0]
        """Of answered labels: true negatives, false positives, false negatives, true positives."""
        self.of_false, self.of_true = [0] * BINS, [0] * BINS
        self.said = [0.0] * TENTHS
        self.brier, self.logloss, self.with_proba = 0.0, 0.0, 0

    def add(self, y: Any, value: Any, proba: dict[Any, float] | None) -> None:
        """One label, and what was answered."""
        self.events += 1
        is_true = y is True
        if value is not None:
            self.cells[2 * is_true + (value is True)] += 1
        if not proba:
            return
        p = min(1.0, max(0.0, proba.get(True, 0.0)))
        at = min(BINS - 1, int(p * BINS))
        (self.of_true if is_true else self.of_false)[at] += 1
        self.said[at * TENTHS // BINS] += p
        self.with_proba += 1
        self.brier += (p - is_true) ** 2
        self.logloss -= math.log(max(NEAR_ZERO, p if is_true else 1.0 - p))

    def scores(self) -> dict[str, float]:
        """Accuracy, precision, recall, F1; Brier score, log loss, and the areas under the ROC and the PR curve."""
        tn, fp, fn, tp = self.cells
        answered = tn + fp + fn + tp
        found = {
            "accuracy": _share(tn + tp, answered),
            "precision": _share(tp, tp + fp),
            "recall": _share(tp, tp + fn),
            "f1": _share(2 * tp, 2 * tp + fp + fn),
            "brier": _share(self.brier, self.with_proba),
            "logloss": _share(self.logloss, self.with_proba),
            **_areas(self.of_false, self.of_true),
        }
        return {name: value for name, value in found.items() if value is not None}

    def calibration(self) -> tuple[CalibrationBin, ...]:
        """What was said and what came true, by tenths of the probability."""
        width = BINS // TENTHS
        bins = []
        for tenth, said in enumerate(self.said):
            part = slice(tenth * width, (tenth + 1) * width)
            positives = sum(self.of_true[part])
            events = positives + sum(self.of_false[part])
            if events:
                bins.append(CalibrationBin(events=events, said=said / events, came=positives / events))
        return tuple(bins)


def _areas(of_false: list[int], of_true: list[int]) -> dict[str, float | None]:
    """The areas under the ROC curve and under the precision-recall curve (average precision), from histograms."""
    negatives, positives = sum(of_false), sum(of_true)
    if not negatives or not positives:
        return {}
    below = [0, *accumulate(of_false)]
    pairs = sum(t * (below[at] + of_false[at] / 2) for at, t in enumerate(of_true))
    hits, alarms, precision = 0, 0, 0.0
    for false, true in zip(reversed(of_false), reversed(of_true), strict=True):
        hits, alarms = hits + true, alarms + true + false
        precision += true * hits / alarms if alarms else 0.0
    return {"rocauc": pairs / (negatives * positives), "prauc": precision / positives}


class ClassesTally(_Tally):
    """Of several classes: right answers, how often each was meant, answered and hit; and how sure the answers were."""

    sums: ClassVar = ("answered", "right", "brier", "logloss", "with_proba")
    rows: ClassVar = ("sure", "said", "came")
    kept: ClassVar = ("events", "answered", "right", "by_class", *rows, "brier", "logloss", "with_proba")

    def __init__(self) -> None:
        super().__init__()
        self.answered, self.right = 0, 0
        self.by_class: dict[Any, list[int]] = {}
        """How often each was the label, the answer, and both."""
        self.sure, self.said, self.came = [0] * TENTHS, [0.0] * TENTHS, [0] * TENTHS
        self.brier, self.logloss, self.with_proba = 0.0, 0.0, 0

    def add(self, y: Any, value: Any, proba: dict[Any, float] | None) -> None:
        """One label, and what was answered."""
        self.events += 1
        is_right = value == y
        if value is not None:
            self.answered += 1
            self.right += is_right
            self.by_class.setdefault(y, [0, 0, 0])[0] += 1
            self.by_class.setdefault(value, [0, 0, 0])[1] += 1
            self.by_class[y][2] += is_right
        if not proba:
            return
        self.with_proba += 1
        own = min(1.0, max(0.0, proba.get(y, 0.0)))
        self.logloss -= math.log(max(NEAR_ZERO, own))
        self.brier += sum(p * p for p in proba.values()) - 2 * own + 1
        sure = min(1.0, max(proba.values()))
        tenth = min(TENTHS - 1, int(sure * TENTHS))
        self.sure[tenth] += 1
        self.said[tenth] += sure
        self.came[tenth] += is_right

    def merge(self, other: Any) -> None:
        """What another has counted, too."""
        super().merge(other)
        for label, counts in other.by_class.items():
            mine = self.by_class.setdefault(label, [0, 0, 0])
            for at, each in enumerate(counts):
                mine[at] += each

    def scores(self) -> dict[str, float]:
        """Accuracy; precision, recall and F1 as means over the classes; Brier score and log loss."""
        counts = list(self.by_class.values())
        found = {
            "accuracy": _share(self.right, self.answered),
            "macroprecision": _mean([_share(hit, answered) or 0.0 for _, answered, hit in counts]),
            "macrorecall": _mean([_share(hit, meant) or 0.0 for meant, _, hit in counts]),
            "macrof1": _mean([_share(2 * hit, meant + answered) or 0.0 for meant, answered, hit in counts]),
            "brier": _share(self.brier, self.with_proba),
            "logloss": _share(self.logloss, self.with_proba),
        }
        return {name: value for name, value in found.items() if value is not None}

    def calibration(self) -> tuple[CalibrationBin, ...]:
        """How sure the answers were, and how often they were right, by tenths."""
        return tuple(
            CalibrationBin(events=n, said=said / n, came=came / n)
            for n, said, came in zip(self.sure, self.said, self.came, strict=True)
            if n
        )


class NumbersTally(_Tally):
    """Of numbers: sums of errors and of their squares."""

    sums: ClassVar = ("answered", "error", "absolute", "squared", "label", "labels_squared")
    kept: ClassVar = ("events", *sums)

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0
        self.error, self.absolute, self.squared, self.label, self.labels_squared = 0.0, 0.0, 0.0, 0.0, 0.0

    def add(self, y: Any, value: Any, proba: dict[Any, float] | None) -> None:
        """One label, and what was answered."""
        del proba
        self.events += 1
        if value is None:
            return
        error = value - y
        self.answered += 1
        self.error += error
        self.absolute += abs(error)
        self.squared += error * error
        self.label += y
        self.labels_squared += y * y

    def scores(self) -> dict[str, float]:
        """Mean absolute error, root of the mean squared one, bias (what is answered too much), and R²."""
        n = self.answered
        if not n:
            return {}
        spread = self.labels_squared - self.label**2 / n
        found = {
            "mae": self.absolute / n,
            "rmse": math.sqrt(self.squared / n),
            "bias": self.error / n,
            "r2": 1 - self.squared / spread if spread > 0 else math.nan,
        }
        return {name: value for name, value in found.items() if math.isfinite(value)}


class PositionsTally(_Tally):
    """Of rankers: what the positions of items are worth that were taken."""

    sums: ClassVar = ("hits", "gain", "reciprocal", "cold")
    kept: ClassVar = ("events", "hits", "cold", "gain", "reciprocal")

    def __init__(self) -> None:
        super().__init__()
        self.hits = self.cold = 0
        self.gain, self.reciprocal = 0.0, 0.0

    def add(self, y: Any, value: Any, proba: dict[Any, float] | None) -> None:
        """One take, and the position that was given."""
        del y, proba
        self.events += 1
        position = 0.0 if value is None else value
        self.hits += 1.0 <= abs(position) <= K
        self.gain += gain(position)
        self.reciprocal += 1.0 / abs(position) if position else 0.0
        self.cold += position <= 0.0

    def scores(self) -> dict[str, float]:
        """The metrics of `config.ranking`, each at its usual length of a list."""
        several = {"hitrate": self.hits, "ndcg": self.gain, "mrr": self.reciprocal, "coldshare": self.cold}
        return {name: each / self.events for name, each in several.items()} if self.events else {}


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


TALLIES: dict[str, Callable[[], Any]] = {
    "binary": BinaryTally,
    "multiclass": ClassesTally,
    "regression": NumbersTally,
    "rank": PositionsTally,
}


class TimeWindows:
    """The scores of what was served by minute, hour and day, as far as these have ended.

    Counted in batches from the scores' window, as counting on every event would cost more. An event that comes after
    its window has ended counts in the one that is open then.

    Args:
        task: "binary", "multiclass", "regression" or "rank".
        scores: which keep the last answers.
    """

    def __init__(self, task: str, scores: Scores) -> None:
        self.fresh = TALLIES[task]
        self.is_numeric = task in ("regression", "rank")
        self.scores = scores
        self.batch_max = max(1, (scores.recent.maxlen or 1) - WITNESSES)
        self.starts: dict[Span, float] = {}
        self.tallies: dict[Span, Any] = {}
        self.ends_s = -math.inf
        """When the minute ends that is open."""
        self.since = 0
        """Events that are not counted yet, before those in `votes`."""
        self.votes: list[float] = []
        self.ended: list[TimeWindow] = []
        """Not told yet, oldest first."""

    def note(self, ts: float) -> None:
        """One more answer was scored, whose label became known then, in epoch seconds."""
        if ts < self.ends_s and not self.votes:
            self.since += 1
            if self.since >= self.batch_max:
                self._count()
            return
        self.votes.append(ts)
        if len(self.votes) == WITNESSES or len(self.votes) > self.batch_max:
            self._decide()

    def take(self) -> tuple[TimeWindow, ...]:
        """What has ended since the last time."""
        ended, self.ended = tuple(self.ended), []
        return ended

    def _count(self) -> None:
        """Count what is not counted yet, but for those in `votes`."""
        recent = list(self.scores.recent)[-(self.since + len(self.votes)) :]
        self._add(recent[: self.since])
        self.since = 0

    def _add(self, answers: Iterable[tuple[Any, Prediction]]) -> None:
        minute = self.tallies["minute"]
        for y, (value, proba, unusable) in answers:
            minute.add(y, worst(y, numeric=self.is_numeric) if unusable else value, proba)

    def _decide(self) -> None:
        """More than half of the last events lie beyond the window's end, or they do not."""
        if self.since:
            self._count()
        votes, self.votes = self.votes, []
        median = sorted(votes)[len(votes) // 2]
        for ts, answer in zip(votes, list(self.scores.recent)[-len(votes) :], strict=True):
            now_s = min(ts, median)
            if now_s >= self.ends_s:
                self._turn(now_s)
            self._add([answer])

    def _turn(self, now_s: float) -> None:
        """The minute has ended, and perhaps an hour and a day with it."""
        if self.tallies:
            for span in ("hour", "day"):
                self.tallies[span].merge(self.tallies["minute"])
        for span, length in SPANS.items():
            start = now_s // length * length
            if self.starts.get(span) != start:
                self._end(span)
                self.starts[span], self.tallies[span] = start, self.fresh()
        self.tallies["minute"] = self.fresh()
        self.ends_s = self.starts["minute"] + SPANS["minute"]

    def _end(self, span: Span) -> None:
        tally = self.tallies.get(span)
        if tally is None or tally.events < EVENTS_MIN:
            return
        scores = tally.scores()
        calibration = () if span == "minute" else tally.calibration()
        self.ended.append(
            TimeWindow(
                span=span,
                start=self.starts[span],
                events=tally.events,
                scores=scores,
                calibration=calibration,
            )
        )
        del self.ended[:-UNTOLD_MAX]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "starts": dict(self.starts),
            "tallies": {span: tally.state() for span, tally in self.tallies.items()},
            "since": self.since,
            "votes": list(self.votes),
            "ended": [each.model_dump() for each in self.ended],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.starts, self.since, self.votes = dict(state["starts"]), state["since"], list(state["votes"])
        if self.since + len(self.votes) > len(self.scores.recent):
            self.since, self.votes = 0, []  # the scores restarted: what was not counted is gone with them
        for span, kept in state["tallies"].items():
            self.tallies[span] = self.fresh()
            self.tallies[span].restore(kept)
        self.ends_s = self.starts["minute"] + SPANS["minute"] if self.starts else -math.inf
        self.ended = [TimeWindow.model_validate(each) for each in state["ended"]]

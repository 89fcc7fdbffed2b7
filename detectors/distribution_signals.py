"""Signals without labels: what comes in, or what is predicted, is distributed otherwise than when the champion began.

>>> import random
>>> from anabranch.events import AcceptedEvent, Prediction
>>> rng = random.Random(7)
>>> signal = Inputs("inputs", DistributionSettings())
>>> for n in range(1, 6001):
...     x = {"a": rng.gauss(0, 1), "b": rng.gauss(1 if n > 4000 else 0, 1)}
...     shift = signal.on_event(AcceptedEvent(f"e{n}", x, None, 0.0, 0, n), Prediction(None), now_s=None)
...     if shift:
...         print(n, [(each.feature, each.test, round(each.statistic, 2)) for each in shift.moved])
4375 [('b', 'ks', 0.28)]
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from anabranch.events import AcceptedEvent, Prediction, Shift
from anabranch.messages import MovedFeature, SignalKind
from config.sections import Section
from detectors.columns import MISSING, Column, column, laid_otherwise, revived, values_of
from detectors.distances import Distance, discoveries
from detectors.signal import Level

BLOCKS = 4
NAMED_MAX = 10
LEAST = {"ks": 0.1, "psi": 0.1, "jensen-shannon": 0.01, "wasserstein": 0.25, "missing": 0.05, "new-category": 0.01}
"""Smaller distances are nobody's concern, however certain. The first four: a normal mean that moves by .25 to .3 sd."""


class DistributionSettings(Section):
    """Parameters of `use = "inputs"`, `"predictions"` and `"labels"`."""

    test: Literal["ks", "psi", "jensen-shannon", "wasserstein"] = Field("ks", description="how distances are measured")
    features: tuple[str, ...] = Field((), description="which to watch; all, if none is named")
    features_max: int = Field(200, ge=1, description="if none is named, the first so many by name")
    reference_events: int = Field(2000, ge=200, le=20_000, description="the champion's first, after it went live")
    window: int = Field(500, ge=200, le=20_000, description="the newest, looked at four times a window")
    rate: float = Field(0.001, gt=0, lt=1, description="false discoveries among all discoveries (Benjamini-Yekutieli)")
    min_distance: float | None = Field(
        None, ge=0, description="a smaller distance does not count; each test has a default"
    )
    consecutive_checks: int = Field(2, ge=1, description="checks in a row at which a feature must have moved")
    every_nth: int = Field(1, ge=1, description="look at each n-th event only")


class Look(NamedTuple):
    """One test of one feature."""

    feature: str
    test: str
    distance: Distance


class DistributionSignal:
    """Fires when a feature has moved that had not before; again for it only after it has come back.

    Memory: until the reference is complete its events, then less than a window's fourth of events, and for each feature
    the counts of five histograms (detectors/columns.py).

    Args:
        of_classes: predictions and labels are classes, even if they are written as numbers.
    """

    kind: SignalKind
    of_champion = True

    def __init__(self, name: str, settings: DistributionSettings, *, of_classes: bool = True) -> None:
        self.name = name
        self.of_classes = of_classes
        self.settings = settings
        self.every_nth = settings.every_nth
        self.rows: list[dict[str, Any]] = []
        self.wanted = settings.reference_events
        self.skip = 0
        self.columns: dict[str, Column] | None = None
        self.streaks: dict[tuple[str, str], int] = {}

    def update(self, row: dict[str, Any]) -> Shift | None:
        """Take in one event's values by name."""
        if self.skip:
            self.skip -= 1
            return None
        self.skip = self.every_nth - 1
        rows = self.rows
        rows.append(row)
        if len(rows) < self.wanted:
            return None
        self.rows = []
        self.wanted = max(1, self.settings.window // BLOCKS)
        if self.columns is None:
            laid = {name: values_of(rows, name) for name in self._names(rows)}
            # A feature without a value in the reference has nothing
            # to be compared with until the next swap takes a new one.
            self.columns = {name: column(each) for name, each in laid.items() if any(v is not MISSING for v in each)}
            return None
        return self._slide(self.columns, rows)

    def _names(self, rows: Sequence[dict[str, Any]]) -> Sequence[str]:
        if self.settings.features:
            return self.settings.features
        return sorted({name for row in rows for name in row})[: self.settings.features_max]

    def level(self) -> Level | None:
        """The distance that is the largest, measured by what is nobody's concern."""
        columns = self.columns or {}
        if not all(len(each.blocks) == BLOCKS for each in columns.values()):
            return None
        return max(
            (
                Level(look.distance.statistic, self._min_distance(look.test))
                for look in self._looks(columns)
                if self._min_distance(look.test)
            ),
            key=lambda each: each.share,
            default=None,
        )

    def _looks(self, columns: dict[str, Column]) -> list[Look]:
        return [Look(name, *found) for name, each in columns.items() for found in each.tests(self.settings.test)]

    def _slide(self, columns: dict[str, Column], rows: Sequence[dict[str, Any]]) -> Shift | None:
        full = True
        for name, each in columns.items():
            each.slide(values_of(rows, name), blocks_max=BLOCKS)
            # All columns slide together, so that the last one answers for all.
            full = len(each.blocks) == BLOCKS
        if not columns or not full:
            return None
        return self._fire(self._looks(columns), columns)

    def _fire(self, looks: list[Look], columns: dict[str, Column]) -> Shift | None:
        # All features and tests together: each at its own rate, a
        # hundred features would always have one that moved by chance.
        significant = discoveries([look.distance.p_value for look in looks], rate=self.settings.rate)
        moved = [
            look
            for look, sure in zip(looks, significant, strict=True)
            if sure and look.distance.statistic >= self._min_distance(look.test)
        ]
        # Rebuilt from what moved this time, so that a streak that is interrupted begins again at one.
        self.streaks = {(look.feature, look.test): self.streaks.get((look.feature, look.test), 0) + 1 for look in moved}
        # Exactly so many and not at least: a streak that is longer
        # has fired already, and fires again only after a break.
        if self.settings.consecutive_checks not in self.streaks.values():
            return None
        lasting = [look for look in moved if self.streaks[look.feature, look.test] >= self.settings.consecutive_checks]
        lasting.sort(key=lambda look: (-look.distance.statistic / max(self._min_distance(look.test), 1e-9), look[:2]))
        told = tuple(self._told(look, columns[look.feature]) for look in lasting[:NAMED_MAX])
        return Shift(told[0].statistic, told[0].threshold, self._window_events, told)

    def _min_distance(self, test: str) -> float:
        own = self.settings.min_distance
        return LEAST[test] if own is None or test in ("missing", "new-category") else own

    @property
    def _window_events(self) -> int:
        """A window, and what went by until it had persisted."""
        settings = self.settings
        return (settings.window + (settings.consecutive_checks - 1) * (settings.window // BLOCKS)) * settings.every_nth

    def _told(self, look: Look, column: Column) -> MovedFeature:
        return MovedFeature(
            feature=look.feature,
            test=look.test,
            statistic=look.distance.statistic,
            threshold=self._min_distance(look.test),
            p_value=look.distance.p_value,
            before=column.summary(column.reference),
            after=column.summary(column.window),
        )

    def trained(self) -> None:
        """It goes on."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        columns = None if self.columns is None else {name: each.state() for name, each in self.columns.items()}
        return {
            "rows": list(self.rows),
            "wanted": self.wanted,
            "skip": self.skip,
            "columns": columns,
            "streaks": [(*key, count) for key, count in self.streaks.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows, self.wanted, self.skip = list(state["rows"]), state["wanted"], state["skip"]
        columns = state["columns"]
        if laid_otherwise(columns):  # a new reference is taken from here on
            self.rows, self.wanted, self.skip, columns = [], self.settings.reference_events, 0, None
        self.columns = None if columns is None else {name: revived(each) for name, each in columns.items()}
        self.streaks = {(feature, test): count for feature, test, count in state["streaks"]}


class Inputs(DistributionSignal):
    """The distribution of the features."""

    kind = "input"

    def on_event(self, event: AcceptedEvent, answer: Prediction, *, now_s: float | None) -> Shift | None:
        """Look at the features."""
        del answer, now_s
        return self.update(event.x)


class Predictions(DistributionSignal):
    """The distribution of what the champion answers, and of how sure it is where it says so."""

    kind = "prediction"

    def on_event(self, event: AcceptedEvent, answer: Prediction, *, now_s: float | None) -> Shift | None:
        """Look at the answer."""
        del event, now_s
        told = {} if answer.value is None else {"prediction": str(answer.value) if self.of_classes else answer.value}
        if answer.proba:
            told["confidence"] = max(answer.proba.values())
        return self.update(told)


class Labels(DistributionSignal):
    """The distribution of the labels."""

    kind = "label"

    def on_label(self, y: Any, answer: Prediction | None, *, now_s: float | None) -> Shift | None:
        """Look at the label."""
        del answer, now_s
        return self.update({"label": str(y) if self.of_classes else y})

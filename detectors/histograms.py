"""How features are distributed now, beside how they were when the champion began: for people, and no signal.

>>> import random
>>> rng = random.Random(7)
>>> histograms = Histograms()
>>> for n in range(REFERENCE_ROWS + WINDOW_ROWS):
...     histograms.update({"a": rng.gauss(0, 1), "b": rng.gauss(2 if n >= REFERENCE_ROWS else 0, 1)})
>>> [(each.feature, round(each.psi, 1)) for each in histograms.reports()]
[('b', 3.2), ('a', 0.0)]
"""

from typing import Any

import msgpack
import numpy as np

from anabranch.messages import FeatureReport
from anabranch.values import unboxed
from detectors.columns import Categorical, Column, Numeric, column, laid_otherwise, revived, values_of
from detectors.distances import psi

REFERENCE_ROWS, WINDOW_ROWS, BLOCKS = 600, 400, 4
FEATURES_MAX = 100
"""By name, the first; each costs time and memory."""
REPORTED_MAX = 30


class Histograms:
    """The distributions of features, of the events that it is shown.

    Memory: until the reference is complete its events, then some dozens, and the counts of five histograms a feature.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.wanted = REFERENCE_ROWS
        self.columns: dict[str, Column] | None = None

    def update(self, row: dict[str, Any]) -> None:
        """One event's features."""
        self.rows.append(row)
        if len(self.rows) >= self.wanted:
            self._turn()

    def _turn(self) -> None:
        rows, self.rows, self.wanted = self.rows, [], WINDOW_ROWS // BLOCKS
        if self.columns is not None:
            for name, each in self.columns.items():
                each.slide(values_of(rows, name), blocks_max=BLOCKS)
            return
        names = sorted({name for row in rows for name in row})[:FEATURES_MAX]
        self.columns = {name: column(values_of(rows, name)) for name in names}

    def reports(self) -> tuple[FeatureReport, ...]:
        """Those that have moved furthest first; nothing until there is something to compare."""
        found = [_report(name, each) for name, each in (self.columns or {}).items() if each.blocks]
        found.sort(key=lambda each: (-each.psi, each.feature))
        return tuple(found[:REPORTED_MAX])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "rows": msgpack.packb(self.rows, default=unboxed),
            "wanted": self.wanted,
            "columns": None if self.columns is None else {name: each.state() for name, each in self.columns.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; bins that were laid otherwise are begun anew."""
        columns = state["columns"]
        if laid_otherwise(columns):
            return
        self.rows, self.wanted = msgpack.unpackb(state["rows"], strict_map_key=False), state["wanted"]
        self.columns = None if columns is None else {name: revived(each) for name, each in columns.items()}


def _report(name: str, column: Column) -> FeatureReport:
    before, now = column.reference, column.window
    was, found = np.array(before[0]), np.array(now[0])
    of_now = int(found.sum())
    is_comparable = bool(was.sum() and of_now)
    return FeatureReport(
        feature=name,
        psi=max(0.0, psi(_paired(was), _paired(found)).statistic) if is_comparable else 0.0,
        events=of_now + now[1],
        edges=tuple(column.edges) if isinstance(column, Numeric) else (),
        categories=tuple(str(each) for each in column.places) if isinstance(column, Categorical) else (),
        before=_shares(was),
        now=_shares(found),
        missing_before=_share(before[1], int(was.sum()) + before[1]),
        missing=_share(now[1], of_now + now[1]),
        unseen=_share(now[2], of_now),
    )


def _paired(counts: Any) -> Any:
    """Two neighbouring bins as one: of the index of so few rows, each bin adds a share that is chance."""
    return np.add.reduceat(counts, np.arange(0, len(counts), 2)) if len(counts) > 2 * BLOCKS else counts


def _shares(counts: Any) -> tuple[float, ...]:
    total = counts.sum()
    return tuple((counts / total).round(4).tolist()) if total else tuple(0.0 for _ in counts)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

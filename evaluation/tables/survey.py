"""All rows of a table looked at: what each column holds, what is missing, and what is odd."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from anabranch.errors import ConfigError
from evaluation.tables import Table
from evaluation.tables.columns import Column
from evaluation.tables.times import seconds_of

DISTINCT_MAX = 10_000
"""Different values of a column that are counted; beyond, it is said that there are more."""


class Tally:
    """What was seen of a column's values."""

    def __init__(self) -> None:
        self.rows = self.missing = 0
        self.low: float | None = None
        self.high: float | None = None
        self.counts: Counter[Any] = Counter()

    def add(self, values: Sequence[Any]) -> None:
        """Some more values."""
        present = [value for value in values if value is not None]
        self.rows += len(values)
        self.missing += len(values) - len(present)
        numbers = [value for value in present if type(value) in (int, float)]
        if numbers:
            self.low = min(numbers) if self.low is None else min(self.low, *numbers)
            self.high = max(numbers) if self.high is None else max(self.high, *numbers)
        # Not counted any further: the values of a column of ids would fill the memory.
        if len(self.counts) <= DISTINCT_MAX:
            self.counts.update(present)

    def told(self, column: Column) -> dict[str, Any]:
        """As plain values."""
        odd = column.first_odd
        return {
            "column": column.name,
            "kind": column.kind,
            "missing": round(self.missing / self.rows, 4) if self.rows else 0.0,
            "low": self.low,
            "high": self.high,
            "distinct": len(self.counts) if len(self.counts) <= DISTINCT_MAX else None,
            "odd": column.odd,
            "first_odd": None if odd is None else {"row": odd[0], "cell": odd[1]},
        }


class Order:
    """How far the times are in order."""

    def __init__(self) -> None:
        self.rows = self.behind = 0
        self.first = self.last = self.before = 0.0

    def add(self, times: Sequence[Any]) -> None:
        """Some more times."""
        for time in times:
            seconds = seconds_of(time)
            if not self.rows:
                self.first = self.last = self.before = seconds
            self.behind += seconds < self.before
            self.rows, self.before = self.rows + 1, seconds
            self.first, self.last = min(self.first, seconds), max(self.last, seconds)


def survey(table: Table) -> dict[str, Any]:
    """All rows, read once: the columns, the label's balance, the time's unit and order.

    What cannot be read as a time ends the look at times, and is told.
    """
    tallies = {name: Tally() for name in table.columns}
    label, order, fault = Tally(), Order(), ""
    for file in table.files:
        for row, cells in table.chunks(file):
            label.add(table.label.values(table.texts(cells[table.label.name]), row=row))
            for name, tally in tallies.items():
                tally.add(table.values(name, cells[name], row=row))
            if table.time is not None and not fault:
                try:
                    order.add(table.time.values(table.texts(cells[table.time.name]), row=row))
                except ConfigError as error:
                    fault = str(error)
    return {
        "rows": label.rows,
        "features": [tally.told(table.columns[name]) for name, tally in tallies.items()],
        "left_out": table.left_out,
        "label": {**label.told(table.label), "balance": _balance(label)} if table.has_label else None,
        "time": None if table.time is None else _time(table, order, fault),
    }


def _balance(label: Tally) -> dict[str, float]:
    """The share of each class, the commonest first; of at most twenty."""
    labelled = label.rows - label.missing
    if not labelled or len(label.counts) > 20:
        return {}
    return {str(value): round(count / labelled, 4) for value, count in label.counts.most_common()}


def _time(table: Table, order: Order, fault: str) -> dict[str, Any]:
    assert table.time is not None
    return {
        "column": table.time.name,
        "read_as": table.time.said,
        "first_s": order.first,
        "last_s": order.last,
        "out_of_order": round(order.behind / order.rows, 4) if order.rows else 0.0,
        "fault": fault or None,
    }

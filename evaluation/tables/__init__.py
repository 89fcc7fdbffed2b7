"""A table as a stream of events, from one file or several of the same columns."""

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from anabranch.errors import ConfigError
from evaluation.tables import dialects, roles
from evaluation.tables.columns import Column, Tell, TypedColumn
from evaluation.tables.dialects import TextTable
from evaluation.tables.numbers import Notation, is_missing
from evaluation.tables.parquet import ParquetTable
from evaluation.tables.roles import LabelColumn
from evaluation.tables.times import TimeColumn

# ── How a table is to be read: what a person says of its columns ────────────────────────────────────────────────────

ALL = "*"
"""As a name in `keep`: every column."""


@dataclass(frozen=True)
class Reading:
    """What the columns mean, and what cannot be seen in the file.

    Attributes:
        target: the column that holds the label.
        ts: the column that holds the time; without one, a row counts as a second.
        ts_format: strptime's format of the time, where the file's own is not known.
        id: the column that holds the event's id; without one, it is the file's name and the row's number.
        keep: columns that stay features though they look like a time or an id; "*" keeps all.
        drop: columns that are no features.
        missing: further words that stand for no value.
        encoding: of the text, where it is not to be guessed.
        positive: the configuration's positive class: a label of numbers or truths is then read as strings.
        truths: the label is true or false; words such as yes and no are taken for it.
        asked: columns that the configuration names.
        label_optional: rows may have no label, which comes from elsewhere; a column that was named must be there.
    """

    target: str = dialects.LABEL
    ts: str | None = None
    ts_format: str | None = None
    id: str | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    encoding: str | None = None
    positive: str | None = None
    truths: bool = False
    asked: frozenset[str] = frozenset()
    label_optional: bool = False

    @property
    def wanted(self) -> list[str]:
        """The columns that must be there, the label's first."""
        named = [self.target, self.ts, self.id, *self.drop, *(name for name in self.keep if name != ALL)]
        return list(dict.fromkeys(name for name in named if name is not None))

    @property
    def needed(self) -> list[str]:
        """Those of them without which nothing can be read."""
        may_lack = self.label_optional and self.target == dialects.LABEL
        return self.wanted[1:] if may_lack else self.wanted

    def keeps(self, name: str) -> bool:
        """Whether a column stays a feature whatever it looks like."""
        return name in self.keep or ALL in self.keep or name in self.asked


# ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────────

SAMPLE_ROWS = 10_000
"""Rows on which is decided what each column holds."""

SAMPLE_CELLS = 500_000
"""Of a wide table fewer rows: a thousand at least."""

CHUNK_ROWS = 500
"""Rows that become events at a time, column by column."""

TIME_OF_ROW_0 = 1_600_000_000.0
"""Event time of the first row of a table that has none; each further row is a second later."""

Cells = Sequence[Any]


def time_of_row(number: int) -> float:
    """The event time of a row of a table that has no time, in epoch seconds."""
    return TIME_OF_ROW_0 + number


class Table:
    """What was decided about a table's columns on its first rows; and all its rows as events.

    Args:
        paths: files of the same columns, in order.
        tell: what a person should know.

    Raises:
        ConfigError: a file cannot be read as a table, or lacks a wanted column.
    """

    def __init__(self, paths: Sequence[Path], reading: Reading, *, tell: Tell) -> None:
        self.reading = reading
        self.tell = tell
        self.files = [_file(path, reading, tell=tell) for path in paths]
        self.file = self.files[0]
        """The one that is read."""
        self.header = self.file.header
        dialects.check(self.header, path=paths[0])
        self._headers_agree()
        self.sample = self._sampled()
        self.label = self._label()
        self.time = self._time()
        self.columns: dict[str, Column] = {}
        self.left_out: dict[str, str] = {}
        """Columns that are no features, with the reason."""
        self._decide()
        # Everything is decided: some hundred thousand cells need not stay for the whole run.
        self.sample.clear()

    @property
    def has_label(self) -> bool:
        """Whether there is a column of labels; else no row has one."""
        return self.reading.target in self.header

    def _headers_agree(self) -> None:
        for file in self.files[1:]:
            if file.header != self.header:
                own, first = set(file.header), set(self.header)
                lacking = ", ".join(sorted(first - own)) or "nothing"
                more = ", ".join(sorted(own - first)) or "nothing"
                how = "in another order" if own == first else f"without: {lacking}; beyond: {more}"
                raise ConfigError(
                    f"{file.path}: its columns are not those of {self.files[0].path.name} ({how}); "
                    "files that are read together need the same header"
                )

    def _sampled(self) -> dict[str, Cells]:
        most = min(SAMPLE_ROWS, max(1000, SAMPLE_CELLS // len(self.header)))
        # Over all files, since the first of them may be too short to decide anything on.
        rows = list(itertools.islice(itertools.chain.from_iterable(file.rows() for file in self.files), most))
        columns = zip(*rows, strict=True) if rows else [()] * len(self.header)
        return self._by_name(columns, rows=len(rows))

    def _by_name(self, columns: Iterable[Cells], *, rows: int) -> dict[str, Cells]:
        """Cells by column; where there is no label, its cells are empty."""
        cells: dict[str, Cells] = dict(zip(self.header, columns, strict=True))
        return cells if self.has_label else {**cells, self.reading.target: [""] * rows}

    def say(self, said: str) -> None:
        """Tell something of the file that is read, by its name."""
        self.tell(f"{self.file.path.name}: {said}")

    def kind_in_file(self, name: str) -> str:
        """What the files say of a column: text, if nothing."""
        kinds = {file.kinds[name] if isinstance(file, ParquetTable) else "text" for file in self.files}
        # Where one file holds whole numbers and another one fractions, both hold numbers.
        return kinds.pop() if len(kinds) == 1 else "number" if kinds == {"integer", "number"} else "other"

    def _label(self) -> Column:
        name, reading = self.reading.target, self.reading
        if not self.has_label:
            return Column(name)
        kind = self.kind_in_file(name)
        if kind == "other":
            raise ConfigError(f"{self.file.path}: the label {name!r} is neither a number, a truth nor a string")
        label = LabelColumn(
            name, positive=reading.positive, truths=reading.truths, missing=frozenset(reading.missing), tell=self.say
        )
        label.decide(self.texts(self.sample[name]))
        return label

    def _time(self) -> TimeColumn | None:
        if self.reading.ts is None:
            return None
        year = datetime.fromtimestamp(time.time(), tz=UTC).year
        column = TimeColumn(self.reading.ts, form=self.reading.ts_format, where=str(self.file.path), now_year=year)
        cells = self.texts(self.sample[self.reading.ts])
        if any(cell.strip() for cell in cells):
            column.decide(cells)
            if column.said not in {"year first", "seconds since 1970"}:
                self.say(f"{column.name}: {column.said}")
        return column

    def _decide(self) -> None:
        """What each column holds, and which are features."""
        reading, aside = self.reading, {self.reading.target, self.reading.ts, self.reading.id}
        for name in self.header:
            if name not in aside:
                self._place(name, reading)
        if not self.columns and self.left_out and self.sample[reading.target]:
            raise ConfigError(
                f"{self.file.path}: no column is left as a feature; --keep NAME, or --keep '*', keeps one"
            )
        self._settle_ambiguous()

    def _place(self, name: str, reading: Reading) -> None:
        kind = self.kind_in_file(name)
        if name in reading.drop:
            self.left_out[name] = "by --drop"
        elif kind == "other":
            self._leave_out(name, f"{self.file.what(name)}, neither a number, a truth nor a string.", keep=False)
        else:
            self._place_column(name, kind)

    def _place_column(self, name: str, kind: str) -> None:
        # Held back, since of a column that is left out nothing else is worth telling.
        said: list[str] = []
        column: Column
        if kind == "text":
            column = Column(name, missing=frozenset(self.reading.missing), tell=said.append)
        else:
            column = TypedColumn(name, kind, tell=said.append)
        cells = self.texts(self.sample[name]) if kind == "text" else self.sample[name]
        column.decide(cells)
        looks = "" if self.reading.keeps(name) or not cells else roles.looks_like(name, column.kind, column.peek(cells))
        if looks:
            self._leave_out(name, looks)
            return
        for each in said:
            self.say(each)
        column.tell = self.say
        self.columns[name] = column

    def _leave_out(self, name: str, reason: str, *, keep: bool = True) -> None:
        self.left_out[name] = reason
        shown = name or "a column without a name"
        hints = [f"--ts {name} takes it for the time"] if "a time?" in reason or "epoch" in reason else []
        hints += [f"--id {name} for the event's id"] if "an id?" in reason else []
        hints += [f"--keep {name} for a feature"] if keep and name else []
        how = f" ({', '.join(hints)})" if hints else ""
        self.say(f"{shown}: {reason} Left out of the features{how}")

    def _settle_ambiguous(self) -> None:
        """1,234 is as the other columns have it."""
        points = {column.notation.point for column in self.columns.values() if _is_formatted(column)}
        if points != {","}:
            self._doubt_points()
            return
        for column in self.columns.values():
            cells = [cell.strip() for cell in self.texts(self.sample[column.name]) if cell.strip()]
            if column.kind in ("integer", "number") and (column.ambiguous or _may_be_grouped(column, cells)):
                column.kind = "integer"
                column.ambiguous = False
                column.read_as(
                    Notation(",", column.notation.unit), [cell for cell in cells if "." in cell or "," in cell]
                )

    def _doubt_points(self) -> None:
        """Where ; separates, a point may group thousands."""
        if not isinstance(self.file, TextTable) or self.file.separator != ";":
            return
        for column in self.columns.values():
            cells = [cell.strip() for cell in self.sample[column.name] if cell.strip()]
            if _may_be_grouped(column, cells):
                shown = next(cell for cell in cells if "." in cell)
                self.say(
                    f"{column.name}: {shown!r} is read as {float(shown):g}, a decimal point; "
                    "if its points group thousands, write the numbers without them"
                )

    def events(self, *, now_s: float | None = None) -> Iterator[bytes]:
        """The rows as events, encoded; without a time of their own, of `now_s`, or a second apart."""
        begin = 0
        for file, stem in zip(self.files, _stems(self.files), strict=True):
            rows = 0
            for row, cells in self.chunks(file):
                rows = row + len(cells[self.label.name])
                if now_s is None:
                    times = [time_of_row(number) for number in range(begin + row, begin + rows)]
                else:
                    times = [now_s] * (rows - row)
                yield from self._events(cells, row=row, times=times, stem=stem)
            # Times go on from file to file; ids begin again, under each file's own name.
            begin += rows

    def chunks(self, file: TextTable | ParquetTable) -> Iterator[tuple[int, dict[str, Cells]]]:
        """Some rows of a file at a time, by column, with the number of the first."""
        self.file = file
        rows, row = iter(file.rows()), 0
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            yield row, self._by_name(zip(*chunk, strict=True), rows=len(chunk))
            row += len(chunk)

    def _events(self, cells: dict[str, Cells], *, row: int, times: Cells, stem: str) -> Iterator[bytes]:
        labels = self.label.values(self.texts(cells[self.label.name]), row=row)
        if self.time is not None:
            times = self.time.values(self.texts(cells[self.time.name]), row=row)
        ids = [f"{stem}-{number}" for number in range(row, row + len(labels))]
        if self.reading.id is not None:
            own = self.texts(cells[self.reading.id])
            ids = [cell.strip() or id_ for cell, id_ in zip(own, ids, strict=True)]
        names = list(self.columns)
        columns = [self.values(name, cells[name], row=row) for name in names]
        features = zip(*columns, strict=True) if columns else [()] * len(labels)
        for id_, ts, values, label in zip(ids, times, features, labels, strict=True):
            table = {"id": id_, "ts": ts, "features": dict(zip(names, values, strict=True)), "label": label}
            # As bytes, though a backtest takes them apart again: the guard is to see what it would see on Kafka.
            yield orjson.dumps(table)

    def values(self, name: str, cells: Cells, *, row: int) -> list[Any]:
        """The cells of a feature as values."""
        column = self.columns[name]
        return column.values(cells if isinstance(column, TypedColumn) else self.texts(cells), row=row)

    def texts(self, cells: Cells) -> Sequence[str]:
        """Cells as a CSV would have them."""
        return [_text(cell) for cell in cells] if isinstance(self.file, ParquetTable) else cells


def _file(path: Path, reading: Reading, *, tell: Tell) -> TextTable | ParquetTable:
    if path.suffix == ".parquet":
        return ParquetTable(path, wanted=reading.needed, tell=tell)
    try:
        # The label's name tells the header and the separator, where it is there.
        return TextTable(path, wanted=reading.wanted, encoding=reading.encoding, tell=tell)
    except ConfigError:
        if reading.needed == reading.wanted:
            raise
        return TextTable(path, wanted=reading.needed, encoding=reading.encoding, tell=tell)


def _stems(files: Sequence[TextTable | ParquetTable]) -> Iterator[str]:
    """What the ids of a file's rows begin with: its name, and a number where another has the same."""
    seen: Counter[str] = Counter()
    for file in files:
        stem = file.path.name.partition(".")[0]
        seen[stem] += 1
        yield stem if seen[stem] == 1 else f"{stem}.{seen[stem]}"


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    # repr() writes the shortest text that reads as the very same float.
    return cell if isinstance(cell, str) else repr(cell)


def _is_formatted(column: Column) -> bool:
    return column.notation != Notation() and not column.ambiguous


def _may_be_grouped(column: Column, cells: Sequence[str]) -> bool:
    """Whether numbers with a point, as Python reads them, may be whole ones of thousands: 1.000."""
    pointed = [cell for cell in cells if "." in cell]
    return (
        column.kind == "number"
        and bool(pointed)
        and all(type(Notation(",").read(cell)) is int or is_missing(cell) for cell in cells)
    )

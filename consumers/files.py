"""Events from files: CSV and CSV.gz with a header row, and JSON lines (.jsonl, .jsonl.gz) of events."""

import csv
import gzip
import io
import itertools
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import orjson

from anabranch.errors import ConfigError

SAMPLE_ROWS = 1000
"""Rows on which the type of each column is decided."""

TIME_OF_ROW_0 = 1_600_000_000.0
"""Event time of the first row of a file that has none; each further row is a second later."""

_TRUTHS = {"true": True, "false": False}
_ZONE = re.compile(r"([Zz]|[+-]\d\d:?\d\d)$")


def events(path: Path, *, target: str = "target", ts: str | None = None, now_s: float | None = None) -> Iterator[bytes]:
    """The events in a file, encoded, in order.

    Args:
        target: the column that holds the label.
        ts: the column that holds the time; without one, `now_s` for every row, or else a second a row.

    Raises:
        ConfigError: the file cannot be read, is of no known kind, or has no such column.
    """
    kind = _kind(path)
    try:
        if kind == "jsonl":
            yield from _lines(path)
        else:
            yield from _rows_as_events(path, target=target, ts=ts, now_s=now_s)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _kind(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if name.endswith(".csv"):
        return "csv"
    raise ConfigError(f"{path}: of no known kind; give a .csv, .csv.gz, .jsonl or .jsonl.gz")


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]  # reads alike


def _lines(path: Path) -> Iterator[bytes]:
    with _open(path) as file:
        for line in file:
            if line := line.rstrip(b"\r\n"):
                yield line


def _rows_as_events(path: Path, *, target: str, ts: str | None, now_s: float | None) -> Iterator[bytes]:
    stem = path.name.partition(".")[0]
    with io.TextIOWrapper(_open(path), "utf-8-sig", newline="") as file:  # spreadsheets write a byte order mark
        table = (row for row in csv.reader(file) if row)  # blank lines are no rows
        header = next(table, [])
        _check(header, (target, ts), path=path)
        sample = list(itertools.islice(table, SAMPLE_ROWS))
        readers = _readers(header, sample)
        for number, row in enumerate(itertools.chain(sample, table)):
            if len(row) != len(header):
                raise ConfigError(f"{path}: row {number} has {len(row)} cells, the header {len(header)}")
            values = {name: _cell(cell, read) for name, cell, read in zip(header, row, readers, strict=True)}
            if ts:
                time = _time(values.pop(ts), where=f"{path}: row {number}")
            else:
                time = time_of_row(number) if now_s is None else now_s
            label = values.pop(target)
            yield orjson.dumps({"id": f"{stem}-{number}", "ts": time, "features": values, "label": label})


def _check(header: Sequence[str], wanted: Iterable[str | None], *, path: Path) -> None:
    """Refuse a header without the wanted columns, or with two of one name."""
    if not header:
        raise ConfigError(f"{path}: it is empty; the first row must name the columns")
    for name in wanted:
        if name is not None and name not in header:
            raise ConfigError(f"{path}: no column {name!r}; it has {', '.join(header)}")
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice:
        raise ConfigError(f"{path}: two columns are called {twice[0]!r}; rename one")


def time_of_row(number: int) -> float:
    """The event time of a row of a table that has no time, in epoch seconds."""
    return TIME_OF_ROW_0 + number


def _time(value: Any, *, where: str) -> Any:
    if value is None:
        raise ConfigError(f"{where}: no time")
    if not isinstance(value, str):
        return value
    # "2020-01-01 00:00:00" and "2020-01-01" name no zone; UTC is the usual reading.
    moment = f"{value} 00:00:00" if len(value) == len("2020-01-01") else value
    return moment if _ZONE.search(moment) else f"{moment}Z"


def _readers(header: Sequence[str], sample: Sequence[Sequence[str]]) -> list[Any]:
    """What each column holds, by its sample: integers, numbers, truths, or words."""
    columns: Iterable[Sequence[str]] = itertools.zip_longest(*sample, fillvalue="") if sample else [()] * len(header)
    # A row that is too long makes more columns than the header has; it is refused when its turn comes.
    return [_reader([cell for cell in column if cell]) for column in itertools.islice(columns, len(header))]


def _integer(cell: str) -> int:
    """An integer that fits JSON's 64 bits; Python would take any length, and underscores between the digits."""
    number = int(cell)
    if "_" in cell or not -(2**63) <= number < 2**63:
        raise ValueError(cell)
    return number


def _number(cell: str) -> float:
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _reader(cells: Sequence[str]) -> Any:
    for read in (_integer, _number, lambda cell: _TRUTHS[cell.lower()]):
        try:
            for cell in cells:
                read(cell)
        except (ValueError, KeyError):
            continue
        return read if cells else str
    return str


def _cell(cell: str, read: Any) -> Any:
    """The value; a cell that is not of its column's type stays a string, for the guard to refuse."""
    if cell == "":
        return None
    try:
        value = read(cell)
    except (ValueError, KeyError):
        value = _number_or_word(cell)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else cell  # NaN is how many programs write a missing number
    return value


def _number_or_word(cell: str) -> Any:
    """A fraction in a column that held integers so far is a number like them."""
    try:
        return _number(cell)
    except ValueError:
        return cell

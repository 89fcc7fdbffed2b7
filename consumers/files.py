"""Events from files: CSV and CSV.gz with a header row, and JSON lines (.jsonl, .jsonl.gz) of events."""

import csv
import gzip
import itertools
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


def events(path: Path, *, target: str = "target", ts: str | None = None, now_s: float | None = None) -> Iterator[bytes]:
    """The events in a file, encoded, in order.

    Args:
        target: the column that holds the label.
        ts: the column that holds the time; without one, `now_s` for every row, or else a second a row.

    Raises:
        ConfigError: the file cannot be read, is of no known kind, or has no such column.
    """
    if _kind(path) == "jsonl":
        yield from _lines(path)
    else:
        yield from _rows_as_events(path, target=target, ts=ts, now_s=now_s)


def _kind(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    if name.endswith(".csv"):
        return "csv"
    raise ConfigError(f"{path}: of no known kind; give a .csv, .csv.gz, .jsonl or .jsonl.gz")


def _open(path: Path) -> IO[bytes]:
    try:
        return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]  # reads alike
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _lines(path: Path) -> Iterator[bytes]:
    with _open(path) as file:
        for line in file:
            if line := line.rstrip(b"\r\n"):
                yield line


def _rows_as_events(path: Path, *, target: str, ts: str | None, now_s: float | None) -> Iterator[bytes]:
    stem = path.name.partition(".")[0]
    with _open(path) as file:
        table = csv.reader(line.decode("utf-8") for line in file)
        header = next(table, [])
        for wanted in (target, ts):
            if wanted is not None and wanted not in header:
                raise ConfigError(f"{path}: no column {wanted!r}; it has {', '.join(header)}")
        sample = list(itertools.islice(table, SAMPLE_ROWS))
        readers = _readers(header, sample)
        for number, row in enumerate(itertools.chain(sample, table)):
            values = {name: _cell(cell, read) for name, cell, read in zip(header, row, readers, strict=False)}
            time = _time(values.pop(ts), row=number) if ts else _default_time(number, now_s)
            label = values.pop(target, None)
            yield orjson.dumps({"id": f"{stem}-{number}", "ts": time, "features": values, "label": label})


def _default_time(number: int, now_s: float | None) -> float:
    return TIME_OF_ROW_0 + number if now_s is None else now_s


def _time(value: Any, *, row: int) -> Any:
    if value is None:
        raise ConfigError(f"row {row}: no time")
    # "2020-01-01 00:00:00" names no zone; UTC is the usual reading.
    return f"{value}Z" if isinstance(value, str) and value[-1:] != "Z" and "+" not in value else value


def _readers(header: Sequence[str], sample: Sequence[Sequence[str]]) -> list[Any]:
    """What each column holds, by its sample: integers, numbers, truths, or words."""
    columns: Iterable[Sequence[str]] = itertools.zip_longest(*sample, fillvalue="") if sample else [()] * len(header)
    return [_reader([cell for cell in column if cell]) for column in columns]


def _reader(cells: Sequence[str]) -> Any:
    for read in (int, float, lambda cell: _TRUTHS[cell.lower()]):
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
        return read(cell)
    except (ValueError, KeyError):
        return _number_or_word(cell)


def _number_or_word(cell: str) -> Any:
    """A fraction in a column that held integers so far is a number like them."""
    try:
        return float(cell)
    except ValueError:
        return cell

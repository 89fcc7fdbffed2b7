"""Events from files: tables (CSV and its relatives, Parquet) with a header, and JSON lines of events."""

import csv
import glob
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anabranch.errors import ConfigError
from evaluation.tables import Reading, Table, time_of_row
from evaluation.tables.columns import Tell
from evaluation.tables.dialects import opened

KINDS = {
    "csv": "table",
    "tsv": "table",
    "txt": "table",
    "tab": "table",
    "parquet": "table",
    "jsonl": "lines",
    "ndjson": "lines",
}
"""What a file is, by its suffix; of all but Parquet also with .gz behind it."""

_NO_KIND = {
    "json": "write one event a line, and call it .jsonl",
    "xlsx": "save it as CSV",
    "xls": "save it as CSV",
    "ods": "save it as CSV",
    "feather": "write it as Parquet",
    "arrow": "write it as Parquet",
    "zip": "unpack it",
    "bz2": "unpack it, or pack it by gzip",
    "xz": "unpack it, or pack it by gzip",
    "zst": "unpack it, or pack it by gzip",
}


class Files:
    """One file, several, or a folder of them, as one stream of events.

    Args:
        paths: files, folders, and patterns such as `2026-*.csv`; a folder's and a pattern's files in the order of
            their names.
        tell: what a person should know of them, each sentence once.

    Raises:
        ConfigError: there is no file, one is of no known kind, or they are of several.
    """

    def __init__(self, paths: Sequence[Path], reading: Reading, *, tell: Tell = lambda said: None) -> None:
        self.paths = [file for path in paths for file in _expanded(path)]
        self.reading = reading
        # A verb may read its files more than once: a trial, the run, one more for each configuration.
        self.tell = once(tell)
        kinds = {_kind(path) for path in self.paths}
        if len(kinds) > 1:
            raise ConfigError(f"{', '.join(map(str, paths))}: tables and JSON lines: give files of one kind")
        self.is_table = kinds == {"table"}
        self.name = self.paths[0].name if len(self.paths) == 1 else f"{paths[0]} ({len(self.paths)} files)"

    def events(self, *, now_s: float | None = None) -> Iterator[bytes]:
        """The events, encoded, in order, from the first.

        Args:
            now_s: the time of a row of a table that has none; else a second a row.

        Raises:
            ConfigError: a file cannot be read, or lacks a column.
        """
        with reading_of(self.paths):
            if self.is_table:
                yield from self.table().events(now_s=now_s)
            else:
                for path in self.paths:
                    yield from _lines(path)

    def table(self) -> Table:
        """The files as one table, its columns decided."""
        with reading_of(self.paths):
            return Table(self.paths, self.reading, tell=self.tell)

    def timestamp_of(self) -> Callable[[int], float] | None:
        """What stands for the broker's timestamp: a table's rows have the time they were given, events lie in a file.

        None: each event's own time.
        """
        if self.is_table:
            return None if self.reading.ts is not None else time_of_row
        written_s = max(path.stat().st_mtime for path in self.paths)
        return lambda number: written_s


def events(path: Path, *, now_s: float | None = None, tell: Tell = lambda said: None, **how: Any) -> Iterator[bytes]:
    """The events in a file, encoded, in order; `how` is a `Reading`'s.

    Raises:
        ConfigError: the file cannot be read, is of no known kind, or has no such column.
    """
    return Files([path], Reading(**how), tell=tell).events(now_s=now_s)


@contextmanager
def reading_of(paths: Sequence[Path]) -> Iterator[None]:
    """What goes wrong with the bytes names the files."""
    try:
        yield
    # EOFError is what gzip raises where an archive was cut off.
    except (OSError, EOFError, zlib.error, UnicodeError, csv.Error) as error:
        named = getattr(error, "filename", None) or ", ".join(map(str, paths[:3])) + (" …" if len(paths) > 3 else "")
        hint = "; name its encoding: --encoding cp1252, for example" if isinstance(error, UnicodeError) else ""
        raise ConfigError(f"{named}: cannot be read: {getattr(error, 'strerror', None) or error}{hint}") from error


def once(tell: Tell) -> Tell:
    """Says each sentence once."""
    said: set[str] = set()

    def first(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            tell(sentence)

    return first


def _expanded(path: Path) -> list[Path]:
    """The files that a path means."""
    if path.is_dir():
        # Not what begins with . or _: hidden files, and what Spark and its relatives leave beside their data.
        found = sorted(
            each for each in path.iterdir() if each.is_file() and _suffix(each) in KINDS and each.name[0] not in "._"
        )
        if not found:
            raise ConfigError(f"{path}: no .csv, .jsonl or .parquet lies in this folder")
        return found
    # A path that exists is no pattern, whatever characters are in it.
    if not path.exists() and glob.has_magic(str(path)):
        found = sorted(
            Path(each)
            for each in glob.glob(str(path), recursive=True)  # noqa: PTH207  # pathlib's takes no absolute one
            if Path(each).is_file()
        )
        if not found:
            raise ConfigError(f"{path}: no file has such a name")
        return found
    return [path]


def _suffix(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[2].lower()


def _kind(path: Path) -> str:
    suffix = _suffix(path)
    if suffix not in KINDS:
        how = _NO_KIND.get(suffix, "give a .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet, or a folder of them")
        raise ConfigError(f"{path}: of no known kind; {how}")
    return KINDS[suffix]


def _lines(path: Path) -> Iterator[bytes]:
    with opened(path) as file:
        for line in file:
            if line := line.rstrip(b"\r\n"):
                yield line

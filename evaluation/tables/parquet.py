"""Parquet files, read by DuckDB a few thousand rows at a time, whatever their size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anabranch.errors import ConfigError
from evaluation.tables import dialects
from evaluation.tables.columns import Tell

ROWS_AT_A_TIME = 2048

_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
# UBIGINT and HUGEINT are wider than the integers that an event may hold, so they become floats.
_NUMBERS = {"FLOAT", "DOUBLE", "HUGEINT", "UHUGEINT", "UBIGINT"}
_TIMES = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}
_WORDS = {"VARCHAR", "UUID", "TIME", "INTERVAL", "JSON"}


class ParquetTable:
    """A Parquet file: header, the kind of each column, and rows.

    Raises:
        ConfigError: it cannot be read, or lacks a wanted column.
    """

    def __init__(self, path: Path, *, wanted: list[str], tell: Tell) -> None:
        self.path = path
        self.tell = tell
        described = self._ask(f"DESCRIBE SELECT * FROM {self._source()}").fetchall()  # noqa: S608  # quoted
        self.header = [str(name) for name, *_ in described]
        dialects.require(self.header, wanted, path=path)
        self._types = {str(name): str(type_) for name, type_, *_ in described}
        self.kinds = {name: _kind(type_) for name, type_ in self._types.items()}
        """integer, number, truth, text; or other: neither a number nor a word."""

    def _source(self) -> str:
        return "read_parquet('{}')".format(str(self.path).replace("'", "''"))

    def _ask(self, query: str) -> Any:
        import duckdb  # noqa: PLC0415  # a tenth of a second, which only who reads Parquet should wait

        # Kept for rows(): DuckDB raises on damaged pages only when they are fetched.
        self._errors = duckdb.Error
        try:
            # One thread: rows come in the file's order as they are read, and nothing is gathered.
            # Without auto-installation, since DuckDB would fetch an extension from the network by itself.
            connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
            connection.execute("SET enable_progress_bar = false")
            return connection.execute(query)
        except duckdb.Error as error:
            raise ConfigError(f"{self.path}: cannot be read: {str(error).splitlines()[0]}") from error

    def what(self, name: str) -> str:
        """The column's type, as Parquet's readers call it."""
        return self._types[name].lower()

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows, from the first."""
        columns = ", ".join(self._selected(name) for name in self.header)
        answer = self._ask(f"SELECT {columns} FROM {self._source()}")  # noqa: S608  # names are quoted
        try:
            while rows := answer.fetchmany(ROWS_AT_A_TIME):
                yield from rows
        except self._errors as error:
            raise ConfigError(f"{self.path}: cannot be read: {str(error).splitlines()[0]}") from error

    def _selected(self, name: str) -> str:
        """How a column is asked for: as JSON has it."""
        quoted = '"{}"'.format(name.replace('"', '""'))
        if self._types[name] in _TIMES:
            # By way of microseconds: one expression for dates and for times of any unit, with a zone and without.
            return f"strftime(make_timestamp(epoch_us({quoted})), '%Y-%m-%d %H:%M:%S.%fZ')"
        return {
            "integer": quoted,
            "truth": quoted,
            "number": f"{quoted}::DOUBLE",
            "text": f"{quoted}::VARCHAR",
            "other": "NULL",
        }[self.kinds[name]]


def _kind(type_: str) -> str:
    if type_ in _INTEGERS:
        return "integer"
    if type_ in _NUMBERS or type_.startswith("DECIMAL"):
        return "number"
    if type_ == "BOOLEAN":
        return "truth"
    return "text" if type_ in _WORDS | _TIMES or type_.startswith("ENUM") else "other"

"""How a text file writes a table: its encoding, its separator, where its header stands, what comes behind its rows."""

import codecs
import csv
import gzip
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from anabranch.errors import ConfigError, did_you_mean
from evaluation.tables.columns import Tell

# ── Which bytes a file of text holds: compressed or not, and in which encoding ──────────────────────────────────────

SCANNED_MAX_BYTES = 256 * 2**20
"""So far a file is looked through for bytes that are not UTF-8, before its first row is read."""

_BOMS = {
    # Those of UTF-32 come first, since the little-endian one begins with that of UTF-16.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PACKED = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (.xlsx): save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls): save it as CSV",
    b"BZh": "packed by bzip2: unpack it, or pack it by gzip",
    b"\xfd7zXZ": "packed by xz: unpack it, or pack it by gzip",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it, or pack it by gzip",
    b"PAR1": "Parquet: call it .parquet",
    b"ARROW1": "Arrow: write it as Parquet",
}


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if it is packed by gzip, whatever its name says.

    Raises:
        ConfigError: it is something else.
    """
    with path.open("rb") as file:
        begin = file.read(8)
    for magic, what in _PACKED.items():
        if begin.startswith(magic):
            raise ConfigError(f"{path}: it is {what}")
    return gzip.open(path) if begin.startswith(b"\x1f\x8b") else path.open("rb")  # type: ignore[return-value]  # alike


def encoding_of(path: Path) -> str:
    """What the bytes are: by their mark, or UTF-8, or else what Windows writes in the West.

    Raises:
        ConfigError: they are none of these.
    """
    with opened(path) as file:
        begin = file.read(4096)
    for mark, encoding in _BOMS.items():
        if begin.startswith(mark):
            return encoding
    if b"\0" in begin:
        return _unmarked_16(path, begin)
    return _eight_bit(path)


def _unmarked_16(path: Path, begin: bytes) -> str:
    """ASCII in UTF-16 has a zero in every other byte."""
    odd, even = begin[1::2].count(0), begin[::2].count(0)
    if max(odd, even) > 0.4 * len(begin) > 0 and min(odd, even) == 0:
        return "utf-16-le" if odd else "utf-16-be"
    raise ConfigError(f"{path}: it is no text: a zero byte at {begin.index(0)}; save it as CSV in UTF-8")


def _eight_bit(path: Path) -> str:
    # An incremental one, since a block may end within a character.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for block in _blocks(path):
            decoder.decode(block)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _blocks(path: Path) -> Iterator[bytes]:
    read = 0
    with opened(path) as file:
        while read < SCANNED_MAX_BYTES and (block := file.read(2**20)):
            read += len(block)
            yield block


# ── The table in a text ─────────────────────────────────────────────────────────────────────────────────────────────

LABEL = "target"
"""The label's column, where no other is named."""

HEADER_LINES_MAX = 20
"""So far from the first line a header is looked for."""
FOOTER_ROWS_MAX = 5

SEPARATORS = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'"}
_TOTAL = re.compile(r"(grand |sub)?(total|sum|summe|gesamt|insgesamt|average|mean|count|rows?|end of)\b", re.IGNORECASE)


class TextTable:
    """A CSV and its relatives: header, and rows of strings as long as the header.

    Args:
        wanted: columns that must be there; they tell the header and the separator.
        tell: what was decided that is not plain CSV in UTF-8.

    Raises:
        ConfigError: there is no header with the wanted columns.
    """

    def __init__(self, path: Path, *, wanted: Sequence[str], encoding: str | None, tell: Tell) -> None:
        self.path = path
        self.tell = tell
        self.encoding = encoding or encoding_of(path)
        self.lines_before = 0
        self.separator = ","
        self.header = self._header(wanted)
        self._say(encoding)

    def what(self, name: str) -> str:
        """What the file says of a column's type."""
        return f"{name}: text"

    def _header(self, wanted: Sequence[str]) -> list[str]:
        with self._text() as text:
            # Some more than are looked at: a name in quotes may run over several lines.
            lines = list(itertools.islice(text, HEADER_LINES_MAX + 30))
        # A first line of Excel's own, which names the separator.
        if lines and (named := re.fullmatch(r"[\"']?sep=(.)[\"']?\s*", lines[0], re.IGNORECASE)):
            separators, start = [named[1]], 1
        else:
            separators, start = [*SEPARATORS], 0
        if not wanted and lines[start:]:
            # No name tells the separator: it is the one that makes the most of the first line.
            separators = [max(separators, key=lambda each: len(self._cells(lines[start:], each)))]
        for number, separator in itertools.product(range(start, min(len(lines), HEADER_LINES_MAX)), separators):
            header = self._cells(lines[number:], separator)
            if set(wanted) <= set(header):
                self.separator, self.lines_before = separator, number
                return header
        self._refuse(lines[start:], wanted)
        return []

    def _cells(self, lines: Sequence[str], separator: str) -> list[str]:
        """The names in a header, which a # may lead in; those that separators at its end leave out are none."""
        cells = next(csv.reader([lines[0].lstrip("#"), *lines[1:]], **_how(separator)), [])
        names = [cell.strip() for cell in cells]
        while len(names) > 1 and names[-1] == "":
            names.pop()
        return names

    def _refuse(self, lines: Sequence[str], wanted: Sequence[str]) -> None:
        """No header: say what stands there instead, by the separator that makes the most of it."""
        first = [line for line in lines if line.strip()]
        if not first:
            raise ConfigError(f"{self.path}: it is empty; the first row must name the columns")
        header = max((self._cells(first, separator) for separator in SEPARATORS), key=len)
        for name in wanted:
            if name not in header:
                raise _lacks(name, header, path=self.path)
        raise ConfigError(f"{self.path}: no header with {_listed(wanted)} in its first {HEADER_LINES_MAX} lines")

    def _say(self, asked: str | None) -> None:
        parts = (
            [f"separated by {SEPARATORS.get(self.separator, repr(self.separator))}"] if self.separator != "," else []
        )
        if asked is None and self.encoding not in ("utf-8", "utf-8-sig"):
            parts.append(f"read as {self.encoding}")
        if self.lines_before:
            lines = "line 1" if self.lines_before == 1 else f"lines 1 to {self.lines_before}"
            parts.append(f"the header stands in line {self.lines_before + 1}, {lines} passed over")
        if parts:
            self.tell(f"{self.path.name}: {', '.join(parts)}")

    def _text(self) -> io.TextIOWrapper:
        try:
            # The csv module splits lines itself, since a cell in quotes may hold line ends.
            return io.TextIOWrapper(opened(self.path), self.encoding, newline="")
        except LookupError:
            raise ConfigError(
                f"{self.path}: no encoding is called {self.encoding!r}; usual ones: utf-8, cp1252, utf-16"
            ) from None

    def rows(self) -> Iterator[list[str]]:
        """The rows behind the header, each as long as it; what is no row at the end is passed over and told."""
        with self._text() as text:
            for _ in range(self.lines_before):
                # As lines and not as rows: a single quote in a preamble would swallow the header and what follows.
                next(text)
            table = csv.reader(text, **_how(self.separator))
            next(table)
            yield from self._whole(row for row in table if any(row))

    def _whole(self, table: Iterable[list[str]]) -> Iterator[list[str]]:
        """Rows of the right length; one row is held back, since the last may be none."""
        length, first = len(self.header), self.header[0]
        number, held, odd = -1, None, list[tuple[int, list[str]]]()
        for row in table:
            # Files that were put together by `cat` bring their header along each time.
            if row[0] == first and [cell.strip() for cell in row] == self.header:
                self.tell(f"{self.path.name}: the header stands once more behind row {number}: passed over")
                continue
            number += 1
            if len(row) != length:
                row = self._trimmed(row)  # noqa: PLW2901
                if len(row) != length:
                    odd.append((number, row))
                    if len(odd) > FOOTER_ROWS_MAX:
                        self._ragged(*odd[0])
                    continue
            # A row of another length is forgiven at the very end only, and here comes a whole one after it.
            if odd:
                self._ragged(*odd[0])
            if held is not None:
                yield held
            held = row
        if held is not None and not self._is_footer(held, number - len(odd), first=number == len(odd)):
            yield held
        for place, row in odd:
            if held is None or not _sums_up(row):
                self._ragged(place, row)
            self._pass_over(place, row)

    def _trimmed(self, row: list[str]) -> list[str]:
        """Without the empty cells that separators at a row's end make."""
        length = len(self.header)
        return row[:length] if len(row) > length and not any(row[length:]) else row

    def _is_footer(self, row: list[str], place: int, *, first: bool) -> bool:
        """A last row that sums up."""
        # A sum leaves cells empty. A row without an empty one is data, whatever its first word may be.
        footer = not first and "" in row and _sums_up(row)
        if footer:
            self._pass_over(place, row)
        return footer

    def _pass_over(self, place: int, row: list[str]) -> None:
        shown = self.separator.join(row)[:60]
        self.tell(
            f"{self.path.name}: row {place:,}, the last, is taken for no row of the table, and passed over: {shown!r}"
        )

    def _ragged(self, place: int, row: list[str]) -> None:
        shown = self.separator.join(row)[:80]
        hint = (
            "a quote that does not end?"
            if any("\n" in cell for cell in row)
            else (
                "cut off? complete the row or leave it out"
                if len(row) < len(self.header)
                else f"put a cell that holds {self.separator!r} in quotes, or mend the row"
            )
        )
        raise ConfigError(
            f"{self.path}: row {place} has {len(row)} cells, the header {len(self.header)}: {shown!r}; {hint}"
        )


def _sums_up(row: Sequence[str]) -> bool:
    """Whether a row at the end is a sentence, or a sum, and no row that was cut off."""
    filled = [cell.strip() for cell in row if cell.strip()]
    return bool(_TOTAL.match(filled[0])) or (len(filled) == 1 < len(filled[0].split()))


def check(header: Sequence[str], *, path: Path) -> None:
    """Refuse a header with two columns of one name."""
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice:
        raise ConfigError(f"{path}: two columns are called {twice[0]!r}; rename one")


def require(header: Sequence[str], wanted: Iterable[str], *, path: Path) -> None:
    """Refuse a header that lacks a column."""
    for name in wanted:
        if name not in header:
            raise _lacks(name, header, path=path)


def _how(separator: str) -> dict[str, Any]:
    return {"delimiter": separator, "skipinitialspace": separator != "\t"}


def _listed(header: Sequence[str]) -> str:
    more = f" and {len(header) - 30} more" if len(header) > 30 else ""
    return ", ".join(header[:30]) + more


def _lacks(name: str, header: Sequence[str], *, path: Path) -> ConfigError:
    hint = _hint(name, header)
    if name == LABEL:  # whoever has named another knows how
        hint = f"{hint} Name the label column by --target" if hint else "; name the label column by --target"
    return ConfigError(f"{path}: no column {name!r}; it has {_listed(header)}{hint}")


def _hint(name: str, header: Sequence[str]) -> str:
    folded = {each.casefold(): each for each in header}
    nearest = did_you_mean(name.casefold(), folded, cutoff=0.75, show="'{}'")
    return f"; {nearest}" if nearest else ""

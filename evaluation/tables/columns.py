"""What a column holds, decided on its first cells: whole numbers, numbers, truths or words; and its cells as values."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from evaluation.tables import numbers
from evaluation.tables.numbers import TRUTHS, Notation, is_missing, is_number, is_word_for_none

NEARLY_ALL = 0.75
"""Of a column's cells numbers, and the others look like mistakes."""

Tell = Callable[[str], None]
"""Says a sentence to a person."""


class Column:
    """One column of a table: what it was found to hold, and how its cells are read.

    Args:
        missing: further words that stand for no value.
        tell: what a person should know of it; may be called on any cell.
    """

    def __init__(self, name: str, *, missing: frozenset[str] = frozenset(), tell: Tell = lambda said: None) -> None:
        self.name = name
        self.missing = missing
        self.tell = tell
        self.kind = "empty"
        """integer, number, truth, string; or empty, as long as no value was seen."""
        self.notation = Notation()
        self.ambiguous = False
        self.odd = 0
        """Cells that are not of its kind."""
        self.first_odd: tuple[int, str] | None = None
        self.truths = TRUTHS

    def decide(self, cells: Sequence[str], *, row: int = 0) -> None:
        """Find out what the column holds; `row` is that of the first cell."""
        stripped = [cell.strip() for cell in cells]
        words = dict.fromkeys(cell for cell in stripped if not is_missing(cell, self.missing))
        # Where nothing else stands in the column, such words are its values.
        known = [cell for cell in words if not is_word_for_none(cell)] or list(words)
        if known:
            self.kind = self._kind(known)
            if self.kind == "string":
                self._look_for_mistakes(stripped, row)

    def _kind(self, known: Sequence[str]) -> str:
        if all(cell.lower() in self.truths for cell in known):
            return "truth"
        zeros = next((cell for cell in known if numbers.has_leading_zeros(cell)), None)
        if zeros is not None and all(map(str.isdigit, known)):
            self.tell(
                f"{self.name}: {zeros!r} has leading zeros, so its cells are names and no numbers: kept as strings"
            )
            return "string"
        if _all(numbers.integer, known):
            return "integer"
        if _all(numbers.number, known):
            return "number"
        notation, self.ambiguous = numbers.notation_of(known)
        if notation is None:
            return "string"
        self.read_as(notation, known)
        return "integer" if all(type(notation.read(cell)) is int for cell in known) else "number"

    def read_as(self, notation: Notation, known: Sequence[str]) -> None:
        """Take a notation, and say so."""
        self.notation = notation
        shown = next(cell for cell in known if not _all(numbers.number, [cell]))
        doubt = ""
        if self.ambiguous:
            doubt = f"; if the {'comma' if notation.point == '.' else 'point'} is a decimal one, write it as a point"
        self.tell(f"{self.name}: numbers such as {shown!r} are read as {notation.read(shown):,.12g}{doubt}")

    def _look_for_mistakes(self, stripped: Sequence[str], row: int) -> None:
        """Name the first cell that keeps a column from being one of numbers."""
        present = [
            (place, cell) for place, cell in enumerate(stripped, row) if not is_word_for_none(cell, self.missing)
        ]
        odd = [(place, cell) for place, cell in present if not is_number(cell)]
        if not present or len(odd) > (1 - NEARLY_ALL) * len(present):
            return
        if odd:
            self.odd, self.first_odd = len(odd), odd[0]
            share = f"{len(present) - len(odd):,} of {len(present):,} cells are numbers"
            place, cell = odd[0]
            self.tell(
                f"{self.name}: read as strings, though {share}; the first that is none: row {place}, {cell[:60]!r}. "
                f"If it stands for no value: --missing {cell[:60]!r}; without the column: --drop {self.name}"
            )
        else:
            self.tell(f"{self.name}: read as strings: its numbers are of several notations, such as {_two(present)}")

    def values(self, cells: Sequence[str], *, row: int) -> list[Any]:
        """The cells as values, None for a missing one.

        A cell that is not of its column's kind stays a string, for the guard to refuse.
        """
        # Decided on its first value, however late it comes: an empty sample would make it a column of strings for good.
        if self.kind == "empty":
            self._decide_late(cells, row)
        if self.kind == "string":
            # Among words only an empty cell stands for none: NA may be Namibia.
            return [cell.strip() or None for cell in cells] if not self.missing else [*map(self._word, cells)]
        if self.kind != "truth" and self.notation.point == "." and (plain := self._plain(cells)) is not None:
            return plain
        return [self._value(cell, place) for place, cell in enumerate(cells, row)]

    def peek(self, cells: Sequence[Any]) -> list[Any]:
        """The first cells as values, without a word about them."""
        if self.kind != "string":
            return self.values(cells, row=0)
        return [None if is_missing(cell.strip(), self.missing) else cell for cell in cells]

    def _decide_late(self, cells: Sequence[str], row: int) -> None:
        self.decide(cells, row=row)
        if self.kind != "empty" and row:
            self.tell(f"{self.name}: no value up to row {row:,}; from there on it is read as {PLURALS[self.kind]}")

    def _plain(self, cells: Sequence[str]) -> list[Any] | None:
        """The usual case, at the speed of C; None if a cell needs a closer look."""
        read: Any = int if self.kind == "integer" else float
        try:
            plain = list(map(read, cells))
        except ValueError:
            return None
        if read is int:
            # Events are JSON by orjson, whose integers end at 64 bits; a long card number then stays a string.
            if max(plain) >= 2**63 or min(plain) < -(2**63):
                return None
        # A single NaN or infinity shows in the sum. So may a sum of large numbers, which are then looked at one by one.
        elif not math.isfinite(sum(plain)):
            return None
        # int() and float() read 1_000, which is Python's spelling and no table's.
        return None if "_" in "".join(cells) else plain

    def _word(self, cell: str) -> str | None:
        cell = cell.strip()
        return None if cell == "" or cell in self.missing else cell

    def _value(self, cell: str, row: int) -> Any:
        stripped = cell.strip()
        if is_word_for_none(stripped, self.missing):
            return None
        value = self.truths.get(stripped.lower()) if self.kind == "truth" else self._number(stripped)
        if value is None:
            self._is_odd(stripped, row)
            return stripped
        return value

    def _number(self, cell: str) -> int | float | None:
        if self.notation.point == ".":
            for read in (numbers.integer, numbers.number) if self.kind == "integer" else (numbers.number,):
                try:
                    return read(cell)
                except ValueError:
                    continue
        value = self.notation.read(cell)
        return float(value) if self.kind == "number" and value is not None else value

    def _is_odd(self, cell: str, row: int) -> None:
        self.odd += 1
        if self.first_odd is None:
            self.first_odd = (row, cell)
            self.tell(
                f"{self.name}: row {row} holds {cell[:60]!r} in a column of {PLURALS[self.kind]}: refused. "
                f"If it stands for no value: --missing {cell[:60]!r}"
            )


PLURALS = {"integer": "whole numbers", "number": "numbers", "truth": "truths", "string": "strings", "empty": "nothing"}


def _all(read: Callable[[str], Any], cells: Iterable[str]) -> bool:
    try:
        for cell in cells:
            read(cell)
    except ValueError:
        return False
    return True


def _two(present: Sequence[tuple[int, str]]) -> str:
    """Two cells that differ in how they are written."""
    units = {form.unit: cell for _, cell in reversed(present) if (form := numbers.form_of(cell))}
    if len(units) > 1:
        return " and ".join(map(repr, list(units.values())[:2]))
    odd = [cell for _, cell in present if Notation(".", next(iter(units), "")).read(cell) is None]
    return " and ".join(map(repr, dict.fromkeys([present[0][1], *odd[:1]])))


class TypedColumn(Column):
    """A column whose file says what it holds: numbers or truths, as they are."""

    def __init__(self, name: str, kind: str, *, tell: Tell = lambda said: None) -> None:
        super().__init__(name, tell=tell)
        self.kind = kind

    def decide(self, cells: Sequence[Any], *, row: int = 0) -> None:
        """It is decided."""

    def values(self, cells: Sequence[Any], *, row: int) -> list[Any]:
        """The cells, None for NaN; what is infinite is for the guard to refuse."""
        if self.kind != "number":
            return list(cells)
        return [
            cell if cell is None or math.isfinite(cell) else self._not_finite(cell, row + n)
            for n, cell in enumerate(cells)
        ]

    def _not_finite(self, cell: float, row: int) -> str | None:
        if math.isnan(cell):
            return None
        self._is_odd(str(cell), row)
        return str(cell)

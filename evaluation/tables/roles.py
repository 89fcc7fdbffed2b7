"""Which columns are no features (ids, times, row numbers), and how the label's column is read."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from evaluation.tables.columns import Column, Tell
from evaluation.tables.numbers import TRUTHS, is_missing
from evaluation.tables.times import looks_like_times

NAMED_ROWS_MIN = 20
"""Fewer values say nothing of a column whose name is an id's."""
ROWS_MIN = 100
"""Fewer values say nothing of any."""
LOOKED_AT = 200

_ID = re.compile(r"(.*[\W_])?(id|ids|uuid|guid|key|hash|no|nr|num|number|rowid|idx|index)", re.IGNORECASE).fullmatch
_CAMEL_ID = re.compile(r".*[a-z](Id|ID|Uuid|UUID|Key|No|Nr)").fullmatch
_TIME = re.compile(
    r"(.*[\W_])?(ts|time|times|timestamp|date|datetime|day|when|moment|at|epoch|created|updated)([\W_].*)?|.*[a-z](Time|Date|At|Ts)",
    re.IGNORECASE,
).fullmatch
_ROW = re.compile(r"|unnamed: 0|index|row|rowid|row_?num(ber)?|#|no|nr", re.IGNORECASE).fullmatch
_EPOCHS = [(1e9 * unit, 2.6e9 * unit) for unit in (1, 1e3, 1e6, 1e9)]
"""2001 to 2052."""


def looks_like(name: str, kind: str, values: Sequence[Any]) -> str:
    """What a column looks like that is no feature, for people; nothing if it may be one.

    Args:
        kind: integer, number, truth or string.
        values: its first ones.
    """
    present = [value for value in values if value is not None]
    if kind == "string":
        return _words(name, present)
    if kind == "integer":
        return _integers(name, present)
    return ""


def _words(name: str, present: Sequence[str]) -> str:
    distinct, rows = len(set(present)), len(present)
    many = f"{distinct:,} different strings in {rows:,} rows"
    if present and looks_like_times(present[:LOOKED_AT]):
        return f"{many}: a time?"
    named = is_id(name)
    if rows < (NAMED_ROWS_MIN if named else ROWS_MIN) or distinct < (0.95 if named else 0.98) * rows:
        return ""
    if not named and _is_text(present):
        return ""
    return f"{many}: {'a time? an id?' if not named else 'an id?'}"


def _is_text(present: Sequence[str]) -> bool:
    """Several words a cell: something to read, for a model that can."""
    looked_at = present[:LOOKED_AT]
    return sum(len(value.split()) > 2 for value in looked_at) > len(looked_at) / 2


def _integers(name: str, present: Sequence[int]) -> str:
    rows, distinct = len(present), len(set(present))
    if rows < NAMED_ROWS_MIN:
        return ""
    if _ROW(name) and all(after - before == 1 for before, after in pairwise(present)):
        return "whole numbers that count the rows."
    rising = _in_order(present)
    if _is_epoch(present) and (_TIME(name) or (rising and distinct >= 0.9 * rows)):
        return f"whole numbers from {present[0]} on: epoch seconds, or parts of them?"
    if is_id(name) and distinct >= 0.98 * rows and (rising or _in_order(present[::-1])):
        return f"{distinct:,} different whole numbers in {rows:,} rows, in order: an id?"
    return ""


def _in_order(numbers: Sequence[int]) -> bool:
    """Whether the numbers rise on the whole: each twentieth of them is larger than the one before."""
    length = max(1, len(numbers) // 20)
    means = [sum(numbers[at : at + length]) for at in range(0, length * (len(numbers) // length), length)]
    return all(before < after for before, after in pairwise(means))


def _is_epoch(present: Sequence[int]) -> bool:
    return any(low <= min(present) and max(present) <= high for low, high in _EPOCHS)


def is_id(name: str) -> bool:
    """Whether a column is called as ids are."""
    return bool(_ID(name) or _CAMEL_ID(name))


# ── The label's column: a number or a truth, or the words of its classes ────────────────────────────────────────────

_ANSWERS = {
    **TRUTHS,
    **dict.fromkeys(("yes", "y", "t", "ja", "j", "oui", "si", "sí", "sim", "on"), True),
    **dict.fromkeys(("no", "n", "f", "nein", "non", "não", "off"), False),
}


class LabelColumn(Column):
    """As any column, but that a label need not be there, and that the configuration may say what it is.

    Args:
        positive: the positive class; numbers and truths are then read as they are written, if one is written so.
        truths: the label is true or false; yes and no are taken for it.
    """

    def __init__(self, name: str, *, positive: str | None, truths: bool, missing: frozenset[str], tell: Tell) -> None:
        super().__init__(name, missing=missing, tell=tell)
        self.positive = positive
        self.truths = _ANSWERS if truths else TRUTHS
        self.without = 0
        """Rows without a label so far."""

    def decide(self, cells: Sequence[str], *, row: int = 0) -> None:
        """As any column; then by what the configuration says."""
        super().decide(cells, row=row)
        words = {cell.strip() for cell in cells}
        if self.kind == "truth" and not {word.lower() for word in words} & set(TRUTHS):
            shown = ", ".join(repr(word) for word in sorted(words) if not is_missing(word, self.missing))
            self.tell(f"{self.name}: the labels {shown} are read as true and false")
        # `positive` is a string, and is compared with the label as it is written.
        if self.positive is not None and self.kind in ("integer", "number", "truth") and self.positive in words:
            self.kind = "string"
        if self.kind == "string":
            self._words_for_none(words)

    def _words_for_none(self, words: set[str]) -> None:
        """Beside a positive class, a word that usually means nothing is no second class."""
        tokens = {word for word in words if word and is_missing(word)} - {self.positive}
        if not tokens:
            return
        shown = ", ".join(map(repr, sorted(tokens)))
        if self.positive is not None and len(words - tokens - {""}) == 2:
            self.missing |= tokens
        else:
            self.tell(
                f"{self.name}: {shown} is taken for a class; if it means that there is no label: --missing {shown}"
            )

    def values(self, cells: Sequence[str], *, row: int) -> list[Any]:
        """As of any column; whole numbers stay whole, since a class is no fraction."""
        values = super().values(cells, row=row)
        if self.kind == "number":
            values = [
                # Beyond 2^53 a fraction cannot be told from a whole number.
                int(each) if isinstance(each, float) and each.is_integer() and abs(each) < 2**53 else each
                for each in values
            ]
        without = values.count(None)
        if without and not self.without:
            first = values.index(None)
            self.tell(
                f"{self.name}: rows without a label, the first is row {row + first} ({cells[first].strip()!r}): "
                "predicted, not learned"
            )
        self.without += without
        return values

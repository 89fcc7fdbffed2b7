"""The label's column: a number or a truth, or the words of its classes."""

from collections.abc import Sequence
from typing import Any

from evaluation.tables.columns import Column, Tell
from evaluation.tables.numbers import TRUTHS, is_missing

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

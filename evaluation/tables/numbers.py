"""Numbers as people and programs write them: 1,234.5 and 1.234,5, $ 5, 5 %, (5), 5-, and what stands for none."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_TOKENS = """
na n/a n.a. #n/a #na <na> n/d n.d. k.a. n.v. null (null) [null] <null> none nil nan -nan +nan nat \\n ? ?? . .. … -
-- --- – — # * (empty) (blank) <empty> #value! #ref! #div/0! #num! #name? #null! 1.#ind -1.#ind 1.#qnan -1.#qnan
#nv #wert! #bezug! #zahl!
"""
MISSING = frozenset(_TOKENS.split()) | {"", "#n/a n/a"}
"""What programs and people write where there is no value, in lower case; spreadsheets' errors too."""

WORDS_FOR_NONE = MISSING | {"missing", "unknown", "undefined", "empty", "blank", "unbekannt"}
WORDS_FOR_NONE |= {"not available", "not applicable", "no data"}
"""In a column of numbers or truths these stand for no value as well; elsewhere they may be a value like others."""

TRUTHS = {
    **dict.fromkeys(("true", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar"), True),
    **dict.fromkeys(("false", "falsch", "faux", "falso", "onwaar"), False),
}
"""True and false as spreadsheets write them, each in its language."""

_CURRENCY = (
    r"[$€£¥₹₽₩₺₴₪₫฿¢₱₦]|(?:US|R|A|C|NZ|HK|S)\$|kr\.?|zł|Kč|Ft|Rs\.?|CHF|EUR|USD|GBP|JPY|CNY|SEK|NOK|DKK|PLN|CZK|HUF|INR"
    r"|BRL|CAD|AUD|NZD|MXN|ZAR|TRY|SGD|HKD|KRW|ILS|RON"
)
_FORM = re.compile(
    rf"""(?P<open>\()?\s*(?P<sign>[+\-−])?\s*(?P<before>{_CURRENCY})?\s*(?P<inner>[+\-−])?\s*
    (?P<digits>[0-9.,][0-9.,'’\s]*?)(?P<exponent>[eE][+\-−]?[0-9]+)?\s*
    (?P<after>{_CURRENCY}|%|[A-Za-zµ°²³/]{{1,8}})?\s*(?P<trailing>[\-−])?\s*(?P<close>\))?""",
    re.VERBOSE,
).fullmatch

# A first group never begins with 0: 0.123 is a fraction, whatever its point may be.
_GROUPED = r"(?:[0-9]+|[1-9][0-9]{0,2}(?P<group>[%s'’\s])(?:[0-9]{%s}(?P=group))*[0-9]{3})"
_DIGITS = {
    point: re.compile(rf"(?:{_GROUPED % group}(?:{re.escape(point)}[0-9]*)?|{re.escape(point)}[0-9]+)").fullmatch
    for point, group in ((".", (",", "2,3")), (",", (".", "3")))  # 12,34,567.00 is how India groups
}
_NOT_DIGITS = {point: re.compile(rf"[^0-9{re.escape(point)}]") for point in ".,"}
_LEADING_ZEROS = re.compile(r"[+-]?0[0-9]+").fullmatch


class Form(NamedTuple):
    """A number taken apart."""

    digits: str
    exponent: str
    negative: bool
    unit: str
    """The currency, %, what was measured, or nothing."""


class Notation(NamedTuple):
    """How a column writes its numbers."""

    point: str = "."
    unit: str = ""

    def read(self, cell: str) -> int | float | None:
        """The number; None if it is none in this notation.

        >>> Notation(",").read("1.234,5"), Notation(".", "$").read("($1,234)"), Notation().read("1.2.3")
        (1234.5, -1234, None)
        """
        form = form_of(cell)
        if form is None or not _fits(form, self.unit) or not _DIGITS[self.point](form.digits):
            return None
        digits = _NOT_DIGITS[self.point].sub("", form.digits).replace(self.point, ".")
        # A number of more digits may not fit into 64 bits.
        whole = "." not in digits and not form.exponent and len(digits) <= 18
        number = int(digits) if whole else float(digits + form.exponent.replace("−", "-"))
        return None if math.isinf(number) else -number if form.negative else number


_is_currency = re.compile(_CURRENCY).fullmatch


def _fits(form: Form, unit: str) -> bool:
    """Zero needs no unit, and an amount may leave its currency out; 5 and 5 % are two things."""
    return form.unit == unit or (not form.unit and bool(_is_currency(unit) or not form.digits.strip("0.,")))


def is_number(cell: str) -> bool:
    """Whether a cell is a number in some notation, with a currency or % perhaps, but no other unit."""
    form = form_of(cell)
    if form is None or (form.unit not in ("", "%") and not _is_currency(form.unit)):
        return False
    return any(Notation(point, form.unit).read(cell) is not None for point in ".,")


def form_of(cell: str) -> Form | None:
    """A cell taken apart; None if it is no number in any notation."""
    found = _FORM(cell)
    if found is None:
        return None
    open_, sign, before, inner, digits, exponent, after, trailing, close = found.groups()
    signs = [each for each in (sign, inner, trailing, open_) if each]
    if bool(open_) != bool(close) or len(signs) > 1 or (before and after) or not any(map(str.isdigit, digits)):
        return None
    negative = bool(signs) and signs[0] != "+"
    return Form(digits.strip(), exponent or "", negative, before or after or "")


class Reading(NamedTuple):
    """What was found of a column's numbers."""

    notation: Notation | None
    """None: no notation reads them all."""
    ambiguous: bool = False
    """Both notations do, and they mean different numbers."""


def notation_of(cells: Iterable[str]) -> Reading:
    """The notation that reads all of the cells.

    >>> notation_of(["0,5", "1.234,56"])
    Reading(notation=Notation(point=',', unit=''), ambiguous=False)
    >>> notation_of(["1,234", "5,678"])
    Reading(notation=Notation(point='.', unit=''), ambiguous=True)
    >>> notation_of(["$5", "€5"])
    Reading(notation=None, ambiguous=False)
    """
    known = list(dict.fromkeys(cells))
    forms = [form_of(cell) for cell in known]
    units = Counter(form.unit for form in forms if form is not None and form.unit)
    if not known or None in forms or len(units) > 1:
        return Reading(None)
    unit = next(iter(units), "")
    fitting = [
        notation
        for notation in (Notation(".", unit), Notation(",", unit))
        if all(notation.read(cell) is not None for cell in known)
    ]
    if not fitting:
        return Reading(None)
    # Where both notations give the same numbers there is nothing to doubt.
    ambiguous = len(fitting) == 2 and any(fitting[0].read(cell) != fitting[1].read(cell) for cell in known)
    return Reading(fitting[0], ambiguous)


def is_missing(cell: str, more: Sequence[str] | frozenset[str] = ()) -> bool:
    """Whether a cell without its outer blanks says that there is no value."""
    return cell.lower() in MISSING or cell in more


def is_word_for_none(cell: str, more: Sequence[str] | frozenset[str] = ()) -> bool:
    """The same in a column of numbers or truths."""
    return cell.lower() in WORDS_FOR_NONE or cell in more


def has_leading_zeros(cell: str) -> bool:
    """Digits that a number would lose: 007 is a name."""
    return bool(_LEADING_ZEROS(cell))


def integer(cell: str) -> int:
    """An integer that fits JSON's 64 bits; Python would take any length, and underscores between the digits."""
    number = int(cell)
    if "_" in cell or not -(2**63) <= number < 2**63:
        raise ValueError(cell)
    return number


def number(cell: str) -> float:
    """A finite number as Python writes it."""
    value = float(cell)
    if "_" in cell or not math.isfinite(value):
        raise ValueError(cell)
    return value

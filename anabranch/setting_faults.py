"""What pydantic finds wrong in a configuration, in plain words.

>>> from anabranch.settings import Arena
>>> from pydantic import ValidationError
>>> try:
...     Arena.model_validate({"loss": "bier", "min_gain": 3})
... except ValidationError as error:
...     for place, said in in_words(error.errors()):
...         print(".".join(place), said)
loss is to be 'zero-one', 'brier', 'log', 'absolute' or 'squared', not 'bier'
min_gain is to be less than 1, not 3
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

Place = tuple[str, ...]
"""The keys from the top of the file down to a value."""

_WANTED = {
    "literal_error": "{expected}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "finite_number": "a finite number",
    "string_pattern_mismatch": "letters (the model's: lower-case), digits, '.', '_' and '-', a letter or digit first",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("string_type",), "a string"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a table"),
}

_ALTERNATIVE = re.compile(r"literal\[.*|dict\[.*|tuple\[.*|str|int|float|bool|[A-Z][a-z]+[A-Z][A-Za-z]*")
"""The parts of a place that are no keys: pydantic names there which of several kinds of value it has tried."""

UNSHOWN = "kafka"
"""Of this section no value is shown: it may be a password."""


def place_of(fault: Any) -> Place:
    """Where a fault is."""
    parts = [str(part) for part in fault["loc"]]
    return tuple(part for n, part in enumerate(parts) if n == 0 or not _ALTERNATIVE.fullmatch(part))


def in_words(faults: Iterable[Any]) -> Iterator[tuple[Place, str]]:
    """Each place with what is wrong there; where a value may be one of several kinds, all are named in one."""
    by_place: dict[Place, list[Any]] = {}
    for fault in faults:
        by_place.setdefault(place_of(fault), []).append(fault)
    for place, several in by_place.items():
        yield place, _said(place, several)


def _said(place: Place, several: list[Any]) -> str:
    first = several[0]
    if first["type"] == "missing":
        return "is missing"
    wanted = [_WANTED[each["type"]].format(**each.get("ctx", {})) for each in several if each["type"] in _WANTED]
    if len(wanted) < len(several):
        said: str = first["msg"].removeprefix("Value error, ")
        return said
    return f"is to be {' or '.join(dict.fromkeys(wanted))}{_but_is(place, first['input'])}"


def _but_is(place: Place, value: Any) -> str:
    if place[:1] == (UNSHOWN,) or not isinstance(value, str | int | float) or len(str(value)) > 60:
        return ""
    return f", not {str(value).lower() if isinstance(value, bool) else repr(value)}"

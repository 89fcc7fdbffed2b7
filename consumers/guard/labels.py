"""Labels: how each task reads them, and which cannot stand beside those before."""

import copy
from collections.abc import Callable
from typing import Any

import orjson
from river import base

from anabranch.values import KINDS, NUMBER_MAX
from config.settings import Settings
from learners.models.fence import is_fault

_WHOLE_MAX = 2.0**53
"""Beyond it, a fraction cannot be told from a whole number."""


def reader(settings: Settings) -> Callable[[Any], Any]:
    """How the task reads a label."""
    if settings.numeric:
        return _number
    if settings.task == "multiclass":
        return _category
    positive = settings.positive
    return _truth if positive is None else lambda label: _is_positive(label, positive)


# ── Why a record may not reach the lane ─────────────────────────────────────────────────────────────────────────────


class Refused(Exception):
    """A record that may not reach the lane; caught by the guard itself."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


def named(value: object) -> str:
    """What kind of JSON a value is."""
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return "null" if value is None else names[type(value)]


class Labels:
    """The distinct labels so far, and the kind of JSON that the first one was.

    Models of several classes compare labels with each other, which Python refuses for a string and a number, and
    takes 1 and true for the same one.
    """

    def __init__(self, settings: Settings) -> None:
        self.positive = settings.positive
        self.labels_max = {"binary": 2, "multiclass": settings.guard.classes_max}.get(settings.task, 0)
        self.one_kind = settings.task == "multiclass"
        self.known: dict[Any, None] = {}
        self.kind = ""
        """Of the first label; empty before it."""

    def look(self, label: Any) -> None:
        """See that a label can stand beside those before.

        Raises:
            Refused: it cannot; nothing is remembered.
        """
        if self.one_kind and self.kind and KINDS[type(label)] != self.kind:
            raise self._of_another_kind(label)
        if self.labels_max and label not in self.known:
            self._new(label)

    def remember(self, label: Any) -> None:
        """The event was accepted."""
        if self.labels_max and label not in self.known:
            self.known[label] = None
            self.kind = self.kind or KINDS[type(label)]

    def expect(self, label: Any) -> None:
        """What a champion answers that has learned before: labels must be of its kind."""
        if self.one_kind:
            self.kind = KINDS.get(type(label), "")

    def _of_another_kind(self, label: Any) -> Refused:
        first = next(iter(self.known), None)
        before = f"the first was {_as_json(first)}" if self.known else "the first champion has learned such"
        return Refused(
            "label",
            f"label {_as_json(label)} is a {KINDS[type(label)]}; labels are {self.kind}s here ({before}): "
            "write all of them alike",
        )

    def _new(self, label: Any) -> None:
        known = ", ".join(repr(each)[:100] for each in list(self.known)[:5])
        if len(self.known) >= self.labels_max:
            hint = '; for several classes write task = "multiclass"' if self.labels_max == 2 else ""
            raise Refused("label", f"label {str(label)[:100]!r} is one too many beside {known}{hint}")
        if self.known and self.positive is not None and self.positive != label and self.positive not in self.known:
            raise Refused(
                "label",
                f"label {str(label)[:100]!r} cannot stand beside {known}: neither is `positive` = {self.positive!r} of "
                'the configuration; write it as the data do, or task = "multiclass" for several classes',
            )

    def state(self) -> list[Any]:
        """What a checkpoint keeps, besides `kind`."""
        return list(self.known)

    def restore(self, known: list[Any], *, kind: str) -> None:
        """Go on from a checkpoint."""
        self.known = dict.fromkeys(known)
        self.kind = kind or (KINDS[type(known[0])] if known else "")


def answer_of(model: base.Estimator) -> Any:
    """What a trained model answers to an event without features: of which kind its labels were. None if it cannot."""
    try:
        # Of a copy: some models of River change when they are asked about features that they do not know.
        return copy.deepcopy(model).predict_one({})  # type: ignore[attr-defined]  # what has none raises
    except BaseException as error:
        if not is_fault(error):
            raise
        return None


def too_large(what: str, number: float) -> Refused:
    """A number beyond the bound."""
    return Refused("limits", f"{what} is {number:g}; numbers up to ±{NUMBER_MAX:g} are taken")


def _as_json(label: Any) -> str:
    try:
        return orjson.dumps(label).decode()[:100]
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return named(label)


def _number(label: Any) -> float:
    if type(label) in (float, int):
        if not -NUMBER_MAX <= label <= NUMBER_MAX:
            raise too_large("label", label)
        return float(label)
    raise Refused("label", f"label is {named(label)}, not a number: {_as_json(label)}")


def _category(label: Any) -> Any:
    """A whole number is the same label with and without a fraction of 0, as it is the same number in JSON."""
    if type(label) in (str, int, bool):
        return label
    if type(label) is float and label.is_integer() and abs(label) < _WHOLE_MAX:
        return int(label)
    raise Refused("label", f"label is {named(label)}, not a string, an integer or a boolean")


def _truth(label: Any) -> bool:
    if label in (0, 1) and type(label) is not str:
        return bool(label)
    hint = 'for several classes write task = "multiclass"'
    if type(label) is str:
        hint = f"name the positive class with `positive` in the configuration; {hint}"
    else:
        hint += ', for numbers "regression"'
    raise Refused("label", f"label {str(label)[:100]!r} is not true, false, 0 or 1; {hint}")


def _is_positive(label: Any, positive: str) -> bool:
    if type(label) is str:
        return label == positive
    if label in (0, 1) and type(label) in (int, float, bool):
        raise Refused(
            "label",
            f"label is {named(label)}, not a string: {_as_json(label)}; leave `positive` = {positive!r} out of the "
            "configuration (1 and true are positive then), or write labels in quotes",
        )
    raise Refused("label", f"label is {named(label)}, not a string: {_as_json(label)}")

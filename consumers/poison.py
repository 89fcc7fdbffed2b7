"""Poison: events on which the champion raises. Each is left out, until too many come in a row and learning is frozen.

Frozen means that the process stops, loudly. What cannot be learned is then still in the log, before the committed
positions, and is learned once the cause is mended; followers keep the champion they have. A lane that went on without
learning would pass events by for good.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from anabranch.errors import LearnError, LearningFrozen
from anabranch.events import Record
from consumers.ports import Positions

Place = tuple[str, int, int]
"""A topic, a partition and an offset in it."""

PLACES_MAX = 1000

SAID_MAX = 200
"""Characters of what was raised that are remembered for the dead letter."""

NAMED_MAX = 10
"""Features that the message of a frozen learner names."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_OF_STRINGS = re.compile(r"\bstr\b|string|real number|sequence")
"""What Python, NumPy and River say of a string where they want a number."""


class Poison:
    """What is known of such events.

    Args:
        in_a_row_max: as many without a learned event between them, and learning is frozen.
    """

    def __init__(self, *, in_a_row_max: int) -> None:
        self.in_a_row_max = in_a_row_max
        self.places: dict[Place, str] = {}
        """Those that were found but not passed by yet, with what was raised on them: after a rewind the partitions may
        come in another order."""
        self.waiting: dict[str, str] = {}
        """Ids of events that would be learned with a default label or in a block, likewise: no record is passed by."""
        self.row: list[Place] = []
        self.learned = 0

    def __contains__(self, record: Record) -> bool:
        return (record.topic, record.partition, record.offset) in self.places

    def reason(self, record: Record) -> str:
        """Why the record is passed by, for its dead letter."""
        return f"the champion raises on it: {self.places[record.topic, record.partition, record.offset]}"

    def found(self, error: LearnError, *, kinds: Mapping[str, str]) -> None:
        """One more.

        Args:
            kinds: of the features, as the guard has seen them: "number", "string", "boolean".

        Raises:
            LearningFrozen: it is one too many.
        """
        # Something was learned in between, so it is not the model that can learn nothing any more.
        if error.learned != self.learned:
            self.row = []
        place = (error.topic, error.partition, error.offset)
        self.row = [*self.row, place]
        self.learned = error.learned
        said = _said(error.cause)
        if len(self.row) > 1:
            said += f" (event {len(self.row)} in a row: perhaps the model's state is to blame, and not the event)"
        if error.waiting:
            self.waiting = {**self.waiting, error.waiting: said}
        else:
            self.places = {**self.places, place: said}
        if len(self.row) >= self.in_a_row_max or len(self.places) > PLACES_MAX:
            raise LearningFrozen(_frozen(self.row, error, kinds)) from error.cause

    def forget(self, positions: Positions) -> None:
        """Those before these offsets are never read again."""
        self.places = {each: said for each, said in self.places.items() if each[2] >= positions.get(each[:2], 0)}  # type: ignore[call-overload]  # a Partition is a pair

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: also across a restart the next in a row is one too many."""
        # Sorted, since after a rewind they may be found in another order, and equal states must be equal bytes.
        return {
            "places": sorted(self.places.items()),
            "waiting": sorted(self.waiting.items()),
            "row": list(self.row),
            "learned": self.learned,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.places = {tuple(place): said for place, said in state["places"]}
        self.waiting = dict(state["waiting"])
        self.row, self.learned = [tuple(place) for place in state["row"]], state["learned"]


def _said(cause: BaseException) -> str:
    """What was raised: bounded, and the same in every process, since a checkpoint keeps it."""
    said = _ADDRESS.sub("0x…", f"{type(cause).__name__}: {cause}")
    return said if len(said) <= SAID_MAX else said[: SAID_MAX - 1] + "…"


def _frozen(row: list[Place], error: LearnError, kinds: Mapping[str, str]) -> str:
    return (
        f"learning is frozen: the champion raised on {len(row)} events in a row, at {_listed(row)}; on the last: "
        f"{_said(error.cause)}.{about_strings(error.cause, kinds)} So many in a row speak against the model, not the "
        f"events: its state may have broken on one of the {error.learned:,} that it learned before. Nothing from there "
        "on is lost, and followers keep the champion they have. If the model is to be mended, do so, and let "
        "`anabranch rebuild CONFIG` learn the log again with it: `learn` alone goes on with the model in the "
        "checkpoint. If the producers are, or to leave more events out, raise `guard.poison_max` and start again"
    )


def about_strings(cause: BaseException, kinds: Mapping[str, str]) -> str:
    """What is likely to be wrong, if the model raised on a string; else nothing.

    Args:
        kinds: of the features, as the guard has seen them.
    """
    strings = [name for name, kind in kinds.items() if kind == "string"]
    if not strings or not isinstance(cause, TypeError | ValueError) or not _OF_STRINGS.search(str(cause)):
        return ""
    more = f" and {len(strings) - NAMED_MAX} more" if len(strings) > NAMED_MAX else ""
    named = ", ".join(strings[:NAMED_MAX]) + more
    which = f"feature {named} is a string" if len(strings) == 1 else f"features {named} are strings"
    return f" The {which}: encode what the model cannot compute with, see 'Strings' in the README."


def _listed(row: Iterable[Place]) -> str:
    """Partitions with their offsets, for people."""
    offsets: dict[int, list[str]] = {}
    for _, partition, offset in row:
        offsets.setdefault(partition, []).append(str(offset))
    return "; ".join(f"partition {partition} offset {', '.join(each)}" for partition, each in sorted(offsets.items()))

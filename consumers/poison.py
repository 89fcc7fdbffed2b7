"""Poison: events on which the champion raises. Each is left out, until too many come in a row and learning is frozen.

Frozen means that the process stops, loudly. What cannot be learned is then still in the log, before the committed
positions, and is learned once the cause is mended; followers keep the champion they have. A lane that went on without
learning would pass events by for good.
"""

from collections.abc import Iterable
from typing import Any

from anabranch.errors import LearnError, LearningFrozen
from anabranch.ports import Positions, Record

Place = tuple[int, int]
"""A partition and an offset in it."""

PLACES_MAX = 1000


class Poison:
    """What is known of such events.

    Args:
        in_a_row_max: as many without a learned event between them, and learning is frozen.
    """

    def __init__(self, *, in_a_row_max: int) -> None:
        self.in_a_row_max = in_a_row_max
        self.places: set[Place] = set()
        """Those that were found but not passed by yet: after a rewind the partitions may come in another order."""
        self.row: list[Place] = []
        self.learned = 0

    def __contains__(self, record: Record) -> bool:
        return (record.partition, record.offset) in self.places

    def found(self, error: LearnError) -> None:
        """One more.

        Raises:
            LearningFrozen: it is one too many.
        """
        if error.learned != self.learned:
            self.row = []
        place = (error.partition, error.offset)
        self.row = [*self.row, place]
        self.learned = error.learned
        self.places = {*self.places, place}
        if len(self.row) >= self.in_a_row_max or len(self.places) > PLACES_MAX:
            raise LearningFrozen(_frozen(self.row, error)) from error.cause

    def forget(self, positions: Positions) -> None:
        """Those before the positions are never read again."""
        self.places = {each for each in self.places if each[1] >= positions.get(each[0], 0)}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: also across a restart the next in a row is one too many."""
        return {"places": sorted(self.places), "row": list(self.row), "learned": self.learned}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.places, self.row, self.learned = set(state["places"]), list(state["row"]), state["learned"]


def _frozen(row: list[Place], error: LearnError) -> str:
    return (
        f"learning is frozen: the champion raised on {len(row)} events in a row, at {_listed(row)}; on the last: "
        f"{type(error.cause).__name__}: {error.cause}. Nothing from there on is lost, and followers keep the champion "
        "they have. Mend the model or its producers and start again; or raise `guard.poison_max` to leave more out"
    )


def _listed(row: Iterable[Place]) -> str:
    """Partitions with their offsets, for people."""
    offsets: dict[int, list[str]] = {}
    for partition, offset in row:
        offsets.setdefault(partition, []).append(str(offset))
    return "; ".join(f"partition {partition} offset {', '.join(each)}" for partition, each in sorted(offsets.items()))

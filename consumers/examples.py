"""Examples: what was learned, each told as it goes; and those that count among all that were told.

A learner that was killed has told examples that its successor learns once more, perhaps in another order, since events
and labels come on different topics. Each says who tells it, so that of several with one number one counts.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import structlog

from anabranch.errors import LogTruncated
from anabranch.events import AcceptedEvent
from anabranch.messages import UnreadableMessage
from anabranch.order import read_example
from anabranch.scope import Scope
from anabranch.values import unboxed
from learners.emitted import Learned

log = structlog.get_logger()

Rank = tuple[int, int, float]
"""Epoch and checkpoint, which no two learners share; and when it began, since they did until lately."""


class ExampleWriter:
    """Makes the bytes of examples; as `anabranch.messages.Example`, and in a tenth of the time."""

    def __init__(self, model: str, scope: Scope) -> None:
        self.about: dict[str, Any] = {"model": model, "scope": str(scope)}
        self.key = scope.within(model, "/")
        self.partition = scope.number or 0

    def encoded(self, learned: Learned, *, epoch: int, checkpoint: int, began: float) -> bytes:
        """One example."""
        event = learned.event
        return orjson.dumps(
            {
                "number": learned.number,
                **self.about,
                "epoch": epoch,
                "checkpoint": checkpoint,
                "began": began,
                "id": event.id,
                "ts": event.ts,
                "features": event.x,
                "label": event.y,
                "label_ts": learned.label_ts,
                "ending": learned.ending,
                "corrects": learned.corrects,
            },
            default=unboxed,
        )


def counted(values: Iterable[bytes], *, model: str, scope: Scope, start: int, end: int) -> Iterator[AcceptedEvent]:
    """The examples `start` to `end` (excluded) of a model, in order, as events with their labels.

    What is none of all that lies on the topic is passed over, and said once.

    Raises:
        LogTruncated: some are not there.
    """
    best: dict[int, tuple[Rank, dict[str, Any]]] = {}
    for told in _read(values):
        number = told["number"]
        if not start <= number < end or (told["model"], told["scope"]) != (model, scope):
            continue
        rank = (told["epoch"], told["checkpoint"], told["began"])
        if number not in best or rank >= best[number][0]:
            best[number] = rank, told
    for number in range(start, end):
        if number not in best:
            raise LogTruncated(f"example {number} of {scope.within(model, '/')} is gone: retention took it")
        yield accepted(best[number][1])


def _read(values: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    unreadable, first = 0, ""
    for value in values:
        try:
            yield read_example(value)
        except UnreadableMessage as error:
            unreadable, first = unreadable + 1, first or str(error)
    if unreadable:
        log.warning("passed over", topic="examples", records=unreadable, first=first)


def accepted(told: dict[str, Any]) -> AcceptedEvent:
    """An example as the event that was learned; its place is its number."""
    return AcceptedEvent(told["id"], told["features"], told["label"], told["ts"], 0, told["number"])

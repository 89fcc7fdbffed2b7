"""Events that wait for their label, with the predictions that were made for them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from anabranch.ports import AcceptedEvent
from learners.tasks import Answer


class Waiting(NamedTuple):
    """An event, the answer that was served for it, and every member's own, by the member's name."""

    event: AcceptedEvent
    served: Answer
    answers: dict[str, Answer]


class Pending:
    """At most `pending_max` events; the oldest gives way."""

    def __init__(self, *, pending_max: int) -> None:
        self.pending_max = pending_max
        self.waiting: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def wait(self, event: AcceptedEvent, served: Answer, answers: dict[str, Answer]) -> None:
        """Keep what was predicted until the label comes."""
        self.waiting[event.id] = Waiting(event, served, answers)
        if len(self.waiting) > self.pending_max:
            del self.waiting[next(iter(self.waiting))]

    def take(self, event_id: str) -> Waiting | None:
        """What waits for this label; None if nothing does."""
        return self.waiting.pop(event_id, None)

    def state(self) -> list[Any]:
        """What a checkpoint keeps."""
        return [
            (tuple(event), tuple(served), {name: tuple(each) for name, each in answers.items()})
            for event, served, answers in self.waiting.values()
        ]

    def restore(self, state: Iterable[Any]) -> None:
        """Go on from a checkpoint."""
        self.waiting = {
            event[0]: Waiting(
                AcceptedEvent(*event), Answer(*served), {name: Answer(*each) for name, each in answers.items()}
            )
            for event, served, answers in state
        }

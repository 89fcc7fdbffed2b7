"""How learning by several workers looks to a person in a terminal: all models, and who has which partitions."""

from collections.abc import Mapping, Sequence
from typing import Any

from anabranch.scope import Scope
from commands.views.learn import View
from config.settings import Settings


class WorkersView(View):
    """Hears the reports of all workers, and where each of them stands."""

    def __init__(self, settings: Settings, **how: Any) -> None:
        super().__init__(settings, **how)
        self.standing: Mapping[int, Mapping[str, Sequence[int]]] = {}
        """By worker and scope: events learned, records taken."""
        self.shared = ""
        """Who has which partitions, as it was said last."""

    def stands(self, worker: int, models: Mapping[str, Sequence[int]]) -> None:
        """A worker says how far its models are; nothing, if it has none."""
        # In place of the one before: another thread may be looking at that.
        self.standing = {**self.standing, worker: models}

    def look(self) -> None:
        """Say who has which partitions when that has changed; and once that nothing comes, until something does."""
        if self.standing and (now := shared(self.standing)) != self.shared:
            self.shared = now
            self.say(now)
        super().look()

    def _at(self) -> int:
        return sum(taken for models in self.standing.values() for _, taken in models.values())

    def _state(self) -> str:
        if not any(self.standing.values()):
            return f"waiting for the partitions of {self.topic}"
        learned = sum(events for models in self.standing.values() for events, _ in models.values())
        return f"waiting for events on {self.topic}; {learned:,} learned so far; Ctrl-C ends it"


def shared(standing: Mapping[int, Mapping[str, Sequence[int]]]) -> str:
    """Who has which partitions, in a line.

    >>> shared({2: {"p3": (0, 0)}, 1: {"p10": (0, 0), "p2": (0, 0)}, 3: {}})
    'worker 1: partitions 2, 10  worker 2: partition 3  worker 3: none'
    """
    told = []
    for worker, models in sorted(standing.items()):
        numbers = sorted(Scope(each).number or 0 for each in models)
        word = "partition" if len(numbers) == 1 else "partitions"
        told.append(f"worker {worker}: " + (f"{word} {', '.join(map(str, numbers))}" if numbers else "none"))
    return "  ".join(told)

"""A schedule: everything that one simulated run leaves to chance, drawn from one seed; and the steps that came of it.

>>> schedule = Schedule(7, faults_max=3)
>>> schedule.faults_left <= 3
True
>>> schedule.note("p1", "commit", "crash before")
>>> print(schedule)
p1: commit: crash before
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

STEPS_TO_FAULT_MAX = 60
"""A process is spared for at most so many steps, as long as faults are left."""

CALM = (0, 0, 0, 1, 2, 3)

CRASH_BEFORE, CRASH_AFTER = "crash before", "crash after"


class Step(NamedTuple):
    """What a process did to the world, and what became of it; an empty fate is that it went well."""

    process: str
    what: str
    fate: str


class Schedule:
    """Draws fates, and notes steps.

    Args:
        faults_max: at most so many things go wrong, so that every run ends.
    """

    def __init__(self, seed: int, *, faults_max: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.faults_left = self.rng.randint(0, faults_max)
        self.calm = self.rng.choice(CALM)
        """So many models are published before anything goes wrong: the early ones would take all faults."""
        self.steps: list[Step] = []

    def steps_to_fault(self) -> int:
        """For how many steps a process is spared. Short spans are as likely as long ones: starts matter too."""
        return self.rng.randint(1, self.rng.randint(1, STEPS_TO_FAULT_MAX))

    def fate(self, faults: Sequence[str]) -> str:
        """What happens at a step whose time has come: a crash, or one of the step's own faults."""
        if not self.take_fault():
            return ""
        return self.rng.choice((CRASH_BEFORE, CRASH_AFTER, *faults))

    def take_fault(self) -> bool:
        """Whether one more thing may go wrong; it then counts."""
        if self.faults_left <= 0 or self.calm > 0:
            return False
        self.faults_left -= 1
        return True

    def note(self, process: str, what: str, fate: str = "") -> None:
        """One more step."""
        self.steps.append(Step(process, what, fate))

    def __str__(self) -> str:
        return "\n".join(_line(step) for step in self.steps)


def _line(step: Step) -> str:
    return f"{step.process}: {step.what}" + (f": {step.fate}" if step.fate else "")

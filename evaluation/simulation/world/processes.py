"""Processes of a simulation, each resumed in turn, and the schedule of what goes wrong, drawn from one seed.

>>> from evaluation.simulation.world.processes import Schedule
>>> def work(process):
...     for n in range(2):
...         process.act(f"step {n}", lambda: None)
>>> process = Process("p1", Schedule(1, faults_max=0), work)
>>> process.resume(1); process.ended
False
>>> process.resume(9); process.ended, process.error
(True, None)

>>> schedule = Schedule(7, faults_max=3)
>>> schedule.faults_left <= 3
True
>>> schedule.note("p1", "commit", "crash before")
>>> print(schedule)
p1: commit: crash before
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

# ── The schedule: all that one simulated run leaves to chance, drawn from one seed ──────────────────────────────────

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


# ── The processes ───────────────────────────────────────────────────────────────────────────────────────────────────

T = TypeVar("T")

DELICATE, DELICATE_STEPS = 0.5, 6
"""How often a fault comes soon after `endanger`, and within how many steps: the commit's and the next."""


class Crash(BaseException):
    """A process that ends here and now, as by kill -9. (No Exception: nothing in it may catch and survive it.)"""


class Process:
    """One process: its ports call `act` for everything that they do to the world.

    Args:
        work: is called with the process; it ends with it.
    """

    def __init__(self, name: str, schedule: Schedule, work: Callable[["Process"], None]) -> None:
        self.name = name
        self.schedule = schedule
        self.work = work
        self.error: BaseException | None = None
        self.ended = False
        self.faults = 0
        """How much has gone wrong in it."""
        self.promotes = False
        """Whether a model's bytes are out, and the commit before their announcement is not."""
        self._doomed = False
        self._steps_left = 0
        self._spared = schedule.steps_to_fault()
        # Bare locks as a baton: whoever waits has been the last to acquire.
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    # ── for the scheduler ───────────────────────────────────────────────────────────────────────────────────────

    def resume(self, steps: int) -> None:
        """Let it go on for so many steps, or to its end; returns when it waits again."""
        self._steps_left = steps
        self._go.release()
        self._back.acquire()
        if self.ended:
            self._thread.join()

    def kill(self) -> None:
        """End it where it waits."""
        self._doomed = True
        if not self.ended:
            self.resume(0)

    @property
    def crashed(self) -> bool:
        """Whether it ended as by kill -9."""
        return isinstance(self.error, Crash)

    @property
    def is_doomed(self) -> bool:
        """Whether it has crashed or been killed, though its `finally` blocks may still run."""
        return self._doomed

    # ── for its ports ───────────────────────────────────────────────────────────────────────────────────────────

    def act(self, what: str, do: Callable[[], T], faults: Mapping[str, Callable[[], T]] | None = None) -> T:
        """Do something to the world: well, not at all, or as one of `faults` does it.

        Raises:
            Crash: the process ends here.
        """
        self._wait_for_turn()
        fate = self._fate(faults or {})
        self.schedule.note(self.name, what, fate)
        if fate == CRASH_BEFORE:
            self.crash()
        result = faults[fate]() if faults and fate in faults else do()
        if fate == CRASH_AFTER:
            self.crash()
        return result

    def endanger(self) -> None:
        """It makes a model live now: at times, the next thing that goes wrong does so within a few steps."""
        if self.promotes and self.schedule.rng.random() < DELICATE:
            self._spared = min(self._spared, self.schedule.rng.randint(1, DELICATE_STEPS))
        self.promotes = False

    def crash(self) -> NoReturn:
        """End here."""
        self._doomed = True
        raise Crash

    def _wait_for_turn(self) -> None:
        if self._steps_left <= 0 and not self._doomed:
            self._back.release()
            self._go.acquire()
        self._steps_left -= 1
        # A process that has crashed still runs its `finally` blocks: nothing that they do may reach the world.
        if self._doomed:
            raise Crash

    def _fate(self, faults: Mapping[str, object]) -> str:
        self._spared -= 1
        if self._spared > 0:
            return ""
        self._spared = self.schedule.steps_to_fault()
        fate = self.schedule.fate(tuple(faults))
        self.faults += bool(fate)
        return fate

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._doomed:
                self.work(self)
        except BaseException as error:
            # Whatever ends a process is the scheduler's to judge: a Crash is planned, most others are findings.
            self.error = error
        self.ended = True
        self._back.release()


# ── A process that ends just before the n-th thing that it does to the world ────────────────────────────────────────


class Dying:
    """A port of such a process: every call but `close` and `unread` counts `left` down, and at 0 raises Crash instead.

    Ports of one process share `left`, as `itertools.count(n, -1)`.
    """

    def __init__(self, port: Any, left: Iterator[int]) -> None:
        self.port = port
        self.left = left

    def __getattr__(self, name: str) -> Any:
        act = getattr(self.port, name)

        def step(*args: Any, **named: Any) -> Any:
            # close() is called from the `finally` of a process that is dead already, and must not raise once more;
            # unread() does nothing to the world, and how often it is called must not move the crashes.
            if name not in ("close", "unread") and next(self.left) <= 0:
                raise Crash
            return act(*args, **named)

        return step

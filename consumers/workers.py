"""The workers of one command: processes that share a model's partitions, started again when one dies, ended together.

Which partitions a worker has is the consumer group's matter: of one that died the others, or the one that is started in
its place, go on from its last commit. So nothing is learned twice or left out here, whoever dies and whenever.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Protocol

import structlog

from anabranch.errors import AnabranchError, ConfigError, OwnershipLost
from consumers.jobs.processes import environment

log = structlog.get_logger()

AGAIN_S, AGAIN_MAX_S = 1.0, 30.0
"""Between a death and the next start: at first, and at most; it doubles with each death in a row."""

DEATHS_MAX = 5
"""So often in a row one may die before the command gives up: what ends a worker each time needs a person."""

WELL_S = 60.0
"""Who lived for so long was well: its death is the first in a row."""

STOP_S = 25.0
"""So long all may take to end; a single learner takes ten seconds at most, and supervisors kill after thirty."""

TICK_S = 0.1

HEARD_S = 5.0
"""So long the last words of one that has ended may take, if something else holds its standard output open."""

FINAL = {2: ConfigError, OwnershipLost.exit_code: OwnershipLost}
"""Exit codes that do not mend themselves: no second start."""


FIRST_ONLY = ("--accept-loss",)
"""Options of the first start alone."""

UNSTARTED = (130, -signal.SIGTERM)
"""How one ends that is asked to before it has begun: there was nothing to checkpoint."""


class WorkerDied(AnabranchError):
    """A worker died over and over, or did not end well; says which and how, and what became of the others."""


class Listener(Protocol):
    """Whoever hears the workers. Each worker's lines come from a thread of their own."""

    def heard(self, number: int, line: bytes) -> None:
        """A line on the standard output of a worker, with its end."""

    def gone(self, number: int) -> None:
        """The worker's process has ended; all its lines were heard before."""


class Deaths:
    """A worker's deaths in a row.

    >>> deaths = Deaths()
    >>> [deaths.again_in_s(lived_s=3.0) for _ in range(5)], deaths.again_in_s(lived_s=61.0)
    ([1.0, 2.0, 4.0, 8.0, None], 1.0)
    """

    def __init__(self) -> None:
        self.in_a_row = 0

    def again_in_s(self, *, lived_s: float) -> float | None:
        """One more, after so long a life: in how many seconds to start it again; None: not once more."""
        self.in_a_row = 1 if lived_s >= WELL_S else self.in_a_row + 1
        if self.in_a_row >= DEATHS_MAX:
            return None
        return min(AGAIN_S * float(2 ** (self.in_a_row - 1)), AGAIN_MAX_S)


class Worker:
    """One of the processes, and who comes after it.

    Args:
        number: from 1.
        command: the program and its arguments. It has to end when its standard input does (`end_with_supervisor`).
    """

    def __init__(self, number: int, command: Sequence[str], *, listener: Listener) -> None:
        self.number = number
        self.command = list(command)
        self.listener = listener
        self.deaths = Deaths()
        self.process: subprocess.Popen[bytes] | None = None
        self.due_s = self.began_s = 0.0
        """When it is to be started next, and was last."""
        self.code: int | None = None
        """Of the last end; None before the first."""
        self._hearing = threading.Thread()

    @property
    def is_done(self) -> bool:
        """Whether it has ended well, and is not to be started again."""
        return self.process is None and self.code == 0

    def start(self) -> int:
        """Start the process; its id."""
        self.process = subprocess.Popen(
            self.command,
            env=environment(),
            stdin=subprocess.PIPE,  # nothing is written: its end is the end of this process
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which passes it on
        )
        self.began_s = time.monotonic()
        self._hearing = threading.Thread(target=self._hear, args=(self.process.stdout,), daemon=True)
        self._hearing.start()
        # What was lost before the start is accepted once; what is lost later needs a person again.
        self.command = [each for each in self.command if each not in FIRST_ONLY]
        return self.process.pid

    def _hear(self, output: IO[bytes]) -> None:
        for line in output:
            try:
                self.listener.heard(self.number, line)
            except Exception as error:  # whatever it is: who is not heard stands still as soon as the pipe is full
                log.error("a line of a worker could not be taken in", worker=self.number, reason=repr(error))

    def has_ended(self) -> bool:
        """Whether a process that was started is there no longer; then its code is known, and nothing is left of it."""
        if self.process is None or self.process.poll() is None:
            return False
        self._hearing.join(HEARD_S)
        # What the thread still reads, it leaves by itself: somebody else holds the other end, and to close here would
        # wait for that.
        for pipe in (self.process.stdin, None if self._hearing.is_alive() else self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.code, self.process = self.process.returncode, None
        self.listener.gone(self.number)
        return True

    def ask_to_end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, if it runs."""
        if self.process is not None:
            self.process.send_signal(how)

    def in_words(self) -> str:
        """How it has ended."""
        code = self.code or 0
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


class Workers:
    """All workers of a command.

    Args:
        commands: of each one.
        listener: hears what they say.
    """

    def __init__(self, commands: Sequence[Sequence[str]], *, listener: Listener) -> None:
        self.workers = [Worker(number, each, listener=listener) for number, each in enumerate(commands, start=1)]

    def run(self, *, stopping: threading.Event) -> None:
        """Until `stopping` is set, or all have ended well by themselves; then all have ended.

        Raises:
            ConfigError, OwnershipLost: one has ended for such a reason, which no start mends. The others were ended.
            WorkerDied: one died over and over, or did not end well when it was asked to.
        """
        try:
            while not stopping.is_set() and not all(each.is_done for each in self.workers):
                for each in self.workers:
                    self._look_at(each)
                stopping.wait(TICK_S)
        finally:
            asked = self._end_all()
        badly = [each for each in asked if each.code not in (0, *UNSTARTED)]
        if badly:
            how = "; ".join(f"worker {each.number} {each.in_words()}" for each in badly)
            raise WorkerDied(
                f"{how} instead of ending well: what it learned after its last checkpoint is learned again at the next "
                "start"
            )

    def _look_at(self, worker: Worker) -> None:
        if worker.has_ended():
            if worker.code:
                self._mourn(worker)
            else:
                log.info("worker ended", worker=worker.number, what="by itself, and well: it is not started again")
        if worker.process is None and not worker.is_done and time.monotonic() >= worker.due_s:
            log.info("worker started", worker=worker.number, pid=worker.start())

    def _mourn(self, worker: Worker) -> None:
        """Have it started again after a while.

        Raises:
            ConfigError, OwnershipLost, WorkerDied: it is not worth it.
        """
        others = "its own words are above; the other workers were ended after a checkpoint"
        if kind := FINAL.get(worker.code or 0):
            raise kind(f"worker {worker.number} {worker.in_words()}: {others}")
        lived_s = time.monotonic() - worker.began_s
        again_s = worker.deaths.again_in_s(lived_s=lived_s)
        if again_s is None and self._others_are_well(worker):
            again_s = AGAIN_MAX_S  # a broker that is away ends who starts, not who runs
        if again_s is None:
            raise WorkerDied(
                f"worker {worker.number} has died {worker.deaths.in_a_row} times in a row, each time within "
                f"{WELL_S:.0f} s; at last it {worker.in_words()}: {others}"
            )
        worker.due_s = time.monotonic() + again_s
        log.warning(
            "worker died",
            worker=worker.number,
            how=worker.in_words(),
            lived_s=round(lived_s, 1),
            in_a_row=worker.deaths.in_a_row,
            again_in_s=again_s,
        )

    def _others_are_well(self, dead: Worker) -> bool:
        others = (each for each in self.workers if each is not dead and each.process is not None)
        return any(time.monotonic() - each.began_s >= WELL_S for each in others)

    def _end_all(self) -> list[Worker]:
        """End all that still run, and wait; those that take too long are killed. Which ones that were."""
        left = running = [each for each in self.workers if each.process is not None]
        for each in running:
            each.ask_to_end()
        ends_s = time.monotonic() + STOP_S
        while left := [each for each in left if not each.has_ended()]:
            if time.monotonic() > ends_s:
                log.error("workers do not end, and are killed", workers=[each.number for each in left])
                for each in left:
                    each.ask_to_end(signal.SIGKILL)
                ends_s = float("inf")
            time.sleep(TICK_S / 2)
        return running


# ── In a worker ─────────────────────────────────────────────────────────────────────────────────────────────────────


def end_with_supervisor() -> None:
    """From now on this process ends, after a checkpoint, as soon as its supervisor does: its standard input ends."""
    threading.Thread(target=_wait_for_end, name="supervisor", daemon=True).start()


def _wait_for_end() -> None:
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)

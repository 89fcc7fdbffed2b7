"""`anabranch learn --workers`: workers are killed or sleep under load, and the command that starts them is killed."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.project import ROOT, SESSION_S, Project, is_gone, project, until, wake
from benchmarks.faults.table import Row, timed, to_the_end

PARTITIONS = 4
WORKERS = 2
AHEAD = 12_000


class Command:
    """The command with its workers, and its log."""

    def __init__(self, here: Project, number: int) -> None:
        self.log = here.folder / f"{here.name}-command-{number}.log"
        words = [sys.executable, "-m", "commands.main", "learn", str(here.config), "--workers", str(WORKERS)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines that tell of such an event, as far as they are written."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [each for line in lines if line.startswith("{") and line.endswith("}") and (each := _read(line, event))]

    def pids(self) -> dict[int, int]:
        """The process id of each worker, as it was started last."""
        return {each["worker"]: each["pid"] for each in self.logged("worker started")}

    def gains(self, worker: int) -> int:
        """How often it has gained a partition, in all its lives."""
        return sum(each.get("worker") == worker for event in ("restored", "begin") for each in self.logged(event))

    def owns_all(self) -> None:
        """Wait until each worker has had a partition."""
        until(lambda: all(self.gains(each + 1) for each in range(WORKERS)), f"{self.log}: a worker got no partition")

    def end(self) -> int:
        """Stop it; its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def close(self) -> None:
        """End what is still there."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _read(line: str, event: str) -> dict[str, Any] | None:
    told: dict[str, Any] = json.loads(line)
    return told if told.get("event") == event else None


def workers(folder: Path, *, seed: int, times: int, assignment: str, **given: Any) -> Iterator[Row]:
    """One worker after the other is killed or sleeps past its session; then the command itself is killed."""
    name = f"workers-{assignment}"
    with project(
        folder, name=name, seed=seed, scope="partition", assignment=assignment, partitions=PARTITIONS, **given
    ) as here:
        rng, commands = random.Random(seed), itertools.count()
        killed = Row(f"kill -9 of a worker under load ({assignment}): it is started again")
        asleep = Row(f"a worker sleeps past its session ({assignment})")
        alone = Row(f"kill -9 of the command ({assignment}): its workers end by themselves, and the next one goes on")
        command = Command(here, next(commands))
        try:
            with timed(killed):
                command.owns_all()
                for _ in range(times):
                    _killed(here, command, killed, rng)
            with timed(asleep):
                _asleep(here, command, asleep, rng)
            with timed(alone):
                _alone(here, command, alone)
                command = Command(here, next(commands))
                command.owns_all()
                code = command.end()
                alone.insist(code == 0, f"the command ended with {code}: {command.log}")
                to_the_end(here, alone, hashed=True)
        finally:
            command.close()
        yield from (killed, asleep, alone)


def _killed(here: Project, command: Command, row: Row, rng: random.Random) -> None:
    here.feed(AHEAD)
    time.sleep(rng.uniform(0.0, 1.5))
    worker = rng.randrange(WORKERS) + 1
    pid, gains = command.pids()[worker], command.gains(worker)
    os.kill(pid, signal.SIGKILL)
    row.times += 1
    until(lambda: command.pids()[worker] != pid, f"{command.log}: worker {worker} was not started again")
    until(lambda: command.gains(worker) > gains, f"{command.log}: worker {worker} got no partition again")
    row.recovered += 1


def _asleep(here: Project, command: Command, row: Row, rng: random.Random) -> None:
    """The others take its partitions; when it wakes up it may write nothing of them, and joins again."""
    here.feed(AHEAD)
    worker = rng.randrange(WORKERS) + 1
    other = WORKERS + 1 - worker
    pid, gains, others = command.pids()[worker], command.gains(worker), command.gains(other)
    os.kill(pid, signal.SIGSTOP)
    row.times += 1
    try:
        # At least: what the other one gains may be of the fault before.
        time.sleep(1.5 * SESSION_S)
        until(lambda: command.gains(other) > others, f"{command.log}: nobody took its partitions over")
    finally:
        wake(pid)
    until(lambda: command.gains(worker) > gains, f"{command.log}: worker {worker} did not join again")
    row.insist(command.pids()[worker] == pid, "it died of it")
    row.recovered += 1


def _alone(here: Project, command: Command, row: Row) -> None:
    here.feed(AHEAD)
    pids = command.pids().values()
    command.process.kill()
    command.process.wait()
    row.times += 1
    until(lambda: all(map(is_gone, pids)), f"{command.log}: a worker outlives the command")
    row.recovered += 1

"""Workers that carry retraining jobs out elsewhere: killed in the middle of a job, while the learner learns on."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.faults.oracle import learned
from benchmarks.faults.outside import NO_POISON, outlived
from benchmarks.faults.project import NO_SWAPS, ROOT, Learner, Project, is_gone, project, retrainings, until
from benchmarks.faults.table import Row, timed, to_the_end

PACE = 1000.0
"""Records a second: a group misses a member that was killed after six seconds, and the job's gap is bounded."""

ELSEWHERE = NO_SWAPS.replace("[retrain]", '[retrain]\nexecutor = "topic"\nfallback = false')
"""Nobody but a worker may carry a job out."""


class Trainer:
    """A worker as a process of its own, with its log."""

    def __init__(self, here: Project, number: int) -> None:
        self.log = here.folder / f"{here.name}-worker{number}.log"
        command = [sys.executable, "-m", "commands.main", "train", str(here.config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def training(self) -> list[int]:
        """The process in which it carries out a job, if it does."""
        return retrainings(self.process.pid)

    def close(self) -> None:
        """It ends with what it is at."""
        self.process.kill()
        self.process.wait()


def dying_workers(folder: Path, *, seed: int, times: int, **given: Any) -> Iterator[Row]:
    """Two workers; the one that trains is killed, and another one takes its place."""
    how: dict[str, Any] = {"factory": "bayes", "sections": ELSEWHERE, "flip_every": 3000, "spice": NO_POISON}
    with project(folder, name="workers", seed=seed, **how, **given) as here:
        row = Row("kill -9 of a worker in the middle of a job: another one carries it out")
        with timed(row), ExitStack() as crew:
            here.feed(20_000 * times)
            trainers = [crew.enter_context(_worker(here, number)) for number in range(2)]
            learner = here.learn(pace=PACE)
            for number in range(times):
                row.times += 1
                row.recovered += int(_killed(row, trainers, learner))
                trainers.append(crew.enter_context(_worker(here, 2 + number)))
            outlived(row, learner)
            row.count(learned(here, here.state()))
            to_the_end(here, row)
        yield row


@contextmanager
def _worker(here: Project, number: int) -> Iterator[Trainer]:
    trainer = Trainer(here, number)
    try:
        yield trainer
    finally:
        trainer.close()


def _killed(row: Row, trainers: list[Trainer], learner: Learner) -> bool:
    """Kill the worker that trains: its process ends, the learner goes on, and the job comes back all the same."""
    until(lambda: any(each.training for each in trainers), f"{learner.log}: no worker trains")
    trainer = next(each for each in trainers if each.training)
    child, job, before = trainer.training[0], _job_of(trainer), learner.progress()
    trainer.process.send_signal(signal.SIGKILL)
    trainer.process.wait()
    trainers.remove(trainer)
    until(lambda: is_gone(child), "the training process of a killed worker runs on")
    done = f'"job": "{job}", "failure": "", "event": "job done"'
    learner.wait_to_say(done)
    return row.insist(learner.progress() > before, "the learner stood still while its job was carried out elsewhere")


def _job_of(trainer: Trainer) -> str:
    """What it took last."""
    lines = [json.loads(line) for line in trainer.log.read_text(errors="replace").splitlines() if '"job taken"' in line]
    return str(lines[-1]["job"])

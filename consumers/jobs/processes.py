"""Retraining jobs in processes of their own, which end with the learner, whatever ends it."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog

from anabranch import statetree
from config import loading
from config.settings import Settings
from consumers.jobs import ATTEMPTS, carried_out
from consumers.kafka.reader import KafkaLogReader
from consumers.ports import Clock
from learners.retraining import Job, JobResult

log = structlog.get_logger()

PREFIX = "anabranch-job-"
LINES_SHOWN = 3
KILLED = -9
UNMARKED_MAX_S = 3600.0
"""A folder without its owner's mark is of a learner that died while it made it."""


@dataclass(slots=True)
class _Run:
    """A retraining process and the folder it works in.

    Args:
        mark: the folder's locked file: as long as it is locked, the learner lives.
        before: why the attempt before failed.
    """

    job: Job
    process: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str]
    mark: IO[bytes]
    deadline_s: float
    attempt: int
    before: str
    timed_out: bool = False


class ProcessRunner:
    """One process a job, started fresh: never a fork, since librdkafka's threads would not come along."""

    due = float("inf")

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.runs: list[_Run] = []
        tidy()

    def submit(self, job: Job) -> None:
        """Start the process."""
        self._start(job, attempt=1)

    def _start(self, job: Job, *, attempt: int, before: str = "") -> None:
        folder = tempfile.TemporaryDirectory(prefix=PREFIX)
        mark = Path(folder.name, "owner").open("wb")  # noqa: SIM115  # it is locked for as long as the folder is there
        # The kernel lets go of it when this process ends, however it ends; the child does not inherit the file. So
        # whoever finds it unlocked knows that the folder is an orphan's.
        fcntl.flock(mark, fcntl.LOCK_EX)
        order = {"settings": _whole(self.settings), "job": job.state()}
        Path(folder.name, "job").write_bytes(statetree.encode(order))
        # Into a file: a pipe that nobody reads while the job runs would fill up and block it.
        with Path(folder.name, "log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "consumers.jobs.processes", folder.name],
                # The child must find what this process can import: a factory beside the configuration, say.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
                stdin=subprocess.PIPE,  # nothing is written: its end is the end of this process
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline_s = self.clock.monotonic_s() + self.settings.retrain.job_timeout
        self.runs.append(_Run(job, process, folder, mark, deadline_s, attempt, before))

    def finished(self, event_number: int) -> list[JobResult]:
        """Collect the processes that have ended; end those that take too long."""
        del event_number
        done = []
        for run in list(self.runs):
            if run.process.poll() is None and self.clock.monotonic_s() > run.deadline_s:
                run.timed_out = True
                _end(run.process)
            if run.process.poll() is not None:
                self.runs.remove(run)
                result = self._collect(run)
                if result is not None:
                    done.append(result)
        return done

    def _collect(self, run: _Run) -> JobResult | None:
        """What an ended process has come to; None if it is tried again."""
        folder = Path(run.folder.name)
        said = (folder / "log").read_text(errors="replace").strip().splitlines()
        result = (folder / "result").read_bytes() if run.process.returncode == 0 else b""
        _tidied(run)
        if result:
            models, failure, failures = statetree.decode(result, trusted=self.settings.model.trusted)
            return JobResult(run.job.id, tuple(models), failure=failure, failures=dict(failures))
        reason = self._reason(run, said)
        if run.attempt < ATTEMPTS:
            log.warning("retraining failed", model=self.settings.name, job=run.job.id, reason=reason, to_do="once more")
            self._start(run.job, attempt=run.attempt + 1, before=reason)
            return None
        twice = f"{reason}, twice" if reason == run.before else f"{run.before}; then {reason}"
        return JobResult(run.job.id, failure=f"retraining failed: {twice}")

    def _reason(self, run: _Run, said: Sequence[str]) -> str:
        """Why a process came to nothing, with the last lines it wrote."""
        code = run.process.returncode
        if run.timed_out:
            why = f"it took longer than {self.settings.retrain.job_timeout:g} s (retrain.job_timeout)"
        elif code < 0:
            why = f"killed (signal {-code}){': out of memory?' if code == KILLED else ''}"
        else:
            why = f"it ended with code {code}"
        lines = " / ".join(line.strip() for line in said[-LINES_SHOWN:])
        return f"{why}: {lines or 'no word'}"

    def keep(self, job_ids: Collection[str]) -> None:
        """End the processes of jobs that were given up."""
        for run in [run for run in self.runs if run.job.id not in job_ids]:
            self.runs.remove(run)
            _end(run.process)
            _tidied(run)

    def reset(self, jobs: Sequence[Job]) -> None:
        """End what is under way and begin again."""
        self.close()
        for job in jobs:
            self.submit(job)

    def close(self) -> None:
        """End the processes that this runner started."""
        self.keep(())


def _whole(settings: Settings) -> dict[str, Any]:
    """With the one secret that learning depends on: the folder is this user's alone, and goes with the job."""
    table = settings.model_dump(mode="json")
    if settings.privacy.key:
        table["privacy"]["pseudonyms"] = settings.privacy.key.decode()
    return table


def tidy() -> None:
    """Remove the folders of learners that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another learner's, which is locked, or another user's
            if not (folder / "owner").exists():
                if time.time() - folder.stat().st_mtime > UNMARKED_MAX_S:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            with (folder / "owner").open("rb") as mark:
                # Without waiting: whoever holds the lock lives, and needs the folder.
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _tidied(run: _Run) -> None:
    # The folder before its lock: once that is open, another learner may be removing the folder as well.
    run.folder.cleanup()
    run.mark.close()
    if run.process.stdin is not None:
        run.process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


# ── The process that carries out one job: `python -m consumers.jobs.processes FOLDER` ───────────────────────────────

# It reads the job from FOLDER/job, the events from the log, and leaves what came of it in FOLDER/result. It ends when
# its standard input does: the learner, which holds the other end, is gone then, however it ended.

ORPHANED = 1


def main(folder: Path) -> None:
    """Carry out the job in `folder`."""
    os.nice(5)  # the champion never waits for a recruit
    order = statetree.decode((folder / "job").read_bytes())
    settings = loading.build(order["settings"])
    job = Job.from_state(order["job"])
    done = carried_out(job, KafkaLogReader(settings), settings)
    result = [list(done.models), done.failure, dict(done.failures)]
    (folder / "part").write_bytes(statetree.encode(result, trusted=settings.model.trusted))
    # By a rename, so that a result is whole if it is there.
    (folder / "part").rename(folder / "result")


def end_with_parent() -> None:
    """From now on this process ends as soon as its standard input does."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    # sys.exit() would end this thread alone.
    os._exit(ORPHANED)


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))

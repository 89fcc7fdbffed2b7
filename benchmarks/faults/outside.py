"""What is around the learner: the broker, which is restarted, and the retraining processes, which stop and die."""

import fcntl
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from anabranch.errors import OwnershipLost
from benchmarks.faults.oracle import learned, messages
from benchmarks.faults.project import (
    NO_SWAPS,
    SESSION_S,
    WAIT_S,
    Learner,
    Project,
    children,
    folder_of,
    is_gone,
    is_stopped,
    project,
    retrainings,
    until,
)
from benchmarks.faults.table import Row, timed, to_the_end
from commands.brokers.local import LocalKafka
from consumers.jobs.processes import PREFIX

PACE = 2000.0
DOWN_S = 1.5
KAFKA_SESSION_S = 45.0
"""Kafka's own default."""

HUNG_RECORDS = 3000
"""So many are learned while a job hangs: at the pace, what comes in a second and a half."""

NO_POISON = (0.01, 0.01, 0.0)
"""Each poison event starts the jobs again, since it goes back to a checkpoint."""

ONE_TRIGGER = NO_SWAPS.replace("debounce_events = 1000", "debounce_events = 1000000")


def broker_restarts(folder: Path, *, seed: int, times: int, kafka: LocalKafka, **given: Any) -> Iterator[Row]:
    """The broker goes away and comes back: the learner goes on, or leaves with a code on which it is started again."""
    how: dict[str, Callable[[], None]] = {"is stopped": kafka.stop, "is killed with -9": kafka.kill}
    for number, (words, end) in enumerate(how.items()):
        name = f"broker{number}"
        with project(folder, name=name, seed=seed, session_s=KAFKA_SESSION_S, **given) as here:
            with timed(Row(f"the broker {words} and started again")) as row:
                for _ in range(times):
                    _restarted(here, row, kafka, end, down_s=DOWN_S)
                to_the_end(here, row, hashed=True)
            yield row


def broker_outage(folder: Path, *, seed: int, kafka: LocalKafka, **given: Any) -> Iterator[Row]:
    """The broker is away for longer than a session lasts, and nobody else owns the model."""
    with project(folder, name="outage", seed=seed, **given) as here:
        with timed(Row("the broker is away for longer than the session lasts")) as row:
            _restarted(here, row, kafka, kafka.kill, down_s=SESSION_S + 1)
            to_the_end(here, row, hashed=True)
        yield row


def _restarted(here: Project, row: Row, kafka: LocalKafka, end: Callable[[], None], *, down_s: float) -> None:
    row.times += 1
    here.feed(24_000)
    learner = here.learn(pace=PACE)
    learner.wait_for("commit", more_than=3)
    end()
    time.sleep(down_s)
    kafka.start()
    learner.wait_for("commit", more_than=len(learner.notes("commit")) + 3)
    row.recovered += int(outlived(row, learner))
    row.count(learned(here, here.state()))


def outlived(row: Row, learner: Learner) -> bool:
    """Whether it goes on, or has left with a code on which a supervisor starts it again; it is ended in order."""
    code = learner.process.poll()
    if code is not None:
        return row.insist(
            code not in (0, OwnershipLost.exit_code), f"nobody would start it again: {code}: {learner.said()}"
        )
    learner.kill(signal.SIGTERM)
    return row.insist(learner.ended() == 0, f"the learner ended with {learner.process.returncode}: {learner.said()}")


def long_sleep(folder: Path, *, seed: int, **given: Any) -> Iterator[Row]:
    """The machine sleeps past the session's end, and nobody has taken over."""
    with project(folder, name="sleeper", seed=seed, **given) as here:
        with timed(Row("a learner sleeps past its session, nobody takes over", times=1)) as row:
            here.feed(24_000)
            learner = here.learn(pace=PACE)
            learner.wait_for("commit", more_than=3)
            learner.kill(signal.SIGSTOP)
            time.sleep(SESSION_S + 1)
            learner.kill(signal.SIGCONT)
            learner.wait_for("commit", more_than=len(learner.notes("commit")) + 3)
            row.recovered = int(outlived(row, learner))
            to_the_end(here, row, hashed=True)
        yield row


def dying_jobs(folder: Path, *, seed: int, **given: Any) -> Iterator[Row]:
    """A retraining process that hangs and is killed: the champion goes on, one more try, then a report."""
    rows = (
        (1, "a retraining process hangs and is killed: tried once more"),
        (2, "it hangs and is killed twice: reported"),
    )
    for deaths, fault in rows:
        how: dict[str, Any] = {"factory": "bayes", "sections": ONE_TRIGGER, "flip_every": 3000, "spice": NO_POISON}
        with project(folder, name=f"jobs{deaths}", seed=seed, **how, **given) as here, timed(Row(fault)) as row:
            here.feed(30_000)
            learner = here.learn(pace=PACE)
            for _ in range(deaths):
                row.times += 1
                row.recovered += int(hung_and_killed(row, learner))
            learner.wait_for("trained")
            outlived(row, learner)
            _came_back(row, learner, failed=deaths == 2)
            to_the_end(here, row)
            told = [each for each in messages(here, "reports") if b"killed (signal 9)" in each and b"twice" in each]
            row.insist(bool(told) == (deaths == 2), f"{len(told)} reports name a job that died twice")
        yield row


def orphaned_jobs(folder: Path, *, seed: int, times: int, **given: Any) -> Iterator[Row]:
    """A learner is killed while it retrains: the training child ends with it, and what it left behind is tidied."""
    how: dict[str, Any] = {"factory": "bayes", "sections": NO_SWAPS, "flip_every": 3000, "spice": NO_POISON}
    with project(folder, name="orphans", seed=seed, **how, **given) as here:
        with timed(Row("kill -9 of a learner whose training child runs: the child ends, its folder goes")) as row:
            here.feed(30_000)
            for _ in range(times):
                row.times += 1
                row.recovered += int(_orphaned(here, row))
            to_the_end(here, row)
            row.insist(not _folders(), f"{len(_folders())} folders of jobs are left behind")
        yield row


def _orphaned(here: Project, row: Row) -> bool:
    learner = here.learn(pace=PACE)
    until(lambda: retrainings(learner.process.pid), "no retraining process was started")
    child = retrainings(learner.process.pid)[0]
    result = folder_of(child) / "result"
    learner.kill()
    learner.ended()
    killed_s = time.time()
    try:
        until(lambda: is_gone(child), "it runs on")
    except TimeoutError:
        os.kill(child, signal.SIGKILL)
        return row.insist(False, f"the training child of a killed learner ran on for {WAIT_S:g} s")
    # When it ends is the machine's: while it still starts it has heard nothing. But it does not carry out its job.
    carried_out = result.exists() and result.stat().st_mtime > killed_s
    return row.insist(not carried_out, "the training child of a killed learner carried out its job")


def _folders() -> list[Path]:
    """Folders of jobs whose learner is gone: nobody holds the lock on their mark."""
    marks = Path(tempfile.gettempdir()).glob(f"{PREFIX}*/owner")
    return [mark.parent for mark in marks if not _is_locked(mark)]


def _is_locked(mark: Path) -> bool:
    with mark.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def hung_and_killed(row: Row, learner: Learner, *, records: int = HUNG_RECORDS, patience_s: float = WAIT_S) -> bool:
    """Stop the retraining process, see that the learner learns on beside it, and kill it.

    Args:
        records: so many have to be learned while it hangs, in whatever time a busy machine takes for them.
        patience_s: after it, a learner is taken for one that waits for its job.
    """
    until(lambda: retrainings(learner.process.pid), "no retraining process was started")
    child = retrainings(learner.process.pid)[0]
    os.kill(child, signal.SIGSTOP)
    before = learner.progress()
    with suppress(TimeoutError):
        until(lambda: learner.progress() - before >= records, "it stands still", within_s=patience_s)
    further = learner.progress() - before
    hung = row.insist(is_stopped(child), "the job was ended while it hung, and not by this")
    os.kill(child, signal.SIGKILL)
    until(lambda: child not in children(learner.process.pid), "the killed process was not collected")
    return row.insist(further >= records, f"only {further} records were learned while the job hung") and hung


def _came_back(row: Row, learner: Learner, *, failed: bool) -> None:
    """The one job has come back: with recruits, or without."""
    done = [json.loads(line)["failure"] for line in learner.log.read_text().splitlines() if '"job done"' in line]
    row.insist([bool(failure) for failure in done] == [failed], f"jobs came back, each with its failure: {done}")

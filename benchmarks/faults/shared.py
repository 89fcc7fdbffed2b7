"""A model for each partition, shared by two processes: they are killed, sleep, join and leave, and partitions move."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.project import SESSION_S, Learner, Project, project, until, wake
from benchmarks.faults.table import Row, timed, to_the_end

PACE = 1500.0
PARTITIONS = 4
EVERY = set(range(PARTITIONS))
AHEAD = 12_000
ENDS = ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0))
"""How a process is ended, and the code that it has to end with."""


def shared(folder: Path, *, seed: int, times: int, assignment: str, **given: Any) -> Iterator[Row]:
    """One process joins another, one of both is killed or leaves, and the one that stays takes everything over."""
    with _sharing(folder, seed=seed, assignment=assignment, **given) as here:
        rng, row = random.Random(seed), Row(f"two processes share partitions ({assignment}): kill -9, join, leave")
        with timed(row):
            stays = _joined(here)
            for number in range(times):
                here.feed(AHEAD)
                pair = [stays, _joined(here)]
                until(lambda pair=pair: all(each.holds() for each in pair), "one of two got no partition")
                time.sleep(rng.uniform(0.0, 1.0))
                leaves = pair.pop(rng.randrange(2))
                how, wanted = ENDS[number % 2]
                leaves.kill(how)
                code = leaves.ended()
                row.times += 1
                fine = row.insist(code == wanted, f"a learner ended with {code}: {leaves.said()}")
                stays = pair[0]
                until(lambda stays=stays: stays.holds() == EVERY, f"{stays.log}: it did not take everything over")
                row.recovered += int(fine)
            stays.kill(signal.SIGTERM)
            row.insist(stays.ended() == 0, f"the last learner ended with {stays.process.returncode}: {stays.said()}")
            to_the_end(here, row, hashed=True)
        yield row


def shared_zombie(folder: Path, *, seed: int, assignment: str, **given: Any) -> Iterator[Row]:
    """One of two sleeps past its session: the other takes everything over; the one that wakes up joins again."""
    with _sharing(folder, seed=seed, assignment=assignment, name="zombie", **given) as here:
        row = Row(f"one of two that share partitions ({assignment}) sleeps past its session", times=1)
        with timed(row):
            here.feed(3 * AHEAD)
            sleeps, stays = _joined(here), _joined(here)
            until(lambda: sleeps.holds() and stays.holds(), "one of two got no partition")
            sleeps.kill(signal.SIGSTOP)
            until(lambda: stays.holds() == EVERY, f"{stays.log}: it did not take everything over")
            time.sleep(SESSION_S / 2)
            owned = len(sleeps.notes("owned"))
            wake(sleeps.process.pid)
            until(lambda: len(sleeps.notes("owned")) > owned, f"{sleeps.log}: it did not join again")
            for each in (sleeps, stays):
                each.kill(signal.SIGTERM)
                row.insist(each.ended() == 0, f"a learner ended with {each.process.returncode}: {each.said()}")
            row.recovered = 1
            to_the_end(here, row, hashed=True)
        yield row


def _sharing(folder: Path, *, seed: int, assignment: str, name: str = "share", **given: Any) -> Any:
    return project(
        folder,
        name=f"{name}-{assignment}",
        seed=seed,
        scope="partition",
        assignment=assignment,
        partitions=PARTITIONS,
        **given,
    )


def _joined(here: Project) -> Learner:
    learner = here.learn(pace=PACE)
    learner.wait_for("owned")
    return learner

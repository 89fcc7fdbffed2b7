"""The fault campaign judges what a learner does, and not how fast the machine is."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.outside import hung_and_killed
from benchmarks.faults.project import Learner, retrainings
from benchmarks.faults.table import Row
from support.waiting import until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")

# Its own command line does not name the job's program: until the forked child runs that, it shows its parent's.
LEARNER = """
import subprocess, sys, time
journal, records_per_s, program = open(sys.argv[1], "a"), float(sys.argv[2]), ".".join(sys.argv[3:])
job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "-m", program])
learned = 0
while True:
    learned += records_per_s / 20
    print("commit", int(learned), file=journal, flush=True)
    time.sleep(0.05)
    job.poll()
"""


class Pretending(Learner):
    """A process that trains beside itself, and commits so many records a second."""

    def __init__(self, folder: Path, *, records_per_s: float) -> None:
        self.journal, self.log = folder / "journal", folder / "log"
        self.journal.touch()
        words = [str(self.journal), str(records_per_s), "consumers", "jobs", "processes"]
        self.process = subprocess.Popen([sys.executable, "-c", LEARNER, *words])


@pytest.fixture
def learners() -> Iterator[list[Learner]]:
    """They are ended with the test, whatever comes of it."""
    started: list[Learner] = []
    yield started
    for each in started:
        each.kill()
        each.ended()


def test_a_slow_learner_beside_a_hung_job_is_clean(tmp_path: Path, learners: list[Learner]) -> None:
    """On a busy machine it learns a fifth of its pace, and goes on all the same."""
    learners.append(Pretending(tmp_path, records_per_s=400))
    row = Row("a job hangs")
    assert hung_and_killed(row, learners[0], records=1000)
    assert row.complaints == []


def test_a_learner_that_waits_for_its_job_is_not_clean(tmp_path: Path, learners: list[Learner]) -> None:
    """Patience ends: a learner that learns nothing while its job hangs is told of."""
    learners.append(Pretending(tmp_path, records_per_s=0))
    row = Row("a job hangs")
    assert not hung_and_killed(row, learners[0], records=1000, patience_s=1.0)
    assert row.complaints == ["only 0 records were learned while the job hung"]


def test_a_learner_that_is_slow_is_waited_for(tmp_path: Path, learners: list[Learner]) -> None:
    """As long as it comes further, whatever it is waited for; one that does not is stuck."""
    for which, records_per_s in (("slow", 400), ("stuck", 0)):
        (tmp_path / which).mkdir()
        learners.append(Pretending(tmp_path / which, records_per_s=records_per_s))
    slow, stuck = learners
    until(lambda: slow.notes("commit") and stuck.notes("commit"))
    slow.patience_s = stuck.patience_s = 1.5
    slow.wait_for("commit", more_than=80)
    with pytest.raises(TimeoutError, match="no commit"):
        stuck.wait_for("commit", more_than=10**6)


def test_a_job_that_has_not_begun_its_program_is_none_yet() -> None:
    """A fork's parent waits until the child runs its program: stopped before it, the child would stop the learner."""
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        assert child not in retrainings(os.getpid())
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)

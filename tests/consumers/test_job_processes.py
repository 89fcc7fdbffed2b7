"""Retraining in processes: they end with the learner, leave nothing behind, and say why they failed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from anabranch import statetree
from config.loading import build
from config.settings import Settings
from consumers.jobs.processes import PREFIX, ProcessRunner, tidy
from consumers.timing import SystemClock
from learners.retraining import Job, JobResult, Plan
from learners.retraining.lineage import Run
from support.command_line import environment
from support.waiting import until

NOBODY = {"bootstrap.servers": "127.0.0.1:9", "log_level": 0}
JOB = Job("m-9", event_number=9, reason="drift", seed=1, plans=(Plan("r9-last-9", (Run(0, 0, 9),)),))

PARENT = """
import sys, time
from tests_job import JOB, runner
one = runner()
one.submit(JOB)
print(one.runs[0].process.pid, one.runs[0].folder.name, flush=True)
time.sleep(60)
"""


def runner(**retrain: Any) -> ProcessRunner:
    """One whose jobs wait for a broker that is not there."""
    return ProcessRunner(settings_of(retrain=retrain), clock=SystemClock())


def settings_of(**sections: Any) -> Settings:
    table = {"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}
    return build({**table, "kafka": NOBODY, **sections})


def gone(pid: int) -> bool:
    """Whether no such process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_a_job_ends_when_the_learner_is_killed_and_the_next_one_tidies_up(folder: Path, tmp_path: Path) -> None:
    """kill -9 of the parent: the child goes by itself, and its folder at the next start."""
    (tmp_path / "tests_job.py").write_text(Path(__file__).read_text())
    there = environment()
    there["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=there, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, left = parent.stdout.readline().split()
    tidy()
    assert Path(left).exists()  # of a learner that lives
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: gone(int(pid)))
    tidy()
    assert not Path(left).exists()


def test_a_killed_job_is_tried_again_and_then_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first failure is a warning, the second comes back with its reason."""
    one = runner()
    one.submit(JOB)
    os.kill(one.runs[0].process.pid, signal.SIGKILL)
    until(lambda: not one.finished(0) and one.runs[0].attempt == 2)
    assert "retraining failed" in capsys.readouterr().out
    os.kill(one.runs[0].process.pid, signal.SIGKILL)
    (result,) = until(lambda: one.finished(0))
    assert result == JobResult("m-9", failure="retraining failed: killed (signal 9): out of memory?: no word, twice")
    assert list(folder.glob(f"{PREFIX}*")) == []


def test_a_job_that_takes_too_long_says_so(folder: Path) -> None:
    """A timeout is not taken for a lack of memory."""
    one = runner(job_timeout=0.001)
    one.submit(JOB)
    (result,) = until(lambda: one.finished(0))
    assert "it took longer than 0.001 s (retrain.job_timeout)" in result.failure


def test_a_job_that_was_given_up_is_ended(folder: Path) -> None:
    """Nobody waits for it; it does not run on until its timeout."""
    one = runner()
    one.submit(JOB)
    process = one.runs[0].process
    one.keep([JOB.id])
    assert process.poll() is None
    one.keep([])
    assert process.poll() == -signal.SIGKILL
    assert (one.runs, list(folder.glob(f"{PREFIX}*"))) == ([], [])


def test_a_job_has_the_key_of_the_pseudonyms() -> None:
    """Its models are to know users as the learner does; the folder is this user's alone, and goes with the job."""
    key = "a key of thirty-two characters.."
    one = ProcessRunner(settings_of(privacy={"pseudonyms": key, "users": ["u"]}), clock=SystemClock())
    one.submit(JOB)
    folder = Path(one.runs[0].folder.name)
    try:
        order = statetree.decode((folder / "job").read_bytes())
        assert build(order["settings"]).edge.key_id == one.settings.edge.key_id != ""
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        one.close()
    assert not folder.exists()

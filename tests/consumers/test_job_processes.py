"""Retraining in processes: they end with the learner, leave nothing behind, and say why they failed."""

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Executor
from dataclasses import replace
from operator import concat
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from anabranch import statetree
from anabranch.errors import ConfigError
from config.loading import build
from config.settings import Settings
from consumers.jobs import carried_out
from consumers.jobs.executors import ExecutorRunner, Runners
from consumers.jobs.packed import digest, packed
from consumers.jobs.processes import PREFIX, ProcessEnded, ProcessExecutor, tidy
from consumers.timing import SystemClock
from evaluation.simulation.world import MemorySource
from learners.retraining import Job, JobResult, Plan
from learners.retraining.lineage import Run
from support import loops
from support.command_line import environment
from support.waiting import until

NOBODY = {"bootstrap.servers": "127.0.0.1:9", "log_level": 0}
JOB = Job("m-9", event_number=9, reason="drift", seed=1, plans=(Plan("r9-last-9", (Run(0, 0, 9),)),))

PARENT = """
import sys, time
from tests_job import JOB, process_of, runner
one = runner()
one.submit(JOB)
process = process_of(one)
print(process.pid, process.args[-1], flush=True)
time.sleep(60)
"""


def runner(**retrain: Any) -> ExecutorRunner:
    """One whose jobs wait for a broker that is not there."""
    return Runners(settings_of(retrain=retrain), clock=SystemClock())()


def process_of(one: ExecutorRunner) -> subprocess.Popen[bytes]:
    """The process of its only job, once it is started."""
    return until(lambda: one.runs[0].future.process)  # type: ignore[attr-defined]  # a ProcessFuture


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
    os.kill(process_of(one).pid, signal.SIGKILL)
    until(lambda: not one.finished(0) and one.runs[0].attempt == 2)
    assert "retraining failed" in capsys.readouterr().out
    os.kill(process_of(one).pid, signal.SIGKILL)
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
    process = process_of(one)
    one.keep([JOB.id])
    assert process.poll() is None
    one.keep([])
    until(lambda: process.poll() == -signal.SIGKILL)
    until(lambda: not list(folder.glob(f"{PREFIX}*")))
    assert one.runs == []


def test_so_many_processes_run_at_once_and_a_job_may_be_given_up_before_its_turn(folder: Path) -> None:
    """`retrain.processes_max` counts those of all partitions; who waits has no process."""
    make = Runners(settings_of(retrain={"processes_max": 1}), clock=SystemClock())
    first, second = make(), make()
    first.submit(JOB)
    second.submit(JOB)
    process_of(first)
    assert not second.runs[0].future.running()
    waiting = second.runs[0].future
    second.close()
    assert waiting.cancelled()
    first.close()
    until(lambda: make.processes.futures == [])


def test_a_job_has_the_key_of_the_pseudonyms() -> None:
    """Its models are to know users as the learner does; the folder is this user's alone, and goes with the job."""
    key = "a key of thirty-two characters.."
    settings = settings_of(privacy={"pseudonyms": key, "users": ["u"]})
    one = Runners(settings, clock=SystemClock())()
    one.submit(JOB)
    process = process_of(one)
    folder = Path(str(process.args[-1]))  # type: ignore[index]  # its words are a list
    try:
        _, _, (table, _), _ = statetree.decode((folder / "call").read_bytes())
        assert build(table).edge.key_id == settings.edge.key_id != ""
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        one.close()
    until(lambda: not folder.exists())


# ── The executor by itself ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_process_answers_and_says_what_is_for_people(folder: Path) -> None:
    """Plain values there and back; an error of the function's is one here, with its words and its kind."""
    with ProcessExecutor() as executor:
        good, bad = executor.submit(concat, [2], [3]), executor.submit(build, {"name": "?"})
        died = executor.submit(os._exit, 7)
        assert good.result(60) == [2, 3]
        with pytest.raises(ConfigError, match="name"):
            bad.result(60)
        with pytest.raises(ProcessEnded, match="it ended with code 7: no word"):
            died.result(60)
    assert list(folder.glob(f"{PREFIX}*")) == []


def test_an_executor_that_is_shut_down_ends_what_runs(folder: Path) -> None:
    """As for Ctrl-C: nobody waits for what is under way."""
    executor = ProcessExecutor(processes_max=1)
    running, waiting = executor.submit(sleep, 60), executor.submit(sleep, 60)
    until(lambda: running.process)
    executor.shutdown(cancel_futures=True)
    assert (running.done(), waiting.cancelled()) == (True, True)


class Raising(Executor):
    """One of a user's own, at its worst."""

    def submit(self, fn: Any, /, *args: Any, **named: Any) -> Any:
        raise RuntimeError("the cluster is gone")


def test_an_executor_that_raises_costs_its_job_and_not_the_learner(folder: Path) -> None:
    """The second attempt is a process's, if it may be."""
    clock, settings = SystemClock(), settings_of()
    alone = ExecutorRunner(settings, executor=Raising(), clock=clock)
    alone.submit(JOB)
    assert alone.finished(0) == []
    (result,) = alone.finished(0)
    assert result.failure == "retraining failed: RuntimeError: the cluster is gone, twice"
    with ProcessExecutor() as processes:
        second = ExecutorRunner(settings, executor=Raising(), clock=clock, fallback=processes)
        second.submit(JOB)
        assert second.finished(0) == []
        process_of(second)
        second.close()


@pytest.mark.parametrize(
    ("named", "reason"),
    [("nowhere:made", "ModuleNotFoundError"), ("os:getpid", "gives a int"), ("support.waiting:away", "AttributeError")],
)
def test_an_executor_that_cannot_be_made_is_told_before_anything_begins(named: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Runners(settings_of(retrain={"executor": named}), clock=SystemClock())


class Counting(MemorySource):
    """One that counts how often it is read again."""

    reads = 0

    def read(self, runs: Any, *, topic: str = "") -> Any:
        self.reads += 1
        return super().read(runs, topic=topic)


def test_one_read_of_the_log_feeds_all_recruits_of_a_job() -> None:
    """Each begins where its own plan does."""
    settings, source = loops.settings_of(), Counting(loops.filled(500), "events")
    plans = tuple(Plan(f"r9-last-{count}", (Run(0, 400 - count, 400),)) for count in (30, 100, 400))
    done = carried_out(replace(JOB, plans=plans), source, settings)
    assert source.reads == 1
    assert [sum(model.class_counts.values()) for model in done.models] == [30, 100, 400]


# ── A job's name ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_digest_of_a_job_is_of_all_that_its_models_depend_on() -> None:
    """Not of where brokers and checkpoints are: they have other names on another machine."""
    here, job = settings_of(), packed(JOB)
    elsewhere = settings_of(kafka={"bootstrap.servers": "other:9092"}, checkpoint={"store": "other"})
    assert digest(job, here) == digest(job, elsewhere)
    others = [
        settings_of(model={"steps": [{"use": "naive_bayes.BernoulliNB"}]}),
        settings_of(retrain={"augment": {"minority": 2.0}}),
        settings_of(topics={"prefix": "other-"}),
        settings_of(privacy={"pseudonyms": "a key of thirty-two characters.."}),
        settings_of(privacy={"pseudonyms": "another of thirty-two characters"}),
    ]
    digests = {digest(job, each) for each in (here, *others)}
    assert len(digests) == 1 + len(others)
    assert digest(packed(replace(JOB, seed=2)), here) not in digests

"""Workers on a real Kafka, with real processes: one dies in the middle of a job, and another carries it out."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from anabranch.messages import LearnedOrder, TrainResult, decode
from support.command_line import anabranch
from support.projects import Project, ended, sea, values_on
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

EVENTS = 1500
SLOW = """
import time

from river import naive_bayes


class Slow(naive_bayes.GaussianNB):
    def learn_one(self, x, y):
        time.sleep(0.003)
        super().learn_one(x, y)
"""
SECTIONS = """[model]
steps = [{ use = "naive_bayes.GaussianNB" }]
trusted = ["slow:Slow"]
[detectors]
[retrain]
executor = "topic"
recruits = [{ on = "last", events = 1200, model = { factory = "slow:Slow" } }]
"""


def said(log: Path, words: str) -> bool:
    return words in log.read_text(errors="replace")


def learned(here: Project) -> int:
    """How many events the newest checkpoint has."""
    done = anabranch("state", here.config, "--json")
    return json.loads(done.stdout)["events"] if done.returncode == 0 else 0  # type: ignore[no-any-return]  # a number


def trainer(here: Project, log: Path) -> subprocess.Popen[str]:
    """A worker in a process of its own, with its log."""
    with log.open("wb") as file:
        return here.start("train", here.config, stdout=file, stderr=file)


def test_the_job_of_a_worker_that_is_killed_is_carried_out_by_another(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    """kill -9 while it trains: the group notices, another one takes the job, and the learner has one answer."""
    here = project(sections=SECTIONS)
    (here.config.parent / "slow.py").write_text(SLOW)
    logs = [tmp_path / "w0.log", tmp_path / "w1.log"]
    first = trainer(here, logs[0])
    here.publish(f"{here.prefix}events", sea(EVENTS))
    with (tmp_path / "learner.log").open("wb") as file:
        learner = here.start("learn", here.config, stdout=file, stderr=file)
    until(lambda: learned(here) == EVENTS, within_s=60)
    here.run("retrain", here.config, "--reason", "to see it done")
    until(lambda: said(logs[0], "job taken"), within_s=60)
    second = trainer(here, logs[1])
    first.send_signal(signal.SIGKILL)
    first.wait()
    until(lambda: said(logs[1], "job done"), within_s=60)
    until(lambda: said(tmp_path / "learner.log", "job done"), within_s=30)
    for process in (second, learner):
        process.terminate()
        assert ended(process)[0] == 0
    assert "1 results delivered" in logs[1].read_text()
    values = values_on(here.kafka, f"{here.prefix}train-results")
    (result,) = (decode(TrainResult, each) for each in values if each.startswith(b"{"))
    orders = [decode(LearnedOrder, each) for each in values_on(here.kafka, f"{here.prefix}model-learned")]
    (back,) = (each for order in orders for each in order.returned)
    assert (result.failure, back.failure, back.job) == ("", "", result.job)
    steps = [json.loads(each) for each in values_on(here.kafka, f"{here.prefix}model-lifecycle")]
    assert any(step["before"] == "recruiting" and step["after"] == "arena" for step in steps)

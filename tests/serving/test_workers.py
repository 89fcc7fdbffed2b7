"""Several workers behind one port: whoever is asked whether they are ready speaks for all."""

import json
import os
import signal
import time
from pathlib import Path

import orjson
import pytest

from anabranch.testing import MemoryFollower
from config.output import Score
from serving.application import application
from serving.models import Models, Served
from serving.server import in_a_thread
from serving.workers import GONE_S, Workers, place_in
from support.command_line import config_in, ended, python, start
from support.scorers import FEATURES, Scorer, free_port, linear
from support.waiting import until

CONFIG = """name = "fraud"
task = "binary"
[model]
steps = [{ use = "naive_bayes.GaussianNB" }]
[kafka]
"bootstrap.servers" = "127.0.0.1:1"
"""


def told(folder: Path, worker: int, *, why: str, age_s: float = 0.0) -> None:
    """As another worker says it."""
    said = {"ts": time.time() - age_s, "reasons": {"fraud": why} if why else {}}
    (folder / f"worker-{worker}.json").write_bytes(orjson.dumps(said))


def test_the_worker_that_is_not_ready_is_named(tmp_path: Path) -> None:
    """By its process id, with its reasons; one that is gone is not waited for."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    models = Models([Served(follower)])
    with in_a_thread(application(models, Score(), workers=Workers(tmp_path, models))) as port:
        asked = Scorer(port, [follower])
        assert asked.ask("/readyz").body == {"ready": True}
        told(tmp_path, 7, why="no champion yet")
        reply = asked.ask("/readyz")
        assert (reply.status, reply.body["workers"]) == (503, {"7": {"fraud": "no champion yet"}})
        assert asked.ask("/v2/health/ready").status == 503
        told(tmp_path, 7, why="no champion yet", age_s=2 * GONE_S)
        assert asked.ask("/readyz").status == 200
        told(tmp_path, 7, why="")
        assert asked.ask("/readyz").status == 200
    assert [each.name for each in tmp_path.iterdir()] == ["worker-7.json"]


def test_who_replaces_a_worker_has_its_number(tmp_path: Path) -> None:
    """However the one before has ended; so it has its name among the followers, and nobody waits for the dead."""
    code = f"import pathlib; from serving import workers; print(workers.place_in(pathlib.Path({str(tmp_path)!r})))"
    assert place_in(tmp_path) == 0
    for _ in range(2):
        assert python("-c", code).strip() == "1"
    assert place_in(tmp_path) == 1


@pytest.mark.slow
@pytest.mark.parametrize("silent_s", [0, 2])
def test_a_worker_that_is_replaced_is_told_of(tmp_path: Path, silent_s: int) -> None:
    """By its process id, with why, also where it ends while it is asked; uvicorn's own line is not shown."""
    scorer = Scorer(free_port(), [])
    process = start("score", config_in(tmp_path, CONFIG), "--port", scorer.port, "--workers", 2)
    until(scorer.answers)
    # Without a broker none of them is ready.
    worker, *_ = until(lambda: scorer.ask("/readyz").body["workers"])
    if silent_s:
        os.kill(int(worker), signal.SIGSTOP)
        time.sleep(silent_s)
    os.kill(int(worker), signal.SIGKILL)
    assert process.stderr is not None
    line = next(each for each in process.stderr if "worker replaced" in each)
    process.terminate()
    assert json.loads(line)["worker"] == int(worker)
    assert json.loads(line)["why"] == "it ended with exit code -9"
    assert ended(process).returncode == 0


@pytest.mark.slow
def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    """However it was killed; who starts the scorer anew finds its port free."""
    scorer = Scorer(free_port(), [])
    process = start("score", config_in(tmp_path, CONFIG), "--port", scorer.port, "--workers", 2)
    until(scorer.answers)
    process.kill()
    until(lambda: not scorer.answers())
    ended(process)

"""Several workers behind one port: whoever is asked whether they are ready speaks for all."""

import time
from pathlib import Path

import orjson

from anabranch.testing import MemoryFollower
from config.output import Score
from serving.application import application
from serving.models import Models, Served
from serving.server import in_a_thread
from serving.workers import GONE_S, Workers
from support.scorers import FEATURES, Scorer, linear


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

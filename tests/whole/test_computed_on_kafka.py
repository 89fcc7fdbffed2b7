"""Computed features on a real Kafka: a learner that is killed, and a follower that goes on computing them."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from anabranch import follow, statetree
from config.loading import load
from learners.derived import Derived
from support.computed import payments
from support.projects import SCALED_LINEAR, Project, checkpointed, ended

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

EVENTS = 4000
COMPUTED = """
[labels]
late = true
[features]
drop = ["customer"]
rules = [
  { name = "paid_1h", what = "mean", of = "amount", by = "customer", over = "1h" },
  { name = "risk", what = "positive_rate", by = "customer", over = "2h" },
  { name = "same_key", what = "count", by = "@key", over = "7d" },
]
[memory]
labels = 2
key = "customer"
"""


def test_a_follower_computes_what_the_learner_does(project: Callable[..., Project], tmp_path: Path) -> None:
    """Labels ten minutes late, two partitions, a kill: the learner's model, and the learner's features."""
    here = project(partitions=2, sections=SCALED_LINEAR + COMPUTED)
    data, words = tmp_path / "payments.jsonl", ("--config", here.config, "--labels-after", "10m")
    rows = [{name: value for name, value in row.items() if name != "key"} for row in payments(EVENTS)]
    data.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    here.run("produce", "--data", data, *words, "--limit", 1000)
    learner = here.start("learn", here.config)
    try:
        with follow(here.name, kafka=here.kafka, topic=here.updates, learn_along=True) as model:
            model.wait(timeout_s=60)
            learner.send_signal(signal.SIGKILL)
            ended(learner)
            learner = here.start("learn", here.config)
            here.run("produce", "--data", data, *words)  # the first thousand are duplicates
            until_s = time.monotonic() + 90
            while model.champion.event_number < EVENTS and time.monotonic() < until_s:
                time.sleep(0.1)
            learner.terminate()
            assert ended(learner)[0] == 0
            time.sleep(1)  # what it announced at last
            served = model.champion
    finally:
        learner.kill()
    lane, derived = checkpointed(here), Derived(load(here.config))
    derived.restore(lane["derived"])
    assert served.event_number == lane["events"] == EVENTS
    assert statetree.encode(served.artifact.model) == statetree.encode(lane["champion"]["model"])
    x, ts = {"customer": "c3", "amount": 12.0}, rows[-1]["ts"] + 60.0
    found = served.with_computed(x, ts=ts, key=rows[7]["id"])
    assert found == {**derived.computing.look({**x, "@key": rows[7]["id"]}, ts), **x}
    assert found["same_key"] == 1
    assert {"paid_1h", "risk", "@label_2"} <= found.keys()

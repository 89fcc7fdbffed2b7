"""Computed features on a real Kafka: a learner that is killed, and a follower that goes on computing them."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from anabranch import statetree
from config.loading import load
from learners.derived import Derived
from support.computed import payments
from support.projects import SCALED_LINEAR, Project, checkpointed, learned_along

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
    served = learned_along(here, data, *words, events=EVENTS)
    lane, derived = checkpointed(here), Derived(load(here.config))
    derived.restore(lane["derived"])
    assert served.event_number == lane["events"] == EVENTS
    assert statetree.encode(served.artifact.model) == statetree.encode(lane["champion"]["model"])
    x, ts = {"customer": "c3", "amount": 12.0}, rows[-1]["ts"] + 60.0
    found = served.with_computed(x, ts=ts, key=rows[7]["id"])
    assert found == {**derived.computing.look({**x, "@key": rows[7]["id"]}, ts), **x}
    assert found["same_key"] == 1
    assert {"paid_1h", "risk", "@label_2"} <= found.keys()

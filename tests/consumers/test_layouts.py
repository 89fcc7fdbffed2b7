"""Checkpoints of older layouts: what an earlier release wrote is gone on from, to the state of a straight run.

`layouts/layout-N.zlib` is a checkpoint as the release wrote that had layout N: after 2,028 records, with a rollback
behind it, a champion on probation, a displaced one and one in the library, copies of former champions, a job under way,
a standing shadow and labels to come.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import orjson
import pytest

from anabranch import statetree
from anabranch.events import Partition
from config.loading import build
from config.settings import Settings
from consumers.layouts import migrated
from consumers.loop import LearningLoop
from consumers.ports import Committed
from consumers.stores import MemoryStore
from consumers.stores.manifest import digest
from detectors.watch import Watch
from evaluation.simulation.world import MemoryLog
from learners.lane import Lane
from support.loops import copies, loop_on, straight
from support.streams import three_numbers

BLOBS = sorted(Path(__file__).with_name("layouts").glob("layout-*.zlib"))
RECORDS, AT = 3600, 2028


def configured() -> Settings:
    """As it was when the checkpoints were written."""
    scaler = {"use": "preprocessing.StandardScaler"}
    return build(
        {
            "name": "m",
            "task": "binary",
            "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
            "scores": {"window": 100, "metrics": ["Accuracy", "LogLoss", "ROCAUC"]},
            "trigger": {"debounce_events": 100},
            "retrain": {
                "admit_after_events": 20,
                "recruits": [{"on": "former"}, {"on": "now"}, {"on": "last", "events": 200}],
            },
            "arena": {"false_swap_every": 30, "probation_events": 600},
            "publish": {"warm_up_events": 50, "refresh_events": 700, "report_events": 250},
            "checkpoint": {"every_events": 170},
            "shadows": {
                "standing": [
                    {
                        "name": "wary",
                        "steps": [scaler, {"use": "linear_model.LogisticRegression"}],
                        "reset_on_alarm": True,
                    }
                ]
            },
        }
    )


def records() -> Iterator[bytes]:
    """A concept that goes away for 400 events and comes back; every fiftieth label never comes."""
    for n, row in enumerate(three_numbers(RECORDS, seed=7, is_turned=lambda n: n // 400 % 3 == 2)):
        label = None if n % 50 == 0 else row["label"]
        yield orjson.dumps({"ts": 1.6e9 + n, **row, "id": f"e{n}", "label": label})


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    """The records."""
    log = MemoryLog(partitions=1)
    for value in records():
        log.append("events", value)
    return log


@pytest.mark.parametrize("path", BLOBS, ids=lambda path: path.stem)
def test_a_checkpoint_of_an_older_release_is_gone_on_from(path: Path, log: MemoryLog) -> None:
    """To the last digit, through the swaps after it."""
    expected = straight(copies(log, MemoryStore())[0], configured())
    log, store = copies(log, MemoryStore())
    blob = zlib.decompress(path.read_bytes())
    store.put(digest(blob), blob)
    entry = {"sha": digest(blob), "parent": "", "epoch": 1, "seq": 8, "version": 8, "scope": "global"}
    entry |= {"partitions": 1, "number": 11}
    log.commit(Committed({Partition("events", 0): AT}, orjson.dumps(entry).decode()))
    loop = loop_on(log, store, configured())
    loop.run(until_end=True)
    assert learned(loop) == learned(expected)


def test_a_checkpoint_of_layout_five_is_gone_on_from(log: MemoryLog) -> None:
    """It knew neither what announcements cost nor what brought a member: nothing is owed, and nothing is said."""
    loop = straight(copies(log, MemoryStore())[0], configured())
    state = {**loop.owner._state(), "layout": 5, "poison": {"places": [], "row": [], "learned": 0}}
    lane = {**state["lane"], "pending": msgpack.packb([])}
    state["lane"] = lane
    for name in ("join", "examples", "lateness", "blend"):
        del lane[name]
    for name in ("labels_log", "retired"):
        del state[name]
    for member in (lane["champion"], *lane["shadows"]):
        del member["parent"], member["trigger"]
    del lane["copy"]["owed"], lane["copy"]["kept_since"]
    found = migrated(state, topic="events")["lane"]
    restored = Lane.restored(configured(), found, blobs=loop.owner.lane.blobs, watch=Watch(configured()))
    assert restored.published.allowance.owed == 0.0
    assert {member.trigger for member in restored.shadows.members} == {""}
    assert [each.parent for each in restored.shadows.members] == [each.former for each in restored.shadows.members]


def test_a_checkpoint_of_layout_six_is_gone_on_from(log: MemoryLog) -> None:
    """It knew neither how late labels come nor a blend: they count as prompt, and the champion serves."""
    loop = straight(copies(log, MemoryStore())[0], configured())
    state = {**loop.owner._state(), "layout": 6, "poison": {"places": [], "row": [], "learned": 0}}
    state["lane"] = {**state["lane"], "pending": msgpack.packb([])}
    for name in ("join", "examples", "lateness", "blend"):
        del state["lane"][name]
    for name in ("labels_log", "retired"):
        del state[name]
    found = migrated(state, topic="events")["lane"]
    restored = Lane.restored(configured(), found, blobs=loop.owner.lane.blobs, watch=Watch(configured()))
    assert restored.lateness.state() == (0, 0.0, False, None)
    assert (
        restored.blend.state() == Lane(configured(), restored.champion.model, watch=Watch(configured())).blend.state()
    )


def learned(loop: LearningLoop) -> list[Any]:
    """All models, contests and scores. (Versions are others: what followers have was not known to that release.)"""
    lane = loop.owner.lane
    members = [lane.champion, *lane.shadows.members]
    named = [(each.kind, each.since, statetree.digest((each.model, each.contest.state()))) for each in members]
    return [*named, lane.scores.values(), statetree.digest(lane.watch.state()), sorted(lane.lifecycle.states.values())]

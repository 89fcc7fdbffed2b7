"""Retraining on demand: a request on model-control becomes an answer, a job and a checkpoint, once."""

from typing import Any

import orjson
import pytest

from anabranch.messages import Retrain, RetrainAnswer, decode, encode
from config.loading import build
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryControl, MemoryLog
from support import loops

SETTINGS = build(
    {
        "name": "m",
        "task": "binary",
        "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
        "detectors": {},
        "publish": {"warm_up_events": 50, "report_events": 100},
        "retrain": {"admit_after_events": 20},
    }
)


def loop_on(log: MemoryLog, store: MemoryStore) -> LearningLoop:
    return loops.loop_on(log, store, SETTINGS, controls=lambda: MemoryControl(log))


def learn(log: MemoryLog, store: MemoryStore, *, events: int) -> LearningLoop:
    """Append so many events and learn to the end."""
    begin = log.next_offset.get(("events", 0), 0)
    for n in range(begin, begin + events):
        event = {"id": f"e{n}", "ts": 1.6e9, "features": {"a": n % 7}, "label": n % 3 == 0}
        log.append("events", orjson.dumps(event))
    loop = loop_on(log, store)
    loop.run(until_end=True)
    return loop


def predict(log: MemoryLog, **more: Any) -> None:
    """Publish a request."""
    request = Retrain(**{"id": "r1", "model": "m", "ts": 1.6e9, "reason": "new prices", "by": "ann", **more})
    log.append("model-control", encode(request))


def turned(log: MemoryLog, store: MemoryStore) -> LearningLoop:
    """A process that finds no new events, takes in what came of a request, and ends."""
    loop = loop_on(log, store)
    loop.ports.source.start(loop)
    for _ in range(3):
        loop._turn()
    return loop


def answers(log: MemoryLog) -> list[RetrainAnswer]:
    return [decode(RetrainAnswer, value) for value in log.values("model-answers")]


def test_a_request_brings_recruits_and_is_answered() -> None:
    """The answer names who asked and why, and what is retrained on; the recruit enters the arena."""
    log, store = MemoryLog(), MemoryStore()
    learn(log, store, events=300)
    predict(log, events=100)
    learn(log, store, events=300)
    loop = learn(log, store, events=300)
    (answer,) = answers(log)
    assert (answer.id, answer.request, answer.by, answer.reason) == ("m/r1", "r1", "ann", "new prices")
    assert answer.accepted
    assert sum(each.end - each.start for each in answer.window) == 100
    assert [member.name for member in loop.owner.lane.shadows.members] == [f"r{answer.event_number}-demand-100"]


def test_a_request_is_answered_once() -> None:
    """Its offset lies in the checkpoint: a restart does not retrain again."""
    log, store = MemoryLog(), MemoryStore()
    learn(log, store, events=100)
    predict(log)
    for _ in range(3):
        learn(log, store, events=50)
    assert len(answers(log)) == 1


def test_requests_from_before_the_first_start_are_not_meant() -> None:
    """Who starts a model for the first time finds a topic on which others were asked."""
    log = MemoryLog()
    predict(log)
    learn(log, MemoryStore(), events=100)
    assert answers(log) == []


@pytest.mark.parametrize("value", [b"{", b"", b'{"model":"m"}'])
def test_what_is_no_request_and_what_is_for_others_is_passed_over(value: bytes) -> None:
    """The topic is shared, and anybody may write to it."""
    log, store = MemoryLog(), MemoryStore()
    learn(log, store, events=100)
    log.append("model-control", value)
    predict(log, model="another")
    learn(log, store, events=100)
    assert answers(log) == []


def test_a_request_that_cannot_be_met_says_why() -> None:
    """A second one on the same events would bring the same recruits: it is refused, and its answer says why."""
    log, store = MemoryLog(), MemoryStore()
    learn(log, store, events=100)
    for n in range(2):
        predict(log, id=f"r{n}")
    learn(log, store, events=100)
    assert [(each.accepted, each.withheld) for each in answers(log)] == [
        (True, ""),
        (False, "nothing was learned since the last one began"),
    ]


def test_asking_again_before_the_next_event_does_no_harm() -> None:
    """The recruits of the first are in the arena by then; others of the same names must not come."""
    log, store = MemoryLog(), MemoryStore()
    learn(log, store, events=300)
    for n in range(2):
        predict(log, id=f"r{n}", events=100)
        loop = turned(log, store)
    learn(log, store, events=30)
    predict(log, id="r2", events=100)
    loop = turned(log, store)
    assert [each.accepted for each in answers(log)] == [True, False, True]
    assert "learned since" in answers(log)[1].withheld
    assert loop.owner.lane.lifecycle.states.keys() == {"first", "r300-demand-100", "r330-demand-100"}

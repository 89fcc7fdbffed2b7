"""The learned order: from its messages and the log anybody comes to the learner's own state."""

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from anabranch.messages import Retrain, encode
from anabranch.order import OrderReader
from consumers.loop import LearningLoop
from consumers.owner import StartOptions
from consumers.stores import MemoryStore
from consumers.timing import SystemClock
from evaluation.replay import ReplayError
from evaluation.simulation.world import MemoryLog
from learners.lane import Lane
from support.loops import filled, log_of, loop_on, settings_of, straight_hash, through_crashes
from support.replays import replayed, told
from support.streams import rows


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("partitions", [1, 3])
def test_through_crashes_the_order_leads_to_the_learners_own_state(seed: int, partitions: int, dying: Any) -> None:
    """Several partitions in the sequence in which they came; with drift, retraining and swaps."""
    log, store = filled(partitions=partitions), MemoryStore()
    loop, crashes = through_crashes(lambda: loop_on(log, store), dying, store, rng=random.Random(seed), most=40)
    assert crashes > 1
    assert any(each.returned for each in told(log))
    assert replayed(log) == loop.owner.learning_state_hash()
    assert partitions > 1 or replayed(log) == straight_hash()


def bad() -> list[Any]:
    """Refused records and duplicates between the events."""
    return [each for n, row in enumerate(rows()) for each in ([row, {"id": ""}, row] if n % 7 == 0 else [row])]


def late() -> list[Any]:
    """Each label comes 40 events later, in the event once more."""
    every = rows()
    asked = [[{**each, "label": None}] for each in every] + [[]] * 40
    answered: list[list[Any]] = [[]] * 40 + [[each] for each in every]
    return [each for pair in zip(asked, answered, strict=True) for several in pair for each in several]


@pytest.mark.parametrize("values", [bad, late])
def test_what_did_not_reach_the_model_is_not_in_the_order(values: Callable[[], list[Any]]) -> None:
    """Refused records, duplicates; a label that comes later is one more record of the order."""
    log = log_of(map(orjson.dumps, values()))
    loop = loop_on(log, MemoryStore())
    loop.run(until_end=True)
    assert sum(run.end - run.start for each in told(log) for run in each.runs) >= 2000
    assert replayed(log) == loop.owner.learning_state_hash() == straight_hash_of(values)


def straight_hash_of(values: Callable[[], list[Any]]) -> str:
    loop = loop_on(log_of(map(orjson.dumps, values())), MemoryStore())
    loop.run(until_end=True)
    return loop.owner.learning_state_hash()


def test_what_a_clock_decides_is_told() -> None:
    """Members that are paced by a budget, as the machine has it."""
    log, settings = filled(), settings_of(shadows={"portfolio": "cheap", "budget": 0.5})
    loop = loop_on(log, MemoryStore(), settings, clock=SystemClock())
    loop.run(until_end=True)
    assert any(each.measured for each in told(log))
    assert replayed(log, settings) == loop.owner.learning_state_hash()


class OneRequest:
    """A control on which somebody asks for a retraining when 600 events are learned."""

    def __init__(self, log: MemoryLog, loop: Callable[[], LearningLoop]) -> None:
        self.log, self.loop, self.asked = log, loop, False

    def start(self, position: int | None) -> int:
        return position or 0

    def poll(self) -> list[Any]:
        if self.asked or self.loop().owner.lane.events < 600:
            return []
        self.asked = True
        request = Retrain(id="r1", model="m", ts=1.0, reason="to see", by="test", events=300)
        self.log.append("model-control", encode(request))
        return self.log.records["model-control", 0]

    def close(self) -> None:
        pass


def test_what_people_ask_for_is_told() -> None:
    """A retraining on demand."""
    log = filled()
    loops: list[LearningLoop] = []
    control = OneRequest(log, lambda: loops[0])
    loops.append(loop_on(log, MemoryStore(), controls=lambda: control))
    loops[0].run(until_end=True)
    assert [request.id for each in told(log) for request in each.requests] == ["r1"]
    assert replayed(log) == loops[0].owner.learning_state_hash()


def test_that_the_log_is_another_is_told_with_the_jobs_that_it_cost() -> None:
    """Offsets of the one before are forgotten, and a job under way is given up; the next one reads the new log only."""
    first, store = MemoryLog(topic_id="one"), MemoryStore()
    second = MemoryLog(topic_id="two", commits=first.commits)
    for n, row in enumerate(rows(2000)):
        turned_again = {**row, "label": row["label"] != (n >= 1500)}
        (first if n < 1100 else second).append("events", orjson.dumps(turned_again))
    never_back = {"admit_after_events": 10**6}
    loop_on(first, store, settings_of(retrain=never_back)).run(until_end=True)
    loop = loop_on(second, store, how=StartOptions(accept_loss=True))
    loop.run(until_end=True)
    change = next(each for each in told(second) if each.other_log)
    assert (change.runs, "another" in change.returned[0].failure) == ((), True)
    assert any(each.returned for each in told(second) if each.event_number > change.event_number)
    orders = OrderReader([*told(first), *told(second)]).chain()
    assert replayed(first, orders=orders, later=[second]) == loop.owner.learning_state_hash()
    with pytest.raises(ReplayError, match="lies in another log: topic 'events' was recreated"):
        replayed(first, orders=orders)


def test_an_announcement_says_after_which_message_it_stands() -> None:
    """A follower that learns along goes on from there."""
    log = filled()
    loop_on(log, MemoryStore()).run(until_end=True)
    ends = {each.id: each.event_number for each in told(log)}
    updates = [orjson.loads(value) for value in log.values("model-updates")]
    assert len(updates) > 2
    assert [ends[each["order"]] for each in updates] == [each["event_number"] for each in updates]


def test_what_a_learner_says_that_was_taken_over_does_not_count() -> None:
    """Its last messages come when its successor is under way, from the same checkpoint."""
    log, store = filled(), MemoryStore()
    zombie = loop_on(log, store, settings_of(checkpoint={"every_events": 10_000}))
    zombie.ports.source.start(zombie)
    zombie._turn()
    heir = loop_on(log, store)
    heir.ports.clock.advance(1.0)  # type: ignore[attr-defined]  # a clock that is moved by hand
    heir.run(until_end=True)
    for record in log.records["events", 0][1000:1020]:
        zombie.owner.take(record)
    zombie.owner.tell_order()
    assert told(log)[-1].began < told(log)[-2].began
    assert replayed(log) == heir.owner.learning_state_hash()


def test_what_is_missing_or_other_is_said() -> None:
    """A topic whose first messages are gone; other settings; a log that was changed."""
    log = filled()
    loop_on(log, MemoryStore()).run(until_end=True)
    chain = OrderReader(told(log)).chain()
    with pytest.raises(ReplayError, match="no longer holds it"):
        replayed(log, orders=chain[1:])
    with pytest.raises(ReplayError, match="partition 0 offset 0 was learned, and is refused now"):
        replayed(log, settings_of(guard={"features_max": 1}))
    events = log.records["events", 0]
    events[5] = events[5]._replace(value=orjson.dumps({**rows(6)[5], "label": None}))
    with pytest.raises(ReplayError, match="and the learner had"):
        replayed(log)


def test_who_cannot_be_kept_is_told_by_the_owner_of_the_checkpoint_before() -> None:
    """As long as the next one is not committed: somebody who was taken over must not look like its owner."""
    log, settings = filled(900), settings_of(shadows={"portfolio": "cheap"})
    loop = loop_on(log, MemoryStore(), settings)

    def spoil(event: Any, served: Any, answers: Any, lane: Lane) -> None:
        if lane.events == 500:
            lane.shadows.members[0].model.spoilt = lambda: None

    loop.observer = spoil
    loop.run(until_end=True)
    messages = told(log)
    at = next(n for n, each in enumerate(messages) if each.unkeepable)
    assert messages[at].checkpoint == messages[at - 1].checkpoint

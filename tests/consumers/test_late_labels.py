"""Labels that come later, in the same event once more: learned, or a dead letter says why not; and replayed alike."""

import random
from typing import Any

import orjson
import pytest
from river import base

from anabranch.messages import DeadLetter, decode
from config.settings import Settings
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.backtest import Backtest
from evaluation.simulation.world import Crash, FrozenClock, MemoryLog
from support.loops import first_of, log_of, settings_of, straight_hash, through_crashes
from support.loops import loop_on as on
from support.streams import rows


def loop_on(values: list[dict[str, Any]], settings: Settings | None = None) -> tuple[LearningLoop, MemoryLog]:
    log = log_of(map(orjson.dumps, values))
    return on(log, MemoryStore(), settings), log


def late(events: list[dict[str, Any]], *, by: int = 0) -> list[dict[str, Any]]:
    """Each event without its label, and once more with it, `by` events later."""
    asked = [[{**each, "label": None}] for each in events] + [[]] * by
    told: list[list[dict[str, Any]]] = [[]] * by + [[each] for each in events]
    return [each for pair in zip(asked, told, strict=True) for several in pair for each in several]


def hash_of(values: list[dict[str, Any]]) -> str:
    loop, _ = loop_on(values)
    loop.run(until_end=True)
    return loop.owner.learning_state_hash()


def letters(log: MemoryLog) -> list[DeadLetter]:
    return [decode(DeadLetter, value) for value in log.values("dead-letters")]


def test_a_label_that_comes_in_the_next_record_teaches_the_same() -> None:
    """With drift, retraining from the log and swaps: as if each event had brought its label at once."""
    loop, _ = loop_on(late(rows()))
    loop.run(until_end=True)
    assert (loop.owner.lane.events, len(loop.owner.lane.join)) == (2000, 0)
    assert loop.owner.seq > 2
    assert loop.owner.learning_state_hash() == straight_hash()


@pytest.mark.parametrize("by", [1, 50])
def test_a_backtest_learns_late_labels_as_the_loop_does(by: int) -> None:
    """The same events in a file: all learned, and an equal hash."""
    values = late(rows(1200), by=by)
    settings = settings_of()
    run = Backtest(
        settings,
        first=first_of(settings),
        values=lambda: map(orjson.dumps, values),
        timestamp_of=lambda number: 1.6e9,
        clock=FrozenClock(),
    )
    result = run.run()
    assert (result["events"], result["duplicates"], result["waiting_for_label"]) == (1200, 0, 0)
    assert result["swaps"]
    assert result["state_hash"] == hash_of(values)


def test_crashes_do_not_lose_a_label(dying: Any) -> None:
    """Whether it is pending or already used lies in the checkpoint."""
    values = late(rows(1200), by=50)
    expected = hash_of(values)
    _, log = loop_on(values)
    store, rng = MemoryStore(), random.Random(5)
    loop, crashes = through_crashes(lambda: on(log, store, settings_of()), dying, store, rng=rng, most=40)
    assert crashes > 1
    assert loop.owner.learning_state_hash() == expected


def test_a_label_for_an_event_that_no_longer_waits_is_a_dead_letter() -> None:
    """Never only a count: it says that more are waiting than there is room for."""
    loop, log = loop_on(late(rows(300), by=50), settings_of(pending_max=20))
    loop.run(until_end=True)
    lost = letters(log)
    assert {each.stage for each in lost} == {"label"}
    assert "`pending_max`" in lost[0].reason
    assert len(lost) + loop.owner.lane.events == 300


def test_an_event_waits_for_its_label_longer_than_its_id_is_remembered() -> None:
    """A short window of ids does not make a second event of it."""
    loop, _ = loop_on(late(rows(300), by=50), settings_of(guard={"dedup_window": 10}))
    loop.run(until_end=True)
    assert (loop.owner.lane.events, len(loop.owner.lane.join), loop.owner.guard.accepted) == (300, 0, 300)


def test_a_refused_label_leaves_the_event_waiting() -> None:
    """The right one may still come."""
    (event,) = rows(1)
    loop, log = loop_on([{**event, "label": None}, {**event, "label": "perhaps"}, event, {**event, "label": None}])
    loop.run(until_end=True)
    assert (loop.owner.lane.events, loop.owner.guard.duplicates) == (1, 1)
    assert [each.offset for each in letters(log)] == [1]


def test_features_that_are_others_by_then_are_not_learned() -> None:
    """The features of then count; what the log does not hold in one record, no recruit is trained on."""
    events = late(rows(60))
    for each in events[1::2]:
        each["features"] = {}
    loop, _ = loop_on(events)
    loop.run(until_end=True)
    plain, _ = loop_on(rows(60))
    plain.run(until_end=True)
    assert loop.owner.learning_state_hash() == plain.owner.learning_state_hash()
    assert loop.owner.lane.lineage.last(60) == []


class Chokes(base.Classifier):
    """Raises on one event."""

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Nothing, but for one."""
        if x["a"] == 3:
            raise ArithmeticError("three")

    def predict_one(self, x: dict[str, Any], **kwargs: Any) -> bool:
        """Always the same."""
        return True


def test_what_raises_on_a_late_label_is_named_by_the_labels_record() -> None:
    """That record is left out after the restore; the others are learned."""
    events = [{"id": str(n), "ts": 1.6e9, "features": {"a": n}, "label": True} for n in range(6)]
    model = {"factory": f"{__name__}:Chokes", "trusted": [f"{__name__}:Chokes"]}
    loop, log = loop_on(late(events, by=2), settings_of(model=model, scores={"metrics": ["Accuracy"]}))
    loop.run(until_end=True)
    assert [(each.stage, each.offset) for each in letters(log)] == [("learn", 9)]
    assert loop.owner.lane.events == 5


def test_what_a_crash_has_cut_short_ends_though_no_record_comes(dying: Any) -> None:
    """The last record makes a hundred events due, the first announcement a checkpoint among them, and it dies there."""
    settings = settings_of(labels={"late": True, "horizon": "1m", "default": False})
    events = [{**each, "label": None} for each in rows(100)]
    events.append({**events[0], "id": "last", "ts": 1.6e9 + 3600})
    cut_short = 0
    for after in range(4, 400):
        log, store = log_of(map(orjson.dumps, events)), MemoryStore()
        dies = on(log, store, settings)
        dying(dies, store, after=after)
        try:
            dies.run(until_end=True)
            break
        except Crash:
            goes_on = on(log, store, settings)
            goes_on.run(until_end=True)
            cut_short += any(0 < each.lane.events < 100 for each in dies.owners.values())
        assert (goes_on.owner.lane.events, len(goes_on.owner.lane.join)) == (100, 1)
    assert cut_short > 10

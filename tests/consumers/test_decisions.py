"""A champion on its way to all keys, over a log in memory: what is announced, through restarts and decisions."""

from typing import Any

import orjson
import pytest

from anabranch import artifact
from anabranch.learning_along import LearningAlong
from anabranch.messages import Decision, DecisionAnswer, ModelAck, ModelUpdate, Retire, ServedCounts, decode, encode
from anabranch.order import read_order
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.world import Crash, MemoryControl, MemoryLog
from support import loops
from support.loops import filled, settings_of, straight
from support.replays import replayed
from support.streams import rows

MANUAL = settings_of(rollout="manual")
WIDE = settings_of(rollout={"kind": "canary", "steps": [50], "step_labels": 10**6})
CANARY = settings_of(rollout={"kind": "canary", "step_labels": 50})


def loop_on(log: MemoryLog, store: MemoryStore, settings: Any = MANUAL) -> LearningLoop:
    return loops.loop_on(
        log, store, settings, controls=lambda: MemoryControl(log), acks=lambda: MemoryControl(log, "model-acks")
    )


def learned(log: MemoryLog, store: MemoryStore, settings: Any = MANUAL) -> LearningLoop:
    """Learn to the end, and one turn more, for what was asked."""
    loop = loop_on(log, store, settings)
    loop.run(until_end=True)
    return loop


def turned(log: MemoryLog, store: MemoryStore, settings: Any = MANUAL) -> LearningLoop:
    """A process that finds what was asked, and is gone."""
    loop = loop_on(log, store, settings)
    loop.ports.source.start(loop)
    loop._turn()
    return loop


def ask(log: MemoryLog, step: Any, *, number: int = 1) -> None:
    asked = Decision(id=f"{step}-{number}", model="m", ts=1.6e9, step=step, why="looked at", by="ann")
    log.append("model-control", encode(asked))


def log_values(count: int) -> list[bytes]:
    """Events that are not in the filled log."""
    return [orjson.dumps({**each, "id": f"more-{each['id']}"}) for each in rows(count)]


def updates(log: MemoryLog) -> list[ModelUpdate]:
    """What was announced; what a restart has said once more, once."""
    said = {(each.epoch, each.seq): each for each in loops.updates_in(log)}
    return [said[numbers] for numbers in sorted(said)]


def steps(log: MemoryLog) -> list[tuple[str, float | None]]:
    return [(each.kind, each.share) for each in updates(log) if each.kind not in ("first", "refresh")]


def test_a_drifts_winner_is_rolled_out_in_steps_by_labels() -> None:
    """To the end: 5 %, 25 %, all; each with its own bytes, beside the version that all had before."""
    log = filled(4000)
    straight(log, CANARY)
    first, second, third, *_ = [each for each in updates(log) if each.kind in ("canary", "swap")]
    assert [first.share, second.share, third.share] == [5.0, 25.0, None]
    assert first.beside == second.beside == third.displaced_version == first.version - 1
    assert len({each.pointer.sha256 for each in (first, second, third)}) == 3


@pytest.mark.parametrize(("step", "kind"), [("approve", "swap"), ("withdraw", "rollback")])
def test_a_persons_word_is_carried_out_answered_and_told_in_the_order(step: Any, kind: str) -> None:
    """Whoever replays the order comes to the same state; the update says who it was."""
    log, store = filled(), MemoryStore()
    learned(log, store)
    assert {share for _, share in steps(log)} == {0.0}
    ask(log, step)
    loop = turned(log, store)
    update = updates(log)[-1]
    assert (update.kind, update.share, update.by) == (kind, None, "ann")
    (answer,) = [decode(DecisionAnswer, value) for value in log.values("model-answers")]
    assert (answer.accepted, answer.version, answer.request) == (True, update.version, f"{step}-1")
    assert replayed(log, MANUAL) == loop.owner.learning_state_hash()
    assert learned(log, store).owner.learning_state_hash() == loop.owner.learning_state_hash()


def test_the_same_word_twice_and_one_on_a_retired_model() -> None:
    """The second finds nothing under way; of a retired model nothing is announced, whatever is decided of it."""
    log, store = filled(), MemoryStore()
    learned(log, store)
    log.append("model-control", encode(Retire(id="r", model="m", ts=1.0, step="retire", why="leaks", by="ann")))
    ask(log, "approve", number=1)
    ask(log, "approve", number=2)
    loop = turned(log, store)
    assert updates(log)[-1].kind == "retired"
    answers = [decode(DecisionAnswer, value) for value in log.values("model-answers") if b"approve" in value]
    assert [each.accepted for each in answers] == [True, False]
    assert not loop.owner.lane.succession.rollout.under_way
    assert replayed(log, MANUAL) == loop.owner.learning_state_hash()


def test_the_bytes_of_what_most_keys_have_are_kept() -> None:
    """However often the new champion is announced meanwhile: who begins to follow needs both."""
    settings = settings_of(
        rollout="manual", publish={"warm_up_events": 50, "refresh_events": 60, "versions_kept": 2, "report_events": 500}
    )
    log = filled()
    straight(log, settings)
    canaries = [each for each in updates(log) if each.kind == "canary"]
    assert len(canaries) > 5
    kept = {
        record.key
        for record in log.records["model-artifacts", 0]
        if record.value is not None
        and not any(
            other.key == record.key and other.value is None and other.offset > record.offset
            for other in log.records["model-artifacts", 0]
        )
    }
    versions = {int(str(key).split("/")[2]) for key in kept if key}
    assert versions == {canaries[-1].beside, canaries[-2].version, canaries[-1].version}


def test_a_freeze_during_a_rollout_holds_for_those_who_learn_along() -> None:
    """No copy tells them, as the new champion is not theirs: the order says of what nothing was learned."""
    log, store, more = filled(), MemoryStore(), log_values(340)
    learned(log, store)
    for step, values in (("freeze", more[:300]), ("thaw", more[300:])):
        ask(log, step)
        turned(log, store)
        for value in values:
            log.append("events", value)
        loop = learned(log, store)
    (copy, *_), along = [each for each in reversed(updates(log)) if each.kind != "canary"], LearningAlong()
    at = copy.pointer
    chunks = log.records[at.topic, at.partition][at.first_offset : at.last_offset + 1]
    along.exchange(copy, artifact.unpack(b"".join(each.value or b"" for each in chunks), sha256=at.sha256))
    for record in log.records["events", 0]:
        along.hear(("events", 0, record.offset), record.value or b"")
    for value in log.values("model-learned"):
        along.tell(read_order(value))
    assert loop.owner.lane.succession.rollout.under_way
    assert along.advance() == 2000 - copy.event_number + 40
    assert along.event_number == loop.owner.lane.events == 2340


def test_what_is_held_survives_a_restart_and_a_replay() -> None:
    """Two words in one batch are two; whoever replays the order comes to the same state, frozen events included."""
    log, store = filled(), MemoryStore()
    learned(log, store)
    ask(log, "pin")
    ask(log, "freeze")
    loop = turned(log, store)
    answers = [decode(DecisionAnswer, value) for value in log.values("model-answers")]
    assert [(each.step, each.accepted) for each in answers] == [("pin", True), ("freeze", True)]
    update = updates(log)[-1]
    assert (update.by, update.order) == ("ann", "")
    events = loop.owner.lane.events
    for value in log_values(300):
        log.append("events", value)
    frozen = learned(log, store)
    assert frozen.owner.lane.succession.holds == ("pinned by ann: looked at", "frozen by ann: looked at")
    assert frozen.owner.lane.events == events + 300
    assert updates(log)[-1] == update
    ask(log, "thaw")
    thawed = turned(log, store)
    assert updates(log)[-1].order
    assert replayed(log, MANUAL) == thawed.owner.learning_state_hash()


# ── what followers tell ─────────────────────────────────────────────────────────────────────────────────────────────


def tell(log: MemoryLog, answers: int, *, failures: int, follower: str = "f1", model: str = "m", **more: Any) -> None:
    """What a follower has counted since it has both versions, of which one half answers for."""
    beside = next(each.beside for each in reversed(updates(log)) if each.beside)
    counts = {"answers": answers, "failures": failures, "answers_beside": answers, "serving": 1, **more}
    served = ServedCounts.model_validate({"beside": beside, **counts})
    numbers = {"version": beside, "epoch": 1, "seq": 1, "ts": 1.0}
    log.append("model-acks", encode(ModelAck(follower=follower, model=model, served=served, **numbers)))


def test_followers_that_fail_take_a_new_champion_back_before_labels_come() -> None:
    """It is told in the order, so that whoever replays it comes to the same state; what another model says is not."""
    log, store = filled(), MemoryStore()
    learned(log, store, WIDE)
    assert set(steps(log)) == {("canary", 50.0)}
    tell(log, 500, failures=500, model="another")
    tell(log, 500, failures=500, beside=77)
    log.append("model-acks", b"no acknowledgement")
    tell(log, 60, failures=55)
    loop = turned(log, store, WIDE)
    assert steps(log)[-2:] == [("canary", 50.0), ("rollback", None)]
    assert updates(log)[-1].reason.startswith("withdrawn: 55 of 60 answers")
    assert replayed(log, WIDE) == loop.owner.learning_state_hash()
    assert learned(log, store, WIDE).owner.learning_state_hash() == loop.owner.learning_state_hash()


def test_each_count_of_a_follower_is_heard_once_however_often_it_is_told() -> None:
    """Through a restart, too; one that began anew begins its counts anew."""
    log, store = filled(), MemoryStore()
    learned(log, store, WIDE)
    tell(log, 10, failures=0)
    tell(log, 10, failures=0)
    tell(log, 30, failures=1)
    turned(log, store, WIDE)
    tell(log, 30, failures=1)
    tell(log, 31, failures=1)
    tell(log, 5, failures=1, follower="f2")
    tell(log, 4, failures=0)  # it was started again
    loop = turned(log, store, WIDE)
    rollout = loop.owner.lane.succession.rollout
    assert rollout.heard is not None
    told = rollout.heard.told
    assert (told.answers, told.failures, told.serving) == (40, 2, 2)
    assert replayed(log, WIDE) == loop.owner.learning_state_hash()


def test_crashes_anywhere_let_no_count_in_twice(dying: Any) -> None:
    """Nor lose one: whatever was told and checkpointed when a process died, the sum is what the follower says."""
    log, store, crashes = filled(), MemoryStore(), 0
    learned(log, store, WIDE)
    for value in log_values(2000)[1600:]:
        log.append("events", value)
    for after in range(1, 25):
        tell(log, 10 * after, failures=3)
        loop = loop_on(log, store, WIDE)
        dying(loop, store, after=after)
        try:
            loop.run(until_end=True)
        except Crash:
            crashes += 1
    assert crashes > 5
    loop = turned(log, store, WIDE)
    rollout = loop.owner.lane.succession.rollout
    assert rollout.heard is not None
    assert (rollout.heard.told.answers, rollout.heard.told.failures) == (240, 3)
    assert replayed(log, WIDE) == loop.owner.learning_state_hash()

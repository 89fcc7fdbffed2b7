"""The change envelope, over a log in memory: what a learner says and does that goes on under another one."""

from typing import Any

import orjson

from anabranch.messages import Alert, Decision, DecisionAnswer, LearnedOrder, decode, encode
from config import envelope
from config.settings import Settings
from consumers.owner import StartOptions
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryControl, MemoryLog
from support import loops
from support.loops import filled, settings_of, updates_in
from support.replays import replayed
from support.streams import rows

WIDER = {"false_swap_every": 900, "probation_events": 300}
ASKS: dict[str, Any] = {"envelope": "approved"}
BEFORE, AFTER = settings_of(control=ASKS), settings_of(control=ASKS, arena=WIDER)
KINDS = ("swap", "rollback")


def learned(log: MemoryLog, store: MemoryStore, settings: Settings, **more: Any) -> Any:
    """Learn to the end, and one turn more, for what was asked."""
    loop = loops.loop_on(log, store, settings, controls=lambda: MemoryControl(log), **more)
    loop.run(until_end=True)
    return loop


def more(log: MemoryLog, events: int = 2000, *, name: str = "more") -> None:
    """Events of the filled log once more, whose concept is another at their beginning."""
    for each in rows(events):
        log.append("events", orjson.dumps({**each, "id": f"{name}-{each['id']}"}))


def approve(log: MemoryLog, digest: str, *, number: int = 1) -> None:
    asked = Decision(id=f"d{number}", model="m", ts=1.6e9, step="envelope", envelope=digest, why="assessed", by="ann")
    log.append("model-control", encode(asked))


def swaps(log: MemoryLog) -> int:
    return sum(each.kind in KINDS for each in updates_in(log))


def alerts(log: MemoryLog) -> list[Alert]:
    return [each for value in log.values("model-alerts") if (each := decode(Alert, value)).kind == "envelope"]


def test_brokers_and_places_are_no_part_of_it_and_defaults_are() -> None:
    """So that a test system and production have one envelope, and what a release decides has to be approved, too."""
    other = settings_of(control=ASKS, checkpoint={"every_events": 7}, kafka={"client.id": "x"})
    assert envelope.digest(other) == envelope.digest(BEFORE) != envelope.digest(AFTER)
    assert envelope.document(BEFORE)["rollout"]["kind"] == "immediate"
    assert envelope.canonical(BEFORE) == envelope.canonical(settings_of(control=ASKS))


def test_each_version_names_the_envelope_that_it_arose_in() -> None:
    """Through a change of it."""
    log, store = filled(), MemoryStore()
    learned(log, store, settings_of())
    versions = len(updates_in(log))
    more(log)
    learned(log, store, settings_of(arena=WIDER))
    named = [each.envelope for each in updates_in(log)]
    assert set(named[:versions]) == {envelope.digest(BEFORE)}
    assert set(named[versions:]) == {envelope.digest(AFTER)}


def test_another_envelope_is_told_and_changes_nothing_else_where_no_approval_is_asked_for() -> None:
    """Once, with what it was and what it is."""
    log, store = filled(), MemoryStore()
    learned(log, store, settings_of())
    more(log)
    for _ in range(2):
        learned(log, store, settings_of(arena=WIDER))
    (alert,) = alerts(log)
    assert alert.level == "info"
    assert envelope.digest(BEFORE) in alert.reason
    assert envelope.digest(AFTER) in alert.reason
    assert not any(each.startswith("unapproved") for each in learned(log, store, AFTER).owner.lane.succession.holds)


def test_nothing_is_swapped_by_itself_until_a_person_approves() -> None:
    """It goes on learning and announcing; what a person says is done; after the approval evidence counts again."""
    log, store = filled(), MemoryStore()
    learned(log, store, BEFORE)
    before = swaps(log)
    assert before
    more(log)
    held = learned(log, store, AFTER)
    (alert,) = alerts(log)
    assert alert.level == "alert"
    assert held.owner.lane.events == 4000
    assert swaps(log) == before
    assert updates_in(log)[-1].event_number > 2000
    assert held.owner.lane.succession.holds == (f"unapproved {envelope.digest(AFTER)}",)
    approve(log, envelope.digest(BEFORE), number=1)
    approve(log, envelope.digest(AFTER), number=2)
    more(log, name="again")
    freed = learned(log, store, AFTER)
    answers = [decode(DecisionAnswer, value) for value in log.values("model-answers")]
    assert [each.accepted for each in answers] == [False, True]
    assert envelope.digest(AFTER) in answers[0].withheld
    assert swaps(log) > before
    assert freed.owner.lane.succession.holds == ()
    assert len(alerts(log)) == 1


def test_going_back_to_the_approved_one_needs_nobody() -> None:
    """What was approved stays approved, through a rebuild as well."""
    log, store = filled(), MemoryStore()
    learned(log, store, BEFORE)
    learned(log, store, AFTER)
    assert learned(log, store, BEFORE).owner.lane.succession.holds == ()
    rebuilt = learned(log, store, AFTER, how=StartOptions(rebuild=True))
    assert rebuilt.owner.lane.succession.holds == (f"unapproved {envelope.digest(AFTER)}",)
    assert learned(log, store, BEFORE).owner.lane.succession.holds == ()


def test_it_is_told_in_the_order_so_that_a_replay_holds_back_the_same() -> None:
    """What did not change between the two configurations decides the same: only the envelope's text differs."""
    log, store = filled(), MemoryStore()
    learned(log, store, BEFORE)
    more(log)
    after = settings_of(control=ASKS, retrain={"admit_after_events": 20, "library_max": 2})
    loop = learned(log, store, after)
    told = [decode(LearnedOrder, value).envelope for value in log.values("model-learned")]
    assert [each.digest for each in told if each is not None] == [envelope.digest(after)]
    assert replayed(log, after) == loop.owner.learning_state_hash()

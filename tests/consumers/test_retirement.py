"""A model is taken out of service and put back: over a log in memory, through restarts, crashes and a rebuild."""

import random
from functools import partial
from typing import Any

import pytest

from anabranch.messages import ModelUpdate, Retire, RetireAnswer, Retrain, UnreadableMessage, decode, encode
from consumers.loop import LearningLoop
from consumers.owner import StartOptions
from consumers.stores import MemoryStore
from evaluation.simulation.world import Crash, MemoryControl, MemoryLog
from support import loops
from support.loops import filled


def updates_in(log: MemoryLog) -> list[ModelUpdate]:
    """What was announced; what a restart has said once more, once."""
    said = {(each.epoch, each.seq): each for each in loops.updates_in(log)}
    return [said[numbers] for numbers in sorted(said)]


def loop_on(log: MemoryLog, store: MemoryStore, *, rebuild: bool = False) -> LearningLoop:
    return loops.loop_on(
        log,
        store,
        how=StartOptions(rebuild=rebuild),
        controls=lambda: MemoryControl(log),
        announced=lambda scope: next(reversed(updates_in(log)), None),
    )


def run(log: MemoryLog, store: MemoryStore, *, rebuild: bool = False) -> LearningLoop:
    """Learn to the end."""
    loop = loop_on(log, store, rebuild=rebuild)
    loop.run(until_end=True)
    return loop


def ask(log: MemoryLog, step: str, **more: Any) -> None:
    """Publish a request."""
    table = {"id": f"{step}-1", "model": "m", "ts": 1.6e9, "step": step, "why": "it leaks", "by": "ann", **more}
    log.append("model-control", encode(Retire(**table)))


def turned(log: MemoryLog, store: MemoryStore) -> LearningLoop:
    """A process that finds what was asked, and ends."""
    loop = loop_on(log, store)
    loop.ports.source.start(loop)
    loop._turn()
    return loop


def answers(log: MemoryLog) -> list[RetireAnswer]:
    return [decode(RetireAnswer, value) for value in log.values("model-answers")]


def more(log: MemoryLog, events: int = 1000) -> None:
    """So many events more."""
    for record in filled(3000).records["events", 0][2000 : 2000 + events]:
        log.append("events", record.value or b"")


def test_a_retired_model_is_announced_as_such_and_nothing_after_it() -> None:
    """Without a model, next in order; learning goes on, through a restart, and its refreshes are kept back."""
    log, store = filled(), MemoryStore()
    run(log, store)
    before = updates_in(log)
    ask(log, "retire")
    turned(log, store)
    (retired,) = updates_in(log)[len(before) :]
    assert (retired.kind, retired.artifact, retired.version) == ("retired", None, before[-1].version)
    assert (retired.epoch, retired.seq) == (before[-1].epoch, before[-1].seq + 1)
    assert (retired.reason, retired.by) == ("it leaks", "ann")
    more(log)
    loop = run(log, store)
    assert loop.owner.lane.events == 3000
    assert updates_in(log)[len(before) :] == [retired]
    (answer,) = answers(log)
    assert (answer.accepted, answer.version, answer.request) == (True, retired.version, "retire-1")


def test_a_reinstated_model_is_the_live_champion_announced_anew() -> None:
    """Newer than the retirement, with all that was learned meanwhile; and refreshes come again."""
    log, store = filled(), MemoryStore()
    run(log, store)
    ask(log, "retire")
    turned(log, store)
    more(log, 500)
    run(log, store)
    ask(log, "reinstate", why="mended")
    loop = turned(log, store)
    update = updates_in(log)[-1]
    assert (update.kind, update.event_number, update.reason, update.by) == ("reinstated", 2500, "mended", "ann")
    assert update.artifact is not None
    assert [each.seq for each in updates_in(log)] == list(range(1, update.seq + 1))
    assert loop.owner.retired is None
    for record in filled(3000).records["events", 0][2500:]:
        log.append("events", record.value or b"")
    run(log, store)
    assert updates_in(log)[-1].seq > update.seq


@pytest.mark.parametrize(
    ("steps", "withheld"),
    [(["retire", "retire"], "it is retired already: it leaks"), (["reinstate"], "it is not retired")],
)
def test_what_is_so_already_is_said(steps: list[str], withheld: str) -> None:
    """And announced no second time."""
    log, store = filled(500), MemoryStore()
    run(log, store)
    for number, step in enumerate(steps):
        ask(log, step, id=str(number))
    turned(log, store)
    assert answers(log)[-1].withheld == withheld
    assert not answers(log)[-1].accepted
    assert sum(each.kind in ("retired", "reinstated") for each in updates_in(log)) == len(steps) - 1


def test_before_the_first_announcement_there_is_nothing_to_retire() -> None:
    """The answer says so."""
    log, store = filled(20), MemoryStore()
    run(log, store)
    ask(log, "retire")
    turned(log, store)
    assert answers(log)[-1].withheld == "nothing is announced yet"


def test_a_rebuilt_model_stays_retired_until_somebody_asks() -> None:
    """It reads no checkpoint, but what was announced last."""
    log, store = filled(), MemoryStore()
    run(log, store)
    ask(log, "retire")
    turned(log, store)
    count = len(updates_in(log))
    loop = run(log, store, rebuild=True)
    assert loop.owner.rebuilding == ""
    assert len(updates_in(log)) == count
    ask(log, "reinstate")
    turned(log, store)
    assert (updates_in(log)[-1].kind, updates_in(log)[-1].epoch) == ("reinstated", 2)


def test_who_has_lost_every_checkpoint_stays_retired() -> None:
    """What was announced last says so."""
    log = filled()
    store = MemoryStore()
    run(log, store)
    ask(log, "retire")
    turned(log, store)
    log.commits.clear()
    loop = run(log, MemoryStore())
    assert loop.owner.retired is not None
    assert updates_in(log)[-1].kind == "retired"


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_at_any_step_retires_once(seed: int) -> None:
    """One update by its numbers, however often it is said; and one answer by its id."""
    log, store = filled(400), MemoryStore()
    run(log, store)
    ask(log, "retire")
    rng = random.Random(seed)
    sends = rng.randrange(1, 9)

    def dying(send: Any, *args: Any, **named: Any) -> Any:
        nonlocal sends
        sends -= 1
        if sends == 0:
            raise Crash
        return send(*args, **named)

    loop = loop_on(log, store)
    for name in ("send", "flush"):
        setattr(loop.ports.sink, name, partial(dying, getattr(loop.ports.sink, name)))
    loop.ports.source.start(loop)
    try:
        loop._turn()
    except Crash:
        turned(log, store)
    assert sum(each.kind == "retired" for each in updates_in(log)) == 1
    assert {each.id for each in answers(log)} == {"m/retire-1"}


def test_an_older_learner_takes_no_retirement_for_a_request_to_retrain() -> None:
    """It refuses it."""
    asked = Retire(id="1", model="m", ts=0.0, step="retire", why="it leaks")
    with pytest.raises(UnreadableMessage):
        decode(Retrain, encode(asked))


def test_an_update_has_a_model_or_is_a_retirement() -> None:
    """What is neither is refused as it is read."""
    log, store = filled(400), MemoryStore()
    run(log, store)
    update = updates_in(log)[-1]
    for changed in ({"artifact": None}, {"kind": "retired"}):
        with pytest.raises(UnreadableMessage, match="an update has an artifact"):
            decode(ModelUpdate, encode(update.model_copy(update=changed)))

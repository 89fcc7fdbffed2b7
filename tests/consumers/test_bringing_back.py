"""A rollback by a person's word to a version whose probation is over, over a log in memory."""

from typing import Any

from anabranch import artifact
from anabranch.errors import ArtifactMissing
from anabranch.messages import Decision, DecisionAnswer, ModelUpdate, decode, encode
from anabranch.scope import Scope
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryControl, MemoryLog
from learners.emitted import Kept
from support import loops
from support.loops import filled, settings_of, updates_in
from support.replays import replayed

SETTINGS = settings_of(
    arena={"false_swap_every": 1000, "probation_events": 300, "contest_events": 400}, retrain={"library_max": 0}
)


def kept_on(log: MemoryLog) -> Any:
    """Reads versions from the log, as a learner does from Kafka."""

    def kept(scope: Scope, version: int) -> Kept:
        update = next(each for each in updates_in(log) if each.version == version)
        wanted = artifact.chunk_key(update.model, scope, version, sha256=update.pointer.sha256)
        chunks = [each for each in log.records["model-artifacts", 0] if (each.key or b"").startswith(wanted.encode())]
        if any(each.value is None for each in chunks):
            raise ArtifactMissing("its bytes are gone")
        data = b"".join(each.value or b"" for each in chunks)
        return Kept(version, artifact.unpack(data, sha256=update.pointer.sha256).model, update.trained_on)

    return kept


def loop_on(log: MemoryLog, store: MemoryStore) -> LearningLoop:
    return loops.loop_on(log, store, SETTINGS, controls=lambda: MemoryControl(log), kept=kept_on(log))


def turned(log: MemoryLog, store: MemoryStore) -> LearningLoop:
    """A process that finds what was asked, and is gone."""
    loop = loop_on(log, store)
    loop.ports.source.start(loop)
    loop._turn()
    return loop


def asked_for(log: MemoryLog, version: int, *, number: int = 1) -> None:
    asked = Decision(id=f"d{number}", model="m", ts=1.0, step="rollback", version=version, why="complaints", by="ann")
    log.append("model-control", encode(asked))


def learned() -> tuple[MemoryLog, MemoryStore, LearningLoop]:
    log, store = filled(), MemoryStore()
    loop = loop_on(log, store)
    loop.run(until_end=True)
    assert 2 not in loop.owner.lane.succession.in_probation()
    return log, store, loop


def answers(log: MemoryLog) -> list[DecisionAnswer]:
    return [decode(DecisionAnswer, value) for value in log.values("model-answers")]


def test_a_version_of_long_ago_answers_as_it_was_announced_and_a_replay_comes_to_the_same() -> None:
    """It says what it restores, by whom; what was the champion can come back in its probation."""
    log, store, before = learned()
    champion = before.owner.lane.version
    asked_for(log, 2)
    loop = turned(log, store)
    update: ModelUpdate = updates_in(log)[-1]
    assert (update.kind, update.restores, update.parent, update.by) == ("rollback", 2, 2, "ann")
    assert answers(log)[-1].accepted
    restored, announced = kept_on(log)("global", update.version).model, kept_on(log)("global", 2).model
    row = {"f0": 5.0, "f1": 1.0, "f2": 2.0}
    assert restored.predict_proba_one(row) == announced.predict_proba_one(row)
    assert champion in loop.owner.lane.succession.in_probation()
    assert replayed(log, SETTINGS) == loop.owner.learning_state_hash()
    assert turned(log, store).owner.learning_state_hash() == loop.owner.learning_state_hash()


def test_what_is_gone_is_said_with_what_is_there() -> None:
    """And a version that answers already, or was never announced."""
    log, store, before = learned()
    newest = before.owner.lane.version
    for record in [each for each in log.records["model-artifacts", 0] if (each.key or b"").startswith(b"m/global/2/")]:
        log.records["model-artifacts", 0].remove(record)
        log.append("model-artifacts", None, key=record.key)
    asked_for(log, 2, number=1)
    asked_for(log, newest, number=2)
    turned(log, store)
    gone, already = answers(log)
    assert not gone.accepted
    assert "version 2 cannot be had: its bytes are gone" in gone.withheld
    assert "of which the bytes are there: 1, 2, 3" in gone.withheld
    assert already.withheld == f"version {newest} answers already"
    assert updates_in(log)[-1].version == newest

"""What a learner records of changes, over a log in memory: each once and in one chain, whatever happens between."""

from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anabranch.chain import ChainReader, Head
from anabranch.messages import Act, AuditRecord, Decision, ModelUpdate, Retire, Retrain, decode, encode
from anabranch.signatures import Signer, TrustedKeys
from consumers.loop import LearningLoop
from consumers.owner import StartOptions
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryControl, MemoryLog
from support import loops
from support.loops import filled, settings_of, through_crashes, updates_in

TOPIC = ("model-audit", 0)


def loop_on(log: MemoryLog, store: MemoryStore, *, process: str = "p1", **more: Any) -> LearningLoop:
    settings = more.pop("settings", None) or settings_of()
    return loops.loop_on(log, store, settings, controls=lambda: MemoryControl(log), process=process, **more)


def learned(log: MemoryLog, store: MemoryStore, **more: Any) -> LearningLoop:
    """Learn to the end."""
    loop = loop_on(log, store, **more)
    loop.run(until_end=True)
    return loop


def turned(log: MemoryLog, store: MemoryStore, **more: Any) -> LearningLoop:
    """A process that finds what was asked, and is gone without a word."""
    loop = loop_on(log, store, **more)
    loop.ports.source.start(loop)
    loop._turn()
    return loop


def told(log: MemoryLog) -> list[AuditRecord]:
    """Each record once."""
    found = {each.number: each for value in log.values("model-audit") if (each := decode(AuditRecord, value))}
    return [found[number] for number in sorted(found)]


def chain_of(log: MemoryLog, keys: TrustedKeys | None = None) -> ChainReader:
    reader = ChainReader(keys)
    for record in log.records[TOPIC]:
        reader.add(record.value or b"", record.headers, where=f"offset {record.offset}")
    return reader


def test_each_announcement_is_a_record_with_its_why_and_its_bytes() -> None:
    """In one chain, which begins with who learns, and what they go by."""
    log, store = filled(), MemoryStore()
    loop = learned(log, store)
    first, *others = told(log)
    assert (first.kind, first.number, first.follows, first.after) == ("start", 1, "", "p1")
    assert set(first.details) == {"configuration", "envelope"}
    updates = updates_in(log)
    assert [(each.kind, each.version, each.why) for each in others] == [
        ("promotion", update.version, update.reason) for update in updates
    ]
    assert [each.details["sha256"] for each in others] == [update.pointer.sha256 for update in updates]
    chain = chain_of(log)
    assert (chain.faults, chain.chains["m", "global"].head) == ([], loop.owner.audit.head)


def test_a_persons_requests_are_records_whatever_came_of_them() -> None:
    """Who, why, and what was held before and after."""
    log, store = filled(), MemoryStore()
    learned(log, store)
    known = len(told(log))
    asked = [
        Decision(id="a", model="m", ts=1.0, step="freeze", why="labels are wrong", by="ann"),
        Decision(id="b", model="m", ts=1.0, step="freeze", why="really", by="bob"),
        Retrain(id="c", model="m", ts=1.0, reason="new shop", by="ann"),
        Decision(id="d", model="m", ts=1.0, step="thaw", why="mended", by="ann"),
        Retire(id="e", model="m", ts=1.0, step="retire", why="leaks", by="cid"),
        Act(id="f", model="m", ts=1.0, act="redrive", what="3 published once more", why="schema mended", by="dora"),
    ]
    for each in asked:
        log.append("model-control", encode(each))
    turned(log, store)
    found = {each.request: each for each in told(log)[known:] if each.request}
    assert {name: (each.who, each.done) for name, each in found.items()} == {
        "a": ("ann", True),
        "b": ("bob", False),
        "c": ("ann", True),
        "d": ("ann", True),
        "e": ("cid", True),
        "f": ("dora", True),
    }
    assert (found["a"].before, found["a"].after) == ("nothing is held", "frozen by ann: labels are wrong")
    assert found["b"].details["withheld"].startswith("it is frozen already")
    assert found["e"].after == "retired: leaks"
    assert found["f"].after == "3 published once more"
    assert chain_of(log).faults == []
    assert [each.details["kind"] for each in told(log)[known:] if each.kind == "promotion"][-1] == "retired"


def test_who_takes_over_is_recorded_and_whether_the_one_before_had_died() -> None:
    """The same process again is no news."""
    log, store = filled(), MemoryStore()
    learned(log, store, process="p1")
    learned(log, store, process="p1")
    turned(log, store, process="p2")
    learned(log, store, process="p3")
    starts = [each for each in told(log) if each.kind == "start"]
    assert [(each.before, each.after) for each in starts] == [
        ("", "p1"),
        ("p1, which had ended", "p2"),
        ("p2, which had not ended", "p3"),
    ]
    assert chain_of(log).faults == []


def test_another_configuration_envelope_and_key_are_recorded_with_what_they_were() -> None:
    """Sections by name, and the envelope's text; then all of it is signed by the new key."""
    log, store = filled(), MemoryStore()
    learned(log, store)
    known, offset = len(told(log)), log.next_offset[TOPIC]
    signer = Signer(Ed25519PrivateKey.generate())
    changed = settings_of(arena={"false_swap_every": 900, "probation_events": 300}, pending_max=7)
    learned(log, store, settings=changed, signer=signer)
    configuration, key, envelope = told(log)[known:]
    assert configuration.why == "another configuration: pending_max, arena"
    assert (key.kind, key.before, key.after) == ("key", "", signer.id)
    assert '"false_swap_every":900' in envelope.details["envelope"]
    assert envelope.before != envelope.after == envelope.envelope
    keys = TrustedKeys([signer.public])
    for record in log.records[TOPIC][offset:]:
        keys.verify(record.value or b"", record.headers)


def test_the_chain_is_whole_through_crashes_and_the_same_but_for_what_was_told_twice(dying: Any) -> None:
    """Wherever it dies; no record is told in two ways, and each announcement is recorded once."""
    for seed in range(6):
        log, store = filled(1200), MemoryStore()
        make = partial(loop_on, log, store)
        _, crashes = through_crashes(make, dying, store, rng=Random(seed), most=60)
        chain = chain_of(log)
        assert chain.faults == []
        promoted = [each.version for each in told(log) if each.kind == "promotion"]
        said = {decode(ModelUpdate, value).version for value in log.values("model-updates")}
        assert promoted == sorted(said)
        assert crashes


def test_it_goes_on_after_a_checkpoint_that_is_lost_and_through_a_rebuild() -> None:
    """From the head that the committed offsets name: no number is given twice."""
    log, store = filled(), MemoryStore()
    loop = learned(log, store)
    del store.blobs.held[f"blobs/{loop.owner.sha}"]
    learned(log, store, process="p2")
    learned(log, store, process="p3", how=StartOptions(rebuild=True))
    assert chain_of(log).faults == []
    starts = [each.before for each in told(log) if each.kind == "start"]
    # The parent of the checkpoint that is lost was written before p1 ended.
    assert starts == ["", "p1, which had not ended", "p2, which had ended"]
    rebuild = next(each for each in told(log) if each.kind == "rebuild")
    assert rebuild.why == "rebuilt from the log"
    assert [each.details["kind"] for each in told(log) if each.kind == "promotion"][-1] == "rebuild"


def test_where_every_checkpoint_is_lost_the_break_is_named() -> None:
    """The learner begins another chain, and whoever verifies sees that."""
    log, store = filled(), MemoryStore()
    loop = learned(log, store)
    twin, _ = loops.copies(replace(log, commits={}), store)
    announced = updates_in(log)[-1]
    learned(twin, MemoryStore(), process="p2", announced=lambda scope: announced)
    (fault,) = chain_of(twin).faults
    assert "another chain of m begins" in fault
    assert Head.read(loop.owner._reference("", refs=()).audit) == loop.owner.audit.head


def test_a_rebuild_publishes_what_its_predecessor_had_committed_and_ends_what_was_held() -> None:
    """Though it takes nothing else from the checkpoint."""
    log, store = filled(), MemoryStore()
    learned(log, store)
    asked = Decision(id="a", model="m", ts=1.0, step="freeze", why="labels are wrong", by="ann")
    log.append("model-control", encode(asked))
    loop = loop_on(log, store, process="p2")
    loop.ports.source.start(loop)
    loop.owner._publish_audit = lambda: None  # type: ignore[method-assign]  # it dies right behind each commit
    loop._turn()
    learned(log, store, process="p3", how=StartOptions(rebuild=True))
    assert chain_of(log).faults == []
    by_kind = {each.kind: each for each in told(log)}
    assert by_kind["request"].request == "a"
    assert by_kind["rebuild"].before == "epoch 1; frozen by ann: labels are wrong"
    assert by_kind["rebuild"].after == "epoch 2, from nothing; nothing is held"
    assert [each.before for each in told(log) if each.kind == "start"][-1] == "p2, which had not ended"

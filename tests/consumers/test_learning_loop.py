"""The learning loop over a log in memory: checkpoints, crashes, takeovers, poison."""

import random
from typing import Any

import orjson
import pytest
from river import base, linear_model, preprocessing

from anabranch import artifact
from anabranch.errors import CheckpointError, LogTruncated, OwnershipLost
from anabranch.messages import DeadLetter, DriftSignal, Transition, decode
from consumers import loop as loops
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.world import Crash, MemoryLog
from support.loops import filled, loop_on, settings_of, straight, straight_hash, through_crashes, updates_in


def test_a_drift_ends_in_a_swap_that_is_announced() -> None:
    """From labelled events to a validated swap, in one run."""
    log = filled()
    straight(log)
    kinds = [update.kind for update in updates_in(log)]
    swap = next(update for update in updates_in(log) if update.kind == "swap")
    assert kinds[0] == "first"
    assert 1000 < swap.offset < 1400
    assert swap.verdict is not None
    assert swap.verdict.low > 0
    assert swap.trained_on.ranges[0].end <= swap.offset


def test_an_update_names_what_an_auditor_needs() -> None:
    """The signal that brought the winner is on its topic; positions lie behind the event; features have kinds."""
    log = filled()
    straight(log)
    updates = updates_in(log)
    swap = next(update for update in updates if update.kind == "swap")
    signals = [decode(DriftSignal, value) for value in log.values("drift-signals")]
    assert swap.trigger in {signal.id for signal in signals if signal.triggered}
    assert all(update.positions == {"events/0": update.offset + 1} for update in updates)
    assert [update.parent for update in updates if update.kind == "refresh"] == [
        update.version - 1 for update in updates if update.kind == "refresh"
    ]
    at = swap.artifact
    chunks = log.records[at.topic, at.partition][at.first_offset : at.last_offset + 1]
    unpacked = artifact.unpack(b"".join(chunk.value or b"" for chunk in chunks), sha256=at.sha256)
    assert set(unpacked.kinds.values()) == {"number"}
    assert unpacked.features == set(unpacked.kinds)


@pytest.mark.parametrize("seed", range(8))
def test_crashes_anywhere_change_nothing_that_was_learned(seed: int, dying: Any) -> None:
    """P1: after any crashes, the learning state is that of the run without them, and updates are without gap."""
    expected = straight_hash()
    log, store, rng = filled(), MemoryStore(), random.Random(seed)
    loop, crashes = through_crashes(lambda: loop_on(log, store), dying, store, rng=rng, most=40)
    assert crashes > 3
    assert loop.owner.learning_state_hash() == expected
    assert sorted({(each.epoch, each.seq) for each in updates_in(log)}) == [(1, n + 1) for n in range(loop.owner.seq)]


def test_whoever_was_taken_over_commits_and_announces_nothing() -> None:
    """P3: the broker fences the old owner; what it did since its last commit is dropped."""
    log, store = filled(), MemoryStore()
    old = loop_on(log, store, settings_of(checkpoint={"every_events": 10_000}))
    old.ports.source.start(old)
    old._turn()
    heir = loop_on(log, store)
    heir.ports.source.start(heir)
    announced = len(updates_in(log))
    with pytest.raises(OwnershipLost, match="another"):
        old.owner.checkpoint()
    assert len(updates_in(log)) == announced


def test_an_update_whose_announcement_was_lost_is_announced_after_the_restart() -> None:
    """P5: no announcement outruns durable state, and none is lost."""
    log, store = filled(), MemoryStore()
    loop = loop_on(log, store)
    loop.ports.source.start(loop)
    loop.owner._publish_outbox = lambda: (_ for _ in ()).throw(Crash)  # type: ignore[method-assign]  # dies between commit and outbox
    with pytest.raises(Crash):
        loop._turn()
    assert not updates_in(log)
    loop_on(log, store).run(until_end=True)
    assert [update.seq for update in updates_in(log)][:2] == [1, 2]


def test_a_missing_blob_falls_back_to_its_parent() -> None:
    """A torn or lost blob costs the work since its parent, never an event."""
    expected = straight_hash()
    log, store = filled(), MemoryStore(keep=3)
    loop = loop_on(log, store)
    loop.run(until_end=True)
    del store.blobs.held[f"blobs/{loop.owner.sha}"]
    again = loop_on(log, store)
    again.run(until_end=True)
    assert again.owner.learning_state_hash() == expected


def test_without_any_readable_blob_the_start_is_refused() -> None:
    """P9: a loud stop instead of silent loss."""
    log, store = filled(300), MemoryStore()
    straight_loop = loop_on(log, store)
    straight_loop.run(until_end=True)
    store.blobs.held.clear()
    with pytest.raises(CheckpointError, match="no blob"):
        loop_on(log, store).run(until_end=True)


def test_a_model_that_lost_its_checkpoints_announces_after_what_it_had_announced() -> None:
    """Followers would take an epoch that they know for the past, and keep a model that nobody trains."""
    log = filled()
    straight(log)
    before = updates_in(log)[-1]
    log.commits.clear()
    loop = loop_on(log, MemoryStore())
    loop.ports.announced = lambda scope: before
    loop.run(until_end=True)
    after = [update for update in updates_in(log) if update.epoch > before.epoch]
    assert [update.seq for update in after] == [before.seq + 1 + n for n in range(len(after))]
    assert after[0].version == before.version + 1


def test_records_that_retention_took_before_they_were_learned_stop_the_loop() -> None:
    """P9: it says which offsets are gone."""
    log, store = filled(600), MemoryStore()
    loop = loop_on(log, store)
    loop.ports.source.start(loop)
    loop.owner.checkpoint()
    log.trim("events", before=300)
    with pytest.raises(LogTruncated, match="offsets 0 to 299 are gone"):
        loop_on(log, store).run(until_end=True)


def test_refused_records_leave_the_learning_state_alone() -> None:
    """P7: the hash is as if they had never been."""
    clean, dirty = filled(800), MemoryLog()
    bad = [b"{", b'{"id":"x","ts":1600000000,"features":{"0":NaN},"label":true}', b'{"id":"y"}', b"[1]"]
    for n, record in enumerate(clean.records["events", 0]):
        dirty.append("events", record.value or b"")
        if n % 7 == 0:
            dirty.append("events", bad[n % len(bad)])
    assert straight(dirty).owner.lane.scores.values() == straight(clean).owner.lane.scores.values()
    letters = [decode(DeadLetter, value) for value in dirty.values("dead-letters")]
    assert len(letters) == 115
    assert {letter.stage for letter in letters} == {"decode", "schema"}


class Choking(base.Classifier):
    """A linear model that raises half way through learning one marked row."""

    def __init__(self) -> None:
        self.inner = preprocessing.StandardScaler() | linear_model.LogisticRegression()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.inner.learn_one(x, y)
        if x["0"] == 666.0:
            raise ArithmeticError("choked")

    def predict_proba_one(self, x: dict[Any, Any], **named: Any) -> Any:
        return self.inner.predict_proba_one(x)


def test_refused_records_move_offsets_and_not_the_hash() -> None:
    """P7, with detectors, retraining from the log and swaps: bad records between the good ones leave no trace."""
    log = MemoryLog()
    for n, value in enumerate(filled().values("events")):
        log.append("events", value)
        if n % 3 == 0:
            log.append("events", b"{")
    loop = straight(log)
    assert loop.owner.guard.refused == 667
    assert any(update.kind == "swap" for update in updates_in(log))
    assert loop.owner.learning_state_hash() == straight_hash()


def test_an_event_that_the_champion_chokes_on_is_left_out() -> None:
    """The half-learned event is undone, becomes a dead letter, and the rest is learned as if it had never been."""
    choking = {"factory": f"{__name__}:Choking", "trusted": [f"{__name__}:Choking"]}
    settings = settings_of(model=choking, detectors={})
    clean, poisoned = filled(600), MemoryLog()
    for n, record in enumerate(clean.records["events", 0]):
        if n == 333:
            poisoned.append("events", b'{"id":"bad","ts":1.6e9,"features":{"0":666.0,"1":1.0,"2":1.0},"label":true}')
        poisoned.append("events", record.value or b"")
    loop = straight(poisoned, settings)
    assert loop.owner.lane.champion.model.inner["LogisticRegression"].weights == (
        straight(clean, settings).owner.lane.champion.model.inner["LogisticRegression"].weights
    )
    letter = decode(DeadLetter, poisoned.values("dead-letters")[-1])
    assert (letter.stage, letter.offset) == ("learn", 333)


@pytest.mark.parametrize("late", [False, True])
def test_in_blocks_an_event_is_left_out_although_its_record_was_read_before_the_checkpoint(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads it again: it is left out of the block that the checkpoint holds, and becomes a dead letter once."""
    monkeypatch.setattr(loops, "BATCH_MAX", 50)
    choking = {"factory": f"{__name__}:Choking", "trusted": [f"{__name__}:Choking"]}
    settings = settings_of(
        model=choking,
        detectors={},
        publish={"blocks": 300},
        checkpoint={"every_events": 130},
        labels={"late": True} if late else {},
    )
    clean, poisoned = filled(1000), MemoryLog()
    for n, record in enumerate(clean.records["events", 0]):
        if n == 333:
            poisoned.append("events", b'{"id":"bad","ts":1.6e9,"features":{"0":666.0,"1":1.0,"2":1.0},"label":true}')
        poisoned.append("events", record.value or b"")
    loop = straight(poisoned, settings)
    assert loop.owner.lane.events == 1001
    assert loop.owner.lane.champion.model.inner["LogisticRegression"].weights
    letters = [decode(DeadLetter, each) for each in poisoned.values("dead-letters")]
    assert [(each.stage, each.offset) for each in letters] == [("learn", 333)]
    assert "ArithmeticError: choked" in letters[0].reason


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, True),
        ({"labels": {"horizon": "2h"}}, True),
        ({"labels": {"horizon": "2h", "default": False}}, False),
        ({"labels": {"horizon": "2h", "several": "max"}}, False),
        ({"labels": {"horizon": "2h", "default": False, "examples": True}}, True),
        ({"privacy": {"users": ["who"], "pseudonyms": "x" * 32}}, False),
    ],
)
def test_updates_name_their_order_where_the_records_say_what_was_learned(more: dict[str, Any], names: bool) -> None:
    """Not where a label is made up at a horizon, or a pseudonym is learned and no record holds it."""
    log = filled(600)
    straight(log, settings_of(**more))
    assert {bool(update.order) for update in updates_in(log)} == {names}


def test_offsets_with_gaps_are_normal() -> None:
    """Transactions and compaction leave holes; ranges are replayed across them."""
    log = MemoryLog()
    for record in filled().records["events", 0]:
        log.append("events", record.value or b"")
        if record.offset % 50 == 0:
            log.skip("events")
    straight(log)
    assert "swap" in [update.kind for update in updates_in(log)]


def test_several_partitions_are_replayed_in_the_order_they_were_learned() -> None:
    """A recruit on many partitions is the same model whether it is trained before or after a restart."""
    log = filled(4000, partitions=3)
    loop = straight(log)
    again = straight(filled(4000, partitions=3))
    assert "swap" in [update.kind for update in updates_in(log)]
    assert loop.owner.learning_state_hash() == again.owner.learning_state_hash()


def test_the_first_champion_is_made_once() -> None:
    """A long warm-up, or a file that is gone, has nothing to do with a restart."""
    log, store = filled(300), MemoryStore()
    made = []

    def loop() -> LearningLoop:
        again = loop_on(log, store)
        first = again.first
        again.first = lambda: made.append(1) or first()  # type: ignore[func-returns-value]
        return again

    for _ in range(3):
        loop().run(until_end=True)
    assert made == [1]


def test_duplicates_alone_are_checkpointed_too() -> None:
    """Else retention could take what is behind them before they count as read."""
    log, store = MemoryLog(), MemoryStore()
    for _ in range(2):
        for n in range(400):
            value = {"id": f"e{n}", "ts": 1.6e9, "features": {"a": n}, "label": n % 2 == 0}
            log.append("events", orjson.dumps(value))
    loop = loop_on(log, store)
    loop.ports.source.start(loop)
    while not loop.ports.source.at_end():
        loop._turn()
    assert loop.owner.checkpointed_at[0] > 700


def test_a_recruit_that_cannot_learn_costs_its_job() -> None:
    """In a backtest as in production: what its training raised is told, and the champion goes on."""
    log = MemoryLog()
    for n in range(400):
        value = {"id": f"e{n}", "ts": 1.6e9, "features": {"a": "xyz"[n % 3]}, "label": n % 2 == 0}
        log.append("events", orjson.dumps(value))
    numbers_only = {"steps": [{"use": "linear_model.LogisticRegression"}]}
    loop = straight(
        log,
        settings_of(
            model={"steps": [{"use": "tree.HoeffdingTreeClassifier"}]},
            detectors={"due": {"use": "schedule", "every_events": 150}},
            retrain={"admit_after_events": 20, "recruits": [{"on": "last", "events": 100, "model": numbers_only}]},
        ),
    )
    assert loop.owner.lane.events == 400
    steps = [decode(Transition, value) for value in log.values("model-lifecycle")]
    assert [each.reason for each in steps if each.after == "gone"][:1] == [
        "training raised TypeError: VectorDict values must be real numbers"
    ]


def test_recruits_share_what_the_model_trusts_and_whom_it_recommends_to() -> None:
    """All lie in one checkpoint."""
    recruit = {"on": "now", "model": {"factory": "mine:make", "trusted": ["mine"]}}
    settings = settings_of(
        model={"steps": [{"use": "naive_bayes.GaussianNB"}], "trusted": ["yours"], "user": "who"},
        retrain={"recruits": [recruit]},
    )
    (model,) = [each.model for each in settings.retrain.recruits]
    assert model is not None
    assert settings.model.trusted == model.trusted == ("yours", "mine")
    assert (model.user, model.item) == ("who", "item")


def test_a_changed_model_is_told_at_the_restart(capsys: pytest.CaptureFixture[str]) -> None:
    """The checkpoint's models go on: that is not what whoever changed it expects."""
    log, store = filled(300), MemoryStore()
    loop_on(log, store).run(until_end=True)
    capsys.readouterr()
    loop_on(log, store, settings_of(model={"steps": [{"use": "tree.HoeffdingTreeClassifier"}]})).run(until_end=True)
    assert "anabranch rebuild" in capsys.readouterr().out


def test_bytes_of_old_versions_are_dropped() -> None:
    """The newest two stay; those before have tombstones under each of their keys, after a restart, too."""
    log, store = filled(1600), MemoryStore()
    settings = settings_of(publish={"warm_up_events": 50, "refresh_events": 200, "versions_kept": 2})
    whole = log.records["events", 0]
    for end in (700, 1600):
        log.records["events", 0] = whole[:end]
        log.next_offset["events", 0] = end
        loop_on(log, store, settings).run(until_end=True)
    last: dict[bytes, bytes | None] = {}
    for record in log.records["model-artifacts", 0]:
        last[record.key or b""] = record.value
    there = {key.decode().rsplit("/", 1)[0] for key, value in last.items() if value is not None}
    gone = {key.decode().rsplit("/", 1)[0] for key, value in last.items() if value is None}
    versions = [each.version for each in updates_in(log)]
    assert len(versions) > 5
    assert len(there) == 2
    assert len(gone) == len(versions) - 2
    assert all(any(f"/{version}/" in f"{key}/" for key in there) for version in versions[-2:])


def test_a_checkpoint_refers_to_what_followers_have() -> None:
    """The announced bytes lie beside the checkpoints, once; those that no checkpoint needs any more are gone."""
    log, store = filled(1200), MemoryStore(keep=3)
    loop = loop_on(log, store)
    loop.run(until_end=True)
    published = loop.owner.lane.published
    entries = store.manifest()
    assert store.get(published.sha256) == published.data
    assert published.sha256 in entries[-1]["refs"]
    assert published.data not in store.get(str(entries[-1]["sha"]))
    needed = {f"blobs/{sha}" for each in entries for sha in (each["sha"], each["parent"], *each["refs"])}
    assert set(store.blobs.held) == {*needed, "manifest.json"}


def test_a_copy_that_is_lost_is_as_a_lost_checkpoint() -> None:
    """Its parent is taken if that refers to another; else the start is refused, and names the blob."""
    log, store = filled(300), MemoryStore()
    loop = loop_on(log, store)
    loop.run(until_end=True)
    sha256 = loop.owner.lane.published.sha256
    del store.blobs.held[f"blobs/{sha256}"]
    with pytest.raises(CheckpointError, match=f"blobs/{sha256}"):
        loop_on(log, store).run(until_end=True)

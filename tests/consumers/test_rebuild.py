"""A checkpoint of another River, and the rebuild from the log: over a log in memory, and on a real Kafka."""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from anabranch import statetree
from anabranch.errors import CheckpointError, LogTruncated
from anabranch.kafka import updates as kafka_updates
from anabranch.messages import LearnedOrder, TopicRange, decode
from anabranch.order import OrderReader
from commands import wiring
from consumers.checkpoint import inspect
from consumers.loop import LearningLoop
from consumers.owner import StartOptions
from consumers.stores import MemoryStore
from evaluation.simulation.world import Crash, MemoryLog
from support import loops, streams
from support.command_line import anabranch as carried_out
from support.command_line import config_in
from support.loops import copies, settings_of, updates_in

SETTINGS = settings_of()


def sea(events: int) -> Iterator[bytes]:
    """A stream whose labels are turned round half way."""
    return streams.sea(events, turned=lambda n: n > events // 2, ts=1.6e9)


def log_of(events: int) -> MemoryLog:
    return loops.log_of(sea(events))


def loop_on(
    log: MemoryLog, store: MemoryStore, *, rebuild: bool = False, without: tuple[TopicRange, ...] = ()
) -> LearningLoop:
    return loops.loop_on(log, store, SETTINGS, how=StartOptions(rebuild=rebuild, without=without))


def run(log: MemoryLog, store: MemoryStore, *, rebuild: bool = False) -> LearningLoop:
    loop = loop_on(log, store, rebuild=rebuild)
    loop.run(until_end=True)
    return loop


@cache
def learned_once() -> tuple[MemoryLog, MemoryStore, LearningLoop]:
    log, store = log_of(2000), MemoryStore()
    return log, store, run(log, store)


@cache
def rebuilt_once() -> LearningLoop:
    """What learned that log again, straight on."""
    log, store, _ = learned_once()
    return run(*copies(log, store), rebuild=True)


@pytest.fixture
def learned() -> tuple[MemoryLog, MemoryStore, LearningLoop]:
    """A log that was learned to its end, with a drift and a swap."""
    log, store, straight = learned_once()
    return *copies(log, store), straight


Learned = tuple[MemoryLog, MemoryStore, LearningLoop]


def test_a_checkpoint_of_another_river_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both versions and the command that helps; nothing is learned, nothing committed."""
    log, store = log_of(300), MemoryStore()
    with monkeypatch.context() as older:
        older.setattr(statetree, "river_version", "0.25.0")
        run(log, store)
    before = log.committed
    with pytest.raises(
        CheckpointError, match=r"with River 0\.25\.0, here is River 0\.26\.1.*`anabranch rebuild CONFIG`"
    ):
        run(log, store)
    with pytest.raises(CheckpointError, match=r"0\.25\.0.*`anabranch rebuild CONFIG`"):
        inspect(SETTINGS, store)
    assert log.committed == before


def test_it_is_rebuilt_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old blob is never read, and the next start goes on from the rebuilt state."""
    log, store = log_of(2000), MemoryStore()
    with monkeypatch.context() as older:
        older.setattr(statetree, "river_version", "0.25.0")
        run(log, store)
    rebuilt = run(log, store, rebuild=True)
    assert rebuilt.owner.lane.events == 2000
    assert run(log, store).owner.learning_state_hash() == rebuilt.owner.learning_state_hash()


def test_a_rebuilt_model_has_learned_what_the_first_had(learned: Learned) -> None:
    """The same swaps at the same places, and the same champion, bit for bit."""
    log, store, straight = learned
    rebuilt = run(log, store, rebuild=True)
    assert "swap" in [update.kind for update in updates_in(log)]
    assert statetree.digest(rebuilt.owner.lane.champion.model) == statetree.digest(straight.owner.lane.champion.model)
    assert rebuilt.owner.lane.scores.values() == straight.owner.lane.scores.values()


def test_only_the_model_that_has_caught_up_is_announced(learned: Learned) -> None:
    """Once, in the next epoch, with a version that was never used: followers do not go back to a beginner."""
    log, store, straight = learned
    before = updates_in(log)
    rebuilt = run(log, store, rebuild=True)
    (update,) = updates_in(log)[len(before) :]
    assert (update.kind, update.epoch, update.reason) == ("rebuild", 2, "rebuilt from the log")
    assert (update.event_number, update.offset) == (2000, 1999)
    assert update.version == rebuilt.owner.lane.version > straight.owner.lane.version
    assert update.seq == before[-1].seq + 1


def test_learning_goes_on_under_the_next_epoch(learned: Learned) -> None:
    """Versions and (epoch, seq) rise for good, over two rebuilds and what is learned after each."""
    log, store, _ = learned
    for n in range(2):
        run(log, store, rebuild=True)
        for value in itertools.islice(sea(5000), 2000 + 500 * n, 2500 + 500 * n):
            log.append("events", value)
        run(log, store)
    updates = updates_in(log)
    orders = [(update.epoch, update.seq) for update in updates]
    assert orders == sorted(set(orders))
    assert orders[-1][0] == 3
    assert len({update.version for update in updates}) == len(updates)


def interrupted(
    log: MemoryLog, store: MemoryStore, dying: Any, *, seed: int, without: Sequence[TopicRange] = ()
) -> LearningLoop:
    """A rebuild through crashes; once its first checkpoint is there, it is `learn` that goes on, told nothing."""
    rng, crashes, begun = random.Random(seed), 0, False
    while True:
        loop = loop_on(log, store, rebuild=not begun, without=() if begun else without)
        dying(loop, store, after=rng.randrange(5, 40))
        try:
            loop.run(until_end=True)
            break
        except Crash:
            crashes += 1
            assert log.committed is not None
            begun = orjson.loads(log.committed.metadata)["epoch"] == 2
    assert crashes > 1
    return loop


@pytest.mark.parametrize("seed", range(4))
def test_an_interrupted_rebuild_is_gone_on_with_by_learning(seed: int, learned: Learned, dying: Any) -> None:
    """Crashes anywhere, and `learn` after them: the state and the one announcement are those of a straight rebuild."""
    log, store, _ = learned
    expected = rebuilt_once()
    loop = interrupted(log, store, dying, seed=seed)
    assert loop.owner.learning_state_hash() == expected.owner.learning_state_hash()
    assert {(each.epoch, each.version) for each in updates_in(log) if each.kind == "rebuild"} == {
        (2, expected.owner.lane.version)
    }


POISONED = (
    TopicRange(topic="events", partition=0, start=300, end=420),
    TopicRange(topic="events", partition=0, start=1500, end=1510),
)


@cache
def rebuilt_where_they_are_no_events() -> str:
    """The state after a rebuild of a log on which nothing that could be learned lies in their places."""
    log, store, _ = learned_once()
    log, store = copies(log, store)
    events = log.records["events", 0]
    for each in POISONED:
        for offset in range(each.start, each.end):
            events[offset] = events[offset]._replace(value=b"{}")
    return run(log, store, rebuild=True).owner.learning_state_hash()


@pytest.mark.parametrize("seed", range(2))
def test_a_rebuild_leaves_out_what_it_is_told_and_so_does_whoever_goes_on_with_it(
    seed: int, learned: Learned, dying: Any
) -> None:
    """As if it had never come, through crashes after which `learn` is told nothing; the update says what is missing."""
    log, store, _ = learned
    loop = interrupted(log, store, dying, seed=seed, without=POISONED)
    assert loop.owner.learning_state_hash() == rebuilt_where_they_are_no_events()
    (reason,) = {each.reason for each in updates_in(log) if each.kind == "rebuild"}
    assert reason == "rebuilt from the log, without events/0 offsets 300 to 419, events/0 offsets 1500 to 1509"


def test_what_was_left_out_is_in_no_order_and_comes_back_with_the_next_rebuild(learned: Learned) -> None:
    """The order tells what was learned; a rebuild that is told nothing leaves nothing out."""
    log, store, _ = learned
    loop_on(log, store, rebuild=True, without=POISONED).run(until_end=True)
    chain = OrderReader(decode(LearnedOrder, value) for value in log.values("model-learned")).chain()
    assert sum(run.end - run.start for each in chain for run in each.runs) == 2000 - 130
    assert "without events/0 offsets 300 to 419" in next(each.rebuilt for each in chain if each.rebuilt)
    assert run(log, store, rebuild=True).owner.lane.events == 2000


def test_another_log_has_other_records_at_those_offsets() -> None:
    """Where the topic was made anew nothing is left out any more."""
    first, store = MemoryLog(topic_id="one"), MemoryStore()
    second = MemoryLog(topic_id="two", commits=first.commits)
    for value in sea(500):
        first.append("events", value)
        second.append("events", value.replace(b'"id":"', b'"id":"second-'))
    run(first, store)
    loop_on(first, store, rebuild=True, without=POISONED[:1]).run(until_end=True)
    loop = loops.loop_on(second, store, SETTINGS, how=StartOptions(accept_loss=True))
    loop.run(until_end=True)
    assert (loop.owner.lane.events, loop.owner.left_out.ranges) == (500 - 120 + 500, [])


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("events/0", "write TOPIC/PARTITION:FIRST-LAST"),
        ("events/0:9-3", "write TOPIC/PARTITION:FIRST-LAST"),
        ("labels/0:1-2", "labels is not learned; write events"),
        ("events/0:1-99", "events/0:1-99: that partition holds offsets 0 to 9; name records that are there"),
        ("events/7:1-2", "that partition holds nothing"),
    ],
)
def test_a_stretch_that_is_not_there_is_refused(said: str, found: str, tmp_path: Path, embedded: Any) -> None:
    """Before anything is rebuilt, and with what to write."""
    config = config_in(
        tmp_path,
        'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'
        f'[kafka]\n"bootstrap.servers" = "{embedded.bootstrap}"\n',
    )
    producer = Producer({"bootstrap.servers": embedded.bootstrap})
    for value in itertools.islice(sea(10), 10):
        producer.produce("events", value, partition=0)
    assert not producer.flush(10)
    done = carried_out("rebuild", config, "--without", said)
    assert done.returncode == 2
    assert found in done.stderr


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (("--from", "2026-11-27T02:00:00Z"), "--from and --to go together"),
        (("--from", "yesterday", "--to", "2026-11-27T02:00:00Z"), "--from 'yesterday' is no moment with its zone"),
        (("--from", "2026-11-27T02:00:00Z", "--to", "2026-11-27T01:00:00Z"), "nothing on events came from 2026-11-27"),
    ],
)
def test_a_stretch_of_time_in_which_nothing_came_is_refused(
    said: tuple[str, ...], found: str, tmp_path: Path, embedded: Any
) -> None:
    """And one of which an end is missing."""
    config = config_in(
        tmp_path,
        'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'
        f'[kafka]\n"bootstrap.servers" = "{embedded.bootstrap}"\n',
    )
    producer = Producer({"bootstrap.servers": embedded.bootstrap})
    producer.produce("events", b"{}", partition=0)
    assert not producer.flush(10)
    done = carried_out("rebuild", config, *said)
    assert done.returncode == 2
    assert found in done.stderr


def test_a_stop_does_not_announce_half_a_rebuild(learned: Learned) -> None:
    """What was read but not learned yet does not count as caught up."""
    log, store, _ = learned
    announced = len(updates_in(log))
    loop = loop_on(log, store, rebuild=True)
    loop.listener = lambda message: loop.stop()
    loop.run(until_end=True)
    assert 0 < loop.owner.lane.events < 2000
    assert len(updates_in(log)) == announced


def test_what_is_gone_from_the_log_is_named(learned: Learned) -> None:
    """Retention has taken the beginning: the update says what the model has not learned."""
    log, store, _ = learned
    log.trim("events", before=700)
    loop = run(log, store, rebuild=True)
    assert loop.owner.lane.events == 1300
    assert updates_in(log)[-1].reason == "rebuilt from the log, where partition 0 offsets 0 to 699 are gone"


def test_a_rebuild_needs_no_blob(learned: Learned) -> None:
    """It is the way out when the checkpoints are lost: the committed metadata say where versions go on."""
    log, store, straight = learned
    store.blobs.held.clear()
    with pytest.raises(CheckpointError, match=r"bring it back, or learn the log again: `anabranch rebuild CONFIG`"):
        run(log, store)
    assert run(log, store, rebuild=True).owner.lane.version > straight.owner.lane.version


def test_without_any_checkpoint_there_is_nothing_to_rebuild() -> None:
    """It would use version 1 once more without knowing."""
    with pytest.raises(CheckpointError, match="no checkpoint of m to rebuild; `anabranch learn` starts one"):
        run(log_of(10), MemoryStore(), rebuild=True)


def test_a_short_log_is_announced_when_it_has_grown(learned: Learned) -> None:
    """A rebuilt model needs the warm-up too; until then followers keep what they have."""
    log, store, _ = learned
    log.trim("events", before=1990)
    run(log, store, rebuild=True)
    assert updates_in(log)[-1].epoch == 1
    for value in itertools.islice(sea(3000), 2000, 2100):
        log.append("events", value)
    run(log, store)
    assert (updates_in(log)[-1].kind, updates_in(log)[-1].epoch) == ("rebuild", 2)


def test_a_rebuild_that_falls_behind_retention_stops(learned: Learned) -> None:
    """As every learner does."""
    log, store, _ = learned
    loop = loop_on(log, store, rebuild=True)
    loop.ports.source.start(loop)
    log.trim("events", before=100)
    with pytest.raises(LogTruncated, match="offsets 0 to 99 are gone"):
        loop._turn()


@pytest.mark.kafka
@pytest.mark.slow
def test_on_kafka_another_river_is_refused_and_the_log_rebuilt(
    tmp_path: Path, kafka: Any, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real processes: refused by `learn` and `state`, rebuilt by `rebuild`, gone on with by `learn`."""
    config = tmp_path / "anabranch.toml"
    config.write_text(
        f'name = "{topic_prefix}m"\ntask = "binary"\n[model]\nsteps = [{{ use = "naive_bayes.GaussianNB" }}]\n'
        f'[topics]\nprefix = "{topic_prefix}"\npartitions = 2\n[checkpoint]\nstore = "{tmp_path}/checkpoints"\n'
        f'[kafka]\n"bootstrap.servers" = "{kafka.bootstrap}"\n'
    )
    anabranch("topics", "create", config)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for n, value in enumerate(sea(3000)):
        producer.produce(f"{topic_prefix}events", value, partition=n % 2)
    assert not producer.flush(30)
    with monkeypatch.context() as older:
        older.setattr(statetree, "river_version", "0.25.0")
        settings = wiring.settings_at(config)
        first = wiring.first_champion(settings)
        wiring.learning_loop(settings, first=first).run(until_end=True)
    assert "`anabranch rebuild CONFIG`" in anabranch("learn", config, "--until-end", code=1)
    assert "0.25.0" in anabranch("state", config, code=1)
    anabranch("rebuild", config)
    anabranch("learn", config, "--until-end")
    state = json.loads(anabranch("state", config, "--json"))
    updates = kafka_updates.all_updates(settings.kafka, topic=f"{topic_prefix}model-updates", model=settings.name)
    assert (state["events"], state["epoch"], state["rebuilding"]) == (3000, 2, "")
    assert (updates[-1].kind, updates[-1].epoch) == ("rebuild", 2)
    assert updates[-1].version == state["version"] > updates[-2].version


def anabranch(*words: object, code: int = 0) -> str:
    """What a verb says, when it ends as expected."""
    done = carried_out(*words)
    assert done.returncode == code, done.stderr[-2000:]
    return done.stderr if code else done.stdout

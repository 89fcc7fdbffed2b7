"""Models of one process that read one topic together: each as if it were alone, whatever becomes of the others."""

import copy
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import structlog
from river import naive_bayes

from anabranch.errors import KafkaUnavailable
from anabranch.events import Partition, Record
from anabranch.messages import ModelUpdate, decode
from config.settings import Settings
from consumers.fanout import KEPT, Fanout, FanoutSource
from consumers.guard.reading import Reading
from consumers.loop import LearningLoop
from consumers.ports import Committed, Positions
from consumers.stores import MemoryStore
from evaluation.simulation.world import Crash, MemoryFetch, MemoryLog, MemorySource
from support.loops import filled, first_of, log_of, ports_on, settings_of
from support.streams import rows, simple

OWN = ("updates", "reports", "lifecycle", "learned", "dead-letters", "alerts", "audit", "artifacts")


def named(name: str, **changes: Any) -> Settings:
    """A model whose outputs lie on topics of its own, so that places on them are its own, too."""
    topics = {each.replace("-", "_"): f"{name}-{each}" for each in OWN} | changes.pop("topics", {})
    return settings_of(name=name, topics=topics, **changes)


class Counting(MemoryFetch):
    """Counts what it reads for all."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.count = 0

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        records = super().poll(max_records, timeout_s=timeout_s)
        self.count += len(records)
        return records


class Models:
    """Models on one log, together or each alone."""

    def __init__(self, log: MemoryLog, *settings: Settings, together: bool = True) -> None:
        self.log, self.fetch = log, Counting(log)
        self.fanout = Fanout(lambda: self.fetch, members=len(settings), together_s=5.0)
        reading = Reading(settings[0], is_shared=True) if together else None
        self.stores = {each.name: MemoryStore() for each in settings}
        self.groups = {each.name: log.for_another_group() for each in settings}
        self.settings = {each.name: each for each in settings}
        self.reading, self.together = reading, together

    def loop(self, name: str) -> LearningLoop:
        settings, log = self.settings[name], self.groups[name]
        ports = ports_on(log, settings, stores=lambda scope: self.stores[name], reading=self.reading)
        if self.together:
            labels = "labels" if settings.labels.late else ""
            ports.source = FanoutSource(MemorySource(log, "events", labels=labels), self.fanout)
        return LearningLoop(settings, first=first_of(settings), ports=ports)

    def run(self) -> dict[str, LearningLoop]:
        """All to the end, each in a thread of its own."""
        loops = {name: self.loop(name) for name in self.settings}
        threads = [threading.Thread(target=each.run, kwargs={"until_end": True}) for each in loops.values()]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return loops

    def outcome(self, name: str, loop: LearningLoop) -> dict[str, Any]:
        """All that a model leaves behind."""
        return {
            "messages": {each: self.log.values(f"{name}-{each}") for each in OWN},
            "blobs": self.stores[name].blobs.held,
            "manifest": self.stores[name].manifest(),
            "commits": self.groups[name].commits,
            "state": loop.owner.learning_state_hash(),
            "guard": loop.owner.guard.state(),
        }


def spoilt(events: int = 1400) -> MemoryLog:
    """A stream that drifts, with records that are refused, and duplicates."""
    values = [orjson.dumps(each) for each in rows(events)]
    for n in range(50, events, 400):
        values[n:n] = [b"{", values[n - 1], b'{"id": "", "ts": 1, "features": {}}']
    return log_of(values)


def test_together_each_model_leaves_what_it_leaves_alone() -> None:
    """Messages, checkpoints, commits and state, byte for byte; and the log is read once."""
    several = [named("a"), named("b", seed=7), named("c", guard={"dedup_window": 5})]
    alone = Models(spoilt(), *several, together=False)
    together = Models(spoilt(), *several)
    expected = {name: alone.outcome(name, loop) for name, loop in alone.run().items()}
    found = {name: together.outcome(name, loop) for name, loop in together.run().items()}
    assert found == expected
    assert together.fetch.count == len(together.log.values("events"))
    assert together.fetch.is_closed
    assert expected["a"]["messages"]["updates"]
    assert expected["a"]["messages"]["dead-letters"]


def test_late_labels_are_read_together_too() -> None:
    """From their own topic, in one order for all."""
    log = MemoryLog()
    for each in rows(800):
        log.append("events", orjson.dumps({**each, "label": None}))
        log.append("labels", orjson.dumps({name: each[name] for name in ("id", "ts", "label")}))
    several = [
        named(name, labels={"late": True, "horizon": "1h"}, topics={"examples": f"{name}-examples"}) for name in "ab"
    ]
    alone = Models(copy.deepcopy(log), *several, together=False)
    together = Models(log, *several)
    expected = {name: alone.outcome(name, loop) for name, loop in alone.run().items()}
    loops = together.run()
    assert {name: together.outcome(name, loop) for name, loop in loops.items()} == expected
    assert together.fetch.count == 1600
    assert all(loop.owner.lane.events == 800 for loop in loops.values())


class Brittle(naive_bayes.GaussianNB):
    """Raises on one event, and writes into what it is shown."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        if x.pop("poison", None):
            raise ValueError("poison")
        super().learn_one(x, y)


def test_a_model_that_raises_goes_back_alone() -> None:
    """Its dead letter is its own, and the other leaves what it leaves alone."""
    values = [orjson.dumps(each) for each in rows(1000)]
    for n in (500, 900):
        values[n] = values[n].replace(b'"features":{', b'"features":{"poison":true,')
    brittle = {"factory": f"{__name__}:Brittle", "trusted": [f"{__name__}:Brittle"]}
    several = [named("a"), named("b", model=brittle)]
    alone = Models(log_of(values), *several, together=False)
    together = Models(log_of(values), *several)
    expected = {name: alone.outcome(name, loop) for name, loop in alone.run().items()}
    found = {name: together.outcome(name, loop) for name, loop in together.run().items()}
    assert found["a"] == expected["a"]
    assert found["b"]["state"] == expected["b"]["state"]
    assert found["b"]["messages"]["dead-letters"] == expected["b"]["messages"]["dead-letters"]
    assert [len(found[name]["messages"]["dead-letters"]) for name in "ab"] == [0, 2]


# ── seats, with sources alone ───────────────────────────────────────────────────────────────────────────────────────


class Reader:
    """Whoever owns all partitions of a source, and begins at some offset."""

    def __init__(self, log: MemoryLog, fanout: Fanout, *, at: int = 0) -> None:
        self.source, self.at = FanoutSource(MemorySource(log.for_another_group(), "events"), fanout), at
        self.offsets: list[int] = []
        self.source.start(self)

    def assigned(self, partitions: Sequence[Partition], committed: Committed | None) -> Positions:
        return dict.fromkeys(partitions, self.at)

    def revoked(self, partitions: Sequence[Partition]) -> None: ...
    def lost(self, partitions: Sequence[Partition]) -> None: ...

    def turn(self, most: int = 100) -> bool:
        """One poll; whether it read with others."""
        self.offsets += [each.offset for each in self.source.poll(most, timeout_s=0)]
        return self.source.seat is not None


def fanout_on(log: MemoryLog, *, members: int = 1, **more: Any) -> tuple[Fanout, Counting]:
    fetch = Counting(log)
    return Fanout(lambda: fetch, members=members, **more), fetch


def test_who_comes_late_reads_alone_until_it_has_caught_up() -> None:
    """Nothing twice, nothing left out."""
    log = log_of(simple(0, 5 * KEPT))
    fanout, fetch = fanout_on(log)
    first = Reader(log, fanout)
    while len(first.offsets) < 5 * KEPT:
        first.turn(500)
    second = Reader(log, fanout)
    while not second.turn(500):
        pass
    assert len(second.offsets) > 3 * KEPT
    while len(second.offsets) < 5 * KEPT:
        assert second.turn(500)
    assert first.offsets == second.offsets == list(range(5 * KEPT))
    assert fetch.count == 5 * KEPT


def test_who_is_ahead_passes_over_what_it_has_learned() -> None:
    """The reading begins with whoever is behind."""
    log = log_of(simple(0, 300))
    fanout, _ = fanout_on(log, members=2)
    behind, ahead = Reader(log, fanout), Reader(log, fanout, at=200)
    for _ in range(8):
        behind.turn()
        ahead.turn()
    assert behind.offsets == list(range(300))
    assert ahead.offsets == list(range(200, 300))


def test_who_cannot_keep_pace_goes_on_alone() -> None:
    """It holds nobody up, and comes back when it can."""
    log = log_of(simple(0, 1000))
    fanout, _ = fanout_on(log, members=2, records_max=300)
    quick, slow = Reader(log, fanout), Reader(log, fanout)
    slow.turn()
    while len(quick.offsets) < 1000:
        quick.turn()
    slow.turn()
    assert not slow.turn()
    for _ in range(30):
        slow.turn()
    assert slow.offsets == quick.offsets == list(range(1000))


def test_who_is_stuck_holds_nobody_up_for_long() -> None:
    """Once the others have gone on without it, they wait for it no more: a poll would take its whole time each time."""
    log = log_of(simple(0, 1000))
    fanout, _ = fanout_on(log, members=2, records_max=300)
    quick, stuck = Reader(log, fanout), Reader(log, fanout)
    stuck.turn()
    while len(quick.offsets) < 800:
        quick.turn()
    began_s = time.monotonic()
    assert quick.source.poll(100, timeout_s=30)
    assert time.monotonic() - began_s < 15


def test_large_records_are_held_within_bounds() -> None:
    """By their bytes, and who has not had them reads by itself."""
    log = log_of(simple(0, 1000))
    fanout, _ = fanout_on(log, members=2, bytes_max=20_000)
    quick, slow = Reader(log, fanout), Reader(log, fanout)
    slow.turn()
    while len(quick.offsets) < 1000:
        quick.turn()
        assert fanout.size == sum(len(each.value or b"") for each in fanout.records) <= 20_000
    assert not slow.turn()
    while len(slow.offsets) < 1000:
        slow.turn()
    assert slow.offsets == quick.offsets == list(range(1000))


def test_what_fails_for_all_leaves_each_alone() -> None:
    """A reading that breaks loses nothing, and is not tried again at once."""

    class Broken(MemoryFetch):
        def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
            if self.read[Partition("events", 0)] >= 100:
                raise KafkaUnavailable("gone")
            return super().poll(max_records, timeout_s=timeout_s)

    log = log_of(simple(0, 500))
    fanout = Fanout(lambda: Broken(log), members=2)
    readers = [Reader(log, fanout), Reader(log, fanout)]
    with structlog.testing.capture_logs() as logs:
        for _ in range(12):
            for each in readers:
                each.turn(50)
    assert [each.offsets for each in readers] == [list(range(500))] * 2
    assert not any(each.turn() for each in readers)
    assert [each["event"] for each in logs] == ["models read together", "models read by themselves"]


def test_a_bug_in_the_reading_loses_nothing() -> None:
    """It is the one's who has met it; what was fetched and not handed on is read again by each alone."""

    class Buggy(MemoryFetch):
        def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
            records = super().poll(max_records, timeout_s=timeout_s)
            if self.read[Partition("events", 0)] >= 100:
                raise RuntimeError("a bug")
            return records

    log = log_of(simple(0, 500))
    fanout = Fanout(lambda: Buggy(log), members=2)
    readers = [Reader(log, fanout), Reader(log, fanout)]
    raised = 0
    for _ in range(14):
        for each in readers:
            try:
                each.turn(50)
            except RuntimeError:
                raised += 1
    assert raised == 1
    assert [each.offsets for each in readers] == [list(range(500))] * 2


def test_the_first_waits_for_the_others_but_not_for_ever() -> None:
    """When a process begins, joining a group takes each its time."""
    now_s = [0.0]
    log = log_of(simple(0, 100))
    fanout, _ = fanout_on(log, members=2, together_s=5.0, monotonic_s=lambda: now_s[0])
    first = Reader(log, fanout)
    first.turn()
    assert first.offsets == []
    now_s[0] = 6.0
    first.turn()
    assert first.offsets == list(range(100))


def test_partitions_are_read_in_one_order() -> None:
    """Whoever reads together learns the partitions' records in the same order."""
    log = filled(600, partitions=3)
    fanout, _ = fanout_on(log, members=2)
    readers = [Reader(log, fanout), Reader(log, fanout)]
    for _ in range(20):
        for each in readers:
            each.turn(70)
    assert readers[0].offsets == readers[1].offsets
    assert sorted(readers[0].offsets) == sorted(list(range(200)) * 3)


def test_the_last_one_closes() -> None:
    """And the next one begins anew."""
    log = log_of(simple(0, 200))
    fanout, fetch = fanout_on(log)
    reader = Reader(log, fanout)
    while reader.turn(50) and len(reader.offsets) < 100:
        pass
    reader.source.close()
    assert fetch.is_closed
    assert fanout.fetch is None


# ── the whole process killed again and again ────────────────────────────────────────────────────────────────────────


class FewFetched(MemoryFetch):
    """A few records at a time, so that there is something between two of them."""

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        return super().poll(min(max_records, 40), timeout_s=timeout_s)


class FewRead(MemorySource):
    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        return super().poll(min(max_records, 40), timeout_s=timeout_s)


class Killed(Models):
    """One process with all models, whose threads take turns as a seed has it; it is killed within any step of any."""

    def __init__(self, log: MemoryLog, *settings: Settings, dying: Any, rng: random.Random) -> None:
        super().__init__(log, *settings)
        self.dying, self.rng, self.kills = dying, rng, 0

    def loop(self, name: str) -> LearningLoop:
        loop = super().loop(name)
        loop.ports.source = FanoutSource(FewRead(self.groups[name], "events"), self.fanout)
        self.dying(loop, self.stores[name], after=self.rng.randrange(4, 160))
        return loop

    def survive(self) -> dict[str, LearningLoop]:
        """Processes, one after the other, until one comes to the end."""
        while True:
            members = len(self.settings)
            self.fanout = Fanout(lambda: FewFetched(self.log), members=members, together_s=0.0, records_max=300)
            try:
                return self._live({name: self.loop(name) for name in self.settings})
            except Crash:
                self.kills += 1

    def _live(self, loops: dict[str, LearningLoop]) -> dict[str, LearningLoop]:
        several = list(loops.values())
        for each in several:
            each.ports.source.start(each)
        while not all(each.ports.source.at_end() for each in several):
            self.rng.choice(several)._turn()
        for each in several:
            each.owner.end()
        return loops


@pytest.mark.parametrize("seed", range(3))
def test_a_process_killed_anywhere_has_each_model_where_one_straight_run_leads(seed: int, dying: Any) -> None:
    """P1 for all models, wherever each has its last checkpoint: state, counts, dead letters, updates."""
    several = [named("a", detectors={}), named("b", detectors={}, checkpoint={"every_events": 310})]
    straight = Models(spoilt(1200), *several, together=False)
    expected = {name: straight.outcome(name, loop) for name, loop in straight.run().items()}
    killed = Killed(spoilt(1200), *several, dying=dying, rng=random.Random(seed))
    for name, loop in killed.survive().items():
        found = killed.outcome(name, loop)
        assert [found[each] for each in ("state", "guard")] == [expected[name][each] for each in ("state", "guard")]
        assert set(found["messages"]["dead-letters"]) == set(expected[name]["messages"]["dead-letters"])
        updates = [decode(ModelUpdate, each) for each in found["messages"]["updates"]]
        assert len({(each.epoch, each.seq, each.version, each.artifact.sha256) for each in updates}) == loop.owner.seq
    assert killed.kills >= 2

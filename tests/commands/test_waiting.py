"""What a learner does while there is no broker: it waits and says so, unless there has never been one."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import pytest
import structlog

from anabranch.errors import KafkaUnavailable, SessionExpired, StoreUnavailable
from anabranch.events import Partition, Record
from config.loading import build
from consumers import supervisor
from consumers.loop import LearningLoop
from consumers.ports import Positions
from consumers.stores import MemoryStore
from consumers.timing import Voice
from evaluation.simulation.world import MemorySource
from support.command_line import as_before
from support.loops import first_of, log_of, ports_on
from support.streams import simple

TABLE = {
    "name": "m",
    "task": "binary",
    "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
    "checkpoint": {"every_events": 100},
}


class LeavingSource(MemorySource):
    """The broker goes away at the third poll."""

    polls = 0

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        self.polls += 1
        if self.polls == 3:
            raise KafkaUnavailable("no broker answers")
        return super().poll(min(max_records, 150), timeout_s=timeout_s)


class Loops:
    """Makes the loops of one model on one log; as long as no broker is there, none can be made."""

    first_source: type[MemorySource] = LeavingSource

    def __init__(self, bootstrap: str, *, unavailable: int) -> None:
        self.settings_table = {**TABLE, "kafka": {"bootstrap.servers": bootstrap}}
        self.settings = build(self.settings_table)
        self.unavailable = unavailable
        self.log, self.store, self.made = log_of(simple(0, 600)), MemoryStore(), 0

    def __call__(self, stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
        self.made += 1
        if 1 < self.made <= 1 + self.unavailable:
            raise KafkaUnavailable("no answer")
        source = (MemorySource if before else self.first_source)(self.log, "events")
        return LearningLoop(
            self.settings,
            first=first_of(self.settings),
            ports=ports_on(self.log, self.settings, source=source, stores=lambda scope: self.store),
            started=before.started if before else (),
            stopping=stopping,
        )


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`supervise` is for a process of its own."""
    monkeypatch.setattr(supervisor, "AGAIN_S", 0.05)
    with as_before():
        yield


def test_a_broker_that_goes_away_is_waited_for(embedded: Any) -> None:
    """However often it is away again, and whoever finds out: it goes on from the last checkpoint, and has said so."""
    make = Loops(embedded.bootstrap, unavailable=3)
    with structlog.testing.capture_logs() as logs:
        loop = supervisor.supervise(make, until_end=True)
    assert loop.owner.lane.events == 600
    assert make.made == 5
    assert [each["event"] for each in logs if "waiting" in each["event"]] == ["waiting for a broker"]


class AwayStore(MemoryStore):
    """It takes nothing, and gives nothing, for a while."""

    away = 0

    def put(self, sha256: str, data: bytes) -> None:
        self._see()
        super().put(sha256, data)

    def get(self, sha256: str) -> bytes:
        self._see()
        return super().get(sha256)

    def _see(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("the disk is full")


def test_a_store_that_is_away_is_waited_for(embedded: Any) -> None:
    """Nothing in it is taken for lost: no parent, no new epoch."""
    make = Loops(embedded.bootstrap, unavailable=0)
    store = make.store = AwayStore()

    class Leaving(MemorySource):
        def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
            if store.manifest() and self.positions[Partition("events", 0)] == 450:
                store.away = 4
            return super().poll(min(max_records, 150), timeout_s=timeout_s)

    make.first_source = Leaving
    with structlog.testing.capture_logs() as logs:
        loop = supervisor.supervise(make, until_end=True)
    assert (loop.owner.lane.events, loop.owner.epoch) == (600, 1)
    said = [each["event"] for each in logs if "waiting" in each["event"] or "parent" in each["event"]]
    assert said == ["waiting for the store of the checkpoints"]


def test_a_stop_is_heard_while_it_waits(embedded: Any) -> None:
    """It says that there is no last checkpoint."""

    class Stopped(Loops):
        def __call__(self, stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
            if before:
                signal.raise_signal(signal.SIGTERM)
            return super().__call__(stopping, before)

    with pytest.raises(KafkaUnavailable, match="without a last checkpoint"):
        supervisor.supervise(Stopped(embedded.bootstrap, unavailable=10**9), until_end=True)


class DealtAnew(MemorySource):
    """The group deals its partitions anew while this process is asked to stop: it takes no commit any more."""

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        records = super().poll(min(max_records, 150), timeout_s=timeout_s)
        if self.positions[Partition("events", 0)] > 300:
            signal.raise_signal(signal.SIGTERM)
        return records

    def commit(self, positions: Positions, metadata: str) -> None:
        if self.positions[Partition("events", 0)] > 300:
            raise SessionExpired("the commit was refused")
        super().commit(positions, metadata)


@pytest.mark.parametrize("scope", ["partition", "global"])
def test_a_stop_while_the_group_deals_partitions_anew(embedded: Any, scope: str) -> None:
    """Who shares them has left them to others, and ends well; who owns them all has left a checkpoint undone."""
    make = Loops(embedded.bootstrap, unavailable=0)
    make.settings, make.first_source = build({**make.settings_table, "scope": scope}), DealtAnew
    ends_well = nullcontext() if scope == "partition" else pytest.raises(KafkaUnavailable, match="commit was refused")
    with structlog.testing.capture_logs() as logs, ends_well:
        assert not supervisor.supervise(make, until_end=False).owners
    assert any("without a last checkpoint" in each["event"] for each in logs) == (scope == "partition")


class ExpiredFirst(DealtAnew):
    """It is asked to stop only when it has found that out, and waits to join again."""

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        return MemorySource.poll(self, min(max_records, 150), timeout_s=timeout_s)


@pytest.mark.parametrize("scope", ["partition", "global"])
def test_a_stop_after_the_group_has_dealt_partitions_anew(embedded: Any, scope: str) -> None:
    """What held of a stop just before holds while it waits to join again."""

    class Stopped(Loops):
        def __call__(self, stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
            if before:
                signal.raise_signal(signal.SIGTERM)
            return super().__call__(stopping, before)

    make = Stopped(embedded.bootstrap, unavailable=10**9)
    make.settings, make.first_source = build({**make.settings_table, "scope": scope}), ExpiredFirst
    ends_well = nullcontext() if scope == "partition" else pytest.raises(KafkaUnavailable, match="without a last")
    with ends_well:
        assert not supervisor.supervise(make, until_end=False).owners


def test_a_first_start_without_a_broker_fails(embedded: Any) -> None:
    """Waiting for ever for a mistyped address would be silence."""

    class Never(Loops):
        def __call__(self, stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
            loop = super().__call__(stopping, before)
            loop.ports.source.polls = 2  # type: ignore[attr-defined]  # the very first poll finds no broker
            return loop

    with pytest.raises(KafkaUnavailable, match="no broker answers"):
        supervisor.supervise(Never(embedded.bootstrap, unavailable=0), until_end=True)


def test_waiting_is_said_at_first_and_then_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice a minute, with how long; at once, when a broker has been there between."""
    now = iter([*range(0, 100, 1), 500])
    monkeypatch.setattr("consumers.timing.time.monotonic", lambda: float(next(now)))
    voice = Voice()
    with structlog.testing.capture_logs() as logs:
        for _ in range(101):
            voice.waits("no answer")
    assert [each["waited_s"] for each in logs] == [0, 30, 60, 90, 0]

"""Learning loops over a log in memory."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import orjson

from anabranch.messages import ModelUpdate, TrainedOn, decode
from config.loading import build
from config.settings import Settings
from consumers.jobs import InlineRunner
from consumers.loop import LearningLoop
from consumers.owner import PLAIN, First, StartOptions
from consumers.stores import MemoryStore
from consumers.telling import Ports
from evaluation.simulation.world import Crash, FrozenClock, MemoryLog, MemorySink, MemorySource
from learners.models import catalogue
from support.streams import rows

TABLE: dict[str, Any] = {
    "name": "m",
    "task": "binary",
    "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
    "publish": {"warm_up_events": 50, "refresh_events": 400, "report_events": 100},
    "trigger": {"debounce_events": 100},
    "retrain": {"admit_after_events": 20},
    "arena": {"false_swap_every": 1000, "probation_events": 300},
    "checkpoint": {"every_events": 130},
}


def settings_of(**changes: Any) -> Settings:
    """A small model that checkpoints often, with sections in place of others."""
    return build({**TABLE, **changes})


def log_of(values: Iterable[bytes], *, partitions: int = 1, **more: Any) -> MemoryLog:
    """A log with these events, dealt out to the partitions in turn."""
    log = MemoryLog(partitions=partitions, **more)
    for n, value in enumerate(values):
        log.append("events", value, partition=n % partitions)
    return log


def filled(events: int = 2000, *, partitions: int = 1) -> MemoryLog:
    """A log with a stream whose concept changes half way."""
    return log_of(map(orjson.dumps, rows(events)), partitions=partitions)


def ports_on(log: MemoryLog, settings: Settings, *, source: MemorySource | None = None, **others: Any) -> Ports:
    """All that a loop knows of the world, in memory; `others` take the place of ports."""
    labels = "labels" if settings.labels.late else ""
    source = source or MemorySource(log, "events", labels=labels, examples="model-examples")
    store = MemoryStore()
    ports = Ports(
        source=source,
        sink=MemorySink(log),
        stores=lambda scope: store,
        runners=lambda scope: InlineRunner(settings, reader=source),
        clock=FrozenClock(),
    )
    return replace(ports, **others)


def loop_on(
    log: MemoryLog, store: MemoryStore, settings: Settings | None = None, *, how: StartOptions = PLAIN, **ports: Any
) -> LearningLoop:
    """A loop on that log and store."""
    settings = settings or settings_of()
    return LearningLoop(
        settings,
        first=first_of(settings),
        ports=ports_on(log, settings, **{"stores": lambda scope: store, **ports}),
        how=how,
    )


def through_crashes(make: Callable[[], LearningLoop], dying: Any, store: MemoryStore, *, rng: Random, most: int) -> Any:
    """Run loops that crash after some steps, `most` at most, until one comes to the end: that one, and the crashes.

    `most` has to be more than what lies between two checkpoints, or none comes further.
    """
    crashes = 0
    while True:
        loop = make()
        dying(loop, store, after=rng.randrange(4, most))
        try:
            loop.run(until_end=True)
            return loop, crashes
        except Crash:
            crashes += 1


def first_of(settings: Settings) -> First:
    """What makes the first champion: the configured model, untrained."""
    return lambda: (catalogue.build(settings.model, seed=settings.seed), TrainedOn())


def straight(log: MemoryLog, settings: Settings | None = None) -> LearningLoop:
    """A loop that has learned the log to its end, without interruption."""
    loop = loop_on(log, MemoryStore(), settings)
    loop.run(until_end=True)
    return loop


@cache
def straight_hash() -> str:
    """The learning state after the filled log, without interruption."""
    return straight(filled()).owner.learning_state_hash()


def copies(log: MemoryLog, store: MemoryStore) -> tuple[MemoryLog, MemoryStore]:
    """The same log and store again, which nobody has joined: a test may do with them as it likes."""
    twin = replace(
        log,
        records={where: list(records) for where, records in log.records.items()},
        next_offset=dict(log.next_offset),
        starts=dict(log.starts),
        commits=dict(log.commits),
        members=[],
        owners={},
    )
    kept = MemoryStore(keep=store.keep)
    kept.blobs.held = dict(store.blobs.held)
    return twin, kept


def updates_in(log: MemoryLog) -> list[ModelUpdate]:
    """The models that were announced."""
    return [decode(ModelUpdate, value) for value in log.values("model-updates")]

"""Kill -9 while labels come late, and more events wait for theirs than the model has ever learned."""

import random
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy
import orjson
from confluent_kafka import Producer

from anabranch import statetree
from anabranch.kafka import producer
from anabranch.messages import LearnedOrder, decode
from anabranch.order import OrderReader
from anabranch.scope import GLOBAL
from benchmarks.faults.oracle import messages
from benchmarks.faults.project import NO_DETECTORS, Project, project
from benchmarks.faults.table import Row, timed
from benchmarks.faults.witness import SLOTS
from commands import wiring
from consumers.examples import counted
from consumers.guard import Guard
from consumers.kafka.reader import KafkaLogReader
from detectors.watch import Watch
from evaluation.replay import Replay
from learners.lane import Lane

LATE = NO_DETECTORS + '[labels]\nlate = true\nhorizon = "30d"\n'
LAG = 10_000
"""A label comes so many events after its own."""

LIVES_S = (0.3, 4.0)
ENDS_MAX = 3
SENT_MAX = 50_000
"""So many records are handed to the client before it is waited for."""


def late_labels(folder: Path, *, seed: int, times: int, waiting: int, events: int, **given: Any) -> Iterator[Row]:
    """Kills while events pile up, and more while labels come in for others.

    Args:
        times: kills of each of the two kinds.
        waiting: events whose label never comes.
        events: events after them, whose labels come late.
    """
    with project(folder, name="late", seed=seed, sections=LATE, **given) as here:
        rng = random.Random(seed)
        with timed(Row(f"kill -9 while {waiting:,} events begin to wait for their labels")) as row:
            _publish(here, (("events", _event(rng, f"w{each}", SLOTS - 1)) for each in range(waiting)))
            _lives(here, row, rng, times)
            _to_the_end(here, row, waiting)
            row.insist(here.shown()["waiting"] == waiting, f"{here.shown()['waiting']} events wait")
        yield row
        with timed(Row(f"kill -9 while {events:,} labels come late, and {waiting:,} events wait")) as row:
            _publish(here, _late(rng, events))
            _lives(here, row, rng, times)
            _to_the_end(here, row, waiting + 2 * events)
            _judge(here, row, waiting=waiting, events=events)
        yield row


def _late(rng: random.Random, events: int) -> Iterator[tuple[str, bytes]]:
    """Events and labels by topic, as they are published."""
    for number in range(events + LAG):
        if number < events:
            yield "events", _event(rng, f"e{number}", number)
        if number >= LAG:
            told = {"id": f"e{number - LAG}", "ts": time.time(), "label": rng.random() < 0.5}
            yield "labels", orjson.dumps(told)


def _event(rng: random.Random, name: str, number: int) -> bytes:
    a, b, c = (round(rng.uniform(-3, 3), 3) for _ in range(3))
    features = {"n": number, "poison": False, "a": a, "b": b, "c": c}
    return orjson.dumps({"id": name, "ts": time.time(), "features": features})


def _publish(here: Project, records: Iterable[tuple[str, bytes]]) -> None:
    publisher = Producer(producer(here.settings.kafka))
    for count, (which, value) in enumerate(records, start=1):
        publisher.produce(here.settings.topics.name(which), value, partition=0)
        if not count % SENT_MAX:
            publisher.flush(60)
    assert not publisher.flush(60), "not all records could be published"


def _lives(here: Project, row: Row, rng: random.Random, times: int) -> None:
    for _ in range(times):
        learner = here.learn()
        learner.wait_for("owned")
        time.sleep(rng.uniform(*LIVES_S))
        learner.kill()
        code = learner.ended()
        row.times += 1
        row.recovered += int(row.insist(code == -signal.SIGKILL, f"it ended with {code} by itself: {learner.said()}"))


def _to_the_end(here: Project, row: Row, records: int) -> None:
    for _ in range(ENDS_MAX):
        learner = here.learn(end=True)
        row.insist(learner.ended() == 0, f"the last learner ended: {learner.said()}")
        if learner.progress() >= records:
            return
    row.insist(False, f"{learner.progress()} of {records} records were read")


def _judge(here: Project, row: Row, *, waiting: int, events: int) -> None:
    shown, state = here.shown(), here.state()
    counts = state["lane"]["champion"]["model"].learned.astype(int)
    row.lost += int((counts[:events] < 1).sum())
    row.twice += int((counts[:events] - 1).clip(0).sum() + counts[events:].sum())
    row.insist(shown["events"] == events, f"{shown['events']} events are learned of {events}")
    row.insist(shown["waiting"] == waiting, f"{shown['waiting']} events wait of {waiting}")
    row.insist(not messages(here, "dead_letters"), "there are dead letters")
    told = counted(messages(here, "examples"), model=here.name, scope=GLOBAL, start=0, end=events)
    numbers = numpy.bincount([int(each.x["n"]) for each in told], minlength=events)
    row.insist(bool((numbers == 1).all()), "the examples that count are not each event once")
    row.insist(_replayed(here) == shown["state_hash"], "the told order leads to another state")


def _replayed(here: Project) -> str:
    """The hash of the state that the told order leads to."""
    settings = here.settings
    model, trained_on = wiring.first_champion(settings)()
    lane = Lane(settings, model, watch=Watch(settings), trained_on=trained_on)
    told = [decode(LearnedOrder, value) for value in messages(here, "learned")]
    replay = Replay(lane, Guard(settings), KafkaLogReader(settings))
    replay.run(OrderReader(told).chain())
    return statetree.digest(lane.learning_state(), trusted=settings.model.trusted)

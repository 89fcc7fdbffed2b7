"""What befalls the log itself: transactions, an outage that outlasts all patience, added partitions, another log."""

import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewPartitions, NewTopic

from anabranch.kafka import admin, partitions, producer
from benchmarks.faults.oracle import learned
from benchmarks.faults.project import ROOT, Project, project, until
from benchmarks.faults.table import Row, timed, to_the_end
from commands.brokers.local import LocalKafka

PACE = 2000.0
AWAY_S = 120.0
"""Longer than anything waits by itself."""

CALM = (0.0, 0.0, 0.0)
"""Good events only, where they are counted by their number."""


def transactions(folder: Path, *, seed: int, times: int, **given: Any) -> Iterator[Row]:
    """A transactional producer: control records between the events and at the end, and aborted transactions."""
    with project(folder, name="transactions", seed=seed, **given) as here:
        with timed(Row("kill -9 on a log of transactions that ends in an aborted one")) as row:
            for _ in range(times):
                row.times += 1
                for abort in (False, True, False, True):
                    _transaction(here, 1500, abort=abort)
                learner = here.learn(pace=PACE)
                learner.wait_for("commit", more_than=3)
                learner.kill()
                learner.ended()
                row.recovered += 1
                row.count(learned(here, here.state()))
            to_the_end(here, row)
        yield row


def _transaction(here: Project, count: int, *, abort: bool) -> None:
    publisher = Producer({**producer(here.settings.kafka), "transactional.id": here.name})
    topic = here.settings.topics.name("events")
    publisher.init_transactions(30)
    publisher.begin_transaction()
    values = itertools.repeat((0, b"aborted"), count) if abort else here.stream.more(count)
    for partition, value in values:
        publisher.produce(topic, value, partition=partition)
        publisher.poll(0)
    if abort:
        assert not publisher.flush(30)
        publisher.abort_transaction(30)
    else:
        publisher.commit_transaction(30)
    here.stream.unseen(0, 1 + count * abort)


def long_outage(folder: Path, *, seed: int, kafka: LocalKafka, **given: Any) -> Iterator[Row]:
    """The broker is away for two minutes: the learner waits, and goes on by itself."""
    with project(folder, name="long-outage", seed=seed, **given) as here:
        with timed(Row("the broker is away for two minutes: it waits", times=1)) as row:
            here.feed(24_000)
            learner = here.learn(pace=PACE)
            learner.wait_for("commit", more_than=3)
            kafka.kill()
            time.sleep(AWAY_S)
            kafka.start()
            learner.wait_for("commit", more_than=len(learner.notes("commit")) + 3)
            said = "waiting for a broker" in learner.log.read_text()
            row.insist(said, "it did not say that it waits")
            learner.kill(signal.SIGTERM)
            row.recovered = int(row.insist(learner.ended() == 0, f"it did not go on: {learner.said()}"))
            to_the_end(here, row, hashed=True)
        yield row


def added_partitions(folder: Path, *, seed: int, times: int, **given: Any) -> Iterator[Row]:
    """Partitions are added while the learner is down, and it is back within its session."""
    with project(folder, name="added", seed=seed, partitions=2, **given) as here:
        with timed(Row("kill -9, partitions are added, and it is back within its session")) as row:
            for _ in range(times):
                row.times += 1
                here.feed(6000)
                learner = here.learn(pace=PACE)
                learner.wait_for("commit", more_than=2)
                learner.kill()
                learner.ended()
                _add_partition(here)
                here.feed(3000)
                after = here.learn(pace=PACE)
                after.wait_for("commit", more_than=2)
                after.kill(signal.SIGTERM)
                row.recovered += row.insist(after.ended() == 0, f"a learner ended: {after.said()}")
                row.count(learned(here, here.state()))
            to_the_end(here, row)
        yield row


def _add_partition(here: Project) -> None:
    topic, client = here.settings.topics.name("events"), admin(here.settings.kafka)
    here.stream.log.append([])
    client.create_partitions([NewPartitions(topic, len(here.stream.log))])[topic].result()
    until(lambda: len(partitions(here.settings.kafka, topic)) == len(here.stream.log), "no partition was added")


def other_logs(folder: Path, *, seed: int, **given: Any) -> Iterator[Row]:
    """Retention takes unread records; the topic is recreated: a stop that says so, and a way on that is told."""
    with project(folder, name="cut", seed=seed, spice=CALM, **given) as here:
        with timed(Row("retention takes unread records: a stop, then --accept-loss", times=1)) as row:
            _learned_once(here)
            here.feed(3000)
            _cut(here, before=4000)
            row.recovered = int(_stops_and_goes_on(here, row, "offsets 2000 to 3999 are gone", events=3000))
        yield row
    with project(folder, name="again", seed=seed, spice=CALM, **given) as here:
        with timed(Row("the topic is recreated: a stop, then --accept-loss", times=1)) as row:
            _learned_once(here)
            _make_anew(here)
            here.feed(3000)
            row.recovered = int(_stops_and_goes_on(here, row, "was recreated", events=5000))
        yield row


def _learned_once(here: Project) -> None:
    here.feed(2000)
    learner = here.learn(end=True)
    assert learner.ended() == 0, learner.said()


def _stops_and_goes_on(here: Project, row: Row, said: str, *, events: int) -> bool:
    code, first = _learn(here)
    stops = row.insist(code == 1 and said in first, f"it ended with {code}: {first}")
    code, second = _learn(here, "--accept-loss")
    goes_on = row.insist(code == 0, f"with --accept-loss it ended with {code}: {second}")
    found = here.shown()
    return row.insist(found["events"] == events and bool(found["losses"]), f"{found['events']}") and stops and goes_on


def _learn(here: Project, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "commands.main", "learn", str(here.config), "--until-end", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr[-1500:]


def _cut(here: Project, *, before: int) -> None:
    client = admin(here.settings.kafka)
    for done in client.delete_records([TopicPartition(here.settings.topics.name("events"), 0, before)]).values():
        done.result()


def _make_anew(here: Project) -> None:
    topic, client = here.settings.topics.name("events"), admin(here.settings.kafka)
    client.delete_topics([topic])[topic].result()
    until(lambda: topic not in client.list_topics(timeout=5).topics, "the topic does not go")
    client.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    until(lambda: topic in client.list_topics(timeout=5).topics, "the topic does not come")
    here.stream.log = [[]]

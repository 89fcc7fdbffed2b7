"""What a learner finds on the log when it starts, on a real Kafka: transactions, backlogs, other logs, cut ones."""

import json
import random
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from anabranch.errors import CheckpointError, ConfigError
from anabranch.events import Partition
from anabranch.kafka.tail import Tail
from anabranch.kafka.updates import all_updates
from anabranch.messages import Alert, ModelUpdate, decode
from commands import wiring
from consumers.jobs import InlineRunner
from consumers.kafka.backlog import Merger
from consumers.kafka.reader import KafkaLogReader
from consumers.kafka.topics import create
from consumers.owner import PLAIN, Owner, StartOptions
from support import command_line
from support.streams import sea
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

FIRST_MS = int(time.time() * 1000) - 3_600_000
"""The records' timestamps: a millisecond each."""
MODEL = '[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'


class Project:
    """A model's configuration and topics; learners of it run in this process, or as their own."""

    def __init__(self, folder: Path, *, bootstrap: str, prefix: str, partitions: int = 1) -> None:
        self.folder, self.bootstrap, self.prefix = folder, bootstrap, prefix
        self.name, self.events = f"{prefix}m", f"{prefix}events"
        self.config = self.write(partitions=partitions)
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def write(self, *, partitions: int = 1, sections: str = MODEL, head: str = 'task = "binary"', **names: str) -> Path:
        config = self.folder / names.get("file", "m.toml")
        config.write_text(
            f'name = "{self.name}"\n{head}\n{sections}\n'
            f'[topics]\nprefix = "{names.get("prefix", self.prefix)}"\npartitions = {partitions}\n'
            f'[checkpoint]\nstore = "{self.folder / "checkpoints"}"\n'
            f'[kafka]\n"bootstrap.servers" = "{self.bootstrap}"\n"session.timeout.ms" = 6000\n'
            f'"topic.metadata.refresh.interval.ms" = 1000\n'
        )
        create(wiring.settings_at(config))
        return config

    def start(self, *words: object) -> subprocess.Popen[str]:
        return command_line.start(*words, stderr=subprocess.STDOUT)

    def anabranch(self, *words: object, code: int = 0) -> str:
        """What a verb prints, in this process."""
        done = command_line.anabranch(*words)
        out = done.stderr + done.stdout
        assert done.returncode == code, f"{words}: {done.returncode}: {out[-3000:]}"
        return " ".join(out.split())

    def shown(self, config: Path, partition: int) -> dict[str, Any]:
        """What `anabranch state` finds; nothing, as long as there is nothing."""
        done = command_line.anabranch("state", config, "--partition", partition, "--json")
        return {} if done.returncode else json.loads(done.stdout)  # type: ignore[no-any-return]  # an object

    def learn(self, config: Path | None = None, *, how: StartOptions = PLAIN, merger: Merger | None = None) -> Owner:
        """Learn what is there, in this process."""
        settings = wiring.settings_at(config or self.config)
        first = wiring.first_champion(settings)
        loop = wiring.learning_loop(settings, first=first, how=how)
        reader = KafkaLogReader(settings)
        loop.ports.runners = lambda scope: InlineRunner(settings, reader=reader)
        if merger is not None:
            loop.ports.source.backlog.merger = merger  # type: ignore[attr-defined]  # it is Kafka's
        hangs = threading.Timer(command_line.HANGS_S, loop.stop)
        hangs.start()
        loop.run(until_end=True)
        assert not loop.stopping.is_set(), "it found no end"
        hangs.cancel()
        return loop.owner

    def learned_at_s(self, owner: Owner) -> list[float]:
        """The records' timestamps, in the order in which they were learned."""
        reader = KafkaLogReader(wiring.settings_at(self.config))
        return [record.timestamp_s for record in reader.read(owner.lane.lineage.last(10_000))]

    def updates(self) -> list[ModelUpdate]:
        kafka = {"bootstrap.servers": self.bootstrap}
        return all_updates(kafka, topic=f"{self.prefix}model-updates", model=self.name)

    def produce(self, values: Iterable[bytes], *, topic: str = "", partition: int | None = 0, first: int = 0) -> None:
        # Without idempotence a batch that is sent once more lands behind the next, and the log is out of order.
        producer = Producer({"bootstrap.servers": self.bootstrap, "enable.idempotence": True})
        for number, value in enumerate(values, first):
            where = {"key": str(number)} if partition is None else {"partition": partition}
            producer.produce(topic or self.events, value, timestamp=FIRST_MS + number, **where)
            producer.poll(0)
        assert not producer.flush(30)

    def transaction(self, values: Iterable[bytes], *, abort: bool = False) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.name}{random.random()}"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in values:
            producer.produce(self.events, value, partition=0)
            producer.poll(0)
        producer.flush(30)
        producer.abort_transaction(30) if abort else producer.commit_transaction(30)

    @contextmanager
    def open_transaction(self, values: Iterable[bytes]) -> Iterator[None]:
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.name}-open"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in values:
            producer.produce(self.events, value, partition=0)
        producer.flush(30)
        yield
        producer.abort_transaction(30)

    def cut(self, before: dict[int, int]) -> None:
        """As retention does."""
        wanted = [TopicPartition(self.events, partition, offset) for partition, offset in before.items()]
        for done in self.admin.delete_records(wanted).values():
            done.result()

    def add_partitions(self, count: int) -> None:
        self.admin.create_partitions([NewPartitions(self.events, count)])[self.events].result()
        until(lambda: len(self.admin.list_topics(self.events, timeout=5).topics[self.events].partitions) == count)

    def make_anew(self, partitions: int = 1) -> None:
        self.admin.delete_topics([self.events])[self.events].result()
        until(lambda: self.events not in self.admin.list_topics(timeout=5).topics)
        self.admin.create_topics([NewTopic(self.events, partitions, 1)])[self.events].result()
        until(lambda: self.events in self.admin.list_topics(timeout=5).topics)


@pytest.fixture
def project(tmp_path: Path, kafka: Any, topic_prefix: str) -> Project:
    return Project(tmp_path, bootstrap=kafka.bootstrap, prefix=topic_prefix)


def test_a_log_that_ends_in_a_transaction_has_an_end(project: Project) -> None:
    """Control records are nobody's to see, and the end lies behind them: for `learn` and for `rebuild`."""
    project.transaction(sea(2500))
    assert project.learn().lane.events == 2500
    assert "announced as version" in project.anabranch("rebuild", project.config)
    assert [each.epoch for each in project.updates()][-2:] == [1, 2]


def test_what_nobody_will_ever_see_is_no_reason_to_wait(project: Project) -> None:
    """Aborted transactions at the end, one that nobody has ended, a log of nothing else."""
    project.transaction(sea(200), abort=True)
    assert project.learn().lane.events == 0
    project.transaction(sea(100))
    project.transaction(sea(300), abort=True)
    assert project.learn().lane.events == 100
    with project.open_transaction(sea(50)):
        assert project.learn().lane.events == 100
    project.produce(sea(10, first=100))
    assert project.learn().lane.events == 110


def turning(events: int) -> Iterator[bytes]:
    """A stream whose labels turn round every 2,000 events."""
    return sea(events, turned=lambda number: number // 2000 % 2 == 1)


def test_a_backlog_in_four_partitions_is_learned_as_from_one(project: Project) -> None:
    """Merged by the records' timestamps: the accuracy is within .003, and there are no more swaps."""
    found = []
    for partitions in (1, 4):
        prefix = f"{project.prefix}{partitions}-"
        here = Project(project.folder, bootstrap=project.bootstrap, prefix=prefix, partitions=partitions)
        here.produce(turning(8000), partition=None)
        owner = here.learn()
        assert here.learned_at_s(owner) == [(FIRST_MS + number) / 1000 for number in range(8000)]
        swaps = sum(each.kind == "swap" for each in here.updates())
        found.append((owner.lane.scores.values()["accuracy"], swaps))
    (one, swaps_of_one), (four, swaps_of_four) = found
    assert abs(one - four) <= 0.003, found
    assert swaps_of_four <= swaps_of_one, found


def test_a_partition_that_lies_far_ahead_waits_within_bounds(project: Project) -> None:
    """It is paused, comes after the others, and nothing is lost or learned twice by that."""
    here = Project(project.folder, bootstrap=project.bootstrap, prefix=f"{project.prefix}2-", partitions=2)
    events = list(sea(8000))
    here.produce(events[4000:], partition=1, first=4000)
    here.produce(events[:4000], partition=0)
    merger = Merger(records_max=2000)
    lineage = here.learn(merger=merger).lane.lineage
    assert [tuple(run) for run in lineage.last(9000)] == [(0, 0, 4000), (1, 0, 4000)]


def test_another_topic_under_the_same_name_is_refused(project: Project) -> None:
    """Nothing is consumed of it; both topics are named, and what can be done. The way that is named works."""
    project.produce(sea(300))
    project.learn()
    other = project.write(prefix=f"{project.prefix}x-", file="other.toml")
    project.produce(sea(500, first=300), topic=f"{project.prefix}x-events")
    with pytest.raises(ConfigError, match=rf"'{project.events}'.*'{project.prefix}x-events'.*--accept-loss"):
        project.learn(other)
    assert project.learn(other, how=StartOptions(accept_loss=True)).lane.events == 800
    assert project.learn(other).losses


def test_a_topic_that_was_made_anew_is_refused(project: Project) -> None:
    """Also when it has grown beyond the old positions; what was learned can go on from its first record."""
    project.produce(sea(300))
    project.learn()
    project.make_anew()
    project.produce(sea(400, first=300))
    with pytest.raises(CheckpointError, match=r"recreated.*partition 0 at 300.*--accept-loss"):
        project.learn()
    owner = project.learn(how=StartOptions(accept_loss=True))
    assert (owner.lane.events, owner.positions) == (700, {Partition(project.events, 0): 400})
    assert project.learn().lane.events == 700


def test_what_retention_took_is_named_and_can_be_accepted(project: Project) -> None:
    """The offsets are in the message; learning goes on with the learned state, and it is told and kept."""
    project.produce(sea(300))
    project.learn()
    project.produce(sea(500, first=300))
    project.cut({0: 600})
    said = project.anabranch("learn", project.config, "--until-end", code=1)
    assert "partition 0 offsets 300 to 599 are gone" in said
    assert "--from" not in said
    assert "500 events learned" in project.anabranch("learn", project.config, "--until-end", "--accept-loss")
    assert "offsets 300 to 599" in project.anabranch("state", project.config)
    with Tail({"bootstrap.servers": project.bootstrap}, [f"{project.prefix}model-alerts"], start="earliest") as tail:
        (told,) = (decode(Alert, message.value() or b"") for message in tail.poll(5.0))
    assert told.kind == "log"
    assert "offsets 300 to 599" in told.reason


@pytest.mark.parametrize("given", ["--from=models:/other/1", "--warm-up=rows.csv"])
def test_what_is_for_the_very_first_start_is_refused_later(given: str, project: Project) -> None:
    """It would be ignored."""
    project.produce(sea(300))
    project.learn()
    said = project.anabranch("learn", project.config, "--until-end", given, code=2)
    assert f"{given.split('=', maxsplit=1)[0]} " in said
    assert "there is a checkpoint" in said


CHANGES = {
    "task": ('task = "multiclass"', MODEL, "`task` was 'binary' and is 'multiclass'"),
    "positive": ('task = "binary"\npositive = "yes"', MODEL, "`positive` was not given and is 'yes'"),
    "scope": ('task = "binary"\nscope = "partition"', MODEL, "is of the other scope"),
}


@pytest.mark.parametrize(("head", "sections", "said"), CHANGES.values(), ids=CHANGES)
def test_settings_that_the_state_is_of_no_use_under_are_refused(
    head: str, sections: str, said: str, project: Project
) -> None:
    """Exit code 2, with both sides and what to do; nothing is consumed or committed."""
    project.produce(sea(300))
    project.learn()
    before = project.anabranch("state", project.config)
    project.produce(sea(100, first=300))
    changed = project.write(head=head, sections=sections, file="changed.toml")
    found = project.anabranch("learn", changed, "--until-end", code=2)
    assert said in found
    assert "`anabranch rebuild CONFIG`" in found
    assert project.anabranch("state", project.config) == before


def test_partitions_that_were_added_before_a_restart_are_learned(project: Project) -> None:
    """A member that is back within its session gets its old partitions: alone in the group, it takes the new ones."""
    project.produce(sea(300))
    project.learn()  # it leaves as a static member does: its place stays
    project.add_partitions(3)
    project.produce(sea(300, first=300), partition=None)
    assert project.learn().lane.events == 600


def test_an_added_partition_is_learned_from_its_first_record(project: Project) -> None:
    """`start` is for the very first start of the group, not of each partition."""
    config = project.write(head='task = "binary"\nscope = "partition"\nstart = "latest"')
    project.produce(sea(300))
    learner = project.start("learn", config)
    try:
        until(lambda: project.shown(config, 0))
        project.produce(sea(100, first=300))
        project.add_partitions(2)
        project.produce(sea(100, first=400), partition=1)
        until(lambda: project.shown(config, 1).get("events") == 100, within_s=60)
        until(lambda: project.shown(config, 0).get("events") == 100)
    finally:
        learner.terminate()
        said, _ = learner.communicate(timeout=30)
    assert learner.returncode == 0, said


def test_state_makes_nothing(project: Project) -> None:
    """It looks: a store that is not there stays so."""
    found = project.anabranch("state", project.config, code=1)
    assert "`anabranch learn` writes the first" in found
    assert not (project.folder / "checkpoints").exists()

"""A model's project on a real Kafka: its configuration in a folder, and the command line on it."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from anabranch import follow
from anabranch.champion import Champion
from anabranch.kafka import updates as kafka_updates
from anabranch.kafka.tail import Tail
from anabranch.messages import ModelUpdate
from config.loading import load
from consumers.checkpoint import contents_of, newest
from consumers.stores import store_of
from support import command_line, streams

GAUSSIAN = '[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'
SCALED_LINEAR = (
    '[model]\nsteps = [{ use = "preprocessing.StandardScaler" }, { use = "linear_model.LogisticRegression" }]\n'
)


class Project:
    """A model's configuration in a folder, and the command line on it."""

    def __init__(
        self,
        folder: Path,
        *,
        bootstrap: str,
        prefix: str,
        sections: str = GAUSSIAN,
        partitions: int = 1,
        task: str = "binary",
    ) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.name = f"{prefix}m"
        self.config = folder / "anabranch.toml"
        self.config.write_text(
            f'name = "{self.name}"\ntask = "{task}"\n{sections}\n'
            f'[topics]\nprefix = "{prefix}"\npartitions = {partitions}\n'
            f'[checkpoint]\nstore = "{folder / "checkpoints"}"\nevery = "300ms"\n'
            f'[kafka]\n"bootstrap.servers" = "{bootstrap}"\n"session.timeout.ms" = 6000\n'
        )
        self.run("topics", "create", self.config)

    @property
    def kafka(self) -> dict[str, str]:
        return {"bootstrap.servers": self.bootstrap}

    @property
    def updates(self) -> str:
        return f"{self.prefix}model-updates"

    def start(self, *words: object, **how: Any) -> subprocess.Popen[str]:
        return command_line.start(*words, **how)

    def run(self, *words: object) -> str:
        """Carried out in this process."""
        done = command_line.anabranch(*words)
        assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
        return done.stdout

    def produce(self, values: Iterator[bytes], *, rate: float | None = None, partitions: int = 1) -> None:
        self.publish(f"{self.prefix}events", values, rate=rate, partitions=partitions)

    def publish(self, topic: str, values: Iterator[bytes], *, rate: float | None = None, partitions: int = 1) -> None:
        producer = Producer({**self.kafka, "enable.idempotence": True, "linger.ms": 5})
        began = time.monotonic()
        for number, value in enumerate(values):
            producer.produce(topic, value, partition=number % partitions)
            producer.poll(0)
            if rate and (ahead := number / rate - (time.monotonic() - began)) > 0.02:
                time.sleep(ahead)
        assert not producer.flush(30)

    def state(self) -> dict[str, Any]:
        return json.loads(self.run("state", self.config, "--json"))  # type: ignore[no-any-return]  # an object


def sea(events: int, *, flipped_from: int | None = None) -> Iterator[bytes]:
    """A stream whose labels are turned round from an offset on."""
    return streams.sea(events, turned=lambda n: flipped_from is not None and n >= flipped_from)


def ended(process: subprocess.Popen[str], *, within_s: float = 60.0) -> tuple[int, str]:
    """The exit code and what the process logged."""
    done = command_line.ended(process, within_s=within_s)
    return done.returncode, done.stderr


def announced(here: Project) -> list[ModelUpdate]:
    return kafka_updates.all_updates(here.kafka, topic=here.updates, model=here.name)


def values_on(kafka: dict[str, str], topic: str) -> list[bytes]:
    """What is on a topic; in order, where it has one partition."""
    with Tail(kafka, [topic]) as tail:
        return [bytes(message.value() or b"") for message in tail.until_caught_up()]


def checkpointed(here: Project) -> dict[str, Any]:
    """The lane's state in the newest checkpoint."""
    settings = load(here.config)
    store = store_of(settings)
    entry = newest(None, store)
    assert entry is not None
    return contents_of(settings, store, sha=entry.sha).state["lane"]  # type: ignore[no-any-return]  # an object


def learned_along(here: Project, data: Path, *words: object, events: int) -> Champion:
    """What a follower that learns along has in the end, after a learner that was killed and went on."""
    here.run("produce", "--data", data, *words, "--limit", 1000)
    learner = here.start("learn", here.config)
    try:
        with follow(here.name, kafka=here.kafka, topic=here.updates, learn_along=True) as model:
            model.wait(timeout_s=60)
            learner.send_signal(signal.SIGKILL)
            ended(learner)
            learner = here.start("learn", here.config)
            here.run("produce", "--data", data, *words)  # the first thousand are duplicates
            until_s = time.monotonic() + 90
            while model.champion.event_number < events and time.monotonic() < until_s:
                time.sleep(0.1)
            learner.terminate()
            assert ended(learner)[0] == 0
            time.sleep(1)  # what it announced at last
            return model.champion
    finally:
        learner.kill()

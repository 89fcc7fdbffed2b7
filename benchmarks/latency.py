"""How soon an event is learned, and answered, at half of what is possible: on a real Kafka, one event after the other.

    python -m benchmarks.latency [--rate N] [--seconds 15]

Events are published at a steady rate by a process of their own, each with its planned moment as its timestamp: a
learner that stalls cannot hide it. *Learned* is from that moment until the event was predicted, scored and learned;
Anabranch's holds what follows a batch, too: its order is told and, when it is time, a checkpoint written. *Answered* is
from that moment until a reader of committed records has the prediction that `anabranch score` made for the event.
`make bench` measures at half of what it has just found; alone, the rate is given.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import orjson
import structlog
from confluent_kafka import Consumer, Producer, TopicPartition

from anabranch.events import Record
from anabranch.kafka import batch, producer, reader
from benchmarks.agrawal import QUICK, agrawal, learning_loop, settings_of
from commands.brokers.local import LocalKafka
from commands.compiling import ROOT
from config.loading import load
from config.settings import Settings
from consumers.kafka.source import KafkaSource
from consumers.kafka.topics import create

OTHERS_PYTHON = ROOT / ".venv-others" / "bin" / "python"
READY = "ready"
"""A process says so when it has learned a first event; then they come at their rate."""
WAITING = 5000
"""So many events wait when it is measured how many a scorer answers."""
SECONDS = 15.0
"""So long events are published for each way."""
READS_FROM_S = 3.0
"""Lags within the first seconds are left out: caches fill, connections are made."""
PATIENCE_S = 60.0
PEERS = {
    "confluent-kafka and River, by hand": "by_hand",
    "Quix Streams and River": "quix",
    "Bytewax and River": "bytewax_flow",
}
SCORED = """
name = "latency"
task = "binary"
[model]
steps = [{{ use = "tree.HoeffdingTreeClassifier" }}]
[topics]
partitions = 1
[publish]
warm_up_events = 1000
[score]
port = 0
predictions = true
predictions_start = "latest"
[checkpoint]
store = "{store}"
[kafka]
"bootstrap.servers" = "{bootstrap}"
"""


class Lags(NamedTuple):
    """How long events have waited, in milliseconds, at a rate of so many a second."""

    model: str
    way: str
    what: str
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float


def summed_up(lags_s: Sequence[float]) -> tuple[float, float, float]:
    """The median, the 99th percentile and the most, in milliseconds.

    >>> summed_up([0.001] * 99 + [0.2])
    (1.0, 198.01..., 200.0)
    """
    cuts = quantiles(lags_s, n=100, method="inclusive")
    return cuts[49] * 1e3, cuts[98] * 1e3, max(lags_s) * 1e3


def shown(found: Sequence[Lags]) -> str:
    """As a table in Markdown."""
    lines = [
        "| model | | what | events/s | p50, ms | p99, ms | most, ms |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each.model} | {each.way} | {each.what} | {each.rate:,.0f} | {each.p50_ms:,.1f} | {each.p99_ms:,.1f} | "
        f"{each.max_ms:,.0f} |"
        for each in found
    ]
    return "\n".join(lines)


# ── learned ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class LaggedSource(KafkaSource):
    """Notes of each record how long after its timestamp it was learned: by then the next ones are asked for."""

    def __init__(self, settings: Settings, *, events: int) -> None:
        super().__init__(settings)
        self.events = events
        self.before: Sequence[Record] = ()
        self.lags: list[tuple[float, float]] = []
        """Timestamp and seconds."""

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        now_s = time.time()
        if self.before and not self.lags:
            print(READY, flush=True)
        self.lags += [(each.timestamp_s, now_s - each.timestamp_s) for each in self.before]
        self.before = super().poll(max_records, timeout_s=timeout_s)
        return self.before

    def at_end(self) -> bool:
        """Whether all that are to come have been learned."""
        return len(self.lags) >= self.events


def learn(settings: Settings, *, events: int) -> None:
    """Learn so many events as `make bench` does, and print the lags; run in a process of its own."""
    source = LaggedSource(settings, events=events)
    with tempfile.TemporaryDirectory() as folder:
        learning_loop(settings, source=source, folder=Path(folder)).run(until_end=True)
    print(json.dumps({"lags": source.lags}))


def learned(bootstrap: str, model: str, way: str, *, rate: float, seconds: float, run: str = "latency") -> Lags:
    """One way of learning, at a rate.

    Args:
        run: begins the names of its topics, which must not be there yet.
    """
    name = re.sub("[^a-z0-9]+", "-", f"{run}-{way}-{model}".lower())
    settings = settings_of(model, bootstrap=bootstrap, name=name, topics={"prefix": f"{name}.", "partitions": 1})
    create(settings)
    topic, events = settings.topics.name("events"), int(rate * seconds)
    _publish_all(bootstrap, topic, list(agrawal(1)))
    with subprocess.Popen(
        _command(way, model, topic, bootstrap, events=events + 1), cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"WORK_TOPIC": topic, "WORK_LAGS": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        _wait_for_line(process, READY)
        publish_apart(bootstrap, topic, rate=rate, seconds=seconds)
        told = json.loads(_wait_for_line(process, "{"))
    return Lags(model, way, "learned", rate, *summed_up(_warm(told["lags"])))


def _command(way: str, model: str, topic: str, bootstrap: str, *, events: int) -> list[str]:
    if way in PEERS:
        script = ROOT / "benchmarks" / "others" / f"{PEERS[way]}.py"
        return [str(OTHERS_PYTHON), str(script), bootstrap, model, str(events), f"{topic}-group"]
    words = ["--learn", topic.removesuffix("events"), "--model", model, "--events", str(events)]
    return [sys.executable, "-m", "benchmarks.latency", *words, "--bootstrap", bootstrap]


def _wait_for_line(process: subprocess.Popen[str], beginning: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return line
    raise SystemExit(f"{process.args}: it ended with code {process.wait()} and has not said {beginning!r}")


def _warm(lags: Sequence[tuple[float, float]]) -> list[float]:
    """The seconds, without those of the beginning; the first event of all was only a sign."""
    since_s = lags[1][0] + READS_FROM_S
    return [lag_s for at_s, lag_s in lags if at_s >= since_s]


# ── answered ────────────────────────────────────────────────────────────────────────────────────────────────────────


def answered(bootstrap: str, *, seconds: float) -> Lags:
    """The answers of `anabranch score` to events, at half of the rate at which it answers many that wait."""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name, "latency.toml")
        config.write_text(SCORED.format(store=Path(name, "store"), bootstrap=bootstrap))
        settings = load(config)
        create(settings)
        with running("learn", config):
            _publish_all(bootstrap, settings.topics.name("events"), list(agrawal(3000)))
            Answers(settings, settings.topics.name("updates")).wait(1)
        with running("score", config):
            return _answered(settings, bootstrap, seconds=seconds)


def _answered(settings: Settings, bootstrap: str, *, seconds: float) -> Lags:
    topic, answers = settings.topics.name("events"), Answers(settings, settings.topics.name("predictions"))
    until_s = time.monotonic() + PATIENCE_S
    while not answers.came and time.monotonic() < until_s:  # events before its place in the group are nobody's
        _publish_all(bootstrap, topic, list(agrawal(1)))
        answers.read(timeout_s=1.0)
    before, began_s = len(answers.came), time.monotonic()
    _publish_all(bootstrap, topic, list(agrawal(WAITING)))
    answers.wait(before + WAITING)
    rate = WAITING / (time.monotonic() - began_s) / 2
    before = len(answers.came)
    thread = threading.Thread(target=answers.wait, args=[before + int(rate * seconds)])
    thread.start()
    publish_apart(bootstrap, topic, rate=rate, seconds=seconds)
    thread.join()
    lags = summed_up(_warm(answers.lags(topic, from_place=before - 1)))
    return Lags("HoeffdingTree", "Anabranch", "answered", rate, *lags)


class Answers:
    """Reads a topic of one partition as anybody may who heeds committed records, and notes when each record came."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.settings = settings
        self.client = Consumer(reader(settings.kafka))
        self.client.assign([TopicPartition(topic, 0, 0)])
        self.came: list[tuple[float, bytes]] = []

    def read(self, *, timeout_s: float) -> None:
        """What is there, or the first that comes."""
        messages = batch(self.client, 1000, timeout_s=timeout_s)
        now_s = time.time()
        self.came += [(now_s, each.value() or b"") for each in messages if each.error() is None]

    def wait(self, count: int) -> None:
        """Until so many are there."""
        until_s = time.monotonic() + PATIENCE_S
        while len(self.came) < count:
            self.read(timeout_s=0.2)
            if time.monotonic() > until_s:
                raise SystemExit(f"{len(self.came)} of {count} records came within {PATIENCE_S:.0f} s")

    def lags(self, topic: str, *, from_place: int) -> list[tuple[float, float]]:
        """Of each answer, its event's timestamp and the seconds from there until the answer could be read."""
        client = Consumer(reader(self.settings.kafka))
        client.assign([TopicPartition(topic, 0, 0)])
        stamps: list[float] = []
        answers = [(came_s, orjson.loads(value)["offset"]) for came_s, value in self.came[from_place:]]
        while len(stamps) <= max(offset for _, offset in answers):
            stamps += [each.timestamp()[1] / 1e3 for each in batch(client, 1000, timeout_s=1.0)]
        client.close()
        return [(stamps[offset], came_s - stamps[offset]) for came_s, offset in answers]


@contextmanager
def running(verb: str, config: Path) -> Iterator[None]:
    """A process of ours, as users start it."""
    command = [sys.executable, "-m", "commands.main", verb, str(config)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


# ── publishing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def publish_apart(bootstrap: str, topic: str, *, rate: float, seconds: float) -> None:
    """Publish at a rate, by a process of its own, to the end."""
    words = ["--publish", topic, "--bootstrap", bootstrap, "--rate", str(rate), "--seconds", str(seconds)]
    subprocess.run([sys.executable, "-m", "benchmarks.latency", *words], cwd=ROOT, check=True)


def publish(bootstrap: str, topic: str, *, rate: float, seconds: float) -> None:
    """Each event at its moment, which is its timestamp."""
    values = list(agrawal(int(rate * seconds)))
    client = Producer(producer({"bootstrap.servers": bootstrap, "linger.ms": 1}))
    began_s = time.time() + 0.1
    for number, value in enumerate(values):
        due_s = began_s + number / rate
        while (ahead_s := due_s - time.time()) > 0:
            client.poll(min(ahead_s, 0.001))
        client.produce(topic, value, partition=0, timestamp=int(due_s * 1e3))
    client.flush(PATIENCE_S)


def _publish_all(bootstrap: str, topic: str, values: Sequence[bytes]) -> None:
    """At once."""
    client = Producer(producer({"bootstrap.servers": bootstrap}))
    for value in values:
        client.produce(topic, value, partition=0)
    client.flush(PATIENCE_S)


def measured(rates: Mapping[str, float], *, seconds: float, peers: bool) -> list[Lags]:
    """All of it on a broker of its own.

    Args:
        rates: events a second, by model.
        peers: whether the environment of the others is there.
    """
    with LocalKafka() as kafka:
        found = []
        for model, rate in rates.items():
            for way in ("Anabranch", *(PEERS if peers else ())):
                found.append(learned(kafka.bootstrap, model, way, rate=rate, seconds=seconds))
                print(found[-1], flush=True)
        found.append(answered(kafka.bootstrap, seconds=seconds))
        print(found[-1], flush=True)
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=2000.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="so long events are published for each way")
    parser.add_argument("--model", choices=QUICK, default=QUICK[0])
    for hidden in ("--publish", "--learn", "--bootstrap"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    parser.add_argument("--events", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if options.publish:
        publish(options.bootstrap, options.publish, rate=options.rate, seconds=options.seconds)
    elif options.learn:
        topics = {"prefix": options.learn, "partitions": 1}
        name = options.learn.rstrip(".")
        settings = settings_of(options.model, bootstrap=options.bootstrap, name=name, topics=topics)
        learn(settings, events=options.events)
    else:
        peers = OTHERS_PYTHON.is_file()
        print(shown(measured({options.model: options.rate}, seconds=options.seconds, peers=peers)))


if __name__ == "__main__":
    main()

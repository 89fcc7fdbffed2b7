"""What processes and lanes cost: two workers beside two bare loops, a lane that moves, a thousand that idle.

    python -m benchmarks.workers [--part pair|move|idle] [--events N] [--runs N] [--lanes N]

Each partition has a model of its own, and a real Kafka holds the events. All is told by the clock and by processor
time: on a machine that others use as well, only the latter can be compared.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson
import structlog
from confluent_kafka import KafkaException, Producer

from anabranch.errors import KafkaUnavailable
from anabranch.events import Partition, Record
from anabranch.kafka import at, producer
from benchmarks.agrawal import MODELS, TimedSource, agrawal, settings_of
from benchmarks.throughput import PLAIN
from commands import wiring
from commands.brokers.local import LocalKafka
from config.settings import Settings
from consumers.kafka.sink import KafkaSink
from consumers.kafka.source import KafkaSource
from consumers.kafka.topics import create
from consumers.loop import LearningLoop
from consumers.ports import Owners
from consumers.supervisor import supervise

AIM_PAIR, AIM_MOVE_S, AIM_LANE_MB = 0.9, 2.0, 1.0
WORKERS = 2
READY_S = 120.0
NAMES = {"bare": "two bare loops", "alone": "one worker for all", "workers": "two workers"}
SESSION = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "max.poll.interval.ms": 600_000}


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print, or be one of the processes that are measured."""
    options = _options(words)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(40), logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    if options.one:
        {"bare": _bare, "worker": _worker, "idle": _idle}[options.one](options)
        return
    parts: dict[str, Callable[[argparse.Namespace, LocalKafka, Path], None]] = {
        "pair": _pair,
        "move": _move,
        "idle": _idles,
    }
    for part in [options.part] if options.part else parts:
        with LocalKafka() as kafka, tempfile.TemporaryDirectory(prefix="anabranch-bench-") as folder:
            parts[part](options, kafka, Path(folder))


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("pair", "move", "idle"))
    parser.add_argument("--events", type=int, default=60_000, help="of each partition")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--lanes", type=int, default=1000)
    parser.add_argument("--learned", type=int, default=0, help="events that each idle lane has learned before")
    parser.add_argument("--model", default="HoeffdingTree", choices=tuple(MODELS))
    parser.add_argument("--one", choices=("bare", "worker", "idle"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", default="", help=argparse.SUPPRESS)
    parser.add_argument("--name", default="bench", help=argparse.SUPPRESS)
    parser.add_argument("--until-end", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def _settings(options: argparse.Namespace, *, bootstrap: str, name: str, folder: Path, partitions: int) -> Settings:
    return settings_of(
        options.model,
        name=name,
        scope="partition",
        topics={"prefix": f"{name}-", "partitions": partitions},
        checkpoint={"store": str(folder / "checkpoints")},
        kafka={"bootstrap.servers": bootstrap, **SESSION},
    )


def _filled(settings: Settings, values: Sequence[bytes], *, partitions: int) -> None:
    """Each partition holds all of the values; the topics are there when it returns."""
    create(settings)
    publisher = Producer({**producer(settings.kafka), "queue.buffering.max.messages": 2_000_000})
    for value in values:
        for partition in range(partitions):
            publisher.produce(settings.topics.name("events"), value, partition=partition)
        publisher.poll(0)
    assert not publisher.flush(120)


class Child:
    """One of the processes that are measured; it tells what happens as lines of JSON."""

    def __init__(self, kind: str, options: argparse.Namespace, folder: Path, **given: Any) -> None:
        words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not True]
        words += [f"--{name.replace('_', '-')}" for name, value in given.items() if value is True]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.workers", "--one", kind, "--folder", str(folder)),
                *("--model", options.model, "--events", str(options.events), *words),
            ],
            stdout=subprocess.PIPE,
        )
        self.told: list[dict[str, Any]] = []
        assert self.process.stdout is not None
        self.thread = threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True)
        self.thread.start()

    def _listen(self, output: IO[bytes]) -> None:
        for line in output:
            self.told.append(orjson.loads(line))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What it has told of this kind."""
        return [each for each in self.told if each["kind"] == kind]

    def ended(self) -> dict[str, Any]:
        """What it came to."""
        assert self.process.wait(600) == 0
        self.thread.join()
        return self.told[-1]


def _until(true: Callable[[], object]) -> None:
    ends_s = time.monotonic() + READY_S
    while not true():
        assert time.monotonic() < ends_s, "it did not come to that in time"
        time.sleep(0.02)


def _tell(kind: str, **more: Any) -> None:
    print(json.dumps({"kind": kind, "ts": time.time(), **more}), flush=True)


# ── Two workers beside two bare loops ───────────────────────────────────────────────────────────────────────────────


def _pair(options: argparse.Namespace, kafka: LocalKafka, folder: Path) -> None:
    values = list(agrawal(options.events))
    (folder / "values").write_bytes(b"\n".join(values))
    measured: dict[str, list[tuple[float, float]]] = {kind: [] for kind in NAMES}
    for run in range(options.runs):
        measured["bare"].append(_together("bare", options, folder, folder / f"go-{run}", count=WORKERS))
        for kind, count in (("alone", 1), ("workers", WORKERS)):
            name = f"{kind}-{run}"
            settings = _settings(options, bootstrap=kafka.bootstrap, name=name, folder=folder, partitions=WORKERS)
            _filled(settings, values, partitions=WORKERS)
            here = {"bootstrap": kafka.bootstrap, "name": name, "until_end": True}
            measured[kind].append(_together("worker", options, folder, folder / f"go-{name}", count=count, **here))
    _print_rates(options, measured)


def _print_rates(options: argparse.Namespace, measured: dict[str, list[tuple[float, float]]]) -> None:
    print(f"\n{options.model}: {WORKERS} partitions of {options.events:,} events each; {options.runs} runs in turn")
    rates: dict[str, tuple[float, float]] = {}
    for kind, several in measured.items():
        wall, cpu = (WORKERS * options.events / statistics.median(each[n] for each in several) for n in (0, 1))
        rates[kind] = wall, cpu
        print(f"  {NAMES[kind]:18} {wall:9,.0f} events a second by the clock, {cpu:9,.0f} a second of processor time")
    for other, of_what, times, aim in (
        ("bare", "two bare loops", 1, f" (aim {AIM_PAIR})"),
        ("alone", "twice one worker", WORKERS, ""),
    ):
        by_clock, by_cpu = rates["workers"][0] / rates[other][0] / times, rates["workers"][1] / rates[other][1]
        print(f"  two workers to {of_what}: {by_clock:.2f} by the clock, {by_cpu:.2f} by processor time{aim}")


def _together(
    kind: str, options: argparse.Namespace, folder: Path, go: Path, *, count: int, **given: Any
) -> tuple[float, float]:
    """Seconds by the clock from the first that began to the last that ended; and of processor time of all."""
    children, share = [Child(kind, options, folder, **given) for _ in range(count)], WORKERS // count
    _until(lambda: all(each.of("ready") and each.of("ready")[-1]["partitions"] == share for each in children))
    go.touch()
    ended = [each.ended() for each in children]
    began_s, ended_s = min(each["began_s"] for each in ended), max(each["ended_s"] for each in ended)
    return ended_s - began_s, sum(each["cpu_s"] for each in ended)


def _bare(options: argparse.Namespace) -> None:
    values = (options.folder / "values").read_bytes().splitlines()
    model: Any = PLAIN[" ".join(step["use"] for step in MODELS[options.model])]()
    _tell("ready", partitions=1)
    run = len(list(options.folder.glob("go-[0-9]")))
    _until((options.folder / f"go-{run}").exists)
    began_s, began_cpu_s = time.time(), time.process_time()
    for value in values:
        event = orjson.loads(value)
        model.predict_one(event["features"])
        model.learn_one(event["features"], event["label"])
    _tell("ended", began_s=began_s, ended_s=time.time(), cpu_s=time.process_time() - began_cpu_s)


class Gated(TimedSource):
    """A worker's source: nothing is read before the word is given, so that all begin with their share at once.

    Args:
        go: the file that gives the word.
    """

    def __init__(self, settings: Settings, *, go: Path, stopping: threading.Event) -> None:
        super().__init__(settings, stopping=stopping)
        self.go = go
        self.waits = True
        self.first_s = self.last_s = self.cpu_s = self.used_s = 0.0
        self.fresh: set[Partition] = set()
        """Gained, and nothing of them was read yet."""

    def _begin_reading(self) -> None:
        super()._begin_reading()
        self.fresh = set(self.read)
        if self.waits:
            self.consumer.pause(at(self.read))

    def _give_up(self, partitions: list[Partition], tell: Callable[[Sequence[Partition]], None]) -> None:
        _tell("revoked", gone=[each.number for each in partitions])
        super()._give_up(partitions, tell)

    def _gain(self, owners: Owners, assigned: list[Partition]) -> None:
        super()._gain(owners, assigned)
        _tell("ready", partitions=len(assigned))

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records, once the word is given."""
        if self.waits and self.go.exists():
            self.waits = False
            self.consumer.resume(at(self.read))
        records = super().poll(max_records, timeout_s=timeout_s)
        if records and not self.first_s:
            self.first_s, self.cpu_s = time.time(), time.process_time()
        for number in {each.partition for each in records} & {each.number for each in self.fresh}:
            _tell("reads", partition=number)
            self.fresh = {each for each in self.fresh if each.number != number}
        return records

    def at_end(self) -> bool:
        """Whether all is read; not before anything was."""
        ended = not self.waits and super().at_end()
        if ended and not self.last_s:
            self.last_s, self.used_s = time.time(), time.process_time() - self.cpu_s
        return ended


def _worker(options: argparse.Namespace) -> None:
    settings = _settings(
        options, bootstrap=options.bootstrap, name=options.name, folder=options.folder, partitions=WORKERS
    )
    first = wiring.first_champion(settings)

    def make(stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
        loop = wiring.learning_loop(settings, first=first, before=before, stopping=stopping)
        loop.ports.source.close()
        loop.ports.source = Gated(settings, go=options.folder / f"go-{options.name}", stopping=stopping)
        return loop

    loop = supervise(make, until_end=options.until_end)
    source = loop.ports.source
    assert isinstance(source, Gated)
    _tell("ended", began_s=source.first_s, ended_s=source.last_s, cpu_s=source.used_s)


# ── A lane that moves ───────────────────────────────────────────────────────────────────────────────────────────────


def _move(options: argparse.Namespace, kafka: LocalKafka, folder: Path) -> None:
    settings = _settings(options, bootstrap=kafka.bootstrap, name="move", folder=folder, partitions=WORKERS)
    _filled(settings, list(agrawal(options.events)), partitions=WORKERS)
    (folder / "go-move").touch()
    here = {"bootstrap": kafka.bootstrap, "name": "move"}
    stays = Child("worker", options, folder, **here)
    _until(lambda: len(stays.of("reads")) == WORKERS)
    still: list[float] = []
    more = islice(agrawal(10**9), options.events, None)
    ending = threading.Event()
    threading.Thread(target=_trickle, args=(settings, more, ending), daemon=True).start()
    for _ in range(options.runs):
        time.sleep(2)
        known = len(stays.of("revoked"))
        comes = Child("worker", options, folder, **here)
        _until(lambda comes=comes: comes.of("reads"))
        moved, read_s = comes.of("reads")[0]["partition"], comes.of("reads")[0]["ts"]
        revoked = [each for each in stays.of("revoked")[known:] if moved in each["gone"]]
        still.append(read_s - revoked[-1]["ts"])
        comes.process.terminate()
        comes.ended()
        _until(lambda: stays.of("ready")[-1]["partitions"] == WORKERS)
    ending.set()
    stays.process.terminate()
    stays.ended()
    size = max(each.stat().st_size for each in (folder / "checkpoints").rglob("blobs/*"))
    print(
        f"\na lane of {size / 1e6:.2f} MB moves to another process: nothing is learned of it for {max(still):.2f} s at "
        f"most, median {statistics.median(still):.2f} s, of {len(still)} times (aim: under {AIM_MOVE_S:g} s up to 1 MB)"
    )


def _trickle(settings: Settings, values: Iterator[bytes], ending: threading.Event) -> None:
    """Something to learn comes all the time, for all partitions."""
    publisher = Producer(producer(settings.kafka))
    while not ending.wait(0.05):
        for partition in range(WORKERS):
            publisher.produce(settings.topics.name("events"), next(values), partition=partition)
        publisher.poll(0)


# ── Lanes that idle ─────────────────────────────────────────────────────────────────────────────────────────────────


def _idles(options: argparse.Namespace, kafka: LocalKafka, folder: Path) -> None:
    settings = _settings(options, bootstrap=kafka.bootstrap, name="idle", folder=folder, partitions=options.lanes)
    _filled(settings, list(agrawal(options.learned)), partitions=options.lanes)
    here = {"bootstrap": kafka.bootstrap, "name": "idle", "lanes": options.lanes, "learned": options.learned}
    told = Child("idle", options, folder, **here).ended()
    print(
        f"\n{options.lanes:,} idle lanes in one process, each of which has learned {options.learned:,} events: "
        f"{told['mb']:.2f} MB each (aim: under {AIM_LANE_MB:g}), {told['threads']} threads, {told['files']} open "
        f"files; gained in {told['gained_s']:.0f} s ({told['gained_cpu_s']:.1f} s of processor time); they idle at "
        f"{told['idle_share']:.1%} of a core"
    )


def _idle(options: argparse.Namespace) -> None:
    settings = _settings(
        options, bootstrap=options.bootstrap, name=options.name, folder=options.folder, partitions=options.lanes
    )
    with ExitStack() as stack:
        loop = _calm_loop(settings)
        stack.callback(loop.ports.source.close)
        before_mb, began_s, began_cpu_s = _rss_mb(), time.monotonic(), time.process_time()
        loop.ports.source.start(loop)
        while len(loop.owners) < options.lanes:
            loop._turn()
        gained_s, gained_cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
        while not loop.ports.source.at_end():
            loop._turn()
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        while time.monotonic() - began_s < 15:
            loop._turn()
        _tell(
            "ended",
            mb=(_rss_mb() - before_mb) / options.lanes,
            threads=_count("/proc/self/task"),
            files=_count("/proc/self/fd"),
            gained_s=gained_s,
            gained_cpu_s=gained_cpu_s,
            idle_share=(time.process_time() - began_cpu_s) / (time.monotonic() - began_s),
        )
    os._exit(0)


def _calm_loop(settings: Settings) -> LearningLoop:
    """Once the brokers know who leads all these partitions, which takes them a while."""
    first = wiring.first_champion(settings)
    while True:
        loop = wiring.learning_loop(settings, first=first)
        source = loop.ports.source
        assert isinstance(source, KafkaSource)
        assert isinstance(loop.ports.sink, KafkaSink)
        try:
            source.first_positions("latest", source.all)
            loop.ports.controls().start(None)  # type: ignore[union-attr]  # on Kafka there is one
            return loop
        except (KafkaUnavailable, KafkaException):
            source.close()
            time.sleep(2)


def _count(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()

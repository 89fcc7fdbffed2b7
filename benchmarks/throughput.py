"""How much of River's own speed is left: a bare loop, a backtest, and a learner on a real Kafka, interleaved.

    python -m benchmarks.throughput [--events N] [--runs N] [--no-kafka]

Every measurement is a process of its own on the same pre-encoded Agrawal stream. The bare loop decodes the JSON,
predicts and learns, and does nothing else; the others have guard, duplicates, ADWIN, Page-Hinkley and three scores on.
"""

import argparse
import gc
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import structlog
from confluent_kafka import Producer
from river import linear_model, preprocessing, tree
from river.datasets import synth

from anabranch.clock import SystemClock
from anabranch.kafka_clients import producer
from anabranch.kafka_local import LocalKafka
from anabranch.messages import TrainedOn
from anabranch.ports import Record
from anabranch.settings import Settings
from anabranch.settings_file import build
from benchmarks import signal_cost
from consumers.backtest import Backtest
from consumers.checkpoints import FileStore
from consumers.guard import Guard
from consumers.kafka_outlet import KafkaOutlet
from consumers.kafka_source import KafkaSource
from consumers.learning_loop import LearningLoop
from consumers.recruiting import ProcessRecruiter
from consumers.topics import create
from learners import catalogue

MODELS = {
    "HoeffdingTree": [{"use": "tree.HoeffdingTreeClassifier"}],
    "StandardScaler|LogisticRegression": [
        {"use": "preprocessing.StandardScaler"},
        {"use": "linear_model.LogisticRegression"},
    ],
}
PLAIN: dict[str, Callable[[], Any]] = {  # as a user of River would write them
    "tree.HoeffdingTreeClassifier": tree.HoeffdingTreeClassifier,
    "preprocessing.StandardScaler linear_model.LogisticRegression": lambda: (
        preprocessing.StandardScaler() | linear_model.LogisticRegression()
    ),
}
AIMS = {"HoeffdingTree": 0.70, "StandardScaler|LogisticRegression": 0.45}
WAYS = ("bare", "backtest", "kafka")


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print, or carry out one measurement for the process that does."""
    options = _options(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if options.one:
        print(json.dumps(_one(options)))
    else:
        _all(options)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-kafka", action="store_true")
    parser.add_argument("--one", choices=(*WAYS, "guard", "memory"), help=argparse.SUPPRESS)
    parser.add_argument("--model", default="HoeffdingTree", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", default="", help=argparse.SUPPRESS)
    parser.add_argument("--name", default="bench", help=argparse.SUPPRESS)
    return parser.parse_args(words)


# ── the whole table ─────────────────────────────────────────────────────────────────────────────────────────────────


def _all(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="anabranch-bench-") as folder, ExitStack() as stack:
        data = Path(folder, "agrawal.jsonl")
        data.write_bytes(b"\n".join(agrawal(options.events)))
        bootstrap = "" if options.no_kafka else _filled_kafka(stack, data)
        ways = WAYS[:2] if options.no_kafka else WAYS
        print(f"{options.events:,} Agrawal events, {options.runs} interleaved runs; seconds: median [least, most]")
        for model in MODELS:
            _print_model(model, _interleaved(model, ways, options, data=data, bootstrap=bootstrap))
        guard = _child("guard", "HoeffdingTree", data=data)
        print(f"decoding and validating an event of 10 features: {guard['us']:.2f} µs (aim: at most 5)")
        memory = _child("memory", "StandardScaler|LogisticRegression", data=data)
        print(f"1,000,000 events through a LogisticRegression lane: {memory['grown_mb']:+.1f} MB (aim: under 20)")
    signal_cost.main()


def agrawal(events: int) -> Iterator[bytes]:
    """The encoded stream."""
    for number, (x, y) in enumerate(itertools.islice(synth.Agrawal(seed=42), events)):
        yield orjson.dumps({"id": f"agrawal-{number}", "ts": 1.6e9 + number / 1000, "features": x, "label": y})


def _filled_kafka(stack: ExitStack, data: Path) -> str:
    """A real broker with the stream on one partition of its events topic."""
    broker = stack.enter_context(LocalKafka())
    settings = _settings("HoeffdingTree", bootstrap=broker.bootstrap)
    create(settings)
    publisher = Producer(producer(settings.kafka))
    for value in data.read_bytes().splitlines():
        while True:
            try:
                publisher.produce("events", value, partition=0)
                break
            except BufferError:
                publisher.poll(0.1)
    publisher.flush()
    return broker.bootstrap


def _interleaved(
    model: str, ways: Sequence[str], options: argparse.Namespace, *, data: Path, bootstrap: str
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for run, way in itertools.product(range(options.runs), ways):
        name = f"bench-{model[:2].lower()}-{run}"
        seconds[way].append(_child(way, model, data=data, bootstrap=bootstrap, name=name)["seconds"])
    return seconds


def _child(way: str, model: str, *, data: Path, bootstrap: str = "", name: str = "bench") -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.throughput", "--one", way, "--model", model, "--data", str(data)]
    done = subprocess.run(
        [*command, "--bootstrap", bootstrap, "--name", name], check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _print_model(model: str, seconds: dict[str, list[float]]) -> None:
    bare = statistics.median(seconds["bare"])
    print(f"\n{model}")
    for way, each in seconds.items():
        ratios = [base / one for base, one in zip(seconds["bare"], each, strict=True)]
        aim = "" if way == "bare" else f"  ratio to bare {bare / statistics.median(each):.2f} (aim {AIMS[model]:.2f})"
        spread = "" if way == "bare" else f", by run {min(ratios):.2f} to {max(ratios):.2f}"
        print(f"  {way:9} {statistics.median(each):6.2f} [{min(each):.2f}, {max(each):.2f}]{aim}{spread}", flush=True)


# ── one measurement ─────────────────────────────────────────────────────────────────────────────────────────────────


def _one(options: argparse.Namespace) -> dict[str, float]:
    values = options.data.read_bytes().splitlines()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as `anabranch learn` has it; for all alike
    settings = _settings(options.model, bootstrap=options.bootstrap, name=options.name)
    measure: dict[str, Callable[[Settings, list[bytes]], dict[str, float]]] = {
        "bare": _bare,
        "backtest": _backtest,
        "kafka": _kafka,
        "guard": _guard,
        "memory": _memory,
    }
    return measure[options.one](settings, values)


def _settings(model: str, *, bootstrap: str = "", name: str = "bench") -> Settings:
    return build(
        {
            "name": name,
            "task": "binary",
            "model": {"steps": MODELS[model]},
            "scores": {"metrics": ["Accuracy", "F1", "LogLoss"]},
            # At work on every event, and never fired: retraining and shadows are work of their own.
            "detectors": {
                "adwin": {"use": "drift.ADWIN", "delta": 1e-12},
                "page_hinkley": {"use": "drift.PageHinkley", "threshold": 1e9, "delta": 0.02, "alpha": 1.0},
            },
            "kafka": {"bootstrap.servers": bootstrap} if bootstrap else {},
        }
    )


def _bare(settings: Settings, values: list[bytes]) -> dict[str, float]:
    model: Any = PLAIN[" ".join(step["use"] for step in settings.model.steps or ())]()
    began = time.perf_counter()
    for value in values:
        event = orjson.loads(value)
        model.predict_one(event["features"])
        model.learn_one(event["features"], event["label"])
    return {"seconds": time.perf_counter() - began}


def _backtest(settings: Settings, values: list[bytes]) -> dict[str, float]:
    run = Backtest(
        settings,
        first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()),
        values=lambda: iter(values),
        timestamp_of=lambda number: 1.6e9,
        clock=SystemClock(),
    )
    run.run()
    assert run.loop.lane.events == len(values)
    return {"seconds": run.seconds}


class _TimedSource(KafkaSource):
    """Notes when the first record came and when all were learned: joining and leaving the group are not the work."""

    began_s = ended_s = 0.0

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        records = super().poll(max_records, timeout_s=timeout_s)
        if records and not self.began_s:
            self.began_s = time.perf_counter()
        return records

    def at_end(self) -> bool:
        """Whether all is read."""
        ended = super().at_end()
        if ended:
            self.ended_s = time.perf_counter()
        return ended


def _kafka(settings: Settings, values: list[bytes]) -> dict[str, float]:
    clock = SystemClock()
    source = _TimedSource(settings)
    with tempfile.TemporaryDirectory() as folder:
        loop = LearningLoop(
            settings,
            first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()),
            source=source,
            outlet=KafkaOutlet(producer(settings.kafka)),
            store=FileStore(Path(folder), keep=2),
            recruiter=ProcessRecruiter(settings, clock=clock),
            clock=clock,
        )
        loop.run(until_end=True)
    assert loop.lane.events == len(values)
    return {"seconds": source.ended_s - source.began_s}


def _guard(settings: Settings, values: list[bytes]) -> dict[str, float]:
    """Nine features and one more make ten."""
    guard = Guard(settings)
    records = [
        Record("events", 0, number, 1.6e9, None, value.replace(b'"features":{', b'"features":{"more":1.5,'))
        for number, value in enumerate(values)
    ]
    began = time.perf_counter()
    for record in records:
        guard.check(record)
    return {"us": (time.perf_counter() - began) / len(records) * 1e6}


def _memory(settings: Settings, values: list[bytes]) -> dict[str, float]:
    """How much a backtest of a million events grows after its first thousand."""
    at_start: list[float] = []

    def repeated() -> Iterator[bytes]:
        for number in range(1_000_000):
            if number == 1_000:
                at_start.append(_rss_mb())
            value = values[number % len(values)]
            yield value.replace(b'"id":"agrawal-', b'"id":"%d-' % (number // len(values)))

    run = Backtest(
        settings,
        first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()),
        values=repeated,
        timestamp_of=lambda number: 1.6e9,
        clock=SystemClock(),
    )
    run.run()
    assert run.loop.lane.events == 1_000_000
    return {"grown_mb": _rss_mb() - at_start[0], "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()

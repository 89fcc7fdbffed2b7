"""What late labels cost: how many are joined a second, and what millions of waiting events weigh.

    python -m benchmarks.labels [--waiting N] [--labels N] [--runs N]

No Kafka: records come from a generator, checkpoints go to a folder of the disk (TMPDIR must be on one), and every run
is a process of its own. The lane is the cheapest there is, a model that answers with the shares of the labels, so that
what is measured is the join; and a logistic regression beside it. Rates are by seconds of the processor, since one core
is what is asked about. "memory" keeps all waiting events in the process, as a large `labels.memory_max` does; "store"
keeps the default of them there and the others in segments in the store.
"""

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog

from anabranch.events import Partition
from anabranch.messages import TrainedOn
from config.loading import build
from config.settings import Settings
from consumers.jobs import InlineRunner
from consumers.loop import LearningLoop
from consumers.ports import Positions
from consumers.stores import CheckpointStore
from consumers.stores.files import FolderBlobs
from consumers.telling import Ports
from consumers.timing import SystemClock
from evaluation.backtest import FileSource, LabelValue, NoSink
from learners.models import catalogue

MODELS = {
    "prior": [{"use": "dummy.PriorClassifier"}],
    "logistic": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}],
}
AIMS = {"memory": 20_000, "store": 10_000}
LATELY = 1.7e9
PER_CHECKPOINT = 50_000
"""Records."""

FEATURES = 14
"""Numbers, so that an event takes some 300 bytes, as a payment does."""


def events(count: int) -> Iterator[bytes]:
    """Asked, without labels."""
    drawn = random.Random(0)
    features = [
        b",".join(b'"feature_%d":%.2f' % (each, drawn.uniform(-9, 9)) for each in range(FEATURES)) for _ in range(997)
    ]
    for n in range(count):
        yield b'{"id":"p-%d","ts":%d,"features":{%s}}' % (n, LATELY + n // 100, features[n % len(features)])


def labels(numbers: Sequence[int], at_s: float) -> Iterator[LabelValue]:
    """One for each of these events."""
    for n in numbers:
        yield LabelValue(b'{"id":"p-%d","ts":%d,"label":%s}' % (n, at_s, b"true" if n % 7 == 0 else b"false"))


class TimedPhases(FileSource):
    """Events, then labels; notes when the first label was handed on, and when all was read."""

    labels_s = ended_s = 0.0
    end = 0

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Any]:
        """The next records."""
        records = super().poll(max_records, timeout_s=timeout_s)
        if records and records[-1].topic == self.labels.topic and not self.labels_s:
            self.labels_s = time.process_time()
        return records

    def at_end(self) -> bool:
        """Whether all is read."""
        self.ended_s = time.process_time()
        return super().at_end()

    def first_positions(self, start: str, partitions: Sequence[Partition]) -> Positions:
        """The beginning, or after all that there is."""
        return dict.fromkeys(partitions, 0 if start == "earliest" else self.end)


def rss_mb() -> float:
    """What the process holds of the memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def _loop(settings: Settings, folder: Path, values: list[Any], *, end: int) -> tuple[LearningLoop, TimedPhases]:
    topics, clock = settings.topics, SystemClock()
    source = TimedPhases(
        lambda: (record for part in values for record in part()),
        timestamp_of=None,
        history_max=1,
        labels=topics.name("labels"),
    )
    source.end = end
    store = CheckpointStore(FolderBlobs(folder), keep=2)
    ports = Ports(
        source=source,
        sink=NoSink(examples=topics.name("examples"), examples_max=1),
        stores=lambda scope: store,
        runners=lambda scope: InlineRunner(settings, reader=source),
        clock=clock,
    )
    loop = LearningLoop(settings, first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()), ports=ports)
    return loop, source


def run(options: argparse.Namespace) -> dict[str, Any]:
    """One run in this process: `waiting` events are asked, then `labels` of them get theirs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as `anabranch learn` has it
    settings = _settings(options)
    empty_mb, folder = rss_mb(), Path(options.folder)
    if options.restart:
        loop, _ = _loop(settings, folder, [], end=options.waiting + options.labels)
        began_s = time.perf_counter()
        loop.assigned([Partition("events", 0)], None)
        restart_s = time.perf_counter() - began_s
        loop.owner.checkpoint()
        return {
            "restart_s": restart_s,
            "waiting": len(loop.owner.lane.join),
            "rss_mb": rss_mb() - empty_mb,
            "pause_s": sum(loop.owner.timing.laps.values()),
        }
    numbers = list(range(options.labels))
    if options.shuffled:
        numbers = random.Random(1).sample(range(options.waiting), options.labels)
    at_s = LATELY + options.waiting // 100 + 1
    phases = [lambda: events(options.waiting), lambda: labels(numbers, at_s)]
    loop, source = _loop(settings, folder, phases, end=options.waiting + options.labels)
    began_s = time.process_time()
    loop.run(until_end=True)
    lane = loop.owner.lane
    assert lane.events == options.labels, f"{lane.events} labels were joined"
    labels_s = source.labels_s or source.ended_s
    return {
        "asked_per_s": options.waiting / (labels_s - began_s),
        "labels_per_s": options.labels / (source.ended_s - labels_s) if options.labels else 0.0,
        "rss_mb": rss_mb() - empty_mb,
        "waiting": len(lane.join),
    }


def _settings(options: argparse.Namespace) -> Settings:
    return build(
        {
            "name": "late",
            "task": "binary",
            "model": {"steps": MODELS[options.model]},
            "scores": {"metrics": ["Accuracy"]},
            "detectors": {},
            "pending_max": 10**9,
            "labels": {"late": True, "memory_max": 10**9 if options.where == "memory" else 2000},
            "publish": {"refresh_level": 0, "refresh_events": 0},
            "checkpoint": {"every": 1e9, "every_events": PER_CHECKPOINT},
            "kafka": {},
        }
    )


def child(**given: Any) -> dict[str, Any]:
    """A run in a process of its own."""
    words = [f"--{name}={value}" for name, value in given.items() if not isinstance(value, bool)]
    words += [f"--{name}" for name, value in given.items() if value is True]
    command = [sys.executable, "-m", "benchmarks.labels", "--run", *words]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def table(*, waiting: int, count: int, runs: int) -> None:
    """Measure and print, each figure with its aim."""
    print(f"labels joined in a second of one core: {count:,} after as many events; {runs} runs, median [least, most]")
    for where, aim in AIMS.items():
        for model in MODELS:
            for shuffled in (False, True):
                rates = [_joined(model, where, count, shuffled) for _ in range(runs)]
                how = "in any order" if shuffled else "in their order"
                middle = f"{statistics.median(rates):,.0f} [{min(rates):,.0f}, {max(rates):,.0f}]"
                print(f"  {where}, {model}, {how}: {middle} (aim with the cheapest: {aim:,})", flush=True)
    print(f"\n{waiting:,} events wait, put away")
    with tempfile.TemporaryDirectory(prefix="anabranch-labels-") as folder:
        named = {"model": "prior", "where": "store", "folder": folder, "waiting": waiting, "labels": 0}
        filled, again = child(**named), child(**named, restart=True)
    with tempfile.TemporaryDirectory(prefix="anabranch-labels-") as folder:
        named = {"model": "prior", "where": "store", "folder": folder, "waiting": 2000, "labels": 0}
        child(**named)
        few = child(**named, restart=True)
    assert filled["waiting"] == again["waiting"] == waiting
    print(f"  asked: {filled['asked_per_s']:,.0f} a second")
    print(f"  memory above the empty process: {filled['rss_mb']:.0f} MB, restarted {again['rss_mb']:.0f} (aim 350)")
    print(f"  restart: {again['restart_s']:.2f} s (aim 2)")
    print(f"  pause of a checkpoint: {1e3 * again['pause_s']:.0f} ms; with 2,000 waiting {1e3 * few['pause_s']:.0f}")


def _joined(model: str, where: str, count: int, shuffled: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="anabranch-labels-") as folder:
        named = {"model": model, "where": where, "folder": folder, "waiting": count, "labels": count}
        return float(child(**named, shuffled=shuffled)["labels_per_s"])


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, or carry out one run for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=5_000_000, help="events that wait")
    parser.add_argument("--labels", type=int, default=200_000, help="labels that are joined")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    for hidden in ("--model", "--where", "--folder"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    for hidden in ("--restart", "--shuffled"):
        parser.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.run:
        print(json.dumps(run(options)))
    else:
        table(waiting=options.waiting, count=options.labels, runs=options.runs)


if __name__ == "__main__":
    main()

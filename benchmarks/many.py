"""What many models on one topic cost: in one process, each in a process of its own, and as bare loops of River.

    python -m benchmarks.many [--models 50] [--events 10000] [--runs 3]

Processor time per event of the whole process (user and system, librdkafka's threads too): what a longer topic takes
more than a short one, so that starts, first announcements and last checkpoints are left out. So are checkpoints by the
clock, which come the oftener the slower the machine is: `make bench` has their price. Linear models on Agrawal as
`make bench` has it; "lean" without detectors, with one score, and announced by counting events.
A bare loop decodes the JSON, predicts and learns. Of the separate learners a few are measured, and their mean counts
for each of them. Needs Java and Maven.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import orjson
from confluent_kafka import Producer

from anabranch.kafka import producer
from benchmarks.agrawal import agrawal
from benchmarks.throughput import PLAIN
from commands.brokers.local import LocalKafka
from config.loading import load
from consumers.kafka.topics import create

LINEAR = "preprocessing.StandardScaler linear_model.LogisticRegression"
AIM = 0.5
"""Of the bare loops' speed."""
SHORT = 2000
"""Events of the short topic: the first champion is announced by then."""
SEPARATE = 4
"""So many learners in processes of their own are measured."""
MODEL = """\
name = "{name}"
task = "binary"
[model]
steps = [{{ use = "preprocessing.StandardScaler" }}, {{ use = "linear_model.LogisticRegression" }}]
{sections}
[topics]
prefix = "{prefix}"
partitions = 1
[checkpoint]
store = "{store}"
every = "1h"
[kafka]
"bootstrap.servers" = "{bootstrap}"
"""
# At work on every event, and never fired: retraining and shadows are work of their own.
SECTIONS = {
    "as make bench has it": """\
[scores]
metrics = ["Accuracy", "F1", "LogLoss"]
[detectors]
adwin = { use = "drift.ADWIN", delta = 1e-12 }
page_hinkley = { use = "drift.PageHinkley", threshold = 1e9, delta = 0.02, alpha = 1.0 }
""",
    # Nor is a copy of what followers have asked beside the model, which is a third of a linear one's work.
    "lean": '[scores]\nmetrics = ["Accuracy"]\n[detectors]\n[publish]\nrefresh_level = 0\n',
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(words)
    print(
        f"{options.models} linear models, {options.events:,} events, {options.runs} runs; load {os.getloadavg()[0]:.1f}"
    )
    print("microseconds of processor time per event, all models together: median [least, most]")
    bare = _spread("bare loops", [_bare(options.events) * options.models for _ in range(options.runs)])
    with tempfile.TemporaryDirectory(prefix="anabranch-many-") as folder, ExitStack() as stack:
        broker = stack.enter_context(LocalKafka())
        for kind, sections in SECTIONS.items():
            print(f"\n{kind}")
            bench = Bench(Path(folder, kind.split()[0]), broker.bootstrap, sections)
            separate = _spread("separate learners", bench.separate(options))
            together = _spread("one process", bench.together(options))
            print(f"  of the bare loops' speed {bare / together:.2f} (aim {AIM:.2f}); separate {bare / separate:.2f}")
            print(f"  of the separate learners' cost {together / separate:.2f}", flush=True)


def _spread(name: str, found: list[float]) -> float:
    median = statistics.median(found)
    print(f"  {name:18} {median:8,.0f} [{min(found):,.0f}, {max(found):,.0f}]", flush=True)
    return median


def _bare(events: int) -> float:
    """One loop, in microseconds per event."""
    model, values = PLAIN[LINEAR](), list(agrawal(events))
    gc.collect()
    began = time.process_time()
    for value in values:
        event = orjson.loads(value)
        model.predict_one(event["features"])
        model.learn_one(event["features"], event["label"])
    return (time.process_time() - began) / events * 1e6


class Bench:
    """Learners on topics of a broker, which are filled when they are first needed."""

    def __init__(self, folder: Path, bootstrap: str, sections: str) -> None:
        folder.mkdir()
        self.folder, self.bootstrap, self.sections = folder, bootstrap, sections
        self.runs = 0

    def together(self, options: argparse.Namespace) -> list[float]:
        """All in one process."""
        return [self._cost(options.models, options.events) for _ in range(options.runs)]

    def separate(self, options: argparse.Namespace) -> list[float]:
        """One in a process, times as many as there are. More events: one alone takes little."""
        return [self._cost(1, 5 * options.events) * options.models for _ in range(SEPARATE)]

    def _cost(self, models: int, events: int) -> float:
        """Microseconds per event."""
        return (self._seconds(models, SHORT + events) - self._seconds(models, SHORT)) / events * 1e6

    def _seconds(self, models: int, events: int) -> float:
        """Of the processor, from the process's start to its end."""
        self.runs += 1
        prefix = f"{self.folder.name}-{events}-"
        configs = [self._config(f"{self.folder.name}{self.runs}x{number}", prefix) for number in range(models)]
        self._fill(configs[0], prefix, events)
        command = [sys.executable, "-m", "commands.main", "learn", *map(str, configs), "--until-end"]
        with Path(self.folder, "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        learned = f"{events:,} events learned"
        if process.returncode or said.count(learned) != models:
            raise SystemExit(f"{command}: {said[-500:]} {Path(self.folder, 'log').read_text()[-2000:]}")
        return usage.ru_utime + usage.ru_stime

    def _config(self, name: str, prefix: str) -> Path:
        path = self.folder / f"{name}.toml"
        store = self.folder / "checkpoints"
        path.write_text(
            MODEL.format(name=name, prefix=prefix, store=store, bootstrap=self.bootstrap, sections=self.sections)
        )
        return path

    def _fill(self, config: Path, prefix: str, events: int) -> None:
        done = self.folder / prefix
        if done.exists():
            return
        settings = load(config)
        create(settings)
        publisher = Producer(producer(settings.kafka))
        for value in agrawal(events):
            publisher.produce(settings.topics.name("events"), value, partition=0)
            publisher.poll(0)
        publisher.flush()
        done.touch()


if __name__ == "__main__":
    main()

"""How right a follower is as a service has it: on a real Kafka, at a steady rate, asked before each event is published.

    python -m benchmarks.served [--stream elec2] [--rate 500] [--limit N] [--data FOLDER]

Beside it the follower's figures of a backtest over the same events, and how right the live champion was: of a follower
that has each model as late as it came here, and of one that has it at once.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer

from anabranch import follow
from anabranch.follower import Follower
from anabranch.kafka import producer
from anabranch.messages import ModelUpdate
from benchmarks.accuracy.streams import STREAMS
from benchmarks.faults.project import ROOT
from commands.brokers.local import LocalKafka
from config.loading import load

CONFIG = """
name = "served"
task = "binary"
[model]
steps = [{{ use = "tree.HoeffdingTreeClassifier" }}]
[scores]
metrics = ["Accuracy"]
[shadows]
portfolio = "cheap"
[topics]
partitions = 1
[checkpoint]
store = "{store}"
[score]
learn_along = {along}
[kafka]
"bootstrap.servers" = "{bootstrap}"
"""


def main(words: list[str] | None = None) -> None:
    """Publish, ask, and print the three figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", default="elec2", help="of benchmarks/accuracy/streams.py, with labels of two kinds")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the folder of the files")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    parser.add_argument("--limit", type=int, help="only the first so many events")
    parser.add_argument("--learn-along", action="store_true", help="the follower learns along")
    options = parser.parse_args(words)
    stream = next(each for each in STREAMS if each.name == options.stream)
    events = stream.events(seed=1, data=options.data, limit=options.limit)
    with tempfile.TemporaryDirectory() as folder, LocalKafka() as kafka:
        config = Path(folder) / "served.toml"
        # Where followers learn along one champion serves: a blend's weights are its learner's.
        along = str(options.learn_along).lower()
        config.write_text(CONFIG.format(store=Path(folder) / "checkpoints", along=along, bootstrap=kafka.bootstrap))
        _anabranch("topics", "create", config)
        with _learner(config):
            service = Service(config, rate=options.rate, learn_along=options.learn_along)
            service.run(events)
            _learned(config, len(events))
        state = json.loads(_anabranch("state", config, "--json"))
        rows = Path(folder) / "events.jsonl"
        rows.write_bytes(b"\n".join(_values(events, rate=options.rate)))
        lag = round(statistics.median(behind for _, behind in service.lags))
        at_once, as_late = (_backtest(config, rows, late=late) for late in (0, lag))
    late = f"; {service.behind:,} of them late" if service.behind else ""
    print(f"{stream.name}: {len(events):,} events at {options.rate:g} a second{late}")
    seconds = statistics.median(seconds for seconds, _ in service.lags)
    print(f"a new model is there {seconds:.3f} s, {lag:,} events after its last one (median of {len(service.lags)})")
    print(f"follower, asked from outside: {service.right / service.asked:.4f} of {service.asked:,}")
    print(f"follower, backtest:           {as_late['followers']['scores']['accuracy']:.4f}, as late")
    print(f"                              {at_once['followers']['scores']['accuracy']:.4f}, at once")
    live, before = state["scores"]["accuracy"], at_once["scores"]["accuracy"]
    print(f"live champion:                {live:.4f}; backtest {before:.4f}")


def _backtest(config: Path, rows: Path, *, late: int) -> dict[str, Any]:
    told = _anabranch("backtest", config, "--data", rows, "--followers-late", late, "--json")
    result: dict[str, Any] = json.loads(told)
    return result


def _values(events: list[tuple[dict[str, Any], Any]], *, rate: float) -> Iterator[bytes]:
    """Encoded, with times as they would have at this rate: `publish.bytes_per_s` counts by these."""
    for n, (x, y) in enumerate(events):
        yield orjson.dumps({"id": f"e{n}", "ts": 1.6e9 + n / rate, "features": x, "label": y})


FIRST = 500
"""So many are published at once, and their model waited for: a learner that begins far behind is another question."""


class Service:
    """Asks the follower about each event, then publishes it with its label."""

    def __init__(self, config: Path, *, rate: float, learn_along: bool) -> None:
        self.settings = load(config)
        self.rate = rate
        self.learn_along = learn_along
        self.client = Producer(producer(self.settings.kafka))
        self.sent_s: list[float] = []
        self.lags: list[tuple[float, int]] = []
        """Of each announcement: seconds since its event was published, and events since."""
        self.right = self.asked = self.behind = 0

    def run(self, events: list[Any]) -> None:
        """All of them."""
        topic = self.settings.topics.name("updates")
        how: dict[str, Any] = {"topic": topic, "on_update": self._on_update, "learn_along": self.learn_along}
        with follow(self.settings.name, kafka=self.settings.kafka, **how) as model:
            began_s = 0.0
            for n, ((x, y), value) in enumerate(zip(events, _values(events, rate=self.rate), strict=True)):
                if n == FIRST:
                    model.wait(timeout_s=60)
                    began_s = time.monotonic()
                if n >= FIRST:
                    self._wait_until(began_s + (n - FIRST) / self.rate)
                    self.asked += 1
                    self.right += model.predict_one(x) == y
                self.client.produce(self.settings.topics.name("events"), value, partition=0)
                self.client.poll(0)
                self.sent_s.append(time.monotonic())
                if n % 5000 == 4999:
                    print(f"  {n + 1:,} events, {self.right / self.asked:.4f}", file=sys.stderr, flush=True)
            self.client.flush(30)
            self._print_end(model)

    def _print_end(self, model: Follower) -> None:
        """Where it stands when all is learned."""
        live = model._live
        if live is not None:
            time.sleep(5)
            print(f"learned along to event {live.along.event_number:,}; {live.along.differed} copies were others")

    def _wait_until(self, moment_s: float) -> None:
        ahead_s = moment_s - time.monotonic()
        self.behind += ahead_s < -1.0
        if ahead_s > 0:
            time.sleep(ahead_s)

    def _on_update(self, update: ModelUpdate) -> None:
        sent_s = self.sent_s[update.offset]
        self.lags.append((time.monotonic() - sent_s, len(self.sent_s) - 1 - update.offset))


@contextmanager
def _learner(config: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "commands.main", "learn", str(config)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _learned(config: Path, events: int) -> None:
    """Wait until the checkpoint holds all of them."""
    until_s = time.monotonic() + 600
    while json.loads(_anabranch("state", config, "--json"))["events"] < events:
        if time.monotonic() > until_s:
            raise SystemExit("the learner does not come to the end")
        time.sleep(2)


def _anabranch(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "commands.main", *map(str, words)],
        cwd=ROOT, check=False, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()

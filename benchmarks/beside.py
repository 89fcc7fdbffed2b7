"""What a learner costs with a dashboard beside it and without, in turns: whether looking on takes anything from it.

    python -m benchmarks.beside [--turns 2] [--seconds 60]

The load of the machine is printed with the figures. Needs Java, Maven, Chromium, and `make peers web`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Producer

from benchmarks.agrawal import agrawal
from benchmarks.dashboard import ARGUMENTS, Cost, started
from commands.brokers.local import LocalKafka
from config.loading import load
from consumers.kafka import topics

EVENTS_PER_S, EVENTS_MAX = 500, 10_000_000
SETTLES_S = 10.0
"""So long a turn lasts before it is measured."""
CONFIG = """\
name = "fraud"
task = "binary"
[model]
steps = [{{ use = "tree.HoeffdingTreeClassifier" }}]
[detectors]
adwin = {{ use = "drift.ADWIN", delta = 1e-12 }}
[publish]
report_interval = "5s"
[kafka]
"bootstrap.servers" = "{bootstrap}"
"""


class Turn(NamedTuple):
    """One measurement."""

    is_beside: bool
    cpu_ms_per_event: float
    events: int


class Feeding:
    """Publishes events at a fixed pace."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.producer, self.topic = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20}), topic
        self.sent = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        """So many a second, until it is stopped."""
        began_s = time.monotonic()
        for event in agrawal(EVENTS_MAX):
            while self.sent >= (time.monotonic() - began_s) * EVENTS_PER_S:
                if self.stopping.wait(0.02):
                    return
            self.producer.produce(self.topic, event)
            self.producer.poll(0)
            self.sent += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """While the block runs."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            thread.join()
            self.producer.flush(10)
            del self.producer  # before its broker goes


@contextmanager
def learning(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A learner, as users start it."""
    command = [sys.executable, "-m", "commands.main", "learn", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def beside(folder: Path, bootstrap: str) -> Iterator[None]:
    """A dashboard with one page open, of the model."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of `make peers`, which --help does not need

    with started(folder, bootstrap) as (_, port, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=list(ARGUMENTS))
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/#/model/fraud/global")
        yield
        browser.close()


def measured(*, turns: int, seconds: float) -> list[Turn]:
    """Without and with a dashboard, so many times each, in turns."""
    found = []
    with tempfile.TemporaryDirectory() as name, LocalKafka() as kafka, ExitStack() as stack:
        folder = Path(name)
        config = folder / "fraud.toml"
        text = CONFIG.format(bootstrap=kafka.bootstrap)
        config.write_text(f'{text}[checkpoint]\nstore = "{folder / "store"}"\n')
        settings = load(config)
        topics.create(settings)
        process = stack.enter_context(learning(config))
        feeding = Feeding(kafka.bootstrap, settings.topics.name("events"))
        stack.enter_context(feeding.going_on())
        time.sleep(2 * SETTLES_S)
        for turn in range(2 * turns):
            with ExitStack() as own:
                if turn % 2:
                    own.enter_context(beside(folder, kafka.bootstrap))
                time.sleep(SETTLES_S)
                found.append(_turn(process, feeding, is_beside=bool(turn % 2), seconds=seconds))
                print(found[-1], flush=True)
    return found


def _turn(process: subprocess.Popen[bytes], feeding: Feeding, *, is_beside: bool, seconds: float) -> Turn:
    cost = Cost(process.pid)
    cpu_s, sent = cost.cpu_s(), feeding.sent
    time.sleep(seconds)
    events = feeding.sent - sent
    return Turn(is_beside, 1000 * (cost.cpu_s() - cpu_s) / max(1, events), events)


def compared(found: list[Turn]) -> dict[str, Any]:
    """The means, and how much more it is with a dashboard."""
    alone = statistics.mean(each.cpu_ms_per_event for each in found if not each.is_beside)
    both = statistics.mean(each.cpu_ms_per_event for each in found if each.is_beside)
    return {
        "learner_cpu_ms_per_event_alone": alone,
        "learner_cpu_ms_per_event_beside": both,
        "more_percent": 100 * (both / alone - 1),
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2, help="with a dashboard and without, so many times each")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    found = compared(measured(turns=options.turns, seconds=options.seconds))
    print("  ".join(f"{name} {value:.4g}" for name, value in found.items()), f"load {os.getloadavg()}")


if __name__ == "__main__":
    main()

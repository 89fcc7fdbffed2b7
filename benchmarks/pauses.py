"""How long a learner stands still for a checkpoint, and what an interval of 10 s costs of its throughput.

    python -m benchmarks.throughput --pauses [--events N] [--runs N] [--no-kafka]

Each run is a process of its own: the learner of production, checkpoints in a folder of the disk, positions committed to
a real Kafka. The interval is measured at one second, where it costs ten times as much: at ten seconds the cost would
drown in what one run differs from the next.
"""

import argparse
import gc
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from anabranch.kafka import producer
from anabranch.messages import TrainedOn
from benchmarks.agrawal import QUICK, TimedSource, settings_of
from config.settings import Settings
from consumers.jobs.executors import Runners
from consumers.kafka.sink import KafkaSink
from consumers.loop import LearningLoop
from consumers.owner import Owner
from consumers.stores import CheckpointStore
from consumers.stores.files import FolderBlobs
from consumers.telling import Ports
from consumers.timing import SystemClock
from evaluation.backtest import FileSource
from evaluation.simulation.world import MemoryLog, MemorySink
from learners.models import catalogue

AIMS_MS = {"StandardScaler|LogisticRegression": 20.0, "HoeffdingTree": 150.0}
COST_AIM = 0.03
LEARNED = 100_000
"""Events that a model has learned before its pauses count."""

INTERVAL_S, MEASURED_S, NEVER_S = 10.0, 1.0, 1e9
LAPS = ("flush_s", "encode_s", "store_s", "commit_s", "announce_s")


def table(*, runs: int, data: Path, bootstrap: str) -> None:
    """Measure and print, each number with its aim."""
    where = "positions on Kafka" if bootstrap else "no Kafka: nothing is committed"
    print(f"\npauses for checkpoints after {LEARNED:,} events; {runs} runs, {where}; median [least, most]")
    for model, aim_ms in AIMS_MS.items():
        often, never = _interleaved(model, runs=runs, data=data, bootstrap=bootstrap)
        pauses = [1e3 * each["pause_s"] for one in often for each in one["pauses"]]
        laps = ", ".join(f"{lap.removesuffix('_s')} {1e3 * _median(often, lap):.1f}" for lap in LAPS)
        print(f"  {model}: {_spread(pauses, '.1f')} ms (aim: under {aim_ms:.0f}); of it {laps}")
        print(f"    blob {often[0]['blob_bytes'] / 1e3:,.0f} kB, {len(pauses)} pauses")
        cost, still = (_spread([100 * each for each in shares], ".2f") for shares in _shares(often, never))
        print(f"    an interval of 10 s costs {cost} % of the throughput (aim: at most {100 * COST_AIM:.0f})")
        print(f"    of it standing still: {still} %", flush=True)


def _shares(often: Sequence[dict[str, Any]], never: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """What an interval of ten seconds costs of the time, by comparison and by the sum of the pauses."""
    scale = MEASURED_S / INTERVAL_S
    costs = [(one["seconds"] / other["seconds"] - 1) * scale for one, other in zip(often, never, strict=True)]
    return costs, [one["paused_s"] / one["seconds"] * scale for one in often]


def _median(runs: Sequence[dict[str, Any]], lap: str) -> float:
    return statistics.median(each[lap] for one in runs for each in one["pauses"])


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} [{min(values):{form}}, {max(values):{form}}]"


def _interleaved(
    model: str, *, runs: int, data: Path, bootstrap: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The results with checkpoints at the interval that is measured, and those with none."""
    results: dict[float, list[dict[str, Any]]] = {MEASURED_S: [], NEVER_S: []}
    for run, every_s in itertools.product(range(runs), results):
        command = [sys.executable, "-m", "benchmarks.pauses", "--model", model, "--every-s", str(every_s)]
        places = [
            "--data",
            str(data),
            "--bootstrap",
            bootstrap,
            "--name",
            f"pauses-{model[:2].lower()}-{run}-{every_s}",
        ]
        done = subprocess.run([*command, *places], check=True, stdout=subprocess.PIPE, text=True)
        results[every_s].append(json.loads(done.stdout))
    return results[MEASURED_S], results[NEVER_S]


# ── one run ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class NotingOwner(Owner):
    """Keeps the parts of each pause, and after how many events it was."""

    def __init__(self, settings: Settings, **named: Any) -> None:
        self.noted: list[tuple[int, dict[str, float]]] = []
        super().__init__(settings, **named)

    def checkpoint(self) -> None:
        """As in production."""
        super().checkpoint()
        self.noted.append((self.lane.events, {**self.pauses.laps, "pause_s": sum(self.pauses.laps.values())}))


class NotingLoop(LearningLoop):
    """A loop with such owners."""

    owner_type = NotingOwner


class TimedFile(FileSource):
    """A file, and how long it took to learn it."""

    began_s = ended_s = 0.0

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Any]:
        """The next records."""
        self.began_s = self.began_s or time.perf_counter()
        return super().poll(max_records, timeout_s=timeout_s)

    def at_end(self) -> bool:
        """Whether the file is read."""
        self.ended_s = time.perf_counter()
        return super().at_end()


def main(words: Sequence[str] | None = None) -> None:
    """One run, for the process that prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=QUICK, required=True)
    parser.add_argument("--every-s", type=float, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--name", default="pauses")
    options = parser.parse_args(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as `anabranch learn` has it
    more = {"checkpoint": {"every": options.every_s, "every_events": 10**9}, "publish": {"refresh_events": 0}}
    settings = settings_of(options.model, bootstrap=options.bootstrap, name=options.name, **more)
    print(json.dumps(_run(settings, options.data.read_bytes().splitlines())))


def _run(settings: Settings, values: list[bytes]) -> dict[str, Any]:
    on_kafka, clock = bool(settings.kafka), SystemClock()
    source: Any = TimedSource(settings) if on_kafka else _file(values)
    with tempfile.TemporaryDirectory(prefix="anabranch-bench-") as folder:  # TMPDIR must be on a disk
        store = CheckpointStore(FolderBlobs(Path(folder)), keep=2)
        loop = NotingLoop(
            settings,
            first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()),
            ports=Ports(
                source=source,
                sink=KafkaSink(producer(settings.kafka)) if on_kafka else MemorySink(MemoryLog()),
                stores=lambda scope: store,
                runners=Runners(settings, clock=clock),
                clock=clock,
            ),
        )
        loop.run(until_end=True)
        owner = loop.owner
        assert isinstance(owner, NotingOwner)
        blob_bytes = (Path(folder) / "blobs" / owner.sha).stat().st_size
    assert owner.lane.events == len(values)
    within = [laps for events, laps in owner.noted if 0 < events < len(values)]
    return {
        "seconds": source.ended_s - source.began_s,
        "paused_s": sum(laps["pause_s"] for laps in within),
        "pauses": [laps for events, laps in owner.noted if events >= LEARNED],
        "blob_bytes": blob_bytes,
    }


def _file(values: list[bytes]) -> TimedFile:
    return TimedFile(lambda: iter(values), timestamp_of=lambda number: 1.6e9, history_max=20_000)


if __name__ == "__main__":
    main()

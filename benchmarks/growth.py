"""How the cost of an event grows with partitions, lanes, features, classes and the model's size: a table, and plots.

    python -m benchmarks.growth [--turns 3] [--out benchmarks/GROWTH.md]

Processor time per event of the learning loop over a log in memory: decoding, guard, scores, two detectors and
announcements; no broker, and no checkpoints but one at the end, which is measured by itself. Beside it what River alone
takes to decode, predict and learn. A turn goes through all points of a series in one process; shown is the median of
the turns, and how many times the cost of the series' first point it is, by turn: so it matters little what else the
machine does.
"""

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import orjson
import structlog

from anabranch.events import Record
from anabranch.messages import TrainedOn
from anabranch.scope import Scope
from commands.compiling import ROOT
from config.loading import build
from config.settings import Settings
from consumers.jobs import InlineRunner
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from consumers.telling import Ports
from evaluation.simulation.world import FrozenClock, MemoryLog, MemorySink, MemorySource
from learners.models import catalogue, speedups

EVENTS = 4000
"""So many are measured."""
WARM_UP, WARM_UP_A_LANE = 2000, 200
"""Events before them: caches fill, each lane has announced its first champion."""
FEATURES = 8
LINEAR = ({"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"})


class Point(NamedTuple):
    """What a measurement is of: everything but one number is as in all others."""

    partitions: int = 1
    lanes: bool = False
    """Whether each partition has a model of its own."""
    features: int = FEATURES
    classes: int = 0
    """Of a naive Bayes classifier; 0: two, of another model."""
    trees: int = 0
    """Of a forest; 0: another model."""


class Series(NamedTuple):
    """Points along which one number grows."""

    title: str
    model: str
    sizes: tuple[int, ...]
    point: Callable[[int], Point]


SERIES = {
    "partitions": Series(
        "partitions, one model of all", "logistic regression", (1, 4, 16, 64), lambda n: Point(partitions=n)
    ),
    "lanes": Series(
        "lanes: partitions, each with a model", "logistic regression", (1, 4, 16, 64),
        lambda n: Point(partitions=n, lanes=True),
    ),
    "features": Series("features", "logistic regression", (4, 16, 64, 256), lambda n: Point(features=n)),
    "classes": Series("classes", "Gaussian naive Bayes", (2, 4, 8, 16, 32), lambda n: Point(classes=n)),
    "trees": Series("trees of a forest", "adaptive random forest", (1, 2, 5, 10, 20), lambda n: Point(trees=n)),
}  # fmt: skip


class Cost(NamedTuple):
    """Of one point, in one turn."""

    ours_us: float
    river_us: float
    checkpoint_ms: float
    checkpoint_kb: float


# ── one measurement ─────────────────────────────────────────────────────────────────────────────────────────────────


def settings_of(point: Point) -> Settings:
    """Detectors at work that never fire: retraining is work of its own."""
    steps: Sequence[Mapping[str, Any]] = LINEAR
    if point.classes:
        steps = [{"use": "naive_bayes.GaussianNB"}]
    if point.trees:
        steps = [{"use": "forest.ARFClassifier", "n_models": point.trees}]
    return build(
        {
            "name": "growth",
            "task": "multiclass" if point.classes else "binary",
            "scope": "partition" if point.lanes else "global",
            "model": {"steps": list(steps)},
            "scores": {"metrics": ["Accuracy", "CrossEntropy" if point.classes else "LogLoss"]},
            "detectors": {
                "adwin": {"use": "drift.ADWIN", "delta": 1e-12},
                "page_hinkley": {"use": "drift.PageHinkley", "threshold": 1e9, "delta": 0.02, "alpha": 1.0},
            },
            "publish": {"warm_up_events": 100},
        }
    )


def events(point: Point, count: int) -> Iterator[bytes]:
    """Numbers; the label is the place of the sum of two among the classes, or one in ten times another."""
    rng, classes = random.Random(1), point.classes or 2
    for n in range(count):
        x = {f"f{each}": round(rng.random(), 4) for each in range(point.features)}
        place = int((x["f0"] + x["f1"]) / 2 * classes) if rng.random() < 0.9 else rng.randrange(classes)
        label: Any = place if point.classes else bool(place)
        yield orjson.dumps({"id": f"e{n}", "ts": 1.6e9 + n, "features": x, "label": label})


class TimedSource(MemorySource):
    """Hands out of each partition in turn, and notes the processor's time when all is warm, and at the end."""

    def __init__(self, log: MemoryLog, *, warm_up: int) -> None:
        super().__init__(log, "events", examples="model-examples")
        self.warm_up = warm_up
        self.handed = self.measured = 0
        self.began_s = self.ended_s = self.closed_s = 0.0

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """A few of each partition."""
        del timeout_s
        if self.log.shared:
            self._rebalance()
        if self.handed >= self.warm_up and not self.began_s:
            self.measured, self.began_s = -self.handed, time.process_time()
        few = max(1, min(max_records, 256) // len(self.positions))
        taken = [each for at, position in sorted(self.positions.items()) for each in self._next(at, position, few)]
        self.handed += len(taken)
        return taken

    def at_end(self) -> bool:
        """Whether all is learned."""
        ended = super().at_end()
        if ended and not self.ended_s:
            self.ended_s = time.process_time()
            self.measured += self.handed
        return ended

    def close(self) -> None:
        """After the last checkpoints."""
        self.closed_s = time.process_time()
        super().close()


def cost(point: Point, *, measured: int) -> Cost:
    """Of one point."""
    lanes = point.partitions if point.lanes else 1
    warm_up = max(WARM_UP, WARM_UP_A_LANE * lanes) * measured // EVENTS
    values = list(events(point, warm_up + measured))
    settings = settings_of(point)
    log = MemoryLog(partitions=point.partitions, shared=point.lanes)
    for n, value in enumerate(values):
        log.append("events", value, partition=n % point.partitions)
    source, stores = TimedSource(log, warm_up=warm_up), defaultdict[Scope, MemoryStore](MemoryStore)
    loop = LearningLoop(
        settings,
        first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()),
        ports=Ports(
            source=source,
            sink=MemorySink(log),
            stores=stores.__getitem__,
            runners=lambda scope: InlineRunner(settings, reader=source),
            clock=FrozenClock(),
        ),
    )
    gc.collect()
    loop.run(until_end=True)
    ours_us = (source.ended_s - source.began_s) / source.measured * 1e6
    checkpoint_ms = (source.closed_s - source.ended_s) * 1e3
    size = sum(len(stores[scope].get(owner.sha)) for scope, owner in loop.owners.items())
    return Cost(ours_us, _river_us(settings, values, warm_up=warm_up, lanes=lanes), checkpoint_ms, size / 1e3)


def _river_us(settings: Settings, values: Sequence[bytes], *, warm_up: int, lanes: int) -> float:
    """Decode, predict and learn, by as many models."""
    speedups.remove()  # as River is by itself
    models: list[Any] = [catalogue.build(settings.model, seed=1) for _ in range(lanes)]
    began_s = 0.0
    for n, value in enumerate(values):
        if n == warm_up:
            began_s = time.process_time()
        event = orjson.loads(value)
        models[n % lanes].predict_proba_one(event["features"])
        models[n % lanes].learn_one(event["features"], event["label"])
    return (time.process_time() - began_s) / (len(values) - warm_up) * 1e6


# ── all of them ─────────────────────────────────────────────────────────────────────────────────────────────────────

Turns = list[dict[int, Cost]]


def one_turn(name: str, *, measured: int) -> dict[int, Cost]:
    """All points of a series, in this process."""
    series = SERIES[name]
    return {size: cost(series.point(size), measured=measured) for size in series.sizes}


def in_a_process(name: str, *, measured: int) -> dict[int, Cost]:
    """Likewise, in a process of its own."""
    words = ["--one", name, "--events", str(measured)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return {int(size): Cost(*each) for size, each in json.loads(done.stdout).items()}


def times(turns: Turns, size: int, of: Callable[[Cost], float]) -> tuple[float, float, float]:
    """How many times the first point's cost a point costs: the median of the turns, the least and the most."""
    first = next(iter(turns[0]))
    ratios = [of(turn[size]) / of(turn[first]) for turn in turns]
    return median(ratios), min(ratios), max(ratios)


def table(name: str, turns: Turns) -> str:
    """In Markdown."""
    series = SERIES[name]
    head = (name, "µs an event", "times the first [least, most]", "River alone, µs", "times", "checkpoint, ms", "kB")
    lines = [f"| {' | '.join(head)} |", f"|{' ---: |' * len(head)}"]
    for size in series.sizes:
        middle, least, most = times(turns, size, lambda each: each.ours_us)
        river, _, _ = times(turns, size, lambda each: each.river_us)
        found = [median(each[size][which] for each in turns) for which in range(len(Cost._fields))]
        lines.append(
            f"| {size} | {found[0]:,.0f} | {middle:.2f} [{least:.2f}, {most:.2f}] | {found[1]:,.0f} | {river:.2f} | "
            f"{found[2]:,.1f} | {found[3]:,.0f} |"
        )
    return f"## {series.title.capitalize()}; {series.model}\n\n" + "\n".join(lines)


def document(found: Mapping[str, Turns], *, words: Sequence[str], picture: str) -> str:
    """benchmarks/GROWTH.md."""
    turns = max(map(len, found.values()))
    said = f"""# How the cost of an event grows

Written by `python -m benchmarks.growth {" ".join(words)}`; not to be edited. Turns: {turns}.

Processor time of the learning loop over a log in memory (decoding, guard, two scores, two detectors, announcements),
with {FEATURES} numbers an event and two classes where nothing else is said. *River alone* decodes, predicts and learns.
A checkpoint is of all lanes together, and so are its kB. Each turn goes through a series in one process; *times the
first* is taken within a turn, and shown are the median, the least and the most.

![µs of processor time an event, by series; both axes are logarithmic]({picture})"""
    return "\n\n".join([said, *(table(name, turns) for name, turns in found.items())]) + "\n"


def draw(found: Mapping[str, Turns], path: Path) -> None:
    """A panel for each series, and one for what a checkpoint takes."""
    import matplotlib as mpl  # noqa: PLC0415  # of the extra [plot], which the measurements do not need
    from matplotlib.figure import Figure  # noqa: PLC0415  # likewise

    with mpl.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(11, 6.6), layout="constrained")
        axes = figure.subplots(2, 3).flat
        for ax, (name, turns) in zip(axes, found.items(), strict=False):
            _panel(ax, name, turns)
        _checkpoints(axes[5], found)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(ax: Any, name: str, turns: Turns) -> None:
    sizes = SERIES[name].sizes
    for label, of, style in (
        ("Anabranch", lambda each: each.ours_us, {"color": "#1f5fa8", "marker": "o"}),
        ("River alone", lambda each: each.river_us, {"color": "#777777", "marker": "s", "linestyle": "--"}),
    ):
        ax.plot(sizes, [median(of(turn[size]) for turn in turns) for size in sizes], label=label, **style)
    _logarithmic(ax, sizes)
    ax.set(title=SERIES[name].title, xlabel=SERIES[name].model, ylabel="µs an event")
    ax.legend(frameon=False)


def _checkpoints(ax: Any, found: Mapping[str, Turns]) -> None:
    for name, turns in found.items():
        sizes = SERIES[name].sizes
        ax.plot(sizes, [median(turn[size].checkpoint_ms for turn in turns) for size in sizes], marker="o", label=name)
    _logarithmic(ax, sorted({size for name in found for size in SERIES[name].sizes if size in (1, 4, 16, 64, 256)}))
    ax.set(title="one checkpoint of all lanes", xlabel="as in the other panels", ylabel="ms")
    ax.legend(frameon=False, fontsize=8)


def _logarithmic(ax: Any, sizes: Sequence[int]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter  # noqa: PLC0415  # as above

    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(list(sizes), [str(each) for each in sizes])
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_locator(NullLocator())
    ax.grid(visible=True, which="major", alpha=0.3)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--events", type=int, default=EVENTS, help="so many are measured at each point")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "GROWTH.md", help="the picture lies beside it"
    )
    parser.add_argument("--one", choices=tuple(SERIES), help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if options.one:
        print(json.dumps(one_turn(options.one, measured=options.events)))
        return
    found: dict[str, Turns] = {name: [] for name in SERIES}
    for turn in range(options.turns):
        for name, turns in found.items():
            turns.append(in_a_process(name, measured=options.events))
            print(f"turn {turn + 1}, {name}; load {os.getloadavg()[0]:.1f}", flush=True)
    picture = options.out.with_name("growth.svg")
    draw(found, picture)
    options.out.write_text(document(found, words=sys.argv[1:], picture=picture.name))
    print(f"wrote {options.out} and {picture}")


if __name__ == "__main__":
    main()

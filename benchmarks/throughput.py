"""How much of River's own speed is left: a bare loop, a backtest, and a learner on a real Kafka, interleaved.

    python -m benchmarks.throughput [--events N] [--runs N] [--no-kafka] [--pauses]

Every measurement is a process of its own on the same pre-encoded Agrawal stream. The bare loop decodes the JSON,
predicts and learns, and does nothing else; the others have guard, duplicates, ADWIN, Page-Hinkley and three scores on.
"""

import argparse
import gc
import itertools
import json
import re
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
from river import forest, linear_model, preprocessing, tree

from anabranch.events import Record
from anabranch.messages import TrainedOn
from benchmarks import latency, pauses, results, signal_cost
from benchmarks.accuracy import capymoa_pass
from benchmarks.agrawal import MODELS, QUICK, TimedSource, agrawal, filled_kafka, learning_loop, settings_of
from benchmarks.others import work
from commands.compiling import COMPILED, ROOT, is_current
from config.settings import Settings
from consumers.guard import Guard
from consumers.timing import SystemClock
from evaluation.backtest import Backtest
from learners.models import catalogue

PLAIN: dict[str, Callable[[], Any]] = {  # as a user of River would write them
    "forest.ARFClassifier": lambda: forest.ARFClassifier(n_models=10, seed=1),
    "tree.HoeffdingTreeClassifier": tree.HoeffdingTreeClassifier,
    "preprocessing.StandardScaler linear_model.LogisticRegression": lambda: (
        preprocessing.StandardScaler() | linear_model.LogisticRegression()
    ),
}
AIMS = {"HoeffdingTree": 0.82, "StandardScaler|LogisticRegression": 0.65}
SLOWER = 20
"""A forest is given a twentieth of the events."""
WAYS = ("bare", "backtest", "kafka")
LINEAR_ONLY = "Vowpal Wabbit, from memory"
OTHERS = {**latency.PEERS, LINEAR_ONLY: "vw"}
"""Who else does the same work, by the script in benchmarks/others."""
IN_JAVA = "CapyMOA's loop in Java, from memory"
CAPYMOA = {"CapyMOA's Python loop, from memory": "capymoa_loop", IN_JAVA: "capymoa_fast"}
"""Likewise, in an environment of its own; trees and forests alone."""
OF_THE_COPY = " compiled"
"""After the name of a way that is run in the copy that `make compile` makes."""


WINDOWS_FULL = 100_000


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
    parser.add_argument("--pauses", action="store_true", help="the pauses for checkpoints alone")
    parser.add_argument("--out", type=Path, help="a file that the tables are written to: benchmarks/RESULTS.md")
    parser.add_argument("--one", choices=(*WAYS, "guard", "memory"), help=argparse.SUPPRESS)
    parser.add_argument("--model", default="HoeffdingTree", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", default="", help=argparse.SUPPRESS)
    parser.add_argument("--name", default="bench", help=argparse.SUPPRESS)
    return parser.parse_args(words)


# ── the whole table ─────────────────────────────────────────────────────────────────────────────────────────────────


def _all(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="anabranch-bench-") as folder, ExitStack() as stack:
        data, short = Path(folder, "agrawal.jsonl"), Path(folder, "short.jsonl")
        events = max(1, options.events // SLOWER)
        values = list(agrawal(options.events))
        data.write_bytes(b"\n".join(values))
        short.write_bytes(b"\n".join(values[:events]))
        bootstrap, its_own = ("", "") if options.no_kafka else (filled_kafka(stack, each) for each in (data, short))
        if options.pauses:
            pauses.table(runs=options.runs, data=data, bootstrap=bootstrap)
            return
        ways, missing = _ways(with_kafka=bool(bootstrap))
        print(f"{options.events:,} Agrawal events, {options.runs} interleaved runs; seconds: median [least, most]")
        tables = []
        for model in MODELS:
            path, at, count = (data, bootstrap, options.events) if model in QUICK else (short, its_own, events)
            measured = _interleaved(model, ways, options, data=path, bootstrap=at, events=count)
            tables.append(results.Table(model, count, measured, aim=AIMS.get(model)))
            print("\n" + tables[-1].shown(), flush=True)
        waited = _latency(tables) if bootstrap else []
        guard = _child("guard", "HoeffdingTree", data=data)
        print(f"decoding and validating an event of 10 features: {guard['us']:.2f} µs (aim: at most 5)")
        _print_memory(data)
        if options.events > pauses.LEARNED:
            pauses.table(runs=min(options.runs, 3), data=data, bootstrap=bootstrap)
        else:
            print(f"pauses are measured after {pauses.LEARNED:,} events: take --events {2 * pauses.LEARNED}")
    signal_cost.main()
    if options.out is not None:
        options.out.write_text(results.document(tables, words=sys.argv[1:], missing=missing, latency=waited))
        print(f"wrote {options.out}")


def _latency(tables: Sequence[results.Table]) -> list[latency.Lags]:
    """At half of what a learner on Kafka has just done."""
    rates = {
        each.model: each.events / statistics.median(run.seconds for run in each.measured["kafka"]) / 2
        for each in tables
        if each.model in QUICK
    }
    found = latency.measured(rates, seconds=latency.SECONDS, peers=latency.OTHERS_PYTHON.is_file())
    print("\n" + latency.shown(found), flush=True)
    return found


def _print_memory(data: Path) -> None:
    memory = _child("memory", "StandardScaler|LogisticRegression", data=data)
    grown, since_full = memory["grown_mb"], memory["since_full_mb"]
    print(
        f"1,000,000 events through a LogisticRegression lane: {grown:+.1f} MB, of which {since_full:+.1f} MB after "
        f"the first {WINDOWS_FULL:,} (aim: under 20): until then windows fill"
    )


def _ways(*, with_kafka: bool) -> tuple[list[str], list[str]]:
    """The ways that can be gone here, and why others cannot."""
    ways, missing = list(WAYS if with_kafka else WAYS[:2]), []
    if is_current(COMPILED):
        ways += [way + OF_THE_COPY for way in ways if way != "bare"]
    else:
        missing.append("nothing is compiled, or another state of the checkout: `make compile`")
    if not with_kafka:
        missing.append("nothing that reads from Kafka was asked for")
    elif latency.OTHERS_PYTHON.is_file():
        ways += OTHERS
    else:
        missing.append("the libraries of others are not there: `make others`")
    if capymoa_pass.is_there():
        ways += CAPYMOA
    else:
        missing.append("CapyMOA is not there: `make capymoa`")
    return ways, missing


def _fits(way: str, model: str) -> bool:
    is_linear = model.endswith("LogisticRegression")
    return not (way == LINEAR_ONLY and not is_linear) and not (way in CAPYMOA and is_linear)


def _interleaved(
    model: str, ways: Sequence[str], options: argparse.Namespace, *, data: Path, bootstrap: str, events: int
) -> dict[str, list[results.Run]]:
    measured: dict[str, list[results.Run]] = {}
    for run, way in itertools.product(range(options.runs), ways):
        if not _fits(way, model):
            continue
        name = f"bench-{re.sub('[^a-z]+', '-', (model + way).lower())}-{run}"
        if way in OTHERS or way in CAPYMOA:
            done = _of_others(way, model, data=data, bootstrap=bootstrap, events=events, name=name)
        else:
            done = _child(way, model, data=data, bootstrap=bootstrap, name=name)
        measured.setdefault(way, []).append(results.Run(done["seconds"], done["cpu"], done["rss_mb"]))
    return measured


def _child(way: str, model: str, *, data: Path, bootstrap: str = "", name: str = "bench") -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.throughput", "--model", model, "--data", str(data)]
    command += ["--one", way.removesuffix(OF_THE_COPY), "--bootstrap", bootstrap, "--name", name]
    folder = COMPILED if way.endswith(OF_THE_COPY) else ROOT  # what -m finds first
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _of_others(way: str, model: str, *, data: Path, bootstrap: str, events: int, name: str) -> dict[str, float]:
    python = str(capymoa_pass.PYTHON if way in CAPYMOA else latency.OTHERS_PYTHON)
    script = str(ROOT / "benchmarks" / "others" / f"{(OTHERS | CAPYMOA)[way]}.py")
    with tempfile.TemporaryDirectory() as folder:
        if way == IN_JAVA:
            words = [model, "1", str(_as_rows(data, Path(folder, "rows.arff")))]
        else:
            words = [bootstrap, model, str(events), name, str(data)]
        done = subprocess.run([python, script, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr.strip()}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _as_rows(data: Path, path: Path) -> Path:
    """The events as CapyMOA's loop in Java reads them."""
    events = [(each["features"], each["label"]) for each in map(orjson.loads, data.read_bytes().splitlines())]
    path.write_text("\n".join(capymoa_pass.rows(events, [False, True])) + "\n")
    return path


# ── one measurement ─────────────────────────────────────────────────────────────────────────────────────────────────


def _one(options: argparse.Namespace) -> dict[str, float]:
    values = options.data.read_bytes().splitlines()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as `anabranch learn` has it; for all alike
    settings = settings_of(options.model, bootstrap=options.bootstrap, name=options.name)
    measure: dict[str, Callable[[Settings, list[bytes]], dict[str, float]]] = {
        "bare": _bare,
        "backtest": _backtest,
        "kafka": _kafka,
        "guard": _guard,
        "memory": _memory,
    }
    began_s = time.process_time()
    found = measure[options.one](settings, values)
    return {"cpu": time.process_time() - began_s, "rss_mb": work.peak_mb(), **found}


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
    assert run.loop.owner.lane.events == len(values)
    return {"seconds": run.seconds}


def _kafka(settings: Settings, values: list[bytes]) -> dict[str, float]:
    source = TimedSource(settings)
    with tempfile.TemporaryDirectory() as folder:
        loop = learning_loop(settings, source=source, folder=Path(folder))
        loop.run(until_end=True)
    assert loop.owner.lane.events == len(values)
    return {"seconds": source.ended_s - source.began_s, "cpu": source.cpu_s}


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
    """How much a backtest of a million events grows after its first thousand, and since its windows are full."""
    sizes: dict[int, float] = {}

    def repeated() -> Iterator[bytes]:
        for number in range(1_000_000):
            if number in (1_000, WINDOWS_FULL):
                sizes[number] = _rss_mb()
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
    assert run.loop.owner.lane.events == 1_000_000
    return {"grown_mb": _rss_mb() - sizes[1_000], "since_full_mb": _rss_mb() - sizes[WINDOWS_FULL]}


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()

"""How quick and steady answers are, in a program and over HTTP, while models change, and how soon a new one answers.

    python -m benchmarks.serving [--rounds 5] [--seconds 8] [--rate 500] [--only http]

Each measurement stands beside a control of the same round: the bare call of River; a route that returns a constant on
the same server. The scorer is the real application in a process of its own, on a follower that is given its models in
that process; who asks is another process (benchmarks/load.py). The load of the machine is printed with the figures.
"""

import argparse
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from river import linear_model, preprocessing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from anabranch.testing import MemoryFollower
from benchmarks import announcing, load
from config.output import Score
from serving import server
from serving.application import application
from serving.models import Models, Served

FEATURES = tuple(f"feature_{number}" for number in range(8))
SWAP_S = 1.0
WAYS = ("control", "scorer", "swapping")


def events(count: int, *, seed: int) -> list[dict[str, float]]:
    """Eight floats each."""
    rng = random.Random(seed)
    return [{name: rng.gauss(0, 1) for name in FEATURES} for _ in range(count)]


CANARY = events(20, seed=4)


def model(seed: int) -> Any:
    """A model of theirs."""
    made = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for x in events(2_000, seed=seed):
        made.learn_one(x, sum(x.values()) > 0)
    return made


# ── in a program ────────────────────────────────────────────────────────────────────────────────────────────────────


def in_process(*, rounds: int) -> dict[str, list[float]]:
    """µs a prediction: River's own call, and the follower's, of the same model on the same events."""
    follower = MemoryFollower("served")
    follower.publish(model(1), features=FEATURES)
    bare, asked = follower.champion.artifact.model, events(2_000, seed=2)
    found: dict[str, list[float]] = {"bare River call": [], "Follower.predict_proba_one": []}
    for _ in range(rounds):
        for way, predict in zip(found, (bare.predict_proba_one, follower.predict_proba_one), strict=True):
            found[way].append(_us(predict, asked))
    return found


def _us(predict: Callable[[dict[str, float]], Any], asked: Sequence[dict[str, float]]) -> float:
    began_s = time.perf_counter()
    for x in asked:
        predict(x)
    return (time.perf_counter() - began_s) / len(asked) * 1e6


# ── over HTTP ───────────────────────────────────────────────────────────────────────────────────────────────────────


def serve(way: str) -> None:
    """One of `WAYS`, until SIGTERM; its port is printed."""
    app: ASGIApp
    if way == "control":
        app = Starlette(routes=[Route("/api/predict", constant, methods=["POST"])])
    else:
        follower, models = MemoryFollower("served"), [model(seed) for seed in (1, 2)]
        follower.publish(models[0], features=FEATURES)
        if way == "swapping":
            threading.Thread(target=swap, args=(follower, models), daemon=True).start()
        app = application(Models([Served(follower)]), Score())
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(app, **server.UVICORN)).run(sockets=[listening])


async def constant(request: Request) -> Response:
    """What the server itself costs: JSON in, JSON out."""
    orjson.loads(await request.body())
    return Response(orjson.dumps({"prediction": True, "probabilities": {"true": 0.9}}), media_type="application/json")


def swap(follower: MemoryFollower, models: Sequence[Any]) -> None:
    """Publish one after the other; packed, checked and unpacked in this thread, as a follower's thread does."""
    for each in itertools.cycle(models):
        time.sleep(SWAP_S)
        follower.publish(each, features=FEATURES, canary=CANARY)


@contextmanager
def served(way: str) -> Iterator[tuple[int, int]]:
    """Port and process of one of `WAYS`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serving", "--serve", way], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None  # a pipe
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def over_http(options: argparse.Namespace, *, rate: float | None, ways: Sequence[str]) -> dict[str, list[Any]]:
    """The figures of each round and way; each has its own process, the ways take turns."""
    found: dict[str, list[Any]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder, "body.json")
        body.write_bytes(orjson.dumps({"features": events(1, seed=3)[0]}))
        for _, way in itertools.product(range(options.rounds), ways):
            with served(way) as (port, pid):
                before_s = _cpu_s(pid)
                figures = load.measured(port, body, rate=rate, seconds=options.seconds, connections=options.connections)
                figures["cpu_us"] = (_cpu_s(pid) - before_s) / figures.pop("asked") * 1e6
            found[way].append(figures)
    return found


def _cpu_s(pid: int) -> float:
    """What the process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────


def spread(values: Sequence[float], *, digits: int = 2) -> str:
    """Median, and the least and the most."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def show_in_process(found: dict[str, list[float]]) -> None:
    """Aim: two microseconds more."""
    print(f"\nA prediction in a program, {len(found['bare River call'])} rounds, µs")
    for way, each in found.items():
        print(f"  {way:28} {spread(each)}")
    bare, ours = found.values()
    more = [one - other for one, other in zip(ours, bare, strict=True)]
    print(f"  {'more than bare, by round':28} {statistics.median(more):.2f}   (aim: at most 2)")


def show_http(found: dict[str, list[Any]], *, title: str, names: Sequence[str]) -> None:
    """A line for each way."""
    print(f"\n{title}")
    print(f"  {'':10}" + "".join(f"{name:>24}" for name in names) + "   failures   versions seen")
    for way, rounds in found.items():
        cells = "".join(f"{spread([each[name] for each in rounds], digits=_digits(name)):>24}" for name in names)
        failures, versions = sum(each["failures"] for each in rounds), max(each["versions"] for each in rounds)
        print(f"  {way:10}{cells}   {failures:8}   {versions}")


def _digits(name: str) -> int:
    return {"per_s": 0, "cpu_us": 0}.get(name, 2)


def show_aims(found: dict[str, list[Any]]) -> None:
    """Whether they are met."""
    still, swapping = (statistics.median(each["p99_ms"] for each in found[way]) for way in ("scorer", "swapping"))
    failures = sum(each["failures"] for way in ("scorer", "swapping") for each in found[way])
    print(f"  failures {failures} (aim: 0); p99 with swaps {swapping:.2f} ms (aim: at most 5)")
    print(f"  p99 with swaps / without: {swapping / still:.2f} (aim: at most 2)")


def show_announcing(found: dict[str, list[announcing.Arrival]]) -> None:
    """Seconds from the announcement to the first moment in which the follower has it."""
    print("\nFrom just before the update is published until a follower on Kafka predicts by it, s")
    for name, each in found.items():
        seconds = sorted(arrival.seconds for arrival in each)
        p50, p99 = statistics.median(seconds), seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))]
        sent = statistics.median(arrival.bytes_sent_s for arrival in each)
        own = statistics.median(arrival.unpacking_s for arrival in each)
        print(
            f"  {name:18} {each[0].size_mb:6.2f} MB, {len(each):2}: p50 {p50:.3f}, p99 {p99:.3f} "
            f"(aim: {announcing.AIMS_S[name]:g}); unpacking alone {own:.3f}; its bytes were sent before in {sent:.3f}"
        )


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each round and way")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", choices=("program", "http", "kafka"), help="one of the three parts")
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.serve:
        serve(options.serve)
        return
    print(f"load of the machine: {' '.join(f'{each:.1f}' for each in os.getloadavg())} on {os.cpu_count()} cores")
    parts = {"program": _program, "http": _http, "kafka": _kafka}
    for part in [options.only] if options.only else parts:
        parts[part](options)
    print(f"\nload of the machine: {' '.join(f'{each:.1f}' for each in os.getloadavg())}")


def _program(options: argparse.Namespace) -> None:
    show_in_process(in_process(rounds=20 * options.rounds))


def _http(options: argparse.Namespace) -> None:
    how = f"{options.connections} connections, one worker, {options.rounds} rounds of {options.seconds:g} s"
    found = over_http(options, rate=options.rate, ways=WAYS)
    names = ("p50_ms", "p99_ms", "max_ms", "cpu_us")
    show_http(found, title=f"{options.rate:g} requests a second, {how}; latency from the planned moment", names=names)
    show_aims(found)
    most = over_http(options, rate=None, ways=WAYS[:2])
    show_http(most, title=f"As much as it takes, {how}", names=("per_s", "p50_ms", "p99_ms", "cpu_us"))


def _kafka(options: argparse.Namespace) -> None:
    show_announcing(announcing.measured(options.rounds))


if __name__ == "__main__":
    main()

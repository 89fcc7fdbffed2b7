"""How long a ranking of 1,000 candidates takes, in a program and over HTTP: `python -m benchmarks.ranking_served`.

Each ranker has learned 30,000 takes of 2,000 simulated users and 2,000 items. A request names 1,000 candidates, drawn
anew, and wants 10. Over HTTP one client asks one request after the other on one connection; the server is a thread of
the same process, so both share an interpreter. Beside the time on the clock stands the processor time of the whole
process, which other work on the machine does not lengthen.
"""

import http.client
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from anabranch.testing import MemoryFollower
from benchmarks.ranking import RANKERS
from config.output import Score
from evaluation.simulation.audience import Audience
from serving.application import application
from serving.models import Models, Served
from serving.server import in_a_thread

USERS = ITEMS = 2_000
CANDIDATES = 1_000
REQUESTS = 1_500


def learned(make: Callable[[], Any]) -> MemoryFollower:
    """A follower that has such a ranker."""
    model = make()
    for each in Audience(seed=1, users=USERS, items=ITEMS, genres=20).takes(30_000):
        model.learn_one({**each.x, "item_genre": "g1"}, each.y)
    follower = MemoryFollower("shop")
    kinds = dict.fromkeys(("user", "item", "item_genre", "shown"), "string")
    follower.publish(model, task="rank", features=kinds)
    return follower


def requests(*, seed: int) -> Iterator[dict[str, Any]]:
    """What is asked."""
    rng = random.Random(seed)
    for _ in range(REQUESTS):
        named = [f"i{each}" for each in rng.sample(range(ITEMS), CANDIDATES)]
        yield {"user": f"u{rng.randrange(USERS)}", "candidates": named, "n": 10}


class Stopwatch:
    """Milliseconds on the clock and of the processor, of each request."""

    def __init__(self) -> None:
        self.clock: list[float] = []
        self.processor: list[float] = []

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def __exit__(self, *about: object) -> None:
        clock_s, processor_s = self._began
        self.processor.append(1000 * (time.process_time() - processor_s))
        self.clock.append(1000 * (time.perf_counter() - clock_s))

    def __str__(self) -> str:
        return " | ".join(
            f"{quantile(several, q):.2f}" for several in (self.clock, self.processor) for q in (0.5, 0.99)
        )


def quantile(took: list[float], q: float) -> float:
    """The value that a share `q` of them does not exceed."""
    return sorted(took)[int(q * len(took))]


def in_a_program(follower: MemoryFollower) -> Stopwatch:
    """Of each ranking."""
    took = Stopwatch()
    for asked in requests(seed=2):
        with took:
            follower.rank({"user": asked["user"]}, candidates=asked["candidates"], n=asked["n"])
    return took


def over_http(follower: MemoryFollower) -> Stopwatch:
    """Of each request."""
    took = Stopwatch()
    with in_a_thread(application(Models([Served(follower)]), Score())) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for body in map(orjson.dumps, requests(seed=3)):
            with took:
                connection.request("POST", "/api/rank", body)
                response = connection.getresponse()
                response.read()
            assert response.status == 200
        connection.close()
    return took


def main() -> None:
    """Print a table of milliseconds, in Markdown."""
    print("| ranker | where | clock p50 | p99 | processor p50 | p99 |\n|---|---|---|---|---|---|")
    for name, make in RANKERS.items():
        follower = learned(make)
        print(f"| {name} | program | {in_a_program(follower)} |\n| | HTTP | {over_http(follower)} |", flush=True)


if __name__ == "__main__":
    main()

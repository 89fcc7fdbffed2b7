"""Rankers, each test-then-train over one log of takes in the order of time: `python -m benchmarks.ranking u.data`.

It reads *your* copy of MovieLens-100k, which may not be redistributed: `u.data` (user, item, rating, seconds, with tabs
between them), or what `river.datasets.MovieLens100K().download()` has brought, if no file is given. A rating of 4 or
more is a take; all known items are ranked, less those that the user has taken. An item that was never taken before is
a miss. `--simulated`: an audience drawn from a seed instead.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from river import datasets, reco

from anabranch.ranking import CoOccurrence, Popularity
from anabranch.ranking_models import Factors, PairwiseLinear, Pointwise
from config.ranking import OURS, K
from evaluation.simulation.audience import Audience

TAKEN_FROM = 4.0
LIST_EVERY = 10
"""Every so many events the list itself is made, to count which items are in any."""

Take = dict[str, Any]

RANKERS: dict[str, Callable[[], Any]] = {
    "popularity": Popularity,
    "popularity, fading .9995": lambda: Popularity(fading=0.9995),
    "co-occurrence": CoOccurrence,
    "factors": Factors,
    "pairwise linear": PairwiseLinear,
}
SLOW: dict[str, Callable[[], Any]] = {
    "reco.BiasedMF": lambda: Pointwise(reco.BiasedMF(seed=1), candidates_max=2000),
}
"""One call a candidate: on the first events only."""


def takes_of_file(path: Path) -> Iterator[Take]:
    """From `u.data`, in the order of time."""
    rows = [line.split("\t") for line in path.read_text().splitlines() if line]
    yield from _takes((int(ts), user, item, float(rating)) for user, item, rating, ts in rows)


def takes_of_river() -> Iterator[Take]:
    """From the copy that River has downloaded.

    Raises:
        SystemExit: there is none.
    """
    films = datasets.MovieLens100K()
    if not films.is_downloaded:
        raise SystemExit("no MovieLens-100k here: give the path of your u.data, or --simulated")
    yield from _takes((x["timestamp"], x["user"], x["item"], y) for x, y in films)


def _takes(ratings: Iterable[tuple[Any, str, str, float]]) -> Iterator[Take]:
    for _, user, item, rating in sorted(ratings, key=lambda each: each[0]):  # stable: as in the file, within a second
        if rating >= TAKEN_FROM:
            yield {"user": user, "item": item}


def measured(ranker: Any, takes: Iterable[Take]) -> dict[str, float]:
    """Prequential metrics by name; `coverage` is the share of the known items that were in any list looked at."""
    several, listed, count = [kind() for kind in OURS.values()], set(), 0
    began_s = time.perf_counter()
    spent_s = 0.0
    for count, x in enumerate(takes, start=1):
        position = ranker.predict_one(x)
        for metric in several:
            metric.update(1.0, position)
        if not count % LIST_EVERY:
            paused_s = time.perf_counter()
            listed.update(each.item for each in ranker.rank(x, n=K))
            spent_s += time.perf_counter() - paused_s
        ranker.learn_one(x, 1.0)
    took_s = time.perf_counter() - began_s - spent_s
    known = len(ranker.slots)
    found = {type(metric).__name__: metric.get() for metric in several}
    return {**found, "coverage": len(listed) / known if known else math.nan, "events/s": count / took_s}


def table(rows: dict[str, dict[str, float]]) -> str:
    """In Markdown."""
    names = list(next(iter(rows.values())))
    lines = ["| ranker | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for ranker, values in rows.items():
        cells = [f"{values[name]:,.0f}" if name == "events/s" else f"{values[name]:.3f}" for name in names]
        lines.append(f"| {ranker} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="your u.data")
    parser.add_argument("--simulated", action="store_true", help="12,000 takes of an audience drawn from seed 1")
    parser.add_argument("--slow", type=int, default=0, metavar="N", help="River's models, too, on the first N takes")
    options = parser.parse_args()
    if options.simulated:
        takes: list[Take] = [each.x for each in Audience(seed=1).takes(12_000)]
    else:
        takes = list(takes_of_river() if options.data is None else takes_of_file(options.data))
    print(f"{len(takes):,} takes\n")
    print(table({name: measured(make(), takes) for name, make in RANKERS.items()}))
    if options.slow:
        few = list(islice(takes, options.slow))
        print(f"\nthe first {len(few):,} takes\n")
        print(table({name: measured(make(), few) for name, make in {**RANKERS, **SLOW}.items()}))


if __name__ == "__main__":
    main()

"""How a stream is made: River's generators one after another, or a file in time order. Same seed, same stream.

Features are numbers for everybody: a word becomes the place of its first appearance among the words of its column.
"""

import importlib
import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from evaluation import files

XY = tuple[dict[str, Any], Any]


def concepts(generator: str, several: Sequence[Mapping[str, Any]], *, each: int, width: int, seed: int) -> Iterator[XY]:
    """One concept after another, `each` events long; with `width`, the next one comes in as a sigmoid so wide."""
    kind = getattr(importlib.import_module("river.datasets.synth"), generator)
    streams = [
        iter(kind(**parameters, **_seeds(kind, 100 * seed + number))) for number, parameters in enumerate(several)
    ]
    chance = random.Random(seed)
    for n in range(each * len(several)):
        yield _plain(*next(streams[_concept(n, each=each, width=width, last=len(several) - 1, chance=chance)]))


def _seeds(kind: Any, seed: int) -> dict[str, int]:
    names = ("seed", "seed_model", "seed_sample")
    return {name: seed for name in names if name in kind.__init__.__code__.co_varnames}


def _concept(n: int, *, each: int, width: int, last: int, chance: random.Random) -> int:
    """The number of the concept that gives event n."""
    if not width:
        return n // each
    change = min(max(1, (n + each // 2) // each), max(1, last))
    arrived = 1 / (1 + math.exp(-4 * (n - change * each) / width))
    return min(last, change if chance.random() < arrived else change - 1)


def _plain(x: Mapping[Any, Any], y: Any) -> XY:
    return {str(name): value for name, value in x.items()}, y


USERS, ITEMS, FACTORS = 300, 200, 4


def tastes(*, events: int, seed: int) -> Iterator[XY]:
    """Ratings of 1 to 5 stars by hidden factors; after each third of the events every third user has other ones."""
    rng = random.Random(seed)

    def factors(count: int) -> list[list[float]]:
        return [[rng.gauss(0, 0.7) for _ in range(FACTORS)] for _ in range(count)]

    users, items = factors(USERS), factors(ITEMS)
    for n in range(events):
        if n and n % (events // 3) == 0:
            users[n * 3 // events :: 3] = factors(len(users[n * 3 // events :: 3]))
        user, item = rng.randrange(USERS), rng.randrange(ITEMS)
        liking = sum(a * b for a, b in zip(users[user], items[item], strict=True))
        yield {"user": f"u{user}", "item": f"i{item}"}, min(5.0, max(1.0, 3 + liking + rng.gauss(0, 0.3)))


def days(path: Path, column: str, *, limit: int | None) -> list[str]:
    """The date of each row."""
    rows = itertools.islice(files.events(path, keep=("*",)), limit)
    return [orjson.loads(event)["features"][column][:10] for event in rows]


def rows(path: Path, *, drop: Sequence[str], limit: int | None) -> Iterator[XY]:
    """The rows of a CSV, without the columns in `drop`; with `moment`, the hour instead of the time."""
    words: dict[str, dict[str, int]] = {}
    for event in itertools.islice(files.events(path, keep=("*",)), limit):
        table = orjson.loads(event)
        yield _features(table["features"], words, drop=drop), table["label"]


def _features(features: Mapping[str, Any], words: dict[str, dict[str, int]], *, drop: Sequence[str]) -> dict[str, Any]:
    x: dict[str, Any] = {}
    for name, value in features.items():
        if name == "moment":
            x["hour"] = int(value[11:13])
        elif name not in drop and value is not None:
            known = words.setdefault(name, {}) if isinstance(value, str) else {}
            x[name] = known.setdefault(value, len(known)) if isinstance(value, str) else value
    return x

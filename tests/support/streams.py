"""Streams of events whose concept is known, and turns round where a test says so."""

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from river.datasets import synth

Row = dict[str, Any]


def never(number: int) -> bool:
    """The concept stays."""
    return False


def sea(
    events: int, *, first: int = 0, turned: Callable[[int], bool] = never, ts: float | None = None
) -> Iterator[bytes]:
    """A sum of two of three numbers against a bound; the other way round where it is turned. Times are now, or `ts`."""
    for number, (x, y) in enumerate(itertools.islice(synth.SEA(seed=5), first, first + events), first):
        features = {f"f{name}": value for name, value in x.items()}
        at = time.time() if ts is None else ts
        yield orjson.dumps({"id": f"e{number}", "ts": at, "features": features, "label": bool(y) != turned(number)})


def three_numbers(events: int, *, seed: int, is_turned: Callable[[int], bool]) -> Iterator[Row]:
    """A sum of two of them against a bound; while it is turned round, the other way."""
    for n, (x, y) in enumerate(itertools.islice(synth.SEA(variant=0, seed=seed), events)):
        features = {f"f{name}": value for name, value in x.items()}
        yield {"features": features, "label": bool(y) != is_turned(n)}


def rows(events: int = 2000) -> list[Row]:
    """Labelled events whose concept changes half way."""
    half = events // 2
    before, after = synth.SEA(variant=0, seed=3), synth.SEA(variant=2, seed=4)
    both = itertools.chain(itertools.islice(before, half), itertools.islice(after, events - half))
    return [
        {"id": f"e{n}", "ts": 1.6e9, "features": {str(k): v for k, v in x.items()}, "label": bool(y) != (n >= half)}
        for n, (x, y) in enumerate(both)
    ]


def simple(first: int, end: int) -> Iterator[bytes]:
    """Events of one number, whose label is whether it is large."""
    for n in range(first, end):
        yield orjson.dumps({"id": f"e{n}", "ts": 1.6e9, "features": {"a": n % 7}, "label": n % 7 > 3})


def market(events: int, *, turned_every: int = 2500) -> Iterator[Row]:
    """Half hours of two electricity markets, as in Elec2: whether the price rises, by a rule that turns round at times.

    Features are those of Elec2: the day of the week, the period of the day, prices, demands, and the transfer.
    """
    rng, price = random.Random(7), 0.5
    for n in range(events):
        period = n % 48 / 47
        demand = 0.5 + 0.3 * math.sin(2 * math.pi * period) + rng.gauss(0, 0.05)
        away = 0.5 + 0.3 * math.cos(2 * math.pi * period) + rng.gauss(0, 0.05)
        rises = (demand > away) != (n // turned_every % 2 == 1)
        x = {
            "day": n // 48 % 7 + 1,
            "period": period,
            "nswprice": price,
            "nswdemand": demand,
            "vicprice": price + rng.gauss(0, 0.02),
            "vicdemand": away,
            "transfer": demand - away + rng.gauss(0, 0.02),
        }
        yield {"id": f"e{n}", "features": x, "label": rises != (rng.random() < 0.05)}
        price = min(1.0, max(0.0, price + (0.01 if rises else -0.01)))


CALLS = """
[model]
steps = [{ use = "compose.Select", keys = ["calls"] }, { use = "linear_model.LogisticRegression" }]

[[shadows.standing]]
name = "outcome"
steps = [{ use = "compose.Select", keys = ["outcome"] }, { use = "linear_model.LogisticRegression" }]

[fairness]
sensitive = ["age"]
bands = { age = [30, 60] }

[constraints]
group = "age"
group_metric = "equal-opportunity"

[publish]
report_events = 500
"""
"""For `calls`: a champion that reads `calls`, a shadow that reads `outcome`, and a gate between groups by age."""


def calls(events: int) -> Iterator[bytes]:
    """A bank's calls: `calls` tells something of everybody, `outcome` nearly everything, but nothing of the old."""
    rng = random.Random(7)
    for n in range(events):
        y, age = rng.random() < 0.5, rng.randint(18, 85)
        of_young = 1.0 if y != (rng.random() < 0.03) else -1.0
        x = {
            "age": age,
            "calls": 1.0 if y != (rng.random() < 0.3) else -1.0,
            "outcome": of_young if age < 60 else -1.0,
        }
        yield orjson.dumps({"id": f"e{n}", "ts": float(n), "features": x, "label": y})

"""Shapley values by sampling, for models of any kind; and the coalitions that all ways of explaining are about.

An event is a coalition of its features. Those that have not joined yet have the values of a background row, or are
missing where the row lacks them: the game of Lundberg and Lee (2017), interventional.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, NamedTuple

Event = dict[str, Any]
Value = Callable[[Event], float]
"""What is explained of an event: one number."""

ABSENT = object()
"""In place of a value."""

SEED = 7
"""The same event is explained alike each time."""


class Shares(NamedTuple):
    """How a number is divided up: what it is on average over the background, and each feature's part in the rest."""

    base: float
    amounts: dict[str, float]
    errors: dict[str, float]
    """The standard error of each amount; none where it is exact."""


def names_of(x: Mapping[str, Any], background: Sequence[Mapping[str, Any]]) -> list[str]:
    """All features of an event and its background, in a fixed order."""
    return sorted({*x, *(name for row in background for name in row)})


def sampled(value: Value, x: Event, background: Sequence[Event], *, rounds: int) -> Shares:
    """Shapley values by random orders in which the features join (Castro et al., 2009).

    Each order is taken forwards and backwards (antithetic: Mitchell et al., 2022), and the standard error is that of
    the pairs. The amounts and the base add up to the number, whatever was drawn.

    Args:
        rounds: pairs of orders for each row of the background; each costs at most two answers for each feature.

    >>> shares = sampled(lambda z: z["a"] * z["b"], {"a": 2.0, "b": 3.0}, [{"a": 0.0, "b": 0.0}], rounds=4)
    >>> shares.base, shares.amounts, shares.errors
    (0.0, {'a': 3.0, 'b': 3.0}, {'a': 0.0, 'b': 0.0})
    """
    rng, names = random.Random(SEED), names_of(x, background)
    whole, starts = value(dict(x)), [value(dict(row)) for row in background]
    sums, squares = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for _ in range(rounds):
        for row, start in zip(background, starts, strict=True):
            # What does not differ changes nothing, whenever it joins.
            order = [name for name in names if x.get(name, ABSENT) != row.get(name, ABSENT)]
            rng.shuffle(order)
            there = _joined(value, x, row, order, ends=(start, whole))
            back = _joined(value, x, row, order[::-1], ends=(start, whole))
            for name in order:
                mean = (there[name] + back[name]) / 2
                sums[name] += mean
                squares[name] += mean * mean
    pairs = rounds * len(background)
    amounts = {name: each / pairs for name, each in sums.items()}
    spread = {name: max(0.0, squares[name] / pairs - amounts[name] ** 2) for name in names}
    errors = {name: sqrt(each / max(1, pairs - 1)) for name, each in spread.items()}
    return Shares(sum(starts) / len(starts), amounts, errors)


def _joined(value: Value, x: Event, row: Event, order: Sequence[str], *, ends: tuple[float, float]) -> dict[str, float]:
    """What each feature changes as it joins those before it."""
    before, whole = ends
    mixed, found = dict(row), {}
    for number, name in enumerate(order, 1):
        if name in x:
            mixed[name] = x[name]
        else:
            del mixed[name]
        # The last one completes the event.
        after = whole if number == len(order) else value(dict(mixed))
        found[name] = after - before
        before = after
    return found

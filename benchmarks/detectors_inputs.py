"""Data-drift signals on streams of which only the features move: false alarms, and how late each move is noticed."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from detectors.distribution_signals import DistributionSettings, DistributionSignal

TESTS = ("ks", "psi", "jensen-shannon", "wasserstein")
BEFORE = 5_000
HORIZON = 4_000
QUIET_EVENTS = 50_000

Row = dict[str, Any]


class World:
    """Four numbers and a category; `step` moves on, and `moved` says whether the move has happened."""

    def __init__(self, seed: str, *, memory: float = 0.0) -> None:
        self.rng = random.Random(seed)
        self.memory = memory
        self.last = [0.0] * 4

    def row(self) -> Row:
        """One event's features; with a memory, each number hangs on its last."""
        noise = (1 - self.memory**2) ** 0.5
        self.last = [self.memory * each + noise * self.rng.gauss(0, 1) for each in self.last]
        return {
            **dict(zip("abcd", self.last, strict=True)),
            "e": self.rng.choices("uvwxyz", (40, 25, 15, 10, 8, 2))[0],
        }


def _mean(by: float) -> Callable[[Row, random.Random], Row]:
    return lambda row, rng: {**row, "a": row["a"] + by}


def _spread(row: Row, rng: random.Random) -> Row:
    return {**row, "a": row["a"] * 2}


def _missing(row: Row, rng: random.Random) -> Row:
    return {name: value for name, value in row.items() if name != "a" or rng.random() > 0.15}


def _shares(row: Row, rng: random.Random) -> Row:
    return {**row, "e": "z"} if rng.random() < 0.15 else row


def _new(row: Row, rng: random.Random) -> Row:
    return {**row, "e": "new"} if rng.random() < 0.05 else row


MOVES: dict[str, Callable[[Row, random.Random], Row]] = {
    "mean +.3 sd": _mean(0.3),
    "mean +.5 sd": _mean(0.5),
    "mean +1 sd": _mean(1.0),
    "sd ×2": _spread,
    "15 % missing": _missing,
    "a category +15 %": _shares,
    "a new category, 5 %": _new,
}


class Moved(NamedTuple):
    """What came of one test."""

    test: str
    false: int
    false_with_memory: int
    quiet_events: int
    delays: dict[str, list[int | None]]


def measured(test: str, runs: int) -> Moved:
    """One test with the defaults on all moves and on quiet streams, of seeds 0 to `runs` - 1."""
    quiet = max(1, runs // 6)
    return Moved(
        test,
        sum(_false_alarms(test, World(f"quiet {seed}")) for seed in range(quiet)),
        sum(_false_alarms(test, World(f"slow {seed}", memory=0.9)) for seed in range(quiet)),
        quiet * QUIET_EVENTS,
        {move: [_delay(test, move, seed) for seed in range(runs)] for move in MOVES},
    )


def _signal(test: str) -> DistributionSignal:
    return DistributionSignal("inputs", DistributionSettings.model_validate({"test": test}))


def _false_alarms(test: str, world: World) -> int:
    signal = _signal(test)
    return sum(signal.update(world.row()) is not None for _ in range(QUIET_EVENTS))


def _delay(test: str, move: str, seed: int) -> int | None:
    signal, world = _signal(test), World(f"{move} {seed}")
    for _ in range(BEFORE + seed % 125):  # the move begins anywhere in a block
        signal.update(world.row())
    for n in range(1, HORIZON + 1):
        if signal.update(MOVES[move](world.row(), world.rng)) is not None:
            return n
    return None

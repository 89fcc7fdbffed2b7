"""How simulated runs look to a person: the steps of one, or the first of many that failed and how to run it again."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator

import typer
from rich.console import Console
from rich.progress import track

from evaluation.simulation.campaign import Result, Trials, many
from evaluation.simulation.guard_fuzz import RECORDS

STEPS_SHOWN = 40
TOLD_EVERY_S = 30.0


def show(trials: Trials, seed: int) -> None:
    """One seed, with all its steps."""
    (result,) = trials.some([seed])
    print(result.steps)
    print(f"seed {seed} ({result.scenario}): {result.finding or 'all is well'}")
    raise typer.Exit(1 if result.finding else 0)


def run(campaign: Trials, seeds: range, *, processes: int, again: str) -> None:
    """All schedules, until one fails."""
    seconds = _all_well(campaign, seeds, processes=processes, again=f"{again} --seed", what="schedules")
    print(f"{len(seeds)} schedules from seed {seeds.start} on, all well; {60 * len(seeds) / seconds:,.0f} a minute")


def fuzz_guard(runs: Trials, seeds: range, *, processes: int, again: str) -> None:
    """All fuzz runs of the guard, until one fails."""
    if seeds:
        seconds = _all_well(
            runs, seeds, processes=processes, again=f"{again} --guard-seed", what="runs of malformed records"
        )
        records = len(seeds) * RECORDS
        print(
            f"{records:,} malformed records before the guard, all well; {records / seconds:,.0f} a second", flush=True
        )


def fuzz(fuzzes: Trials, seeds: range, *, processes: int) -> None:
    """All runs with misbehaving models, until one fails."""
    if seeds:
        answers: list[int] = []
        seconds = _all_well(
            fuzzes,
            seeds,
            processes=processes,
            again="anabranch simulate --model-seed",
            what="misbehaving models in the arena",
            tried=answers.append,
        )
        given = sum(answers)
        print(f"{given:,} malformed answers behind the fence, all well; {given / seconds:,.0f} a second", flush=True)


def _all_well(
    trials: Trials,
    seeds: range,
    *,
    processes: int,
    again: str,
    what: str,
    tried: Callable[[int], object] = lambda count: None,
) -> float:
    """How many seconds it took; ends the program at the first that fails.

    Args:
        what: is shown as it goes on.
        tried: is told, for each seed, how often what is tried happened.
    """
    began_s = time.monotonic()
    for result in shown(many(trials, seeds, processes=processes), total=len(seeds), what=what):
        tried(result.tried)
        if result.finding:
            print("\n".join(["…", *result.steps.splitlines()[-STEPS_SHOWN:]]))
            print(f"seed {result.seed} ({result.scenario}): {result.finding}")
            print(f"replay it: {again} {result.seed}")
            raise typer.Exit(1)
    return time.monotonic() - began_s


def shown(
    results: Iterable[Result], *, total: int, what: str, now_s: Callable[[], float] = time.monotonic
) -> Iterator[Result]:
    """The results, with how far it is on standard error: a bar in a terminal, else a line every 30 s."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(results, description=what, total=total, console=console, transient=True)
        return
    told_s = now_s()
    for number, result in enumerate(results, 1):
        if now_s() - told_s >= TOLD_EVERY_S:
            told_s = now_s()
            print(f"{number:,} of {total:,} {what}, all well so far", file=sys.stderr, flush=True)
        yield result

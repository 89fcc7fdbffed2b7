"""How simulated runs look to a person: the steps of one, or the first of many that failed and how to run it again."""

import time
from collections.abc import Callable

import typer

from consumers.simulation.result import Trials, many
from consumers.simulation.siege import RECORDS

STEPS_SHOWN = 40


def show(trials: Trials, seed: int) -> None:
    """One seed, with all its steps."""
    (result,) = trials.some([seed])
    print(result.steps)
    print(f"seed {seed} ({result.scenario}): {result.finding or 'all is well'}")
    raise typer.Exit(1 if result.finding else 0)


def run(campaign: Trials, seeds: range, *, processes: int, again: str) -> None:
    """All schedules, until one fails."""
    seconds = _all_well(campaign, seeds, processes=processes, again=f"{again} --seed")
    print(f"{len(seeds)} schedules from seed {seeds.start} on, all well; {60 * len(seeds) / seconds:,.0f} a minute")


def besiege(sieges: Trials, seeds: range, *, processes: int, again: str) -> None:
    """All sieges of the guard, until one fails."""
    if seeds:
        seconds = _all_well(sieges, seeds, processes=processes, again=f"{again} --siege")
        records = len(seeds) * RECORDS
        print(f"{records:,} hostile records before the guard, all well; {records / seconds:,.0f} a second", flush=True)


def fuzz(fuzzes: Trials, seeds: range, *, processes: int) -> None:
    """All runs with hostile models, until one fails."""
    if seeds:
        answers: list[int] = []
        seconds = _all_well(fuzzes, seeds, processes=processes, again="anabranch simulate --fuzz", tried=answers.append)
        given = sum(answers)
        print(f"{given:,} hostile answers behind the fence, all well; {given / seconds:,.0f} a second", flush=True)


def _all_well(
    trials: Trials, seeds: range, *, processes: int, again: str, tried: Callable[[int], object] = lambda count: None
) -> float:
    """How many seconds it took; ends the program at the first that fails.

    Args:
        tried: is told, for each seed, how often what is tried happened.
    """
    began_s = time.monotonic()
    for result in many(trials, seeds, processes=processes):
        tried(result.tried)
        if result.finding:
            print("\n".join(["…", *result.steps.splitlines()[-STEPS_SHOWN:]]))
            print(f"seed {result.seed} ({result.scenario}): {result.finding}")
            print(f"replay it: {again} {result.seed}")
            raise typer.Exit(1)
    return time.monotonic() - began_s

"""How simulated runs look to a person: the steps of one, or the first of many that failed and how to run it again."""

import time

import typer

from consumers.simulation.campaign import Campaign, many

STEPS_SHOWN = 40


def show(campaign: Campaign, seed: int) -> None:
    """One seed, with all its steps."""
    (result,) = campaign.some([seed])
    print(result.steps)
    print(f"seed {seed} ({result.scenario}): {result.finding or 'all is well'}")
    raise typer.Exit(1 if result.finding else 0)


def run(campaign: Campaign, seeds: range, *, processes: int, again: str) -> None:
    """All seeds, until one fails."""
    began_s = time.monotonic()
    for result in many(campaign, seeds, processes=processes):
        if result.finding:
            print("\n".join(["…", *result.steps.splitlines()[-STEPS_SHOWN:]]))
            print(f"seed {result.seed} ({result.scenario}): {result.finding}")
            print(f"replay it: {again} --seed {result.seed}")
            raise typer.Exit(1)
    seconds = time.monotonic() - began_s
    print(f"{len(seeds)} schedules from seed {seeds.start} on, all well; {60 * len(seeds) / seconds:,.0f} a minute")

"""How many lists off-policy evidence takes, and how often it is wrong: `python -m benchmarks.off_policy`.

Lists of `n` items are drawn as a scorer draws them, a share of them from all items (`score.explore`). The champion and
the shadow list `n` items each, none of them the same; each item is taken by itself. `--false` counts how often a shadow
that is no better wins, over many seeds; `--shop` lets a simulated audience choose from a live lane's lists, and tells
when co-occurrence takes over from popularity, by each kind of evidence.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from anabranch.events import AcceptedEvent
from config.learning import ArenaSettings
from config.loading import build
from detectors.watch import Watch
from evaluation.simulation.audience import Audience
from learners.arena.off_policy import ListContest
from learners.lane import Lane
from learners.models import catalogue

LISTS_MAX = 100_000
BLOCK = 20_000


class Shop(NamedTuple):
    """Which items there are, how many are listed, and how often they are taken."""

    items: int
    n: int
    explore: float
    champion: float
    """How often an item is taken that the champion lists; the same for the shadow's below."""
    shadow: float


def compared(shop: Shop, seed: int) -> Iterator[tuple[float, float]]:
    """x of `learners.arena.off_policy`, and x with the sides exchanged, list by list."""
    rng, n = np.random.default_rng(seed), shop.n
    by_chance = shop.explore * n / shop.items
    weights = np.array([1 / (by_chance + 1 - shop.explore), 1 / by_chance]) / n
    while True:
        explored = rng.random(BLOCK) < shop.explore
        drawn = rng.multivariate_hypergeometric([n, n, shop.items - 2 * n], n, size=BLOCK)
        own = np.where(explored, drawn[:, 0], n)
        others = np.where(explored, drawn[:, 1], 0)
        own_taken, others_taken = rng.binomial(own, shop.champion), rng.binomial(others, shop.shadow)
        ahead = weights[0] * (own - own_taken) + weights[1] * others_taken - 1
        behind = weights[0] * own_taken + weights[1] * (others - others_taken) - 1
        yield from zip(ahead.tolist(), behind.tolist(), strict=True)


def lists_to_a_win(shop: Shop, seed: int, *, wins_at: float, lists: int) -> int | None:
    """After how many lists the shadow wins; None: not within so many."""
    contest = ListContest()
    for number, each in enumerate(compared(shop, seed), start=1):
        contest.compare(*each)
        if contest.won(wins_at):
            return number
        if number == lists:
            return None
    return None


def power(seeds: int) -> None:
    """Lists to a win between two, at the default `arena.false_swap_every`: the median over the seeds."""
    wins_at = ArenaSettings().false_swap_every
    _heading("items", "listed", "explore", "taken: champion's, shadow's", "lists to a win", "impressions")
    for items, n in ((20, 1), (50, 5), (100, 10), (400, 10), (1000, 10)):
        for explore in (0.02, 0.1):
            for rates in ((0.05, 0.1), (0.1, 0.3)):
                shop = Shop(items, n, explore, *rates)
                found = [lists_to_a_win(shop, seed, wins_at=wins_at, lists=LISTS_MAX) for seed in range(seeds)]
                middle = statistics.median(LISTS_MAX + 1 if each is None else each for each in found)
                is_known = middle <= LISTS_MAX
                lists = f"{middle:,.0f}" if is_known else f"over {LISTS_MAX:,}"
                impressions = f"{n * middle:,.0f}" if is_known else "–"
                print(f"| {items:,} | {n} | {explore} | {rates[0]}, {rates[1]} | {lists} | {impressions} |", flush=True)


def _heading(*names: str) -> None:
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|", flush=True)


def wrong(seeds: int) -> None:
    """How many of the seeds a shadow wins within so many lists that is as good as the champion, or worse."""
    lists, wins_at = 20_000, ArenaSettings().false_swap_every
    _heading("items", "listed", "explore", "taken: champion's, shadow's", "wins", "of", "0.05 of them")
    for items, n, explore in ((20, 1, 0.02), (20, 1, 0.2), (100, 10, 0.02), (100, 10, 0.2)):
        for rates in ((0.1, 0.1), (0.1, 0.05)):
            shop = Shop(items, n, explore, *rates)
            won = [lists_to_a_win(shop, seed, wins_at=wins_at, lists=lists) for seed in range(seeds)]
            wins = sum(each is not None for each in won)
            print(f"| {items} | {n} | {explore} | {rates[0]}, {rates[1]} | {wins} | {seeds} | {0.05 * seeds:g} |")


def shops(seeds: int) -> None:
    """When co-occurrence takes over from popularity, in lists of eight of a hundred items."""
    _heading("evidence", "explore", "swaps after so many lists, by seed", "processor time a list, ms")
    for explore in (0.02, 0.1):
        for evidence in ("shown", "off-policy"):
            began = time.process_time()
            found = [taken_over(seed, evidence, explore, lists=10_000) for seed in range(1, seeds + 1)]
            spent = 1000 * (time.process_time() - began) / sum(each or 10_000 for each in found)
            told = ", ".join("none of 10,000" if each is None else f"{each:,}" for each in found)
            print(f"| {evidence} | {explore} | {told} | {spent:.2f} |")


def taken_over(seed: int, evidence: str, explore: float, *, lists: int) -> int | None:
    """The list at which the lane swaps, if it does."""
    audience = Audience(seed=seed, users=60, items=100, genres=8, curious=0.1, bored=4.0)
    names = [f"i{item}" for item in range(100)]
    settings = build(
        {
            "name": "shop",
            "task": "rank",
            "model": {"steps": [{"use": "ranking.Popularity"}]},
            "shadows": {"standing": [{"name": "near", "steps": [{"use": "ranking.CoOccurrence"}]}]},
            "detectors": {},
            "arena": {"evidence": evidence},
        }
    )
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))

    def rank(user: str) -> list[str]:
        return [each.item for each in lane.champion.model.rank({"user": user}, candidates=names, n=8)]

    for number, each in enumerate(audience.pages(rank, lists, explore=explore)):
        emitted = lane.on_event(AcceptedEvent(f"e{number}", each.x, each.y, float(each.request), 0, number))
        if emitted.promotion is not None and emitted.promotion.kind == "swap":
            return each.request + 1
    return None


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--false", action="store_true", dest="false", help="how often one that is no better wins")
    parser.add_argument("--shop", action="store_true", help="a simulated audience, and a lane")
    parser.add_argument("--seeds", type=int, help="5; with --false 200; with --shop 3")
    options = parser.parse_args()
    if options.false:
        wrong(options.seeds or 200)
    elif options.shop:
        shops(options.seeds or 3)
    else:
        power(options.seeds or 5)


if __name__ == "__main__":
    main()

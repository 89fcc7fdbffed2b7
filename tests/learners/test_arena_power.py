"""The arena's figures by simulation, hundreds of runs at once: events to a swap, and what peeking at McNemar's does.

The medians are those after 5,000 events as equals, as the e-detector has been running when a shadow becomes better.
"""

import random

import numpy as np
import pytest

from learners.arena.evidence import LAMBDAS, Contest

RUNS = 300
LAM = np.array(LAMBDAS)


class Crowd:
    """Many contests at once, each with differences of its own."""

    def __init__(self, *, disagree: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.disagree = disagree
        self.powers = np.zeros((RUNS, len(LAM)))

    def update(self, advantage: float) -> np.ndarray:
        """One event each; the evidence after it."""
        u = self.rng.random(RUNS)
        d = np.where(u < (self.disagree + advantage) / 2, 1.0, np.where(u < self.disagree, -1.0, 0.0))
        self.powers = (self.powers + 1) * (1 + LAM * d[:, None])
        return self.powers.mean(axis=1)


def events_to_swap(*, win_at: float, disagree: float, advantage: float) -> np.ndarray:
    """Of all runs, sorted."""
    crowd = Crowd(disagree=disagree, seed=1)
    for _ in range(5000):
        crowd.powers[crowd.update(0.0) >= win_at] = 0.0
    found, n = np.zeros(RUNS, dtype=int), 0
    while not found.all():
        n += 1
        found[(crowd.update(advantage) >= win_at) & (found == 0)] = n
    return np.sort(found)


FIGURES = {
    (1e4, 0.1): {0.01: 1811, 0.02: 826, 0.05: 313},
    (1e4, 0.2): {0.01: 2408, 0.02: 1378, 0.05: 438},
    (1e5, 0.1): {0.01: 5758, 0.02: 2371, 0.05: 504},
}


@pytest.mark.parametrize(
    ("win_at", "disagree", "advantage", "median"),
    [(*key, advantage, median) for key, row in FIGURES.items() for advantage, median in row.items()],
)
def test_events_to_a_swap_are_those_that_were_measured_before(
    win_at: float, disagree: float, advantage: float, median: int
) -> None:
    """Within the sampling error of two medians: 99 % of this one's by order statistics, and 15 % for the other's."""
    found = events_to_swap(win_at=win_at, disagree=disagree, advantage=advantage)
    reach = int(2.58 * RUNS**0.5 / 2)
    low, high = found[RUNS // 2 - reach], found[RUNS // 2 + reach]
    assert low / 1.15 < median < high * 1.15


def test_the_crowd_is_the_contest() -> None:
    """The same differences give the same evidence."""
    rng, contest, powers = random.Random(1), Contest(), np.zeros(len(LAM))
    for _ in range(500):
        d = rng.choice([1.0, -1.0, 0.0, 0.0])
        powers = (powers + 1) * (1 + LAM * d)
        assert contest.update(d) == pytest.approx(powers.mean())


def test_peeking_at_mcnemar_rejects_a_third_of_equals_and_the_arena_few() -> None:
    """Equals that disagree on 10 % of 20,000 events: 36 % of runs at a nominal 5 %; A = 1e6 stays below 2 %.

    With the continuity correction, and looked at from 100 disagreements on; from 20 on without it, it is half the runs.
    """
    crowd = Crowd(disagree=0.1, seed=2)
    rng = np.random.default_rng(2)
    better, worse = np.zeros(RUNS), np.zeros(RUNS)
    theirs, ours = np.zeros(RUNS, dtype=bool), np.zeros(RUNS, dtype=bool)
    for _ in range(20_000):
        u = rng.random(RUNS)
        better += u < 0.05
        worse += (u >= 0.05) & (u < 0.1)
        seen = better + worse
        theirs |= (seen >= 100) & ((abs(better - worse) - 1) ** 2 > 3.841 * seen)
        ours |= crowd.update(0.0) >= 1e6
    assert theirs.mean() == pytest.approx(0.365, abs=3 * (0.365 * 0.635 / RUNS) ** 0.5)
    assert ours.mean() <= 0.02 + 3 * (0.02 * 0.98 / RUNS) ** 0.5

"""Rates of groups and how far they lie apart: intervals that hold at every event at once."""

import random

import pytest

from learners.rates import EVENTS_MIN, Gap, Rate, gap, worst


def missed(rate: float, *, seed: int, alpha: float, events: int = 600) -> bool:
    """Whether the interval has ever lost the rate, looked at after each event."""
    rng, hits = random.Random(seed), 0
    for n in range(1, events + 1):
        hits += rng.random() < rate
        low, high = Rate(hits, n).interval(alpha=alpha)
        if not low <= rate <= high:
            return True
    return False


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_an_interval_holds_at_all_events_together(rate: float) -> None:
    """Of 60 streams at most a fifth may lose it at α = .2; an interval for one moment would lose most of them."""
    assert sum(missed(rate, seed=seed, alpha=0.2) for seed in range(60)) <= 12


def test_values_between_none_and_one_are_as_good_as_truths() -> None:
    """Probabilities and bounded losses: their interval lies within that of truths of the same mean."""
    assert Rate(25.5, 100).interval(alpha=0.05)[0] == pytest.approx(Rate(25, 100).interval(alpha=0.05)[0], abs=0.01)


def test_the_ends_of_all_rates_are_ends() -> None:
    assert Rate(0, 0).interval(alpha=0.05) == (0.0, 1.0)
    assert Rate(0, 50).interval(alpha=0.05)[0] == 0.0
    assert Rate(50, 50).interval(alpha=0.05)[1] == 1.0
    assert Rate(50 + 1e-12, 50).interval(alpha=0.05)[1] == 1.0  # a sum of probabilities that was rounded


def of(*counts: tuple[int, int], alpha: float = 0.01) -> Gap | None:
    """The gap between groups of so many successes among so many."""
    measured = {f"g{n}": Rate(*each).measured(alpha=alpha) for n, each in enumerate(counts)}
    return gap({name: each for name, each in measured.items() if each is not None})


def test_a_group_of_few_makes_no_gap() -> None:
    """Not even beside others."""
    assert of((EVENTS_MIN - 1, EVENTS_MIN - 1), (0, 100)) is None
    found = of((EVENTS_MIN - 1, EVENTS_MIN - 1), (0, 100), (50, 100))
    assert found is not None
    assert (found.least, found.most, found.difference, found.ratio) == ("g1", "g2", 0.5, 0.0)


def test_the_interval_of_a_gap_grows_narrow_around_it() -> None:
    for times in (1, 10, 100):
        found = of((20 * times, 100 * times), (50 * times, 100 * times), (30 * times, 100 * times))
        assert found is not None
        assert found.low < 0.3 < found.high
        assert found.ratio_low < 0.4 < found.ratio_high
    assert found.low > 0.25
    assert found.high < 0.35


def test_where_nobody_is_selected_there_is_no_ratio() -> None:
    """0 by 0 says nothing, and is not told as 1."""
    found = of((0, 100), (0, 100))
    assert found is not None
    assert (found.difference, found.low, found.ratio) == (0.0, 0.0, None)


def test_of_several_gaps_the_largest_counts() -> None:
    narrow, wide = of((40, 100), (50, 100)), of((10, 100), (50, 100))
    found = worst([narrow, wide])
    assert narrow is not None
    assert wide is not None
    assert found is not None
    assert (found.difference, found.ratio) == (wide.difference, wide.ratio)
    assert found.low == max(narrow.low, wide.low)
    assert worst([wide, None]) is None

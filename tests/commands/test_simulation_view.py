"""What a long simulation says while it runs."""

import itertools

import pytest

from commands.views.simulation import shown
from evaluation.simulation.campaign import Result


def test_a_long_simulation_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal a line every 30 s; the results pass through."""
    results = [Result(seed, "m", "", "") for seed in range(7)]
    clock = itertools.count(0, 5)
    assert list(shown(results, total=7, what="schedules", now_s=lambda: float(next(clock)))) == results
    assert capsys.readouterr().err.splitlines()[0] == "6 of 7 schedules, all well so far"

"""How features are distributed now, beside how they were: the part of reports that asks no label."""

import random
from typing import Any

import pytest

from detectors.histograms import BLOCKS, FEATURES_MAX, REFERENCE_ROWS, REPORTED_MAX, WINDOW_ROWS, Histograms


def shown(histograms: Histograms, rows: int, *, seed: int = 7, mean: float = 0.0, **more: Any) -> Histograms:
    """So many rows: a number, a category, and more features that are the same in all."""
    rng = random.Random(seed)
    for _ in range(rows):
        histograms.update({"number": rng.gauss(mean, 1), "kind": rng.choice("abc"), **more})
    return histograms


def test_nothing_is_told_before_there_is_something_to_compare() -> None:
    assert shown(Histograms(), REFERENCE_ROWS).reports() == ()


def test_what_has_moved_comes_first_and_the_rest_has_not_moved() -> None:
    first, second = shown(shown(Histograms(), REFERENCE_ROWS), WINDOW_ROWS, seed=8, mean=1.0).reports()
    assert (first.feature, second.feature) == ("number", "kind")
    assert first.psi > 0.5
    assert second.psi < 0.1
    assert first.events == WINDOW_ROWS
    assert len(first.before) == len(first.now) == len(first.edges) + 1
    assert sum(first.now) == pytest.approx(1.0, abs=0.01)
    assert second.categories
    assert len(second.now) == len(second.categories) + 1


def test_noise_is_no_move() -> None:
    """The index of equal distributions stays well below .25, at which people look."""
    worst = max(
        shown(shown(Histograms(), REFERENCE_ROWS, seed=seed), WINDOW_ROWS, seed=seed + 1).reports()[0].psi
        for seed in range(0, 60, 2)
    )
    assert worst < 0.15


def test_missing_and_unseen_values_are_told() -> None:
    histograms = shown(Histograms(), REFERENCE_ROWS, fresh="old")
    for n in range(WINDOW_ROWS):
        histograms.update({"fresh": "new"} if n % 2 else {"kind": "a", "fresh": "old"})
    found = {each.feature: each for each in histograms.reports()}
    assert found["number"].missing == 1.0
    assert found["kind"].missing == 0.5
    assert found["fresh"].unseen == 0.5
    assert found["kind"].missing_before == 0.0


def test_wide_events_are_bounded() -> None:
    histograms = Histograms()
    for n in range(REFERENCE_ROWS + WINDOW_ROWS // BLOCKS):
        histograms.update({f"f{each}": float(n % 9) for each in range(FEATURES_MAX + 50)})
    assert len(histograms.columns or {}) == FEATURES_MAX
    assert len(histograms.reports()) == REPORTED_MAX


def test_a_checkpoint_in_the_middle_changes_nothing() -> None:
    straight = shown(shown(Histograms(), REFERENCE_ROWS + 30), WINDOW_ROWS, seed=9)
    first, second = shown(Histograms(), REFERENCE_ROWS + 30), Histograms()
    second.restore(first.state())
    assert shown(second, WINDOW_ROWS, seed=9).state() == straight.state()

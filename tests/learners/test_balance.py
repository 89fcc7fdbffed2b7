"""How labels are distributed, beside how they were when the champion began."""

import random
from typing import Any

import pytest

from anabranch.messages import LabelBalanceReport
from learners.balance import NAMED_MAX, OTHERS, REFERENCE_LABELS, WINDOW_LABELS, LabelBalance
from learners.lane import Lane
from support.lanes import Reads, contested, event, lane_of, twin_of
from support.lanes import shown as fed


def shown(*labels: Any, numeric: bool = False) -> LabelBalance:
    """What was shown these."""
    balance = LabelBalance(numeric=numeric)
    for each in labels:
        balance.update(each)
    return balance


def told(balance: LabelBalance) -> LabelBalanceReport:
    report = balance.report()
    assert report is not None
    return report


def test_nothing_is_told_before_there_is_a_window_to_compare() -> None:
    """A champion that has just begun gives no cause for alarm."""
    labels = [n % 2 == 0 for n in range(REFERENCE_LABELS)] + [True] * (WINDOW_LABELS - 1)
    assert shown(*labels).report() is None
    assert told(shown(*labels, True)).effect > 1


def test_shares_are_those_of_the_first_and_of_the_latest() -> None:
    """What came in between is forgotten."""
    first, between, last = (
        ["a", "b"] * (REFERENCE_LABELS // 2),
        ["c"] * 700,
        ["a", "a", "a", "b"] * (WINDOW_LABELS // 4),
    )
    report = told(shown(*first, *between, *last))
    assert [(each.label, each.before, each.now) for each in report.shares] == [("a", 0.5, 0.75), ("b", 0.5, 0.25)]
    assert (report.events_before, report.events) == (REFERENCE_LABELS, WINDOW_LABELS)


def test_a_label_that_is_new_is_told_as_soon_as_any() -> None:
    """It was no part of the first ones."""
    report = told(shown(*["a"] * REFERENCE_LABELS, *["a", "new"] * (WINDOW_LABELS // 2)))
    assert report.furthest in ("a", "new")
    assert [(each.label, each.before, each.now) for each in report.shares] == [("a", 1.0, 0.5), ("new", 0.0, 0.5)]


def test_of_many_labels_ten_are_told() -> None:
    """The most frequent by name, all others together; the shares still sum to one."""
    labels = [f"l{n % 40:02}" for n in range(REFERENCE_LABELS + WINDOW_LABELS)]
    report = told(shown(*labels))
    assert len(report.shares) == NAMED_MAX
    assert report.shares[-1].label == OTHERS
    assert sum(each.now for each in report.shares) == pytest.approx(1)


def test_numbers_are_told_by_mean_and_spread() -> None:
    """The effect is the distance of the means in standard deviations; large numbers lose no digits."""
    rng = random.Random(3)
    numbers = [1e9 + rng.gauss(0, 2) for _ in range(REFERENCE_LABELS)]
    numbers += [1e9 + rng.gauss(1, 2) for _ in range(WINDOW_LABELS)]
    report = told(shown(*numbers, numeric=True))
    assert report.mean is not None
    assert report.mean_before is not None
    assert report.mean - report.mean_before == pytest.approx(1, abs=0.3)
    assert report.sd == pytest.approx(2, rel=0.1)
    assert report.effect == pytest.approx(0.5, abs=0.15)


def test_a_constant_that_becomes_another_has_a_finite_effect() -> None:
    """JSON knows no infinity."""
    report = told(shown(*[3.0] * REFERENCE_LABELS, *[4.0] * WINDOW_LABELS, numeric=True))
    assert report.effect == 100.0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_chance_alone_stays_far_below_the_bound_that_ships(share: float) -> None:
    """Over 40,000 labels that do not change, whatever their share."""
    rng, balance, most = random.Random(7), LabelBalance(numeric=False), 0.0
    for n in range(40_000):
        balance.update(rng.random() < share)
        report = balance.report() if not n % 100 else None
        most = max(most, report.effect if report else 0.0)
    assert 0 < most < 0.35


@pytest.mark.parametrize("numeric", [False, True])
def test_a_checkpoint_keeps_it(numeric: bool) -> None:
    """Wherever it is taken, the rest is told as without."""
    rng = random.Random(5)
    labels = [rng.gauss(0, 1) if numeric else rng.choice("abc") for _ in range(1_700)]
    straight = told(shown(*labels, numeric=numeric))
    for cut in (0, 250, REFERENCE_LABELS, 1_234):
        again = LabelBalance(numeric=numeric)
        again.restore(shown(*labels[:cut], numeric=numeric).state())
        for each in labels[cut:]:
            again.update(each)
        assert again.report() == straight


def test_another_champion_begins_with_labels_of_its_own() -> None:
    """What it is compared with is what it found; a checkpoint between changes nothing."""
    balance = shown(*["a"] * REFERENCE_LABELS, *["b"] * WINDOW_LABELS)
    balance.start_over()
    assert balance.report() is None
    for _ in range(REFERENCE_LABELS + WINDOW_LABELS):
        balance.update("b")
    assert told(balance).effect == 0


def told_by(lane: Lane) -> LabelBalanceReport | None:
    report = lane.report_between(mark="1")
    assert report is not None
    return report.balance


def test_a_lane_reports_it_and_a_checkpoint_keeps_it() -> None:
    """The labels of every event that it learns."""
    lane = lane_of()
    for n in range(REFERENCE_LABELS + WINDOW_LABELS):
        lane.on_event(event(n, y=n % 4 == 0, c=n % 4 == 0))
    found = told_by(twin_of(lane))
    assert found is not None
    assert [(each.label, each.now) for each in found.shares] == [("false", 0.75), ("true", 0.25)]


def test_a_swap_begins_it_anew() -> None:
    """The new champion is compared with what it finds."""
    lane = contested(Reads("s"))
    balance = lane.observed.balance
    assert sum(balance.state()["reference"].values()) == lane.events
    while lane.version < 2:
        fed(lane, 1, c=False)
    assert sum(balance.state()["reference"].values()) == 0
    assert lane.events > 0

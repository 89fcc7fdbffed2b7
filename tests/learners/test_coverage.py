"""Coverage: which share of the labels is in by which age, however often events come."""

import pytest

from learners.labels.coverage import SLOTS_MAX, WIDTH_MAX_S, Counts

DAY_S = 86_400.0


def counted(*, every_s: float, days: float, label_after_s: float) -> Counts:
    """Events at even distances, each with its label so much later, if that has come by the end."""
    counts, end_s = Counts(), days * DAY_S
    for n in range(int(end_s / every_s)):
        asked_s = n * every_s
        counts.asked(asked_s)
        if asked_s + label_after_s <= end_s:
            counts.labelled(asked_s, asked_s + label_after_s, loss=0.25, positive=n % 10 == 0)
    return counts


@pytest.mark.parametrize("every_s", [9.0, 60.0, 3600.0])
def test_ages_of_days_are_told_however_often_events_come(every_s: float) -> None:
    """Labels after three days, over twelve: none by a day, all by three, and older ones are judged by themselves."""
    told = counted(every_s=every_s, days=12, label_after_s=3 * DAY_S).told(now_ts=12 * DAY_S)
    shares = {each.age_s: each.share for each in told.by_age}
    assert (shares[3600.0], shares[DAY_S], shares[3 * DAY_S], shares[7 * DAY_S]) == (0.0, 0.0, 1.0, 1.0)
    assert told.mature_age_s == 3 * DAY_S
    assert told.mature_loss == 0.25
    assert told.mature_positives == pytest.approx(0.1, abs=0.02)


def test_a_gap_of_a_year_costs_no_more_than_it_must() -> None:
    """What lies before it is one span in the end, and the spans grow no longer than the oldest age asks for."""
    counts = Counts()
    for n in range(500):
        counts.asked(365 * DAY_S * (n // 250) + 60.0 * n)
    assert len(counts.slots) <= SLOTS_MAX
    for n in range(500):
        counts.asked(365 * DAY_S * n)
    assert len(counts.slots) <= SLOTS_MAX
    assert counts.width_s < 2 * WIDTH_MAX_S
    assert sum(each.asked for each in counts.slots.values()) == 1000

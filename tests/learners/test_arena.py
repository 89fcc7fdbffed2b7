"""The arena against its mathematics: false swaps between equals, power, and an interval that may be looked at always.

Every figure is of seeded streams of paired differences in {−1, 0, 1}; the bounds are three standard errors wide.
"""

import random
import statistics
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import dummy

from anabranch import statetree
from anabranch.messages import TrainedOn
from config.loading import build
from learners.arena.constraints import HardConstraints
from learners.arena.evidence import EVIDENCE_MAX, LAMBDAS, Contest, Interval
from learners.arena.lifecycle import Lifecycle
from learners.arena.members import Cause, Member
from learners.arena.shadows import Shadows
from learners.models.tasks import Task

DIFFERENCES = st.lists(st.floats(-1, 1), max_size=60)


def differences(rng: random.Random, *, disagree: float, advantage: float) -> Iterator[float]:
    """Champion's loss less shadow's, of two classifiers that disagree on a share of the events."""
    shadow_right = (disagree + advantage) / 2
    while True:
        u = rng.random()
        yield 1.0 if u < shadow_right else -1.0 if u < disagree else 0.0


def false_swaps(*, events: int, win_at: float, seed: int) -> float:
    """Swaps per 100,000 events between exact equals; a new contest after each."""
    stream = differences(random.Random(seed), disagree=0.1, advantage=0.0)
    contest, swaps = Contest(), 0
    for _ in range(events):
        if contest.update(next(stream)) >= win_at:
            contest, swaps = Contest(), swaps + 1
    return swaps * 100_000 / events


def events_to_swap(*, advantage: float, tied_events: int, seed: int) -> int:
    """Events until a shadow wins that has been no better for `tied_events`."""
    rng = random.Random(seed)
    contest = Contest()
    tied = differences(rng, disagree=0.1, advantage=0.0)
    better = differences(rng, disagree=0.1, advantage=advantage)
    for _ in range(tied_events):
        if contest.update(next(tied)) >= 10_000:
            contest = Contest()
    return next(n for n in range(1, 1_000_000) if contest.update(next(better)) >= 10_000)


def test_equals_swap_falsely_once_in_1000_events_on_average() -> None:
    """A = 1e3, seed 1, 400,000 events: 95 swaps per 100k (the bound is 100)."""
    assert false_swaps(events=400_000, win_at=1e3, seed=1) == pytest.approx(95, abs=3 * (95 / 4) ** 0.5)


def test_equals_swap_falsely_once_in_10000_events_on_average() -> None:
    """A = 1e4, seed 1, 1,000,000 events: 9.5 swaps per 100k (the bound is 10)."""
    assert false_swaps(events=1_000_000, win_at=1e4, seed=1) == pytest.approx(9.5, abs=3 * (9.5 / 10) ** 0.5)


@pytest.mark.parametrize(
    ("advantage", "tied_events", "median"),
    [(0.02, 0, 1550), (0.05, 0, 440), (0.02, 5000, 880), (0.05, 5000, 300)],
)
def test_a_better_shadow_wins_soon(advantage: float, tied_events: int, median: int) -> None:
    """A = 1e4, 10 % disagreement, seeds 0 to 100: a newcomer takes longer than one that has been an equal for long."""
    events = [events_to_swap(advantage=advantage, tied_events=tied_events, seed=seed) for seed in range(101)]
    assert statistics.median(events) == pytest.approx(median, rel=0.2)


def mcnemar_rejects(stream: list[float]) -> bool:
    """Whether McNemar's test, looked at on every event with 20 disagreements or more, ever says p < 5 %."""
    better = worse = 0
    for d in stream:
        better, worse = better + (d > 0), worse + (d < 0)
        if better + worse >= 20 and (better - worse) ** 2 > 3.841 * (better + worse):
            return True
    return False


def test_peeking_is_what_the_evidence_allows_and_mcnemar_does_not() -> None:
    """Equals over 20,000 events, seeds 0 to 59: McNemar rejects in a third of the runs or more, A = 1e5 in few."""
    ours = theirs = 0
    for seed in range(60):
        rng = random.Random(seed)
        stream = rng.choices([0.0, 1.0, -1.0], [0.9, 0.05, 0.05], k=20_000)
        contest = Contest()
        ours += any(contest.update(d) >= 1e5 for d in stream)
        theirs += mcnemar_rejects(stream)
    assert theirs / 60 > 0.25
    assert ours / 60 < 0.1


@pytest.mark.parametrize(("disagree", "advantage"), [(0.1, 0.0), (0.1, 0.02), (0.5, 0.3), (1.0, -0.9)])
def test_the_interval_holds_the_truth_at_every_event(disagree: float, advantage: float) -> None:
    """In at least 95 % of 120 runs (seeds 0 to 119) the true gain never leaves it in 2,000 events."""
    covered = 0
    for seed in range(120):
        interval = Interval()
        stream = differences(random.Random(seed), disagree=disagree, advantage=advantage)
        covered += all(_holds(interval, next(stream), advantage) for _ in range(2000))
    assert covered / 120 >= 0.95


def _holds(interval: Interval, d: float, truth: float) -> bool:
    interval.update(d)
    low, high = interval.ends()
    return low <= truth <= high


def test_the_interval_narrows() -> None:
    """An interval that held everything would be no use: 10 % disagreement, 20,000 events, seed 3."""
    interval = Interval()
    stream = differences(random.Random(3), disagree=0.1, advantage=0.02)
    for _ in range(20_000):
        interval.update(next(stream))
    low, high = interval.ends()
    assert 0 < low < 0.02 < high < 0.04


@given(DIFFERENCES, st.integers(1, 50))
def test_a_tie_adds_one_and_takes_nothing(before: list[float], ties: int) -> None:
    """Evidence never decreases through a tie, and grows by no more than one an event."""
    contest = Contest()
    for d in before:
        contest.update(d)
    at = contest.evidence
    for n in range(1, ties + 1):
        assert contest.update(0.0) == pytest.approx(at + n)


@given(DIFFERENCES, st.floats(0, 0.5))
def test_the_evidence_is_the_e_detector_of_the_paper(stream: list[float], min_gain: float) -> None:
    """M ← (M + 1)(1 + λx) on every event, averaged over λ: counting the ties apart changes nothing."""
    contest, powers = Contest(min_gain=min_gain), [0.0] * len(LAMBDAS)
    for d in stream:
        x = (d - min_gain) / (1 + min_gain)
        powers = [(m + 1) * (1 + lam * x) for m, lam in zip(powers, LAMBDAS, strict=True)]
        assert contest.update(d) == pytest.approx(sum(powers) / len(powers))


@given(DIFFERENCES, DIFFERENCES)
def test_a_contest_goes_on_from_its_state(before: list[float], after: list[float]) -> None:
    """To the last bit, wherever it was interrupted."""
    contest, twin = Contest(), Contest()
    for d in before:
        contest.update(d)
    twin.restore(statetree.decode(statetree.encode(contest.state())))
    assert [contest.update(d) for d in after] == [twin.update(d) for d in after]
    assert (contest.state(), contest.gain, contest.events) == (twin.state(), twin.gain, twin.events)


def test_a_gain_below_the_least_useful_does_not_win() -> None:
    """With `min_gain` = 5 % an advantage of 2 % is held back for 100,000 events (seed 4), one of 15 % is not."""
    for advantage, wins in ((0.02, False), (0.15, True)):
        contest = Contest(min_gain=0.05)
        stream = differences(random.Random(4), disagree=0.2, advantage=advantage)
        assert any(contest.update(next(stream)) >= 10_000 for _ in range(100_000)) is wins


def test_evidence_stays_finite() -> None:
    """A winner that a hard constraint holds back gathers evidence for ever, and can still be reported."""
    contest = Contest()
    for _ in range(3000):
        contest.update(1.0)
    assert 1e200 < contest.evidence <= EVIDENCE_MAX


def equals(count: int, *, false_swap_every: float) -> Shadows:
    """An arena of so many shadows."""
    table = {"name": "m", "task": "binary", "model": {"factory": "a:b"}}
    settings = build({**table, "arena": {"false_swap_every": false_swap_every}})
    task = Task(settings, wants_proba=False)
    life = Lifecycle()
    shadows = Shadows(settings.arena, constraints=HardConstraints(settings, task=task), lifecycle=life)
    for n in range(count):
        model = dummy.NoChangeClassifier()
        cause, trained_on = Cause("trigger", "1"), TrainedOn()
        member = Member(f"s{n}", model, lifecycle=life, task=task, trained_on=trained_on, since=0, cause=cause)
        shadows.enter(member, reason="")
    return shadows


def test_more_shadows_do_not_mean_more_false_swaps() -> None:
    """With C shadows a win takes A·C: four equals, A = 1e3, seed 5, 100,000 events stay below 100 swaps per 100k."""
    shadows, rng, swaps = equals(4, false_swap_every=1000.0), random.Random(5), 0
    assert shadows.wins_at == 4000.0
    for _ in range(100_000):
        for member in shadows.members:
            member.contest.update(rng.choices([0.0, 1.0, -1.0], [0.9, 0.05, 0.05])[0])
        if shadows.ahead():
            shadows.start_over()
            swaps += 1
    assert 20 < swaps < 100

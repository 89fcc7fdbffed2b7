"""The lane: one event's way through champion, shadows, detectors and arena; and that it is a pure fold."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch import statetree
from anabranch.errors import LearnError
from anabranch.events import AcceptedEvent
from anabranch.messages import DriftSignal, LogRange, ModelReport
from config.loading import build
from detectors.watch import Watch
from learners.arena.evidence import Contest
from learners.emitted import NOTHING, Promotion
from learners.lane import Lane
from learners.models import catalogue
from learners.retraining import Job, JobResult
from support.command_line import python
from support.lanes import (
    QUICK,
    Reads,
    ReadsNumber,
    brought,
    contested,
    digest,
    event,
    job_of,
    label,
    lane_of,
    names,
    shown,
    spoken,
    twin_of,
)
from support.live_lanes import Driver, comparable, live, mixed, stream, whole_run

# ── test, then learn ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_is_predicted_before_it_is_learned() -> None:
    """A model that repeats the last label is never right where labels alternate."""
    table = {**QUICK, "model": {"steps": [{"use": "dummy.NoChangeClassifier"}]}}
    lane = Lane(build(table), catalogue.build(build(table).model, seed=1), watch=Watch(build(table)))
    for n in range(100):
        lane.on_event(event(n, y=n % 2 == 0))
    assert lane.scores.values() == {"accuracy": 0.0}
    assert lane.champion.model.predict_one({}) is False


def test_a_label_that_comes_at_once_is_as_one_brought_along() -> None:
    """Asking and then labelling each event says and leaves the same as both in one, swap and all."""
    together, apart = contested(Reads("s")), contested(Reads("s"))
    said: list[list[Any]] = [[], []]
    for n in range(60, 160):
        said[0] += spoken(together.on_event(event(n, c=False)))
        assert apart.on_event(event(n, y=None, c=False)) is NOTHING
        again = event(n, c=False)
        said[1] += spoken(apart.on_label(brought(again), by=again))
    assert [type(each) for each in said[0]] == [Promotion]
    assert [comparable(each) for each in said[0]] == [comparable(each) for each in said[1]]
    assert digest(together) == digest(apart)


def test_a_late_label_judges_the_prediction_made_then() -> None:
    """Champion and shadow are scored on what they answered when asked, not on what they would answer now."""
    lane = live("tree.HoeffdingTreeClassifier")
    rng, asked, said_then = random.Random(3), [], []
    for n in range(600):
        each = mixed(n, rng)
        said_then.append(lane.champion.model.predict_one(each.x))
        lane.on_event(each._replace(y=None))
        asked.append(each)
        if n >= 200:
            lane.on_label(label(asked[n - 200].id, asked[n - 200].y))
    right = [y == each.y for y, each in zip(said_then, asked[:400], strict=False) if y is not None]
    assert 0 < len(right) < 400
    assert lane.scores.values()["accuracy"] == sum(right) / len(right)
    assert (lane.events, len(lane.join)) == (400, 200)


def test_a_late_label_judges_each_shadow_on_its_own_answer() -> None:
    """The paired difference is that of the moment of asking, for those who were asked then."""
    lane = contested(Reads("s"))
    lane.on_event(event(100, y=None, c=False, s=True))
    lane.on_event(event(101, y=None, c=True, s=False))
    lane.on_event(event(102, y=None, c=False, s=True))
    expected = Contest()
    for n, d in ((101, -1.0), (100, 1.0), (102, 1.0)):
        lane.on_label(label(f"e{n}", True))
        expected.update(d)
    assert lane.shadows.members[0].contest.state() == expected.state()


def test_a_member_that_was_not_asked_is_not_judged() -> None:
    """A shadow that entered between question and label only learns from it."""
    lane = lane_of()
    job = job_of(lane)
    lane.on_event(event(100, y=None, c=False))
    lane.admit(JobResult(job.id, (Reads("s"),)))
    lane.on_label(label("e100", True))
    assert (lane.shadows.members[0].contest.events, lane.shadows.members[0].model.learned) == (0, 1)


def test_the_served_answer_is_scored_though_another_champion_answers_now() -> None:
    """After a swap, labels of questions from before still score what was served."""
    lane = contested(Reads("s"))
    for n in range(200, 205):
        lane.on_event(event(n, y=None, c=False))
    before = lane.scores.running.metrics[0].cm.n_samples
    shown(lane, 60, c=False)
    assert lane.champion.model.feature == "s"
    wrong_before = lane.scores.running.metrics[0].cm.n_samples - lane.scores.running.metrics[0].cm.total_true_positives
    for n in range(200, 205):
        lane.on_label(label(f"e{n}", True))
    matrix = lane.scores.running.metrics[0].cm
    assert matrix.n_samples == before + 65
    assert matrix.n_samples - matrix.total_true_positives == wrong_before + 5


def test_what_waits_for_labels_is_bounded() -> None:
    """Beyond `pending_max` the oldest question is given up; its label is passed over."""
    lane = lane_of(pending_max=3)
    for n in range(5):
        lane.on_event(event(n, y=None))
        while lane.end_due() is not None:
            pass
    for n in range(2, 5):
        lane.on_label(label(f"e{n}", True))
    assert [lane.join.look(label(f"e{n}", True)) for n in range(2)] == ["ended", "ended"]
    assert (lane.events, len(lane.join), lane.champion.model.learned) == (3, 0, 3)


def test_a_label_that_nobody_waits_for_changes_nothing() -> None:
    """An unknown id, and the second label for an event."""
    lane = lane_of()
    lane.on_event(event(0, y=None))
    lane.on_label(label("e0", True))
    before = digest(lane)
    again, other, early = label("e0", True), label("e0", False), label("nobody", False)
    assert [lane.join.look(each) for each in (again, other, early)] == ["duplicate", "again", "early"]
    assert lane.on_label(early) is NOTHING
    assert digest(lane) == before


# ── drift and recruits ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_drift_gives_a_signal_and_a_job() -> None:
    """The champion is right 50 times, then wrong: the signal names the change, the job the last events."""
    lane = lane_of()
    shown(lane, 50)
    signal, job = shown(lane, 10, c=False)
    assert isinstance(signal, DriftSignal)
    assert isinstance(job, Job)
    assert (signal.detector, signal.offset, signal.event_number, signal.triggered) == (
        "up",
        job.event_number - 1,
        job.event_number,
        True,
    )
    assert signal.change_point == 51
    assert (job.id, job.reason) == (f"m-{job.event_number}", "drift: up")
    assert [tuple(run) for run in job.plans[0].runs] == [(0, job.event_number - 10, job.event_number)]


def test_one_recruit_is_trained_for_each_distinct_range() -> None:
    """The detector's window and the last N may be the same events; the log is as short as it is."""
    recruits = [{"on": "detector-window", "events": 20}, {"on": "last", "events": 20}, {"on": "last", "events": 9999}]
    job = job_of(lane_of(retrain={"recruits": recruits}))
    assert [plan.name for plan in job.plans] == [
        f"r{job.event_number}-detector-window-20",
        f"r{job.event_number}-last-{job.event_number}",
    ]


def test_a_recruit_learns_the_gap_and_enters() -> None:
    """What the champion learned while the job ran is learned too, and named in `trained_on`."""
    lane = lane_of()
    job = job_of(lane)
    shown(lane, 7)
    model = Reads("s")
    assert spoken(lane.admit(JobResult(job.id, (model,)))) == []
    (member,) = lane.shadows.members
    assert (model.learned, member.kind, member.name) == (7, "recruit", job.plans[0].name)
    assert member.trained_on.events == 17
    assert member.trained_on.ranges == (LogRange(partition=0, start=job.event_number - 10, end=job.event_number + 7),)
    shown(lane, 3)
    assert (model.learned, member.contest.events) == (10, 3)


def test_a_job_that_failed_is_reported_and_costs_nothing() -> None:
    """The report names it; the lane goes on."""
    lane = lane_of(publish={"report_events": 100})
    job = job_of(lane)
    before = digest(lane)
    lane.admit(JobResult(job.id, failure="out of memory"))
    assert (len(lane.jobs), digest(lane)) == (0, before)
    (report,) = [said for said in shown(lane, 100 - lane.events) if isinstance(said, ModelReport)]
    assert report.notes == (f"job {job.id}: out of memory",)


def test_a_job_that_takes_too_long_is_given_up() -> None:
    """Beyond `gap_max` events its recruits are not let in any more."""
    lane = lane_of(retrain={"gap_max": 5})
    job = job_of(lane)
    shown(lane, 5)
    assert list(lane.jobs.under_way) == [job.id]
    shown(lane, 1)
    assert len(lane.jobs) == 0
    assert lane.notes == [f"job {job.id} given up: 5 events passed without it"]
    lane.admit(JobResult(job.id, (Reads("s"),)))
    assert names(lane) == []


def test_no_more_jobs_than_allowed_are_under_way() -> None:
    """A further trigger is published and passed over."""
    lane = lane_of(retrain={"jobs_max": 1})
    job_of(lane)
    said = shown(lane, 100) + shown(lane, 50, c=False)
    assert [type(each) for each in said if not isinstance(each, Promotion)] == [DriftSignal]
    assert len(lane.jobs) == 1
    assert "passed over: jobs: 1 under way" in lane.notes[0]


def test_no_more_shadows_than_allowed_are_in_the_arena() -> None:
    """The oldest recruit leaves for the newest."""
    lane = contested(Reads("s"), Reads("s"), Reads("s"), arena={"shadows_max": 2})
    assert names(lane) == ["r56-last-11", "r56-last-12"]
    assert lane.notes == ["r56-last-10 left for r56-last-12"]


def test_a_recruit_that_does_not_win_in_time_leaves() -> None:
    """After `contest_events`, a tie all along."""
    lane = contested(Reads("s"), arena={"contest_events": 60})
    shown(lane, 59)
    assert names(lane) == ["r56-last-10"]
    assert shown(lane, 1) == []
    assert (names(lane), lane.notes) == ([], ["r56-last-10 left: no win in its time"])


# ── the swap ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_champion_is_announced_when_it_has_warmed_up() -> None:
    """Version 1, on the event on which `warm_up_events` are learned; then refreshed."""
    lane = lane_of(publish={"refresh_events": 20})
    said = shown(lane, 40)
    assert [(each.kind, each.version, each.offset) for each in said] == [
        ("first", 1, 4),
        ("refresh", 2, 24),
    ]
    assert len(said[0].canary) == 5


def events_to_win(win_at: float) -> int:
    """Events a shadow needs that is right where the champion is wrong, every time."""
    contest = Contest()
    return next(n for n in range(1, 1000) if contest.update(1.0) >= win_at)


def test_a_better_shadow_becomes_champion() -> None:
    """On the very event on which its evidence reaches A, with its verdict and what it was trained on."""
    lane = contested(Reads("s"))
    (recruit,) = lane.shadows.members
    at = lane.events + events_to_win(100.0)
    (swap,) = shown(lane, 40, c=False)
    assert (swap.kind, swap.version, swap.event_number, swap.offset) == ("swap", 2, at, at - 1)
    assert (swap.displaced_version, swap.restores, swap.member) == (1, None, "r56-last-10")
    assert (swap.verdict.events, swap.verdict.gain) == (events_to_win(100.0), 1.0)
    assert swap.verdict.evidence >= 1.0
    assert swap.model is recruit.model is lane.champion.model
    assert swap.trained_on == recruit.trained_on
    assert [(each.name, each.kind, each.version) for each in lane.shadows.members] == [("first", "displaced", 1)]


def test_a_new_champion_is_watched_afresh() -> None:
    """The detectors do not measure it against the errors of the one that it displaced."""
    lane = contested(Reads("s"))
    said: list[Any] = []
    while not said:
        said = [each for each in shown(lane, 1, c=False) if isinstance(each, Promotion)]
    fresh = Watch(lane.settings)
    assert statetree.digest(lane.watch.state()["signals"]) == statetree.digest(fresh.state()["signals"])


def test_a_win_takes_more_evidence_among_more_shadows() -> None:
    """A·C: with three of them it takes longer than alone."""
    lane = contested(Reads("s"), Reads("c"), Reads("c"))
    (swap,) = shown(lane, 40, c=False)
    assert swap.verdict.events == events_to_win(300.0) > events_to_win(100.0)


def test_the_displaced_champion_comes_back_if_it_is_better_after_all() -> None:
    """A rollback is a new version that names the one it restores."""
    lane = contested(Reads("s"))
    first = lane.champion.model
    shown(lane, 40, c=False)
    (rollback,) = [each for each in shown(lane, 40, s=False) if isinstance(each, Promotion)]
    assert (rollback.kind, rollback.version, rollback.restores, rollback.displaced_version) == ("rollback", 3, 1, 2)
    assert (rollback.reason, rollback.member) == ("version 1 is better after all", "first")
    assert lane.champion.model is first
    assert [(each.kind, each.version) for each in lane.shadows.members] == [("displaced", 2)]


def test_the_displaced_champion_leaves_after_its_probation() -> None:
    """After `probation_events` without a win; with none it never stays."""
    lane = contested(Reads("s"), arena={"probation_events": 30})
    swapped_at = shown(lane, 20, c=False)[0].event_number
    shown(lane, swapped_at + 29 - lane.events)
    assert names(lane) == ["first"]
    shown(lane, 1)
    assert names(lane) == []
    at_once = contested(Reads("s"), arena={"probation_events": 0})
    shown(at_once, 20, c=False)
    assert (at_once.version, names(at_once)) == (2, [])


def test_a_tie_never_swaps() -> None:
    """Neither always the same answer, however long it lasts, nor errors in turn."""
    same = contested(Reads("s"), arena={"contest_events": 10_000})
    assert shown(same, 3000) == []
    assert same.shadows.members[0].contest.evidence == 3000.0
    turns = contested(Reads("s"), arena={"false_swap_every": 10_000, "contest_events": 10_000})
    said = [each for n in range(1500) for each in turns.on_event(event(100 + n, c=n % 2 == 0, s=n % 2 == 1))]
    assert not [each for each in said if isinstance(each, Promotion)]


def test_a_winner_must_measure_up() -> None:
    """Better than the champion is not enough for `min_accuracy`; once it is good enough, it proves itself again."""
    lane = contested(Reads("s"), constraints={"window": 40, "min_accuracy": 0.8})
    held = [lane.on_event(event(100 + n, c=False, s=n % 2 == 0)) for n in range(80)]
    assert not [each for said in held for each in said if isinstance(each, Promotion)]
    assert lane.shadows.members[0].contest.events < 80
    (swap,) = [each for each in shown(lane, 60, c=False) if isinstance(each, Promotion)]
    assert swap.constraints["min_accuracy"] >= 0.8


def test_two_bounds_on_one_metric_hold_both() -> None:
    """`min_` and `max_` of the same metric; too good to be true is a reason, too."""
    lane = contested(Reads("s"), constraints={"min_accuracy": 0.2, "max_accuracy": 0.9})
    assert not [each for each in shown(lane, 40, c=False) if isinstance(each, Promotion)]
    assert set(lane.constraints.measure(lane.shadows.members[0])) == {"min_accuracy", "max_accuracy"}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), None])
def test_a_regressor_that_answers_no_number_is_displaced(wrong: float | None) -> None:
    """Diverged weights do not spoil the scale on which its successor is compared."""
    settings = build({**QUICK, "task": "regression", "scores": {}, "constraints": {"max_mae": 0.5}})
    lane = Lane(settings, ReadsNumber("c"), watch=Watch(settings))
    said = []
    for n in range(120):
        x = {"c": 0.2 if n < 60 else wrong, "s": 0.2}
        for each in lane.on_event(AcceptedEvent(f"e{n}", x, 0.0, 0.0, 0, n)):
            said.append(each)
            if isinstance(each, Job):
                lane.admit(JobResult(each.id, (ReadsNumber("s"),)))
    assert [each.kind for each in said if isinstance(each, Promotion)] == ["first", "swap"]
    assert lane.champion.model.feature == "s"


# ── what raises ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("x", "said"), [({"s": "raise"}, "cannot predict"), ({"s learns": "raise"}, "cannot learn")])
def test_a_shadow_that_raises_costs_no_event(x: dict[str, Any], said: str) -> None:
    """It is disqualified; the event is learned by all others."""
    lane = contested(Reads("s"), Reads("c"))
    before = (lane.events, lane.champion.model.learned)
    shown(lane, 1, **x)
    assert names(lane) == ["r56-last-11"]
    assert lane.notes == [f"r56-last-10 disqualified: ArithmeticError: {said}"]
    assert (lane.events, lane.champion.model.learned) == (before[0] + 1, before[1] + 1)


def test_a_recruit_that_raises_on_the_gap_does_not_enter() -> None:
    """The others of its job do."""
    lane = lane_of(retrain={"recruits": [{"on": "last", "events": 5}, {"on": "last", "events": 6}]})
    job = job_of(lane)
    shown(lane, 1, **{"s learns": "raise"})
    lane.admit(JobResult(job.id, (Reads("s"), Reads("c"))))
    assert names(lane) == ["r56-last-6"]
    assert lane.notes == ["r56-last-5 disqualified: ArithmeticError: cannot learn"]


@pytest.mark.parametrize("x", [{"c": "raise"}, {"c learns": "raise"}])
def test_a_champion_that_raises_says_where(x: dict[str, Any]) -> None:
    """The lane cannot be trusted after it; the error has the place to leave out."""
    lane = lane_of()
    shown(lane, 3)
    with pytest.raises(LearnError) as raised:
        lane.on_event(AcceptedEvent("bad", {"c": True, **x}, True, 0.0, 2, 77))
    assert (raised.value.partition, raised.value.offset) == (2, 77)
    assert isinstance(raised.value.cause, ArithmeticError)


# ── the whole, with real models ─────────────────────────────────────────────────────────────────────────────────────


def test_the_whole_loop_recruits_and_swaps() -> None:
    """Three turns of the concept are answered: what the tests below compare has jobs, swaps and reports in it."""
    driver = Driver(live(), stream()).run(stream())
    kinds = [each.kind for each in driver.said if isinstance(each, Promotion)]
    assert kinds.count("swap") + kinds.count("rollback") >= 2
    assert sum(isinstance(each, Job) for each in driver.said) >= 2
    assert sum(isinstance(each, ModelReport) for each in driver.said) == 8
    assert driver.lane.join


@settings(max_examples=4)
@given(places=st.sets(st.integers(0, 899), min_size=6, max_size=6))
def test_a_lane_goes_on_from_its_state_at_any_event(places: set[int]) -> None:
    """With shadows, jobs and late labels under way: the same messages and the same state, bit for bit."""
    events, twins = stream(), dict[int, Driver]()
    straight, told = Driver(live(), events), dict[int, int]()
    for at, each in enumerate(events):
        if at in places:
            twins[at], told[at] = Driver(live(), events), len(straight.said)
            twins[at].lane = twin_of(straight.lane)
            assert digest(twins[at].lane) == digest(straight.lane)
        straight.run([each])
    for at, twin in twins.items():
        later = [
            [comparable(each) for each in said] for said in (straight.said[told[at] :], twin.run(events[at:]).said)
        ]
        assert later[0] == later[1]
        assert digest(twin.lane) == digest(straight.lane)
        assert statetree.digest(twin.lane.state()) == statetree.digest(straight.lane.state())


def test_a_lane_goes_on_from_its_state_after_every_event_of_a_swap() -> None:
    """Also of one whose shadow raises, and while the displaced champion is on probation."""
    events = [event(100 + n, c=n > 25, s="raise" if n == 45 else n < 25) for n in range(60)]
    for at in range(len(events)):
        lane = contested(Reads("s"), Reads("c"))
        for each in events[:at]:
            lane.on_event(each)
        twin = twin_of(lane)
        later = [[raises_or_says(one, each) for each in events[at:]] for one in (lane, twin)]
        assert later[0] == later[1]
        assert digest(lane) == digest(twin)


def raises_or_says(lane: Lane, each: AcceptedEvent) -> list[Any]:
    """What a lane says, or that its champion raised."""
    try:
        return [comparable(said) for said in lane.on_event(each)]
    except LearnError as error:
        return [str(error)]


@pytest.mark.parametrize("hash_seed", ["0", "1", "77"])
def test_the_same_stream_gives_the_same_state_in_any_process(hash_seed: str) -> None:
    """Also where Python hashes strings differently, with words as features."""
    line = "from support import live_lanes; print(live_lanes.whole_run())"
    assert python("-c", line, PYTHONHASHSEED=hash_seed).strip() == whole_run()


@pytest.mark.parametrize("outlier", [None, 1e9, 1e100])
def test_regression_signals_are_about_the_error_and_not_its_scale(outlier: float | None) -> None:
    """No signal while the model learns and then errs by the same; one after a drift, whatever one label was."""
    steps = [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LinearRegression", "loss": {
        "use": "optim.losses.Huber", "epsilon": 1.0}}]  # fmt: skip
    made = build({"name": "m", "task": "regression", "model": {"steps": steps}, "retrain": {"recruits": []}})
    lane = Lane(made, catalogue.build(made.model, seed=1), watch=Watch(made))
    rng, fired = random.Random(1), []
    for n in range(9000):
        x = {"a": rng.uniform(-1, 1), "b": rng.uniform(-1, 1)}
        y = 20 + (30 if n < 8000 else -30) * x["a"] - 20 * x["b"] + rng.gauss(0, 1)
        if n == 7000 and outlier is not None:
            y = outlier
        said = lane.on_event(AcceptedEvent(f"e{n}", dict(x), y, 1.6e9, 0, n))
        fired += [each.event_number for each in said if isinstance(each, DriftSignal)]
    assert fired
    assert min(fired) > 8000

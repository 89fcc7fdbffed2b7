"""The life of a model: its steps, told in order, and what a rollback that repeats does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.messages import LifeState, Transition
from learners.arena.lifecycle import MOVES, Lifecycle
from learners.emitted import Promotion
from learners.lane import Lane
from learners.retraining import JobResult
from support.lanes import Reads, contested, event, job_of, lane_of, names, spoken


def told(lane: Lane, count: int, **x: Any) -> list[Transition]:
    """The steps that are told over so many events with these answers."""
    said = [each for n in range(lane.events, lane.events + count) for each in lane.on_event(event(n, **x))]
    return [each for each in said if isinstance(each, Transition) and each.after != "recruiting"]


def steps(several: list[Transition]) -> list[tuple[str, str, str]]:
    """Steps in short."""
    return [(each.member, each.before, each.after) for each in several]


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=12))
def test_no_step_leads_where_the_drawing_has_no_arrow(wanted: list[LifeState]) -> None:
    """Steps along `MOVES` are told as they were; any other one is a bug that shows at once."""
    lifecycle, walked = Lifecycle(), []
    for after in wanted:
        before = lifecycle.states.get("m", "new")
        if after in MOVES[before]:
            lifecycle.move("m", after, reason="")
            walked.append((before, after))
        else:
            with pytest.raises(AssertionError, match=f"from {before} to {after}"):
                lifecycle.move("m", after, reason="")
    assert [(step.before, step.after) for step in lifecycle.emit()] == walked


def test_each_step_of_a_recruit_that_wins_is_told() -> None:
    """From the trigger to serving for good, with the champion that it displaced."""
    lane = lane_of(arena={"probation_events": 30})
    job = job_of(lane)
    name = job.plans[0].name
    assert lane.lifecycle.states == {"first": "serving", name: "recruiting"}
    admitted = lane.admit(JobResult(job.id, (Reads("s"),)))
    assert [type(each) for each in admitted] == [Transition]
    assert steps(admitted) == [(name, "recruiting", "arena")]  # type: ignore[arg-type]
    assert steps(told(lane, 20, c=False)) == [(name, "arena", "probation"), ("first", "serving", "displaced")]
    over = told(lane, 60)
    assert steps(over) == [(name, "probation", "serving"), ("first", "displaced", "library")]
    assert over[0].level == "info"


def test_a_step_has_an_id_of_its_own() -> None:
    """So that a step that is told twice after a restart can be recognised."""
    lane = contested(Reads("s"), Reads("c"))
    several = told(lane, 40, c=False)
    assert len({each.id for each in several}) == len(several) == 2


def test_a_rollback_tells_both_sides() -> None:
    """The displaced champion serves again at once; the other is displaced, and may still come back."""
    lane = contested(Reads("s"))
    told(lane, 40, c=False)
    assert steps(told(lane, 20, s=False)) == [
        ("first", "displaced", "serving"),
        ("r56-last-10", "probation", "displaced"),
    ]


def test_two_that_take_turns_raise_an_alert_and_do_not_flap() -> None:
    """Swap, rollback, and then no third exchange within `probation_events`, however often they take turns."""
    lane = contested(Reads("s"), arena={"probation_events": 500})
    said: list[Any] = []
    for n in range(400):
        right = n // 40 % 2 == 1
        said += lane.on_event(event(100 + n, c=right, s=not right))
    assert [each.kind for each in said if isinstance(each, Promotion)] == ["swap", "rollback"]
    alerts = [each for each in said if isinstance(each, Transition) and each.level == "alert"]
    assert alerts
    assert {each.member for each in alerts} == {"r56-last-10"}
    assert alerts[0].reason.startswith("held back: trigger at 56 was rolled back ")


def test_another_recruit_of_the_same_trigger_is_held_back_too() -> None:
    """A rollback counts against all that its trigger brought."""
    lane = contested(Reads("s"), Reads("t"), arena={"probation_events": 500})
    said: list[Any] = []
    for n in range(200):
        turn = n // 40
        answers = {"c": turn == 1, "s": turn == 0, "t": turn > 1}
        said += lane.on_event(event(100 + n, **answers))
    assert [each.kind for each in said if isinstance(each, Promotion)] == ["swap", "rollback"]
    assert any("r56-last-11 held back" in note for note in lane.notes)


def test_after_the_probation_it_may_win_again() -> None:
    """What was rolled back is only held back for a time."""
    lane = contested(Reads("s"), Reads("t"), arena={"probation_events": 60, "contest_events": 4000})
    said: list[Any] = []
    for n in range(300):
        turn = n // 40
        said += lane.on_event(event(100 + n, c=turn == 1, s=turn == 0, t=turn > 1))
    assert [each.kind for each in said if isinstance(each, Promotion)] == ["swap", "rollback", "swap"]
    assert lane.champion.name == "r56-last-11"


def test_a_bad_recruit_never_goes_live() -> None:
    """A planted recruit whose answers are the opposite of the truth, over 3,000 events, champion wrong in 1 of 5."""
    lane = contested(Reads("s"), arena={"contest_events": 4000})
    said = [
        each
        for n in range(3000)
        for each in spoken(lane.on_event(event(100 + n, c=n % 5 != 0, s=n % 5 == 0 and n % 10 != 0)))
    ]
    assert not [each for each in said if isinstance(each, Promotion)]
    assert names(lane) == ["r56-last-10"]

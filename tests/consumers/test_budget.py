"""Costs: what members take is measured outside the lane, and a budget comes in as an input."""

from contextlib import nullcontext
from typing import Any

from anabranch.messages import ModelReport, Transition, decode
from config.loading import build
from consumers.budget import CHANGE_EVENTS, SAMPLED, ComputeBudget
from consumers.stores import MemoryStore
from consumers.timing import SystemClock
from detectors.watch import Watch
from evaluation.simulation.world import FrozenClock, MemoryLog
from learners.lane import Lane
from support.lanes import QUICK, Takes, entrant, event
from support.loops import filled, loop_on, settings_of

CLOCK = FrozenClock()


def lane_of(*shadows_us: float, **more: Any) -> tuple[Lane, ComputeBudget]:
    """A lane whose champion takes 10 µs for each half, with shadows that take longer."""
    settings = build({**QUICK, "detectors": {}, **more})
    lane = Lane(settings, Takes(10.0, CLOCK), watch=Watch(settings))
    lane.on_event(event(0))
    for n, us in enumerate(shadows_us):
        member = entrant(lane, f"s{n}", Takes(us, CLOCK), place=f"s{n}")
        lane.shadows.enter(member, reason="")
    return lane, ComputeBudget(settings, clock=CLOCK)


def run(lane: Lane, costs: ComputeBudget, events: int) -> list[Any]:
    """Batches of 100 with what follows each."""
    said: list[Any] = []
    for _ in range(0, events, 100):
        for number in range(lane.events, lane.events + 100):
            with costs.measured(lane) if costs.on and costs.is_due() else nullcontext():
                said += lane.on_event(event(number))
        change = costs.change(lane)
        if change is not None:
            said += lane.measured(stride=change.stride, too_slow=change.too_slow)
    return said


def shares(lane: Lane) -> list[int]:
    """In how many events each shadow takes part."""
    return [member.stride for member in lane.shadows.members]


def test_shadows_beyond_the_budget_are_sampled_or_paused() -> None:
    """Four times the champion's time: one of 2 stays whole, one of 8 is sampled, one of 30 is paused."""
    lane, costs = lane_of(20.0, 80.0, 300.0, shadows={"budget": 4.0})
    said = run(lane, costs, 1500)
    assert shares(lane) == [1, SAMPLED, 0]
    told = {each.member: each for each in said if isinstance(each, Transition) and "budget" in each.reason}
    assert told["s1"].reason == "takes part in one of 8 events: the budget"
    assert (told["s2"].before, told["s2"].after) == ("arena", "paused")
    assert told["s2"].event_number == 1001


def test_a_paused_shadow_costs_nothing_and_a_sampled_one_an_eighth() -> None:
    """Neither predicts nor learns on the other events."""
    lane, costs = lane_of(20.0, 80.0, 300.0, shadows={"budget": 4.0})
    run(lane, costs, 1200)
    before = [member.contest.events for member in lane.shadows.members]
    run(lane, costs, 800)
    after = [member.contest.events for member in lane.shadows.members]
    assert [b - a for a, b in zip(before, after, strict=True)] == [800, 100, 0]


def test_within_the_budget_nothing_is_changed() -> None:
    """And where no budget is configured, nothing is measured."""
    lane, costs = lane_of(20.0, 20.0, shadows={"budget": 4.5})
    run(lane, costs, 2500)
    assert shares(lane) == [1, 1]
    lane, costs = lane_of(900.0)
    assert not costs.on
    run(lane, costs, 1500)
    assert (costs.times, shares(lane)) == ({}, [1])


def test_one_that_has_become_quicker_takes_part_again() -> None:
    """When the total is well below the budget, and no sooner than so many events after the last change."""
    lane, costs = lane_of(80.0, shadows={"budget": 4.0})
    run(lane, costs, 1100)
    assert shares(lane) == [SAMPLED]
    lane.shadows.members[0].model.us = 10.0
    run(lane, costs, 500)
    assert shares(lane) == [SAMPLED]
    run(lane, costs, 10 * CHANGE_EVENTS)
    assert shares(lane) == [1]


def test_a_prediction_that_takes_too_long_is_known_to_the_lane() -> None:
    """By name, with its microseconds; the champion's own time is no reason."""
    lane, costs = lane_of(20.0, 80.0, constraints={"max_predict_us": 50.0})
    run(lane, costs, 1500)
    assert {name: round(us) for name, us in lane.constraints.too_slow.items()} == {"s1": 80}
    assert shares(lane) == [1, 1]


def test_a_blend_takes_as_long_as_its_members() -> None:
    """Each alone is within the bound, and together they are not: as soon as that is known, the champion answers."""
    lane, costs = lane_of(20.0, 40.0, constraints={"max_predict_us": 50.0})
    lane.blend.mode = "blend"
    run(lane, costs, 900)
    assert lane.blend.judges
    run(lane, costs, 2 * CHANGE_EVENTS)
    assert {name: round(us) for name, us in lane.constraints.too_slow.items()} == {"blend": 70}
    assert not lane.blend.judges


def paced_log() -> MemoryLog:
    """A loop with a portfolio and a budget that is far too small, by the real clock."""
    log = filled(3000)
    settings = settings_of(shadows={"portfolio": "cheap", "budget": 0.5}, publish={"report_events": 500})
    loop_on(log, MemoryStore(), settings, clock=SystemClock()).run(until_end=True)  # type: ignore[arg-type]
    return log


def test_a_budget_is_kept_and_reported_by_the_loop() -> None:
    """Some members are paced; the steps are on `model-lifecycle`, the shares in the reports."""
    log = paced_log()
    steps = [decode(Transition, value) for value in log.values("model-lifecycle")]
    assert any("budget" in step.reason for step in steps)
    last = decode(ModelReport, log.values("model-reports")[-1])
    assert any(member.stride != 1 for member in last.members)
    assert next(member.stride for member in last.members if member.kind == "champion") == 1


def test_a_paused_shadow_does_not_win() -> None:
    """Its evidence is from before the pause; when others leave, less evidence would do."""
    lane, _ = lane_of(10.0, 10.0, arena={**QUICK["arena"], "false_swap_every": 1000})
    good, other = lane.shadows.members
    good.contest.powers = [5000.0] * 7
    lane.measured(stride={good.name: 0}, too_slow={})
    assert lane.shadows.ahead() == []
    other.contest.powers = [2500.0] * 7
    assert lane.shadows.ahead() == [other]


def test_who_was_too_slow_still_is_after_a_restart() -> None:
    """Until somebody has been measured again, what is known stays."""
    lane, _ = lane_of(2000.0, constraints={"max_predict_us": 100.0})
    lane.measured(stride={}, too_slow={"s0": 2000.0})
    run(lane, ComputeBudget(lane.settings, clock=CLOCK), CHANGE_EVENTS)
    change = ComputeBudget(lane.settings, clock=CLOCK).change(lane)
    assert change is None
    assert lane.constraints.too_slow.keys() == {"s0"}

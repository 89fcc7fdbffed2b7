"""Keeping up: shadows give way when more comes in than is learned, and come back when the learner has kept up long."""

from contextlib import nullcontext
from typing import Any

import pytest

from anabranch.messages import ModelReport, Transition, decode
from config.loading import build
from consumers.budget import ComputeBudget
from consumers.headroom import LOOK_EVERY_S, WIDEN_AFTER_S, Headroom
from consumers.stores import MemoryStore
from detectors.watch import Watch
from evaluation.simulation.world import FrozenClock, MemorySource
from learners.lane import Lane
from support.lanes import QUICK, Takes, entrant, event
from support.loops import filled, loop_on, settings_of


class Feed:
    """So many events a second come in, whether they are learned or not; a learner's time passes on its clock."""

    def __init__(self, *shadows_us: float, per_s: float, backlog: int = 0, **more: Any) -> None:
        self.clock = FrozenClock()
        settings = build({**QUICK, "detectors": {}, **more})
        self.lane = Lane(settings, Takes(100.0, self.clock), watch=Watch(settings))
        self.lane.on_event(event(0))
        for n, us in enumerate(shadows_us):
            self.lane.shadows.enter(entrant(self.lane, f"s{n}", Takes(us, self.clock), place=f"s{n}"), reason="")
        self.budget = ComputeBudget(settings, clock=self.clock)
        self.per_s, self.came = per_s, float(backlog)

    def run(self, seconds: float) -> None:
        """Batches of a hundred, or of what is there; where nothing is, time passes."""
        end_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < end_s:
            began_s = self.clock.monotonic_s()
            for _ in range(min(100, int(self.came - self.lane.events))):
                with self.budget.measured(self.lane) if self.budget.on and self.budget.is_due() else nullcontext():
                    self.lane.on_event(event(self.lane.events))
            if self.clock.monotonic_s() == began_s:
                self.clock.advance(0.2)
            self.came += self.per_s * (self.clock.monotonic_s() - began_s)
            self.budget.look(lambda: self.unread, read=self.lane.events)
            change = self.budget.change(self.lane)
            if change is not None:
                self.lane.measured(stride=change.stride, too_slow=change.too_slow)

    @property
    def unread(self) -> int:
        """What has come and is not learned."""
        return int(self.came) - self.lane.events

    @property
    def strides(self) -> list[int]:
        """In how many events each shadow takes part."""
        return [member.stride for member in self.lane.shadows.members]


def test_shadows_give_way_when_more_comes_in_than_is_learned() -> None:
    """An event takes 52 ms and one comes every 40: the slower shadow gives way, and the backlog is worked off."""
    feed = Feed(6000.0, 20_000.0, per_s=25.0)
    feed.run(400.0)
    assert feed.strides == [1, 8]
    before = feed.unread
    feed.run(100.0)
    assert feed.unread < before


def test_a_backlog_that_shrinks_is_no_reason() -> None:
    """A learner that begins behind, and is quicker than what comes, goes on as it is."""
    feed = Feed(6000.0, 20_000.0, per_s=10.0, backlog=10_000)
    feed.run(600.0)
    assert feed.unread > 1000
    assert feed.strides == [1, 1]


def test_nothing_is_measured_while_a_learner_keeps_up() -> None:
    """Taking times takes time."""
    feed = Feed(6000.0, 20_000.0, per_s=10.0)
    feed.run(300.0)
    assert (feed.budget.times, feed.budget.on, feed.strides) == ({}, False, [1, 1])


def test_shadows_come_back_when_the_learner_has_kept_up_for_long() -> None:
    """Twice the budget after ten minutes, until all take part again; then nothing is measured any more."""
    feed = Feed(6000.0, 20_000.0, per_s=25.0)
    feed.run(400.0)
    feed.per_s = 2.0
    feed.run(4 * WIDEN_AFTER_S)
    assert feed.strides == [1, 1]
    assert not feed.budget.on


def test_who_never_was_held_back_is_not_measured_for_more() -> None:
    """After ten minutes of keeping up there is nothing to give back."""
    feed = Feed(100.0, per_s=50.0)
    timed = []
    for _ in range(int(1.5 * WIDEN_AFTER_S / LOOK_EVERY_S)):
        feed.run(LOOK_EVERY_S)
        timed.append(feed.budget.on)
    assert (any(timed), feed.budget.times) == (False, {})


def test_in_rounds_nobody_is_held_back() -> None:
    """What members cost is not known there; who was held back before takes part in all again."""
    feed = Feed(6000.0, 20_000.0, per_s=25.0, shadows={"rhythm": 10})
    feed.lane.measured(stride={"s1": 8}, too_slow={})
    feed.run(400.0)
    assert (feed.strides, feed.budget.headroom, feed.budget.times) == ([1, 1], None, {})


def test_after_a_restart_shadows_come_back_as_well() -> None:
    """What they were held to is not kept; which of them take part is."""
    feed = Feed(6000.0, 20_000.0, per_s=2.0)
    feed.lane.measured(stride={"s1": 8}, too_slow={})
    feed.run(0.5 * WIDEN_AFTER_S)
    assert feed.strides == [1, 8]
    feed.run(3 * WIDEN_AFTER_S)
    assert feed.strides == [1, 1]


@pytest.mark.parametrize("budget", ["unlimited", 1000.0])
def test_what_is_configured_holds(budget: Any) -> None:
    """Whoever wants all shadows at any price has them, and who names a price pays that."""
    feed = Feed(6000.0, 20_000.0, per_s=25.0, shadows={"budget": budget})
    feed.run(400.0)
    assert feed.strides == [1, 1]


def test_a_count_that_goes_back_is_no_pace() -> None:
    """Partitions have moved."""
    clock = FrozenClock()
    headroom = Headroom(clock=clock)
    for unread, read in [(1000, 100), (5000, 200), (9000, 50), (13000, 150), (17000, 250)]:
        clock.advance(LOOK_EVERY_S)
        assert headroom.look(unread=unread, read=read) is None
    clock.advance(LOOK_EVERY_S)
    assert headroom.look(unread=21000, read=350) == "narrow"


class Swelling(MemorySource):
    """A source that always has more to read than before."""

    waiting = 0
    clock = FrozenClock()

    def poll(self, max_records: int, *, timeout_s: float) -> Any:
        """Time enough passes for a look."""
        self.clock.advance(LOOK_EVERY_S)
        return super().poll(max_records, timeout_s=timeout_s)

    def unread(self, partitions: Any) -> int:
        """More each time."""
        self.waiting += 10_000
        return self.waiting


class Slow(FrozenClock):
    """A clock on which all that is timed takes time."""

    def monotonic_s(self) -> float:
        """Later than before."""
        self.advance(0.002)
        return super().monotonic_s()


def test_the_loop_tells_that_shadows_give_way() -> None:
    """By itself, without any configuration: on `model-lifecycle`, in the reports, and in what others learn along."""
    log = filled(5000)
    settings = settings_of(shadows={"portfolio": "cheap"}, publish={"report_events": 500})
    source = Swelling(log, "events")
    source.clock = Slow()
    loop_on(log, MemoryStore(), settings, source=source, clock=source.clock).run(until_end=True)
    steps = [decode(Transition, value).reason for value in log.values("model-lifecycle")]
    assert any("budget" in reason for reason in steps)
    assert any(member.stride != 1 for member in decode(ModelReport, log.values("model-reports")[-1]).members)

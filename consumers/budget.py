"""What members cost: measured on some events, turned into inputs of the lane where it is bounded.

Where no budget is configured, shadows take what they take until the learner falls behind what comes in: then they are
measured, and held to what lets it keep up (`consumers/headroom.py`).

The lane itself reads no clock. A decision comes in between two batches and is followed by a checkpoint, as a finished
retraining job is, so that it is never taken a second time elsewhere in the stream.
"""

import statistics
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import structlog

from anabranch.events import Prediction
from config.settings import Settings
from consumers.headroom import Headroom, Step
from consumers.ports import Clock
from learners.arena.members import Member
from learners.blend import NAME as BLEND
from learners.lane import Lane

log = structlog.get_logger()

SAMPLE_EVERY = 19
"""Records from one measured event to the next; no multiple of `SAMPLED`, or some members would never be measured."""

SAMPLES_MIN, SAMPLES_MAX = 10, 50
CHANGE_EVENTS = 1000
"""Accepted events between two changes, at least: each costs a checkpoint."""

SAMPLED = 8
"""A shadow beyond the budget takes part in one of so many events, or in none."""

WIDEN_FROM = 0.5
"""A budget of nothing, doubled, would stay one."""

MARGIN = 0.8
"""Who was beyond takes part in all events again when the total is below this share of the budget."""


class Change(NamedTuple):
    """An input of the lane: see `Lane.measured`."""

    stride: dict[str, int]
    too_slow: dict[str, float]


class Times:
    """The last times of one member, in seconds; what counts is the median."""

    def __init__(self) -> None:
        self.predict: deque[float] = deque(maxlen=SAMPLES_MAX)
        self.learn: deque[float] = deque(maxlen=SAMPLES_MAX)

    @property
    def known(self) -> bool:
        """Whether there are enough of them."""
        return min(len(self.predict), len(self.learn)) >= SAMPLES_MIN

    @property
    def ask_us(self) -> float:
        """A prediction, in microseconds."""
        # The median: a pause of the collector or of the machine falls
        # into few of the samples, but may be a thousand times as long.
        return 1e6 * statistics.median(self.predict)

    @property
    def total_s(self) -> float:
        """An event, in seconds."""
        return statistics.median(self.predict) + statistics.median(self.learn)


class ComputeBudget:
    """Measures members while they work, and decides who takes part in which share of the events."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self.clock = clock
        wanted = settings.shadows.budget
        self.model = settings.name
        self.budget = wanted if isinstance(wanted, float) else None
        """Of all shadows, in times of the champion's; None: they are not held to any."""
        self.in_rounds = settings.shadows.rhythm > 1
        """Then members predict and learn out of sight, and what they cost is not known."""
        self.headroom = Headroom(clock=clock) if wanted == "auto" and not self.in_rounds else None
        self.max_predict_us = settings.constraints.max_predict_us
        self.times: dict[str, Times] = {}
        self.whole_s: deque[float] = deque(maxlen=SAMPLES_MAX)
        """The last times of measured events, with all that is around the members."""
        self.step: Step | None = None
        self.changed_at = 0
        self.seen = 0

    @property
    def on(self) -> bool:
        """Whether members are timed now: never without need, as it takes time itself."""
        falls_behind = self.headroom is not None and (self.headroom.behind > 0 or self.step is not None)
        return falls_behind or self.budget is not None or self.max_predict_us is not None

    def look(self, unread: Callable[[], int | None], *, read: int) -> None:
        """Every few seconds: whether the learner keeps up with what comes in.

        Args:
            unread: how many records are still to be read; None: nobody waits for them.
            read: records so far.
        """
        headroom = self.headroom
        if headroom is None or not headroom.is_due:
            return
        left = unread()
        if left is not None:
            self.step = headroom.look(unread=left, read=read) or self.step

    def is_due(self) -> bool:
        """Whether the next record is one of those on which members are timed."""
        self.seen += 1
        return self.seen % SAMPLE_EVERY == 0

    @contextmanager
    def measured(self, lane: Lane) -> Iterator[None]:
        """Within it, the members are timed."""
        lane.timed, began_s = self, self.clock.monotonic_s()
        try:
            yield
        finally:
            lane.timed = None
            self.whole_s.append(self.clock.monotonic_s() - began_s)

    def predict(self, member: Member, x: Any) -> Prediction:
        """Have a member predict, and take the time."""
        began_s = self.clock.monotonic_s()
        answer = member.predict(x)
        self._times(member).predict.append(self.clock.monotonic_s() - began_s)
        return answer

    def learn(self, member: Member, x: Any, y: Any) -> None:
        """Have a member learn, and take the time."""
        began_s = self.clock.monotonic_s()
        member.learn(x, y)
        self._times(member).learn.append(self.clock.monotonic_s() - began_s)

    def _times(self, member: Member) -> Times:
        return self.times.setdefault(member.name, Times())

    def change(self, lane: Lane) -> Change | None:
        """What is to be changed now, if anything."""
        members = lane.shadows.members
        if self.in_rounds:
            # Held back before there were rounds: nothing would ever tell here that they need not be any more.
            is_held = bool(lane.constraints.too_slow) or any(member.share != 1 for member in members)
            return Change({}, {}) if is_held else None
        if self.step == "widen" and self.budget is None and all(member.share == 1 for member in members):
            self.step = None  # nobody is held to anything
        if not self.on or lane.events - self.changed_at < CHANGE_EVENTS:
            return None
        self.times = {each.name: self.times[each.name] for each in [lane.champion, *members] if each.name in self.times}
        if self.step is not None:
            self._take_step(lane)
        stride = {member.name: member.share for member in members if member.share != 1}
        wanted = Change(self._shares(lane), self._too_slow(lane))
        # By the names alone: measured times differ at each look, and each change costs a checkpoint.
        if (wanted.stride, wanted.too_slow.keys()) == (stride, lane.constraints.too_slow.keys()):
            return None
        self.changed_at = lane.events
        return wanted

    def _take_step(self, lane: Lane) -> None:
        """Hold shadows to what lets the learner keep up; or give them twice as much, once it has kept up for long."""
        assert self.headroom is not None  # who looks has one
        champion, step = self.times.get(lane.champion.name), self.step
        if champion is None or not champion.known or not champion.total_s:
            return  # it is taken when members have been timed
        self.step = None
        spent_s = sum(self._cost(each) / each.stride for each in lane.shadows.members if each.stride)
        if step == "narrow":
            to_save_s = (1.0 - self.headroom.share) * statistics.median(self.whole_s)
            self.budget = max(0.0, spent_s - to_save_s) / champion.total_s
            log.warning("falls behind what comes in", model=self.model, shadows_budget=round(self.budget, 2))
        elif all(each.share == 1 for each in lane.shadows.members):
            self.budget = None
        else:
            # After a restart only what the shadows take part in tells what they were held to.
            held = self.budget if self.budget is not None else spent_s / champion.total_s
            self.budget = 2.0 * max(held, WIDEN_FROM)

    def _too_slow(self, lane: Lane) -> dict[str, float]:
        """Those above the bound; who was is asked for a margin. A blend takes as long as all its members."""
        if self.max_predict_us is None:
            return {}
        before = lane.constraints.too_slow
        members = {BLEND, *(each.name for each in lane.shadows.members)}
        bound = {True: MARGIN * self.max_predict_us, False: self.max_predict_us}
        known = {name: times.ask_us for name, times in self.times.items() if times.known}
        if known and (lane.blend.judges or BLEND in before):
            asked = [each.name for each in lane.blend.everybody() if each.stride == 1 and each.kind != "recruit"]
            known[BLEND] = sum(known.get(name, 0.0) for name in asked)
        slow = {name: us for name, us in known.items() if us > bound[name in before]}
        # After a restart nobody has been measured yet: what was known before goes on.
        return {name: us for name, us in before.items() if name in members and name not in known} | slow

    def _shares(self, lane: Lane) -> dict[str, int]:
        """Who takes part in fewer events: the budget is spent on those who do best, and on whom a rollback may need."""
        champion = self.times.get(lane.champion.name)
        if self.budget is None or champion is None or not champion.known or not champion.total_s:
            return {member.name: member.share for member in lane.shadows.members if member.share != 1}
        left, shares = self.budget * champion.total_s, {}
        for member in sorted(lane.shadows.members, key=_first):
            share = self._share(member, left=left, allowed=self.budget * champion.total_s)
            left -= self._cost(member) / share if share else 0.0
            if share != 1:
                shares[member.name] = share
        return shares

    def _share(self, member: Member, *, left: float, allowed: float) -> int:
        cost = self._cost(member)
        # Who was beyond the budget needs some room to come back, or members at its edge would change at every look.
        margin = 0.0 if member.share == 1 else (1 - MARGIN) * allowed
        if cost <= left - margin or member.kind == "displaced":
            return 1
        return SAMPLED if cost / SAMPLED <= left else 0

    def _cost(self, member: Member) -> float:
        """Seconds an event; nothing is held against one that has not been measured yet."""
        times = self.times.get(member.name)
        return times.total_s if times is not None and times.known else 0.0


def _first(member: Member) -> tuple[bool, bool, float]:
    """Who comes first when the budget is spent."""
    return member.kind != "displaced", member.share != 1, member.loss_mean

"""What members cost: measured on some events, turned into inputs of the lane where a budget or a bound is configured.

The lane itself reads no clock. A decision comes in between two batches and is followed by a checkpoint, as a finished
retraining job is, so that it is never taken a second time elsewhere in the stream.
"""

import statistics
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from anabranch.events import Prediction
from config.settings import Settings
from consumers.ports import Clock
from learners.arena.members import Member
from learners.blend import NAME as BLEND
from learners.lane import Lane

SAMPLE_EVERY = 19
"""Records from one measured event to the next; no multiple of `SAMPLED`, or some members would never be measured."""

SAMPLES_MIN, SAMPLES_MAX = 10, 50
CHANGE_EVENTS = 1000
"""Accepted events between two changes, at least: each costs a checkpoint."""

SAMPLED = 8
"""A shadow beyond the budget takes part in one of so many events, or in none."""

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
        self.budget = settings.shadows.budget
        self.max_predict_us = settings.constraints.max_predict_us
        self.on = self.budget is not None or self.max_predict_us is not None
        self.times: dict[str, Times] = {}
        self.changed_at = 0
        self.seen = 0

    def is_due(self) -> bool:
        """Whether the next record is one of those on which members are timed."""
        self.seen += 1
        return self.seen % SAMPLE_EVERY == 0

    @contextmanager
    def measured(self, lane: Lane) -> Iterator[None]:
        """Within it, the members are timed."""
        lane.timed = self
        try:
            yield
        finally:
            lane.timed = None

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
        if not self.on or lane.events - self.changed_at < CHANGE_EVENTS:
            return None
        members = lane.shadows.members
        self.times = {each.name: self.times[each.name] for each in [lane.champion, *members] if each.name in self.times}
        stride = {member.name: member.share for member in members if member.share != 1}
        wanted = Change(self._shares(lane), self._too_slow(lane))
        # By the names alone: measured times differ at each look, and each change costs a checkpoint.
        if (wanted.stride, wanted.too_slow.keys()) == (stride, lane.constraints.too_slow.keys()):
            return None
        self.changed_at = lane.events
        return wanted

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

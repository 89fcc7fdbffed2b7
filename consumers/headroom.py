"""Headroom: whether a learner keeps up with what comes in, and how much time an event may take it so that it does.

A backlog alone is no reason: a learner that begins, or was away, has one and works it off. One that *grows* while the
learner has no pause is: then an event has to take less, by as much as more comes in than is learned.
"""

from typing import Literal

from consumers.ports import Clock

LOOK_EVERY_S = 10.0
LOOKS = 3
"""So many times in a row a learner has fallen further behind before something is done about it."""

BEHIND_S = 30.0
"""A backlog that is worked off in less time is none: a burst, a rebalance, a pause for a checkpoint."""

GROWS_BY = 0.02
"""Of what is learned; less may be a clock's or a fetch's inaccuracy."""

KEEPS_UP_S = 2.0
"""Whoever has no more than this to read keeps up."""

WIDEN_AFTER_S = 600.0
"""So long a learner has kept up before its shadows are given more again: it may fall behind by that."""

MARGIN = 0.9
"""An event is to take this share of what would just do, so that the backlog shrinks, too."""

Step = Literal["narrow", "widen"]


class Headroom:
    """Looks every few seconds at what is read and what is still to be read.

    Attributes:
        share: of its present time that an event may take, after a step to "narrow".
    """

    def __init__(self, *, clock: Clock) -> None:
        self.clock = clock
        self.share = 1.0
        self.at_s = self.kept_up_since_s = self.clock.monotonic_s()
        self.before: tuple[int, int] | None = None
        self.behind = 0

    @property
    def is_due(self) -> bool:
        """Whether it is time for a look."""
        return self.clock.monotonic_s() - self.at_s >= LOOK_EVERY_S

    def look(self, *, unread: int, read: int) -> Step | None:
        """One look: what is to be done, if anything.

        Args:
            unread: records that are still to be read.
            read: records so far; what it is counted from does not matter.
        """
        now_s = self.clock.monotonic_s()
        took_s, before = now_s - self.at_s, self.before
        self.at_s, self.before = now_s, (unread, read)
        if before is None or read < before[1] or took_s <= 0.0:
            self.behind, self.kept_up_since_s = 0, now_s
            return None
        pace, growth = (read - before[1]) / took_s, (unread - before[0]) / took_s
        if unread > KEEPS_UP_S * pace:
            self.kept_up_since_s = now_s
        falls = unread > BEHIND_S * pace and growth > GROWS_BY * pace and pace > 0.0
        self.behind = self.behind + 1 if falls else 0
        if self.behind >= LOOKS:
            self.share = MARGIN * pace / (pace + growth)
            self.behind = 0
            return "narrow"
        if now_s - self.kept_up_since_s >= WIDEN_AFTER_S:
            self.kept_up_since_s = now_s
            return "widen"
        return None

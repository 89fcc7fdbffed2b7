"""Resting: a standing shadow that has long been worse than another takes part in one of eight events, until it counts.

It goes on being judged and taught by those, so it is seen when it catches up; and a signal, which says that what was
learned may not hold any longer, ends all rests at once. Decided by the members' own losses and the events' numbers, so
it is part of the fold, where the budget's shares are measured and come from without.
"""

from collections.abc import Callable, Collection, Sequence

from learners.arena.members import Member

LOOK_EVENTS = 250
"""Accepted events between two looks."""

LONG_LOOKS = 8
"""Looks in a row at which it was dominated: some 2,000 events."""

BEHIND_MIN = 0.02
"""What it has to be behind by, in mean loss; half of that ends a rest."""

CATCHES_UP = 0.75
"""A member whose distance has shrunk below this share is catching up: it learns, and is not to be held up."""

RIPE_LOSSES = 1000
"""Judged answers of a member, before which nothing is concluded from them."""


Voices = Callable[[], Collection[str]]
"""The names of those that have a say in a blend."""


class Resting:
    """Looks at the standing shadows now and then, and says who rests and who no longer does.

    Args:
        voices: asked at each look; who has a say does not rest: many that are behind make a blend better.

    Attributes:
        look_events: accepted events between two looks.
    """

    def __init__(
        self,
        *,
        voices: Voices = tuple,
        look_events: int = LOOK_EVENTS,
        ripe_losses: int = RIPE_LOSSES,
    ) -> None:
        self.voices = voices
        self.look_events = look_events
        self.ripe_losses = ripe_losses

    def look(self, champion: Member, shadows: Sequence[Member]) -> list[tuple[Member, str]]:
        """Who changes, and why, for people; each of them has changed already."""
        ripe = [each for each in (champion, *shadows) if each.losses >= self.ripe_losses and not each.rests]
        if not ripe:
            return []
        best, voices = min(ripe, key=lambda each: each.loss_mean), self.voices()
        standing = [member for member in shadows if member.kind == "standing"]
        found = [self._looked_at(member, best, counts=member.name in voices) for member in standing]
        return [each for each in found if each is not None]

    def _looked_at(self, member: Member, best: Member, *, counts: bool) -> tuple[Member, str] | None:
        distance = member.loss_mean - best.loss_mean
        if member.rests:
            if distance >= BEHIND_MIN / 2:
                return None
            member.wake()
            return member, f"takes part in every event again: it is no longer behind {best.name}"
        if counts or member.losses < self.ripe_losses or distance < BEHIND_MIN:
            member.dominated, member.distance = 0, 0.0
            return None
        if not member.dominated or distance < CATCHES_UP * member.distance:
            member.dominated, member.distance = 0, distance
        member.dominated += 1
        if member.dominated < LONG_LOOKS:
            return None
        member.rest()
        return member, f"rests, in one of {member.stride} events: long behind {best.name}, by {distance:.3g} of loss"

"""The shadows in the arena: how they enter and leave, what a win takes; and the library of former champions."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from anabranch import statetree
from anabranch.messages import TrainedOn
from config.learning import ArenaSettings
from learners.arena.constraints import HardConstraints
from learners.arena.evidence import Contest
from learners.arena.lifecycle import Lifecycle
from learners.arena.members import Member, Tradeoff, revived
from learners.arena.off_policy import RankerContest

NEVER = 1 << 62


class Shadows:
    """All members but the champion. What is asked on every event is kept as plain attributes.

    Attributes:
        members: in the order in which they entered.
        wins_at: the evidence that a win takes, A·C.
        due: accepted events at which the next one's time is up.
    """

    def __init__(self, arena: ArenaSettings, *, constraints: HardConstraints, lifecycle: Lifecycle) -> None:
        self.constraints = constraints
        self.lifecycle = lifecycle
        self.members: list[Member] = []
        self._times = {"recruit": arena.contest_events, "displaced": arena.probation_events, "standing": NEVER}
        self._false_swap_every = arena.false_swap_every
        self._shadows_max = arena.shadows_max
        self._min_gain = arena.min_gain
        self._by_lists = arena.evidence == "off-policy"
        self.keeps = ""
        """A member whose time is not up, however long it takes: see `Rollout`."""
        self.count()

    def count(self) -> None:
        """To be called when members came, went or took another role."""
        self.wins_at = self._false_swap_every * max(1, len(self.members))
        times = [member.since + self._times[member.kind] for member in self.members if member.name != self.keeps]
        self.due = min(times, default=NEVER)

    def contest(self) -> Contest:
        """A new one."""
        if self.constraints.task.kind == "rank":
            return RankerContest(min_gain=self._min_gain, by_lists=self._by_lists, alone=self._false_swap_every)
        return Contest(min_gain=self._min_gain)

    def enter(self, member: Member, *, reason: str) -> None:
        """Let a shadow in; the oldest recruit leaves if there are too many. Standing shadows do not count."""
        member.contest = self.contest()
        self.constraints.watch(member)
        self.members.append(member)
        # A displaced champion stays displaced: by that state it is known whom a rollback may bring back.
        if self.lifecycle.states.get(member.name) != "displaced":
            self.lifecycle.move(member.name, "arena", reason=reason)
        guests = [each for each in self.members if not each.place]
        while len(guests) > self._shadows_max:
            # Never the newcomer itself, unless it is alone and there is room for none.
            longest_there = guests[:-1] or guests
            # A displaced champion goes last: it is whom a rollback would bring back.
            oldest = next((each for each in longest_there if each.kind == "recruit"), longest_there[0])
            guests.remove(oldest)
            self.leave(oldest, reason=f"left for {member.name}")
        self.count()

    def leave(self, member: Member, *, reason: str) -> None:
        """Let a shadow go."""
        self.members.remove(member)
        self.lifecycle.move(member.name, "gone", reason=reason)
        self.count()

    def start_over(self) -> None:
        """New contests for all, after a swap: the opponent has changed."""
        for member in self.members:
            member.contest = self.contest()

    def ahead(self) -> list[Member]:
        """Those whose evidence suffices, the strongest first. One that is paused is not shown to be better *now*."""
        ahead = [member for member in self.members if member.stride and member.contest.deciding.won(self.wins_at)]
        return sorted(ahead, key=lambda member: -member.contest.deciding.evidence)

    def tradeoffs(self, champion: Member) -> dict[str, Tradeoff]:
        """What each would do for groups, and at which price; empty where none are compared."""
        found = {each.name: self.constraints.tradeoff(each, champion=champion) for each in self.members}
        return {name: each for name, each in found.items() if each is not None}

    def over(self, *, event_number: int) -> list[Member]:
        """Those whose time is up: recruits without a win, displaced champions after their probation."""
        return [
            member
            for member in self.members
            if event_number - member.since >= self._times[member.kind] and member.name != self.keeps
        ]

    def restore(self, states: Iterable[dict[str, Any]]) -> None:
        """Go on from a checkpoint."""
        self.members = []
        for state in states:
            member = revived(state, lifecycle=self.lifecycle, task=self.constraints.task)
            member.contest = self.contest()
            self.constraints.watch(member)
            member.contest.restore(state["contest"])
            if member.measured is not None and state["measured"] is not None:
                member.measured.restore(state["measured"])
            if member.groups is not None and state["groups"] is not None:
                member.groups.restore(state["groups"])
            self.members.append(member)
        self.count()


# ── The library: the last former champions as they were when they were displaced, for a concept that comes back ─────

# They learn nothing while they lie there, and are kept as bytes: a checkpoint then copies them instead of walking them.


class Former(NamedTuple):
    """A former champion: its name and version, what it had learned, and its bytes."""

    name: str
    version: int
    trained_on: TrainedOn
    data: bytes


class Library:
    """At most `library_max` former champions; the one displaced longest ago gives way."""

    def __init__(self, *, library_max: int, trusted: tuple[str, ...] = ()) -> None:
        self.library_max = library_max
        self.trusted = trusted
        self.kept: list[Former] = []

    def __iter__(self) -> Iterator[Former]:
        return iter(self.kept)

    def keep(self, member: Member) -> list[str]:
        """Keep a champion that has just been displaced, as it is now; the names of those that gave way."""
        if not self.library_max or member.version is None:
            return []
        try:
            data = statetree.encode(member.model, trusted=self.trusted)
        except statetree.StateTreeError:
            return []  # what cannot be kept is not kept; the next checkpoint disqualifies it
        self.drop(member.version)
        self.kept.append(Former(member.name, member.version, member.trained_on, data))
        gone, self.kept = self.kept[: -self.library_max], self.kept[-self.library_max :]
        return [former.name for former in gone]

    def holds(self, name: str) -> bool:
        """Whether a former champion of that name is kept."""
        return any(former.name == name for former in self.kept)

    def drop(self, version: int) -> None:
        """It lives again."""
        self.kept = [former for former in self.kept if former.version != version]

    def copy(self, former: Former) -> Any:
        """A model that goes on from where the former champion was."""
        return statetree.decode(former.data, trusted=self.trusted)

    def state(self) -> list[tuple[Any, ...]]:
        """What a checkpoint keeps."""
        return [(each.name, each.version, each.trained_on.model_dump(mode="json"), each.data) for each in self.kept]

    def restore(self, state: Iterable[Any]) -> None:
        """Go on from a checkpoint."""
        self.kept = [
            Former(name, version, TrainedOn.model_validate(trained_on), data)
            for name, version, trained_on, data in state
        ]

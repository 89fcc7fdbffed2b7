"""Members of the arena: the champion and its shadows, each with its model, its contest and where it comes from."""

from collections.abc import Iterable
from typing import Any, Literal

from river import metrics

from anabranch.messages import MemberReport, TrainedOn, Verdict
from anabranch.settings import Arena, Constraints
from learners.arena import Contest
from learners.scores import Scores, metric_of, wants_proba
from learners.tasks import Answer, Task

MemberKind = Literal["champion", "recruit", "displaced"]


class Member:
    """One model in the arena.

    Args:
        name: unique within the lane, for people.
        since: accepted events when it took its present role.
        version: under which it was last published, if ever.
    """

    __slots__ = (
        "ask",
        "contest",
        "kind",
        "learn",
        "loss_mean",
        "losses",
        "measured",
        "model",
        "name",
        "since",
        "trained_on",
        "version",
    )

    def __init__(
        self,
        name: str,
        model: Any,
        *,
        kind: MemberKind,
        task: Task,
        trained_on: TrainedOn,
        since: int,
        version: int | None = None,
    ) -> None:
        self.name = name
        self.kind: MemberKind = kind
        self.model = model
        self.ask = task.asker(model)
        self.learn = model.learn_one
        self.trained_on = trained_on
        self.since = since
        self.version = version
        self.contest = Contest()
        self.measured: Scores | None = None
        self.losses = 0
        self.loss_mean = 0.0

    def take_role(self, kind: MemberKind, *, since: int) -> None:
        """From now on it is champion, or displaced: what it contested before is over."""
        self.kind = kind
        self.since = since
        self.contest = Contest()
        self.measured = None

    def note_loss(self, loss: float, *, window: int) -> None:
        """Keep an exponentially weighted mean of the loss over some `window` events."""
        self.losses += 1
        self.loss_mean += (loss - self.loss_mean) / min(self.losses, window)

    def verdict(self, *, wins_at: float) -> Verdict:
        """What the contest says so far."""
        low, high = self.contest.interval.ends()
        share = min(self.contest.evidence / wins_at, 1e9)
        return Verdict(
            events=self.contest.events,
            gain_events=self.contest.interval.count,
            gain=self.contest.gain,
            low=low,
            high=high,
            evidence=share,
        )

    def report(self, *, wins_at: float) -> MemberReport:
        """How it does, for people."""
        verdict = None if self.kind == "champion" else self.verdict(wins_at=wins_at)
        return MemberReport(name=self.name, kind=self.kind, loss=self.loss_mean, verdict=verdict)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "name": self.name,
            "kind": self.kind,
            "model": self.model,
            "trained_on": self.trained_on.model_dump(mode="json"),
            "since": self.since,
            "version": self.version,
            "contest": self.contest.state(),
            "measured": None if self.measured is None else self.measured.state(),
            "losses": (self.losses, self.loss_mean),
        }


class Shadows:
    """The shadows, and the rules by which they enter, win and leave."""

    def __init__(self, arena: Arena, constraints: Constraints, *, task: Task) -> None:
        self.arena = arena
        self.constraints = constraints
        self.task = task
        self.members: list[Member] = []
        self._metrics = {name: metric_of(name.partition("_")[2], task=task.kind) for name in sorted(constraints.bounds)}
        task.wants_proba = task.wants_proba or wants_proba(self._metrics.values())

    def _fresh_metrics(self) -> list[metrics.base.Metric]:
        return [metric.clone() for metric in self._metrics.values()]

    @property
    def wins_at(self) -> float:
        """The evidence that a win takes: A·C."""
        return self.arena.false_swap_every * max(1, len(self.members))

    def enter(self, member: Member) -> list[str]:
        """Let a shadow in; the names of those that left for it."""
        member.contest = Contest(min_gain=self.arena.min_gain)
        if self._metrics:
            member.measured = Scores(self._fresh_metrics(), window=self.constraints.window)
        self.members.append(member)
        left = []
        while len(self.members) > self.arena.shadows_max:
            longest_there = self.members[:-1] or self.members
            oldest = next((each for each in longest_there if each.kind == "recruit"), longest_there[0])
            self.members.remove(oldest)
            left.append(oldest.name)
        return left

    def start_over(self) -> None:
        """New contests for all, after a swap: the opponent has changed."""
        for member in self.members:
            member.contest = Contest(min_gain=self.arena.min_gain)

    def winner(self) -> Member | None:
        """The shadow with the most evidence, if that is enough and it measures up to the constraints.

        One that a constraint holds back begins its contest again: it may have become worse before it measures up.
        """
        wins_at = self.wins_at
        ahead = [member for member in self.members if member.contest.won(wins_at)]
        if not ahead:
            return None
        fit = [member for member in ahead if self.measures_up(member)]
        for member in ahead:
            if member not in fit:
                member.contest = Contest(min_gain=self.arena.min_gain)
        return max(fit, key=lambda member: member.contest.evidence) if fit else None

    def measures_up(self, member: Member) -> bool:
        """Whether the member passes every hard constraint."""
        measured = self.measure(member)
        # No comparison with NaN is true, so what cannot be measured does not measure up.
        return all(_within(name, measured[name], bound) for name, bound in self.constraints.bounds.items())

    def measure(self, member: Member) -> dict[str, float]:
        """The constrained metrics of a member, over the constraints' window, by constraint."""
        if member.measured is None:
            return {}
        return dict(zip(self._metrics, member.measured.measured(), strict=True))

    def expire(self, *, event: int) -> list[Member]:
        """Remove and return those whose time is up: recruits without a win, former champions after probation."""
        times = {"recruit": self.arena.contest_events, "displaced": self.arena.probation_events}
        over = [member for member in self.members if event - member.since >= times[member.kind]]
        self.members = [member for member in self.members if member not in over]
        return over

    def restore(self, states: Iterable[dict[str, Any]]) -> None:
        """Go on from a checkpoint."""
        self.members = []
        for state in states:
            member = revived(state, task=self.task)
            self.enter(member)
            member.contest.restore(state["contest"])
            if member.measured is not None:
                member.measured.restore(state["measured"])


def revived(state: dict[str, Any], *, task: Task) -> Member:
    """The member that `Member.state` described."""
    member = Member(
        state["name"],
        state["model"],
        kind=state["kind"],
        task=task,
        trained_on=TrainedOn.model_validate(state["trained_on"]),
        since=state["since"],
        version=state["version"],
    )
    member.losses, member.loss_mean = state["losses"]
    return member


def _within(name: str, value: float, bound: float) -> bool:
    return value >= bound if name.startswith("min_") else value <= bound


def paired(champion_loss: float, y: Any, member: Member, answer: Answer, *, task: Task, window: int) -> None:
    """Judge a shadow's answer beside the champion's."""
    loss = task.loss(y, answer)
    member.note_loss(loss, window=window)
    member.contest.update(champion_loss - loss)
    if member.measured is not None:
        member.measured.update(y, answer)

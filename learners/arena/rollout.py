"""Rollout: a new champion answers for a share of the keys first, and for all of them on evidence or by a person's word.

In the learner it is the champion from its win on. The displaced one stays a shadow: followers have both, both are
judged on the same events as their labels come, and if the displaced one is better after all, it comes back as from any
probation, which withdraws the new one. So a step needs nothing but the other side of that contest: evidence that the
new champion is not worse than the displaced one, by more than a tolerance. Without labels there is none, and it stays
where it is.

>>> from config.learning import RolloutSettings
>>> rollout = Rollout(RolloutSettings(kind="canary", steps=(5, 50), step_labels=100), wins_at=1000)
>>> rollout.begin(beside=3, displaced="first")
>>> shares = [rollout.share]
>>> for n in range(3000):
...     rollout.judge(0.0, 0.0)
...     if rollout.may_go_on:
...         rollout.go_on()
...         shares.append(rollout.share)
>>> shares
[5.0, 50.0, None]
"""

from collections.abc import Mapping
from typing import Any

from anabranch.messages import RolloutReport
from config.learning import RolloutSettings
from learners.arena.evidence import Contest

TIMES_TIES = 1.5
"""The evidence has to be so many times what as many ties would add up to where no tolerance is granted."""


class Rollout:
    """How far the champion has come, if followers have another one beside it.

    Args:
        wins_at: the evidence that a step needs; one that is not justified is taken once in so many labels at most.

    Attributes:
        share: percent of the keys that the champion answers for; None: all, and nothing is under way.
        beside: the version that answers for the others.
        displaced: the member that it is of.
    """

    def __init__(self, settings: RolloutSettings, *, wins_at: float) -> None:
        self.settings = settings
        self.wins_at = wins_at
        self.share: float | None = None
        self.beside: int | None = None
        self.displaced = ""
        self.step = self.labels = 0
        self.contest = Contest()

    @property
    def is_immediate(self) -> bool:
        """Whether a swap is for all keys at once."""
        return self.settings.kind == "immediate"

    @property
    def under_way(self) -> bool:
        """Whether followers have two models."""
        return self.share is not None

    def begin(self, *, beside: int, displaced: str) -> None:
        """A swap: the first step."""
        self.beside, self.displaced = beside, displaced
        self._enter(0)

    def _enter(self, step: int) -> None:
        self.step, self.labels = step, 0
        self.share = float(self.settings.shares[step])
        self.contest = Contest(min_gain=-self.settings.tolerance)

    def judge(self, loss: float, displaced: float) -> None:
        """A label has come: the losses of the champion and of the displaced one, as they were asked."""
        self.labels += 1
        self.contest.update(displaced - loss)

    @property
    def may_go_on(self) -> bool:
        """Whether the next step is justified; never, where a person decides."""
        if not self.under_way or self.settings.is_decided_by_people or self.labels < self.settings.step_labels:
            return False
        return self.contest.won(self.wins_at, times_ties=TIMES_TIES if not self.settings.tolerance else 0.0)

    @property
    def is_at_last_step(self) -> bool:
        """Whether all keys come next."""
        return self.step + 1 >= len(self.settings.shares)

    def go_on(self) -> None:
        """The next step; after the last one nothing is under way."""
        if self.is_at_last_step:
            self.end()
        else:
            self._enter(self.step + 1)

    def end(self) -> None:
        """The champion answers for all keys."""
        self.share = self.beside = None
        self.displaced = ""
        self.step = self.labels = 0
        self.contest = Contest()

    @property
    def missing(self) -> str:
        """What the next step waits for, for people."""
        if self.settings.is_decided_by_people:
            return "a person's word: `anabranch models approve` or `withdraw`"
        wanted = self.settings.step_labels
        if self.labels < wanted:
            return f"labels: {self.labels} of {wanted} have come"
        share = min(1.0, self.contest.evidence / self.wins_at)
        return f"evidence that it is not worse: {100 * share:.3g} % of what a step needs, after {self.labels} labels"

    def report(self) -> RolloutReport | None:
        """How far it is, for people; None if nothing is under way."""
        if self.share is None or self.beside is None:
            return None
        return RolloutReport(
            kind=self.settings.kind,
            share=self.share,
            beside=self.beside,
            labels=self.labels,
            evidence=min(self.contest.evidence / self.wins_at, 1e9),
            gain=self.contest.gain,
            missing=self.missing,
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "share": self.share,
            "beside": self.beside,
            "displaced": self.displaced,
            "step": self.step,
            "labels": self.labels,
            "contest": self.contest.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint. One whose steps are configured no more goes on with the last of them."""
        self.share, self.beside, self.displaced = state["share"], state["beside"], state["displaced"]
        self.step, self.labels = min(state["step"], len(self.settings.shares) - 1), state["labels"]
        self.contest = Contest(min_gain=-self.settings.tolerance if self.under_way else 0.0)
        self.contest.restore(state["contest"])

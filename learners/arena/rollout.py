"""Rollout: a new champion answers for a share of the keys first, and for all of them on evidence or by a person's word.

In the learner it is the champion from its win on. The displaced one stays a shadow: followers have both, both are
judged on the same events as their labels come, and if the displaced one is better after all, it comes back as from any
probation, which withdraws the new one. So a step needs nothing but the other side of that contest: evidence that the
new champion is not worse than the displaced one, by more than a tolerance. Without labels there is none, and it stays
where it is.

Sooner than labels come followers: answers of the new champion that fail or are slow more often than the displaced one's
withdraw it, and so do followers that refuse it (`Heard`).

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

import math
from collections.abc import Mapping
from typing import Any

from anabranch.messages import RolloutReport, ServedCounts
from config.learning import RolloutSettings
from learners.arena.evidence import Contest, Excess

COUNTED = ("answers", "failures", "slow", "answers_beside", "failures_beside", "slow_beside")
"""What adds up of that which followers tell."""

TIMES_TIES = 1.5
"""The evidence has to be so many times what as many ties would add up to where no tolerance is granted."""

REFUSED_TIMES = 3
"""So often in a row more followers have to refuse it than serve it, since not all tell at the same moment."""


class Heard:
    """What followers have told of a rollout, and whether it is a reason to withdraw it.

    Args:
        false_withdrawal: the probability of that where the new one is no worse; two tests share it.
    """

    def __init__(self, *, beside: int, false_withdrawal: float) -> None:
        self.wins_at = 2 / false_withdrawal if false_withdrawal else math.inf
        self.told = ServedCounts(beside=beside)
        self.start_over()

    def start_over(self) -> None:
        """All evidence is gathered anew."""
        self.failing, self.slow, self.refused = Excess(), Excess(), 0

    def hear(self, told: ServedCounts) -> None:
        """What followers have told since the last time."""
        of = {"of": told.answers, "of_there": told.answers_beside}
        self.failing.update(bad=told.failures, bad_there=told.failures_beside, **of)
        self.slow.update(bad=told.slow, bad_there=told.slow_beside, **of)
        self.refused = self.refused + 1 if told.refusing > told.serving else 0
        before = self.told.model_dump()
        sums = {name: before[name] + getattr(told, name) for name in COUNTED}
        self.told = told.model_copy(update=sums)

    @property
    def fault(self) -> str:
        """Why it is to be withdrawn; empty: for nothing that was heard."""
        told = self.told
        if self.failing.wealth >= self.wins_at:
            return self._beside(told.failures, told.failures_beside, "failed")
        if self.slow.wealth >= self.wins_at:
            return self._beside(told.slow, told.slow_beside, "were slow")
        if self.refused >= REFUSED_TIMES and self.wins_at < math.inf:
            return f"{told.refusing} followers refuse it, and {told.serving} serve it"
        return ""

    def _beside(self, new: int, displaced: int, what: str) -> str:
        told = self.told
        return (
            f"{new:,} of {told.answers:,} answers to followers' callers {what}, and {displaced:,} of "
            f"{told.answers_beside:,} by version {told.beside}"
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        tests = {"failing": self.failing.state(), "slow": self.slow.state()}
        return {"told": self.told.model_dump(), "refused": self.refused, **tests}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.told, self.refused = ServedCounts.model_validate(state["told"]), state["refused"]
        self.failing.restore(state["failing"])
        self.slow.restore(state["slow"])


class Rollout:
    """How far the champion has come, if followers have another one beside it.

    Args:
        wins_at: the evidence that a step needs; one that is not justified is taken once in so many labels at most.

    Attributes:
        share: percent of the keys that the champion answers for; None: all, and nothing is under way.
        beside: the version that answers for the others.
        displaced: the member that it is of.
        heard: what followers have told; None: nothing yet.
    """

    def __init__(self, settings: RolloutSettings, *, wins_at: float) -> None:
        self.settings = settings
        self.wins_at = wins_at
        self.share: float | None = None
        self.beside: int | None = None
        self.displaced = ""
        self.step = self.labels = 0
        self.contest = Contest()
        self.heard: Heard | None = None

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

    def hear(self, told: ServedCounts) -> str:
        """Followers have told what they were asked; why it is to be withdrawn, empty if it is not.

        What is about another rollout counts for nothing.
        """
        if self.beside is None or told.beside != self.beside:
            return ""
        if self.heard is None:
            self.heard = self._hearing(self.beside)
        self.heard.hear(told)
        return self.heard.fault

    def _hearing(self, beside: int) -> Heard:
        return Heard(beside=beside, false_withdrawal=self.settings.false_withdrawal)

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
        self.share = self.beside = self.heard = None
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
            served=None if self.heard is None else self.heard.told,
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
            **({} if self.heard is None else {"heard": self.heard.state()}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint. One whose steps are configured no more goes on with the last of them."""
        self.share, self.beside, self.displaced = state["share"], state["beside"], state["displaced"]
        self.step, self.labels = min(state["step"], len(self.settings.shares) - 1), state["labels"]
        self.contest = Contest(min_gain=-self.settings.tolerance if self.under_way else 0.0)
        self.contest.restore(state["contest"])
        if "heard" in state and self.beside is not None:
            self.heard = self._hearing(self.beside)
            self.heard.restore(state["heard"])

"""Hard constraints: what a winner must measure up to before it goes live, besides being better."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from anabranch import artifact, statetree
from anabranch.settings import Settings
from learners.groups import Groups
from learners.members import Member
from learners.scores import Scores, metric_of, wants_proba
from learners.tasks import Answer, Task, is_fault


class Examined(NamedTuple):
    """What was measured of a winner, by constraint, and why it does not measure up; "" if it does."""

    measured: dict[str, float]
    fault: str


class HardConstraints:
    """Absolute metrics, bytes, finite state, time for a prediction, and the gap between groups."""

    def __init__(self, settings: Settings, *, task: Task) -> None:
        self.settings = constraints = settings.constraints
        self.trusted = settings.model.trusted
        self.task = task
        self.too_slow: dict[str, float] = {}
        """Members that take longer than `max_predict_us`, by name: an input, since it is measured."""
        self._metrics = {name: metric_of(name.partition("_")[2], task=task.kind) for name in sorted(constraints.bounds)}
        task.wants_proba = task.wants_proba or wants_proba(self._metrics.values())

    def begin(self, member: Member) -> None:
        """Measure a shadow from now on."""
        if self._metrics:
            fresh = [metric.clone() for metric in self._metrics.values()]
            member.measured = Scores(fresh, window=self.settings.window)
        self.begin_groups(member)

    def begin_groups(self, member: Member) -> None:
        """Measure groups, which the champion needs too."""
        if self.settings.group is not None and member.groups is None:
            member.groups = Groups(self.settings.group, window=self.settings.window)

    def note(self, member: Member, x: dict[str, object], y: Any, answer: Answer) -> None:
        """One answer of a member whose groups are measured."""
        if member.groups is None:
            return
        positive = self.settings.group_metric == "positive-rate"
        member.groups.update(x, float(answer.value is True) if positive else 1.0 - self.task.error(y, answer))

    def measure(self, member: Member) -> dict[str, float]:
        """The constrained metrics of a member, over the constraints' window, by constraint."""
        if member.measured is None:
            return {}
        return dict(zip(self._metrics, member.measured.measured(), strict=True))

    def examine(self, member: Member, *, champion: Member, canary: Iterable[dict[str, object]]) -> Examined:
        """Everything there is to know of a winner, from cheap to dear; it ends at the first fault."""
        measured = self.measure(member)
        for name, bound in self.settings.bounds.items():
            # No comparison with NaN is true, so what cannot be measured does not measure up.
            if not (measured[name] >= bound if name.startswith("min_") else measured[name] <= bound):
                return Examined(measured, f"{name} is {bound:g}, measured {measured[name]:.4g}")
        if member.name in self.too_slow:
            us = self.too_slow[member.name]
            return Examined(measured, f"max_predict_us is {self.settings.max_predict_us:g}, measured {us:.0f}")
        try:
            fault = self._unequal(member, champion, measured) or self._broken(member, canary, measured)
        except BaseException as error:
            if not is_fault(error):
                raise
            fault = f"it raises {type(error).__name__}: {error}"
        return Examined(measured, fault)

    def _unequal(self, member: Member, champion: Member, measured: dict[str, float]) -> str:
        if member.groups is None or champion.groups is None:
            return ""
        last = min(len(member.groups), len(champion.groups))
        wider = member.groups.gap(last=last) - champion.groups.gap(last=last)
        measured["max_group_gap_widening"] = wider
        bound = self.settings.max_group_gap_widening
        return "" if wider <= bound else f"max_group_gap_widening is {bound:g}, measured {wider:.4g}"

    def _broken(self, member: Member, canary: Iterable[dict[str, object]], measured: dict[str, float]) -> str:
        """Bytes are made only for this: a winner is about to be published anyway."""
        largest = self.settings.max_artifact_bytes
        if largest is None and not self.settings.finite:
            return ""
        data = statetree.encode(member.model, trusted=self.trusted)
        if largest is not None:
            measured["max_artifact_bytes"] = len(data)
            if len(data) > largest:
                return f"max_artifact_bytes is {largest}, measured {len(data)}"
        if self.settings.finite and (statetree.holds_nan(data) or not all(_finite(member.model, x) for x in canary)):
            return "finite: a NaN is in its state, or it answers one"
        return ""


def _finite(model: Any, x: dict[str, object]) -> bool:
    """Whether the model's answer to a row is made of finite numbers; what is no number is not looked at."""
    answer = artifact.predict(model, dict(x))
    numbers = answer.values() if isinstance(answer, dict) else [answer]
    return all(math.isfinite(each) for each in numbers if isinstance(each, float))

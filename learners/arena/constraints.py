"""Hard constraints: what a winner must satisfy before it goes live, besides being better."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from river import metrics

from anabranch import artifact, statetree
from anabranch.errors import ConfigError, did_you_mean
from anabranch.events import Prediction
from config.learning import Bound, ConstraintsSettings
from config.settings import Settings
from learners.arena.members import Groups, Member, Spread, Tradeoff
from learners.models.fence import is_fault
from learners.models.tasks import Task
from learners.scores import Scores, metric_of, wants_proba

UNUSABLE_MAX = 0.01
"""With `finite`, the largest share of a member's last answers that could not be used."""


class Widened(NamedTuple):
    """How groups by a feature lie apart with a shadow, and with the champion."""

    feature: str
    own: Spread
    champions: Spread


class Examined(NamedTuple):
    """What was measured of a winner, by constraint, and why it does not satisfy them; "" if it does.

    `data` are its bytes: they are made to be measured, and announced as they are.
    """

    measured: dict[str, float]
    fault: str
    data: bytes = b""


def _metric(bound: Bound, *, task: str) -> metrics.base.Metric:
    """The metric that a bound is on."""
    try:
        return metric_of(bound.metric, task=task)
    except ConfigError as error:
        prefix = bound.key.removesuffix(bound.metric)
        known = [*ConstraintsSettings.model_fields, *(f"{prefix}{each.lower()}" for each in metrics.__all__)]
        # The metric may be one that does not fit the task: then its own name is the nearest, and no help.
        hint = did_you_mean(bound.key, [each for each in known if each != bound.key])
        said = [str(error).partition(";")[0], *filter(None, [hint])]
        raise ConfigError(f"constraints.{bound.key}: {'; '.join(said)}") from error


class HardConstraints:
    """Absolute metrics, bytes, finite state, time for a prediction, and the gap between groups."""

    def __init__(self, settings: Settings, *, task: Task) -> None:
        self.settings = constraints = settings.constraints
        self.trusted = settings.model.trusted
        self.task = task
        self.too_slow: dict[str, float] = {}
        """Members that take longer than `max_predict_us`, by name: an input, since it is measured."""
        self._groupings = settings.groupings(constraints.groups)
        self._metrics = {bound.key: _metric(bound, task=task.kind) for bound in constraints.bounds}
        task.wants_proba = task.wants_proba or wants_proba(self._metrics.values())

    def watch(self, member: Member) -> None:
        """Measure a shadow from now on."""
        if self._metrics:
            fresh = [metric.clone() for metric in self._metrics.values()]
            member.measured = Scores(fresh, window=self.settings.window)
        self.start_groups(member)

    def start_groups(self, member: Member) -> None:
        """Measure groups, which the champion needs too."""
        if self._groupings and member.groups is None:
            member.groups = Groups(self._groupings, window=self.settings.window)

    def note(self, member: Member, x: Mapping[str, object], y: Any, answer: Prediction) -> None:
        """One answer of a member whose groups are measured."""
        if member.groups is None:
            return
        metric = self.settings.group_metric
        if metric == "accuracy":
            member.groups.update(x, 1.0 - self.task.error(y, answer))
        elif y or metric != "equal-opportunity":
            selected = float(answer.value is True)
            member.groups.update(x, selected, stratum=metric != "equalized-odds" or y is True)

    def measure(self, member: Member) -> dict[str, float]:
        """The constrained metrics of a member, over the constraints' window, by constraint."""
        if member.measured is None:
            return {}
        return dict(zip(self._metrics, member.measured.measured(), strict=True))

    def examine(
        self, member: Member, *, champion: Member, canary: Iterable[dict[str, object]], event_number: int
    ) -> Examined:
        """Everything there is to know of a winner, from cheap to dear; it ends at the first fault."""
        measured = self.measure(member)
        for bound in self.settings.bounds:
            found = measured[bound.key]
            if not bound.allows(found):
                return Examined(measured, f"{bound.key} is {bound.value:g}, {_said(found)}")
        longest_us = self.settings.max_predict_us
        # What a checkpoint tells of a bound that is no longer configured holds nobody back.
        if longest_us is not None and member.name in self.too_slow:
            us = self.too_slow[member.name]
            return Examined(measured, f"max_predict_us is {longest_us:g}, measured {us:.0f}")
        try:
            unequal = self._unequal(member, champion, measured)
        except BaseException as error:
            if not is_fault(error):
                raise
            unequal = f"it raises {type(error).__name__}: {error}"
        if unequal:
            return Examined(measured, unequal)
        return self.announceable(member, canary, event_number=event_number, measured=measured)

    def announceable(
        self, member: Member, canary: Iterable[dict[str, object]], *, event_number: int, measured: dict[str, float]
    ) -> Examined:
        """Its bytes, or why a member cannot be announced as it is, whatever it won."""
        try:
            unusable = self._unusable(member, canary, event_number)
            return Examined(measured, unusable) if unusable else self._encoded(member, measured)
        except BaseException as error:
            if not is_fault(error):
                raise
            return Examined(measured, f"it raises {type(error).__name__}: {error}")

    def tradeoff(self, member: Member, *, champion: Member) -> Tradeoff | None:
        """What a shadow does for groups, by the feature where that is least, and at which price; None: no groups."""
        widened = self._widened(member, champion)
        if widened is None:
            return None
        return Tradeoff(widened.champions.gap - widened.own.gap, member.loss_mean - champion.loss_mean)

    def _widened(self, member: Member, champion: Member) -> Widened | None:
        """The feature whose gap would widen most, over the last events that both were asked."""
        if member.groups is None or champion.groups is None:
            return None
        last = min(len(member.groups), len(champion.groups))
        several = [
            Widened(each.feature, member.groups.spread(number, last=last), champion.groups.spread(number, last=last))
            for number, each in enumerate(self._groupings)
        ]
        return max(several, key=lambda each: each.own.gap - each.champions.gap)

    def _unequal(self, member: Member, champion: Member, measured: dict[str, float]) -> str:
        widened = self._widened(member, champion)
        if widened is None:
            return ""
        feature, own, champions = widened
        measured["max_group_gap_widening"] = wider = own.gap - champions.gap
        bound = self.settings.max_group_gap_widening
        if wider <= bound:
            return ""
        return (
            f"max_group_gap_widening is {bound:g}, measured {wider:.4g}: the {self.settings.group_metric} gap by "
            f"{feature} would be {own.gap:.3g} ({own.least} {own.lowest:.3g}, {own.most} {own.highest:.3g}); "
            f"the champion's is {champions.gap:.3g}"
        )

    def _unusable(self, member: Member, canary: Iterable[dict[str, object]], event_number: int) -> str:
        """What its answers lack: lately, and to the rows that followers will check it by."""
        rows = self.task.rows(member.model, canary)
        answers = [self._fenced(answered) for answered in artifact.predictions(member.model, rows)]
        if not self.settings.finite:
            return ""
        share = member.unusable.share(event_number=event_number, window=self.settings.window)
        if share > UNUSABLE_MAX:
            return f"finite: {100 * share:.3g} % of its last answers cannot be used: {member.unusable.reason}"
        unusable = next((each.unusable for each in answers if each.unusable), "")
        return f"finite: it answers a canary row with {unusable}" if unusable else ""

    def _fenced(self, answered: Any) -> Prediction:
        """What followers would get, as the lane would see it."""
        fence = self.task.fence
        if isinstance(answered, dict):
            return fence.probabilities(answered)
        return fence.number(answered) if fence.kind == "regression" else fence.label(answered)

    def _encoded(self, member: Member, measured: dict[str, float]) -> Examined:
        data = statetree.encode(member.model, trusted=self.trusted)
        largest = self.settings.max_artifact_bytes
        if largest is not None:
            measured["max_artifact_bytes"] = len(data)
            if len(data) > largest:
                return Examined(measured, f"max_artifact_bytes is {largest}, measured {len(data)}")
        holds_nan = self.settings.finite and statetree.holds_nan(data)
        return Examined(measured, "finite: a NaN is in its state" if holds_nan else "", data)


def _said(measured: float) -> str:
    if math.isnan(measured):
        return "and it cannot be measured: its last answers lack what the metric divides by"
    return f"measured {measured:.4g}"

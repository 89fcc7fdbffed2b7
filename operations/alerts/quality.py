"""Rules about how well a model answers: scores, groups, features, answers that cannot be used."""

from collections import deque
from itertools import takewhile

from anabranch.messages import GroupReport, LabelBalanceReport
from operations.alerts.finding import Asked, Finding, against, duration
from operations.picture import ModelPicture, Point

GROUP_EVENTS = 100
"""A group that has fewer says nothing yet."""
AMONG_RIGHT = ("equalized-odds", "accuracy", "error")
"""What groups are compared by that a model which is always right treats alike."""
LABELS_MIN = 300
"""Between shares of fewer labels the bound that ships is less than five standard deviations of chance."""


def score(model: ModelPicture, asked: Asked) -> Finding | None:
    """A windowed score against its bound; without a metric, those of `[constraints]`, and of several one that fails."""
    report, rule = model.report, asked.rule
    if report is None or report.event_number < rule.after_events:
        return None
    if rule.metric is not None:
        value = report.windowed.get(rule.metric)
        return None if value is None else against(rule, value, f"{rule.metric} is {value:.4g} over the window")
    found = [
        Finding(
            not each.allows(value),
            value,
            each.value,
            f"{each.metric} is {value:.4g} over the window; constraints.{each.key} is {each.value:g}",
        )
        for each in asked.settings.constraints.bounds
        if (value := report.windowed.get(each.metric)) is not None
    ]
    return next((each for each in found if each.is_on), found[0] if found else None)


def worsening(model: ModelPicture, asked: Asked) -> Finding | None:
    """A score of now less that of a window ago; without a metric, the champion's loss."""
    rule = asked.rule
    now, then = next(reversed(model.points.fine), None), _point_at(model, asked.now_s - rule.window)
    # A gap in the reports is no comparison: what is compared with has to be about as old as was asked.
    if now is None or then is None or then.at_s < asked.now_s - 1.5 * rule.window:
        return None
    if then.event_number < rule.after_events:
        return None
    name = rule.metric or "the champion's loss"
    value, before = _value(now, rule.metric), _value(then, rule.metric)
    if value is None or before is None:
        return None
    return against(rule, value - before, f"{name} is {value:.4g}, and was {before:.4g} {duration(rule.window)} ago")


def _value(point: Point, metric: str | None) -> float | None:
    return point.loss if metric is None else point.windowed.get(metric)


def _point_at(model: ModelPicture, at_s: float) -> Point | None:
    """The last point at that time."""
    return next(iter(deque(takewhile(lambda each: each.at_s <= at_s, model.points), maxlen=1)), None)


def unusable(model: ModelPicture, asked: Asked) -> Finding | None:
    """The share of the champion's answers that could not be used, lately."""
    report = model.report
    champion = next((each for each in report.members if each.kind == "champion"), None) if report else None
    if champion is None:
        return None
    return against(asked.rule, champion.unusable, f"{champion.unusable:.1%} of the champion's answers cannot be used")


def group_gap(model: ModelPicture, asked: Asked) -> Finding | None:
    """Between the groups that are served best and worst, of those with a hundred events or more."""
    groups = [each for each in (model.report.groups if model.report else ()) if each.events >= GROUP_EVENTS]
    by_feature: dict[str, list[GroupReport]] = {}
    for each in groups:
        by_feature.setdefault(each.feature, []).append(each)
    ends = [
        (min(several, key=lambda each: each.rate), max(several, key=lambda each: each.rate))
        for several in by_feature.values()
        if len(several) > 1
    ]
    if not ends:
        return None
    worst, best = max(ends, key=lambda each: each[1].rate - each[0].rate)
    by = f"by {worst.feature}, " if worst.feature else ""
    said = f"{by}group {worst.group} is served at {worst.rate:.3g}, group {best.group} at {best.rate:.3g}"
    return against(asked.rule, best.rate - worst.rate, said)


def fairness_gap(model: ModelPicture, asked: Asked) -> Finding | None:
    """The lower end of a gap between sensitive groups: it is at least as wide, and not by chance.

    Without a criterion those that a right model has none of: where groups differ in how often they are positive, it
    selects them differently.
    """
    wanted = (asked.rule.metric,) if asked.rule.metric else AMONG_RIGHT
    reports = model.report.fairness if model.report else ()
    gaps = [(each.feature, gap) for each in reports for gap in each.gaps if gap.criterion in wanted]
    if not gaps:
        return None
    feature, gap = max(gaps, key=lambda each: each[1].low)
    ends = f"({gap.least} to {gap.most}), at least {gap.low:.3g}"
    return against(asked.rule, gap.low, f"the {gap.criterion} gap by {feature} is {gap.difference:.3g} {ends}")


def feature_shift(model: ModelPicture, asked: Asked) -> Finding | None:
    """The population stability index of the feature that has moved furthest."""
    features = model.report.features if model.report else ()
    if not features:
        return None
    furthest = max(features, key=lambda each: each.psi)
    return against(
        asked.rule, furthest.psi, f"the distribution of {furthest.feature} has moved: PSI {furthest.psi:.2f}"
    )


def label_balance(model: ModelPicture, asked: Asked) -> Finding | None:
    """How far labels have moved since the champion began, as an effect size; of a model that has begun, nothing yet."""
    balance = model.report.balance if model.report else None
    if balance is None or min(balance.events_before, balance.events) < LABELS_MIN:
        return None
    return against(asked.rule, balance.effect, f"labels are not as when the champion began: {_moved(balance)}")


def _moved(balance: LabelBalanceReport) -> str:
    if balance.mean is not None:
        return f"their mean was {balance.mean_before:.4g}, and is {balance.mean:.4g} over the last {balance.events:,}"
    most = next(each for each in balance.shares if each.label == balance.furthest)
    return f"{most.label} was {most.before:.1%} of them, and is {most.now:.1%} of the last {balance.events:,}"

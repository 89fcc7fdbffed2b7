"""How things look to a person; figures as all views write them.

>>> listed({"accuracy": 0.91234, "mae": 1.5e98})
'accuracy 0.9123  mae 1.5e+98'
"""

from collections.abc import Iterable, Mapping

from anabranch.messages import (
    FairnessReport,
    LabelBalanceReport,
    LabelsReport,
    PublishedReport,
    RolloutReport,
    SegmentsReport,
)

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def figure(value: float) -> str:
    """Four decimals; as a power of ten where those would fill the line."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def rollout(told: RolloutReport | None) -> str:
    """How far a new champion has come; empty if none is on its way."""
    return "" if told is None else f"{told.share:g} % of the keys: {told.missing}"


def behind(published: PublishedReport | None) -> str:
    """How far behind followers are, where that is known, and what they wait for.

    >>> behind(PublishedReport(version=3, events=40, age_s=0.41, lost=0.0123, evidence=0.2))
    'followers lose 1.2 points; 40 events, 0.41 s old'
    >>> waits = "publish.bytes_per_s: 2.5 s more"
    >>> behind(PublishedReport(version=3, events=40, age_s=0.41, lost=None, evidence=0.0, waits=waits))
    'followers: 40 events, 0.41 s old, waiting for publish.bytes_per_s: 2.5 s more'
    """
    if published is None:
        return ""
    old = f"{published.events:,} events, {published.age_s:,.3g} s old" if published.events else "up to date"
    if published.waits:
        old += f", waiting for {published.waits}"
    return (
        f"followers lose {100 * published.lost:.1f} points; {old}"
        if published.lost is not None
        else f"followers: {old}"
    )


def span(seconds: float) -> str:
    """A span of time in the unit that it is told in.

    >>> span(0.4), span(90.0), span(21_600.0), span(45 * 86_400.0)
    ('0.4 s', '1.5 min', '6 h', '45 d')
    """
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def labels(report: LabelsReport | None) -> str:
    """How labels come in, where they come late.

    >>> from anabranch.messages import Coverage
    >>> old = Coverage(
    ...     mature_age_s=600.0, mature_loss=0.1, young_loss=0.2, mature_positives=None, young_positives=None
    ... )
    >>> ended = {"labelled": 90, "default": 10}
    >>> labels(LabelsReport(waiting=1200, oldest_s=900.0, early=0, endings=ended, coverage=old))
    'labels: 1,200 events wait, the oldest 15 min; 95 % come within 10 min; ended: 90 labelled, 10 default'
    """
    if report is None:
        return ""
    oldest = "" if report.oldest_s is None else f", the oldest {span(report.oldest_s)}"
    ended = ", ".join(f"{count:,} {ending}" for ending, count in report.endings.items())
    told = [f"{report.waiting:,} events wait{oldest}"]
    if report.endings.get("labelled"):  # of none it is not known
        told.append(f"95 % come within {span(report.coverage.mature_age_s)}")
    return f"labels: {'; '.join(told)}" + (f"; ended: {ended}" if ended else "")


def segments(report: SegmentsReport | None) -> str:
    """How per-segment models do, where there are some.

    >>> told = {"models": 1200, "ready": 1000, "serving": 31, "swapped_in": 40, "swapped_out": 9, "gain": 0.05}
    >>> segments(SegmentsReport(by="tenant", **told))
    'segments by tenant: 1,200 have a model, 31 are answered by it; let in 40 times, displaced 9; gain 0.0500'
    """
    if report is None:
        return ""
    gain = "" if report.gain is None else f"; gain {figure(report.gain)}"
    faults = f"; {report.faults:,} raised and began anew" if report.faults else ""
    return (
        f"segments by {report.by}: {report.models:,} have a model, {report.serving:,} are answered by it; "
        f"let in {report.swapped_in:,} times, displaced {report.swapped_out:,}{faults}{gain}"
    )


def balance(report: LabelBalanceReport | None) -> str:
    """How labels are distributed: the three that are most frequent, or a mean, with that of when the champion began.

    >>> from anabranch.messages import LabelShare
    >>> shares = (LabelShare(label="false", before=0.95, now=0.7), LabelShare(label="true", before=0.05, now=0.3))
    >>> balance(LabelBalanceReport(events_before=500, events=500, effect=0.71, shares=shares, furthest="true"))
    'of the labels false 70.0 % (was 95.0 %), true 30.0 % (was 5.0 %)'
    """
    if report is None:
        return ""
    if report.mean is not None and report.mean_before is not None:
        return f"labels: mean {figure(report.mean)} (was {figure(report.mean_before)})"
    first = [f"{each.label} {100 * each.now:.1f} % (was {100 * each.before:.1f} %)" for each in report.shares[:3]]
    return f"of the labels {', '.join(first)}"


def fairness(reports: Iterable[FairnessReport]) -> str:
    """By each sensitive feature the widest gap between groups, with its interval.

    >>> from anabranch.messages import GapReport
    >>> apart = {"most": "60 and over", "least": "under 30"}
    >>> gaps = (
    ...     GapReport(criterion="demographic-parity", difference=0.125, low=0.04, high=0.21, **apart),
    ...     GapReport(criterion="equal-opportunity", difference=0.25, low=0.0, high=0.5, **apart),
    ... )
    >>> fairness([FairnessReport(feature="age", groups=(), gaps=gaps)])
    'age: equal-opportunity gap 0.2500 (95 %: 0.0000 to 0.5000), from under 30 to 60 and over'
    """
    widest = {each.feature: max(each.gaps, key=lambda gap: gap.difference) for each in reports if each.gaps}
    return "; ".join(
        f"{feature}: {gap.criterion} gap {figure(gap.difference)} (95 %: {figure(gap.low)} to {figure(gap.high)}), "
        f"from {gap.least} to {gap.most}"
        for feature, gap in widest.items()
    )


def listed(values: Mapping[str, float], *, between: str = "  ") -> str:
    """Names and values in a line."""
    return between.join(f"{name} {figure(value)}" for name, value in values.items())

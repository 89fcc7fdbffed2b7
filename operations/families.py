"""The families of metrics: what each is called, what it says, and how it is read off what was told of a model.

A label has few values, whatever comes: kinds, stages, states and checks are fixed, detectors and metrics are named in a
configuration; of versions the newest are told apart. The number of an event, an id or a follower's name is in none.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, get_args

from anabranch.messages import (
    AlertKind,
    DeadLetter,
    DriftSignal,
    LifeState,
    ModelAck,
    ModelReport,
    UpdateKind,
)
from operations.counts import Counts, Growth
from operations.picture import ModelPicture

SILENT_S, GONE_S = 90.0, 3600.0
"""A follower tells every thirty seconds that it is there; after an hour without a word it counts no longer."""

VERSIONS_MAX = 5
"""Versions that are told apart, the newest; those before are `older`."""

SHADOW_KINDS = ("recruit", "displaced", "standing")

Values = Iterable[tuple[tuple[str, ...], float]]
"""The values of the labels, and the number."""


class Family(NamedTuple):
    """One family, without the prefix that all share.

    Args:
        labels: beside `model` and `scope`, which all have.
        read: of a model at a moment, epoch seconds.
    """

    name: str
    kind: Literal["counter", "gauge"]
    said: str
    labels: tuple[str, ...]
    read: Callable[[ModelPicture, float], Values]


# ── How values are read ─────────────────────────────────────────────────────────────────────────────────────────────

Reader = Callable[[ModelPicture, float], Values]


def _reported(value: Callable[[ModelReport], float | None]) -> Reader:
    """One number of the newest report; nothing where there is none."""

    def read(model: ModelPicture, now_s: float) -> Values:
        found = None if model.report is None else value(model.report)
        return () if found is None else (((), float(found)),)

    return read


def _reported_by(values: Callable[[ModelReport], Mapping[str, float]]) -> Reader:
    """Numbers of the newest report by the value of one label."""

    def read(model: ModelPicture, now_s: float) -> Values:
        return () if model.report is None else _labelled(values(model.report))

    return read


def _counted(counter: Callable[[Counts], Mapping[str, float]], known: Iterable[str] = ()) -> Reader:
    """Counts by one label; those that are known begin at 0, or Prometheus would not see the first one."""
    at_first = dict.fromkeys(known, 0.0)
    return lambda model, now_s: _labelled({**at_first, **counter(model.counts)})


def _grown(counters: Callable[[Counts], Mapping[str, Growth]]) -> Reader:
    return lambda model, now_s: _labelled({name: each.total for name, each in counters(model.counts).items()})


def _signals(model: ModelPicture, now_s: float) -> Values:
    """Each detector that is known has a count, if it has fired or not."""
    detectors = model.report.detectors if model.report else ()
    return _labelled({**dict.fromkeys((each.name for each in detectors), 0.0), **model.counts.signals})


def _labelled(values: Mapping[str, float]) -> Values:
    return [((name,), float(value)) for name, value in sorted(values.items())]


def _one(value: float) -> Values:
    return (((), float(value)),)


def _scores(model: ModelPicture, now_s: float) -> Iterator[tuple[tuple[str, ...], float]]:
    if model.report is not None:
        for metric, value in sorted(model.report.windowed.items()):
            yield (metric, "window"), value
        for metric, value in sorted(model.report.scores.items()):
            yield (metric, "life"), value


def _label_shares(report: ModelReport) -> dict[str, float]:
    return {each.label: each.now for each in report.balance.shares} if report.balance else {}


def _coverage(report: ModelReport) -> dict[str, float]:
    by_age = report.labels.coverage.by_age if report.labels else ()
    return {f"{each.age_s:g}": each.share for each in by_age}


def _loss(report: ModelReport) -> dict[str, float]:
    """The least loss of each kind of member: with several recruits the one that is nearest to winning counts."""
    found: dict[str, float] = {}
    for each in report.members:
        found[each.kind] = min(each.loss, found.get(each.kind, each.loss))
    return found


def _members(report: ModelReport) -> dict[str, float]:
    return dict.fromkeys(("champion", *SHADOW_KINDS), 0.0) | Counter(each.kind for each in report.members)


def _segments(report: ModelReport) -> dict[str, float]:
    """Segments that have a model of their own, and those that it answers for."""
    found = report.segments
    return {} if found is None else {"model": found.models, "answer": found.serving}


def best_evidence(report: ModelReport) -> float | None:
    """The highest evidence of a shadow, as a share of what a win needs; None where no trial is under way."""
    return max((each.verdict.evidence for each in report.members if each.verdict), default=None)


def group_gap(report: ModelReport) -> float | None:
    """Between the group that is served best and the one that is served worst, by one feature; None without groups."""
    rates: dict[str, list[float]] = {}
    for each in report.groups:
        rates.setdefault(each.feature, []).append(each.rate)
    return max((max(each) - min(each) for each in rates.values() if len(each) > 1), default=None)


def _gaps(model: ModelPicture, now_s: float) -> Iterator[tuple[tuple[str, ...], float]]:
    for each in model.report.fairness if model.report else ():
        for gap in each.gaps:
            ends = {"gap": gap.difference, "low": gap.low, "high": gap.high}
            yield from (((each.feature, gap.criterion, which), value) for which, value in ends.items())


def _levels(model: ModelPicture, now_s: float) -> Values:
    newest = next(reversed(model.points.fine), None)
    return () if newest is None else _labelled(newest.levels)


def _report_age(model: ModelPicture, now_s: float) -> Values:
    return () if model.report is None else _one(max(0.0, now_s - model.report_at_s))


def _announced_version(model: ModelPicture, now_s: float) -> Values:
    return _one(model.newest.version if model.newest else 0)


def _announced_age(model: ModelPicture, now_s: float) -> Values:
    newest = model.newest
    return () if newest is None or newest.kind == "retired" else _one(max(0.0, now_s - newest.announced_ts))


def _retired(model: ModelPicture, now_s: float) -> Values:
    return _one(model.newest is not None and model.newest.kind == "retired")


def _artifact_bytes(model: ModelPicture, now_s: float) -> Values:
    newest = model.newest
    return () if newest is None or newest.artifact is None else _one(newest.artifact.size_bytes)


def followers(model: ModelPicture, now_s: float) -> list[ModelAck]:
    """Those that are there, or have not been silent for long."""
    return [each for each in model.acks.values() if not each.left and now_s - each.ts <= GONE_S]


def _by_version(model: ModelPicture, now_s: float) -> Values:
    there = Counter(each.version for each in followers(model, now_s))
    newest = sorted((version for version in there if version), reverse=True)[:VERSIONS_MAX]
    told: Counter[str] = Counter()
    for version, count in there.items():
        told["none" if not version else str(version) if version in newest else "older"] += count
    return _labelled(told)


def _silent(model: ModelPicture, now_s: float) -> Values:
    return _one(sum(now_s - each.ts > SILENT_S for each in followers(model, now_s)))


def _pauses(report: ModelReport) -> dict[str, float]:
    pause = report.checkpoint_pause_s
    return {} if pause is None else {"last": pause.last, "largest": pause.largest}


def triggers(model: ModelPicture) -> list[DriftSignal]:
    """The signals on which retraining was decided."""
    several = (each.message for each in model.signals)
    return [each for each in several if isinstance(each, DriftSignal) and each.triggered]


# ── The families ────────────────────────────────────────────────────────────────────────────────────────────────────

_STAGES = get_args(DeadLetter.model_fields["stage"].annotation)

LEARNED = Family(
    "learned_events",
    "counter",
    "accepted events that were learned since this process began; those learned twice after a crash count twice",
    (),
    lambda model, now_s: _one(model.counts.learned.total),
)
EVENT_NUMBER = Family(
    "event_number",
    "gauge",
    "accepted events that the model has learned in its life",
    (),
    _reported(lambda report: report.event_number),
)

FAMILIES: tuple[Family, ...] = (
    LEARNED,
    EVENT_NUMBER,
    Family("unread_records", "gauge", "records that are still to be read (lag)", (), _reported(lambda r: r.unread)),
    Family(
        "learned_records_per_second",
        "gauge",
        "records taken in, a second, between the last two reports",
        (),
        _reported(lambda report: report.records_per_s),
    ),
    Family("report_age_seconds", "gauge", "since the learner has told how it does", (), _report_age),
    Family(
        "score",
        "gauge",
        "of the served answers, by metric: over the window, and over the model's life",
        ("metric", "span"),
        _scores,
    ),
    Family(
        "member_loss", "gauge", "least mean loss of a kind of member, over the window", ("kind",), _reported_by(_loss)
    ),
    Family("members", "gauge", "members of the arena", ("kind",), _reported_by(_members)),
    Family("segments", "gauge", "segments, by what is theirs", ("own",), _reported_by(_segments)),
    Family(
        "segments_gain",
        "gauge",
        "mean loss of the champion on what own models answered, less theirs",
        (),
        _reported(lambda report: report.segments.gain if report.segments else None),
    ),
    Family(
        "held_shadows",
        "gauge",
        "shadows that take part in fewer events, or in none, by the budget or at rest",
        (),
        _reported(lambda report: sum(each.stride != 1 for each in report.members)),
    ),
    Family(
        "published_loss_excess",
        "gauge",
        "mean loss of the announced copy, less the live champion's",
        (),
        _reported(lambda report: report.published.lost if report.published else None),
    ),
    Family(
        "best_evidence_ratio",
        "gauge",
        "evidence of the shadow that is nearest to a win; it wins at 1",
        (),
        _reported(best_evidence),
    ),
    Family(
        "detector_statistic",
        "gauge",
        "what a signal measures",
        ("detector",),
        _reported_by(lambda report: {d.name: d.statistic for d in report.detectors if d.statistic is not None}),
    ),
    Family(
        "detector_threshold",
        "gauge",
        "where it fires",
        ("detector",),
        _reported_by(lambda report: {d.name: d.threshold for d in report.detectors if d.threshold is not None}),
    ),
    Family("detector_level_ratio", "gauge", "statistic against threshold; it fires at 1", ("detector",), _levels),
    Family("signals", "counter", "signals, by detector", ("detector",), _signals),
    Family("triggers", "counter", "decisions to retrain", (), lambda model, now_s: _one(model.counts.triggers)),
    Family("retraining_jobs", "gauge", "retraining jobs under way", (), _reported(lambda report: report.jobs)),
    Family(
        "updates",
        "counter",
        "announcements, by kind",
        ("kind",),
        _counted(lambda counts: counts.updates, get_args(UpdateKind)),
    ),
    Family(
        "lifecycle_steps",
        "counter",
        "steps in the life of members, by the state they came to",
        ("state",),
        _counted(lambda counts: counts.steps, get_args(LifeState)),
    ),
    Family("announced_version", "gauge", "newest announced version; 0: none", (), _announced_version),
    Family("announced_age_seconds", "gauge", "since it was announced", (), _announced_age),
    Family("announced_bytes", "gauge", "its size", (), _artifact_bytes),
    Family("retired", "gauge", "1: the model is out of service", (), _retired),
    Family("followers", "gauge", "followers, by the version that they serve", ("version",), _by_version),
    Family("silent_followers", "gauge", "followers that have said nothing for 90 s", (), _silent),
    Family("pending_joins", "gauge", "events that wait for their label", (), _reported(lambda report: report.pending)),
    Family(
        "pending_oldest_seconds",
        "gauge",
        "event time since the one that waits longest was asked",
        (),
        _reported(lambda report: report.labels.oldest_s if report.labels else None),
    ),
    Family(
        "label_coverage_ratio",
        "gauge",
        "share of events that had their label by an age in seconds",
        ("age",),
        _reported_by(_coverage),
    ),
    Family(
        "label_maturity_seconds",
        "gauge",
        "age by which 95 % of the labels that come have come",
        (),
        _reported(lambda report: report.labels.coverage.mature_age_s if report.labels else None),
    ),
    Family(
        "label_endings",
        "counter",
        "events whose waiting has ended, by how",
        ("ending",),
        _grown(lambda counts: counts.endings),
    ),
    Family(
        "unusable_answers",
        "counter",
        "served answers that could not be used, by the reason",
        ("reason",),
        _grown(lambda counts: counts.unusable),
    ),
    Family(
        "feature_shift_psi",
        "gauge",
        "population stability index of the feature that has moved furthest",
        (),
        _reported(lambda report: max((each.psi for each in report.features), default=None)),
    ),
    Family(
        "label_balance_effect",
        "gauge",
        "how far labels have moved since the champion began: Cohen's h of a share, of numbers Cohen's d of the mean",
        (),
        _reported(lambda report: report.balance.effect if report.balance else None),
    ),
    Family("label_share_ratio", "gauge", "share of each label, lately", ("label",), _reported_by(_label_shares)),
    Family("group_gap", "gauge", "between the groups that are served best and worst", (), _reported(group_gap)),
    Family(
        "fairness_gap",
        "gauge",
        "between the groups by a sensitive feature, by what they are compared by; and the ends of its 95 % interval",
        ("feature", "criterion", "which"),
        _gaps,
    ),
    Family(
        "dead_letters",
        "counter",
        "refused records, by stage",
        ("stage",),
        _counted(lambda counts: counts.refused, _STAGES),
    ),
    Family(
        "alerts",
        "counter",
        "what the learner has asked somebody to look at, by kind",
        ("kind",),
        _counted(lambda counts: counts.alerts, get_args(AlertKind)),
    ),
    Family(
        "checkpoint_pause_seconds",
        "gauge",
        "how long the learner stood still for checkpoints, the last and the largest since the report before",
        ("which",),
        _reported_by(_pauses),
    ),
)

"""How a model does: the report, and its parts."""

from operator import not_
from typing import ClassVar, Literal

from pydantic import Field

from anabranch.messages.base import EventNumber, Message, is_none
from anabranch.messages.signals import SignalKind
from anabranch.messages.updates import ServedCounts, Verdict

SwapReason = Literal["evidence", "fault"]
Criterion = Literal[
    "demographic-parity",
    "equal-opportunity",
    "equalized-odds",
    "predictive-parity",
    "accuracy",
    "calibration",
    "error",
]
"""By what groups are compared."""


class OffPolicyReport(Message):
    """What a ranker would earn if it were shown, by what others have shown with known probabilities (SNIPS)."""

    events: int = Field(description="whose item it would have shown, too")
    value: float = Field(description="the share that would be taken of what it shows")
    low: float = Field(description="lower end of its 95 % confidence interval")
    high: float


class ListsReport(Message):
    """A ranker beside the champion: what its lists would earn, by lists that were shown with known probabilities."""

    lists: int = Field(description="since it entered or since the last swap")
    gain: float = Field(description="the share that would be taken of what it lists, less that of the champion")
    low: float = Field(description="lower end of its 95 % confidence interval, valid at all lists at once")
    high: float
    evidence: float = Field(
        description="the e-detector's value, as a share of what a win needs; the interval has to lie above 0, too"
    )


class MemberReport(Message):
    """How one member of the arena does."""

    name: str
    kind: Literal["champion", "recruit", "displaced", "standing"]
    loss: float = Field(description="mean bounded loss over the scores' window")
    stride: int = Field(default=1, description="it takes part in one of so many events; 0: paused, beyond the budget")
    unusable: float = Field(default=0.0, description="share of its answers that could not be used, lately")
    verdict: Verdict | None = None
    weight: float | None = Field(
        default=None, exclude_if=is_none, description="of its answer, while a blend of members is served"
    )
    off_policy: OffPolicyReport | None = Field(
        default=None, exclude_if=is_none, description="of a ranker, where events bring a `propensity`"
    )
    lists: ListsReport | None = Field(
        default=None, exclude_if=is_none, description="of a ranker that is not the champion, likewise"
    )


class CheckpointPause(Message):
    """How long the learner stood still for checkpoints since its last report, in seconds."""

    last: float
    largest: float


class PublishedReport(Message):
    """What followers have, beside the live champion."""

    version: int
    events: int = Field(description="accepted events since it was announced")
    age_s: float = Field(description="event time since then, in seconds")
    lost: float | None = Field(
        description="its mean loss less the live champion's, lately; null: not compared (`publish.refresh_level = 0`), "
        "or a new champion is rolled out"
    )
    evidence: float = Field(description="that it loses, as a share of what an announcement needs")
    waits: str = Field(default="", description="what keeps back an announcement that there is reason for: a setting")


class RolloutReport(Message):
    """How far a new champion has come with followers, which have the displaced one beside it."""

    kind: str = Field(description="canary, blue-green, ab, manual")
    share: float = Field(description="percent of the keys that it answers for")
    beside: int = Field(description="the version that answers for the others")
    labels: int = Field(description="that have come at this step")
    evidence: float = Field(description="that it is not worse, as a share of what the next step needs")
    gain: float = Field(description="mean loss of the displaced one less its own, over those labels, lately")
    missing: str = Field(description="what the next step waits for")
    served: ServedCounts | None = Field(
        default=None, exclude_if=is_none, description="what followers have told of it so far, on `model-acks`"
    )


class CoverageAt(Message):
    """Which share of the events that were asked at least so long ago had their label by that age."""

    age_s: float
    asked: int = Field(description="events that are as old")
    share: float


class Coverage(Message):
    """Which events have their labels, and how scores differ for it between those old enough and younger ones."""

    by_age: tuple[CoverageAt, ...] = ()
    mature_age_s: float = Field(description="when 95 % of the labels that come at all have come, in seconds")
    mature_loss: float | None = Field(description="mean loss of what was served, of events as old as that")
    young_loss: float | None = Field(description="likewise of younger ones, of which fewer labels are there")
    mature_positives: float | None = Field(description="share of positive labels among those of old events")
    young_positives: float | None = Field(description="likewise of younger ones: positives may come earlier")


class LabelsReport(Message):
    """What becomes of events whose label comes late."""

    waiting: int = Field(description="events without a label yet")
    oldest_s: float | None = Field(
        description="event time since the one that waits longest was asked; null: none waits"
    )
    early: int = Field(description="labels whose event is not there yet")
    endings: dict[str, int] = Field(
        description="events that have ended, by how; `corrected` counts corrections learned"
    )
    coverage: Coverage


class DetectorReport(Message):
    """How near a signal is to firing."""

    name: str
    kind: SignalKind
    statistic: float | None = Field(default=None, description="null: it has seen too little, or shows none")
    threshold: float | None = Field(default=None, description="null: it shows none")
    fires_below: bool = Field(default=False, exclude_if=not_, description="it fires below its threshold: a p-value")


class CalibrationBin(Message):
    """Of the answers whose probability lay in one tenth: what was said, and what came true."""

    events: int
    said: float = Field(description="mean probability: of the positive class, or of the label that was answered")
    came: float = Field(description="share of positive labels, or of right answers")


class TimeWindow(Message):
    """How the served answers were over a minute, an hour or a day that has ended.

    Its time is that of events; where labels are late, the time when they became known. An event that comes after its
    window has ended counts in the next one.
    """

    span: Literal["minute", "hour", "day"]
    start: float = Field(description="epoch seconds, UTC; it ends a span later, or with the report if that is sooner")
    events: int = Field(description="labelled events")
    scores: dict[str, float] = Field(description="by metric; those that are undefined on these events are left out")
    calibration: tuple[CalibrationBin, ...] = Field(default=(), description="of hours and days")


class FeatureReport(Message):
    """How a feature is distributed now, beside how it was when the champion began; as shares of the same bins."""

    feature: str
    psi: float = Field(description="population stability index; from .25 on it is another distribution")
    events: int = Field(description="in the newer one")
    edges: tuple[float, ...] = Field(default=(), description="of numbers: between the bins")
    categories: tuple[str, ...] = Field(default=(), description="of anything else: by bin; the last bin is all others")
    before: tuple[float, ...]
    now: tuple[float, ...]
    missing_before: float = Field(description="share of events that lack it")
    missing: float
    unseen: float = Field(default=0.0, description="share of values that were never seen before")
    importance: float | None = Field(
        default=None, exclude_if=is_none, description="how much the loss rises when its values are shuffled"
    )


class GroupReport(Message):
    """How one group is served (`constraints.group`)."""

    group: str
    events: int
    rate: float = Field(description="what `constraints.group_metric` names; for equalized-odds: of the positive labels")
    feature: str = Field(
        default="", exclude_if=not_, description="by which it is one, if `constraints.group` has several"
    )


class ServedGroup(Message):
    """How one group by a sensitive feature was served; a rate is null where it would divide by nothing."""

    group: str = Field(description="the feature's value, the band of a number, or `other`: those beyond `groups_max`")
    events: int = Field(description="labels that were scored")
    selection_rate: float | None = Field(
        default=None, exclude_if=is_none, description="share of positive answers (task = binary, as the next three)"
    )
    tpr: float | None = Field(default=None, exclude_if=is_none, description="the same, of positive labels (recall)")
    fpr: float | None = Field(default=None, exclude_if=is_none, description="the same, of negative labels")
    precision: float | None = Field(
        default=None, exclude_if=is_none, description="share of positive labels among positive answers"
    )
    accuracy: float | None = Field(default=None, exclude_if=is_none, description="share of right answers (classes)")
    said: float | None = Field(
        default=None,
        exclude_if=is_none,
        description="mean probability of the positive class, or of the class that was answered; null: not asked for",
    )
    came: float | None = Field(
        default=None,
        exclude_if=is_none,
        description="of the same events: share of positive labels, or of right answers",
    )
    error: float | None = Field(
        default=None, exclude_if=is_none, description="of numbers: mean absolute error, in the label's unit"
    )


class GapReport(Message):
    """How far groups lie apart: the group with the highest rate and the one with the lowest.

    Groups with fewer than 30 events that count for a rate are left out.
    """

    criterion: Criterion = Field(
        description="demographic-parity compares selection rates, equal-opportunity true positive rates, "
        "equalized-odds these and false positive rates (the larger gap counts), predictive-parity precision, "
        "calibration what was said less what came, error the bounded loss of numbers"
    )
    difference: float
    low: float = Field(description="lower end of its 95 % confidence interval, valid from where counting began")
    high: float
    most: str = Field(description="the group with the highest rate")
    least: str
    ratio: float | None = Field(
        default=None, exclude_if=is_none, description="of the lowest rate to the highest; null: undefined"
    )
    ratio_low: float | None = Field(default=None, exclude_if=is_none, description="as `low`, of the ratio")
    ratio_high: float | None = Field(default=None, exclude_if=is_none)


class FairnessReport(Message):
    """How groups by one sensitive feature were served, of the last labels since the champion began."""

    feature: str
    missing: int = Field(default=0, description="events that lack it, and are in no group")
    groups: tuple[ServedGroup, ...] = Field(description="the largest first")
    gaps: tuple[GapReport, ...] = Field(default=(), description="none before two groups have 30 events")


class LabelShare(Message):
    """What share of the labels is this one."""

    label: str = Field(description="as JSON has it as a key; `all others`: of those beyond ten")
    before: float = Field(description="when the champion began")
    now: float


class LabelBalanceReport(Message):
    """How labels are distributed lately, beside how they were when the champion began; as they have come."""

    events_before: int = Field(description="labels when the champion began")
    events: int = Field(description="the latest")
    effect: float = Field(
        description="how far they have moved: Cohen's h of the label that moved most, of numbers Cohen's d of the mean"
    )
    shares: tuple[LabelShare, ...] = Field(default=(), exclude_if=not_, description="of classes: most frequent first")
    furthest: str = Field(default="", exclude_if=not_, description="of classes: the label that moved most")
    mean_before: float | None = Field(default=None, exclude_if=is_none, description="of numbers, as are the next three")
    mean: float | None = Field(default=None, exclude_if=is_none)
    sd_before: float | None = Field(default=None, exclude_if=is_none, description="standard deviation")
    sd: float | None = Field(default=None, exclude_if=is_none)


class SegmentSwap(Message):
    """Somebody else answers for a segment: its own model, or the global champion again."""

    segment: str
    serves: bool = Field(description="whether it is the segment's own model")
    event_number: EventNumber = Field(description="accepted events so far")
    reason: SwapReason = Field(description="a fault: the model raised, and begins anew")
    evidence: float = Field(description="of the contest that decided it: see `arena.false_swap_every`")
    events: int = Field(description="labelled events of that contest")
    gain: float = Field(description="mean difference of the losses, as far back as the evidence reaches")
    low: float
    high: float
    learned: int = Field(description="labelled events that the segment's model had learned")


class SegmentsReport(Message):
    """How per-segment models do ([segments])."""

    by: str = Field(description="the feature whose values are segments, or @key")
    models: int = Field(description="segments that have a model")
    ready: int = Field(description="of them, how many can be in memory; the others are packed")
    serving: int = Field(description="segments that their own model answers for")
    swapped_in: int = 0
    swapped_out: int = 0
    faults: int = Field(default=0, description="models that raised, and began anew")
    too_large: int = Field(default=0, description="models that were not let in, since no announcement takes them")
    answered: int = Field(default=0, description="labelled events that an own model answered")
    gain: float | None = Field(default=None, description="mean loss of the champion on these, less that of the answers")
    swaps: tuple[SegmentSwap, ...] = Field(
        default=(), exclude_if=not_, description="since the last report, a hundred at most; by the clock: none"
    )


class ModelReport(Message):
    """How the learner does: every so many events (`publish.report_events`), and by the clock (`report_interval`)."""

    goes_to: ClassVar[str] = "reports"
    id: str
    model: str
    version: int
    event_number: EventNumber
    partition: int
    offset: int
    event_ts: float
    scores: dict[str, float]
    windowed: dict[str, float]
    members: tuple[MemberReport, ...]
    published: PublishedReport | None = Field(default=None, description="null: nothing is announced yet")
    pending: int = 0
    labels: LabelsReport | None = Field(
        default=None, exclude_if=is_none, description="left out where labels come with their events"
    )
    jobs: int = 0
    checkpoint_pause_s: CheckpointPause | None = Field(default=None, description="null: no checkpoint since")
    unusable: dict[str, int] = Field(
        default_factory=dict, description="served answers that could not be used, by the reason; each counts as wrong"
    )
    unscored: dict[str, int] = Field(default_factory=dict, description="answers a metric has raised on, by metric")
    lag: float | None = Field(
        default=None,
        exclude_if=is_none,
        description="while labels come late: events asked between an event and its label, on average",
    )
    rollout: RolloutReport | None = Field(
        default=None, exclude_if=is_none, description="of a champion that does not answer for all keys yet"
    )
    held: tuple[str, ...] = Field(
        default=(),
        exclude_if=not_,
        description="what holds until a person says otherwise: pinned or frozen, by whom and why; "
        "or the digest of a change envelope that is unapproved",
    )
    segments: SegmentsReport | None = Field(
        default=None, exclude_if=is_none, description="left out where there are no per-segment models"
    )
    notes: tuple[str, ...] = ()
    detectors: tuple[DetectorReport, ...] = Field(default=(), exclude_if=not_)
    windows: tuple[TimeWindow, ...] = Field(
        default=(), exclude_if=not_, description="that have ended since the last report; by the clock: none"
    )
    features: tuple[FeatureReport, ...] = Field(
        default=(), exclude_if=not_, description="those that have moved furthest first"
    )
    groups: tuple[GroupReport, ...] = Field(default=(), exclude_if=not_)
    fairness: tuple[FairnessReport, ...] = Field(
        default=(), exclude_if=not_, description="by each feature of `fairness.sensitive`"
    )
    balance: LabelBalanceReport | None = Field(
        default=None, exclude_if=is_none, description="null: there is nothing to compare yet"
    )
    unread: int | None = Field(
        default=None, exclude_if=is_none, description="records on the brokers that are still to be read"
    )
    records_per_s: float | None = Field(
        default=None, exclude_if=is_none, description="that were taken in, since the report before"
    )
    refused: dict[str, int] = Field(
        default_factory=dict, exclude_if=not_, description="dead letters by stage, since the learner has the model"
    )

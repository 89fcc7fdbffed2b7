"""The messages on the topics, each with the topic it goes to, and how they become bytes and come back.

Each is a frozen pydantic model; `anabranch schema` prints their JSON Schemas. Numbers on the wire are finite.
"""

from datetime import datetime
from operator import not_
from typing import Annotated, ClassVar, Literal, Self, TypeVar

import orjson
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from anabranch.errors import AnabranchError
from anabranch.values import spelt_out

Number = Annotated[float, Field(allow_inf_nan=False)]
Moment = Annotated[datetime | Number, BeforeValidator(spelt_out)]
EventNumber = Annotated[int, Field(validation_alias=AliasChoices("event_number", "event"))]
"""The ordinal of an accepted event, from 1. Messages of before it had this name are read, too."""

FeatureValue = bool | int | Number | str | None
LabelValue = bool | int | Number | str
SignalKind = Literal["error", "input", "prediction", "label", "threshold", "schedule", "volume"]
UpdateKind = Literal["first", "refresh", "swap", "rollback", "rebuild", "retired", "reinstated", "canary"]
LifeState = Literal["new", "recruiting", "arena", "paused", "probation", "serving", "displaced", "library", "gone"]
Level = Literal["info", "alert"]
AlertKind = Literal[
    "refused", "nothing-accepted", "unlabelled", "duplicates", "answers", "retraining", "log", "envelope"
]

SwapReason = Literal["evidence", "fault"]
AuditKind = Literal["start", "promotion", "request", "configuration", "envelope", "key", "rebuild", "loss", "act"]


def _is_none(value: object) -> bool:
    return value is None


class Message(BaseModel):
    """What all messages share: immutable, and no key that nobody knows."""

    goes_to: ClassVar[str] = ""
    """The key in `[topics]` of the topic that it is published on; empty for a part of another message."""
    model_config = ConfigDict(frozen=True, extra="forbid")


class Event(Message):
    """Something that happened, with its features, and with its label if that is already known.

    The Kafka key is the entity (a customer, a station). A null feature is a missing one.
    """

    goes_to: ClassVar[str] = "events"
    id: str = Field(min_length=1, description="unique; a repeated id within the window is a duplicate")
    ts: Moment = Field(description="when it happened: RFC 3339 or epoch seconds")
    features: dict[str, FeatureValue]
    label: LabelValue | None = Field(default=None, description="absent or null: it comes later")


class Label(Message):
    """The label of an event that was published without one; or that there can be none."""

    goes_to: ClassVar[str] = "labels"
    id: str = Field(min_length=1, description="the event's id")
    ts: Moment = Field(description="when the label became known: RFC 3339 or epoch seconds")
    label: LabelValue | None = Field(default=None, description="null only where it is blocked")
    revision: int = Field(default=0, ge=0, description="0 for the first; the same twice is a duplicate")
    blocked: str = Field(
        default="",
        max_length=500,
        description="why there can be no label: a payment that was declined, an item that was never shown",
    )


class Example(Message):
    """What a model has learned: an event with the features of when it was asked, and its label.

    Of several records with one number those of the latest epoch count, then of the latest checkpoint, then of who has
    begun last: a learner that was killed has told some that its successor learns once more, perhaps in another order.
    """

    goes_to: ClassVar[str] = "examples"
    number: int = Field(ge=0, description="its place among all that the model has learned, from 0")
    model: str
    scope: str = "global"
    epoch: int
    checkpoint: int = Field(description="number of the last checkpoint before it, of the learner that tells it")
    began: float = Field(description="when that learner gained the model, epoch seconds")
    id: str = Field(description="the event's")
    ts: float = Field(description="the event's, epoch seconds")
    features: dict[str, FeatureValue] = Field(description="as of when it was asked; missing ones are left out")
    label: LabelValue
    label_ts: float = Field(description="when the label became known, epoch seconds; of a default, when it was given")
    ending: Literal["labelled", "default"] = "labelled"
    corrects: bool = Field(default=False, description="a correction: the event was learned before with another label")


class LogRange(Message):
    """A contiguous part of one partition: offsets `start` (included) to `end` (excluded)."""

    partition: int = Field(ge=0)
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class TopicRange(LogRange):
    """A contiguous part of one partition of a topic."""

    topic: str


class TrainedOn(Message):
    """What a model learned before it entered the arena (a recruit) or before it served (a first champion)."""

    ranges: tuple[LogRange, ...] = ()
    events: int = Field(default=0, description="accepted events in the ranges, the gap included")
    note: str = ""


class MovedFeature(Message):
    """A feature whose distribution is another one than when the champion began: how far it moved, and from where to."""

    feature: str
    test: str = Field(description="ks, psi, jensen-shannon, wasserstein; missing; new-category")
    statistic: float
    threshold: float
    p_value: float
    before: dict[str, float] = Field(default_factory=dict, description="mean, sd, missing; or shares of categories")
    after: dict[str, float] = {}


class CountedSignal(Message):
    """A signal that counted towards a trigger, and where it fired."""

    detector: str
    kind: SignalKind
    event_number: EventNumber
    partition: int
    offset: int
    statistic: float
    threshold: float


class DriftSignal(Message):
    """A signal: something changed, or it is time. (Whether to retrain is the trigger's decision.)"""

    goes_to: ClassVar[str] = "signals"
    id: str
    model: str
    detector: str
    partition: int
    offset: int = Field(description="of the event on which it fired")
    event_number: EventNumber = Field(description="that event's place among all accepted events, from 1")
    statistic: float
    threshold: float
    change_point: int = Field(description="estimated first accepted event after the change, from 1")
    window_events: int = Field(description="accepted events since the change point")
    triggered: bool = Field(description="whether retraining was decided on it")
    kind: SignalKind = "error"
    moved: tuple[MovedFeature, ...] = Field(default=(), description="the features that moved most, furthest first")
    counted: tuple[CountedSignal, ...] = Field(default=(), description="all signals that the decision rests on")
    window: tuple[LogRange, ...] = Field(default=(), description="the records since the change: what to retrain on")
    withheld: str = Field(default="", description="why retraining was not decided: cooldown, budget, jobs, …")
    dry_run: bool = Field(default=False, description="decided, and only told: trigger.dry_run is on")


class ModelPrediction(Message):
    """What a scorer answered to an event, or its learner. Of several with one id and one `by`, any will do.

    There are several where events were published twice, and where a learner went on from a checkpoint.
    """

    goes_to: ClassVar[str] = "predictions"
    id: str = Field(description="the event's id")
    by: Literal["scorer", "learner"] = Field(
        default="scorer", description="a scorer: the model that it follows; the learner: its live champion"
    )
    model: str
    scope: str = "global"
    version: int = Field(description="of the model; the learner's champion has learned on since; 0: none is announced")
    epoch: int
    seq: int
    event_number: EventNumber = Field(description="labelled events that the model had learned")
    partition: int = Field(description="of the event")
    offset: int
    ts: float = Field(description="when it was answered, epoch seconds")
    age_s: float = Field(description="since the model was what its learner had, in seconds")
    prediction: LabelValue | None = Field(description="the label or number; null: the model could not answer")
    probabilities: dict[str, float] = Field(default_factory=dict, description="by label, where the model has them")
    missing: tuple[str, ...] = Field(
        default=(), description="by a scorer: features that the model knows and the event lacks"
    )
    unknown: tuple[str, ...] = Field(
        default=(), description="by a scorer: features that the model has never seen, left out"
    )
    failure: str = Field(default="", description="why it could not answer")


class Verdict(Message):
    """What the arena found between a shadow and the champion it met."""

    events: int = Field(description="contested events; lists, where `arena.evidence` is off-policy")
    gain_events: int = Field(description="those since the shadow was last behind, over which the gain is taken")
    gain: float = Field(description="mean loss of the champion less that of the shadow, in [-1, 1]")
    low: float = Field(description="lower end of its 95 % confidence interval, valid from where it begins")
    high: float
    evidence: float = Field(description="the e-detector's value, as a share of what a win needs")
    gap_won: float | None = Field(
        default=None,
        exclude_if=_is_none,
        description="how much narrower than the champion's its gap between groups is, lately (`constraints.group`)",
    )
    lost: float | None = Field(
        default=None,
        exclude_if=_is_none,
        description="what that costs: its mean loss less the champion's, lately; for labels, accuracy lost",
    )


class ArtifactPointer(Message):
    """Where the bytes of a model lie."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    chunks: int
    sha256: str
    size_bytes: int


class ModelUpdate(Message):
    """A model goes live, or is taken out of service. Readers order updates by (epoch, seq) and heed the highest.

    Of kind `retired` it holds no model: the version it names is out of service, as are all before it, until a later
    update. Readers answer nothing meanwhile. Of kind `canary` it answers for a `share` of the keys only, and the last
    one of another kind for the others, until one of these comes.
    """

    goes_to: ClassVar[str] = "updates"
    model: str
    scope: str = "global"
    version: int
    kind: UpdateKind
    epoch: int
    seq: int
    event_number: EventNumber = Field(description="accepted events when it was decided")
    partition: int
    offset: int
    event_ts: float = Field(description="event time of that event, epoch seconds")
    announced_ts: float = Field(description="just before its bytes went out, epoch seconds")
    reason: str
    by: str = Field(default="", exclude_if=not_, description="who asked for it, if somebody did")
    member: str = Field(description="which member won: its name in the arena")
    displaced_version: int | None = None
    share: Number | None = Field(
        default=None, ge=0, lt=100, exclude_if=_is_none, description="`canary`: percent of the keys that it answers for"
    )
    beside: int | None = Field(
        default=None, exclude_if=_is_none, description="`canary`: the version that answered for all keys before"
    )
    restores: int | None = Field(default=None, description="a rollback: the version that is better after all")
    parent: int | None = Field(
        default=None,
        description="the version of which this model has learned on: its own before, or that which it is a copy of",
    )
    trigger: str = Field(
        default="",
        description="id of the drift signal or the request that brought the model; empty: the first, a standing shadow",
    )
    trained_on: TrainedOn = TrainedOn()
    lost: float | None = Field(
        default=None, description="what followers of the version before lost against the live champion, in mean loss"
    )
    verdict: Verdict | None = None
    constraints: dict[str, float] = Field(default_factory=dict, description="measured values that passed")
    scores: dict[str, float] = Field(default_factory=dict, description="the served scores so far")
    positions: dict[str, int] = Field(
        default_factory=dict,
        description="the next offset of each 'topic/partition': all before it was taken in, what waits for a label too",
    )
    order: str = Field(
        default="",
        description="id of the `LearnedOrder` after which the champion is as it is here; empty: it learns no more",
    )
    envelope: str = Field(
        default="",
        exclude_if=not_,
        description="digest of the change envelope that it arose in: what its configuration lets change by itself",
    )
    artifact: ArtifactPointer | None = Field(default=None, description="null: `retired`")
    river: str
    python: str
    numpy: str

    @model_validator(mode="after")
    def _with_or_without_a_model(self) -> Self:
        if (self.artifact is None) != (self.kind == "retired"):
            raise ValueError("an update has an artifact, and none if it is of kind `retired`")
        if (self.share is None) == (self.kind == "canary"):
            raise ValueError("an update of kind `canary` has a share, and no other has one")
        return self

    @property
    def is_step(self) -> bool:
        """Whether it takes a rollout further; between two steps the same share is announced as it has become."""
        return self.kind == "canary" and self.displaced_version is not None

    @property
    def pointer(self) -> ArtifactPointer:
        """Where its model lies; one of kind `retired` has none."""
        assert self.artifact is not None, "whoever wants a model asks for the kind first"
        return self.artifact


class ServedCounts(Message):
    """How often a version that is being rolled out was asked, how often the one beside it, and what came of that.

    Of one follower since it has both, or of all since the learner heard of it last.
    """

    beside: int = Field(description="the version that is displaced")
    answers: int = Field(default=0, ge=0, description="that were asked of the new one, failures included")
    failures: int = Field(default=0, ge=0, description="the model raised, or answered no usable number")
    slow: int = Field(default=0, ge=0, description="answers that took longer than `rollout.slow`")
    answers_beside: int = Field(default=0, ge=0, description="as `answers`, of the displaced one")
    failures_beside: int = Field(default=0, ge=0)
    slow_beside: int = Field(default=0, ge=0)
    serving: int = Field(default=0, ge=0, description="followers that have both in use; 1 of a follower's own")
    refusing: int = Field(default=0, ge=0, description="followers that have refused the new one for good")


class ModelAck(Message):
    """Which version a follower serves: told when it changes, and now and then so that its silence can be noticed."""

    goes_to: ClassVar[str] = "acks"
    follower: str = Field(description="its name, as it was given")
    model: str
    scope: str = "global"
    version: int = Field(description="in use; 0: none yet, or the model is retired")
    epoch: int
    seq: int
    ts: float = Field(description="when it was told, epoch seconds, by the follower's clock")
    taken_s: float | None = Field(
        default=None,
        description="seconds from its announcement to its use; null: it was announced before the follower began",
    )
    refusals: dict[str, int] = Field(default_factory=dict, description="updates that it has refused, by the check")
    last_refusal: str = Field(default="", description="why, the last time")
    left: bool = Field(default=False, description="it has ended well, and serves nothing any more")
    served: ServedCounts | None = Field(
        default=None, exclude_if=_is_none, description="while a new champion is being rolled out: what it was asked"
    )


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
        default=None, exclude_if=_is_none, description="of its answer, while a blend of members is served"
    )
    off_policy: OffPolicyReport | None = Field(
        default=None, exclude_if=_is_none, description="of a ranker, where events bring a `propensity`"
    )
    lists: ListsReport | None = Field(
        default=None, exclude_if=_is_none, description="of a ranker that is not the champion, likewise"
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
        default=None, exclude_if=_is_none, description="what followers have told of it so far, on `model-acks`"
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
        default=None, exclude_if=_is_none, description="how much the loss rises when its values are shuffled"
    )


class GroupReport(Message):
    """How one group is served (`constraints.group`)."""

    group: str
    events: int
    rate: float = Field(description="what `constraints.group_metric` names; for equalized-odds: of the positive labels")
    feature: str = Field(
        default="", exclude_if=not_, description="by which it is one, if `constraints.group` has several"
    )


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


class ServedGroup(Message):
    """How one group by a sensitive feature was served; a rate is null where it would divide by nothing."""

    group: str = Field(description="the feature's value, the band of a number, or `other`: those beyond `groups_max`")
    events: int = Field(description="labels that were scored")
    selection_rate: float | None = Field(
        default=None, exclude_if=_is_none, description="share of positive answers (task = binary, as the next three)"
    )
    tpr: float | None = Field(default=None, exclude_if=_is_none, description="the same, of positive labels (recall)")
    fpr: float | None = Field(default=None, exclude_if=_is_none, description="the same, of negative labels")
    precision: float | None = Field(
        default=None, exclude_if=_is_none, description="share of positive labels among positive answers"
    )
    accuracy: float | None = Field(default=None, exclude_if=_is_none, description="share of right answers (classes)")
    said: float | None = Field(
        default=None,
        exclude_if=_is_none,
        description="mean probability of the positive class, or of the class that was answered; null: not asked for",
    )
    came: float | None = Field(
        default=None,
        exclude_if=_is_none,
        description="of the same events: share of positive labels, or of right answers",
    )
    error: float | None = Field(
        default=None, exclude_if=_is_none, description="of numbers: mean absolute error, in the label's unit"
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
        default=None, exclude_if=_is_none, description="of the lowest rate to the highest; null: undefined"
    )
    ratio_low: float | None = Field(default=None, exclude_if=_is_none, description="as `low`, of the ratio")
    ratio_high: float | None = Field(default=None, exclude_if=_is_none)


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
    mean_before: float | None = Field(
        default=None, exclude_if=_is_none, description="of numbers, as are the next three"
    )
    mean: float | None = Field(default=None, exclude_if=_is_none)
    sd_before: float | None = Field(default=None, exclude_if=_is_none, description="standard deviation")
    sd: float | None = Field(default=None, exclude_if=_is_none)


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


class SegmentModel(Message):
    """Who answers for a segment, for followers: its own model, or the global champion again.

    Of several of one segment that of the latest epoch counts, and of these that of the latest event. (A tombstone would
    say the same of the champion, in no order and with nobody's signature.)
    """

    goes_to: ClassVar[str] = "segments"
    model: str
    scope: str = "global"
    epoch: int = Field(description="it counts beside an update of this epoch, or of one before")
    by: str = Field(description="the feature whose value the segment is, or @key")
    segment: str
    event_number: EventNumber = Field(description="accepted events of the whole model, when it was so")
    learned: int = Field(description="labelled events of the segment that it had learned")
    announced_ts: float = Field(description="epoch seconds")
    artifact_base64: str = Field(
        description="the model's bytes, as `statetree` reads them; empty: the champion answers"
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
        default=None, exclude_if=_is_none, description="left out where labels come with their events"
    )
    jobs: int = 0
    checkpoint_pause_s: CheckpointPause | None = Field(default=None, description="null: no checkpoint since")
    unusable: dict[str, int] = Field(
        default_factory=dict, description="served answers that could not be used, by the reason; each counts as wrong"
    )
    unscored: dict[str, int] = Field(default_factory=dict, description="answers a metric has raised on, by metric")
    lag: float | None = Field(
        default=None,
        exclude_if=_is_none,
        description="while labels come late: events asked between an event and its label, on average",
    )
    rollout: RolloutReport | None = Field(
        default=None, exclude_if=_is_none, description="of a champion that does not answer for all keys yet"
    )
    held: tuple[str, ...] = Field(
        default=(), exclude_if=not_, description="what is held by a person's word: pinned or frozen, by whom and why"
    )
    segments: SegmentsReport | None = Field(
        default=None, exclude_if=_is_none, description="left out where there are no per-segment models"
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
        default=None, exclude_if=_is_none, description="null: there is nothing to compare yet"
    )
    unread: int | None = Field(
        default=None, exclude_if=_is_none, description="records on the brokers that are still to be read"
    )
    records_per_s: float | None = Field(
        default=None, exclude_if=_is_none, description="that were taken in, since the report before"
    )
    refused: dict[str, int] = Field(
        default_factory=dict, exclude_if=not_, description="dead letters by stage, since the learner has the model"
    )


class Transition(Message):
    """A model takes a step in its life: see the drawing in docs/ARCHITECTURE.md."""

    goes_to: ClassVar[str] = "lifecycle"
    id: str
    model: str
    member: str = Field(description="its name in the arena")
    before: LifeState
    after: LifeState = Field(description="the same as before: a win that was held back")
    reason: str
    level: Level = Field(default="info", description="alert: somebody should look at it")
    event_number: EventNumber = Field(description="accepted events so far")
    partition: int
    offset: int
    event_ts: float


class Alert(Message):
    """Something that a person should look at: it goes on, but not as it was meant to."""

    goes_to: ClassVar[str] = "alerts"
    id: str
    model: str
    kind: AlertKind = Field(description="what it is about")
    level: Level = Field(default="alert", description="info: the first of its kind, worth knowing")
    reason: str = Field(description="what was found, and what to do")
    event_number: EventNumber = Field(description="accepted events so far")
    positions: dict[str, int] = Field(description="the next offset of each 'topic/partition', when it was noticed")


class AuditRecord(Message):
    """A change of a model, or of what may change it: who, when, why, before and after. See `anabranch.chain`.

    The kinds: start: a process has begun to learn the model, or has taken it over; promotion: a version was announced,
    or the model retired; request: what a person asked for was answered, or refused; configuration, envelope, key: what
    the learner goes by is another than before; rebuild: the log is learned once more; loss: it went on without records
    that are gone; act: somebody has told what they did beside the learner.
    """

    goes_to: ClassVar[str] = "audit"
    id: str
    number: int = Field(description="its place in the chain, from 1")
    follows: str = Field(description="SHA-256 of the value of the record before it; empty: the first of its chain")
    model: str
    scope: str = "global"
    kind: AuditKind
    ts: float = Field(description="by the learner's clock, epoch seconds")
    who: str = Field(description="the person who asked, as they call themselves; or the learner's process")
    why: str
    before: str = Field(description="a version, a digest, a process, or what was held; by the kind")
    after: str
    done: bool = Field(default=True, description="false: it was asked for, and nothing came of it")
    request: str = Field(default="", exclude_if=not_, description="id of the request")
    version: int = Field(description="of the last announcement, this one included")
    epoch: int
    seq: int = Field(description="of the last update, this one included")
    event_number: EventNumber = Field(description="accepted events so far")
    positions: dict[str, int] = Field(description="the next offset of each 'topic/partition'")
    envelope: str = Field(description="digest of the change envelope in use")
    details: dict[str, str] = Field(
        default_factory=dict, exclude_if=not_, description="the envelope's text, sections that changed, an artifact"
    )


class DeadLetter(Message):
    """A record that was refused, and why. The learning state is as if it had never been."""

    goes_to: ClassVar[str] = "dead_letters"
    id: str
    topic: str
    partition: int
    offset: int
    stage: Literal["decode", "schema", "limits", "type", "label", "time", "learn"]
    reason: str
    value_base64: str = Field(description="the record's bytes, cut at a bound")
    value_bytes: int = Field(description="their number before the cut, and before anything was taken out")
    redacted: Literal["", "values", "all"] = Field(
        default="",
        exclude_if=not_,
        description="what was taken out of the bytes (`[privacy]`): values, or all, since they could not be read",
    )
    value_digest: str = Field(
        default="",
        exclude_if=not_,
        description="of bytes that were all taken out: SHA-256, with a key of pseudonyms HMAC-SHA256; hexadecimal",
    )


CONTROL_PARTITION = 0
"""Of the control topic a learner reads this partition alone, so that requests have one order."""


class Retrain(Message):
    """A request: retrain now. It is answered once, by a `RetrainAnswer`."""

    goes_to: ClassVar[str] = "control"
    id: str = Field(min_length=1, max_length=200, description="unique; the answer bears it")
    model: str
    ts: float = Field(description="when it was asked, epoch seconds")
    reason: str = Field(min_length=1, max_length=2000)
    by: str = Field(default="", max_length=200, description="who asks")
    events: int = Field(default=0, ge=0, description="retrain on the last so many; 0: as configured")


class RetrainAnswer(Message):
    """What became of a request to retrain."""

    goes_to: ClassVar[str] = "answers"
    id: str
    model: str
    request: str = Field(description="the request's id")
    event_number: EventNumber = Field(description="accepted events when it was answered")
    accepted: bool = Field(description="whether a retraining has begun")
    withheld: str = Field(default="", description="why none has: no event learned yet, jobs under way, …")
    window: tuple[LogRange, ...] = Field(default=(), description="the records to retrain on, if so many were asked for")
    reason: str = Field(default="", description="of the request")
    by: str = Field(default="", description="who asked")


class Retire(Message):
    """A request: take the model out of service, or announce it anew. It is answered once, by a `RetireAnswer`."""

    goes_to: ClassVar[str] = "control"
    id: str = Field(min_length=1, max_length=200, description="unique; the answer bears it")
    model: str
    ts: float = Field(description="when it was asked, epoch seconds")
    step: Literal["retire", "reinstate"]
    # Not `reason`, with which learners of before this message would take it for a request to retrain.
    why: str = Field(min_length=1, max_length=2000)
    by: str = Field(default="", max_length=200, description="who asks")


class RetireAnswer(Message):
    """What became of a request to retire a model, or to reinstate it."""

    goes_to: ClassVar[str] = "answers"
    id: str
    model: str
    request: str = Field(description="the request's id")
    step: Literal["retire", "reinstate"]
    event_number: EventNumber = Field(description="accepted events when it was answered")
    version: int = Field(description="that is out of service; that is announced anew, 0: as soon as one can be")
    accepted: bool = Field(description="whether it is done")
    withheld: str = Field(default="", description="why not: nothing is announced yet, it is retired already, …")
    why: str
    by: str = Field(default="", description="who asked")


Step = Literal["approve", "withdraw", "promote", "rollback", "pin", "unpin", "freeze", "thaw", "envelope"]


class Decision(Message):
    """A request: a person's word on who answers, and on what is learned. It is answered once, by a `DecisionAnswer`."""

    goes_to: ClassVar[str] = "control"
    id: str = Field(min_length=1, max_length=200, description="unique; the answer bears it")
    model: str
    ts: float = Field(description="when it was asked, epoch seconds")
    step: Step = Field(
        description="approve: the new champion answers for all keys; withdraw: the displaced one does, as before; "
        "promote: a shadow takes the champion's place; rollback: a displaced champion in its probation does; "
        "pin: nothing is swapped until unpin; freeze: nothing is learned either, until thaw; envelope: the change "
        "envelope that the learner has come to is approved"
    )
    member: str = Field(default="", max_length=200, exclude_if=not_, description="`promote`: the shadow's name")
    version: int | None = Field(
        default=None, exclude_if=_is_none, description="`rollback`: the displaced version; null: the last one"
    )
    envelope: str = Field(
        default="", max_length=100, exclude_if=not_, description="`envelope`: the digest of the one that is approved"
    )
    why: str = Field(min_length=1, max_length=2000)
    by: str = Field(default="", max_length=200, description="who asks")


class DecisionAnswer(Message):
    """What became of a decision."""

    goes_to: ClassVar[str] = "answers"
    id: str
    model: str
    request: str = Field(description="the request's id")
    step: Step
    event_number: EventNumber = Field(description="accepted events when it was answered")
    version: int = Field(description="of the last announcement, the one by this decision included")
    accepted: bool = Field(description="whether it is done")
    withheld: str = Field(default="", description="why not: nothing is being rolled out, …")
    why: str
    by: str = Field(default="", description="who asked")


class Act(Message):
    """What somebody has done beside the learner, such as publishing dead letters once more: told for the audit."""

    goes_to: ClassVar[str] = "control"
    id: str = Field(min_length=1, max_length=200, description="unique; the audit's record bears it")
    model: str
    ts: float = Field(description="when it was done, epoch seconds")
    act: Literal["redrive"]
    what: str = Field(max_length=2000, description="what was done, in words")
    why: str = Field(min_length=1, max_length=2000)
    by: str = Field(default="", max_length=200, description="who has done it")


class JobReturned(Message):
    """A retraining came back, and its recruits entered; or it failed."""

    job: str
    failure: str = Field(default="", description="why it came to nothing")
    failures: dict[str, str] = Field(default_factory=dict, description="of some of its recruits, by their plan")


class Measured(Message):
    """What members cost: who takes part in one of so many events only, and who is too slow to win."""

    stride: dict[str, int] = Field(default_factory=dict, description="by member; 0: paused")
    too_slow: dict[str, float] = Field(default_factory=dict, description="microseconds a prediction, by member")


class TrainJob(Message):
    """A retraining job for whoever takes it: one of the learner's workers, on any machine.

    Beside it on the topic lie the job's bytes in chunks, under keys that hold a slash; a message's key holds none.
    """

    goes_to: ClassVar[str] = "train_jobs"
    id: str = Field(description="digest of the job and of the settings that its models depend on")
    model: str
    job: str = Field(description="what the learner calls it")
    ts: float = Field(description="when it was put there, epoch seconds")
    until: float = Field(description="epoch seconds after which nobody waits for it")
    data: ArtifactPointer = Field(description="where the job's bytes lie")


class TrainResult(Message):
    """What came of a job. The first for a job counts; a later one is the same, or nobody waits for it."""

    goes_to: ClassVar[str] = "train_results"
    id: str = Field(description="the job's")
    model: str
    job: str
    by: str = Field(default="", max_length=200, description="the worker that carried it out: user, host and process")
    ts: float = Field(description="when that was, epoch seconds")
    failure: str = Field(default="", description="why it was not carried out; then there are no bytes")
    data: ArtifactPointer | None = Field(default=None, description="where the trained models' bytes lie")


class EnvelopeEntered(Message):
    """A learner went on under another change envelope."""

    digest: str
    approved: bool = Field(description="otherwise nothing is swapped by itself until a person approves it")


class ExamplesTold(Message):
    """Examples by their numbers, `start` (included) to `end` (excluded), and where they were told."""

    topic: str
    partition: int
    start: int
    end: int


class LearnedOrder(Message):
    """What a model has learned since the message that this one follows, in order: first the runs, then the inputs.

    Published before the commit that covers it, so that nothing committed is untold; after a restart some of it is told
    once more. `anabranch.order` reads which messages count.
    """

    goes_to: ClassVar[str] = "learned"
    id: str = Field(description="digest of what is told and of `follows`: the same again has the same id")
    follows: str = Field(description="id of the message before it; empty: the first of all")
    model: str
    scope: str = "global"
    epoch: int
    checkpoint: int = Field(description="number of the last checkpoint before it, of the learner that tells it")
    began: float = Field(description="when that learner gained the model, epoch seconds")
    event_number: EventNumber = Field(description="labelled events learned so far")
    version: int = Field(description="of the last announcement before it")
    runs: tuple[TopicRange, ...] = Field(
        default=(), description="records that reached the model, in order; refused ones and duplicates are left out"
    )
    frozen: bool = Field(
        default=False, exclude_if=not_, description="learning is frozen: nothing of the runs was learned"
    )
    other_log: str = Field(
        default="",
        description="inputs after the runs: the log is another from here on, and places of before are forgotten",
    )
    examples: ExamplesTold | None = Field(
        default=None,
        exclude_if=_is_none,
        description="what was learned of the runs, where it is told: by the same learner, so of its `epoch` and so on",
    )
    envelope: EnvelopeEntered | None = Field(
        default=None, exclude_if=_is_none, description="then the change envelope became another"
    )
    returned: tuple[JobReturned, ...] = Field(default=(), description="then retraining jobs")
    requests: tuple[Retrain, ...] = Field(default=(), description="then requests to retrain")
    measured: Measured | None = Field(default=None, description="then what members cost")
    unkeepable: tuple[str, ...] = Field(default=(), description="then shadows left, whose state cannot be kept")
    rebuilt: str = Field(default="", description="then a rebuilt champion went live; why")
    # Left out where it is empty: the id, which is a digest, is then what it was before there was this key.
    reinstated: str = Field(default="", exclude_if=not_, description="then a retired champion went live again; why")
    decided: Decision | None = Field(
        default=None, exclude_if=_is_none, description="then somebody decided something, and it was done"
    )
    served: ServedCounts | None = Field(
        default=None, exclude_if=_is_none, description="then it was heard what followers make of a rollout"
    )


PUBLISHED: tuple[type[Message], ...] = (
    Event,
    Label,
    Example,
    DriftSignal,
    ModelUpdate,
    ModelReport,
    Transition,
    Alert,
    AuditRecord,
    DeadLetter,
    Retrain,
    RetrainAnswer,
    Retire,
    RetireAnswer,
    Decision,
    DecisionAnswer,
    Act,
    LearnedOrder,
    TrainJob,
    TrainResult,
    ModelPrediction,
    ModelAck,
)


# ── Messages to bytes and back: JSON by orjson ──────────────────────────────────────────────────────────────────────

BOM = b"\xef\xbb\xbf"
"""With which some editors begin a text."""

M = TypeVar("M", bound=Message)


class UnreadableMessage(AnabranchError):
    """Bytes that are not the message they should be."""


def encode(message: Message) -> bytes:
    """The message as JSON, UTF-8."""
    return orjson.dumps(message.model_dump(mode="json"))


def decode(kind: type[M], data: bytes) -> M:
    """The message in `data`. What a newer sender says beyond it is passed over.

    Raises:
        UnreadableMessage: naming the message and the first fault.
    """
    try:
        return kind.model_validate(orjson.loads(data.removeprefix(BOM)), extra="ignore")
    except orjson.JSONDecodeError as error:
        raise UnreadableMessage(f"not a {kind.__name__}: not JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableMessage(f"not a {kind.__name__}: {where}: {first['msg']}") from error

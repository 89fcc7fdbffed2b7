"""Versions for followers: what goes live, and what followers tell of it."""

from operator import not_
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from anabranch.messages.base import EventNumber, LogRange, Message, Number, is_none

UpdateKind = Literal["first", "refresh", "swap", "rollback", "rebuild", "retired", "reinstated", "canary"]


class TrainedOn(Message):
    """What a model learned before it entered the arena (a recruit) or before it served (a first champion)."""

    ranges: tuple[LogRange, ...] = ()
    events: int = Field(default=0, description="accepted events in the ranges, the gap included")
    note: str = ""


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
        exclude_if=is_none,
        description="how much narrower than the champion's its gap between groups is, lately (`constraints.group`)",
    )
    lost: float | None = Field(
        default=None,
        exclude_if=is_none,
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
        default=None, ge=0, lt=100, exclude_if=is_none, description="`canary`: percent of the keys that it answers for"
    )
    beside: int | None = Field(
        default=None, exclude_if=is_none, description="`canary`: the version that answered for all keys before"
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
        default=None, exclude_if=is_none, description="while a new champion is being rolled out: what it was asked"
    )

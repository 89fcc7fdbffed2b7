"""What happened in the world, and what became of it: events, labels, answers, what was learned, what was refused."""

from operator import not_
from typing import ClassVar, Literal

from pydantic import Field

from anabranch.messages.base import EventNumber, FeatureValue, LabelValue, Message, Moment


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

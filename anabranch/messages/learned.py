"""The order in which a model has learned."""

from operator import not_
from typing import ClassVar

from pydantic import Field

from anabranch.messages.base import EventNumber, Message, TopicRange, is_none
from anabranch.messages.requests import Decision, Retrain
from anabranch.messages.updates import ServedCounts


class JobReturned(Message):
    """A retraining came back, and its recruits entered; or it failed."""

    job: str
    failure: str = Field(default="", description="why it came to nothing")
    failures: dict[str, str] = Field(default_factory=dict, description="of some of its recruits, by their plan")


class Measured(Message):
    """What members cost: who takes part in one of so many events only, and who is too slow to win."""

    stride: dict[str, int] = Field(default_factory=dict, description="by member; 0: paused")
    too_slow: dict[str, float] = Field(default_factory=dict, description="microseconds a prediction, by member")


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
        exclude_if=is_none,
        description="what was learned of the runs, where it is told: by the same learner, so of its `epoch` and so on",
    )
    envelope: EnvelopeEntered | None = Field(
        default=None, exclude_if=is_none, description="then the change envelope became another"
    )
    returned: tuple[JobReturned, ...] = Field(default=(), description="then retraining jobs")
    requests: tuple[Retrain, ...] = Field(default=(), description="then requests to retrain")
    measured: Measured | None = Field(default=None, description="then what members cost")
    unkeepable: tuple[str, ...] = Field(default=(), description="then shadows left, whose state cannot be kept")
    rebuilt: str = Field(default="", description="then a rebuilt champion went live; why")
    # Left out where it is empty: the id, which is a digest, is then what it was before there was this key.
    reinstated: str = Field(default="", exclude_if=not_, description="then a retired champion went live again; why")
    decided: Decision | None = Field(
        default=None, exclude_if=is_none, description="then somebody decided something, and it was done"
    )
    served: ServedCounts | None = Field(
        default=None, exclude_if=is_none, description="then it was heard what followers make of a rollout"
    )

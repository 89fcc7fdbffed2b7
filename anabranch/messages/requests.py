"""A person's word to a learner, and what became of it."""

from operator import not_
from typing import ClassVar, Literal

from pydantic import Field

from anabranch.messages.base import EventNumber, LogRange, Message, is_none

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
        default=None, exclude_if=is_none, description="`rollback`: the displaced version; null: the last one"
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

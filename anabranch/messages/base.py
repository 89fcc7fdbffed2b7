"""What all messages share, and the words that several of them use."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from anabranch.values import spelt_out

Number = Annotated[float, Field(allow_inf_nan=False)]
Moment = Annotated[datetime | Number, BeforeValidator(spelt_out)]
EventNumber = Annotated[int, Field(validation_alias=AliasChoices("event_number", "event"))]
"""The ordinal of an accepted event, from 1. Messages of before it had this name are read, too."""
FeatureValue = bool | int | Number | str | None
LabelValue = bool | int | Number | str


def is_none(value: object) -> bool:
    """Whether an optional part is left out of the JSON (`exclude_if`)."""
    return value is None


class Message(BaseModel):
    """What all messages share: immutable, and no key that nobody knows."""

    goes_to: ClassVar[str] = ""
    """The key in `[topics]` of the topic that it is published on; empty for a part of another message."""
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogRange(Message):
    """A contiguous part of one partition: offsets `start` (included) to `end` (excluded)."""

    partition: int = Field(ge=0)
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class TopicRange(LogRange):
    """A contiguous part of one partition of a topic."""

    topic: str

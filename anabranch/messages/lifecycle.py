"""What happens to a model: steps of its life, alerts, and the record of its changes."""

from operator import not_
from typing import ClassVar, Literal

from pydantic import Field

from anabranch.messages.base import EventNumber, Message

LifeState = Literal["new", "recruiting", "arena", "paused", "probation", "serving", "displaced", "library", "gone"]
Level = Literal["info", "alert"]
AlertKind = Literal[
    "refused", "nothing-accepted", "unlabelled", "duplicates", "answers", "retraining", "log", "envelope"
]
AuditKind = Literal["start", "promotion", "request", "configuration", "envelope", "key", "rebuild", "loss", "act"]


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

"""Signals: something changed, or it is time."""

from typing import ClassVar, Literal

from pydantic import Field

from anabranch.messages.base import EventNumber, LogRange, Message

SignalKind = Literal["error", "input", "prediction", "label", "threshold", "schedule", "volume"]


class MovedFeature(Message):
    """A feature whose distribution is another one than when the champion began: how far it moved, and from where to."""

    feature: str
    test: str = Field(description="ks, psi, jensen-shannon, wasserstein; missing; new-category")
    statistic: float
    threshold: float
    p_value: float
    before: dict[str, float] = Field(default_factory=dict, description="mean, sd, missing; or shares of categories")
    after: dict[str, float] = Field(default_factory=dict)


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

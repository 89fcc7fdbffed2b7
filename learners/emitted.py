"""What a lane emits on an event: messages, jobs to carry out, and at most one model that goes live."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from anabranch.events import AcceptedEvent
from anabranch.messages import Message, TrainedOn, UpdateKind, Verdict
from learners.retraining import Job


class Learned(NamedTuple):
    """What was learned, for whoever tells it: its number, the event with its label, and how that came."""

    number: int
    event: AcceptedEvent
    label_ts: float
    ending: str
    corrects: bool


class Promotion(NamedTuple):
    """The champion as it is to be announced.

    `data` are its bytes; `model` is the live object, which is as its bytes until the next event.
    """

    kind: UpdateKind
    version: int
    event_number: int
    partition: int
    offset: int
    event_ts: float
    member: str
    model: Any
    data: bytes
    trained_on: TrainedOn
    reason: str
    scores: dict[str, float]
    canary: tuple[dict[str, object], ...]
    verdict: Verdict | None = None
    constraints: dict[str, float] = {}  # noqa: RUF012  # a NamedTuple's default, never changed
    displaced_version: int | None = None
    restores: int | None = None
    parent: int | None = None
    trigger: str = ""
    lost: float | None = None
    share: float | None = None
    beside: int | None = None
    by: str = ""
    learns: bool = True
    """Whether a follower can teach it what the learner learns."""


class Kept(NamedTuple):
    """A version as it was announced, of which the bytes are still there: a person may have it answer again."""

    version: int
    model: Any
    """Of which nobody else has this instance."""
    trained_on: TrainedOn


class Emitted:
    """All that came of one event, as one value: whoever has it can say everything before it makes a model live.

    A promotion is checkpointed, committed and announced. What had to be said with it must be out by then: the next
    owner goes on behind the commit, and would never say it.
    """

    __slots__ = ("jobs", "messages", "promotion")

    def __init__(
        self, messages: Sequence[Message] = (), jobs: Sequence[Job] = (), promotion: Promotion | None = None
    ) -> None:
        self.messages = messages
        self.jobs = jobs
        self.promotion = promotion

    def and_then(self, other: "Emitted") -> "Emitted":
        """Both, as one."""
        messages, jobs = [*self.messages, *other.messages], [*self.jobs, *other.jobs]
        return Emitted(messages, jobs, self.promotion or other.promotion)

    def __iter__(self) -> Iterator[Message | Job | Promotion]:
        """One after the other, in the order in which they are to be carried out."""
        yield from self.messages
        yield from self.jobs
        if self.promotion is not None:
            yield self.promotion


NOTHING = Emitted()
"""What comes of most events."""

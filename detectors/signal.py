"""What signals have in common, and what they are shown."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from anabranch.events import AcceptedEvent, Prediction, Shift
from anabranch.messages import SignalKind


class Level(NamedTuple):
    """How near a signal is to firing."""

    statistic: float
    threshold: float | None
    """None: it shows none."""
    fires_below: bool = False
    """It fires when the statistic falls to the threshold: a p-value."""

    @property
    def share(self) -> float:
        """The statistic as a share of the threshold; as it stands, where there is none."""
        return self.statistic / (self.threshold or 1.0)


class Signal(Protocol):
    """Something that fires, under its configured name."""

    name: str
    kind: SignalKind
    of_champion: bool
    """Whether what it has seen belongs to the champion, so that it restarts after a swap."""

    def level(self) -> Level | None:
        """How near it is to firing; None if it has seen too little. It changes nothing."""

    def trained(self) -> None:
        """A retraining has begun."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint of a signal with the same settings."""


@runtime_checkable
class OnQuestions(Signal, Protocol):
    """A signal that needs no labels."""

    def on_event(self, event: AcceptedEvent, answer: Prediction, *, now_s: float | None) -> Shift | None:
        """Called for each accepted event; `now_s` is the time that events tell."""


@runtime_checkable
class OnLabels(Signal, Protocol):
    """A signal that sees labels, each with the champion's answer from when it was asked."""

    def on_label(self, y: Any, answer: Prediction | None, *, now_s: float | None) -> Shift | None:
        """Called for each labelled event; `answer` is None if the champion had not been asked."""

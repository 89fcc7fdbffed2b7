"""What a lane asks of the watch over its champion, and what reports ask of it. (The watch itself is in detectors/.)"""

from collections.abc import Callable
from typing import Any, Protocol

from anabranch.events import AcceptedEvent, Findings, Prediction
from anabranch.messages import DetectorReport, FeatureReport


class Watched(Protocol):
    """What the watch shows to people."""

    def look(self, x: dict[str, Any]) -> None:
        """Count an event's features."""

    def mark(self) -> None:
        """A report is made."""

    def levels(self) -> tuple[DetectorReport, ...]:
        """How near each signal is to firing."""

    def features(self) -> tuple[FeatureReport, ...]:
        """How features are distributed, those that have moved furthest first."""

    def observed(self) -> dict[str, Any]:
        """What a checkpoint keeps of all that."""

    def restore_observed(self, observed: dict[str, Any]) -> None:
        """Go on from a checkpoint."""


class Watcher(Watched, Protocol):
    """Watches the champion for reasons to retrain; part of the lane's fold, so it is deterministic."""

    sees_events: bool
    """Whether `asked` wants to be called at all."""
    wants_proba: bool
    """Whether answers must come with probabilities."""

    def on_event(
        self, event: AcceptedEvent, answer: Prediction, *, event_number: int, withheld: Callable[[int], str]
    ) -> Findings | None:
        """Called for each event with the champion's answer, before its label is looked at; arguments as in `update`."""

    def update(
        self,
        loss: float | None,
        *,
        event_number: int,
        seen: AcceptedEvent,
        answer: Prediction | None,
        withheld: Callable[[int], str],
    ) -> Findings | None:
        """Called once for each labelled event, with the champion's loss in [0, 1] and the event's number.

        Loss and answer are None if the champion had not been asked. `withheld` says why no retraining can begin on the
        event with a number, and "" if one can; it is asked when one would. The result is None when nothing fired.
        """

    def trained(self) -> None:
        """A retraining has begun."""

    def rescaled(self) -> None:
        """From now on the same errors cost more, which is no rise."""

    def start_over(self) -> None:
        """Forget what was seen: it was of a champion that has been displaced."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""

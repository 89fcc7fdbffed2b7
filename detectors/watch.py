"""The watch on a champion: all configured signals on its loss, and the trigger that decides on them."""

from typing import Any

from anabranch.ports import Findings
from anabranch.settings import Settings
from detectors.error_signals import ErrorSignal, gauge_of
from detectors.trigger import Trigger


class Watch:
    """The signals and the trigger of one lane, by its settings; no detectors is a watch that sees nothing.

    Raises:
        ConfigError: a detector has no such parameter.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.signals = self._fresh()
        self.trigger = Trigger(
            settings.trigger.when,
            names=tuple(settings.detectors),
            debounce_events=settings.trigger.debounce_events,
        )

    def _fresh(self) -> list[ErrorSignal]:
        debounce = self.settings.trigger.debounce_events
        return [
            ErrorSignal(name, gauge_of(detector, name=name), debounce_events=debounce)
            for name, detector in self.settings.detectors.items()
        ]

    def update(self, loss: float, *, event: int) -> Findings | None:
        """Feed one loss in [0, 1]; what fired, if anything did."""
        fired = [(signal.name, shift) for signal in self.signals if (shift := signal.update(loss)) is not None]
        if not fired:
            return None
        return Findings(tuple(fired), self.trigger.decide({name for name, _ in fired}, event=event))

    def start_over(self) -> None:
        """Fresh detectors for a new champion. The trigger's debounce goes on: it is about retraining."""
        self.signals = self._fresh()
        self.trigger.start_over()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"signals": [signal.state() for signal in self.signals], "trigger": self.trigger.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; a signal that the configuration added or changed since begins afresh."""
        kept = {each["name"]: each for each in state["signals"]}
        for signal in self.signals:
            if signal.name in kept and _alike(kept[signal.name]["detector"], signal.gauge.detector):
                signal.restore(kept[signal.name])
        self.trigger.restore(state["trigger"])


def _alike(kept: Any, configured: Any) -> bool:
    """Whether a detector of a checkpoint is still the one that is configured."""
    return type(kept) is type(configured) and bool(kept._get_params() == configured._get_params())

"""The trigger: the decision to retrain, taken on the signals of one or of all detectors.

>>> trigger = Trigger("all", names=("adwin", "page_hinkley"), debounce_events=500)
>>> trigger.decide({"adwin"}, event=1000)
False
>>> trigger.decide({"page_hinkley"}, event=1100)
True
>>> trigger.decide({"adwin", "page_hinkley"}, event=1200)  # debounced
False
"""

from typing import Any, Literal


class Trigger:
    """Any signal, or one of every detector within the debounce window; then silent for that window."""

    def __init__(self, when: Literal["any", "all"], *, names: tuple[str, ...], debounce_events: int) -> None:
        self.when = when
        self.names = names
        self.debounce_events = debounce_events
        self.last: int | None = None
        self.fired: dict[str, int] = {}

    def decide(self, fired: set[str], *, event: int) -> bool:
        """Whether to retrain, given the detectors that fired on this event (its number, rising)."""
        if self.last is not None and event - self.last <= self.debounce_events:
            return False
        for name in sorted(fired):
            self.fired[name] = event
        recent = {name for name, at in self.fired.items() if event - at <= self.debounce_events}
        if not (set(self.names) <= recent if self.when == "all" else bool(recent & fired)):
            return False
        self.last = event
        self.fired = {}
        return True

    def start_over(self) -> None:
        """Forget the signals that have not led to a decision; the silence after the last decision goes on."""
        self.fired = {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"last": self.last, "fired": dict(self.fired)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.last = state["last"]
        self.fired = dict(state["fired"])

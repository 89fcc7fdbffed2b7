"""The trigger: the decision to retrain, taken on one signal, on several together, or on all.

>>> from anabranch.events import Fired, Shift
>>> def shown(name, event):
...     fired = [Fired(name, Shift(1.0, 0.5, 10))]
...     return trigger.decide(fired, event_number=event, place=(0, event), now_s=None).triggered
>>> trigger = Trigger(TriggerSettings(when="all", debounce_events=500), names=("adwin", "page_hinkley"))
>>> shown("adwin", 1000), shown("page_hinkley", 1100), shown("adwin", 1200)  # the last within the cooldown
(False, True, False)
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from anabranch.errors import ConfigError
from anabranch.events import Fired
from anabranch.messages import CountedSignal
from config.learning import TriggerSettings

DAY_S = 86_400


class Decision(NamedTuple):
    """Whether to retrain, on which signals; and what stood against it."""

    triggered: bool
    counted: tuple[CountedSignal, ...] = ()
    withheld: str = ""


WAIT = Decision(False)

Withheld = Callable[[int], str]
"""Why no retraining can begin on the event with this number; "" if one can."""


def never_withheld(event_number: int) -> str:
    """A retraining can always begin."""
    del event_number
    return ""


class Trigger:
    """Counts different signals that come close together; then pauses.

    Raises:
        ConfigError: it wants more signals together than there are.
    """

    def __init__(self, settings: TriggerSettings, *, names: tuple[str, ...]) -> None:
        self.settings = settings
        self.needed = _needed(settings, names)
        self.together_events = settings.together_events
        self.pause_events = settings.pause_events
        self.needs_time = bool(settings.cooldown or settings.per_day_max)
        self.last: int | None = None
        self.last_s: float | None = None
        self.today = (0, 0)
        """The day of event time, and the triggers in it."""
        self.counted: dict[str, CountedSignal] = {}
        self.heard: dict[str, int] = {}

    def decide(
        self,
        fired: Sequence[Fired],
        *,
        event_number: int,
        place: tuple[int, int],
        now_s: float | None,
        withheld: Withheld = never_withheld,
    ) -> Decision:
        """Whether to retrain, given the signals that fired on this event.

        Args:
            event_number: rising from one to the next.
            place: its partition and offset.
            now_s: event time, where it is known.
            withheld: asked last, when all else speaks for it: what cannot begin costs no pause and no share of the day.
        """
        # Before the cooldown is looked at: _counts() also notes
        # that a signal was heard, and must do so in the pause, too.
        fresh = [each for each in fired if self._counts(each.name, event_number)]
        if self.last is not None and event_number - self.last <= self.pause_events:
            return Decision(False, withheld="cooldown")
        # Not reached within the pause: what fires in there does not count together with what fires after it.
        self.counted.update({each.name: _counted(each, event_number, place) for each in fresh})
        recent = {
            name: each
            for name, each in self.counted.items()
            if event_number - each.event_number <= self.together_events
        }
        self.counted = recent
        if not fresh or len(recent) < self.needed:
            return WAIT
        several = tuple(recent[name] for name in sorted(recent))
        if reason := self._withheld(now_s) or withheld(event_number):
            return Decision(False, several, reason)
        self._note(event_number, now_s)
        return Decision(True, several)

    def _counts(self, name: str, event_number: int) -> bool:
        """Whether the signal has been silent for long enough before."""
        before, self.heard[name] = self.heard.get(name), event_number
        return before is None or event_number - before > self.settings.silence_events

    def _withheld(self, now_s: float | None) -> str:
        if now_s is None or not self.needs_time:
            return ""
        if self.last_s is not None and now_s - self.last_s < self.settings.cooldown:
            return "cooldown"
        day, times = self.today
        most = self.settings.per_day_max
        return "budget" if most and day == now_s // DAY_S and times >= most else ""

    def _note(self, event_number: int, now_s: float | None) -> None:
        self.last, self.last_s, self.counted = event_number, now_s, {}
        if now_s is not None:
            day, times = self.today
            today = int(now_s // DAY_S)
            self.today = (today, times + 1 if today == day else 1)

    def start_over(self) -> None:
        """Forget the signals that have not led to a decision; the pause after the last decision goes on."""
        self.counted = {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "last": self.last,
            "last_s": self.last_s,
            "today": self.today,
            "counted": [each.model_dump() for each in self.counted.values()],
            "heard": dict(self.heard),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.last, self.last_s, self.today = state["last"], state["last_s"], tuple(state["today"])
        self.counted = {each["detector"]: CountedSignal(**each) for each in state["counted"]}
        self.heard = dict(state["heard"])


def _needed(settings: TriggerSettings, names: tuple[str, ...]) -> int:
    if settings.when == "any":
        return 1
    if settings.when == "all":
        return max(1, len(names))
    wanted = settings.when.at_least
    if wanted > len(names):
        raise ConfigError(
            f"trigger.when: at_least = {wanted}, but there are {len(names)} detectors: "
            f"{', '.join(names) or 'none'}; it would never fire"
        )
    return wanted


def _counted(fired: Fired, event_number: int, place: tuple[int, int]) -> CountedSignal:
    return CountedSignal(
        detector=fired.name,
        kind=fired.kind,
        event_number=event_number,
        partition=place[0],
        offset=place[1],
        statistic=fired.shift.statistic,
        threshold=fired.shift.threshold,
    )

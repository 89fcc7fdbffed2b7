"""Signals that need no detector: so many events, so much event time, a calendar; and the clock of event time.

>>> hourly = Schedule("hourly", ScheduleSettings(every="1h"))
>>> [minute for minute in range(0, 200, 7) if hourly.tick(minute * 60.0)]
[63, 126, 182]
>>> nightly = Schedule("nightly", ScheduleSettings(cron="0 3 * * *"))
>>> [hour for hour in range(60) if nightly.tick(hour * 3600.0)]
[3, 27, 51]

>>> clock = EventClock()
>>> [clock.update(ts) for ts in (1.0, 2.0, 3.0, 4e9, 5.0, 6.0, 4.0)]
[None, None, None, None, 3.0, 5.0, 5.0]
"""

from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from anabranch.events import AcceptedEvent, Prediction, Shift
from anabranch.messages import SignalKind
from config.sections import Seconds, Section
from detectors.signal import Level


class ScheduleSettings(Section):
    """Parameters of `use = "schedule"`: one of `every_events`, `every` and `cron`."""

    every_events: int | None = Field(None, ge=1, description="accepted events")
    every: Seconds | None = Field(None, gt=0, description="event time, from the first event on")
    cron: str | None = Field(None, description="minute hour day month weekday, in event time, UTC")

    @field_validator("cron")
    @classmethod
    def _readable(cls, cron: str | None) -> str | None:
        if cron is not None:
            try:
                CronSim(cron, datetime.fromtimestamp(0, UTC))
            except CronSimError as error:
                raise ValueError(f'{cron!r}: {error}; write for example "0 3 * * *", at 03:00 UTC') from error
        return cron

    @model_validator(mode="after")
    def _one_of_three(self) -> "ScheduleSettings":
        if sum(each is not None for each in (self.every_events, self.every, self.cron)) != 1:
            raise ValueError("write one of `every_events`, `every` and `cron`")
        return self


class Schedule:
    """Fires once when its time has come; what it missed while no event came is not made up for."""

    kind: SignalKind = "schedule"
    of_champion = False

    def __init__(self, name: str, settings: ScheduleSettings) -> None:
        self.name = name
        self.settings = settings
        self.every_events = settings.every_events
        self.events = 0
        self.due_s: float | None = None
        self.last_s = 0.0

    def on_event(self, event: AcceptedEvent, answer: Prediction, *, now_s: float | None) -> Shift | None:
        """Count the event."""
        del event, answer
        # Counted where time decides, too: the events since the last firing are the window that a signal proposes.
        self.events += 1
        if self.every_events is not None:
            return self._fire(self.events, self.every_events) if self.events >= self.every_events else None
        return None if now_s is None else self.tick(now_s)

    def tick(self, now_s: float) -> Shift | None:
        """The shift, if the time has come."""
        if self.due_s is None:
            self.last_s, self.due_s = now_s, self._after(now_s, now_s)
        if now_s < self.due_s:
            return None
        waited_s, planned_s = now_s - self.last_s, self.due_s - self.last_s
        # Counted from what was due and not from now: events that come late would otherwise move the whole schedule.
        self.last_s, self.due_s = now_s, self._after(self.due_s, now_s)
        return self._fire(waited_s, planned_s)

    def _after(self, due_s: float, now_s: float) -> float:
        """The first time after now that is planned."""
        if self.settings.every is not None:
            return due_s + self.settings.every * ((now_s - due_s) // self.settings.every + 1)
        assert self.settings.cron is not None
        return float(next(CronSim(self.settings.cron, datetime.fromtimestamp(now_s, UTC))).timestamp())

    def _fire(self, statistic: float, threshold: float) -> Shift:
        events, self.events = self.events, 0
        return Shift(statistic, threshold, max(1, events))

    def level(self) -> Level | None:
        """Events since it fired, of those that it waits for; one that goes by time shows none."""
        return None if self.every_events is None else Level(self.events, self.every_events)

    def trained(self) -> None:
        """It goes on."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"events": self.events, "due_s": self.due_s, "last_s": self.last_s}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.events, self.due_s, self.last_s = state["events"], state["due_s"], state["last_s"]


class VolumeSettings(Section):
    """Parameters of `use = "volume"`."""

    labels: int = Field(ge=1, description="new ones since the last retraining")


class Volume:
    """Fires when so many labels have come since the last retraining; if none follows, after as many again."""

    kind: SignalKind = "volume"
    of_champion = False

    def __init__(self, name: str, settings: VolumeSettings) -> None:
        self.name = name
        self.labels = settings.labels
        self.due = settings.labels
        self.seen = 0

    def on_label(self, y: Any, answer: Prediction | None, *, now_s: float | None) -> Shift | None:
        """Count the label."""
        del y, answer, now_s
        self.seen += 1
        if self.seen < self.due:
            return None
        self.due += self.labels
        return Shift(self.seen, self.labels, self.seen)

    def level(self) -> Level | None:
        """Labels since the last retraining, of those that it waits for."""
        return Level(self.seen, self.due)

    def trained(self) -> None:
        """Count again."""
        self.seen, self.due = 0, self.labels

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"seen": self.seen, "due": self.due}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.seen, self.due = state["seen"], state["due"]


# ── The time that events tell, so that one event from the future sets nothing off ───────────────────────────────────

WITNESSES = 5


class EventClock:
    """The median of the last five events' times; it never goes back. None until five were seen.

    The guard bounds each event's time by the broker's; here, three of five must agree before time goes on.
    """

    def __init__(self) -> None:
        self.recent: list[float] = []
        self.now_s: float | None = None

    def update(self, ts: float) -> float | None:
        """Take in an event's time, in epoch seconds; what time it is."""
        recent = self.recent
        recent.append(ts)
        if len(recent) < WITNESSES:
            return None
        if len(recent) > WITNESSES:
            del recent[0]
        median = sorted(recent)[WITNESSES // 2]
        if self.now_s is None or median > self.now_s:
            self.now_s = median
        return self.now_s

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"recent": list(self.recent), "now_s": self.now_s}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.recent, self.now_s = list(state["recent"]), state["now_s"]

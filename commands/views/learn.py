"""How learning looks to a person in a terminal: a line for each report, and one when no events come."""

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from anabranch.messages import Message, ModelReport
from commands import views as figures
from config.settings import Settings
from consumers.loop import LearningLoop

LOOK_S = 1.0
QUIET_S = 3.0
"""How long nothing comes before somebody wonders."""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class View:
    """Hears the messages, and looks at the loop now and then; a context manager.

    Args:
        named: whether each line says of which model it is.
        say: shows a line.
        monotonic_s: a clock.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        named: bool = False,
        say: Callable[[str], None] = _say,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = settings.topics.name("events")
        self.several = settings.scope == "partition"
        self.say = (lambda line: say(f"{settings.name}: {line}")) if named else say
        self.monotonic_s = monotonic_s
        self.loop: LearningLoop | None = None
        self.reported: dict[int, tuple[int, float]] = {}
        """Events and time of the last report, by partition where each has a model."""
        self.seen: tuple[int, float] = (-1, monotonic_s())
        """How far the loop was when it last got on, and when that was."""
        self.waiting = False
        self._ending = threading.Event()
        # In a thread of its own: while no events come, no message does either.
        self._thread = threading.Thread(target=self._look_on, name="learn-view", daemon=True)

    def hear(self, message: Message) -> None:
        """A message of the learner's; reports are shown."""
        if isinstance(message, ModelReport):
            windowed = figures.listed(message.windowed)
            where = f"partition {message.partition}: " if self.several else ""
            behind, segments = figures.behind(message.published), figures.segments(message.segments)
            words = [f"{where}{message.event_number:,} events{self._rate(message)}", f"version {message.version}"]
            self.say("  ".join(filter(None, [*words, windowed, behind, figures.labels(message.labels), segments])))

    def _rate(self, report: ModelReport) -> str:
        """Events a second since the report before; nothing at the first."""
        key, now_s = report.partition if self.several else 0, self.monotonic_s()
        events, then_s = self.reported.get(key, (report.event_number, now_s))
        self.reported[key] = (report.event_number, now_s)
        return f"  {(report.event_number - events) / (now_s - then_s):,.0f} a second" if now_s > then_s else ""

    def look(self) -> None:
        """Say once that nothing comes, until something does."""
        at, now_s = self._at(), self.monotonic_s()
        if at != self.seen[0]:
            self.seen, self.waiting = (at, now_s), False
        elif not self.waiting and now_s - self.seen[1] >= QUIET_S:
            self.waiting = True
            self.say(self._state())

    def _at(self) -> int:
        """Something that grows with each record."""
        owners = list(self.loop.owners.values()) if self.loop else []
        return sum(owner.guard.taken for owner in owners)

    def _state(self) -> str:
        owners = list(self.loop.owners.values()) if self.loop else []
        if not owners:
            return f"waiting for the partitions of {self.topic}"
        learned = sum(owner.lane.events for owner in owners)
        return f"waiting for events on {self.topic}; {learned:,} learned so far; Ctrl-C ends it"

    # ── beside the loop ─────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._ending.wait(LOOK_S):
            self.look()

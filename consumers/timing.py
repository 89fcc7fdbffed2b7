"""Clocks, deadlines that a stop brings nearer, who says that something is waited for, and checkpoint timing."""

import threading
import time

import structlog

from anabranch.messages import CheckpointPause
from consumers.ports import Clock

log = structlog.get_logger()

STOP_S = 4.0
SAID_EVERY_S = 30.0


class Deadline:
    """A deadline that comes nearer when a stop is asked for.

    Args:
        seconds: how long to wait as a rule.
        stopping: set when the process is to end: from then on, `STOP_S` at most.
    """

    def __init__(self, seconds: float, *, stopping: threading.Event) -> None:
        self.ends_s = time.monotonic() + seconds
        self.stopping = stopping
        self._hurried = False

    def left_s(self, at_most: float) -> float:
        """The seconds that are left, or `at_most`; 0 when it is over."""
        now_s = time.monotonic()
        if self.stopping.is_set() and not self._hurried:
            self._hurried = True
            self.ends_s = min(self.ends_s, now_s + STOP_S)
        return max(0.0, min(at_most, self.ends_s - now_s))


class Voice:
    """Says that something is waited for: at once, then seldom, for as long as it is away."""

    def __init__(self) -> None:
        self._since_s = self._said_s = self._asked_s = float("-inf")

    def waits(self, reason: str, *, what: str = "a broker") -> None:
        """It has not answered, once more."""
        now_s = time.monotonic()
        if now_s - self._asked_s > SAID_EVERY_S:  # it was there between
            self._since_s, self._said_s = now_s, float("-inf")
        self._asked_s = now_s
        if now_s - self._said_s >= SAID_EVERY_S:
            self._said_s = now_s
            log.warning(f"waiting for {what}", waited_s=round(now_s - self._since_s), reason=reason)


# ── How long the loop stands still for its checkpoints: measured for people, and no part of the learning state ──────


class CheckpointTiming:
    """The parts of each pause, and the last and the largest since somebody asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.laps: dict[str, float] = {}
        self.since: CheckpointPause | None = None
        self._begun_s = self._lap_s = 0.0

    def start(self) -> None:
        """The loop stands still."""
        self._begun_s = self._lap_s = self.clock.monotonic_s()
        self.laps = {}

    def lap(self, name: str) -> None:
        """A part of the pause is over."""
        now_s = self.clock.monotonic_s()
        self.laps[name] = round(now_s - self._lap_s, 6)
        self._lap_s = now_s

    def end(self) -> dict[str, float]:
        """The loop goes on; the parts in seconds, and their sum."""
        last = round(self._lap_s - self._begun_s, 6)
        largest = max(last, self.since.largest if self.since else 0.0)
        self.since = CheckpointPause(last=last, largest=largest)
        return {**self.laps, "pause_s": last}

    def take(self) -> CheckpointPause | None:
        """The last and the largest since the last time that this was asked; None if there was none."""
        since, self.since = self.since, None
        return since


class Pace:
    """How many a second, between one time that somebody asks and the next."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.before = 0
        self.asked_s = clock.monotonic_s()

    @property
    def since_s(self) -> float:
        """Seconds since it was asked, or made."""
        return self.clock.monotonic_s() - self.asked_s

    def take(self, count: int) -> float | None:
        """Of a count that grows; None the first time, and where it has gone back."""
        more, since_s, before = count - self.before, self.since_s, self.before
        self.before, self.asked_s = count, self.clock.monotonic_s()
        return more / since_s if before and more >= 0 and since_s > 0 else None


# ── The real clocks ─────────────────────────────────────────────────────────────────────────────────────────────────


class SystemClock:
    """The machine's clock."""

    def time_s(self) -> float:
        """Wall time in epoch seconds."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class CpuClock(SystemClock):
    """A clock whose seconds are those that this process has computed: other work on the machine spoils them less."""

    def monotonic_s(self) -> float:
        """Seconds of computing."""
        return time.process_time()

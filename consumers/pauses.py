"""How long the loop stands still for its checkpoints: measured for people, and no part of the learning state."""

from anabranch.messages import CheckpointPause
from consumers.ports import Clock


class Pauses:
    """The parts of each pause, and the last and the largest since somebody asked.

    >>> from evaluation.simulation.world import FrozenClock
    >>> clock = FrozenClock()
    >>> pauses = Pauses(clock)
    >>> for seconds in (3, 1):
    ...     pauses.begin()
    ...     clock.advance(seconds)
    ...     pauses.lap("encode_s")
    ...     pauses.end()
    {'encode_s': 3.0, 'pause_s': 3.0}
    {'encode_s': 1.0, 'pause_s': 1.0}
    >>> pauses.take()
    CheckpointPause(last=1.0, largest=3.0)
    >>> pauses.take()
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.laps: dict[str, float] = {}
        self.since: CheckpointPause | None = None
        self._begun_s = self._lap_s = 0.0

    def begin(self) -> None:
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

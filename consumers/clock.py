"""The real clock. (The frozen one is in `evaluation.simulation.world`.)"""

import time


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

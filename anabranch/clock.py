"""The real clock. (The frozen one is in `anabranch.testing`.)"""

import time


class SystemClock:
    """The machine's clock."""

    def time_s(self) -> float:
        """Wall time in epoch seconds."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

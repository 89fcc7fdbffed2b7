"""The Shiryaev–Roberts e-detector on an error rate: our own drift detector, with River's interface.

A gambler bets against "the error is no higher than it was": a capital for each of a few stakes, which every event
enriches or shrinks, and to which every event adds a fresh unit, so that a change at any time finds somebody who begins
to bet right then (Shin, Ramdas and Rinaldo, "E-detectors", 2023). The error that it was is learned from the stream
itself, with a margin for what that leaves uncertain; so `arl`, the mean time to a false alarm, is calibrated and not
proved (benchmarks/DETECTORS.md).

>>> import random
>>> rng = random.Random(7)
>>> errors = [rng.random() < 0.1 for _ in range(1000)] + [rng.random() < 0.4 for _ in range(1000)]
>>> detector = SRDetector()
>>> for n, error in enumerate(errors, 1):
...     detector.update(error)
...     if detector.drift_detected:
...         print(f"drift at {n}")
drift at 1060
"""

from typing import Any

from river import base

STAKES = (0.05, 0.1, 0.2, 0.4, 0.8)


class SRDetector(base.DriftDetector):
    """Alarms when the mean of values in [0, 1] has risen; it does not see a fall.

    Args:
        arl: mean events to a false alarm; what the capital must reach.
        memory: events over which the mean before the change is learned; older ones are forgotten.
    """

    def __init__(self, arl: float = 1e5, memory: int = 5000) -> None:
        super().__init__()
        if arl <= 1:
            raise ValueError("arl is a number of events, above 1")
        if memory < 30:
            raise ValueError("memory is a number of events, at least 30")
        self.arl = arl
        self.memory = memory
        self._reset()

    def _reset(self) -> None:
        super()._reset()
        self.n = 0
        # As if four events with a mean of one half had been seen; `expected` is one standard error above that.
        self.mean = 0.5
        self.expected = 0.75
        self.capitals = [0.0] * len(STAKES)

    @property
    def statistic(self) -> float:
        """The mean capital; an alarm at `arl`."""
        return sum(self.capitals) / len(STAKES)

    def update(self, x: float) -> None:
        """Take in one value in [0, 1]; after an alarm it restarts."""
        # As in River's detectors an alarm stands until the next value, for whoever reads it after update().
        if self._drift_detected:
            self._reset()
        edge = x - self.expected
        # Written out for the five STAKES: a loop over them costs
        # more than the arithmetic, and this runs on every event.
        a, b, c, d, e = self.capitals
        a = (a + 1) * (1 + 0.05 * edge)
        b = (b + 1) * (1 + 0.1 * edge)
        c = (c + 1) * (1 + 0.2 * edge)
        d = (d + 1) * (1 + 0.4 * edge)
        e = (e + 1) * (1 + 0.8 * edge)
        self.capitals = [a, b, c, d, e]
        if a + b + c + d + e >= len(STAKES) * self.arl:
            self._drift_detected = True
        # After the bet: a stake that knew the value it bets on would win on any stream.
        self._learn(x)

    def _learn(self, x: float) -> None:
        """The mean so far with one standard error on top; beyond `memory` events it forgets."""
        self.n += 1
        weight = (self.n if self.n < self.memory else self.memory) + 4  # min() takes thrice as long
        self.mean += (x - self.mean) / weight
        self.expected = self.mean + (self.mean * (1 - self.mean) / weight) ** 0.5

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {"arl": 1e4}

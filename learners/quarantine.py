"""Labels that are not as they were: a lane may stop learning by itself, until a person has looked at them.

Two things are watched, each against what it was lately: how labels are distributed, and how many come for each event. A
producer that ships a broken label, or a part of the labels alone, would teach every member what is not so, and contests
between members that learn the same cannot see it. Without settings nothing is watched.

>>> from config.records import FreezeSettings
>>> watched = Quarantine(FreezeSettings(label_rate=4.0), numeric=False)
>>> for n in range(12_000):
...     watched.asked()
...     if n < 10_000 or n % 10 == 0:
...         why = watched.on_label(n % 2 == 0)
...         if why:
...             break
>>> n, why.split(" (")[0]
(10500, '0.102 labels came for each of the last 500 events, and 1 before')
"""

import statistics
from collections import deque
from typing import Any

from config.records import FreezeSettings
from learners.balance import LabelBalance

BLOCK_EVENTS, BLOCKS, BLOCKS_MIN = 500, 20, 5
"""A rate is compared with the median of the last so many blocks, as soon as there are so many at least."""


class Quarantine:
    """Watches the labels of one lane.

    Args:
        settings: what is watched; an unset bound is not.
        numeric: labels are numbers.
    """

    def __init__(self, settings: FreezeSettings, *, numeric: bool) -> None:
        self.settings = settings
        self.balance = LabelBalance(numeric=numeric)
        self.start_over()

    def start_over(self) -> None:
        """Another champion begins, or a person has let learning go on: what comes now is what is compared with."""
        self.balance.start_over()
        self.rates: deque[float] = deque(maxlen=BLOCKS)
        self.events = self.labels = 0
        self.found = ""

    def asked(self) -> None:
        """One event."""
        self.events += 1
        if self.events < BLOCK_EVENTS:
            return
        rate, self.events, self.labels = self.labels / self.events, 0, 0
        if len(self.rates) >= BLOCKS_MIN and self.settings.label_rate is not None:
            usual, most = statistics.median(self.rates), self.settings.label_rate
            if usual and not usual / most <= rate <= usual * most:
                self.found = (
                    f"{rate:.3g} labels came for each of the last {BLOCK_EVENTS} events, and {usual:.3g} before (the "
                    f"median of {len(self.rates)} such blocks; freeze.label_rate = {most:g})"
                )
        self.rates.append(rate)

    def on_label(self, y: Any) -> str:
        """One label, before it is learned; why learning should stop, or nothing."""
        self.labels += 1
        found, self.found = self.found, ""
        # The effect changes with each block: between two there is nothing to look at.
        if self.settings.label_shift is not None and self.balance.update(y):
            return self._moved(self.settings.label_shift) or found
        return found

    def _moved(self, most: float) -> str:
        report = self.balance.report()
        if report is None or report.effect <= most:
            return ""
        which = f", {report.furthest!r} most of all" if report.furthest else ""
        return (
            f"the last {report.events} labels lie {report.effect:.2f} from the first {report.events_before} of this "
            f"champion{which} (freeze.label_shift = {most:g})"
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "balance": self.balance.state(),
            "rates": list(self.rates),
            "counts": (self.events, self.labels),
            "found": self.found,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.balance.restore(state["balance"])
        self.rates.clear()
        self.rates.extend(state["rates"])
        self.events, self.labels = state["counts"]
        self.found = state["found"]

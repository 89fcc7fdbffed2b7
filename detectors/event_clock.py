"""The time that events tell, so that one event from the future sets nothing off.

>>> clock = EventClock()
>>> [clock.update(ts) for ts in (1.0, 2.0, 3.0, 4e9, 5.0, 6.0, 4.0)]
[None, None, None, None, 3.0, 5.0, 5.0]
"""

from typing import Any

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

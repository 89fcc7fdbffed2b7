"""How much each feature counts: how much the loss rises when its values are exchanged between events (Breiman, 2001).

>>> rows = [({"a": n % 7, "b": n % 3}, n % 7 > 3) for n in range(ROWS)]
>>> importance = Importance()
>>> for x, y in rows:
...     importance.note(x, y)
>>> for _ in range(2):
...     importance.measure(lambda x: x["a"] > 3, lambda y, answer: float(y != answer))
>>> {name: round(value, 2) for name, value in importance.values.items()}
{'a': 0.5, 'b': 0.0}
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgpack

from anabranch.values import unboxed

ROWS = 32
"""Of labelled events, on which it is measured."""
EVERY_NTH = 50
"""Whoever feeds it shows one of so many events."""
EACH = 3
"""Features at a time: with 2,000 events between two reports, one prediction in sixteen is made for this."""
KEPT = 0.5
"""Of the value before: thirty rows say little, and several times thirty say more."""
FEATURES_MAX = 100
SHIFT = ROWS // 2 + 1
"""How far apart the events are that exchange values: those that follow each other are often alike."""


class Importance:
    """Permutation importance of the features, some of them at a time.

    Attributes:
        values: rise of the mean loss, by feature, as far as it was measured; about 0 where it does not matter.
    """

    def __init__(self) -> None:
        self.rows: deque[tuple[dict[str, Any], Any]] = deque(maxlen=ROWS)
        self.values: dict[str, float] = {}
        self.turn = 0

    def note(self, x: dict[str, Any], y: Any) -> None:
        """A labelled event."""
        self.rows.append((x, y))

    def measure(self, predict: Callable[[dict[str, Any]], Any], loss: Callable[[Any, Any], float]) -> None:
        """Measure those features whose turn it is; nothing, before there are rows enough."""
        rows = list(self.rows)
        if len(rows) < ROWS:
            return
        names = sorted({name for x, _ in rows for name in x})[:FEATURES_MAX]
        self.values = {name: value for name, value in self.values.items() if name in names}
        plain = sum(loss(y, predict(x)) for x, y in rows)
        for at in range(self.turn, self.turn + min(EACH, len(names))):
            name = names[at % len(names)]
            shuffled = sum(loss(y, predict(_with(x, rows[n - SHIFT][0], name))) for n, (x, y) in enumerate(rows))
            found = (shuffled - plain) / len(rows)
            before = self.values.get(name)
            self.values[name] = found if before is None else KEPT * before + (1 - KEPT) * found
        self.turn = (self.turn + EACH) % len(names) if names else 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "rows": msgpack.packb(list(self.rows), default=unboxed),
            "values": dict(self.values),
            "turn": self.turn,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows.clear()
        self.rows.extend((x, y) for x, y in msgpack.unpackb(state["rows"], strict_map_key=False))
        self.values, self.turn = dict(state["values"]), state["turn"]


def _with(x: dict[str, Any], other: dict[str, Any], name: str) -> dict[str, Any]:
    """The event with the other's value of a feature, which may be none."""
    exchanged = {**x, name: other.get(name)}
    if exchanged[name] is None:
        del exchanged[name]
    return exchanged

"""All that a learner computes of events and labels so far, which goes out with a model: its followers go on with it.

>>> from anabranch.rolling import Rule
>>> learner = Computing([Rule("paid", "sum", "who", of="amount", over_s=3600.0)], keys_max=10)
>>> learner.on_event({"who": "ann", "amount": 3.0}, 0.0)
{'paid': 0.0}
>>> Computing.unpacked(learner.packed()).look({"who": "ann"}, 60.0)
{'paid': 3.0}
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple
from threading import Lock
from typing import Any, Self

import msgpack

from anabranch.errors import ArtifactError
from anabranch.memory import LabelMemory
from anabranch.rolling import RollingFeatures, Rule


class Computing:
    """Rolling features and the memory of labels, together.

    Args:
        rules: of the rolling features.
        keys_max: entities that are remembered of each feature that rules go by.
        memory: of labels; None: none are remembered.
    """

    def __init__(self, rules: Iterable[Rule], *, keys_max: int, memory: LabelMemory | None = None) -> None:
        self.rolling = RollingFeatures(rules, keys_max=keys_max)
        self.memory = memory or LabelMemory(0, by="", keys_max=0)
        self._needs_labels = bool(self.rolling.labelled or self.memory.labels)

    def on_event(self, x: Mapping[str, Any], ts: float) -> dict[str, Any]:
        """The features of an event, which is counted then."""
        found = self.rolling.on_event(x, ts)
        return {**found, **self.memory.look(x)} if self.memory.labels else found

    def look(self, x: Mapping[str, Any], ts: float) -> dict[str, Any]:
        """The features that an event would have; nothing changes."""
        return {**self.rolling.look(x, ts), **self.memory.look(x)}

    def on_label(self, x: Mapping[str, Any], y: Any, ts: float) -> None:
        """The label of an event with these features has become known at `ts`."""
        if self._needs_labels:
            self.rolling.on_label(x, ts, positive=y is True)
            if self.memory.labels:
                self.memory.on_label(x, y)

    def state(self) -> dict[str, bytes]:
        """What a checkpoint keeps."""
        return {"rolling": self.rolling.state(), "memory": self.memory.state()}

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Go on from a checkpoint."""
        self.rolling.restore(state["rolling"])
        self.memory.restore(state["memory"])

    # ── with a model ────────────────────────────────────────────────────────────────────────────────────────────

    def packed(self) -> bytes:
        """The rules and the state, for somebody who has no configuration."""
        rolling, memory = self.rolling, self.memory
        keys_max = next((table.keys_max for table in rolling.tables), 0)
        rules = [astuple(rule) for rule in rolling.rules]
        told: bytes = msgpack.packb(
            (rules, keys_max, memory.labels, memory.by, memory.keys_max, rolling.state(), memory.state())
        )
        return told

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        """What `packed` has written.

        Raises:
            ArtifactError: these bytes are nothing of the kind.
        """
        try:
            rules, keys_max, labels, by, labels_keys_max, rolling, memory = msgpack.unpackb(data)
            computing = cls(
                [Rule(*rule) for rule in rules],
                keys_max=keys_max,
                memory=LabelMemory(labels, by=by, keys_max=labels_keys_max),
            )
            computing.restore({"rolling": rolling, "memory": memory})
        except Exception as error:  # whatever a stranger may have written
            raise ArtifactError(
                f"what its features are computed of cannot be read: {type(error).__name__}: {error}", check="decode"
            ) from error
        return computing


class SharedComputing(Computing):
    """At a follower: it goes on in one thread while others look."""

    def __init__(self, rules: Iterable[Rule], *, keys_max: int, memory: LabelMemory | None = None) -> None:
        super().__init__(rules, keys_max=keys_max, memory=memory)
        self._lock = Lock()

    def on_event(self, x: Mapping[str, Any], ts: float) -> dict[str, Any]:
        """As `Computing.on_event`."""
        with self._lock:
            return super().on_event(x, ts)

    def look(self, x: Mapping[str, Any], ts: float) -> dict[str, Any]:
        """As `Computing.look`."""
        with self._lock:
            return super().look(x, ts)

    def on_label(self, x: Mapping[str, Any], y: Any, ts: float) -> None:
        """As `Computing.on_label`."""
        with self._lock:
            super().on_label(x, y, ts)

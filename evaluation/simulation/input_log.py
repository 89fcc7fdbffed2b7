"""What a straight run must know beside the log: the inputs of each checkpoint; and commits looked at as they come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from consumers.ports import Committed, Positions, Store
from evaluation.simulation.runner import Input
from evaluation.simulation.world import MemoryLog
from evaluation.simulation.world.faulty_stores import Entry


@dataclass
class Past:
    """How a learner came to its state.

    Args:
        rebuilt_from: the version after which a rebuild began; None without one.
    """

    inputs: list[Input] = field(default_factory=list)
    rebuilt_from: int | None = None

    def copy(self) -> "Past":
        """As it is now."""
        return Past(list(self.inputs), self.rebuilt_from)


class InputLog:
    """A store that also knows the past of each checkpoint, which the checkpoint does not say.

    Args:
        known: shared by all processes, by checkpoint.
        past: of this process.
        rebuilding: the version at hand, where the process begins with a rebuild.
    """

    def __init__(
        self, store: Store, *, known: dict[str, Past], past: Past, rebuilding: Callable[[], int] | None = None
    ) -> None:
        self.store = store
        self.known = known
        self.past = past
        self.rebuilding = rebuilding

    def put(self, sha256: str, data: bytes) -> None:
        """With its past. A rebuild's first is put before it has learned anything."""
        if self.rebuilding is not None and self.past.rebuilt_from is None:
            self.past.rebuilt_from = self.rebuilding()
        self.known[sha256] = self.past.copy()
        self.store.put(sha256, data)

    def get(self, sha256: str) -> bytes:
        """Whoever reads a checkpoint goes on from its past."""
        data = self.store.get(sha256)
        past = self.known[sha256]
        self.past.inputs[:] = past.inputs
        self.past.rebuilt_from = past.rebuilt_from
        return data

    def manifest(self) -> list[Entry]:
        """As it is."""
        return list(self.store.manifest())

    def record(self, entry: Entry) -> None:
        """As it is."""
        self.store.record(entry)


# ── A log that looks at every commit while a simulation runs: what is wrong there may heal before the end ───────────


@dataclass
class ObservedLog(MemoryLog):
    """A log that looks at every commit: its blob must be durable, and it must follow the one before.

    Args:
        holds: whether a blob is there, whole and durable.
    """

    holds: Callable[[str], bool] = field(kw_only=True)
    findings: list[str] = field(default_factory=list)
    positions_of: dict[str, Positions] = field(default_factory=dict)

    def commit(self, committed: Committed) -> None:
        """Look, then commit."""
        entry = orjson.loads(committed.metadata)
        if not self.holds(entry["sha"]):
            self.findings.append(f"checkpoint {entry['number']} was committed before its blob was durable")
        before = self.committed_of(each.number for each in committed.positions) if self.shared else self.committed
        if before is not None and before.metadata:
            self._follows(entry, orjson.loads(before.metadata))
        self.positions_of.setdefault(entry["sha"], committed.positions)
        super().commit(committed)

    def _follows(self, entry: dict[str, Any], before: dict[str, Any]) -> None:
        """The parent is the checkpoint before, or the parent of that if that is torn; a rebuild has none."""
        if not entry["parent"] and entry["epoch"] > before["epoch"]:
            return
        expected = before["sha"] if self.holds(before["sha"]) else before["parent"]
        if entry["parent"] not in (expected, before["sha"]):
            self.findings.append(
                f"checkpoint {entry['number']} was committed after {before['number']}, and does not go on from there"
            )

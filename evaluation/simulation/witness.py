"""A log that looks at every commit while a simulation runs: what is wrong there may heal before the end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from consumers.ports import Committed, Positions
from evaluation.simulation.world import MemoryLog


@dataclass
class WitnessedLog(MemoryLog):
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

"""A log that looks at every commit while a simulation runs: what is wrong there may heal before the end."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from anabranch.ports import Committed, Positions
from anabranch.testing import Disk, MemoryLog


@dataclass
class WitnessedLog(MemoryLog):
    """A log that looks at every commit: its blob must be durable, and it must follow the one before."""

    disk: Disk = field(default_factory=Disk)
    findings: list[str] = field(default_factory=list)
    positions_of: dict[str, Positions] = field(default_factory=dict)

    def commit(self, committed: Committed) -> None:
        """Look, then commit."""
        entry = orjson.loads(committed.metadata)
        if not self.disk.holds(entry["sha"]):
            self.findings.append(f"checkpoint {entry['number']} was committed before its blob was durable")
        if self.committed is not None and self.committed.metadata:
            self._follows(entry, orjson.loads(self.committed.metadata))
        self.positions_of[entry["sha"]] = committed.positions
        super().commit(committed)

    def _follows(self, entry: dict[str, Any], before: dict[str, Any]) -> None:
        """The parent is the checkpoint before, or the parent of that if that is torn."""
        expected = before["sha"] if self.disk.holds(before["sha"]) else before["parent"]
        if entry["parent"] not in (expected, before["sha"]):
            self.findings.append(
                f"checkpoint {entry['number']} was committed after {before['number']}, and does not go on from there"
            )

"""A store on a disk that tears, loses what was not synced, fills up, and rots."""

import errno
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NoReturn

from anabranch.errors import CheckpointCorrupt, CheckpointMissing, StoreUnavailable
from evaluation.simulation.world.processes import Process

Entry = Mapping[str, object]


@dataclass
class Disk:
    """What processes share: blobs, and a manifest of which the last `keep` entries stay."""

    keep: int = 5
    blobs: dict[str, bytes] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    unsynced: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Blobs that were written and not synced, by process."""

    def write(self, name: str, data: bytes, *, by: str) -> None:
        """There for others, and durable, after `sync`."""
        self.unsynced.setdefault(by, {})[name] = data

    def sync(self, *, by: str) -> None:
        """What the process has written is durable now."""
        self.blobs.update(self.unsynced.pop(by, {}))

    def power_fails(self, *, by: str, rng: Random) -> None:
        """The process's host goes down: each blob that was not synced is there, is torn, or is gone."""
        for name, data in self.unsynced.pop(by, {}).items():
            kept = rng.choice((0, rng.randint(1, len(data)), len(data)))
            if kept:
                self.blobs.setdefault(name, data[:kept])

    def tear(self, name: str, *, rng: Random) -> None:
        """A blob rots, or somebody cuts it."""
        self.blobs[name] = self.blobs[name][: rng.randrange(len(self.blobs[name]))]

    def holds(self, name: str) -> bool:
        """Whether the blob is there, whole and durable."""
        return name in self.blobs and hashlib.sha256(self.blobs[name]).hexdigest() == name

    def append(self, entry: Entry) -> None:
        """One more manifest entry; blobs that only dropped entries name go."""
        named, self.entries = _named(self.entries), [*self.entries, entry][-self.keep :]
        for name in sorted(named - _named(self.entries)):
            self.blobs.pop(name, None)


def _named(entries: list[Entry]) -> set[str]:
    return {str(entry[which]) for entry in entries for which in ("sha", "parent")}


class FaultyStore:
    """The disk as one process of a schedule sees it."""

    def __init__(self, disk: Disk, *, process: Process) -> None:
        self.disk = disk
        self.process = process

    def put(self, sha256: str, data: bytes) -> None:
        """Write, then sync. A full disk raises, and keeps what had room."""
        write = partial(self.disk.write, sha256, data, by=self.process.name)
        self.process.act("write blob", write, {"the disk is full": partial(self._fill, sha256, data)})
        self.process.act("sync blob", partial(self.disk.sync, by=self.process.name))

    def _fill(self, name: str, data: bytes) -> NoReturn:
        self.disk.blobs.setdefault(name, data[: len(data) // 2])
        _full()

    def get(self, sha256: str) -> bytes:
        """The verified bytes; raises CheckpointMissing or CheckpointCorrupt."""
        data = self.process.act("read blob", lambda: self.disk.blobs.get(sha256), {"the disk is away": _away})
        if data is None:
            raise CheckpointMissing(f"no blob {sha256} on the disk")
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CheckpointCorrupt(f"blob {sha256} on the disk is torn")
        return data

    def manifest(self) -> list[Entry]:
        """The entries, newest last."""
        return self.process.act("read manifest", lambda: list(self.disk.entries))

    def record(self, entry: Entry) -> None:
        """Append to the manifest, and drop the blobs that no entry names any more."""
        self.process.act("record", lambda: self.disk.append(entry), {"the disk is full": _full})


def _away() -> NoReturn:
    raise StoreUnavailable(f"the disk: {os.strerror(errno.EIO)}")


def _full() -> NoReturn:
    raise StoreUnavailable(f"the disk: {os.strerror(errno.ENOSPC)}")

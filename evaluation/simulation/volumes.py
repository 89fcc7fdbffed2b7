"""Where the checkpoints of a simulated run lie: in memory, in a folder of a faulty disk, or in a faulty bucket.

The last two are reached through the stores of production.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Protocol

from anabranch.errors import CheckpointCorrupt
from consumers.ports import Store
from consumers.stores import CheckpointStore
from consumers.stores.files import FolderBlobs
from consumers.stores.manifest import NAME, Entry, digest, unpacked
from consumers.stores.objects import ObjectBlobs
from evaluation.simulation.world import (
    Bucket,
    Disk,
    FaultyBlobs,
    FaultyFiles,
    FaultyObjects,
    FileDisk,
    FrozenClock,
    Process,
)


class Volume(Protocol):
    """What a simulation does to stores, behind the learner's back."""

    shared_fate: bool
    """Whether all processes run on the machine of the disk: they lose their power together."""

    def store_of(self, process: Process) -> Store:
        """As one process sees it."""

    def holds(self, sha256: str) -> bool:
        """Whether the blob is there, whole and durable."""

    def tear(self, sha256: str, *, rng: Random) -> None:
        """A blob rots."""

    def entries(self) -> list[Entry]:
        """The manifest, as far as it is durable."""

    def power_fails(self, *, by: str, rng: Random) -> None:
        """On the machine of a process; what it had not synced may be lost."""


class MemoryVolume:
    """Blobs in memory: the quickest."""

    shared_fate = False

    def __init__(self, *, keep: int, clock: FrozenClock) -> None:
        del clock
        self.keep = keep
        self.disk = Disk()

    def store_of(self, process: Process) -> Store:
        """A store without files."""
        return CheckpointStore(FaultyBlobs(self.disk, process=process), keep=self.keep)

    def holds(self, sha256: str) -> bool:
        """There, whole and synced."""
        return digest(self.disk.blobs.get(f"blobs/{sha256}", b"")) == sha256

    def tear(self, sha256: str, *, rng: Random) -> None:
        """Cut."""
        self.disk.tear(f"blobs/{sha256}", rng=rng)

    def entries(self) -> list[Entry]:
        """All of them."""
        return _entries(self.disk.blobs.get(NAME))

    def power_fails(self, *, by: str, rng: Random) -> None:
        """Each process has a machine of its own."""
        self.disk.power_fails(by=by, rng=rng)


class FolderVolume:
    """A folder, on a disk that tears what was not synced."""

    shared_fate = True
    folder = Path("/checkpoints")

    def __init__(self, *, keep: int, clock: FrozenClock) -> None:
        self.keep = keep
        self.disk = FileDisk(clock)

    def store_of(self, process: Process) -> Store:
        """The store of production."""
        return CheckpointStore(FolderBlobs(self.folder, files=FaultyFiles(self.disk, process=process)), keep=self.keep)

    def holds(self, sha256: str) -> bool:
        """There, whole and synced, under a name that is."""
        return digest(self.disk.kept(self._path(sha256)) or b"") == sha256

    def tear(self, sha256: str, *, rng: Random) -> None:
        """Cut."""
        self.disk.tear(self._path(sha256), rng=rng)

    def _path(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256

    def entries(self) -> list[Entry]:
        """Those of the manifest that a power failure would leave."""
        return _entries(self.disk.kept(self.folder / NAME))

    def power_fails(self, *, by: str, rng: Random) -> None:
        """There is one machine."""
        del by
        self.disk.power_fails(rng=rng)


class BucketVolume:
    """A prefix, as S3 has it, on objects in memory."""

    shared_fate = False
    root = "bucket/m"

    def __init__(self, *, keep: int, clock: FrozenClock) -> None:
        self.keep = keep
        self.bucket = Bucket(clock)

    def store_of(self, process: Process) -> Store:
        """The store of production."""
        return CheckpointStore(
            ObjectBlobs(self.root, files=FaultyObjects(self.bucket, process=process)), keep=self.keep
        )

    def holds(self, sha256: str) -> bool:
        """There, and whole."""
        return digest(self.bucket.kept(self._path(sha256)) or b"") == sha256

    def tear(self, sha256: str, *, rng: Random) -> None:
        """Cut."""
        self.bucket.tear(self._path(sha256), rng=rng)

    def _path(self, sha256: str) -> str:
        return f"{self.root}/blobs/{sha256}"

    def entries(self) -> list[Entry]:
        """All of them."""
        return _entries(self.bucket.kept(f"{self.root}/{NAME}"))

    def power_fails(self, *, by: str, rng: Random) -> None:
        """A bucket does not notice."""


def _entries(manifest: bytes | None) -> list[Entry]:
    with suppress(CheckpointCorrupt):  # whoever has to read it will say so
        return [] if manifest is None else unpacked(manifest, where=NAME)
    return []


VOLUMES: tuple[Callable[..., Volume], ...] = (MemoryVolume, FolderVolume, FolderVolume, BucketVolume)
"""Of which a schedule draws one."""

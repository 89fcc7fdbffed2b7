"""Stores of checkpoints: immutable blobs, durable before anything refers to them; a folder, memory, or S3's.

checkpoint.store = "checkpoints" or "file:///var/lib/…"    a folder: `FolderBlobs`
checkpoint.store = "s3://bucket/prefix"                    an object store: `s3_blobs`, with the extra [s3]
"""

import re
from pathlib import Path
from typing import Protocol

from anabranch.errors import CheckpointMissing, ConfigError
from anabranch.scope import GLOBAL, Scope
from config.settings import Settings
from consumers.stores.files import FolderBlobs
from consumers.stores.manifest import NAME, Entry, appended, packed, unpacked, verified
from consumers.stores.objects import s3_blobs
from learners.labels.segments import Blob, BytesBlob


class Blobs(Protocol):
    """Bytes by name, in one place. All raise StoreUnavailable where the place does not answer, or takes nothing."""

    def where(self, name: str) -> str:
        """Where it lies, for people."""

    def write(self, name: str, data: bytes) -> None:
        """Atomically, in place of what had the name; durable, and seen by other processes, when it returns."""

    def read(self, name: str) -> bytes | None:
        """All of it; None if the place is there and holds no such name."""

    def written_s(self) -> dict[str, float]:
        """When each name under `blobs/`, and each half-written one, was written: seconds by the place's own clock."""

    def open(self, name: str) -> Blob | None:
        """To be read in parts; None as of `read`."""

    def remove(self, name: str) -> None:
        """It may be gone already."""


class CheckpointStore:
    """`blobs/<sha256>` and `manifest.json`, wherever the blobs lie. (The `Store` of consumers/ports.py.)

    Args:
        keep: how many manifest entries, and the blobs they name, are kept.
    """

    def __init__(self, blobs: Blobs, *, keep: int) -> None:
        self.blobs = blobs
        self.keep = keep

    def put(self, sha256: str, data: bytes) -> None:
        """Durable when it returns."""
        self.blobs.write(f"blobs/{sha256}", data)

    def get(self, sha256: str) -> bytes:
        """The verified bytes.

        Raises:
            CheckpointMissing, CheckpointCorrupt: they are not there, or not what their name says.
            StoreUnavailable: the store cannot be read now.
        """
        name = f"blobs/{sha256}"
        data = self.blobs.read(name)
        if data is None:
            raise CheckpointMissing(f"{self.blobs.where(name)}: no blob there")
        return verified(data, sha256, where=self.blobs.where(name))

    def open(self, sha256: str) -> Blob:
        """The bytes, to be read in parts; whoever reads them sees whether they are whole.

        Raises:
            CheckpointMissing: they are not there.
            StoreUnavailable: the store cannot be read now.
        """
        name = f"blobs/{sha256}"
        blob = self.blobs.open(name)
        if blob is None:
            raise CheckpointMissing(f"{self.blobs.where(name)}: no blob there")
        return blob

    def manifest(self) -> list[Entry]:
        """The entries, newest last."""
        data = self.blobs.read(NAME)
        return [] if data is None else unpacked(data, where=self.blobs.where(NAME))

    def record(self, entry: Entry) -> None:
        """Append to the manifest, and drop what no kept entry names.

        What no entry has ever named is another process's at work, or was left by one that was killed: its age tells.
        """
        kept = appended(self.manifest(), entry, keep=self.keep)
        self.blobs.write(NAME, packed(kept.entries))
        written_s = self.blobs.written_s()
        now_s = max(written_s.values(), default=0.0)  # of the blob that the entry names, at the latest
        for name, at_s in written_s.items():
            if kept.is_garbage(name.rpartition("/")[2], age_s=now_s - at_s):
                self.blobs.remove(name)


class MemoryBlobs:
    """In memory, where all that was written is of now."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def where(self, name: str) -> str:
        """In no place that anybody could look at."""
        return f"{name} in memory"

    def write(self, name: str, data: bytes) -> None:
        """At once."""
        self.held[name] = data

    def read(self, name: str) -> bytes | None:
        """None if it is not there."""
        return self.held.get(name)

    def open(self, name: str) -> Blob | None:
        """All of it."""
        data = self.held.get(name)
        return None if data is None else BytesBlob(data)

    def written_s(self) -> dict[str, float]:
        """Time stands still."""
        return dict.fromkeys((name for name in self.held if name != NAME), 0.0)

    def remove(self, name: str) -> None:
        """It may be gone already."""
        self.held.pop(name, None)


class MemoryStore(CheckpointStore):
    """The newest blob and its parent, in memory: for backtests, and for tests."""

    blobs: MemoryBlobs

    def __init__(self, *, keep: int = 1) -> None:
        super().__init__(MemoryBlobs(), keep=keep)


def store_of(settings: Settings, scope: Scope = GLOBAL, *, make: bool = True) -> CheckpointStore:
    """The store that `checkpoint.store` names, with a folder of its own for the model, and in it for each partition.

    Args:
        make: its folder, if it is not there; else the store is only to be read.

    Raises:
        ConfigError: no store has such an address, or what it needs is not installed.
    """
    return CheckpointStore(
        _blobs(settings.checkpoint.store, scope.within(settings.name, "/"), make=make), keep=settings.checkpoint.keep
    )


def _blobs(address: str, folder: str, *, make: bool) -> Blobs:
    scheme = re.match(r"([A-Za-z0-9+.-]+)://", address)
    if scheme is None or scheme[1] == "file":
        return FolderBlobs(Path(address.removeprefix("file://")) / folder, make=make)
    if scheme[1] != "s3":
        raise ConfigError(
            f"checkpoint.store = {address!r}: unsupported scheme {scheme[1]}://; "
            "write a folder, file:///folder or s3://bucket/prefix"
        )
    try:
        return s3_blobs(f"{address.rstrip('/')}/{folder}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"checkpoint.store = {address!r} needs the extra [s3] ({error.name} is not installed): "
            "pip install 'anabranch[s3]'"
        ) from error

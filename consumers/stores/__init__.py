"""Stores of checkpoints: immutable blobs, durable before anything refers to them; a folder, memory, or S3's.

checkpoint.store = "checkpoints" or "file:///var/lib/…"    a folder: `FileStore`
checkpoint.store = "s3://bucket/prefix"                    an object store: `S3Store`, with the extra [s3]
"""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from anabranch.errors import CheckpointMissing, ConfigError, StoreUnavailable
from anabranch.scope import GLOBAL, Scope
from config.settings import Settings
from consumers.ports import Store
from consumers.stores.manifest import NAME, Entry, Kept, appended, packed, unpacked, verified
from consumers.stores.objects import S3Store

# ── What a store does to the file system: few operations, each of which the machine may not survive ─────────────────

# `FileStore` uses these and nothing else, so that a simulated disk can stand in for the real one.


class Files(Protocol):
    """A file system. All raise OSError.

    What was written is durable after `sync`, a name or its removal after `sync_folder`; not before.
    """

    def make(self, folder: Path) -> None:
        """A folder with those above it; it may be there already. Those that are made are durable."""

    def create(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        """An empty file, open to be written."""

    def sync(self, file: IO[bytes]) -> None:
        """What was written is durable when this returns."""

    def rename(self, old: Path, new: Path) -> None:
        """Atomically, in place of what had the new name."""

    def sync_folder(self, folder: Path) -> None:
        """The names in the folder are durable when this returns."""

    def read(self, path: Path) -> bytes:
        """All of a file."""

    def names(self, folder: Path) -> list[Path]:
        """The files and folders in a folder."""

    def modified_s(self, path: Path) -> float:
        """When the file was last written, in epoch seconds by the file system's clock."""

    def remove(self, path: Path) -> None:
        """Remove a file."""


class RealFiles:
    """The file system of this machine."""

    def make(self, folder: Path) -> None:
        """With the folders above it."""
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            self.sync_folder(made.parent)

    def create(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        """Emptied, if it is there."""
        return path.open("wb")

    def sync(self, file: IO[bytes]) -> None:
        """Python's buffer, then the system's."""
        file.flush()
        os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Within a file system."""
        old.replace(new)

    def sync_folder(self, folder: Path) -> None:
        """A folder is synced as a file is."""
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def read(self, path: Path) -> bytes:
        """All of it."""
        return path.read_bytes()

    def names(self, folder: Path) -> list[Path]:
        """In no particular order."""
        return list(folder.iterdir())

    def modified_s(self, path: Path) -> float:
        """As the system says."""
        return path.stat().st_mtime

    def remove(self, path: Path) -> None:
        """At once."""
        path.unlink()


# ── The stores ──────────────────────────────────────────────────────────────────────────────────────────────────────

REAL_FILES = RealFiles()


def store_of(settings: Settings, scope: Scope = GLOBAL, *, make: bool = True) -> Store:
    """The store that `checkpoint.store` names, with a folder of its own for the model, and in it for each partition.

    Args:
        make: its folder, if it is not there; else the store is only to be read.

    Raises:
        ConfigError: no store has such an address, or what it needs is not installed.
    """
    address, keep = settings.checkpoint.store, settings.checkpoint.keep
    folder = scope.within(settings.name, "/")
    scheme = re.match(r"([A-Za-z0-9+.-]+)://", address)
    if scheme is None or scheme[1] == "file":
        return FileStore(Path(address.removeprefix("file://")) / folder, keep=keep, make=make)
    if scheme[1] != "s3":
        raise ConfigError(
            f"checkpoint.store = {address!r}: unsupported scheme {scheme[1]}://; "
            "write a folder, file:///folder or s3://bucket/prefix"
        )
    try:
        return S3Store(f"{address.rstrip('/')}/{folder}", keep=keep)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"checkpoint.store = {address!r} needs the extra [s3] ({error.name} is not installed): "
            "pip install 'anabranch[s3]'"
        ) from error


class FileStore:
    """A folder: `blobs/<sha256>` and `manifest.json`. Each write is synced before it is renamed into place.

    Args:
        folder: made if it does not exist.
        keep: how many manifest entries, and the blobs they name, are kept.
        files: the file system; a simulated one, in a simulation.
        make: the folder; else the store is only to be read.

    Raises:
        StoreUnavailable: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, keep: int, files: Files = REAL_FILES, make: bool = True) -> None:
        self.folder = folder
        self.keep = keep
        self.files = files
        self.blobs = folder / "blobs"
        if make:
            with _told(self.blobs, do="`checkpoint.store` must be a folder that this process may write"):
                files.make(self.blobs)

    def put(self, sha256: str, data: bytes) -> None:
        """Durable when it returns."""
        self._write(self.blobs / sha256, data)

    def get(self, sha256: str) -> bytes:
        """The verified bytes.

        Raises:
            CheckpointMissing, CheckpointCorrupt: they are not there, or not what their name says.
            StoreUnavailable: the folder cannot be read now.
        """
        path = self.blobs / sha256
        with _told(path):
            try:
                data = self.files.read(path)
            except FileNotFoundError as error:
                self.files.names(self.blobs)  # a folder that is away holds nothing either, and has lost nothing
                raise CheckpointMissing(f"{path}: {error.strerror}") from error
        return verified(data, sha256, where=str(path))

    def manifest(self) -> list[Entry]:
        """The entries, newest last."""
        path = self.folder / NAME
        with _told(path), suppress(FileNotFoundError):
            return unpacked(self.files.read(path), where=str(path))
        return []

    def record(self, entry: Entry) -> None:
        """Append to the manifest, and drop blobs that no kept entry names."""
        kept = appended(self.manifest(), entry, keep=self.keep)
        self._write(self.folder / NAME, packed(kept.entries))
        with _told(self.blobs):
            self._tidy(kept)

    def _tidy(self, kept: Kept) -> None:
        """Remove what nobody needs any more."""
        now_s = self.files.modified_s(self.folder / NAME)
        left_over = [path for path in self.files.names(self.folder) if path.suffix == ".tmp"]
        for path in (*self.files.names(self.blobs), *left_over):
            with suppress(FileNotFoundError):  # another process may be tidying too
                if kept.is_garbage(path.name, age_s=now_s - self.files.modified_s(path)):
                    self.files.remove(path)

    def _write(self, path: Path, data: bytes) -> None:
        """Atomic and durable: temporary file, fsync, rename, fsync of the folder."""
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        with _told(path, do="see that the disk has room and that this process may write there"):
            try:
                with self.files.create(temporary) as file:
                    file.write(data)
                    self.files.sync(file)
                self.files.rename(temporary, path)
            except OSError:
                with suppress(OSError):  # half a blob on a full disk helps nobody
                    self.files.remove(temporary)
                raise
            self.files.sync_folder(path.parent)


class MemoryStore:
    """The newest blob and its parent, in memory: for backtests, and for tests."""

    def __init__(self, *, keep: int = 1) -> None:
        self.keep = keep
        self.blobs: dict[str, bytes] = {}
        self.entries: list[Entry] = []

    def put(self, sha256: str, data: bytes) -> None:
        """Keep it. What is older may still be the committed one, so nothing goes before `record`."""
        self.blobs[sha256] = data

    def get(self, sha256: str) -> bytes:
        """The verified bytes; raises CheckpointMissing or CheckpointCorrupt."""
        if sha256 not in self.blobs:
            raise CheckpointMissing(f"no blob {sha256} in memory")
        return verified(self.blobs[sha256], sha256, where="memory")

    def manifest(self) -> list[Entry]:
        """The entries, newest last."""
        return list(self.entries)

    def record(self, entry: Entry) -> None:
        """Append to the manifest, and drop blobs that no kept entry names."""
        kept = appended(self.entries, entry, keep=self.keep)
        self.entries = kept.entries
        self.blobs = {name: blob for name, blob in self.blobs.items() if name in kept.named}


@contextmanager
def _told(path: Path, *, do: str = "") -> Iterator[None]:
    """What the system says of a path, as an error of ours that names it."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}" + (f"; {do}" if do else "")) from error

"""Checkpoints: immutable blobs under their sha256, in a folder, durable before anything refers to them."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import orjson

from anabranch.errors import CheckpointError


def digest(data: bytes) -> str:
    """The name of a blob."""
    return hashlib.sha256(data).hexdigest()


class FileStore:
    """A folder: `blobs/<sha256>` and `manifest.json`. Each write is synced before it is renamed into place.

    Args:
        folder: made if it does not exist.
        keep: how many manifest entries, and the blobs they name, are kept.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self.blobs = folder / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)

    def put(self, sha256: str, data: bytes) -> None:
        """Durable when it returns."""
        _write(self.blobs / sha256, data)

    def get(self, sha256: str) -> bytes:
        """The verified bytes; raises CheckpointError when missing or corrupt."""
        path = self.blobs / sha256
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror}") from error
        return verified(data, sha256, where=str(path))

    def manifest(self) -> list[Mapping[str, object]]:
        """The entries, newest last."""
        try:
            entries: list[Mapping[str, object]] = orjson.loads((self.folder / "manifest.json").read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, orjson.JSONDecodeError) as error:
            raise CheckpointError(f"{self.folder / 'manifest.json'} cannot be read: {error}") from error
        return entries

    def record(self, entry: Mapping[str, object]) -> None:
        """Append to the manifest, and drop blobs that no kept entry names."""
        entries = [*self.manifest(), entry][-self.keep :]
        _write(self.folder / "manifest.json", orjson.dumps(entries, option=orjson.OPT_INDENT_2))
        named = {str(kept[name]) for kept in entries for name in ("sha", "parent")}
        for path in self.blobs.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)


class MemoryStore:
    """The newest blobs, in memory: for backtests, and for tests."""

    def __init__(self, *, keep: int = 2) -> None:
        self.keep = keep
        self.blobs: dict[str, bytes] = {}
        self.entries: list[Mapping[str, object]] = []

    def put(self, sha256: str, data: bytes) -> None:
        """Keep it, and forget the oldest."""
        self.blobs[sha256] = data
        while len(self.blobs) > self.keep:
            del self.blobs[next(iter(self.blobs))]

    def get(self, sha256: str) -> bytes:
        """The verified bytes; raises CheckpointError when missing or corrupt."""
        if sha256 not in self.blobs:
            raise CheckpointError(f"no blob {sha256} in memory")
        return verified(self.blobs[sha256], sha256, where="memory")

    def manifest(self) -> list[Mapping[str, object]]:
        """The entries, newest last."""
        return list(self.entries)

    def record(self, entry: Mapping[str, object]) -> None:
        """Append to the manifest."""
        self.entries = [*self.entries, entry][-self.keep :]


def verified(data: bytes, sha256: str, *, where: str) -> bytes:
    """The data, if it is what its name says.

    Raises:
        CheckpointError: it is torn or has been changed.
    """
    found = digest(data)
    if found != sha256:
        raise CheckpointError(f"{where}: corrupt: its sha256 is {found}, not {sha256}")
    return data


def _write(path: Path, data: bytes) -> None:
    """Atomic and durable: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""What a store does to the file system: few operations, each of which the machine may not survive.

`FileStore` uses these and nothing else, so that a simulated disk can stand in for the real one.
"""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol


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

"""Blobs in a folder, by few operations on a file system, each of which the machine may not survive."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol, TypeVar

from anabranch.errors import StoreUnavailable
from learners.labels.segments import Blob

T = TypeVar("T")


class Files(Protocol):
    """A file system, as little of it as blobs need, so that a simulated one can stand in. All raise OSError.

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

    def open(self, path: Path) -> Blob:
        """A file that is read in parts, and goes on being there when its name is gone."""

    def names(self, folder: Path) -> list[Path]:
        """The files and folders in a folder."""

    def modified_s(self, path: Path) -> float:
        """When the file was last written, in epoch seconds by the file system's clock."""

    def remove(self, path: Path) -> None:
        """Remove a file."""


class OpenedFile:
    """A file whose parts are read; closed when nobody holds it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.descriptor).st_size

    def read(self, start: int, size: int) -> bytes:
        """A part of it."""
        with _told(self.path):
            return os.pread(self.descriptor, size, start)

    def __del__(self) -> None:
        os.close(self.descriptor)


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

    def open(self, path: Path) -> Blob:
        """Held open; reads go by their place, so that any thread may read."""
        return OpenedFile(path)

    def names(self, folder: Path) -> list[Path]:
        """In no particular order."""
        return list(folder.iterdir())

    def modified_s(self, path: Path) -> float:
        """As the system says."""
        return path.stat().st_mtime

    def remove(self, path: Path) -> None:
        """At once."""
        path.unlink()


REAL_FILES = RealFiles()


class FolderBlobs:
    """A folder, and `blobs/` in it. Each write is synced before it is renamed into place.

    Args:
        folder: made if it does not exist.
        files: the file system; a simulated one, in a simulation.
        make: the folder; else it is only to be read.

    Raises:
        StoreUnavailable: the folder cannot be made.
    """

    def __init__(self, folder: Path, *, files: Files = REAL_FILES, make: bool = True) -> None:
        self.folder = folder
        self.files = files
        if make:
            with _told(folder / "blobs", do="`checkpoint.store` must be a folder that this process may write"):
                files.make(folder / "blobs")

    def where(self, name: str) -> str:
        """The path, in full: who reads it may be in another directory."""
        return str((self.folder / name).absolute())

    def write(self, name: str, data: bytes) -> None:
        """Atomic and durable: temporary file, fsync, rename, fsync of the folder."""
        path = self.folder / name
        # Two containers that see one folder may have processes of one number: no number is good enough for a name.
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

    def read(self, name: str) -> bytes | None:
        """All of it; None if there is no such file."""
        return self._there(name, self.files.read)

    def open(self, name: str) -> Blob | None:
        """To be read in parts; None likewise."""
        return self._there(name, self.files.open)

    def _there(self, name: str, what: Callable[[Path], T]) -> T | None:
        path = self.folder / name
        with _told(path):
            try:
                return what(path)
            except FileNotFoundError:
                if path.parent != self.folder:  # before the first start there is no folder, and no manifest
                    self.files.names(path.parent)  # a folder that is away holds no blob either, and has lost none
                return None

    def written_s(self) -> dict[str, float]:
        """Blobs, and what a process that was killed had half written."""
        with _told(self.folder):
            halves = [path for path in self.files.names(self.folder) if path.suffix == ".tmp"]
            found = dict[str, float]()
            for path in (*self.files.names(self.folder / "blobs"), *halves):
                with suppress(FileNotFoundError):  # another process may be tidying too
                    found[str(path.relative_to(self.folder))] = self.files.modified_s(path)
            return found

    def remove(self, name: str) -> None:
        """It may be gone already."""
        with _told(self.folder / name), suppress(FileNotFoundError):
            self.files.remove(self.folder / name)


@contextmanager
def _told(path: Path, *, do: str = "") -> Iterator[None]:
    """What the system says of a path, as an error of ours that names it."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}" + (f"; {do}" if do else "")) from error

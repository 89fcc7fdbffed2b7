"""A file system that keeps after a power failure what was synced, and of the rest whatever it likes."""

import errno
import io
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import IO, Any, NamedTuple, NoReturn

from evaluation.simulation.world.clock import FrozenClock
from evaluation.simulation.world.processes import Process


@dataclass(eq=False)
class Inode:
    """A file: what readers see, and what is on the platter."""

    data: bytes = b""
    synced: bytes = b""
    modified_s: float = 0.0


class Change(NamedTuple):
    """A name that was given (and perhaps taken from another), or removed."""

    path: Path
    inode: Inode | None
    instead_of: Path | None = None


@dataclass
class FileDisk:
    """What processes share: names of files, and those that are durable. Folders are durable when they are made."""

    clock: FrozenClock
    names: dict[Path, Inode] = field(default_factory=dict)
    durable: dict[Path, Inode] = field(default_factory=dict)
    journal: list[Change] = field(default_factory=list)
    """Changes of names that are not durable yet, in their order."""

    def found(self, path: Path) -> Inode:
        """The file of that name."""
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return self.names[path]

    def create(self, path: Path) -> Inode:
        """Empty; a new one unless the name is there."""
        if path not in self.names:
            self._change(Change(path, Inode()))
        self.write(self.names[path], b"")
        return self.names[path]

    def write(self, inode: Inode, data: bytes) -> None:
        """All that is in it; not durable."""
        inode.data, inode.modified_s = data, self.clock.time_s()

    def rename(self, old: Path, new: Path) -> None:
        """At once for readers; not durable."""
        self._change(Change(new, self.found(old), old))

    def remove(self, path: Path) -> None:
        """At once for readers; not durable."""
        self.found(path)
        self._change(Change(path, None))

    def sync_folder(self, folder: Path) -> None:
        """The names in the folder are durable."""
        for change in [each for each in self.journal if each.path.parent == folder]:
            _apply(change, self.durable)
            self.journal.remove(change)

    def power_fails(self, *, rng: Random) -> None:
        """Some of the last changes of names are undone; what was not synced is there, is torn, or is gone."""
        for change in self.journal[: rng.randint(0, len(self.journal))]:
            _apply(change, self.durable)
        self.journal = []
        self.names = dict(self.durable)
        for inode in self.names.values():
            if inode.data != inode.synced:
                torn = inode.data[: rng.randint(0, len(inode.data))]
                inode.data = inode.synced = rng.choice((inode.synced, torn, inode.data))

    def tear(self, path: Path, *, rng: Random) -> None:
        """A file rots, or somebody cuts it."""
        inode = self.found(path)
        inode.data = inode.synced = inode.data[: rng.randrange(len(inode.data))]

    def kept(self, path: Path) -> bytes | None:
        """What of a file would be there after a power failure, whatever happens in it."""
        inode = self.durable.get(path)
        return None if inode is None else inode.synced

    def _change(self, change: Change) -> None:
        self.journal.append(change)
        _apply(change, self.names)


def _apply(change: Change, names: dict[Path, Inode]) -> None:
    if change.inode is None:
        names.pop(change.path, None)
        return
    names[change.path] = change.inode
    if change.instead_of is not None:
        names.pop(change.instead_of, None)


class OpenFile(io.BytesIO):
    """A file that is being written, by a process that may not live to see it synced."""

    def __init__(self, files: "FaultyFiles", path: Path, inode: Inode) -> None:
        super().__init__()
        self.files = files
        self.path = path
        self.inode = inode

    def write(self, data: Any) -> int:
        """A full disk raises, and keeps what had room."""
        return self.files.write(self, bytes(data))


class FaultyFiles:
    """The file system as one process of a schedule sees it. (`Files` of consumers/stores/folders.py.)"""

    def __init__(self, disk: FileDisk, *, process: Process) -> None:
        self.disk = disk
        self.process = process

    def make(self, folder: Path) -> None:
        """Folders are always there."""

    def create(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        """Empty, and open to be written."""
        inode = self.process.act(f"create in {path.parent.name}/", partial(self.disk.create, path), _FULL)
        return OpenFile(self, path, inode)

    def write(self, file: OpenFile, data: bytes) -> int:
        """Behind what was written before."""
        before = file.inode.data

        def fill() -> NoReturn:
            self.disk.write(file.inode, before + data[: len(data) // 2])
            _full()

        write = partial(self.disk.write, file.inode, before + data)
        self.process.act(f"write in {file.path.parent.name}/", write, {"the disk is full": fill})
        return len(data)

    def sync(self, file: IO[bytes]) -> None:
        """What was written is durable; or it may not be, and nobody knows."""
        assert isinstance(file, OpenFile)
        inode = file.inode
        self.process.act(f"sync in {file.path.parent.name}/", lambda: setattr(inode, "synced", inode.data), _BROKEN)

    def rename(self, old: Path, new: Path) -> None:
        """Atomic."""
        self.process.act(f"rename in {new.parent.name}/", partial(self.disk.rename, old, new))

    def sync_folder(self, folder: Path) -> None:
        """The names in it are durable."""
        self.process.act(f"sync {folder.name}/", partial(self.disk.sync_folder, folder), _BROKEN)

    def read(self, path: Path) -> bytes:
        """All of it."""
        return self.process.act(f"read in {path.parent.name}/", lambda: self.disk.found(path).data, _BROKEN)

    def names(self, folder: Path) -> list[Path]:
        """In the order in which they came."""
        return self.process.act(
            f"list {folder.name}/", lambda: [path for path in self.disk.names if path.parent == folder], _BROKEN
        )

    def modified_s(self, path: Path) -> float:
        """By the clock of the simulation."""
        return self.disk.found(path).modified_s

    def remove(self, path: Path) -> None:
        """At once."""
        self.process.act(f"remove in {path.parent.name}/", partial(self.disk.remove, path), _BROKEN)


def _full() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _broken() -> NoReturn:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


_FULL = {"the disk is full": _full}
_BROKEN = {"the disk fails": _broken}

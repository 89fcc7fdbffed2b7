"""Stores on a bad day: a disk that keeps what was synced, a bucket that does not always answer, blobs that rot."""

import errno
import io
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import IO, Any, NamedTuple, NoReturn

from anabranch.errors import StoreUnavailable
from consumers.stores.manifest import NAME
from evaluation.simulation.world.memory_log import FrozenClock
from evaluation.simulation.world.processes import Process
from learners.labels.segments import Blob, BytesBlob


# By identity: two files with the same bytes are two.
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
        # From the front: a file system's journal loses its end, and nothing from its midst.
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
    """The file system as one process of a schedule sees it. (`Files` of consumers/stores/.)"""

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

    def open(self, path: Path) -> Blob:
        """Read at once."""
        return BytesBlob(self.read(path))

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


# ── A bucket of objects on a bad day: requests that are refused, and answers that are lost ──────────────────────────


@dataclass
class Bucket:
    """What processes share: objects, and when they were put."""

    clock: FrozenClock
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)

    def put(self, path: str, data: bytes) -> None:
        """Atomic, durable, and seen by all."""
        self.objects[path] = data, datetime.fromtimestamp(self.clock.time_s(), UTC)

    def tear(self, path: str, *, rng: Random) -> None:
        """An object rots."""
        data, at = self.objects[path]
        self.objects[path] = data[: rng.randrange(len(data))], at

    def kept(self, path: str) -> bytes | None:
        """The object, if it is there."""
        return self.objects[path][0] if path in self.objects else None


class FaultyObjects:
    """The bucket as one process of a schedule sees it. (`Objects` of consumers/stores/objects.py.)"""

    def __init__(self, bucket: Bucket, *, process: Process) -> None:
        self.bucket = bucket
        self.process = process

    def pipe_file(self, path: str, value: bytes) -> None:
        """Put; when it fails, nobody knows whether it took place."""
        put = partial(self.bucket.put, path, value)

        def unheard() -> NoReturn:
            put()
            _away()

        self.process.act("put", put, {"the bucket is away": _away, "the answer is lost": unheard})

    def cat_file(self, path: str) -> bytes:
        """Get."""
        data = self.process.act("get", partial(self.bucket.kept, path), {"the bucket is away": _away})
        if data is None:
            raise FileNotFoundError(path)
        return data

    def rm_file(self, path: str) -> None:
        """Remove; it need not be there."""
        self.process.act("remove", lambda: self.bucket.objects.pop(path, None), {"the bucket is away": _away})

    def find(self, path: str, *, detail: bool) -> dict[str, dict[str, Any]]:
        """The objects under a prefix."""
        assert detail
        return self.process.act("list", partial(self._under, path), {"the bucket is away": _away})

    def _under(self, path: str) -> dict[str, dict[str, Any]]:
        return {
            name: {"LastModified": at} for name, (_, at) in self.bucket.objects.items() if name.startswith(f"{path}/")
        }


def _away() -> NoReturn:
    raise OSError("the bucket does not answer")


# ── Blobs on a disk that tears, loses what was not synced, fills up, and rots ───────────────────────────────────────


@dataclass
class Disk:
    """What processes share: blobs by name."""

    blobs: dict[str, bytes] = field(default_factory=dict)
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
                # A blob of that name that is there was synced before, and stays whole.
                self.blobs.setdefault(name, data[:kept])

    def tear(self, name: str, *, rng: Random) -> None:
        """A blob rots, or somebody cuts it."""
        self.blobs[name] = self.blobs[name][: rng.randrange(len(self.blobs[name]))]


class FaultyBlobs:
    """The disk as one process of a schedule sees it. (`Blobs` of consumers/stores/.)"""

    def __init__(self, disk: Disk, *, process: Process) -> None:
        self.disk = disk
        self.process = process

    def where(self, name: str) -> str:
        """On the disk."""
        return f"{name} on the disk"

    def write(self, name: str, data: bytes) -> None:
        """Write, then sync; the manifest at once, as what replaces it is renamed. A full disk keeps what had room."""
        if name == NAME:
            replace = partial(self.disk.blobs.update, {name: data})
            self.process.act("record", replace, {"the disk is full": _disk_full})
            return
        write = partial(self.disk.write, name, data, by=self.process.name)
        self.process.act("write blob", write, {"the disk is full": partial(self._fill, name, data)})
        self.process.act("sync blob", partial(self.disk.sync, by=self.process.name))

    def _fill(self, name: str, data: bytes) -> NoReturn:
        self.disk.blobs.setdefault(name, data[: len(data) // 2])
        _disk_full()

    def read(self, name: str) -> bytes | None:
        """None if it is not there; the disk may be away."""
        what = "read manifest" if name == NAME else "read blob"
        return self.process.act(what, partial(self.disk.blobs.get, name), {"the disk is away": _disk_away})

    def open(self, name: str) -> Blob | None:
        """Read at once."""
        data = self.read(name)
        return None if data is None else BytesBlob(data)

    def written_s(self) -> dict[str, float]:
        """All of now: what a killed process has left stays."""
        return dict.fromkeys((name for name in self.disk.blobs if name != NAME), 0.0)

    def remove(self, name: str) -> None:
        """At once."""
        self.process.act("remove blob", partial(self.disk.blobs.pop, name, None))


def _disk_away() -> NoReturn:
    raise StoreUnavailable(f"the disk: {os.strerror(errno.EIO)}")


def _disk_full() -> NoReturn:
    raise StoreUnavailable(f"the disk: {os.strerror(errno.ENOSPC)}")

"""Blobs on anything that puts, gets, lists and removes objects, S3 among them: one PUT is atomic."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from anabranch.errors import StoreUnavailable
from learners.labels.segments import Blob, BytesBlob


class Objects(Protocol):
    """The part of fsspec's interface that is used. What was put is seen by the next read or listing."""

    def pipe_file(self, path: str, value: bytes) -> Any:
        """Put."""

    def cat_file(self, path: str) -> bytes:
        """Get; raises FileNotFoundError."""

    def rm_file(self, path: str) -> Any:
        """Remove."""

    def find(self, path: str, *, detail: bool) -> dict[str, dict[str, Any]]:
        """The objects under a prefix, each with its `LastModified`."""


class ObjectBlobs:
    """A prefix, and `blobs/` in it.

    Args:
        root: the prefix.
        hint: what to look at when the objects do not answer.
        failures: what they raise then.
    """

    def __init__(
        self, root: str, *, files: Objects, hint: str = "", failures: tuple[type[Exception], ...] = (OSError,)
    ) -> None:
        self.root = root
        self.files = files
        self.hint = hint
        self.failures = failures

    def where(self, name: str) -> str:
        """The object's path."""
        return f"{self.root}/{name}"

    def write(self, name: str, data: bytes) -> None:
        """Durable and seen by all when it returns."""
        with self._told(name):
            self.files.pipe_file(self.where(name), data)

    def read(self, name: str) -> bytes | None:
        """All of it; None if there is no such object."""
        with self._told(name):
            try:
                return self.files.cat_file(self.where(name))
            except FileNotFoundError:
                return None

    def open(self, name: str) -> Blob | None:
        """Fetched into a temporary file: a request for each part would take longer than all of it."""
        data = self.read(name)
        return None if data is None else spooled(data)

    def written_s(self) -> dict[str, float]:
        """Blobs, by the store's own clock."""
        with self._told("blobs"):
            found = self.files.find(self.where("blobs"), detail=True)
        return {f"blobs/{path.rpartition('/')[2]}": each["LastModified"].timestamp() for path, each in found.items()}

    def remove(self, name: str) -> None:
        """It may be gone already."""
        with self._told(name):
            self.files.rm_file(self.where(name))

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """What the store says of an object, as an error of ours that names it."""
        try:
            yield
        except self.failures as error:
            raise StoreUnavailable(f"{self.where(name)}: {type(error).__name__}: {error}{self.hint}") from error


class _Spooled:
    """A temporary file without a name, which is gone when nobody holds it."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        # Held as long as this is: it closes the file, and with it the file is gone.
        self._file = tempfile.TemporaryFile(prefix="anabranch-pending-")  # noqa: SIM115
        self._file.write(data)
        self._file.flush()

    def read(self, start: int, size: int) -> bytes:
        """A part of it."""
        return os.pread(self._file.fileno(), size, start)


def spooled(data: bytes) -> Blob:
    """Bytes on this machine's disk; few of them, in memory.

    Raises:
        StoreUnavailable: the disk has no room.
    """
    if len(data) <= SPOOLED_MIN:
        return BytesBlob(data)
    try:
        return _Spooled(data)
    except OSError as error:
        raise StoreUnavailable(f"{tempfile.gettempdir()}: {error.strerror}; pending events are kept there") from error


SPOOLED_MIN = 2**20


def s3_blobs(root: str) -> ObjectBlobs:
    """A prefix in a bucket on S3, or on what speaks its protocol. Needs the extra [s3].

    Credentials, region and endpoint come from where every S3 client takes them: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`,
    `AWS_ENDPOINT_URL`, the machine's role … What was put is seen by the next GET or LIST: there is nothing to sync.

    Args:
        root: `s3://bucket/prefix`; the bucket must be there.

    Raises:
        ModuleNotFoundError: the extra is not installed.
    """
    import s3fs  # noqa: PLC0415  # a second of imports that folders do not need
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    # Listings are not cached: what another process has put or removed would not be seen.
    return ObjectBlobs(
        root,
        files=s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True),
        hint="; see that the bucket exists, and that AWS_ENDPOINT_URL and the credentials are right",
        failures=(OSError, BotoCoreError),
    )

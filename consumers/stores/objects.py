"""Checkpoints on anything that puts, gets, lists and removes objects, S3 among them: one PUT is atomic."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Protocol

from anabranch.errors import CheckpointMissing, StoreUnavailable
from consumers.stores.manifest import NAME, Entry, Kept, appended, packed, unpacked, verified


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


class ObjectStore:
    """A prefix: `blobs/<sha256>` and `manifest.json`.

    Args:
        root: the prefix.
        keep: how many manifest entries, and the blobs they name, are kept.
    """

    hint = ""

    def __init__(self, root: str, *, keep: int, files: Objects) -> None:
        self.root = root
        self.keep = keep
        self.files = files
        self.failures: tuple[type[Exception], ...] = (OSError,)

    def put(self, sha256: str, data: bytes) -> None:
        """Durable when it returns."""
        self._put(f"{self.root}/blobs/{sha256}", data)

    def get(self, sha256: str) -> bytes:
        """The verified bytes.

        Raises:
            CheckpointMissing, CheckpointCorrupt: they are not there, or not what their name says.
            StoreUnavailable: the store does not answer.
        """
        path = f"{self.root}/blobs/{sha256}"
        with self._told(path):
            try:
                data = self.files.cat_file(path)
            except FileNotFoundError as error:
                raise CheckpointMissing(f"{path}: there is no such object{self.hint}") from error
        return verified(data, sha256, where=path)

    def manifest(self) -> list[Entry]:
        """The entries, newest last."""
        path = f"{self.root}/{NAME}"
        with self._told(path), suppress(FileNotFoundError):
            return unpacked(self.files.cat_file(path), where=path)
        return []

    def record(self, entry: Entry) -> None:
        """Append to the manifest, and drop blobs that no kept entry names."""
        kept = appended(self.manifest(), entry, keep=self.keep)
        self._put(f"{self.root}/{NAME}", packed(kept.entries))
        with self._told(self.root):
            for path in self._garbage(kept):
                self.files.rm_file(path)

    def _garbage(self, kept: Kept) -> list[str]:
        found = self.files.find(f"{self.root}/blobs", detail=True)
        written: dict[str, datetime] = {path: each["LastModified"] for path, each in found.items()}
        now = max(written.values(), default=None)  # by the store's own clock
        return [
            path
            for path, at in written.items()
            if now and kept.is_garbage(path.rpartition("/")[2], age_s=(now - at).total_seconds())
        ]

    def _put(self, path: str, data: bytes) -> None:
        with self._told(path):
            self.files.pipe_file(path, data)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """What the store says of a path, as an error of ours that names it."""
        try:
            yield
        except self.failures as error:
            raise StoreUnavailable(f"{path}: {type(error).__name__}: {error}{self.hint}") from error


class S3Store(ObjectStore):
    """A prefix in a bucket on S3, or on what speaks its protocol. Needs the extra [s3].

    Credentials, region and endpoint come from where every S3 client takes them: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`,
    `AWS_ENDPOINT_URL`, the machine's role … What was put is seen by the next GET or LIST: there is nothing to sync.

    Args:
        root: `s3://bucket/prefix`; the bucket must be there.
        keep: how many manifest entries, and the blobs they name, are kept.

    Raises:
        ModuleNotFoundError: the extra is not installed.
    """

    hint = "; see that the bucket exists, and that AWS_ENDPOINT_URL and the credentials are right"

    def __init__(self, root: str, *, keep: int) -> None:
        import s3fs  # noqa: PLC0415  # a second of imports that folders do not need
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        # Listings are not cached: what another process has put or removed would not be seen.
        super().__init__(root, keep=keep, files=s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True))
        self.failures = (OSError, BotoCoreError)

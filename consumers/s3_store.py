"""Checkpoints on S3 and what speaks its protocol. Needs the extra [s3].

Credentials, region and endpoint come from where every S3 client takes them: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`,
`AWS_ENDPOINT_URL`, the machine's role … One PUT is atomic and durable when it is answered, and what was put is seen by
the next GET or LIST: there is nothing to sync.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import s3fs
from botocore.exceptions import BotoCoreError

from anabranch.errors import CheckpointError
from consumers.blobs import verified
from consumers.manifest import NAME, Entry, Kept, appended, packed, unpacked


class S3Store:
    """A prefix in a bucket: `blobs/<sha256>` and `manifest.json`.

    Args:
        root: `s3://bucket/prefix`; the bucket must be there.
        keep: how many manifest entries, and the blobs they name, are kept.
    """

    def __init__(self, root: str, *, keep: int) -> None:
        self.root = root
        self.keep = keep
        # Listings are not cached: what another process has put or removed would not be seen.
        self.files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)

    def put(self, sha256: str, data: bytes) -> None:
        """Durable when it returns."""
        self._put(f"{self.root}/blobs/{sha256}", data)

    def get(self, sha256: str) -> bytes:
        """The verified bytes; raises CheckpointError when missing or corrupt."""
        path = f"{self.root}/blobs/{sha256}"
        with _told(path):
            data: bytes = self.files.cat_file(path)
        return verified(data, sha256, where=path)

    def manifest(self) -> list[Entry]:
        """The entries, newest last."""
        path = f"{self.root}/{NAME}"
        with _told(path), suppress(FileNotFoundError):
            return unpacked(self.files.cat_file(path), where=path)
        return []

    def record(self, entry: Entry) -> None:
        """Append to the manifest, and drop blobs that no kept entry names."""
        kept = appended(self.manifest(), entry, keep=self.keep)
        self._put(f"{self.root}/{NAME}", packed(kept.entries))
        with _told(self.root):
            for path in self._garbage(kept):
                self.files.rm_file(path)

    def _garbage(self, kept: Kept) -> list[str]:
        found = self.files.find(f"{self.root}/blobs", detail=True)
        now = max((each["LastModified"] for each in found.values()), default=None)  # by the store's own clock
        return [
            path
            for path, each in found.items()
            if kept.is_garbage(path.rpartition("/")[2], age_s=(now - each["LastModified"]).total_seconds())
        ]

    def _put(self, path: str, data: bytes) -> None:
        with _told(path):
            self.files.pipe_file(path, data)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What the store says of a path, as an error of ours that names it."""
    try:
        yield
    except (OSError, BotoCoreError) as error:
        raise CheckpointError(
            f"{path}: {type(error).__name__}: {error}; "
            "see that the bucket exists, and that AWS_ENDPOINT_URL and the credentials are right"
        ) from error

"""Checkpoints on S3 and what speaks its protocol. Needs the extra [s3].

Credentials, region and endpoint come from where every S3 client takes them: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`,
`AWS_ENDPOINT_URL`, the machine's role … One PUT is atomic and durable when it is answered, and what was put is seen by
the next GET or LIST: there is nothing to sync.
"""

import s3fs
from botocore.exceptions import BotoCoreError

from consumers.stores.objects import ObjectStore


class S3Store(ObjectStore):
    """A prefix in a bucket: `blobs/<sha256>` and `manifest.json`.

    Args:
        root: `s3://bucket/prefix`; the bucket must be there.
        keep: how many manifest entries, and the blobs they name, are kept.
    """

    failures = (OSError, BotoCoreError)
    hint = "; see that the bucket exists, and that AWS_ENDPOINT_URL and the credentials are right"

    def __init__(self, root: str, *, keep: int) -> None:
        # Listings are not cached: what another process has put or removed would not be seen.
        super().__init__(root, keep=keep, files=s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True))

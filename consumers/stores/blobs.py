"""Blobs are named by their sha256, so that a torn or changed one cannot pass for itself."""

import hashlib

from anabranch.errors import CheckpointCorrupt


def digest(data: bytes) -> str:
    """The name of a blob."""
    return hashlib.sha256(data).hexdigest()


def verified(data: bytes, sha256: str, *, where: str) -> bytes:
    """The data, if it is what its name says.

    Raises:
        CheckpointCorrupt: it is torn or has been changed.
    """
    found = digest(data)
    if found != sha256:
        raise CheckpointCorrupt(f"{where}: corrupt: its {len(data)} bytes have the sha256 {found}")
    return data

"""The manifest of a store: the newest checkpoints, newest last, and which blobs nobody needs any more.

It answers where a broker has dropped the offsets' metadata, and it is what `anabranch state` looks at.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from anabranch.errors import CheckpointCorrupt

NAME = "manifest.json"

STRANGER_S = 3600.0
"""What no entry has ever named is another process's at work, or was left behind by one that was killed: by then."""

Entry = Mapping[str, Any]


class Kept(NamedTuple):
    """A manifest after one more checkpoint."""

    entries: list[Entry]
    named: set[str]
    dropped: set[str]
    """Blobs that only entries of before named."""

    def is_garbage(self, name: str, *, age_s: float) -> bool:
        """Whether a file of this name and age can go. The parent of the newest is always kept."""
        return name not in self.named and (name in self.dropped or age_s > STRANGER_S)


def appended(before: list[Entry], entry: Entry, *, keep: int) -> Kept:
    """The manifest with one more entry, of which the last `keep` stay.

    >>> kept = appended([{"sha": "a", "parent": ""}, {"sha": "b", "parent": "a"}], {"sha": "c", "parent": "b"}, keep=1)
    >>> sorted(kept.named), kept.is_garbage("a", age_s=0), kept.is_garbage("stranger", age_s=0)
    (['b', 'c'], True, False)
    """
    entries = [*before, entry][-keep:]
    named = _named(entries)
    return Kept(entries, named, _named(before) - named)


def _named(entries: Iterable[Entry]) -> set[str]:
    named = {str(entry[which]) for entry in entries for which in ("sha", "parent")} - {""}
    return named.union(*(entry.get("refs", ()) for entry in entries))


def packed(entries: list[Entry]) -> bytes:
    """The manifest as bytes, for people to read too."""
    return orjson.dumps(entries, option=orjson.OPT_INDENT_2)


def unpacked(data: bytes, *, where: str) -> list[Entry]:
    """The entries in the bytes of a manifest.

    Raises:
        CheckpointCorrupt: they are none.
    """
    try:
        entries: list[Entry] = orjson.loads(data)
        _named(entries)
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise CheckpointCorrupt(
            f"{where}: not a manifest: {type(error).__name__}: {error}; remove it and start again: "
            "the committed offsets name the newest checkpoint too, and the next one writes a new manifest"
        ) from error
    return entries


# ── Blobs are named by their sha256, so that a torn or changed one cannot pass for itself ───────────────────────────


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

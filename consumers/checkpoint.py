"""From what was committed to the state to go on from: which checkpoint, or its parent, and what can be wrong."""

from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from anabranch import statetree
from anabranch.errors import CheckpointCorrupt, CheckpointError, CheckpointMissing
from config.settings import Settings
from consumers.belonging import refuse_other_settings
from consumers.ports import Committed, Positions, Store

log = structlog.get_logger()


def newest(committed: Committed | None, store: Store) -> Mapping[str, Any] | None:
    """The entry of the newest checkpoint: the committed one, else the manifest's; None at the very first start.

    Raises:
        CheckpointError: there must have been one, and nothing names it.
    """
    if committed is not None and committed.metadata:
        entry: Mapping[str, Any] = orjson.loads(committed.metadata)
        return entry
    manifest = store.manifest()
    if manifest:
        # Not the last: a process that was taken over may note its last checkpoint after its successor's first.
        return max(manifest, key=lambda each: (each["epoch"], each["number"]))
    if committed is not None and committed.positions:
        raise CheckpointError(
            f"the group has committed {committed.positions}, but no checkpoint is named there or in the store: "
            "point `checkpoint.store` at the folder used before, or delete the group's offsets to begin anew"
        )
    return None


def state_of(
    settings: Settings, store: Store, *, sha: str, parent: str = "", scope: str = "global"
) -> tuple[dict[str, Any], str]:
    """The state in a blob, or in its parent when the blob is missing or torn; and which of them it is.

    Raises:
        CheckpointError: neither can be read, or they were written by something that this program is not.
        ConfigError: they were written under settings that make them of no use under these.
    """
    data, sha = _blob(store, sha=sha, parent=parent)
    try:
        state: dict[str, Any] = statetree.decode(data, trusted=settings.model.trusted)
    except statetree.VersionMismatch as error:
        raise CheckpointError(
            f"checkpoint {sha[:12]}: {error}; or learn the log again: `anabranch rebuild CONFIG`"
        ) from error
    except statetree.StateTreeError as error:
        raise CheckpointError(f"checkpoint {sha[:12]}: {error}") from error
    if (state["name"], state["scope"]) != (settings.name, scope):
        found = f"model {state['name']!r}, scope {state['scope']}"
        raise CheckpointError(f"checkpoint {sha[:12]} is of {found}, not of {settings.name!r}, scope {scope}")
    refuse_other_settings(state, settings)
    return state, sha


def _blob(store: Store, *, sha: str, parent: str) -> tuple[bytes, str]:
    try:
        return store.get(sha), sha
    except (CheckpointMissing, CheckpointCorrupt) as error:
        if not parent:
            raise CheckpointError(
                f"{error}; bring it back, or learn the log again: `anabranch rebuild CONFIG`"
            ) from error
        log.warning("checkpoint unreadable, taking its parent", error=str(error))
        return _blob(store, sha=parent, parent="")


def rebuilt_from(positions: Positions) -> str:
    """What a rebuild that begins at these positions is made of, and what not.

    >>> rebuilt_from({0: 0, 1: 0})
    'rebuilt from the log'
    >>> rebuilt_from({0: 300, 1: 0})
    'rebuilt from the log, where partition 0 offsets 0 to 299 are gone'
    """
    gone = [
        f"partition {partition} offsets 0 to {first - 1}" for partition, first in sorted(positions.items()) if first
    ]
    return "rebuilt from the log" + (f", where {'; '.join(gone)} are gone" if gone else "")

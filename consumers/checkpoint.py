"""The checkpoint to go on from: its reference, its parent, and what a person sees in it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import structlog

from anabranch import statetree
from anabranch.errors import CheckpointCorrupt, CheckpointError, CheckpointMissing
from anabranch.events import Partition
from anabranch.scope import GLOBAL, Scope
from config.settings import Settings
from consumers.belonging import refuse_other_scope, refuse_other_settings
from consumers.layouts import migrated
from consumers.ports import Committed, Positions, Store
from detectors.watch import Watch
from learners.lane import Lane
from learners.parts import opens, refers_to

log = structlog.get_logger()


@dataclass(frozen=True)
class CheckpointRef:
    """What names a checkpoint: in the offsets' metadata, and in the manifest.

    Args:
        sha: of its blob.
        parent: of the checkpoint before; empty for the first, and after a rebuild.
        epoch: of what it announces; it rises where a checkpoint was lost.
        seq: of the last update.
        version: of the last announced model.
        partitions: how many the log had when the model began.
        refs: other blobs that its state or its parent's refers to.
        number: of the checkpoint, from 1.
        envelope: the change envelope that is approved; empty in those of before there was one.
        audit: the head of the audit's chain; likewise.
    """

    sha: str
    parent: str
    epoch: int
    seq: int
    version: int
    scope: Scope
    partitions: int
    refs: tuple[str, ...]
    number: int
    envelope: str = ""
    audit: str = ""

    def as_metadata(self) -> str:
        """For the committed offsets; `number` is last, as the group compares by it. There is no room for the `refs`."""
        told = {name: value for name, value in asdict(self).items() if name not in ("refs", "number")}
        return orjson.dumps({**told, "number": self.number}).decode()

    def as_entry(self, positions: Positions) -> dict[str, Any]:
        """For the manifest, where people read it too."""
        return {**asdict(self), "positions": nested(positions)}

    @classmethod
    def read(cls, entry: Mapping[str, Any], *, scope: Scope) -> "CheckpointRef":
        """Of metadata or of a manifest's entry. Those that do not say a scope or partitions are of `scope`, and old."""
        known = {"scope": scope, "partitions": 0, "refs": (), "envelope": "", "audit": "", **entry}
        typed = {"scope": Scope(known["scope"]), "refs": tuple(known["refs"])}
        return cls(**{each.name: known[each.name] for each in fields(cls)} | typed)


def nested(positions: Positions) -> dict[str, dict[str, int]]:
    """Positions as a checkpoint and a manifest hold them: offsets by topic and partition."""
    topics: dict[str, dict[str, int]] = {}
    for (topic, partition), at in sorted(positions.items()):
        topics.setdefault(topic, {})[str(partition)] = at
    return topics


def positions_of(topics: Mapping[str, Mapping[str, int]]) -> Positions:
    """What `nested` was made of.

    >>> positions_of(nested({Partition("events", 1): 7})) == {Partition("events", 1): 7}
    True
    """
    return {Partition(topic, int(each)): at for topic, part in topics.items() for each, at in part.items()}


def newest(committed: Committed | None, store: Store, *, scope: Scope = GLOBAL) -> CheckpointRef | None:
    """The newest checkpoint: the committed one, else the manifest's; None at the very first start.

    Raises:
        CheckpointError: there must have been one, and nothing names it.
    """
    if committed is not None and committed.metadata:
        return CheckpointRef.read(orjson.loads(committed.metadata), scope=scope)
    manifest = store.manifest()
    if manifest:
        # Not the last: a process that was taken over may note its last checkpoint after its successor's first.
        entry = max(manifest, key=lambda each: (each["epoch"], each["number"]))
        return CheckpointRef.read(entry, scope=scope)
    if committed is not None and committed.positions:
        raise CheckpointError(
            f"the group has committed {nested(committed.positions)}, but no checkpoint is named there or in the store: "
            "point `checkpoint.store` at the folder used before, or delete the group's offsets to start from nothing"
        )
    return None


class Contents(NamedTuple):
    """What a checkpoint keeps: its state, the blobs that the state refers to, and which checkpoint it is.

    Of large blobs only parts are read: those are opened, and not in memory.
    """

    state: dict[str, Any]
    blobs: dict[str, Any]
    sha: str


def contents_of(settings: Settings, store: Store, *, sha: str, parent: str = "", scope: Scope = GLOBAL) -> Contents:
    """The state in a blob, or in its parent when the blob, or one that it refers to, is missing or torn.

    Raises:
        CheckpointError: neither can be read, or they were written by something that this program is not.
        ConfigError: they were written under settings that make them of no use under these.
    """
    try:
        state = _state(settings, store.get(sha), sha=sha, scope=scope)
        blobs: dict[str, Any] = {each: store.get(each) for each in refers_to(state["lane"])}
        blobs |= {each: store.open(each) for each in opens(state["lane"])}
        return Contents(state, blobs, sha)
    except (CheckpointMissing, CheckpointCorrupt) as error:
        if not parent:
            elsewhere = _other_directory(settings) if isinstance(error, CheckpointMissing) else ""
            raise CheckpointError(
                f"{error}; {elsewhere}bring it back, or learn the log again: `anabranch rebuild CONFIG`"
            ) from error
        log.warning("checkpoint unreadable, taking its parent", error=str(error))
        return contents_of(settings, store, sha=parent, scope=scope)


def _other_directory(settings: Settings) -> str:
    """Before anything dearer: a learner that was started elsewhere finds its checkpoints nowhere."""
    address = settings.checkpoint.store
    path = address.removeprefix("file://")
    if "://" in path or Path(path).is_absolute():
        return ""
    return (
        f'`checkpoint.store` = "{address}" is relative to the working directory: if the learner ran in another one, '
        "start it there, or write the folder in full; else "
    )


def _state(settings: Settings, data: bytes, *, sha: str, scope: Scope) -> dict[str, Any]:
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
    try:
        state = migrated(state, topic=settings.topics.name("events"))
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {sha[:12]}: {error}") from error
    refuse_other_settings(state, settings)
    return state


def rebuilt_from(positions: Mapping[int, int], *, without: str = "") -> str:
    """What a rebuild that begins at these positions is made of, and what not.

    Args:
        without: what it leaves out because somebody has said so, in words.

    >>> rebuilt_from({0: 0, 1: 0})
    'rebuilt from the log'
    >>> rebuilt_from({0: 300, 1: 0})
    'rebuilt from the log, where partition 0 offsets 0 to 299 are gone'
    >>> rebuilt_from({0: 0}, without="events/0 offsets 20 to 29")
    'rebuilt from the log, without events/0 offsets 20 to 29'
    """
    gone = [
        f"partition {partition} offsets 0 to {first - 1}" for partition, first in sorted(positions.items()) if first
    ]
    lost = f", where {'; '.join(gone)} are gone" if gone else ""
    return f"rebuilt from the log{lost}" + (f", without {without}" if without else "")


# ── Looks into a checkpoint without going on from it ────────────────────────────────────────────────────────────────


def inspect(
    settings: Settings, store: Store, *, scope: Scope = GLOBAL, committed: Committed | None = None, named_by: str = ""
) -> dict[str, Any]:
    """What the newest checkpoint holds, as plain values: that which a start would go on from.

    Args:
        committed: what the group holds; None: nothing is known of it.
        named_by: who named it, for people, where the group did not.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    newest_one = newest(committed, store, scope=scope)
    if newest_one is None:
        raise CheckpointError(
            f"no checkpoint of {settings.name} in {settings.checkpoint.store!r}; `anabranch learn` writes the first"
        )
    refuse_other_scope(newest_one.scope, scope, name=settings.name)
    state, blobs, sha = contents_of(settings, store, sha=newest_one.sha, parent=newest_one.parent, scope=scope)
    lane = Lane.restored(settings, state["lane"], blobs=blobs, watch=Watch(settings), scope=scope)
    accepted, refused, duplicates, *_ = state["guard"]["counts"]
    return {
        "model": settings.name,
        "scope": scope,
        "checkpoint": sha,
        "named_by": named_by or ("the group's commit" if committed and committed.metadata else "the store's manifest"),
        "epoch": state["epoch"],
        "seq": state["seq"],
        "events": lane.events,
        "accepted": accepted,
        "refused": refused,
        "duplicates": duplicates,
        "positions": state["positions"],
        "poison": state["poison"]["row"],
        "rebuilding": state["rebuilding"],
        "losses": state["losses"],
        "version": lane.version,
        "published": _published(lane),
        "waiting": len(lane.join),
        "endings": dict(lane.join.endings),
        "scores": lane.scores.values(),
        "shadows": [member.name for member in lane.shadows.members],
        **({} if lane.segmented is None else {"segments": lane.segmented.report(ends=False).model_dump(mode="json")}),
        "state_hash": statetree.digest(lane.learning_state(), trusted=settings.model.trusted),
    }


def _published(lane: Lane) -> dict[str, Any] | None:
    """How far followers were behind when the checkpoint was written."""
    report = None if lane.newest is None else lane.published.report(lane.newest, lane.events)
    return None if report is None else report.model_dump()

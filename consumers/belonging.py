"""What a checkpoint belongs to: the log that its positions count in, and the settings that its state was made under.

What is another under the same name is a loud stop: going on would pass records by without a word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anabranch.errors import CheckpointError, ConfigError, LogTruncated
from anabranch.scope import Scope
from config.settings import Settings
from consumers.ports import Origin

Offsets = dict[int, int]
"""Places in one topic, by the partition's number."""

_ACCEPT = (
    "`anabranch learn CONFIG --accept-loss` goes on with what was learned so far, from {where}; "
    "`anabranch rebuild CONFIG` learns the log again"
)
PSEUDONYMS = "privacy.pseudonyms"
_NAME_OR_REBUILD = "give this one another `name`, or let `anabranch rebuild CONFIG` learn the log again under this one"


@dataclass(frozen=True)
class Place:
    """Where to read on, and what is passed by for good.

    Args:
        is_other: the log is another: what the state says of offsets is of one that is gone.
    """

    positions: Offsets
    losses: tuple[str, ...] = ()
    is_other: bool = False


def settled(settings: Settings) -> dict[str, Any]:
    """The settings without which a state is of no use; a checkpoint keeps them."""
    model, edge = settings.model, settings.edge
    kept: dict[str, Any] = {
        "task": settings.task,
        "positive": settings.positive,
        "model.user": model.user,
        "model.item": model.item,
    }
    if edge.has_pseudonyms:  # under another key an event's label, and whoever was learned of, would be strangers
        kept |= {PSEUDONYMS: edge.key_id, "privacy.users": sorted(edge.users)}
    return kept


def refuse_other_settings(state: Mapping[str, Any], settings: Settings) -> None:
    """See that a state was made under the settings that it is to go on under. (Old checkpoints do not tell.)

    Raises:
        ConfigError: it was not; names both sides.
    """
    now = settled(settings)
    before: Mapping[str, Any] = state.get("settled", now)
    keys = [*now, *(key for key in before if key not in now)]
    changed = [_change(key, before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)]
    segments = state["lane"].get("segmented")
    if segments is not None and segments["by"] != settings.segments.by:
        changed.append(_change("segments.by", segments["by"], settings.segments.by))
    if known := sorted({*state["guard"]["kinds"]} & {*settings.privacy.hidden}):
        changed.append(
            f"`privacy.hidden` names {known[0]!r}, which was learned before, and lies in models and in what waits"
        )
    if changed:
        raise ConfigError(
            f"model {settings.name!r} has learned {state['lane']['events']} events, and they cannot be gone on with: "
            f"{'; '.join(changed)}. Set it back, {_NAME_OR_REBUILD}"
        )


def _change(key: str, before: object, now: object) -> str:
    if key == PSEUDONYMS:
        return f"`{key}` is {'another key' if before and now else 'set' if now else 'no longer set'}"
    return f"`{key}` was {_shown(before)} and is {_shown(now)}"


def refuse_other_scope(before: Scope, scope: Scope, *, name: str) -> None:
    """See that the newest checkpoint is of the same scope.

    Raises:
        ConfigError: it is of the other.
    """
    if before != scope:
        kinds = [f'scope = "{each.setting}"' for each in (before, scope)]
        raise ConfigError(
            f"the last checkpoint of model {name!r} is of the other scope: {kinds[0]} ({before}), and the file now "
            f"says {kinds[1]} ({scope}). Set it back, {_NAME_OR_REBUILD}"
        )


def place(
    positions: Offsets,
    *,
    before: Origin | None,
    now: Origin,
    first: Offsets,
    ends: Offsets,
    accept_loss: bool,
) -> Place:
    """Where to go on in the log, given where it begins and ends now.

    Args:
        positions: of the checkpoint.
        before: the log that they count in; None: an old checkpoint, which does not tell.
        accept_loss: go on all the same where records are gone, or the log is another.

    Raises:
        ConfigError: the configuration names another topic.
        CheckpointError: the log is another, or ends before the positions.
        LogTruncated: records that were never learned are gone.
    """
    other = _other(positions, before=before, now=now, ends=ends)
    if other and not accept_loss:
        raise other
    if other:
        return Place(dict(first), (f"{_reason(other)}; gone on with at {_listed(first)}",), is_other=True)
    cut = {each: ends[each] for each, at in positions.items() if at > ends.get(each, at)}
    gone = {each: first[each] for each, at in positions.items() if at < first.get(each, at)}
    losses = [f"{_range(now.topic, each, positions[each], end)}: retention took them" for each, end in gone.items()]
    losses += [
        f"{_range(now.topic, each, end, positions[each])}: the log was cut behind them" for each, end in cut.items()
    ]
    if cut and not accept_loss:
        raise CheckpointError(f"{_cut(positions, cut, now)}; {_ACCEPT.format(where='its end')}")
    if gone and not accept_loss:
        raise LogTruncated(truncated(now.topic, {each: (positions[each], end) for each, end in gone.items()}))
    # The last one wins: where the log begins holds for partitions that were added, a loss for those that are cut.
    return Place({**first, **positions, **gone, **cut}, tuple(losses))


def truncated(topic: str, gone: Mapping[int, tuple[int, int]]) -> str:
    """What to say of offsets that retention took before they were learned: from, and the first that is there.

    >>> print(truncated("events", {1: (300, 500)}).partition("; ")[0])
    events partition 1 offsets 300 to 499 are gone: retention took them before they were learned
    """
    ranges = ", ".join(_range(topic, each, start, end) for each, (start, end) in sorted(gone.items()))
    return (
        f"{ranges} are gone: retention took them before they were learned; "
        f"{_ACCEPT.format(where='where the log now begins')}, which throws away what was learned of them before. "
        "Raise `retention.ms` of the topic, so that it outlasts the longest stop of a learner"
    )


def _other(positions: Offsets, *, before: Origin | None, now: Origin, ends: Offsets) -> Exception | None:
    """That the log is another one, and which."""
    if before is not None and before.topic != now.topic:
        return ConfigError(
            f"its last checkpoint is of the topic {before.topic!r} ({_listed(positions)}), and the configuration names "
            f"{now.topic!r}: positions in the one mean nothing in the other. Set it back, {_NAME_OR_REBUILD}; "
            f"{_ACCEPT.format(where='the first record of ' + repr(now.topic))}"
        )
    reason = _made_anew(positions, before=before, now=now, ends=ends)
    if not reason:
        return None
    return CheckpointError(f"{reason}; {_ACCEPT.format(where='the first record of the new one')}")


def _made_anew(positions: Offsets, *, before: Origin | None, now: Origin, ends: Offsets) -> str:
    if before is not None and before.cluster_id and now.cluster_id and before.cluster_id != now.cluster_id:
        return (
            f"topic {now.topic!r} is on another cluster: the last checkpoint is of cluster {before.cluster_id}, "
            f"`bootstrap.servers` leads to {now.cluster_id}, and positions in the one mean nothing in the other"
        )
    known = before is not None and bool(before.topic_id and now.topic_id)
    if known and before is not None and before.topic_id != now.topic_id:
        return (
            f"topic {now.topic!r} was recreated since the last checkpoint, which is of id {before.topic_id} "
            f"({_listed(positions)}); the topic there now has id {now.topic_id}"
        )
    # Only a hint where ids are not known: with equal ids the topic is the same one, and its end was cut off.
    beyond = {each: ends.get(each, 0) for each, at in positions.items() if at > ends.get(each, 0)}
    if beyond and not known:
        return f"{_cut(positions, beyond, now)}: it was recreated, or has lost records"
    return ""


def _cut(positions: Offsets, ends: Offsets, now: Origin) -> str:
    short = ", ".join(f"partition {each} ends at {end}" for each, end in sorted(ends.items()))
    return f"topic {now.topic!r} ends before the last checkpoint ({_listed(positions)}): {short}"


def _range(topic: str, partition: int, start: int, end: int) -> str:
    return f"{topic} partition {partition} offset{'s' if end - start > 1 else ''} " + (
        f"{start} to {end - 1}" if end - start > 1 else f"{start}"
    )


def _reason(error: Exception) -> str:
    return str(error).partition("; ")[0].partition(". Set it back")[0]


def _listed(positions: Offsets) -> str:
    return ", ".join(f"partition {each} at {at}" for each, at in sorted(positions.items()))


def _shown(value: object) -> str:
    return "not given" if value is None else repr(value)

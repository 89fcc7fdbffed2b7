"""Looks into a checkpoint without going on from it."""

from typing import Any

from anabranch import statetree
from anabranch.errors import CheckpointError
from anabranch.scope import GLOBAL, Scope
from config.settings import Settings
from consumers.belonging import refuse_other_scope
from consumers.checkpoint import newest, state_of
from consumers.ports import Committed, Store
from detectors.watch import Watch
from learners.lane import Lane
from learners.models import catalogue


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
    state, sha = state_of(settings, store, sha=newest_one.sha, parent=newest_one.parent, scope=scope)
    lane = Lane(settings, catalogue.build(settings.model, seed=settings.seed), watch=Watch(settings))
    lane.restore(state["lane"])
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
        "scores": lane.scores.values(),
        "shadows": [member.name for member in lane.shadows.members],
        "state_hash": statetree.digest(lane.learning_state(), trusted=settings.model.trusted),
    }

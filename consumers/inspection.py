"""Looks into a checkpoint without going on from it."""

from typing import Any

from anabranch import statetree
from anabranch.errors import CheckpointError
from anabranch.ports import Store
from anabranch.settings import Settings
from consumers.restoring import state_of
from detectors.watch import Watch
from learners import catalogue
from learners.lane import Lane


def inspect(settings: Settings, store: Store, *, scope: str = "global") -> dict[str, Any]:
    """What the newest checkpoint holds, as plain values.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    manifest = store.manifest()
    if not manifest:
        raise CheckpointError(
            f"no checkpoint of {settings.name} in {settings.checkpoint.store!r}; `anabranch learn` writes the first"
        )
    sha = str(manifest[-1]["sha"])
    state, _ = state_of(settings, store, sha=sha, scope=scope)
    lane = Lane(settings, catalogue.build(settings.model, seed=settings.seed), watch=Watch(settings))
    lane.restore(state["lane"])
    accepted, refused, duplicates = state["guard"]["counts"]
    return {
        "model": settings.name,
        "scope": scope,
        "checkpoint": sha,
        "epoch": state["epoch"],
        "seq": state["seq"],
        "events": lane.events,
        "accepted": accepted,
        "refused": refused,
        "duplicates": duplicates,
        "positions": state["positions"],
        "poison": state["poison"]["row"],
        "rebuilding": state["rebuilding"],
        "version": lane.version,
        "scores": lane.scores.values(),
        "shadows": [member.name for member in lane.shadows.members],
        "state_hash": statetree.digest(lane.learning_state(), trusted=settings.model.trusted),
    }

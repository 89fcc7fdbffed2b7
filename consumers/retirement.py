"""A model that is taken out of service: the update that says so, and the answers to those who asked."""

import platform
from collections.abc import Mapping

import numpy
import river

from anabranch.messages import ModelUpdate, Retire, RetireAnswer
from anabranch.scope import Scope
from learners.lane import Lane


def retirement(
    asked: Retire,
    lane: Lane,
    *,
    scope: Scope,
    epoch: int,
    seq: int,
    positions: Mapping[str, int],
    ts: float,
    envelope: str,
) -> ModelUpdate:
    """The update by which followers answer nothing any more.

    Args:
        positions: the next offset by topic and partition, as in `ModelUpdate`.
        ts: now, epoch seconds.
        envelope: digest of the change envelope in use.
    """
    newest = lane.newest
    return ModelUpdate(
        model=asked.model,
        scope=scope,
        version=lane.version,
        kind="retired",
        epoch=epoch,
        seq=seq,
        event_number=lane.events,
        partition=0 if newest is None else newest.partition,
        offset=0 if newest is None else newest.offset,
        event_ts=0.0 if newest is None else newest.ts,
        announced_ts=ts,
        reason=asked.why,
        by=asked.by,
        member=lane.champion.name,
        positions=dict(positions),
        envelope=envelope,
        river=river.__version__,
        python=platform.python_version(),
        numpy=numpy.__version__,
    )


def answer(asked: Retire, *, scope: Scope, event_number: int, version: int, withheld: str = "") -> RetireAnswer:
    """What became of a request.

    Args:
        version: that is retired, or announced anew.
        withheld: why nothing came of it.
    """
    return RetireAnswer(
        id=f"{scope.within(asked.model, '/')}/{asked.id}",
        model=asked.model,
        request=asked.id,
        step=asked.step,
        event_number=event_number,
        version=version,
        accepted=not withheld,
        withheld=withheld,
        why=asked.why,
        by=asked.by,
    )

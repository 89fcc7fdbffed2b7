"""A promotion: the decision that a model goes live, before it has bytes and a place on the log."""

from typing import Any, NamedTuple

from anabranch.messages import TrainedOn, UpdateKind, Verdict


class Promotion(NamedTuple):
    """The champion as it is to be announced. `model` is the live object: encode it before the next event."""

    kind: UpdateKind
    version: int
    event: int
    partition: int
    offset: int
    event_ts: float
    member: str
    model: Any
    trained_on: TrainedOn
    reason: str
    scores: dict[str, float]
    canary: tuple[dict[str, object], ...]
    verdict: Verdict | None = None
    constraints: dict[str, float] = {}  # noqa: RUF012  # a NamedTuple's default, never changed
    displaced_version: int | None = None
    restores: int | None = None

"""What the champion answered to an event, as a message: for `publish.predictions`."""

from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import ModelPrediction
from anabranch.scope import Scope
from anabranch.values import as_key, plain
from learners.lane import Lane


def prediction(
    event: AcceptedEvent, answer: Prediction, lane: Lane, *, model: str, scope: Scope, epoch: int, seq: int, ts: float
) -> ModelPrediction:
    """The message.

    Args:
        epoch: with `seq`, of the last announcement.
        ts: now, epoch seconds.
    """
    return ModelPrediction(
        id=event.id,
        by="learner",
        model=model,
        scope=scope,
        version=lane.champion.version or 0,
        epoch=epoch,
        seq=seq,
        event_number=lane.events,
        partition=event.partition,
        offset=event.offset,
        ts=ts,
        age_s=0.0,
        prediction=plain(answer.value),
        # What stands there of a ranker is another position.
        probabilities={}
        if lane.task.kind == "rank"
        else {as_key(label): float(share) for label, share in (answer.proba or {}).items()},
        failure=answer.unusable,
    )

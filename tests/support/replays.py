"""Replays of what was told of an order, over a log in memory."""

from collections.abc import Sequence

from anabranch import statetree
from anabranch.messages import LearnedOrder, decode
from anabranch.order import OrderReader
from config.settings import Settings
from consumers.guard import Guard
from detectors.watch import Watch
from evaluation.replay import Replay
from evaluation.simulation.world import MemoryLog, MemorySource
from learners.lane import Lane
from support.loops import first_of, settings_of


def told(log: MemoryLog) -> list[LearnedOrder]:
    """What is on the topic, in the log's order."""
    return [decode(LearnedOrder, value) for value in log.values("model-learned")]


def replayed(
    log: MemoryLog,
    settings: Settings | None = None,
    *,
    orders: list[LearnedOrder] | None = None,
    later: Sequence[MemoryLog] = (),
) -> str:
    """The hash of the state that the order leads to."""
    settings = settings or settings_of()
    model, trained_on = first_of(settings)()
    lane = Lane(settings, model, watch=Watch(settings), trained_on=trained_on)
    logs = [MemorySource(each, "events") for each in (log, *later)]
    replay = Replay(lane, Guard(settings), logs[0], later=[*logs[1:]])
    replay.run(OrderReader(told(log)).chain() if orders is None else orders)
    return statetree.digest(lane.learning_state(), trusted=settings.model.trusted)

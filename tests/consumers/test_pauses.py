"""How long checkpoints take: measured by the loop's clock, reported, and no part of the learning state."""

from collections.abc import Sequence
from typing import Any

from anabranch.events import Record
from anabranch.messages import CheckpointPause, ModelReport, decode
from config.loading import build
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from consumers.timing import CheckpointTiming
from evaluation.simulation.world import FrozenClock, MemoryLog, MemorySource
from support import loops
from support.loops import loop_on
from support.streams import simple


class SlowStore(MemoryStore):
    """A store on a disk that takes its time: so many seconds for each blob."""

    def __init__(self, clock: FrozenClock, *seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = iter(seconds)

    def put(self, sha256: str, data: bytes) -> None:
        self.clock.advance(next(self.seconds, 1.0))
        super().put(sha256, data)


class FiftyAtATime(MemorySource):
    """A source of small batches: checkpoints come between batches."""

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        return super().poll(50, timeout_s=timeout_s)


def log_of(events: int) -> MemoryLog:
    return loops.log_of(simple(0, events))


def run(log: MemoryLog, *seconds: float, **checkpoint: Any) -> LearningLoop:
    """Reports every hundred events, over a store that takes so many seconds for each checkpoint."""
    model = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
    publish = {"report_events": 100, "warm_up_events": 10_000}
    settings = build({"name": "m", "task": "binary", "model": model, "publish": publish, "checkpoint": checkpoint})
    clock = FrozenClock()
    loop = loop_on(log, SlowStore(clock, *seconds), settings, source=FiftyAtATime(log, "events"), clock=clock)
    loop.run(until_end=True)
    return loop


def test_reports_give_the_last_and_the_largest_pause_since_the_one_before() -> None:
    """Checkpoints stand at 0, 50, 100 … here; the one at 100 follows the report at 100."""
    log = log_of(400)
    run(log, 0.5, 2.0, 0.25, 4.0, 1.0, 0.125, every_events=50)
    reports = [decode(ModelReport, value) for value in log.values("model-reports")]
    assert [each.checkpoint_pause_s for each in reports[:3]] == [
        CheckpointPause(last=2.0, largest=2.0),
        CheckpointPause(last=4.0, largest=4.0),
        CheckpointPause(last=0.125, largest=1.0),
    ]


def test_without_a_checkpoint_there_is_no_pause_to_report() -> None:
    """Only the first report sees one: the checkpoint of the very start."""
    log = log_of(300)
    run(log, every_events=10_000, every=1e9)
    reports = [decode(ModelReport, value) for value in log.values("model-reports")]
    assert [each.checkpoint_pause_s is None for each in reports] == [False, True, True]


def test_what_was_measured_is_no_part_of_the_state() -> None:
    """Over stores of different speed the blobs are the same, byte for byte."""
    quick, slow = run(log_of(300), *[0.0] * 9, every=1e9), run(log_of(300), *[7.0] * 9, every=1e9)
    assert quick.owner.sha == slow.owner.sha
    assert quick.owner.learning_state_hash() == slow.owner.learning_state_hash()


def test_the_parts_of_a_pause_and_the_largest_since_somebody_asked() -> None:
    """Asked once more, there was none since."""
    clock = FrozenClock()
    timing, ended = CheckpointTiming(clock), []
    for seconds in (3, 1):
        timing.start()
        clock.advance(seconds)
        timing.lap("encode_s")
        ended.append(timing.end())
    assert ended == [{"encode_s": 3.0, "pause_s": 3.0}, {"encode_s": 1.0, "pause_s": 1.0}]
    assert timing.take() == CheckpointPause(last=1.0, largest=3.0)
    assert timing.take() is None

"""Reports by the clock: who watches sees that a learner is there, whether events come or not."""

from collections.abc import Iterable
from typing import Any

import pytest

from anabranch.events import Partition
from anabranch.messages import ModelReport, decode
from consumers.stores import MemoryStore
from consumers.timing import Pace
from evaluation.simulation.world import MemoryLog
from evaluation.simulation.world.memory_log import FrozenClock, MemorySource
from support.loops import filled, loop_on, settings_of


class LiveSource(MemorySource):
    """A source that knows what is left, as that of Kafka does; time passes with each poll."""

    clock = FrozenClock()

    def poll(self, max_records: int, *, timeout_s: float) -> Any:
        """Some records, and three seconds later."""
        self.clock.advance(3.0)
        return super().poll(min(100, max_records), timeout_s=timeout_s)

    def unread(self, partitions: Iterable[Partition]) -> int | None:
        """What is left of these."""
        return sum(self.log.next_offset[each] - self.positions[each] for each in partitions)


def told(log: MemoryLog, **publish: Any) -> Iterable[ModelReport]:
    source = LiveSource(log, "events", examples="model-examples")
    settings = settings_of(publish={"warm_up_events": 50, "report_events": 10**6, **publish})
    loop_on(log, MemoryStore(), settings, source=source, clock=source.clock).run(until_end=True)
    return [decode(ModelReport, value) for value in log.values("model-reports")]


def test_every_so_many_seconds_there_is_one() -> None:
    reports = list(told(filled(2000), report_interval=10.0))
    assert [each.event_number for each in reports] == [400, 800, 1200, 1600, 2000]
    assert [each.unread for each in reports] == [1600, 1200, 800, 400, 0]
    assert [each.records_per_s for each in reports[1:]] == [pytest.approx(400 / 12)] * 4
    assert len({each.id for each in reports}) == 5


def test_none_where_nobody_wants_them() -> None:
    assert not told(filled(1000), report_interval=0)


def test_a_pace_is_taken_between_two_questions() -> None:
    clock = FrozenClock()
    pace = Pace(clock)
    assert pace.take(100) is None
    clock.advance(10)
    assert pace.take(150) == 5.0
    clock.advance(10)
    assert pace.take(20) is None

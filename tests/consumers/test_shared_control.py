"""One reading of `model-control` for many models: each hears from its own position on, once, in order."""

from collections.abc import Sequence

from anabranch.events import Record
from consumers.kafka.control import SharedControl
from consumers.ports import Control


class Topic:
    """A topic in memory, as a control that notes how often it is started."""

    def __init__(self, records: int, *, low: int = 0) -> None:
        self.low, self.high, self.at = low, records, 0
        self.starts = 0
        self.polls = 0
        self.closed = False

    def start(self, position: int | None) -> int:
        self.starts += 1
        self.at = self.high if position is None or position > self.high else max(self.low, position)
        return self.at

    def poll(self) -> Sequence[Record]:
        self.polls += 1
        records = [Record("control", 0, n, 0.0, None, b"") for n in range(self.at, self.high)]
        self.at = self.high
        return records

    def close(self) -> None:
        self.closed = True


def offsets(control: Control) -> list[int]:
    return [record.offset for record in control.poll()]


def test_a_thousand_models_read_a_topic_once() -> None:
    """A round of polls reads once, and what comes is heard by all."""
    topic = Topic(3)
    shared = SharedControl(topic)
    models = [shared.reader() for _ in range(1000)]
    assert {each.start(None) for each in models} == {3}
    assert all(each.poll() == () for each in models)
    topic.high = 5
    assert all(offsets(each) == [3, 4] for each in models)
    assert all(each.poll() == () for each in models)
    assert (topic.starts, topic.polls) == (1, 3)


def test_each_hears_from_its_own_position_on() -> None:
    """One that comes later and is behind has it read again, and the others do not hear it again."""
    topic = Topic(10)
    shared = SharedControl(topic)
    first, second, third = (shared.reader() for _ in range(3))
    assert (first.start(8), offsets(first)) == (8, [8, 9])
    assert (second.start(6), third.start(None)) == (6, 10)
    topic.high = 11
    assert (offsets(second), offsets(first), offsets(third)) == ([6, 7, 8, 9, 10], [10], [10])


def test_one_that_is_ahead_of_what_was_known_goes_on_where_it_was() -> None:
    """It comes from another process, which has read more; those that are behind lack nothing."""
    topic = Topic(4)
    shared = SharedControl(topic)
    behind, ahead = shared.reader(), shared.reader()
    assert behind.start(None) == 4
    topic.high = 9
    assert ahead.start(8) == 8
    assert (offsets(ahead), offsets(behind)) == ([8], [4, 5, 6, 7, 8])


def test_positions_that_are_gone_are_passed_by() -> None:
    """Retention has taken some; or the topic is another one, and ends before."""
    topic = Topic(10, low=5)
    shared = SharedControl(topic)
    first, second = shared.reader(), shared.reader()
    assert (first.start(2), second.start(99)) == (5, 10)
    assert (offsets(first), offsets(second)) == ([5, 6, 7, 8, 9], [])


def test_the_last_one_to_leave_closes_it() -> None:
    """And who comes then begins anew."""
    topic = Topic(2)
    shared = SharedControl(topic)
    first, second = shared.reader(), shared.reader()
    first.start(None)
    second.start(None)
    first.close()
    assert not topic.closed
    second.close()
    second.close()
    assert topic.closed
    topic.high = 7
    assert (first.start(None), topic.starts) == (7, 2)

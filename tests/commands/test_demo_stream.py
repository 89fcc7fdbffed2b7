"""The demo's stream: the same for a seed, with changes where it says, and changes that matter."""

import itertools

import orjson
import pytest
from river import metrics, tree

from anabranch.messages import Event, TrainedOn
from commands.demo.stream import BEGIN_S, NIGHT_ENDS_HOUR, SPOILT, Stream
from config.settings import Settings
from consumers.timing import SystemClock
from evaluation.backtest import Backtest
from learners.models import catalogue

EVENTS = 6_000


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream(seed=3, events=EVENTS)


@pytest.fixture(scope="module")
def values(stream: Stream) -> list[bytes]:
    return list(stream.values())


def good(stream: Stream, values: list[bytes], *, start: int, end: int) -> list[Event]:
    offsets = [offset for offset in range(start, end) if offset not in stream.bad]
    return [Event.model_validate(orjson.loads(values[offset])) for offset in offsets]


def accuracy(model: tree.HoeffdingTreeClassifier, events: list[Event]) -> float:
    metric = metrics.BalancedAccuracy()
    for event in events:
        metric.update(event.label, model.predict_one(event.features))
    return metric.get()


def backtest(values: list[bytes], **settings: object) -> dict[str, object]:
    spec = {"steps": [{"use": "tree.HoeffdingTreeClassifier"}]}
    made = Settings(name="fraud", task="binary", model=spec, **settings)
    test = Backtest(
        made,
        first=lambda: (catalogue.build(made.model, seed=1), TrainedOn()),
        values=lambda: iter(values),
        timestamp_of=lambda number: BEGIN_S + 1e8,  # after the last payment
        clock=SystemClock(),
    )
    return test.run()


def test_the_stream_is_the_same_for_the_same_seed(stream: Stream, values: list[bytes]) -> None:
    """A run of the demo can be repeated."""
    assert list(Stream(seed=3, events=EVENTS).values()) == values
    assert list(Stream(seed=4, events=EVENTS).values()) != values


def test_the_bad_records_come_on_top(stream: Stream, values: list[bytes]) -> None:
    """`events` counts the good ones; the guard refuses exactly the others."""
    assert len(values) == stream.records == EVENTS + len(SPOILT)
    result = backtest(values, detectors={})
    assert (result["events"], result["dead_letters"]) == (EVENTS, len(SPOILT))


def test_event_time_only_rises(stream: Stream, values: list[bytes]) -> None:
    """The stream is in the order of its event times."""
    times = [event.ts for event in good(stream, values, start=0, end=stream.records)]
    assert times == sorted(times)


def test_fraud_has_the_same_share_in_every_phase(stream: Stream, values: list[bytes]) -> None:
    """What changes is how fraud looks, not how much there is of it."""
    for start, end in bounds(stream):
        labels = [event.label for event in good(stream, values, start=start, end=end)]
        assert sum(labels) / len(labels) == pytest.approx(0.12, abs=0.03)


def test_fraud_goes_on_at_night_between_the_first_two_changes_only(stream: Stream, values: list[bytes]) -> None:
    """The changes lie at the offsets that the stream names."""
    by_night = []
    for start, end in bounds(stream):
        frauds = [event for event in good(stream, values, start=start, end=end) if event.label]
        by_night.append(all(event.features["hour"] < NIGHT_ENDS_HOUR for event in frauds))
    assert by_night == [False, True, False, False]


@pytest.mark.parametrize("change", [0, 1, 2])
def test_a_model_of_one_tactic_fails_on_the_next(stream: Stream, values: list[bytes], change: int) -> None:
    """Each planted change needs an answer: what was learned before it is little use after it."""
    model = tree.HoeffdingTreeClassifier()
    (start, middle), (_, end) = bounds(stream)[change : change + 2]
    for event in good(stream, values, start=start, end=middle):
        model.learn_one(event.features, event.label)
    before = accuracy(model, good(stream, values, start=start, end=middle))
    after = accuracy(model, good(stream, values, start=middle, end=end))
    assert before > 0.85
    assert after < 0.6


def test_every_change_raises_a_signal_soon(stream: Stream, values: list[bytes]) -> None:
    """The default detectors notice each change within 500 events."""
    signals = backtest(values, arena={"loss": "brier"})["signals"]
    for change in stream.changes:
        assert any(0 <= signal["offset"] - change.offset < 500 for signal in signals)


def bounds(stream: Stream) -> list[tuple[int, int]]:
    """The phases, from offset to offset."""
    edges = [0, *(change.offset for change in stream.changes), stream.records]
    return list(itertools.pairwise(edges))

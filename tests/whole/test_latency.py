"""The benchmark of latency: how long events have waited, and what the table says of it."""

from uuid import uuid4

import pytest

from benchmarks import latency, results
from support.brokers import RealKafka


def test_a_stall_is_seen_in_the_most_and_not_in_the_median() -> None:
    """One event of a hundred that waits for a second."""
    p50, p99, most = latency.summed_up([0.001] * 99 + [1.0])
    assert (p50, most) == (1.0, 1000.0)
    assert 1.0 < p99 < 1000.0


def test_what_warms_up_is_left_out() -> None:
    """The sign that a process is ready, and the first seconds after it."""
    lags = [(0.0, 9.0), (100.0, 5.0), (102.9, 4.0), (103.1, 0.5), (104.0, 0.25)]
    assert latency._warm(lags) == [0.5, 0.25]


def test_the_results_say_at_which_rate_events_waited() -> None:
    """A lag without its rate says nothing."""
    table = results.Table("M", 1000, {"bare": [results.Run(1.0, 1.0, 50.0)]})
    lags = [latency.Lags("M", "Anabranch", "learned", 7400.0, 1.25, 30.0, 220.0)]
    told = results.document([table], words=[], missing=[], latency=lags)
    assert "| M | Anabranch | learned | 7,400 | 1.2 | 30.0 | 220 |" in told
    assert "Latency" not in results.document([table], words=[], missing=[])


@pytest.mark.kafka
def test_each_event_that_is_published_at_a_rate_waits_until_it_is_learned(
    kafka: RealKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is left out, and none is learned before its moment."""
    monkeypatch.setattr(latency, "READS_FROM_S", 0.5)
    found = latency.learned(kafka.bootstrap, "HoeffdingTree", "Anabranch", rate=200, seconds=2, run=uuid4().hex)
    assert 0 < found.p50_ms <= found.p99_ms <= found.max_ms < 60_000

"""What the feed reads of the topics: the last hours, bounded, and any moment of the past."""

import itertools
import time
import uuid
from typing import Any

import pytest

from anabranch.messages import encode
from benchmarks.told_models import Told, ToldModel
from config.settings import Settings
from operations.feed import Feed
from operations.picture import COARSE_S, FINE_S, KINDS
from operations.reading import LEAST
from operations.source import Source, Thinning
from support.brokers import RealKafka
from support.dashboards import publish, settings
from support.waiting import until

NOW_S = 1_000_000.0
LASTS_S = 9_000.0
INTERVAL_S = 5.0


def report(at_s: float, *, model: str = "m") -> bytes:
    return encode(ToldModel(model, began_s=NOW_S - LASTS_S).report(at_s, INTERVAL_S).model_copy(update={"windows": ()}))


def test_of_the_backlog_one_report_of_each_span_is_read() -> None:
    """The newest quarter of an hour is read whole; another model is another matter."""
    thinning = Thinning(NOW_S)
    old = [NOW_S - 5_000 + 10 * n for n in range(60)]
    read = [at_s for at_s in old if not thinning.spares(report(at_s), at_s)]
    assert [b - a for a, b in itertools.pairwise(read)] == [COARSE_S] * 4
    assert not thinning.spares(report(old[-1], model="other"), old[-1])
    assert not thinning.spares(report(NOW_S - FINE_S + 1), NOW_S - FINE_S + 1)


def test_a_report_that_ends_a_window_is_always_read() -> None:
    thinning = Thinning(NOW_S)
    at_s = NOW_S - 4_000
    of = ToldModel("m", began_s=NOW_S - LASTS_S)
    ends = next(at_s + n for n in range(120) if of.report(at_s + n, 1.0).windows)
    assert not thinning.spares(report(ends - 1), ends - 1)
    assert thinning.spares(report(ends), ends)
    assert not thinning.spares(encode(of.report(ends, 1.0)), ends)


def test_of_older_windows_hours_and_days_are_read() -> None:
    """The picture keeps minutes for two hours."""
    of, began_s = ToldModel("m", began_s=NOW_S - 30_000), NOW_S - 20_000
    spans: dict[str, list[bytes]] = {"minute": [], "hour": []}
    for each in (of.report(began_s + n, 1.0) for n in range(4_000)):
        if each.windows:
            spans["hour" if len(each.windows) > 1 else "minute"].append(encode(each))
    assert len(spans["hour"]) == 1
    thinning = Thinning(NOW_S)
    assert not thinning.spares(spans["minute"][0], began_s)
    assert thinning.spares(spans["minute"][1], began_s + 60)
    assert not thinning.spares(spans["hour"][0], began_s + 70)


def test_what_is_no_report_is_left_to_the_reader() -> None:
    """Which counts what cannot be read."""
    assert not Thinning(NOW_S).spares(b"{", 0.0)


@pytest.fixture(scope="module")
def told(kafka: RealKafka) -> tuple[Settings, float]:
    """A model of which the topics tell two and a half hours, and when they end."""
    here = settings(bootstrap=kafka.bootstrap, prefix=f"{uuid.uuid4().hex[:8]}-")
    for key in KINDS:
        kafka.create_topic(here.topics.name(key), partitions=1)
    now_s = time.time()
    several = ToldModel("fraud", began_s=now_s - LASTS_S).between(now_s - LASTS_S, now_s, interval_s=INTERVAL_S)
    publish(here, several)
    return here, now_s


def read(here: Settings, *, history_s: float = LASTS_S + 60, records_max: int = 100_000) -> Feed:
    """A feed that has read what is there."""
    feed = Feed(Source([here]), history_s=history_s, records_max=records_max)
    with feed:
        until(lambda: feed.state.is_live and feed.state.share == 1.0 and feed.heard > 0)
    return feed


@pytest.mark.slow
def test_it_begins_so_long_ago_but_not_with_nothing(told: tuple[Settings, float]) -> None:
    """At least with the newest records, however old; and with no more than is allowed."""
    here, now_s = told
    points = read(here, history_s=5_000).picture.models["fraud", "global"].points
    assert next(iter(points)).at_s == pytest.approx(now_s - 5_000, abs=COARSE_S)
    points = read(here, history_s=10).picture.models["fraud", "global"].points
    assert next(iter(points)).at_s == pytest.approx(now_s - LEAST * INTERVAL_S, abs=COARSE_S)
    points = read(here, records_max=100).picture.models["fraud", "global"].points
    assert len(points) == 100


@pytest.mark.slow
def test_the_past_is_as_it_was_then(told: tuple[Settings, float]) -> None:
    """As the picture of that moment would have been: its newest report, its version, its signals."""
    here, now_s = told
    feed = read(here)
    then_s = now_s - 4_000
    past = Feed(feed.source, history_s=LASTS_S, records_max=100_000).past(then_s)
    now, then = feed.picture.models["fraud", "global"], past.models["fraud", "global"]
    assert then.report_at_s == pytest.approx(then_s, abs=2 * INTERVAL_S)
    assert then.report_at_s < then_s
    known = [each for each in now.signals if each.at_s < then_s]
    assert [each.offset for each in then.signals] == [each.offset for each in known]
    assert now.newest is not None
    assert then.newest is not None
    assert then.newest.version < now.newest.version


@pytest.mark.slow
def test_after_a_fault_it_reads_on_and_hears_nothing_twice(told: tuple[Settings, float]) -> None:
    here, now_s = told
    feed = read(here)
    before = feed.picture.models["fraud", "global"]
    counts = len(before.updates), len(before.signals), len(before.steps), before.refused["schema"]
    heard = feed.heard
    again = Feed(feed.source, history_s=LASTS_S, records_max=100_000)
    again.picture, again._heard_s, again.knows_the_past = feed.picture, feed._heard_s, True
    with again:
        until(lambda: again.state.is_live and again.state.share == 1.0)
        of = ToldModel("fraud", began_s=now_s - LASTS_S)
        publish(here, [Told(time.time(), "reports", of.report(time.time(), INTERVAL_S))])
        until(lambda: before.report_at_s > now_s)
    assert again.heard < heard / 10
    assert (len(before.updates), len(before.signals), len(before.steps), before.refused["schema"]) == counts


@pytest.mark.slow
def test_the_newest_are_known_before_the_past(told: tuple[Settings, float]) -> None:
    """And the past, once it is there, is as if it had been read in order."""
    here, now_s = told
    feed = Feed(Source([here]), history_s=LASTS_S + 60, records_max=100_000)
    firsts: list[float] = []
    take = feed._take

    def watched(several: Any, thinning: Thinning) -> None:
        take(several, thinning)
        firsts.extend(next(iter(each.points)).at_s for each in feed.picture.models.values() if len(each.points))

    feed._take = watched  # type: ignore[method-assign]  # to see what was known when
    with feed:
        until(lambda: feed.state.share == 1.0 and feed.knows_the_past)
    assert firsts[0] > now_s - LEAST * INTERVAL_S - COARSE_S
    assert firsts[-1] == pytest.approx(now_s - LASTS_S, abs=COARSE_S)
    # Up to this moment: another test may have told on meanwhile.
    again = Feed(feed.source, history_s=LASTS_S + 60, records_max=100_000)
    in_order = again.past(time.time() + 1).models["fraud", "global"]
    found = feed.picture.models["fraud", "global"]
    times = [each.at_s for each in found.points]
    assert times == sorted(times)
    assert len(times) == pytest.approx(len(in_order.points), abs=2)
    assert found.windows == in_order.windows
    assert found.report == in_order.report
    assert found.counts.learned.total == 0

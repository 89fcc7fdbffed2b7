"""Publication on evidence: when followers get another copy, what they lose until then, and learning in blocks."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from anabranch import statetree
from anabranch.events import AcceptedEvent
from anabranch.messages import ModelReport
from config.loading import build
from detectors.watch import Watch
from learners.emitted import Promotion
from learners.lane import Lane
from learners.models import catalogue
from learners.publication import copied
from support.lanes import brought, entrant, twin_of
from support.streams import three_numbers

TABLE: dict[str, Any] = {
    "name": "m",
    "task": "binary",
    "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
    "detectors": {},
    "scores": {"window": 200},
    "publish": {"warm_up_events": 50, "refresh_events": 0, "report_events": 100},
}
LINEAR = [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}]
"""It unlearns a concept quickly."""


def lane_of(*, observer: Any = None, steps: list[Any] | None = None, **publish: Any) -> Lane:
    """A lane without detectors."""
    table = {**TABLE, "publish": {**TABLE["publish"], **publish}}
    settings = build({**table, "model": {"steps": steps}} if steps else table)
    return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings), observer=observer)


def events(count: int, *, turns_at: int = 10**9, first: int = 0) -> Iterator[AcceptedEvent]:
    """A concept that may turn round once."""
    rows = three_numbers(first + count, seed=3, is_turned=lambda n: n >= turns_at)
    for n, row in enumerate(rows):
        if n >= first:
            yield AcceptedEvent(f"e{n}", row["features"], row["label"], 1.6e9 + n, 0, n)


def promotions(lane: Lane, several: Iterator[AcceptedEvent]) -> list[Promotion]:
    """What goes live on these events."""
    return [each for event in several for each in lane.on_event(event) if isinstance(each, Promotion)]


def model_digest(data: bytes) -> str:
    """Of the model in these bytes."""
    return statetree.digest(statetree.decode(data))


@pytest.mark.parametrize("ahead", [1, 20])
def test_events_from_a_clock_that_is_ahead_do_not_stop_what_comes_by_time(ahead: int) -> None:
    """Each brings one forward at most; time is then counted from those that come after. A restart changes nothing."""
    several = [
        event._replace(ts=event.ts + 80_000.0) if 1000 <= n < 1000 + ahead else event
        for n, event in enumerate(events(3000))
    ]
    lane = lane_of(refresh_level=0, refresh_interval=60.0)
    gone = [each.event_number for each in promotions(lane, iter(several))]
    assert 45 <= len(gone) <= 55
    assert max(later - earlier for earlier, later in pairwise(gone)) <= 60 + ahead + 5
    again = lane_of(refresh_level=0, refresh_interval=60.0)
    found = []
    for n, event in enumerate(several):
        found += promotions(again, iter([event]))
        if 995 <= n < 1030:
            again = twin_of(again)
    assert [each.event_number for each in found] == gone


def test_followers_get_a_copy_when_theirs_loses() -> None:
    """After the concept has turned round, the live model learns and the copy does not: it is announced again."""
    lane = lane_of(steps=LINEAR)
    before = promotions(lane, events(1500))
    after = promotions(lane, events(1000, turns_at=1500, first=1500))
    assert before[0].kind == "first"
    assert after
    assert {each.kind for each in after} == {"refresh"}
    assert all("followers lost" in each.reason for each in after)
    assert [each.version for each in (*before, *after)] == list(range(1, len(before) + len(after) + 1))


def test_nothing_is_announced_where_nothing_is_gained() -> None:
    """A model that answers the same for ever loses nothing by its copy."""
    lane = lane_of(steps=[{"use": "dummy.NoChangeClassifier"}])
    flat = [AcceptedEvent(f"e{n}", {"a": 1.0}, True, 1.6e9 + n, 0, n) for n in range(3000)]
    assert [each.kind for each in promotions(lane, iter(flat))] == ["first"]
    assert lane.published.lost == 0.0


def test_the_copy_is_what_went_out() -> None:
    """Bit for bit, and it answers as a follower does while the live model learns on."""
    lane = lane_of(refresh_level=1e12)
    (first,) = promotions(lane, events(300))
    assert lane.published.data == first.data
    assert model_digest(first.data) != statetree.digest(lane.champion.model)
    follower = statetree.decode(first.data)
    for event in events(100, first=300):
        assert lane.published.predict(event.x).value == follower.predict_one(event.x)


def asked(lane: Lane, several: Iterator[AcceptedEvent]) -> list[bool]:
    """Whether the copy was asked to be judged, for each event."""
    found = []
    for event in several:
        before = lane.published.judged
        list(lane.on_event(event))
        found.append(lane.published.judged > before)
    return found


def test_a_copy_that_does_not_fall_behind_is_asked_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one event in four unless chance hints at something, and on each again soon after the concept has turned."""
    monkeypatch.setattr("learners.publication.AT_FIRST", 500)
    lane = lane_of(steps=LINEAR)
    still = asked(lane, events(2000, turns_at=2000))
    assert 100 <= sum(still[-400:]) < 150
    version = lane.published.version
    turned = asked(lane, events(800, turns_at=2000, first=2000))
    assert all(turned[-100:])
    assert version is not None
    assert lane.published.version > version


def test_who_looks_on_hears_the_copy_at_every_event_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not judged of it counts for nothing."""
    monkeypatch.setattr("learners.publication.AT_FIRST", 500)
    heard: list[bool] = []
    lanes = [lane_of(steps=LINEAR), lane_of(steps=LINEAR, observer=lambda *seen: heard.append(bool(copied(seen[2]))))]
    for lane in lanes:
        promotions(lane, events(2500, turns_at=2000))
    assert all(heard[50:])
    assert lanes[0].published.judged == lanes[1].published.judged < 2000
    assert statetree.digest(lanes[0].learning_state()) == statetree.digest(lanes[1].learning_state())


def test_a_level_of_zero_asks_no_copy() -> None:
    """Then only the bounds announce, and nothing is said of what followers lose."""
    lane = lane_of(refresh_level=0, refresh_events=400)
    found = promotions(lane, events(1000, turns_at=500))
    assert [(each.kind, each.event_number) for each in found] == [("first", 50), ("refresh", 450), ("refresh", 850)]
    assert found[1].reason == "400 events more"
    assert not lane.published.is_asked


def test_bounds_count_from_the_last_announcement() -> None:
    """In events, and in seconds of event time."""
    lane = lane_of(refresh_level=1e12, refresh_interval=300.0)
    found = promotions(lane, events(1000))
    assert [each.event_number for each in found] == [50, 350, 650, 950]
    assert found[1].reason == "300 s more"


@pytest.mark.parametrize(("gap", "least"), [(0, 1), (70, 70)])
def test_announcements_keep_their_distance(gap: int, least: int) -> None:
    """Between two on evidence lie so many events at least."""
    lane = lane_of(refresh_gap=gap)
    at = [each.event_number for each in promotions(lane, events(2500, turns_at=1500))]
    assert min(later - earlier for earlier, later in pairwise(at)) >= least


@pytest.mark.parametrize(("bytes_an_event", "least"), [(10_000, 50), (4, 100)])
def test_a_large_model_keeps_its_distance_unasked(
    monkeypatch: pytest.MonkeyPatch, bytes_an_event: int, least: int
) -> None:
    """As its bytes are many: fifty events, and more where they are very many."""
    monkeypatch.setattr("learners.publication.LARGE_BYTES", 10)
    monkeypatch.setattr("learners.publication.BYTES_AN_EVENT", bytes_an_event)
    lane = lane_of()
    at = [each.event_number for each in promotions(lane, events(2500, turns_at=1500))]
    assert len(lane.published.data) > 400
    assert len(at) > 1
    assert min(later - earlier for earlier, later in pairwise(at)) >= least


def test_what_an_older_copy_answered_counts_for_no_newer_one() -> None:
    """Events asked under version 1, whose labels come under version 2."""
    lane = lane_of(refresh_level=1e12, refresh_events=100)
    promotions(lane, events(150))
    waiting = list(events(40, first=150))
    for event in waiting:
        lane.on_event(event._replace(y=None))
    promotions(lane, events(120, first=190))
    assert lane.published.version == 3
    judged = lane.published.judged
    for event in waiting:
        lane.on_label(brought(event), by=event)
    assert lane.published.judged == judged


def test_a_copy_that_raises_is_wrong_and_ends_nothing() -> None:
    """It is only asked."""
    lane = lane_of(refresh_level=1e12)
    promotions(lane, events(100))

    def refuse(x: Any) -> Any:
        raise ArithmeticError("no")

    lane.published._predict = refuse
    promotions(lane, events(100, first=100))
    assert lane.events == 200
    assert lane.published.lost > 0.4


def test_reports_and_updates_say_what_followers_lose() -> None:
    """The mean loss of the copy less the live champion's, and how old the copy is."""
    answers: list[tuple[bool, bool]] = []

    def observer(event: Any, served: Any, all_answers: Any, lane: Lane) -> None:
        copy = copied(all_answers)
        if copy is not None:
            answers.append((copy.value != event.y, served.value != event.y))

    lane = lane_of(observer=observer, steps=LINEAR, refresh_level=1e12)
    said = [each for event in events(1000, turns_at=700) for each in lane.on_event(event)]
    report = [each for each in said if isinstance(each, ModelReport)][-1]
    assert report.published is not None
    assert (report.published.version, report.published.events, report.published.age_s) == (1, 950, 950.0)
    lost = sum(copy - live for copy, live in answers[-200:]) / 200
    assert report.published.lost == pytest.approx(lost, abs=0.15)
    assert lane.published.lost > 0.02


def test_a_lane_goes_on_with_its_copy() -> None:
    """The same announcements at the same events, from any point on."""
    straight = lane_of()
    expected = [each.event_number for each in promotions(straight, events(2200, turns_at=1500))]
    for at in (20, 51, 1490, 1600, 1700):
        lane = lane_of()
        before = promotions(lane, events(at, turns_at=1500))
        twin = twin_of(lane)
        after = promotions(twin, events(2200 - at, turns_at=1500, first=at))
        assert [each.event_number for each in (*before, *after)] == expected
        assert statetree.digest(twin.learning_state()) == statetree.digest(straight.learning_state())


# ── the allowance of bytes ────────────────────────────────────────────────────────────────────────────────────────────


def at_times(several: Iterator[AcceptedEvent], time_of: Callable[[int], float]) -> Iterator[AcceptedEvent]:
    """The same events at other times."""
    return (event._replace(ts=time_of(event.offset)) for event in several)


def waits(found: list[Promotion], *, bytes_per_s: float) -> list[tuple[int, int]]:
    """After each but the last, the events until the next, and the seconds that its bytes take, begun ones too."""
    return [
        (later.event_number - each.event_number, math.ceil(len(each.data) / bytes_per_s))
        for each, later in pairwise(found)
    ]


@pytest.mark.parametrize("bytes_per_s", [0, 10_000, 20, 7])
def test_refreshes_wait_for_the_bytes_of_the_one_before(bytes_per_s: int) -> None:
    """At an event a second, a model of 700 bytes may come every 35 s where 20 bytes a second are allowed."""
    lane = lane_of(refresh_level=0, refresh_events=10, bytes_per_s=bytes_per_s)
    found = waits(promotions(lane, events(1000)), bytes_per_s=bytes_per_s or math.inf)
    assert len(found) >= 7
    assert all(events_between == max(10, seconds) for events_between, seconds in found)


def test_who_is_kept_back_says_so() -> None:
    """In the reason when it comes, and until then in the report."""
    lane = lane_of(refresh_level=0, refresh_events=100, report_events=190, bytes_per_s=5)
    said = [each for event in events(300) for each in lane.on_event(event)]
    report = next(each for each in said if isinstance(each, ModelReport))
    assert report.published is not None
    assert report.published.waits == "publish.bytes_per_s: 1.6 s more"
    _, refresh = (each for each in said if isinstance(each, Promotion))
    assert refresh.event_number == 192
    assert refresh.reason == "142 events more; kept back 42 s, 42 events by publish.bytes_per_s"


def test_who_keeps_the_distance_says_so() -> None:
    """There is evidence, and the next announcement is too near."""
    lane = lane_of(steps=LINEAR, refresh_gap=400, report_events=10)
    said = [each for event in events(1000, turns_at=550) for each in lane.on_event(event)]
    waiting = [each.published.waits for each in said if isinstance(each, ModelReport) and each.published]
    assert any(each.startswith("publish.refresh_gap: ") for each in waiting)
    assert waiting[0] == ""


def test_news_waits_for_nothing_and_is_paid_for() -> None:
    """A swap goes out at once; the refresh after it comes later for it."""
    lane = lane_of(refresh_level=0, refresh_events=10, bytes_per_s=10)
    promotions(lane, events(60))
    winner = entrant(lane, "s", catalogue.build(lane.settings.model, seed=1))
    lane.shadows.enter(winner, reason="test")
    winner.contest.powers = [1e9] * 7
    lane.arena.ahead = True
    first_bytes = len(lane.published.data)
    swap, refresh = promotions(lane, events(200, first=60))[:2]
    assert (swap.kind, swap.event_number) == ("swap", 61)
    assert refresh.event_number == 50 + math.ceil((first_bytes + len(swap.data)) / 10)


@pytest.mark.parametrize(
    "time_of",
    [
        lambda n: 1.6e9,
        lambda n: 1.6e9 + (n > 60) * 1e-9,
        lambda n: 1.6e9 - n,
        lambda n: 1.6e9 + 86_400.0 * (n == 49),
    ],
    ids=["it stands still", "it has moved once", "it runs backwards", "it leapt and is back"],
)
def test_no_time_of_events_keeps_a_refresh_back_for_ever(time_of: Callable[[int], float]) -> None:
    """Where it says nothing, a thousand events are a second."""
    lane = lane_of(refresh_level=0, refresh_events=10, bytes_per_s=7000)
    found = waits(promotions(lane, at_times(events(1000), time_of)), bytes_per_s=7)
    assert len(found) >= 7
    assert all(events_between == seconds for events_between, seconds in found)


def test_a_block_waits_as_a_whole() -> None:
    """What was announced is what answers, and it learns the longer block at once."""
    lane = lane_of(blocks=100, bytes_per_s=5)
    found: list[Promotion] = []
    for event in events(1000):
        found += promotions(lane, iter([event]))
        if found:
            assert statetree.digest(lane.champion.model) == model_digest(lane.published.data)
    assert all(events_between == seconds for events_between, seconds in waits(found, bytes_per_s=5))


def test_a_block_that_waits_has_a_bound() -> None:
    """As many events as may wait for their label."""
    lane = lane_of(blocks=100, bytes_per_s=1)
    lane.published._wait_max = 120
    assert [each.event_number for each in promotions(lane, events(400))] == [50, 170, 290]


def test_a_lane_goes_on_with_what_it_owes() -> None:
    """From a checkpoint anywhere: the same announcements for the same reasons."""
    publish = {"refresh_level": 0, "refresh_events": 10, "bytes_per_s": 10}
    expected = [(each.event_number, each.reason) for each in promotions(lane_of(**publish), events(400))]
    for at in (49, 50, 51, 61, 130):
        lane = lane_of(**publish)
        before = promotions(lane, events(at))
        found = [*before, *promotions(twin_of(lane), events(400 - at, first=at))]
        assert [(each.event_number, each.reason) for each in found] == expected


# ── what an update names ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refresh_names_the_version_before() -> None:
    """The first has none; all of them go on from one another, and no signal has brought them."""
    found = promotions(lane_of(refresh_level=0, refresh_events=100), events(400))
    assert [(each.parent, each.trigger) for each in found] == [(None, ""), (1, ""), (2, ""), (3, "")]


# ── blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_in_blocks_the_champion_is_what_was_announced() -> None:
    """Between two announcements it answers, is judged and is watched as followers see it."""
    lane = lane_of(blocks=100)
    announced = 0
    for event in events(1000):
        found = [each for each in lane.on_event(event) if isinstance(each, Promotion)]
        announced += len(found)
        if lane.published.version is not None:
            assert statetree.digest(lane.champion.model) == model_digest(lane.published.data)
    assert announced == 10  # at the end of the warm-up, and every hundred events
    assert not lane.published.is_asked


def test_blocks_lose_and_repeat_no_event() -> None:
    """At the end of a block the model is that of a lane which learned each event at once; restored in between, too."""
    plain, blocks = lane_of(refresh_level=0), lane_of(blocks=100)
    for event in events(750):
        plain.on_event(event)
        blocks.on_event(event)
        if event.offset % 90 == 0:
            blocks = twin_of(blocks)
    assert statetree.digest(plain.champion.model) == statetree.digest(blocks.champion.model)


@pytest.mark.parametrize("refresh_events", [0, 500])
def test_a_block_that_waits_is_learned_first_where_blocks_are_taken_out(refresh_events: int) -> None:
    """It was learned with the next announcement, after newer events; or never."""
    plain, blocks = lane_of(refresh_level=0, refresh_events=refresh_events), lane_of(blocks=100)
    for event in events(750):
        if event.offset == 680:
            assert len(blocks.block) == 30
            blocks = twin_of(blocks, plain.settings)
        plain.on_event(event)
        blocks.on_event(event)
    assert not blocks.block
    assert statetree.digest(plain.champion.model) == statetree.digest(blocks.champion.model)


def test_who_enters_within_a_block_learns_nothing_twice() -> None:
    """It has learned what came before by its own way; from then on it learns with the others."""
    lane = lane_of(blocks=100)
    several = list(events(400))
    for event in several[:120]:
        lane.on_event(event)
    model = catalogue.build(lane.settings.model, seed=1)
    for event in several[:120]:
        model.learn_one(event.x, event.y)
    lane.shadows.enter(entrant(lane, "s", model, since=120), reason="test")
    for event in several[120:350]:
        lane.on_event(event)
    assert statetree.digest(lane.shadows.members[0].model) == statetree.digest(lane.champion.model)

"""Publication on evidence: when followers get another copy, what they lose until then, and learning in blocks."""

from collections.abc import Iterator
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
from support.lanes import entrant, twin_of
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


def test_a_large_model_keeps_its_distance_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its bytes are many."""
    monkeypatch.setattr("learners.publication.LARGE_BYTES", 10)
    lane = lane_of()
    at = [each.event_number for each in promotions(lane, events(2500, turns_at=1500))]
    assert min(later - earlier for earlier, later in pairwise(at)) >= 50


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
        lane.on_label(event.id, event.y)
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

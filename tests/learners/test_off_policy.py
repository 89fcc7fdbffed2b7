"""Off-policy evidence: how often it is wrong over many seeds, what lists it counts, and what it decides in a lane."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from anabranch import statetree
from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, AcceptedLabel
from config.loading import build
from detectors.watch import Watch
from learners.arena import off_policy
from learners.arena.off_policy import Impression, ListContest, Lists, impression
from learners.lane import Lane
from support.lanes import Favours, entrant, twin_of

ITEMS = [f"i{n}" for n in range(12)]
CHAMPION, SHADOW = ITEMS[:3], ITEMS[2:5]
WINS_AT = 10_000


def pages(seed: int, lists: int, rates: dict[str, float], *, explore: float = 0.3) -> Iterator[list[Any]]:
    """Lists of three as the champion makes them, but for a share drawn by chance: impressions, and what was taken."""
    rng = random.Random(seed)
    for n in range(lists):
        items = rng.sample(ITEMS, 3) if rng.random() < explore else CHAMPION
        by_chance = explore * 3 / len(ITEMS)
        page = []
        for item in items:
            propensity = by_chance + (1 - explore) * (item in CHAMPION)
            x = {"user": "u", "item": item, "shown": " ".join(items), "propensity": propensity}
            found = impression(x, float(n), user="user", item="item")
            assert found is not None
            page.append((found, rng.random() < rates.get(item, 0.2)))
        yield page


def asked(lists: Lists, page: list[tuple[Impression, bool]]) -> None:
    for each, _ in page:
        if lists.is_new(each):
            lists.open(each, champion=CHAMPION, shadows={"near": SHADOW})
        lists.ask(each)


def contests(seed: int, lists: int, rates: dict[str, float], **how: Any) -> Iterator[ListContest]:
    """The contest after each list."""
    contest, several = ListContest(), Lists()
    for page in pages(seed, lists, rates, **how):
        asked(several, page)
        for each, taken in page:
            for compared in several.end(each, taken=taken):
                contest.compare(*compared["near"])
                yield contest


def test_equals_win_seldom_and_the_interval_holds_at_every_list() -> None:
    """Over 200 seeds: at A = 20 times the lists, 5 % at most; 0 is ever outside a 95 % interval in 5 % at most."""
    lists, wins, outside = 250, 0, 0
    for seed in range(200):
        evidence, refuted = 0.0, False
        for contest in contests(seed, lists, {}):
            evidence = max(evidence, contest.evidence)
            refuted = refuted or contest.sequence.ahead.refuses(0.0) or contest.sequence.behind.refuses(0.0)
        wins += evidence >= 20 * lists
        outside += refuted
    assert wins <= 10
    assert outside <= 10


def test_a_few_improbable_items_do_not_win_while_the_interval_holds_no_gain() -> None:
    """The e-detector begins again and again, and rare items make large steps; the interval is over all lists."""
    contest = ListContest()
    for ahead in [-0.1] * 3000 + [50.0] * 3:
        contest.compare(ahead, 0.1)
    assert contest.evidence > WINS_AT > contest.events
    assert contest.gain < 0
    assert not contest.won(WINS_AT)
    alone = ListContest(alone=WINS_AT)
    for _ in range(60):
        alone.compare(0.4, -0.4)
    assert alone.won(WINS_AT)
    assert alone.sequence.ahead.refuses(0.0, shadows=100)
    assert not alone.sequence.ahead.refuses(0.0, shadows=1e30)


def test_a_worse_ranker_never_wins() -> None:
    """Its items are taken half as often; over 50 seeds its evidence stays a tie's, and the interval is seen to fall."""
    below = 0
    for seed in range(50):
        contest = ListContest()
        for contest in contests(seed, 400, {"i3": 0.1, "i4": 0.1}):
            assert contest.evidence < 20 * 400
        low, high = contest.interval.ends()
        assert low < -2 / 30 < high  # two of its three items, each .1 less
        below += contest.gain < 0
    assert below > 40


def test_a_better_ranker_wins_though_it_is_seldom_shown() -> None:
    """Two of its three items are taken four times as often; they were on 7.5 % of the lists."""
    for seed in range(5):
        won = next(contest.events for contest in contests(seed, 4000, {"i3": 0.8, "i4": 0.8}) if contest.won(WINS_AT))
        assert 50 < won < 1500


def test_lists_count_in_the_order_in_which_they_were_shown_whenever_labels_come() -> None:
    """Takes first, what was passed over long after: as with labels at once. So no list counts for its takes."""
    rates = {"i3": 0.6}
    prompt = list(contests(1, 300, rates))[-1]
    late, lists = ListContest(), Lists()
    everything = list(pages(1, 300, rates))
    for page in everything:
        asked(lists, page)
    endings = [pair for page in everything for pair in page]
    for each, taken in sorted(endings, key=lambda pair: not pair[1]):
        for compared in lists.end(each, taken=taken):
            late.compare(*compared["near"])
    assert late.events == prompt.events == 300
    assert late.state() == prompt.state()


def test_what_a_list_lacks_is_no_gain_and_holds_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An impression that was lost, one that ends without a label, and one that waits beside too many newer ones."""
    first, *others = pages(3, 200, {}, explore=0.0)
    lists, whole = Lists(), Lists()
    asked(whole, first)
    (complete,) = [each for pair in first for each in whole.end(pair[0], taken=pair[1])]
    asked(lists, first[:2])  # the third never comes
    closed = [each for pair in first[:2] for each in lists.end(pair[0], taken=None if pair is first[0] else pair[1])]
    assert closed == []
    for page in others[: off_policy.BESIDE_MAX]:
        asked(lists, page)
        closed += [each for pair in page for each in lists.end(pair[0], taken=pair[1])]
    assert len(closed) == 1 + off_policy.BESIDE_MAX
    assert closed[0]["near"][0] < complete["near"][0]
    assert not lists.waiting

    monkeypatch.setattr(off_policy, "OPEN_MAX", 5)
    for page in others:
        asked(lists, page)
    assert len(lists.end(others[-1][0][0], taken=True)) == len(others) - 5
    assert len(lists.waiting) == 5


# ── in a lane ───────────────────────────────────────────────────────────────────────────────────────────────────────


def lane_of(evidence: str, *, late: bool = False, default: int | None = 0) -> Lane:
    """A shop that shows one item at a time, "good" and "bad" to its two rankers; its losses cannot tell them apart."""
    more = {} if default is None else {"default": default}
    settings = build(
        {
            "name": "shop",
            "task": "rank",
            "model": {"factory": "support.lanes:Favours", "trusted": ["support.lanes:Favours"]},
            "detectors": {},
            "arena": {"evidence": evidence, "false_swap_every": 500},
            "publish": {"warm_up_events": 5, "report_events": 10**9},
            **({"labels": {"late": True, "horizon": "60s", **more}} if late else {}),
        }
    )
    return Lane(settings, Favours("i0"), watch=Watch(settings))


def shop(lane: Lane, favourite: str, events: int, *, late: bool = False) -> list[str]:
    """What goes live while i1 is taken four times as often as i0, and i2 never."""
    rng, kinds = random.Random(1), []
    lane.shadows.enter(entrant(lane, "near", Favours(favourite)), reason="")
    for n in range(events):
        item = rng.choice(ITEMS) if rng.random() < 0.3 else "i0"
        x = {"user": f"u{n}", "item": item, "shown": item, "propensity": 0.3 / len(ITEMS) + 0.7 * (item == "i0")}
        y = float(rng.random() < {"i1": 0.8, "i2": 0.0}.get(item, 0.2))
        emitted = [lane.on_event(AcceptedEvent(f"e{n}", x, None if late else y, float(n), 0, n))]
        if late and y:
            emitted.append(lane.on_label(AcceptedLabel(f"e{n}", y, float(n), 0, "", "labels", 0, n)))
        while late and (due := lane.end_due()) is not None:
            emitted.append(due)
        kinds += [each.promotion.kind for each in emitted if each.promotion is not None]
    return kinds


@pytest.mark.parametrize("late", [False, True], ids=["labels at once", "labels late"])
def test_an_advantage_that_no_list_shows_swaps_where_lists_decide(late: bool) -> None:
    """Alone in its list each item is first, whoever ranks: losses are equal, and never decide."""
    assert "swap" not in shop(lane_of("shown", late=late), "i1", 1500, late=late)
    lane = lane_of("off-policy", late=late)
    assert "swap" in shop(lane, "i1", 1500, late=late)
    assert lane.champion.name == "near"
    (displaced,) = [each for each in lane.shadows.members if each.name == "first"]
    report = displaced.report(wins_at=lane.shadows.wins_at, event_number=lane.events, window=1000)
    assert report.lists is not None
    assert 0 < report.lists.lists < 1500 - 50  # since the swap
    assert report.verdict is not None
    assert report.verdict.events == report.lists.lists


def test_a_planted_worse_ranker_is_not_swapped_in_and_the_report_says_how_it_does() -> None:
    """Its item is never taken."""
    lane = lane_of("off-policy")
    assert "swap" not in shop(lane, "i2", 2000)
    (worse,) = [each for each in lane.shadows.members if each.name == "near"]
    report = worse.report(wins_at=lane.shadows.wins_at, event_number=lane.events, window=1000)
    assert report.lists is not None
    assert report.lists.lists == 2000
    assert report.lists.low < -0.2 < report.lists.high < 0.25


def test_a_lane_goes_on_from_its_state_with_lists_open() -> None:
    """To the last bit."""
    lane = lane_of("off-policy", late=True)
    shop(lane, "i2", 300, late=True)
    assert lane.ranked is not None
    assert len(lane.ranked.lists.waiting) > 30
    twin = twin_of(lane)
    for each in (lane, twin):
        x = {"user": "u", "item": "i1", "shown": "i1", "propensity": 0.025}
        each.on_event(AcceptedEvent("last", x, None, 1000.0, 0, 300))
        while each.end_due() is not None:
            pass
    trusted = lane.settings.model.trusted
    assert statetree.digest(lane.state(), trusted=trusted) == statetree.digest(twin.state(), trusted=trusted)
    assert len(lane.ranked.lists.waiting) == 1


def test_a_win_by_a_list_that_ends_without_a_label_outlasts_a_restart() -> None:
    """It is put through at the next label, in whichever process that comes."""
    lane = lane_of("off-policy", late=True, default=None)
    lane.shadows.enter(entrant(lane, "near", Favours("i1")), reason="")
    rng, taken = random.Random(1), []
    for n in range(3000):
        item = rng.choice(ITEMS) if rng.random() < 0.3 else "i0"
        x = {"user": f"u{n}", "item": item, "shown": item, "propensity": 0.3 / len(ITEMS) + 0.7 * (item == "i0")}
        lane.on_event(AcceptedEvent(f"e{n}", x, None, float(n), 0, n))
        taken += [n] if rng.random() < {"i1": 0.8, "i2": 0.0}.get(item, 0.2) else []
        if n > 50 and taken and taken[0] < n - 50:
            lane.on_label(AcceptedLabel(f"e{taken[0]}", 1.0, float(n), 0, "", "labels", 0, n))
            taken.pop(0)
        while not lane.arena.ahead and lane.end_due() is not None:
            pass
        if lane.arena.ahead:
            break
    assert lane.arena.ahead, "no list that ended without a label was ever the last that it took"
    assert twin_of(lane).arena.ahead


def test_only_rankers_make_lists() -> None:
    """The configuration says so."""
    steps = [{"use": "naive_bayes.GaussianNB"}]
    with pytest.raises(ConfigError, match=r'task = "binary" makes none'):
        build({"name": "m", "task": "binary", "model": {"steps": steps}, "arena": {"evidence": "off-policy"}})

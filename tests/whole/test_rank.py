"""Ranking: feedback through guard, lane, arena and log; popularity stands in each race, and evidence swaps it out."""

import random
from itertools import islice
from typing import Any

import orjson
import pytest

from anabranch import statetree
from anabranch.errors import ConfigError, ModelSpecError
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import DeadLetter
from config.loading import build
from config.settings import Settings
from consumers.guard import Guard
from consumers.stores import MemoryStore
from detectors.watch import Watch
from evaluation.simulation.audience import Audience, Feedback
from evaluation.simulation.world import MemoryLog
from learners.lane import Lane
from learners.models import catalogue
from support.lanes import twin_of
from support.loops import log_of, loop_on, straight, updates_in

NEAR = {"use": "ranking.CoOccurrence"}


def settings_of(use: str = "ranking.Popularity", **more: Any) -> Settings:
    """A shop whose champion is `use`."""
    return build({"name": "shop", "task": "rank", "model": {"steps": [{"use": use}]}, **more})


def lane_of(**more: Any) -> Lane:
    """A lane of it."""
    settings = settings_of(**more)
    return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))


def event(n: int, each: Feedback) -> dict[str, Any]:
    """As producers send it."""
    return {"id": f"e{n}", "ts": 1.6e9 + 5 * each.request, "features": each.x, "label": each.y}


def audience() -> Audience:
    """A small one, whose tastes are learned soon."""
    return Audience(seed=3, users=60, items=100, genres=8, curious=0.1)


def test_a_recommender_beats_popularity_and_is_swapped_in_by_evidence() -> None:
    """The champion is popularity itself; co-occurrence stands beside it, and wins on the takes alone."""
    settings = settings_of(
        shadows={"standing": [{"name": "near", "steps": [NEAR]}]},
        detectors={},
        publish={"warm_up_events": 50},
        checkpoint={"every_events": 500},
    )
    log = log_of(orjson.dumps(event(n, each)) for n, each in enumerate(audience().takes(1700)))
    loop = straight(log, settings)
    assert [each.kind for each in updates_in(log) if each.kind in ("swap", "rollback")] == ["swap"]
    lane = loop.owner.lane
    assert lane.champion.place == "near"
    # Popularity is not gone: the baseline stands in the race, and what serves is better than it.
    (baseline,) = [each for each in lane.shadows.members if each.place == "popularity"]
    assert lane.champion.loss_mean < baseline.loss_mean - 0.02


@pytest.mark.parametrize("use", ["ranking.CoOccurrence", "ranking.Factors", "ranking.PairwiseLinear"])
def test_popularity_stands_beside_each_ranker(use: str) -> None:
    """Though nothing says so in the configuration; where it is the champion, it is there once."""
    lane = lane_of(use=use)
    for n, each in enumerate(islice(audience().takes(50), 50)):
        lane.on_event(AcceptedEvent(f"e{n}", each.x, each.y, float(n), 0, n))
    assert [each.place for each in lane.shadows.members] == ["popularity"]
    assert lane.shadows.members[0].contest.events > 40
    alone = lane_of()
    alone.on_event(AcceptedEvent("e", {"user": "u", "item": "i"}, 1.0, 0.0, 0, 0))
    assert not alone.shadows.members


def test_only_what_was_taken_is_judged_and_by_the_list_that_was_shown() -> None:
    """Of a list of eight one loss comes, whatever was passed over; the members learn all of it."""
    lane, takes = lane_of(use="ranking.PairwiseLinear"), 0
    for n, each in enumerate(audience().lists(100)):
        lane.on_event(AcceptedEvent(f"e{n}", each.x, each.y, float(n), 0, n))
        takes += each.y > 0
    assert lane.events == 800
    assert lane.champion.losses == takes
    assert set(lane.scores.values()) == {"hitrate", "ndcg", "mrr", "coldshare"}
    assert all(abs(answer.value) <= 8 for _, answer in lane.scores.recent)


def test_a_lane_of_rankers_goes_on_from_its_state() -> None:
    """With the whole portfolio: to the last bit."""
    lane = lane_of(shadows={"portfolio": "cheap"})
    several = [AcceptedEvent(f"e{n}", e.x, e.y, float(n), 0, n) for n, e in enumerate(audience().lists(30))]
    for each in several[:160]:
        lane.on_event(each)
    twin = twin_of(lane)
    for each in several[160:]:
        lane.on_event(each)
        twin.on_event(each)
    assert statetree.digest(lane.state()) == statetree.digest(twin.state())
    assert sorted(each.place for each in lane.shadows.members) == [
        "co-occurrence",
        "factors",
        "pairwise",
        "popularity-lately",
    ]


def test_a_learner_that_begins_again_is_one_that_never_stopped() -> None:
    """It goes on from its checkpoint, and learns each event once."""
    settings = settings_of(use="ranking.Factors", detectors={})
    values = [orjson.dumps(event(n, each)) for n, each in enumerate(audience().lists(60))]
    log, store = log_of(values[:300]), MemoryStore()
    loop_on(log, store, settings).run(until_end=True)
    for value in values[300:]:
        log.append("events", value)
    again = loop_on(log, store, settings)
    again.run(until_end=True)
    assert again.owner.lane.events == len(values)
    assert again.owner.learning_state_hash() == straight(log_of(values), settings).owner.learning_state_hash()


def test_a_click_that_comes_later_is_judged_by_the_position_of_then_and_what_never_comes_is_passed_over() -> None:
    """Impressions first; labels for the clicks alone; at the horizon the default says that nothing was taken."""
    settings = settings_of(
        use="ranking.PairwiseLinear", detectors={}, labels={"late": True, "horizon": "10m", "default": 0}
    )
    log = MemoryLog(partitions=1)
    several = list(audience().lists(60))
    for n, each in enumerate(several):
        asked = event(n, each)
        log.append("events", orjson.dumps({**asked, "label": None}))
        if each.y > 0:
            log.append("labels", orjson.dumps({"id": asked["id"], "ts": asked["ts"] + 3, "label": 1}))
    store = MemoryStore()
    loop_on(log, store, settings).run(until_end=True)
    much_later = {"id": "last", "ts": 1.6e9 + 3600, "features": {"user": "u1", "item": "i1"}}
    log.append("events", orjson.dumps(much_later))
    loop = loop_on(log, store, settings)
    loop.run(until_end=True)
    lane = loop.owner.lane
    takes = sum(each.y > 0 for each in several)
    assert lane.champion.losses == takes
    assert lane.events == len(several)
    assert lane.champion.model.taken.sum() == takes


def test_an_event_without_an_item_is_refused_and_one_without_a_user_is_not() -> None:
    """What somebody unknown took teaches what is popular."""
    guard = Guard(settings_of())

    def checked(**features: Any) -> Any:
        value = orjson.dumps({"id": str(features), "ts": 1.0, "features": features, "label": 1})
        return guard.check(Record("events", 0, 0, 1.0, None, value))

    refused = checked(user="u")
    assert isinstance(refused, DeadLetter)
    assert "no feature 'item'" in refused.reason
    assert isinstance(checked(item="i"), AcceptedEvent)


def test_a_model_that_does_not_rank_is_refused_with_what_to_write() -> None:
    """River's own models rank by `ranking.Pointwise`."""
    with pytest.raises(ModelSpecError, match=r"ranking\.Pointwise"):
        lane_of(use="linear_model.LinearRegression")
    with pytest.raises(ModelSpecError, match=r"'absolute' does not fit task = 'rank'"):
        lane_of(arena={"loss": "absolute"})
    with pytest.raises(ConfigError, match="MAE does not fit task = 'rank'"):
        lane_of(scores={"metrics": ["MAE"]})


def test_rivers_models_rank_by_what_they_predict_of_each_candidate() -> None:
    """A recommender of `reco` and a factorisation machine, under names of the configuration's own."""
    for model in ({"use": "reco.BiasedMF"}, {"use": "facto.FMClassifier", "n_factors": 4}):
        steps = [{"use": "ranking.Pointwise", "model": model}]
        spec = settings_of(model={"steps": steps, "user": "who", "item": "what"}).model
        ranker: Any = catalogue.build(spec, seed=1)
        for each in audience().lists(30):
            ranker.learn_one({"who": each.x["user"], "what": each.x["item"], "shown": each.x["shown"]}, each.y)
        ranked = ranker.rank({"who": "u1"}, n=5)
        assert len({each.item for each in ranked}) == 5


def explored(n: int, rng: random.Random, *, share: float) -> AcceptedEvent:
    """One of four items was shown: "bad", but for a share of the time any of them; only "good" is ever taken."""
    item = rng.choice(["bad", "good", "c", "d"]) if rng.random() < share else "bad"
    propensity = (1 - share) * (item == "bad") + share / 4
    x = {"user": f"u{n}", "item": item, "shown": item, "propensity": propensity}
    return AcceptedEvent(f"e{n}", x, float(item == "good" and rng.random() < 0.8), float(n), 0, n)


def test_a_ranker_that_was_never_shown_is_judged_by_what_was_explored() -> None:
    """Popularity, which has learned what is taken, would show "good": four in five would take it; nearly nobody did."""
    lane, rng = lane_of(), random.Random(1)
    for n in range(4000):
        lane.on_event(explored(n, rng, share=0.1))
    report = lane.report_between(mark="now")
    assert report is not None
    (champion,) = [each for each in report.members if each.kind == "champion"]
    assert champion.off_policy is not None
    assert champion.off_policy.low < 0.8 < champion.off_policy.high
    assert 60 < champion.off_policy.events < 140
    assert champion.off_policy.high - champion.off_policy.low < 0.25


def test_reports_tell_popularitys_scores_beside_what_is_served() -> None:
    """Under names of their own, over the same takes."""
    lane = lane_of(use="ranking.CoOccurrence")
    for n, each in enumerate(audience().takes(600)):
        lane.on_event(AcceptedEvent(f"e{n}", each.x, each.y, float(n), 0, n))
    report = lane.report_between(mark="now")
    assert report is not None
    assert report.windowed["hitrate"] > report.windowed["popularity_hitrate"] > 0
    assert set(report.scores) >= {"hitrate", "ndcg", "mrr", "popularity_hitrate", "popularity_ndcg", "popularity_mrr"}
    assert all(each.off_policy is None for each in report.members)


def test_reports_tell_how_much_of_the_catalogue_is_listed() -> None:
    """Popularity shows everybody nearly the same; neighbours show each their own; and it is no part of what decides."""
    found = {}
    for use in ("ranking.Popularity", "ranking.CoOccurrence"):
        lane = lane_of(use=use)
        assert lane.ranked is not None
        assert "coverage" not in lane.ranked.windowed_values()
        for n, each in enumerate(audience().takes(1200)):
            lane.on_event(AcceptedEvent(f"e{n}", each.x, each.y, float(n), 0, n))
        report = lane.report_between(mark="now")
        assert report is not None
        found[use] = report.windowed["coverage"]
        twin = twin_of(lane)
        assert twin.ranked is not None
        assert twin.ranked.windowed_values() == lane.ranked.windowed_values()
        assert "listed" not in lane.learning_state()
    assert 0.1 < found["ranking.Popularity"] < found["ranking.CoOccurrence"] - 0.2 < 0.8

"""Rankers: what they learn, what they put first, what they fall back to, and the bounds that they keep."""

from typing import Any

import pytest
from river import facto, reco

from anabranch import statetree
from anabranch.ranking import CoOccurrence, Popularity
from anabranch.ranking_models import Factors, PairwiseLinear, Pointwise
from evaluation.simulation.audience import Audience

KINDS: dict[str, Any] = {
    "Popularity": Popularity,
    "CoOccurrence": CoOccurrence,
    "Factors": Factors,
    "PairwiseLinear": PairwiseLinear,
    "BiasedMF": lambda **more: Pointwise(reco.BiasedMF(seed=1), **more),
    "FM": lambda **more: Pointwise(facto.FMClassifier(seed=1), **more),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def taught(kind: str, *, requests: int = 60, **more: Any) -> Any:
    """A ranker that has learned some lists of a small audience."""
    ranker = KINDS[kind](**more)
    for each in Audience(seed=5, users=20, items=30, genres=4).lists(requests):
        ranker.learn_one(each.x, each.y)
    return ranker


@every_kind
def test_the_position_of_an_item_is_its_place_in_the_list(kind: str) -> None:
    """What is judged is what is served: among all items, and among those that were shown together."""
    ranker = taught(kind)
    ranked = ranker.rank({"user": "u3"}, n=100)
    for place, each in enumerate(ranked, start=1):
        assert abs(ranker.predict_one({"user": "u3", "item": each.item})) == place
    shown = [each.item for each in ranked[4:12]]
    x = {"user": "u3", "shown": " ".join(reversed(shown))}
    assert [abs(ranker.predict_one({**x, "item": each})) for each in shown] == list(range(1, 9))


@every_kind
def test_a_ranker_goes_on_from_its_state_tree_to_the_last_bit(kind: str) -> None:
    """Through the bytes that followers and checkpoints read; asking changes nothing."""
    ranker = taught(kind)
    before = statetree.encode(ranker)
    twin = statetree.decode(before)
    ranker.rank({"user": "u1"})
    ranker.predict_one({"user": "stranger", "item": "i1"})
    assert statetree.encode(ranker) == before
    for each in Audience(seed=6, users=20, items=30, genres=4).lists(20):
        ranker.learn_one(each.x, each.y)
        twin.learn_one(each.x, each.y)
    assert statetree.digest(ranker) == statetree.digest(twin)


@every_kind
def test_what_is_kept_is_bounded(kind: str) -> None:
    """A newcomer takes the place of the item, and of the user, of whom nothing was heard for longest."""
    ranker = taught(kind, items_max=8, users_max=5, history_max=3)
    assert len(ranker.slots) == len(ranker.names) == 8
    assert len(ranker.taken) == 8
    assert len(ranker.users) == 5
    assert max(map(len, ranker.users.values())) <= 3
    assert sorted(ranker.slots.values()) == list(range(8))
    assert len(ranker.rank({"user": "u1"}, n=100)) >= 5


@every_kind
def test_who_is_not_known_gets_what_is_popular(kind: str) -> None:
    """And it is said why; one that knows contexts only, or popularity, needs no user."""
    ranker = taught(kind)
    ranked = ranker.rank({"user": "stranger"}, n=3)
    if kind != "PairwiseLinear":
        assert [each.item for each in ranked] == [each.item for each in taught("Popularity").rank({}, n=3)]
    assert {each.cold for each in ranked} == {"" if kind in ("Popularity", "PairwiseLinear") else "user"}


def test_before_anything_was_taken_the_newest_comes_first() -> None:
    """The last fallback."""
    ranker = CoOccurrence()
    for item in ("a", "b", "c"):
        ranker.learn_one({"user": "u", "item": item}, 0.0)
    assert [(each.item, each.cold) for each in ranker.rank({"user": "u"})] == [
        ("c", "model"),
        ("b", "model"),
        ("a", "model"),
    ]


def test_factors_fall_back_on_co_occurrence_and_that_on_popularity() -> None:
    """By how much is known of the user."""
    factors, near = taught("Factors", takes_min=1000), taught("CoOccurrence")
    ranked = factors.rank({"user": "u3"}, n=20)
    assert [each.item for each in ranked] == [each.item for each in near.rank({"user": "u3"}, n=20)]
    assert {each.cold for each in ranked} == {"user"}


def test_what_was_taken_refused_or_excluded_is_not_ranked() -> None:
    """A stranger among the candidates comes last, and an item that is named twice comes once."""
    ranker = Popularity()
    for item, y in [("a", 1), ("b", 1), ("c", 1), ("d", -1), ("e", 0), ("b", 1)]:
        ranker.learn_one({"user": "other" if item != "d" else "me", "item": item}, y)
    ranker.learn_one({"user": "me", "item": "a"}, 1)
    assert [each.item for each in ranker.rank({"user": "me"}, exclude=["c"])] == ["b", "e"]
    ranked = ranker.rank({"user": "me"}, candidates=["new", "e", "b", "b", "a"], n=3)
    assert [(each.item, each.cold) for each in ranked] == [("b", ""), ("e", ""), ("new", "item")]


@every_kind
def test_who_has_taken_everything_is_offered_nothing(kind: str) -> None:
    ranker = taught(kind)
    for item in list(ranker.slots):
        ranker.learn_one({"user": "greedy", "item": item}, 1.0)
    assert ranker.rank({"user": "greedy"}, n=5) == []


def test_a_model_of_before_there_was_a_prior_ranks_as_it_did() -> None:
    """What was kept has no such attribute."""
    ranker = taught("CoOccurrence", target=0.1)
    del ranker.prior
    again = statetree.decode(statetree.encode(ranker))
    assert [each.score for each in again.rank({"user": "u1"})] == [
        each.score for each in taught("CoOccurrence", target=0.1, prior=0.0).rank({"user": "u1"})
    ]


def test_names_are_text_whatever_json_had() -> None:
    """7 and 7.0 are one item, and "7" in a list of what was shown is that one."""
    ranker = Popularity()
    ranker.learn_one({"user": 1, "item": 7}, 1.0)
    ranker.learn_one({"user": 1.0, "item": 7.0}, 1.0)
    ranker.learn_one({"user": "2", "item": "8"}, 0.0)
    assert list(ranker.slots) == ["7", "8"]
    assert ranker.predict_one({"user": 3, "item": 8, "shown": "8 7"}) == 2.0


def test_popularity_that_fades_follows_what_is_taken_now() -> None:
    """Ten thousand takes of one, then a few hundred of another; and no number grows without bounds."""
    lasting, fading = Popularity(), Popularity(fading=0.99)
    for ranker in (lasting, fading):
        for item in ["old"] * 10_000 + ["new"] * 300:
            ranker.learn_one({"item": item}, 1.0)
    assert lasting.rank({})[0].item == "old"
    assert fading.rank({})[0].item == "new"
    assert fading.taken.max() < 1e33


def test_the_pairwise_model_learns_what_the_context_wants() -> None:
    """Umbrellas when it rains: the same items, another order."""
    ranker = PairwiseLinear()
    for n in range(200):
        rains = n % 2 == 0
        for item in ("umbrella", "hat"):
            x = {"item": item, "weather": "rain" if rains else "sun", "shown": "umbrella hat"}
            ranker.learn_one(x, float((item == "umbrella") == rains))
    assert [ranker.rank({"weather": each})[0].item for each in ("rain", "sun")] == ["umbrella", "hat"]


@pytest.mark.parametrize(("name", "value"), [("fading", 0.0), ("fading", 1.5), ("items_max", 0), ("latest_max", 0)])
def test_parameters_that_cannot_be_are_refused(name: str, value: float) -> None:
    """With their name."""
    with pytest.raises(ValueError, match=name):
        CoOccurrence(**{name: value})

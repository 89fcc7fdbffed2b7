"""`/api/rank`: the best items, why some are cold, and what is wrong with a request, by field."""

from collections.abc import Iterator
from typing import Any

import pytest

from anabranch.errors import NoChampionYet
from anabranch.privacy import Edge
from anabranch.ranking import CoOccurrence
from anabranch.testing import MemoryFollower
from support.scorers import FEATURES, Scorer, linear, scorer

TASTES = [("ann", "alien"), ("ann", "heat"), ("bob", "alien"), ("bob", "heat"), ("cy", "babe"), ("dee", "babe")]


def shop() -> MemoryFollower:
    """Who likes alien likes heat; babe is liked by others."""
    model = CoOccurrence(user="who")
    for who, item in [*TASTES, ("eve", "alien")]:
        model.learn_one({"who": who, "item": item}, 1.0)
    follower = MemoryFollower("shop")
    follower.publish(model, task="rank", features={"who": "string", "item": "string"})
    return follower


@pytest.fixture(scope="module")
def served() -> Iterator[Scorer]:
    """A scorer with one ranker."""
    with scorer(shop()) as running:
        yield running


def items(reply: Any) -> list[str]:
    """Their names, in order."""
    return [each["item"] for each in reply.body["items"]]


def test_a_user_gets_what_is_near_to_what_they_took(served: Scorer) -> None:
    """With scores and the version; as the follower answers in a program."""
    reply = served.ask("/api/rank", {"id": "r1", "user": "eve"})
    assert (reply.status, reply.body["id"], reply.body["model"], reply.body["version"]) == (200, "r1", "shop", 1)
    assert items(reply) == ["heat", "babe"]
    assert items(reply) == [each.item for each in served.followers[0].rank({"who": "eve"})]
    assert reply.body["items"][0]["score"] > reply.body["items"][1]["score"]
    assert "cold" not in reply.body["items"][0]
    assert reply.body["shown"] == "heat babe"


def test_the_user_may_be_a_feature_by_its_own_name(served: Scorer) -> None:
    """As in an event; unknown features are left out."""
    reply = served.ask("/api/rank", {"features": {"who": "eve", "colour": "red"}, "n": 1})
    assert items(reply) == ["heat"]


def test_a_stranger_gets_what_is_popular_and_it_is_said_why(served: Scorer) -> None:
    """A candidate that is not known comes last; what is excluded does not come."""
    asked = {"user": "zoe", "candidates": ["new", "babe", "heat", "alien"], "exclude": ["babe"]}
    reply = served.ask("/api/rank", asked)
    assert [(each["item"], each["cold"]) for each in reply.body["items"]] == [
        ("alien", "user"),
        ("heat", "user"),
        ("new", "item"),
    ]


def test_who_asks_is_behind_the_same_pseudonym_as_who_was_learned() -> None:
    """As `user` and as a feature: the model knows no name, and finds what she took."""
    edge, model = Edge(users=["who"], key=b"0123456789abcdef"), CoOccurrence(user="who")
    follower = MemoryFollower("shop")
    for who, item in [*TASTES, ("eve", "alien")]:
        model.learn_one(edge.features({"who": who, "item": item}), 1.0)
    follower.publish(model, task="rank", features={"who": "string", "item": "string"})
    with scorer(follower, edge=edge) as running:
        for body in ({"user": "eve"}, {"features": {"who": "eve"}}):
            reply = running.ask("/api/rank", body)
            assert items(reply) == ["heat", "babe"]
            assert "cold" not in reply.body["items"][0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        ({"user": "eve", "top": 3}, "top"),
        ({"user": ["eve"]}, "user"),
        ({"id": 7}, "id"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"candidates": "heat"}, "candidates"),
        ({"candidates": ["heat", None]}, "candidates[1]"),
        ({"exclude": ["x"] * 10_001}, "exclude"),
        ({"features": {"who": {}}}, "features.who"),
        ({"user": 7}, "features.who"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(served: Scorer, body: Any, field: str) -> None:
    """The last: it has learned users as texts."""
    reply = served.ask("/api/rank", body)
    assert (reply.status, reply.body.get("field", "")) == (422, field)


def test_a_model_that_predicts_does_not_rank() -> None:
    """The answer says what to ask; of several models one has to be named."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    with scorer(follower, shop()) as running:
        reply = running.ask("/api/models/fraud/rank", {"user": "eve"})
        assert (reply.status, reply.body["error"]) == (422, "'fraud' does not rank; ask /api/predict")
        assert items(running.ask("/api/models/shop/rank", {"user": "eve"})) == ["heat", "babe"]
        assert running.ask("/api/rank", {"user": "eve"}).status == 404
    with pytest.raises(NotImplementedError, match="does not rank"):
        follower.rank({})


def test_before_the_first_champion_nothing_is_ranked() -> None:
    """503, as with predictions."""
    with scorer(MemoryFollower("shop")) as running:
        assert running.ask("/api/rank", {"user": "eve"}).status == 503
    with pytest.raises(NoChampionYet):
        MemoryFollower("shop").rank({})


def test_it_is_in_the_description(served: Scorer) -> None:
    """With its own request and response."""
    described = served.ask("/openapi.json").body
    schema = described["paths"]["/api/rank"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/RankingAsked"}
    assert "/api/rank" in served.ask("/docs").body


def test_a_share_of_the_lists_is_drawn_and_each_item_tells_how_probable_it_was() -> None:
    """By the request's id: one that is sent twice is answered alike."""
    with scorer(shop(), explore=0.5) as running:
        asked = {"user": "zoe", "candidates": ["alien", "heat", "babe", "new"], "n": 1}
        replies = [running.ask("/api/rank", {**asked, "id": f"r{n}"}).body for n in range(200)]
        again = running.ask("/api/rank", {**asked, "id": "r7"}).body
    assert again["items"] == replies[7]["items"]
    assert 70 < sum(each["explored"] for each in replies) < 130
    own = [each["items"][0] for each in replies if not each["explored"]]
    assert {each["item"] for each in own} == {"alien"}
    # One of four by chance half of the time; and the model's own choice the other half, too.
    assert {(each["items"][0]["item"], each["items"][0]["propensity"]) for each in replies} == {
        ("alien", 0.625),
        ("heat", 0.125),
        ("babe", 0.125),
        ("new", 0.125),
    }
    assert 100 < sum(each["items"][0]["item"] == "alien" for each in replies) < 150

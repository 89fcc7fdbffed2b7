"""Followers tell which version they serve, and `anabranch followers` shows who is behind, and why."""

from typing import Any

import pytest

from anabranch import follow
from anabranch.kafka import updates
from anabranch.messages import ModelAck, ModelUpdate
from commands.followers import seen
from support.publisher import UPDATE, Publisher
from support.waiting import until

ACK = ModelAck(follower="a:1", model="m", version=2, epoch=1, seq=2, ts=1000.0, taken_s=0.5)


def announced(count: int) -> list[ModelUpdate]:
    """The first updates of a model."""
    return [UPDATE.model_copy(update={"version": n, "seq": n}) for n in range(1, count + 1)]


def test_a_follower_tells_what_it_takes_and_what_it_refuses(embedded: Any) -> None:
    """Each version once, how long it took, and that it has left."""
    publisher = Publisher(embedded.bootstrap)

    def told() -> list[ModelAck]:
        return updates.acknowledged(publisher.kafka, topic="model-acks", model="m")

    publisher.announce(1)
    with follow("m", kafka=publisher.kafka, ack_as="shop-1") as model:
        model.wait(timeout_s=20)
        publisher.announce(2)
        model.wait(version=2, timeout_s=20)
        publisher.announce(3, river="0.1.0")
        until(lambda: any(each.refusals for each in told()))
    acks = told()
    assert {each.follower for each in acks} == {"shop-1"}
    assert [each.version for each in acks if not each.refusals][-2:] == [1, 2]
    assert [each.taken_s is None for each in acks if each.version][:2] == [True, False]
    assert (acks[-1].refusals, acks[-1].left) == ({"versions": 1}, True)
    assert "River 0.1.0" in acks[-1].last_refusal


def test_a_follower_that_is_not_asked_to_tells_nothing(embedded: Any) -> None:
    """Nor does it need the topic."""
    publisher = Publisher(embedded.bootstrap)
    publisher.announce(1)
    with follow("m", kafka=publisher.kafka) as model:
        model.wait(timeout_s=20)
        assert model.ack_as is None


def test_who_is_behind_is_shown_with_the_reason() -> None:
    """By versions; one that refused says why."""
    refused = ACK.model_copy(update={"follower": "b:1", "last_refusal": "its sha256 is another"})
    found = seen([refused, ACK.model_copy(update={"version": 5, "seq": 5})], announced(5), now_ts=1010.0)
    shown = [(each["follower"], each["behind"], each["why"]) for each in found["followers"]]
    assert shown == [("a:1", 0, ""), ("b:1", 3, "its sha256 is another")]
    assert found["champion"] == 5


@pytest.mark.parametrize(
    ("changes", "now_ts", "why"),
    [({}, 1200.0, ["silent for 200 s"]), ({}, 9000.0, []), ({"left": True}, 1001.0, [])],
)
def test_who_says_nothing_is_silent_and_then_gone(changes: dict[str, Any], now_ts: float, why: list[str]) -> None:
    """Who has ended well is not shown at all."""
    found = seen([ACK.model_copy(update=changes)], announced(2), now_ts=now_ts)
    assert [each["why"] for each in found["followers"]] == why


def test_how_soon_versions_are_taken() -> None:
    """Each version counts once a follower; what it booted with does not."""
    told = [ACK.model_copy(update={"seq": n, "version": n, "taken_s": n / 100}) for n in range(1, 101)]
    told += [told[-1].model_copy(update={"ts": 1030.0}), ACK.model_copy(update={"follower": "b", "taken_s": None})]
    taken = seen(told, announced(100), now_ts=1031.0)["taken"]
    assert (taken["updates"], round(taken["p50_s"], 2), round(taken["p99_s"], 2)) == (100, 0.51, 0.99)

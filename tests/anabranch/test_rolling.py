"""Rolling features: as a count by hand has them, late events included; bounded; the same after a restart."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from anabranch.rolling import RollingFeatures, Rule
from anabranch.windows import BUCKETS, DISTINCT_MAX

HOUR_S = 3600.0
RULES = (
    Rule("count", "count", "who", over_s=HOUR_S),
    Rule("sum", "sum", "who", of="amount", over_s=HOUR_S),
    Rule("mean", "mean", "who", of="amount", over_s=HOUR_S),
    Rule("longer", "mean", "who", of="amount", over_s=10 * HOUR_S),
    Rule("shops", "distinct", "who", of="shop", over_s=HOUR_S),
    Rule("since", "since_last", "who"),
    Rule("level", "ewma", "who", of="amount", over_s=HOUR_S),
    Rule("risk", "positive_rate", "shop", over_s=2 * HOUR_S),
)

Step = tuple[str, dict[str, Any], float, bool]
"""An event, or a label with whether it is positive; its features and its time."""


def steps(seed: int, count: int = 600) -> Iterator[Step]:
    """Some are late, by minutes or by hours; some lack a feature; labels come some time after."""
    rng, now = random.Random(seed), 1.6e9
    for _ in range(count):
        now += rng.expovariate(1 / 200.0)
        ts = now - rng.choice((0.0, 0.0, 0.0, 300.0, 2000.0, 5 * HOUR_S)) * rng.random()
        x = {"who": rng.choice("abcd"), "shop": rng.choice(("x", "y", 3)), "amount": round(rng.gauss(50, 20), 2)}
        if rng.random() < 0.1:
            del x[rng.choice(list(x))]
        yield "event", x, ts, False
        if rng.random() < 0.7:
            yield "label", x, ts + rng.choice((0.0, 1000.0)), rng.random() < 0.3


class ByHand:
    """All that has come is kept, and counted again for each event."""

    def __init__(self) -> None:
        self.events: list[tuple[dict[str, Any], float]] = []
        self.labels: list[tuple[dict[str, Any], float, bool]] = []

    def features(self, x: dict[str, Any], ts: float) -> dict[str, Any]:
        """Of an event that is asked now."""
        found: dict[str, Any] = {}
        mine = [each for each in self.events if x.get("who") is not None and each[0].get("who") == x["who"]]
        amounts = [(each, at) for each, at in mine if "amount" in each]
        if "who" in x:
            near = [each["amount"] for each, _ in window(amounts, ts, HOUR_S)]
            found |= {"count": len(window(mine, ts, HOUR_S)), "sum": sum(near)}
            found |= {"mean": sum(near) / len(near)} if near else {}
            long = [each["amount"] for each, _ in window(amounts, ts, 10 * HOUR_S)]
            found |= {"longer": sum(long) / len(long)} if long else {}
            found["shops"] = len(last_seen([(each["shop"], at) for each, at in mine if "shop" in each], ts))
            found |= {"since": max(0.0, ts - max(at for _, at in mine))} if mine else {}
            weights = [(0.5 ** ((ts - at) / HOUR_S), each["amount"]) for each, at in amounts]
            found |= {"level": sum(w * v for w, v in weights) / sum(w for w, _ in weights)} if weights else {}
        if "shop" in x:
            known = [(positive, at) for each, at, positive in self.labels if each.get("shop") == x["shop"]]
            rates = [positive for positive, _ in window(known, ts, 2 * HOUR_S)]
            found |= {"risk": sum(rates) / len(rates)} if rates else {}
        return found


def window(several: list[Any], ts: float, over_s: float) -> list[Any]:
    """Those in the buckets up to that of `ts`, less what was forgotten for a later one, and what came too late."""
    width, kept, newest = over_s / BUCKETS, list[Any](), None
    for each in several:
        bucket = int(each[1] // width)
        if newest is None or bucket > newest - BUCKETS:
            kept.append(each)
        newest = bucket if newest is None else max(newest, bucket)
    now = int(ts // width)
    least = max(now, now if newest is None else newest) - BUCKETS
    if newest is not None and now < newest:
        return [each for each in kept if least < int(each[1] // width) <= now]
    return [each for each in kept if int(each[1] // width) > least]


def last_seen(several: list[tuple[Any, float]], ts: float) -> list[Any]:
    """Values by the bucket in which each was seen last."""
    width, now = HOUR_S / BUCKETS, int(ts // (HOUR_S / BUCKETS))
    kept, newest = dict[Any, int](), None
    for value, at in several:
        bucket = int(at // width)
        if newest is None or bucket > newest - BUCKETS:
            kept[value] = max(bucket, kept.get(value, bucket))
            newest = max(kept.values())
            kept = {each: seen for each, seen in kept.items() if seen > newest - BUCKETS}
    return [value for value, seen in kept.items() if now - BUCKETS < seen <= now]


def run(rolling: RollingFeatures, several: list[Step]) -> list[dict[str, Any]]:
    """The features of the events among the steps."""
    found = []
    for what, x, ts, positive in several:
        if what == "event":
            before = rolling.look(x, ts)
            found.append(rolling.on_event(x, ts))
            assert found[-1] == before
        else:
            rolling.on_label(x, ts, positive=positive)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_features_are_those_counted_by_hand(seed: int) -> None:
    """However late events are, and whatever they lack."""
    several, by_hand = list(steps(seed)), ByHand()
    expected = []
    for what, x, ts, positive in several:
        if what == "event":
            expected.append(by_hand.features(x, ts))
            by_hand.events.append((x, ts))
        else:
            by_hand.labels.append((x, ts, positive))
    found = run(RollingFeatures(RULES, keys_max=1000), several)
    assert [each.keys() for each in found] == [each.keys() for each in expected]
    assert found == [pytest.approx(each, rel=1e-9, abs=1e-9) for each in expected]
    assert all(any(name in each for each in found) for name in (rule.name for rule in RULES))


def test_after_a_restart_they_go_on_to_the_last_bit() -> None:
    """At every hundredth step; and equal states have equal bytes."""
    several = list(steps(9))
    whole = RollingFeatures(RULES, keys_max=3)
    expected, found = run(whole, several), []
    part = RollingFeatures(RULES, keys_max=3)
    for start in range(0, len(several), 100):
        again = RollingFeatures(RULES, keys_max=3)
        again.restore(part.state())
        assert again.state() == part.state()
        part = again
        found += run(part, several[start : start + 100])
    assert found == expected
    assert part.state() == whole.state()


def test_who_was_not_seen_for_longest_is_forgotten() -> None:
    """So many are remembered and no more, and one that comes back begins anew."""
    rolling = RollingFeatures([Rule("n", "count", "who", over_s=HOUR_S)], keys_max=2)
    counts = [rolling.on_event({"who": who}, 10.0 * n)["n"] for n, who in enumerate("abacab")]
    assert counts == [0, 0, 1, 0, 2, 0]
    assert list(rolling.tables[0].entities) == ["a", "b"]


def test_different_values_are_bounded() -> None:
    """Of an entity with ever new ones, the newest are known."""
    rolling = RollingFeatures([Rule("n", "distinct", "who", of="shop", over_s=HOUR_S)], keys_max=2)
    for n in range(3 * DISTINCT_MAX):
        counted = rolling.on_event({"who": "a", "shop": f"shop {n}"}, n * 0.1)["n"]
    assert counted == DISTINCT_MAX


def test_an_event_from_far_ahead_costs_its_own_entity_the_window() -> None:
    """And no other; those after it are late, and raise nothing."""
    rolling = RollingFeatures(RULES, keys_max=10)
    for n in range(5):
        rolling.on_event({"who": "a", "amount": 1.0}, 60.0 * n)
        rolling.on_event({"who": "b", "amount": 1.0}, 60.0 * n)
    rolling.on_event({"who": "a", "amount": 1.0}, 1e8)
    assert rolling.on_event({"who": "a", "amount": 1.0}, 301.0)["count"] == 0
    assert rolling.on_event({"who": "b", "amount": 1.0}, 301.0)["count"] == 5


def test_with_other_rules_what_is_counted_alike_goes_on() -> None:
    """A rule that is added begins anew; one that only has another name does not."""
    before = RollingFeatures([Rule("n", "count", "who", over_s=60.0), Rule("t", "since_last", "who")], keys_max=9)
    before.on_event({"who": "a"}, 5.0)
    after = RollingFeatures(
        [Rule("m", "count", "who", over_s=60.0), Rule("k", "count", "who", over_s=90.0)], keys_max=9
    )
    after.restore(before.state())
    assert after.on_event({"who": "a"}, 6.0) == {"m": 1, "k": 0}


def test_a_long_name_is_remembered_by_its_digest() -> None:
    """The bound is one of bytes, too."""
    rolling = RollingFeatures([Rule("n", "count", "who", over_s=60.0)], keys_max=9)
    for ts in (1.0, 2.0):
        found = rolling.on_event({"who": "a" * 1000}, ts)
    assert found == {"n": 1}
    assert len(rolling.state()) < 100

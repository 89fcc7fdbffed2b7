"""Memory of labels: bounded, by key, the same after a restart; models that know it, and what others do not see."""

from typing import Any

import pytest
from river import compose, linear_model, naive_bayes, preprocessing, tree

from anabranch import statetree
from anabranch.blends import Blend
from anabranch.memory import LabelMemory, Views, names
from anabranch.remembering import Differences, Labels, LastLabel, LastValue, sees_labels


def test_the_last_labels_of_each_key_come_first() -> None:
    """And as many as are asked for."""
    memory = LabelMemory(2, by="who", keys_max=10)
    for n in range(6):
        memory.on_label({"who": "ab"[n % 2]}, n)
    assert memory.look({"who": "a"}) == {"@label_1": 4, "@label_2": 2}
    assert memory.look({"who": "b"}) == {"@label_1": 5, "@label_2": 3}
    assert memory.look({}) == {}


def test_without_a_key_all_events_are_of_one() -> None:
    """The last labels of the stream."""
    memory = LabelMemory(3, by="", keys_max=10)
    memory.on_label({}, True)
    assert memory.look({"a": 1}) == {"@label_1": True}
    assert memory.kind == "boolean"


def test_who_had_no_label_for_longest_is_forgotten() -> None:
    """So many keys are remembered and no more."""
    memory = LabelMemory(1, by="who", keys_max=2)
    for who in "abac":
        memory.on_label({"who": who}, who)
    assert [who for who in "abc" if memory.look({"who": who})] == ["a", "c"]


def test_after_a_restart_it_is_the_same() -> None:
    """But for less of it where the bounds are narrower, and nothing by another key."""
    memory = LabelMemory(3, by="who", keys_max=9)
    for n in range(20):
        memory.on_label({"who": n % 4}, float(n))
    again, fewer = LabelMemory(3, by="who", keys_max=9), LabelMemory(1, by="who", keys_max=2)
    other = LabelMemory(3, by="where", keys_max=9)
    for each in (again, fewer, other):
        each.restore(memory.state())
    assert again.state() == memory.state()
    assert [fewer.look({"who": n}) for n in range(4)] == [{}, {}, {"@label_1": 18.0}, {"@label_1": 19.0}]
    assert not other.entities


@pytest.mark.parametrize(
    ("model", "sees"),
    [
        (LastLabel(), True),
        (LastValue(), True),
        (Differences(tree.HoeffdingTreeRegressor()), True),
        (Labels() | preprocessing.StandardScaler() | linear_model.LogisticRegression(), True),
        (compose.Select("a") | naive_bayes.GaussianNB(), False),
        (Blend([naive_bayes.GaussianNB(), LastLabel()], [0.5, 0.5]), True),
        (Blend([naive_bayes.GaussianNB()], [1.0]), False),
    ],
)
def test_a_model_says_whether_it_sees_labels(model: Any, sees: bool) -> None:
    """By its class, or that of a step or a member; so what hides from it follows."""
    views = Views(hidden=["id"], labels=2)
    assert sees_labels(model) is sees
    assert views.hidden_from(model) == ({"id"} if sees else {"id", *names(2)})


def test_a_blend_shows_labels_to_those_alone_that_know_them() -> None:
    """Naive Bayes would learn to count on a feature that it was never taught with."""
    bayes, last = naive_bayes.GaussianNB(), LastLabel()
    for n in range(20):
        bayes.learn_one({"a": float(n)}, n % 2 == 0)
        last.learn_one({"@label_1": n % 2 == 1}, n % 2 == 0)
    blend, x = Blend([bayes, last], [0.5, 0.5]), {"a": 3.0, "@label_1": True}
    alone = Blend([bayes], [1.0]).predict_proba_one({"a": 3.0})
    both = blend.predict_proba_one(x)
    assert both[True] == pytest.approx((alone[True] + last.predict_proba_one(x)[True]) / 2)


def test_an_event_is_projected_once_for_all_that_see_the_same() -> None:
    """Members are asked the same event one after the other."""
    views, x = Views(hidden=["id"], labels=1), {"id": 3, "a": 1.0, "@label_1": 2.0}
    most, some = views.of(naive_bayes.GaussianNB()), views.of(LastValue())
    assert most is not None
    assert some is not None
    assert (most(x), some(x)) == ({"a": 1.0}, {"a": 1.0, "@label_1": 2.0})
    assert most(x) is views.of(tree.HoeffdingTreeRegressor())(x)
    assert Views(hidden=[], labels=0).of(LastValue()) is None


@pytest.mark.parametrize(
    "model",
    [
        LastLabel(),
        LastValue(),
        Differences(tree.HoeffdingTreeRegressor(leaf_prediction="mean")),
        Differences(Labels() | preprocessing.StandardScaler() | linear_model.LinearRegression()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_they_come_back_from_their_bytes_as_they_were(model: Any) -> None:
    """And go on from there alike."""
    for n in range(50):
        model.learn_one({"a": n % 7, "@label_1": float(n % 3)}, float((n + 1) % 3))
    twin = statetree.decode(statetree.encode(model))
    x = {"a": 3, "@label_1": 2.0}
    for each in (model, twin):
        each.learn_one(x, 0.0)
    assert statetree.digest(twin) == statetree.digest(model)
    assert twin.predict_one(x) == model.predict_one(x)


def test_differences_follow_a_level_that_no_feature_tells() -> None:
    """A tree of values would have to learn each level anew."""
    model = Differences(tree.HoeffdingTreeRegressor(leaf_prediction="mean"))
    for n in range(500):
        model.learn_one({"up": n % 2, "@label_1": float(n)}, n + (1.0 if n % 2 else -1.0))
    assert model.predict_one({"up": 1, "@label_1": 1e6}) == pytest.approx(1e6 + 1.0, abs=0.3)

"""Hard constraints: a better shadow that does not measure up is held back, and the step says why."""

import math
from typing import Any

import pytest
from river import base

from anabranch import statetree
from anabranch.messages import Transition
from learners.arena.constraints import Groups
from learners.emitted import Promotion
from learners.lane import Lane
from support.lanes import Reads, contested, event, twin_of


class Holds(base.Classifier):
    """A classifier that is always right, and holds some state."""

    def __init__(self, state: Any = None) -> None:
        self.state = state

    def predict_one(self, x: dict[str, Any], **kwargs: Any) -> Any:
        """The truth."""
        return x["s"]

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """It learns nothing."""


def holding(state: Any, **constraints: Any) -> Lane:
    """A lane with one shadow, which holds this."""
    trusted = [f"{Reads.__module__}:Reads", f"{__name__}:Holds"]
    return contested(Holds(state), constraints=constraints, model={"factory": "unused:here", "trusted": trusted})


def won(lane: Lane, **x: Any) -> tuple[list[Promotion], list[str]]:
    """The swaps, and why winners were held back, over 40 events on which the champion is wrong."""
    said = [each for n in range(40) for each in lane.on_event(event(100 + n, **{"c": False, **x}))]
    held = [each.reason for each in said if isinstance(each, Transition) and each.before == each.after == "arena"]
    return [each for each in said if isinstance(each, Promotion)], held


@pytest.mark.parametrize("state", [math.nan, [1.0, {"a": math.nan}]])
def test_a_model_with_a_nan_in_its_state_does_not_go_live(state: Any) -> None:
    """However right it is. An infinity is how many of River's minima begin."""
    swaps, held = won(holding(state))
    assert swaps == []
    assert held[0] == "held back: finite: a NaN is in its state"
    assert [swap.kind for swap in won(holding(math.inf))[0]] == ["swap"]


def test_an_array_with_a_nan_is_found() -> None:
    """In arrays and numpy's scalars, at any depth; numbers alone are none."""
    np = pytest.importorskip("numpy")
    for value in (np.array([1.0, math.nan]), np.float32("nan"), {"a": [np.array([[math.nan]])]}):
        assert statetree.holds_nan(statetree.encode(value))
    assert not statetree.holds_nan(statetree.encode({"a": [np.array([1.0, math.inf]), 2, "<f8", None]}))


def test_a_model_that_is_too_large_does_not_go_live() -> None:
    """`max_artifact_bytes` is measured on its bytes, and stands in the update of one that passes."""
    swaps, held = won(holding("x" * 5000, max_artifact_bytes=4000))
    assert swaps == []
    assert held[0].startswith("held back: max_artifact_bytes is 4000, measured 5")
    (swap,) = won(holding("x" * 500, max_artifact_bytes=4000))[0]
    assert 500 < swap.constraints["max_artifact_bytes"] < 4000


def test_a_model_that_is_too_slow_does_not_go_live() -> None:
    """What a prediction takes is measured outside and comes in; it goes live once it is quicker."""
    lane = contested(Reads("s"), constraints={"max_predict_us": 50.0})
    lane.measured(stride={}, too_slow={"r56-last-10": 73.4})
    swaps, held = won(lane)
    assert (swaps, held[0]) == ([], "held back: max_predict_us is 50, measured 73")
    lane.measured(stride={}, too_slow={})
    assert [swap.kind for swap in won(lane)[0]] == ["swap"]


GROUPS = {"group": "country", "max_group_gap_widening": 0.1, "window": 200}


@pytest.mark.parametrize(
    ("metric", "bound", "swaps"), [("accuracy", 0.1, 0), ("accuracy", 1.0, 1), ("positive-rate", 0.1, 0)]
)
def test_a_model_that_widens_the_gap_between_groups_does_not_go_live(metric: str, bound: float, swaps: int) -> None:
    """Right on everything of one country and half of another, where the champion is wrong on all of both."""
    lane = contested(
        Reads("s"),
        constraints={**GROUPS, "group_metric": metric, "max_group_gap_widening": bound},
        arena={"false_swap_every": 1e9},
    )
    said: list[Any] = []
    for n in range(200):
        country = "FR" if n % 2 else "PT"
        said += lane.on_event(event(100 + n, c=False, s=country == "FR" or n % 4 == 0, country=country))
    found = [each for each in said if isinstance(each, Promotion)]
    assert len(found) == swaps
    if not swaps:
        assert any("max_group_gap_widening is 0.1, measured 0." in note for note in lane.notes)
    else:
        assert found[0].constraints["max_group_gap_widening"] > 0.3


def test_a_group_of_few_says_nothing() -> None:
    """Below 30 events a rate is noise; an event without the feature is in no group."""
    groups = Groups("country", window=500)
    for n in range(29):
        groups.update({"country": "PT"}, 0.0)
        groups.update({"country": "FR"}, 1.0)
        groups.update({}, n % 2)
    assert (len(groups), groups.gap(last=500)) == (58, 0.0)
    groups.update({"country": "PT"}, 0.0)
    groups.update({"country": "FR"}, 1.0)
    assert (groups.gap(last=500), groups.gap(last=30)) == (1.0, 0.0)


def test_groups_are_in_the_checkpoint() -> None:
    """Of champion and shadows."""
    lane = contested(Reads("s"), constraints=GROUPS)
    for n in range(50):
        lane.on_event(event(100 + n, country="FR" if n % 2 else "PT"))
    twin, trusted = twin_of(lane), lane.settings.model.trusted
    assert statetree.digest(twin.state(), trusted=trusted) == statetree.digest(lane.state(), trusted=trusted)
    assert len(twin.champion.groups or ()) == len(twin.shadows.members[0].groups or ()) == 50

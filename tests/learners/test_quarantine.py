"""Learning stops by itself where labels are not as they were, and goes on by a person's word."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from river import naive_bayes

from anabranch import statetree
from anabranch.events import AcceptedEvent
from anabranch.messages import Decision, Transition
from learners.emitted import Promotion
from learners.lane import Lane
from support.lanes import digest, label, lane_of, spoken, twin_of


def learning(**freeze: float) -> Lane:
    """A lane that is announced early."""
    return lane_of(naive_bayes.GaussianNB(), freeze=freeze, publish={"warm_up_events": 50}, detectors={})


def events(shares: list[tuple[int, float]], *, first: int = 0) -> Iterator[AcceptedEvent]:
    """So many events with such a share of positives, each after the other."""
    rng, n = random.Random(5), 0
    for count, share in shares:
        for _ in range(count):
            y = rng.random() < share
            if n >= first:
                yield AcceptedEvent(f"e{n}", {"a": rng.gauss(float(y), 1.0)}, y, 1.6e9 + n, 0, n)
            else:
                rng.gauss(0.0, 1.0)
            n += 1


def told(lane: Lane, several: Iterator[AcceptedEvent]) -> list[Any]:
    """What it says."""
    return [each for event in several for each in lane.on_event(event)]


def test_labels_that_turn_stop_learning_and_not_answers() -> None:
    """The step is an alert with the reason; who learns along is told; scores go on, and the champion stays as it is."""
    lane = learning(label_shift=0.5)
    assert not [each for each in told(lane, events([(3000, 0.1)])) if "frozen" in getattr(each, "reason", "")]
    said = told(lane, events([(3000, 0.1), (500, 0.9)], first=3000))
    step = next(each for each in said if isinstance(each, Transition) and "frozen" in each.reason)
    assert step.level == "alert"
    assert "most of all (freeze.label_shift = 0.5)" in step.reason
    assert [each.learns for each in said if isinstance(each, Promotion) and "frozen" in each.reason] == [False]
    before, count = statetree.digest(lane.champion.model), lane.events
    told(lane, events([(3500, 0.1), (500, 0.9)], first=3500))
    assert (statetree.digest(lane.champion.model), lane.events) == (before, count + 500)


def test_a_person_lets_it_go_on_with_labels_as_they_are_then() -> None:
    """What comes after the thaw is what is compared with."""
    lane = learning(label_shift=0.5)
    told(lane, events([(1000, 0.1), (500, 0.9)]))
    assert lane.succession.frozen.startswith("by itself: the last 500 labels lie")
    thaw = Decision(id="t", model="m", ts=1.0, step="thaw", why="it is so", by="ada")
    assert spoken(lane.decided(thaw))[0].accepted
    before = statetree.digest(lane.champion.model)
    told(lane, events([(1500, 0.1), (3000, 0.9)], first=1500))
    assert lane.succession.frozen == ""
    assert statetree.digest(lane.champion.model) != before


@pytest.mark.parametrize(("every", "frozen"), [(1, False), (2, False), (8, True)])
def test_labels_that_stay_away_stop_learning(every: int, frozen: bool) -> None:
    """From one label for each event to one for eight: what is left may be a part that is not like the others."""
    lane = learning(label_rate=4.0)
    for n, event in enumerate(events([(8000, 0.5)])):
        spoken(lane.on_event(event._replace(y=None)))
        if n < 5000 or n % every == 0:
            spoken(lane.on_label(label(event.id, event.y)))
    assert bool(lane.succession.frozen) is frozen


def test_a_lane_goes_on_to_the_same_freeze() -> None:
    """From any point on."""
    shares = [(1000, 0.2), (400, 0.8)]
    straight = learning(label_shift=0.5, label_rate=4.0)
    told(straight, events(shares))
    assert straight.succession.frozen
    for at in (3, 777, 1130):
        lane = learning(label_shift=0.5, label_rate=4.0)
        told(lane, (event for event in events(shares) if event.offset < at))
        twin = twin_of(lane)
        told(twin, (event for event in events(shares) if event.offset >= at))
        assert digest(twin) == digest(straight)


def test_nothing_is_watched_unasked() -> None:
    """And nothing of it is in the state."""
    lane = learning()
    told(lane, events([(1000, 0.1), (1000, 0.9)]))
    assert lane.succession.frozen == ""
    assert "quarantine" not in lane.state()

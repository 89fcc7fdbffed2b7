"""What holds for every signal of the catalogue, tested over the whole of it."""

import itertools
import math
import random
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from anabranch import statetree
from anabranch.events import AcceptedEvent, Prediction
from config.loading import build
from detectors.catalogue import ERROR, NAMES
from detectors.watch import Watch

CATALOGUE: dict[str, dict[str, Any]] = {
    **{use: {"use": use} for use in ERROR},
    "drift.DummyDriftDetector": {"use": "drift.DummyDriftDetector", "trigger_method": "random", "w": 20, "t_0": 300},
    "drift.PageHinkley": {"use": "drift.PageHinkley", "threshold": 25.0, "delta": 0.02, "alpha": 1.0},
    **{f"inputs, {test}": {"use": "inputs", "test": test} for test in ("ks", "psi", "jensen-shannon", "wasserstein")},
    "inputs, sampled": {"use": "inputs", "every_nth": 3, "reference_events": 300, "window": 200},
    "predictions": {"use": "predictions"},
    "labels": {"use": "labels"},
    "threshold, below": {"use": "threshold", "metric": "Accuracy", "below": 0.7, "window": 500},
    "threshold, worsens": {"use": "threshold", "metric": "LogLoss", "worsens_by": 0.3, "window": 500},
    "threshold, over time": {"use": "threshold", "metric": "F1", "below": 0.7, "window_time": "10m", "window": 600},
    "schedule, events": {"use": "schedule", "every_events": 700},
    "schedule, time": {"use": "schedule", "every": "20m"},
    "schedule, cron": {"use": "schedule", "cron": "*/7 * * * *"},
    "volume": {"use": "volume", "labels": 900},
}
NEVER_FIRES = ("drift.NoDrift",)
BY_CHANCE = ("drift.DummyDriftDetector",)
NOISY = ("drift.KSWIN", "drift.binary.DDM", "drift.binary.EDDM")
"""With River's own parameters they fire on noise, too."""
SLOW = ("drift.KSWIN",)
"""It compares two samples of a window of 100 events on each event: shorter streams say as much of it."""
ON_PLAN = tuple(name for name in CATALOGUE if name.startswith(("schedule", "volume")))
ON_ERROR = (*(name for name in ERROR if name not in NEVER_FIRES), *(n for n in CATALOGUE if n.startswith("threshold")))

every_signal = pytest.mark.parametrize("name", CATALOGUE)


class Step(NamedTuple):
    """One event with its label, the champion's answer, and the loss."""

    event: AcceptedEvent
    answer: Prediction
    loss: float


def steps(*parts: tuple[int, float, float], seed: int = 1) -> Iterator[Step]:
    """So many events with each rate of error and each mean of the inputs."""
    rng = random.Random(seed)
    number = itertools.count()
    for count, rate, mean in parts:
        for _ in range(count):
            n = next(number)
            wrong, y = rng.random() < rate, rng.random() < 0.5
            x = {"a": rng.gauss(mean, 1), "b": rng.choice("xyz"), "c": rng.random() < 0.5 + mean / 4}
            value = y != wrong
            proba = {value: 0.8, not value: 0.2}
            yield Step(AcceptedEvent(f"e{n}", x, y, float(n), 0, n), Prediction(value, proba), float(wrong))


def moving(*parts: tuple[int, float]) -> Iterator[Step]:
    """So many events with each share of the answer and label "True"."""
    rng = random.Random(3)
    number = itertools.count()
    for count, share in parts:
        for _ in range(count):
            n, y = next(number), rng.random() < share
            yield Step(AcceptedEvent(f"e{n}", {"a": 0.0}, y, float(n), 0, n), Prediction(y, {y: 0.8, not y: 0.2}), 0.0)


def watch_of(name: str) -> Watch:
    return Watch(
        build(
            {
                "name": "m",
                "task": "binary",
                "model": {"factory": "a:b"},
                "detectors": {"it": CATALOGUE[name]},
                "trigger": {"debounce_events": 0},
            }
        )
    )


def shown(watch: Watch, several: Iterable[Step]) -> list[tuple[int, Any]]:
    """Where a watch finds something, from 1, and what."""
    found = []
    for event, answer, loss in several:
        n = event.offset + 1
        if watch.sees_events and (findings := watch.on_event(event, answer, event_number=n)) is not None:
            found.append((n, findings))
        if (findings := watch.update(loss, event_number=n, seen=event, answer=answer)) is not None:
            found.append((n, findings))
    return found


def drifting(name: str) -> Iterator[Step]:
    """A stream on which the signal has reason to fire, halfway through."""
    if name in ("predictions", "labels"):
        return moving((3000, 0.5), (3000, 0.8))
    return steps((3000, 0.1, 0.0), (3000, 0.6, 1.0))


@cache
def found_in(name: str) -> list[tuple[int, Any]]:
    """What is found on that stream."""
    return shown(watch_of(name), drifting(name))


def test_every_name_is_here() -> None:
    """A new signal cannot be forgotten."""
    assert {each["use"] for each in CATALOGUE.values()} == set(NAMES)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in NEVER_FIRES + BY_CHANCE + ON_PLAN])
def test_a_change_is_found_and_nothing_before_it(name: str) -> None:
    """The error goes from .1 to .6 at 3,001, the inputs' mean from 0 to 1, the share of a class from .5 to .8."""
    found = [n for n, _ in found_in(name)]
    assert any(3000 < n <= 4500 for n in found)
    assert name in NOISY or found[0] > 3000


@pytest.mark.parametrize("name", ON_PLAN)
def test_a_plan_is_kept(name: str) -> None:
    """Every 700 events, every 20 minutes, at each seventh minute, every 900 labels (an event comes each second)."""
    gaps = {"schedule, events": 700, "schedule, time": 1200, "schedule, cron": 420, "volume": 900}
    at = [n for n, _ in shown(watch_of(name), steps((6000, 0.1, 0.0)))]
    assert len(at) >= 4
    assert all(abs(later - before - gaps[name]) <= 240 for before, later in itertools.pairwise(at))


@every_signal
def test_a_state_goes_on_the_same(name: str) -> None:
    """Through the state tree, before, during and after a change: the same findings, and the same state at the end."""
    several = list(drifting(name))[:4800]
    whole = watch_of(name)
    shown(whole, several[:100])
    for at, until in itertools.pairwise((100, 2500, 3137, 3600, 4800)):
        twin = watch_of(name)
        twin.restore(statetree.decode(statetree.encode(whole.state())))
        assert shown(whole, several[at:until]) == shown(twin, several[at:until])
        assert statetree.digest(whole.state()) == statetree.digest(twin.state())


@every_signal
def test_memory_is_bounded(name: str) -> None:
    """The state after 15,000 events is at most a fifth and 2 kB larger than the largest of the first 5,000 events."""
    watch = watch_of(name)
    several = steps((15_000, 0.2, 0.0))
    sizes = []
    for _ in range(15):
        shown(watch, itertools.islice(several, 200 if name in SLOW else 1000))
        sizes.append(len(statetree.encode(watch.state())))
    assert max(sizes) < 1.2 * max(sizes[:5]) + 2000
    assert max(sizes) < 1_000_000


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in BY_CHANCE + ON_PLAN])
@pytest.mark.parametrize("wrong", [False, True])
def test_constants_are_no_change(name: str, wrong: bool) -> None:
    """A model that is always right, or always wrong from the start, on inputs that never change."""
    several = (
        Step(
            AcceptedEvent("e", {"a": 1.5, "b": "x"}, True, float(n), 0, n),
            Prediction(not wrong, {True: 0.5}),
            float(wrong),
        )
        for n in range(2000 if name in SLOW else 8000)
    )
    found = shown(watch_of(name), several)
    bad_from_the_start = wrong and name in ("threshold, below", "threshold, over time")
    assert len(found) == (1 if bad_from_the_start else 0)


@pytest.mark.parametrize("name", ON_ERROR)
def test_an_error_that_falls_is_no_signal(name: str) -> None:
    """From .4 to .05 at 3,001, and not one signal in the 600 events after it, when a detector that looks both ways
    has alarmed."""
    watch = watch_of(name)
    several = steps((3000, 0.4, 0.0), (600, 0.05, 0.0), seed=5)
    assert [n for n, _ in shown(watch, several) if n > 3000] == []


@every_signal
def test_numbers_told_are_finite(name: str) -> None:
    """JSON has no NaN and no infinity."""
    for _, findings in found_in(name):
        for fired in findings.fired:
            assert math.isfinite(fired.shift.statistic)
            assert math.isfinite(fired.shift.threshold)
            assert fired.shift.window_events >= 1


@every_signal
def test_a_level_is_told_and_changes_nothing(name: str) -> None:
    """Reports may ask at any time: what fires, and when, is the same."""
    watch, other = watch_of(name), watch_of(name)
    found, expected, told = [], [], []
    for n, step in enumerate(itertools.islice(drifting(name), 3600), 1):
        found += shown(watch, [step])
        expected += shown(other, [step])
        if not n % 400:
            watch.mark()
            told += watch.levels()
    assert found == expected
    assert statetree.digest(watch.state()) == statetree.digest(other.state())
    levels = [each for each in told if each.statistic is not None]
    assert levels or name in (*NEVER_FIRES, "schedule, time", "schedule, cron")
    assert all(math.isfinite(each.statistic or 0.0) for each in levels)


@pytest.mark.parametrize("name", ["drift.ADWIN", "drift.PageHinkley", "threshold, below", "inputs, ks"])
def test_a_level_comes_near_its_threshold_before_it_fires(name: str) -> None:
    watch, levels, number = watch_of(name), [], 0
    for step in drifting(name):
        number += 1
        if not number % 100:
            watch.mark()
        if not number % 5:
            (level,) = watch.levels()
            if level.statistic is not None and level.threshold:
                ratio = level.statistic / level.threshold
                levels.append(1 / ratio if level.fires_below else ratio)
        if shown(watch, [step]):
            break
    assert 3000 < number < 4000
    assert max(levels[-30:]) > max(0.3, *levels[:20])

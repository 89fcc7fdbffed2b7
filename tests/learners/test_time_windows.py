"""Scores by minute, hour and day: counts that add up, and windows that end when events say so."""

import random
from typing import Any

import pytest
from river import metrics

from anabranch.events import Prediction
from learners.scores import Scores
from learners.time_windows import TALLIES, TimeWindows


def answers(task: str, events: int, *, seed: int = 7) -> list[tuple[Any, Any, dict[Any, float] | None]]:
    """Labels with what was answered, now and then nothing."""
    rng = random.Random(seed)
    found: list[tuple[Any, Any, dict[Any, float] | None]] = []
    for n in range(events):
        if task == "regression":
            y = rng.gauss(5, 2)
            found.append((y, None if n == 0 else y + rng.gauss(0.5, 1), None))
        elif task == "binary":
            p = rng.random()
            found.append((rng.random() < p, None if n == 0 else p >= 0.5, {True: p, False: 1 - p} if n else None))
        else:
            weights = [rng.random() for _ in "abc"]
            proba = {label: each / sum(weights) for label, each in zip("abc", weights, strict=True)}
            y = rng.choices("abc", weights)[0]
            found.append((y, max(proba, key=lambda label: proba[label]), proba))
    return found


ORACLES = {
    "binary": {
        "accuracy": metrics.Accuracy,
        "precision": metrics.Precision,
        "recall": metrics.Recall,
        "f1": metrics.F1,
        "logloss": metrics.LogLoss,
    },
    "multiclass": {
        "accuracy": metrics.Accuracy,
        "macroprecision": metrics.MacroPrecision,
        "macrorecall": metrics.MacroRecall,
        "macrof1": metrics.MacroF1,
        "logloss": metrics.CrossEntropy,
    },
    "regression": {"mae": metrics.MAE, "rmse": metrics.RMSE, "r2": metrics.R2},
}


@pytest.mark.parametrize("task", ORACLES)
def test_a_tally_says_what_river_says(task: str) -> None:
    tally, oracles = TALLIES[task](), {name: each() for name, each in ORACLES[task].items()}
    for y, value, proba in answers(task, 500):
        tally.add(y, value, proba)
        for name, oracle in oracles.items():
            shown = proba if name == "logloss" else value
            if shown is not None:
                oracle.update(y, shown)
    scores = tally.scores()
    assert {name: scores[name] for name in oracles} == pytest.approx({name: o.get() for name, o in oracles.items()})


def test_the_areas_under_the_curves_are_those_of_all_pairs() -> None:
    tally = TALLIES["binary"]()
    shown = [(y, round(p[True], 2) + 0.005) for y, _, p in answers("binary", 400) if p and p[True] < 0.99]
    for y, p in shown:
        tally.add(y, p >= 0.5, {True: p, False: 1 - p})
    true, false = [p for y, p in shown if y], [p for y, p in shown if not y]
    pairs = sum((t > f) + (t == f) / 2 for t in true for f in false) / (len(true) * len(false))
    at = sorted(set(true))
    precision = sum(
        true.count(each) * sum(t >= each for t in true) / sum(p >= each for _, p in shown) for each in at
    ) / len(true)
    scores = tally.scores()
    assert scores["rocauc"] == pytest.approx(pairs)
    assert scores["prauc"] == pytest.approx(precision)


@pytest.mark.parametrize("task", ORACLES)
def test_two_tallies_add_up_to_one(task: str) -> None:
    whole, first, second = (TALLIES[task]() for _ in range(3))
    shown = answers(task, 300)
    for n, each in enumerate(shown):
        whole.add(*each)
        (first if n < 100 else second).add(*each)
    first.merge(second)
    assert first.events == whole.events
    assert first.scores() == pytest.approx(whole.scores())
    assert [each.events for each in first.calibration()] == [each.events for each in whole.calibration()]


def test_calibration_says_what_came_true() -> None:
    tally = TALLIES["binary"]()
    for n in range(100):
        tally.add(n % 4 == 0, False, {True: 0.25, False: 0.75})
    (only,) = tally.calibration()
    assert (only.events, only.said, only.came) == (100, pytest.approx(0.25), 0.25)


def windows(times: list[float], *, window: int = 50) -> TimeWindows:
    """Right answers at these times."""
    scores = Scores([metrics.Accuracy()], window=window)
    found = TimeWindows("binary", scores)
    for ts in times:
        scores.update(True, Prediction(True))
        found.note(ts)
    return found


def test_every_event_is_in_the_minute_the_hour_and_the_day_of_its_time() -> None:
    times = [86_400.0 + n for n in range(2 * 86_400)]
    found: dict[str, list[tuple[float, int]]] = {"minute": [], "hour": [], "day": []}
    scores = Scores([metrics.Accuracy()], window=50)
    of_time = TimeWindows("binary", scores)
    for ts in times:
        scores.update(True, Prediction(True))
        of_time.note(ts)
        for each in of_time.take():
            found[each.span].append((each.start, each.events))
    assert found["day"] == [(86_400.0, 86_400)]
    assert found["hour"] == [(86_400.0 + 3600.0 * n, 3600) for n in range(47)]
    assert {events for _, events in found["minute"]} == {60}
    assert len(found["minute"]) == 2 * 1440 - 1


def test_one_event_from_the_future_ends_nothing() -> None:
    times = [float(n) for n in range(200)]
    times[90] = 80_000.0
    # The second minute has the event in it that came from the future.
    assert [(each.start, each.events) for each in windows(times).take()] == [(0.0, 60), (60.0, 60), (120.0, 60)]


def test_a_late_event_counts_in_the_minute_that_is_open() -> None:
    times = [float(n) for n in range(150)]
    times[130] = 3.0
    assert [each.events for each in windows(times).take()] == [60, 60]


def test_windows_of_few_events_are_left_out_and_a_gap_is_a_gap() -> None:
    times = [*map(float, range(60)), *(3600.0 + n for n in range(5)), *(7200.0 + n for n in range(90))]
    ended = windows(times).take()
    assert [(each.span, each.start) for each in ended] == [("minute", 0.0), ("hour", 0.0), ("minute", 7200.0)]


def test_a_checkpoint_in_the_middle_changes_nothing() -> None:
    times = [float(n * 7 % 11 + n) for n in range(1000)]
    straight = windows(times)
    first = windows(times[:333])
    scores = Scores([metrics.Accuracy()], window=50)
    scores.restore(first.scores.state())
    second = TimeWindows("binary", scores)
    second.restore(first.state())
    for ts in times[333:]:
        scores.update(True, Prediction(True))
        second.note(ts)
    assert second.state() == straight.state()

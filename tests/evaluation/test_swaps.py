"""Hindsight on swaps: what the displaced model would have done."""

import itertools
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from river.datasets import synth

from anabranch.events import Prediction
from anabranch.messages import TrainedOn
from config.loading import build
from evaluation.backtest import Backtest
from evaluation.simulation.world import FrozenClock
from evaluation.swaps import LaneSwapEvaluation, SwapEvaluation
from learners.models import catalogue
from learners.models.tasks import zero_one

RIGHT, WRONG = Prediction(True), Prediction(False)


def judged(
    *, displaced: Callable[[int], Prediction], served: Callable[[int], Prediction], events: int
) -> SwapEvaluation:
    """One swap, then so many events that are true."""
    hindsight = SwapEvaluation(zero_one, span_events=100)
    count = itertools.count()
    hindsight.swapped(predict=lambda x: displaced(next(count)), learn=lambda x, y: None)
    for n in range(events):
        hindsight.update({}, True, served(n))
    return hindsight


@pytest.mark.parametrize(
    ("right_of_displaced", "right_of_served", "wrong"),
    [(51, 50, 1), (50, 50, 0), (50, 51, 0), (0, 100, 0), (100, 0, 1)],
)
def test_a_swap_is_wrong_if_the_displaced_model_does_better(
    right_of_displaced: int, right_of_served: int, wrong: int
) -> None:
    """Strictly better over the span; a tie is not wrong."""
    found = judged(
        displaced=lambda n: RIGHT if n < right_of_displaced else WRONG,
        served=lambda n: RIGHT if n >= 100 - right_of_served else WRONG,
        events=100,
    )
    assert (found.swaps, found.judged, found.wrong) == (1, 1, wrong)


def test_a_swap_without_enough_events_after_it_is_not_judged() -> None:
    """It counts as a swap, and as nothing else."""
    found = judged(displaced=lambda n: RIGHT, served=lambda n: WRONG, events=99)
    assert (found.swaps, found.judged, found.wrong) == (1, 0, 0)


def test_the_displaced_model_goes_on_learning() -> None:
    """Kept running means that it learns each event after it was asked."""
    seen: list[Any] = []
    hindsight = SwapEvaluation(zero_one, span_events=2)
    hindsight.swapped(predict=lambda x: Prediction(len(seen)), learn=lambda x, y: seen.append((x, y)))
    for n in range(3):
        hindsight.update({"n": n}, n, WRONG)
    assert seen == [({"n": 0}, 0), ({"n": 1}, 1)]
    assert hindsight.wrong == 1


def test_looking_back_changes_nothing_of_the_lane() -> None:
    """With hindsight a backtest swaps where it would and ends in the same state; the swap after a change is right."""
    alone, _ = sea(watched=False)
    result, found = sea(watched=True)
    assert [swap["offset"] for swap in result["swaps"]] == [swap["offset"] for swap in alone["swaps"]]
    assert result["state_hash"] == alone["state_hash"]
    assert (found.swaps, found.judged, found.wrong) == (1, 1, 0)


def sea(*, watched: bool) -> tuple[dict[str, Any], SwapEvaluation]:
    """GaussianNB on SEA with one change, with and without hindsight."""
    settings = build({"name": "sea", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}})
    stream = itertools.chain(*(itertools.islice(synth.SEA(variant=v, seed=v), 2500) for v in (2, 3)))
    values = [
        orjson.dumps({"id": f"e{n}", "ts": 1.6e9 + n, "features": {str(name): x[name] for name in x}, "label": y})
        for n, (x, y) in enumerate(stream)
    ]
    looking_back: list[LaneSwapEvaluation] = []

    def observer(event: Any, served: Any, answers: Any, lane: Any) -> None:
        if not looking_back:
            looking_back.append(LaneSwapEvaluation(lane.task, clock=FrozenClock()))
        looking_back[0](event, served, answers, lane)

    run = Backtest(
        settings,
        first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()),
        values=lambda: iter(values),
        timestamp_of=lambda number: 1.6e9 + number,
        clock=FrozenClock(),
        observer=observer if watched else None,
    )
    return run.run(), looking_back[0].hindsight if looking_back else SwapEvaluation(zero_one)

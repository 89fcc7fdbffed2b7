"""One pass of one of River's models over one stream: test, then train, with the label at once."""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anabranch.events import Prediction
from benchmarks.accuracy.generators import XY
from benchmarks.accuracy.rivals import RIVALS
from config.loading import build
from config.settings import Settings
from consumers.timing import CpuClock
from evaluation.swaps import SwapEvaluation, loss_of
from learners.models.tasks import Task

METRICS = {
    "binary": ("Accuracy", "LogLoss"),
    "multiclass": ("Accuracy", "CrossEntropy"),
    "regression": ("MAE",),
    "reco": ("MAE",),
}
"""What Anabranch keeps itself; those on probabilities make it ask for them, as all competitors are asked."""


@dataclass
class Passed:
    """What came of a pass."""

    served: list[tuple[Any, Prediction]] = field(default_factory=list)
    seconds: float = 0.0
    swaps: int = 0
    judged: int = 0
    wrong: int = 0
    signals: int = 0
    followed: list[tuple[Any, Prediction]] = field(default_factory=list)
    """What followers answered at the same time, from the first announcement on."""
    announced: int = 0


def settings_of(table: Mapping[str, Any], *, task: str, seed: int, rare: bool) -> Settings:
    """The configuration of a competitor; where one class is rare the arena judges by Brier's score.

    Raises:
        ConfigError: this version does not know a key of it.
    """
    loss = {"loss": "brier"} if rare else {}
    return build(
        {
            "name": "accuracy",
            "task": task,
            "seed": seed,
            "scores": {"metrics": METRICS[task]},
            **table,
            "arena": {**loss, **table.get("arena", {})},
        }
    )


def rival(way: str, settings: Settings, events: Sequence[XY]) -> Passed:
    """A pass of a competitor that is not Anabranch."""
    task = Task(settings, wants_proba=not settings.numeric)
    passed, clock, hindsight = Passed(), CpuClock(), SwapEvaluation(loss_of(task))
    one, aside_s = RIVALS[way](settings, task), 0.0
    quiet()
    began_s = clock.monotonic_s()
    for x, y in events:
        answer = one.predict(x)
        displaced = one.learn(x, y, answer)
        passed.served.append((y, answer))
        if hindsight.trials or displaced is not None:
            aside_began_s = clock.monotonic_s()
            hindsight.update(x, y, answer)
            if displaced is not None:
                hindsight.swapped(predict=displaced.predict, learn=displaced.learn)
            aside_s += clock.monotonic_s() - aside_began_s
    passed.seconds = clock.monotonic_s() - began_s - aside_s
    return judged(passed, hindsight)


def quiet() -> None:
    """The collector as `anabranch learn` has it, for all alike."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def judged(passed: Passed, hindsight: SwapEvaluation) -> Passed:
    """The pass with what hindsight found."""
    passed.swaps, passed.judged, passed.wrong = hindsight.swaps, hindsight.judged, hindsight.wrong
    return passed

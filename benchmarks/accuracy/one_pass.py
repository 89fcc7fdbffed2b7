"""One pass of one competitor over one stream: test, then train, with the label at once."""

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from anabranch.messages import DriftSignal, Message, TrainedOn
from anabranch.settings import Settings
from anabranch.settings_file import build
from benchmarks.accuracy.generators import XY
from benchmarks.accuracy.rivals import RIVALS
from consumers.backtest import Backtest
from consumers.hindsight import Hindsight, LaneHindsight, loss_of
from learners import catalogue
from learners.lane import Lane
from learners.tasks import Answer, Task

METRICS = {"binary": ("Accuracy", "LogLoss"), "multiclass": ("Accuracy", "CrossEntropy"), "regression": ("MAE",)}
"""What Anabranch keeps itself; those on probabilities make it ask for them, as all competitors are asked."""


@dataclass
class Passed:
    """What came of a pass."""

    served: list[tuple[Any, Answer]] = field(default_factory=list)
    seconds: float = 0.0
    swaps: int = 0
    judged: int = 0
    wrong: int = 0
    signals: int = 0


class CpuClock:
    """The time that this process has computed, so that a busy machine spoils less."""

    def time_s(self) -> float:
        """The same for every run: it only dates messages."""
        return 1.6e9

    def monotonic_s(self) -> float:
        """Seconds of computing."""
        return time.process_time()


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
    """A competitor of River's kind."""
    task = Task(settings, wants_proba=settings.task != "regression")
    passed, clock, hindsight = Passed(), CpuClock(), Hindsight(loss_of(task))
    one, aside_s = RIVALS[way](settings, task), 0.0
    _quiet()
    began_s = clock.monotonic_s()
    for x, y in events:
        answer = one.ask(x)
        displaced = one.learn(x, y, answer)
        passed.served.append((y, answer))
        if hindsight.trials or displaced is not None:
            aside_began_s = clock.monotonic_s()
            hindsight.update(x, y, answer)
            if displaced is not None:
                hindsight.swapped(ask=displaced.ask, learn=displaced.learn)
            aside_s += clock.monotonic_s() - aside_began_s
    passed.seconds = clock.monotonic_s() - began_s - aside_s
    return _judged(passed, hindsight)


def anabranch(settings: Settings, events: Sequence[XY], *, watch: Any = None) -> Passed:
    """A backtest, from the encoded event on; `watch` takes the place of the configured detectors."""
    passed, clock = Passed(), CpuClock()
    hindsight = LaneHindsight(Task(settings, wants_proba=settings.task != "regression"), clock=clock)

    def witness(lane: Lane) -> None:
        if watch is not None and lane.watch is not watch:
            lane.watch = watch
        passed.served.append(lane.scores.recent[-1])
        hindsight(lane)

    def listener(message: Message) -> None:
        passed.signals += isinstance(message, DriftSignal)

    values = [
        orjson.dumps({"id": f"e{n}", "ts": 1.6e9 + n, "features": x, "label": y}) for n, (x, y) in enumerate(events)
    ]
    run = Backtest(
        settings,
        first=lambda: (catalogue.build(settings.model, seed=settings.seed), TrainedOn()),
        values=lambda: iter(values),
        timestamp_of=lambda number: 1.6e9 + number,
        clock=clock,
        listener=listener,
        witness=witness,
    )
    _quiet()
    run.run()
    assert len(passed.served) == len(events), run.result()["refusals"]
    passed.seconds = run.seconds - hindsight.seconds
    return _judged(passed, hindsight.hindsight)


def _quiet() -> None:
    """The collector as `anabranch learn` has it, for all alike."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _judged(passed: Passed, hindsight: Hindsight) -> Passed:
    passed.swaps, passed.judged, passed.wrong = hindsight.swaps, hindsight.judged, hindsight.wrong
    return passed

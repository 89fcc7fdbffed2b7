"""One pass of Anabranch over one stream: a backtest, with everything on that is on by default."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import DriftSignal, Message, ModelUpdate, TrainedOn
from benchmarks.accuracy.generators import XY
from benchmarks.accuracy.one_pass import Passed, judged, quiet
from config.settings import Settings
from consumers.timing import CpuClock
from evaluation.backtest import Backtest
from evaluation.swaps import LaneSwapEvaluation
from learners.models import catalogue
from learners.models.tasks import Task
from learners.parts import LaneParts
from learners.publication import copied


def anabranch(settings: Settings, events: Sequence[XY], *, watch: Any = None) -> Passed:
    """A backtest, from the encoded event on; `watch` takes the place of the configured detectors."""
    passed, clock = Passed(), CpuClock()
    hindsight = LaneSwapEvaluation(Task(settings, wants_proba=not settings.numeric), clock=clock)

    def observer(event: AcceptedEvent, served: Prediction, answers: Mapping[str, Prediction], lane: LaneParts) -> None:
        if watch is not None and lane.watch is not watch:
            lane.watch = watch
        passed.served.append((event.y, served))
        copy = copied(answers)
        if copy is not None:
            passed.followed.append((event.y, copy))
        hindsight(event, served, answers, lane)

    def listener(message: Message) -> None:
        passed.signals += isinstance(message, DriftSignal)
        passed.announced += isinstance(message, ModelUpdate)

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
        observer=observer,
    )
    quiet()
    run.run()
    assert len(passed.served) == len(events), run.result()["refusals"]
    passed.seconds = run.seconds - hindsight.seconds
    return judged(passed, hindsight.hindsight)

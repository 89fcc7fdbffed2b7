"""What each signal costs an event: `python -m benchmarks.signal_cost`, and a part of `make bench`."""

import itertools
import random
import time
from typing import Any

from anabranch.events import AcceptedEvent, Prediction
from config.loading import build
from detectors.catalogue import ERROR
from detectors.watch import Watch

EVENTS = 20_000
FEATURES = 10
RUNS = 3

OTHERS: dict[str, dict[str, Any]] = {
    **{f"inputs, {test}": {"use": "inputs", "test": test} for test in ("ks", "psi", "jensen-shannon", "wasserstein")},
    "inputs, every 10th": {"use": "inputs", "every_nth": 10},
    "predictions": {"use": "predictions"},
    "labels": {"use": "labels"},
    "threshold, Accuracy": {"use": "threshold", "metric": "Accuracy", "below": 0.1},
    "schedule": {"use": "schedule", "every": "1d"},
    "volume": {"use": "volume", "labels": 10**9},
}


def main() -> None:
    """Measure and print."""
    nothing = _us({})
    print(f"\nsignals, µs an event with {FEATURES} features, beyond {nothing:.2f} for a watch without any:")
    for title, table in {**{use: {"use": use} for use in ERROR}, **OTHERS}.items():
        events = 2_000 if title == "drift.KSWIN" else EVENTS
        cost = _us({"it": table}, events=events) - nothing
        each = f"  ({cost / FEATURES:.2f} a feature; aim: at most 2)" if table["use"] == "inputs" else ""
        print(f"  {title:26} {cost:8.2f}{each}", flush=True)


def _us(detectors: dict[str, Any], *, events: int = EVENTS) -> float:
    """The least of several runs, since what disturbs a run only adds to it."""
    return min(_run(detectors, events) for _ in range(RUNS)) * 1e6


def _run(detectors: dict[str, Any], count: int) -> float:
    rng = random.Random(1)
    watch = Watch(build({"name": "m", "task": "binary", "model": {"factory": "a:b"}, "detectors": detectors}))
    names = [f"f{n}" for n in range(FEATURES)]
    several = [
        (AcceptedEvent("e", {name: rng.random() for name in names}, True, float(n), 0, n), float(rng.random() < 0.2))
        for n in range(count)
    ]
    answers = itertools.cycle([Prediction(True, {True: 0.8, False: 0.2}), Prediction(False, {True: 0.3, False: 0.7})])
    asks = watch.sees_events
    began = time.perf_counter()
    for (event, loss), answer in zip(several, answers, strict=False):
        if asks:
            watch.on_event(event, answer, event_number=event.offset)
        watch.update(loss, event_number=event.offset, seen=event, answer=answer)
    return (time.perf_counter() - began) / count


if __name__ == "__main__":
    main()

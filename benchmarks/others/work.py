"""What is done with every event, whoever reads it: decode, predict, score, detect, learn. River and orjson alone.

No guard, no duplicates, no checkpoint, no exactly-once: who writes this loop by hand has none of them either.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson
from river import drift, forest, linear_model, metrics, preprocessing, tree

TOPIC = os.environ.get("WORK_TOPIC", "events")
NOTES_LAGS = bool(os.environ.get("WORK_LAGS"))
"""Whether it is measured how long events wait; else the clock is not asked."""
MODELS = {
    "HoeffdingTree": tree.HoeffdingTreeClassifier,
    "ARF10": lambda: forest.ARFClassifier(n_models=10, seed=1),
    "StandardScaler|LogisticRegression": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
}


class Work:
    """One model with its scores and detectors, fed with the values of Kafka's records.

    Args:
        model: a key of `MODELS`.
        events: after so many the work is done, and its figures are printed.
    """

    def __init__(self, model: str, events: int) -> None:
        self.model: Any = MODELS[model]()
        self.scores = [metrics.Accuracy(), metrics.F1(), metrics.LogLoss()]
        self.detectors = [drift.ADWIN(delta=1e-12), drift.PageHinkley(threshold=1e9, delta=0.02, alpha=1.0)]
        self.events, self.left = events, events
        self.began_s = self.cpu_s = 0.0
        self.lags: list[tuple[float, float]] = []
        """Of each event its timestamp, and seconds from there until it was learned; where they are asked for."""

    def take(self, value: bytes, timestamp_ms: float = 0.0) -> bool:
        """One event; whether it was the last."""
        if not self.began_s:
            self.began_s, self.cpu_s = time.perf_counter(), time.process_time()
        self.learn(orjson.loads(value))
        self.left -= 1
        if NOTES_LAGS:
            self._note_lag(timestamp_ms / 1e3)
        return not self.left

    def _note_lag(self, at_s: float) -> None:
        self.lags.append((at_s, time.time() - at_s))
        if len(self.lags) == 1:
            print("ready", flush=True)

    def learn(self, event: dict[str, Any]) -> None:
        """The work itself, on a decoded event."""
        x, y = event["features"], event["label"]
        proba = self.model.predict_proba_one(x)
        answer = max(proba, key=proba.__getitem__) if proba else None
        for score in self.scores:
            if score.requires_labels:
                score.update(y, answer)
            elif proba:
                score.update(y, proba)
        for detector in self.detectors:
            detector.update(answer != y)
        self.model.learn_one(x, y)

    def tell(self) -> None:
        """Seconds of wall and processor since the first event, and the memory at its highest."""
        wall, cpu = time.perf_counter() - self.began_s, time.process_time() - self.cpu_s
        told = {"seconds": wall, "cpu": cpu, "rss_mb": peak_mb(), "accuracy": self.scores[0].get()}
        print(json.dumps(told | ({"lags": self.lags} if NOTES_LAGS else {})))
        sys.stdout.flush()


def peak_mb() -> float:
    """The memory at its highest since this process began; what getrusage says is of its parent, too."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


def asked_for() -> tuple[str, Work, str]:
    """The words of every script: where the brokers are, the model, how many events there are, and a group's name."""
    bootstrap, model, events, group = sys.argv[1:5]
    return bootstrap, Work(model, int(events)), group

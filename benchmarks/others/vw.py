"""Vowpal Wabbit's Python loop over the same events from memory: no Kafka, and a linear model of its own in C++."""

import math
import sys
from pathlib import Path

from vowpalwabbit import pyvw
from work import asked_for

_, work, _ = asked_for()
values = Path(sys.argv[5]).read_bytes().splitlines()
model = pyvw.Workspace("--loss_function logistic --quiet")


def learn(event: dict) -> None:
    """The same scores and detectors; the model is Vowpal Wabbit's."""
    namespace = " ".join(f"{name}:{value}" for name, value in event["features"].items())
    example = model.parse(f"{1 if event['label'] else -1} | {namespace}")
    model.learn(example)
    p = 1 / (1 + math.exp(-example.get_simplelabel_prediction()))
    model.finish_example(example)
    for score in work.scores:
        score.update(event["label"], p > 0.5 if score.requires_labels else {True: p, False: 1 - p})
    for detector in work.detectors:
        detector.update((p > 0.5) != event["label"])


work.learn = learn
for value in values:
    work.take(value)
work.tell()

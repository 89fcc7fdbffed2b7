"""CapyMOA's Python loop over the same events from memory: no Kafka; MOA's learner, in Java, is asked event by event."""

import sys
from pathlib import Path

import numpy as np
from capymoa.core import LabeledInstance
from capymoa.stream import Schema
from capymoa_fast import LEARNERS
from work import asked_for, orjson

_, work, _ = asked_for()
values = Path(sys.argv[5]).read_bytes().splitlines()
names = list(orjson.loads(values[0])["features"])
schema = Schema.from_custom(features=[*names, "label"], target="label", categories={"label": ["0", "1"]})
model = LEARNERS[sys.argv[2]](schema, 1)


def learn(event: dict) -> None:
    """The same scores and detectors; what it answers before it has learned anything is None."""
    x, y = event["features"], event["label"]
    instance = LabeledInstance.from_array(schema, np.array([x[name] for name in names], dtype=float), int(y))
    votes = model.predict_proba(instance)
    proba = {} if votes is None else {bool(place): float(vote) for place, vote in enumerate(votes)}
    answer = max(proba, key=proba.__getitem__) if proba else None
    for score in work.scores:
        if score.requires_labels:
            score.update(y, answer)
        elif proba:
            score.update(y, proba)
    for detector in work.detectors:
        detector.update(answer != y)
    model.train(instance)


work.learn = learn
for value in values:
    work.take(value)
work.tell()

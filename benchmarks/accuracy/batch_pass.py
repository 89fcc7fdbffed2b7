"""What a user has today: a batch model, refitted every so many events on all of them so far, and served in between."""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from anabranch.errors import AnabranchError
from anabranch.events import Prediction
from benchmarks.accuracy.generators import XY
from benchmarks.accuracy.one_pass import Passed

EVERY = 25_000


class NotInstalled(AnabranchError):
    """A library of others is missing."""


LIBRARIES = ("scikit-learn", "lightgbm")


def versions() -> str:
    """Of the libraries that it needs; empty where one is not installed: `make peers` does that."""
    try:
        return ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    except PackageNotFoundError:
        return ""


def refitted(name: str, events: Sequence[XY]) -> Passed:
    """Before the first fit it answers the label that was the most frequent so far."""
    passed, began_s = Passed(), time.process_time()
    model, names = None, sorted({name for x, _ in events for name in x})
    rows = [[float(x.get(each, 0.0)) for each in names] for x, _ in events]
    labels = [y for _, y in events]
    for start in range(0, len(events), EVERY):
        block = rows[start : start + EVERY]
        answers = _most_frequent(labels[:EVERY]) if model is None else _answers(model, block)
        passed.served += zip(labels[start : start + EVERY], answers, strict=True)
        if start + EVERY < len(events) and len(set(labels[: start + EVERY])) > 1:
            model = _made(name).fit(rows[: start + EVERY], labels[: start + EVERY])
    passed.seconds = time.process_time() - began_s
    return passed


def _made(name: str) -> Any:
    try:
        return _MODELS[name]()
    except ImportError as error:
        raise NotInstalled(f"{error}; `make peers` installs it") from error


def _regression() -> Any:
    scale, linear = import_module("sklearn.preprocessing"), import_module("sklearn.linear_model")
    return import_module("sklearn.pipeline").make_pipeline(
        scale.StandardScaler(), linear.LogisticRegression(max_iter=1000)
    )


def _boosted() -> Any:
    return import_module("lightgbm").LGBMClassifier(random_state=1, n_jobs=1, verbose=-1)


_MODELS: dict[str, Callable[[], Any]] = {"batch LR": _regression, "batch LightGBM": _boosted}


def _answers(model: Any, rows: Sequence[Sequence[float]]) -> list[Prediction]:
    classes = model.classes_.tolist()
    probabilities = [dict(zip(classes, each, strict=True)) for each in model.predict_proba(rows).tolist()]
    return [Prediction(max(each, key=each.__getitem__), each) for each in probabilities]


def _most_frequent(labels: Sequence[Any]) -> list[Prediction]:
    answers, counts = [], dict[Any, int]()
    for n, y in enumerate(labels):
        shares = {label: count / n for label, count in counts.items()}
        answers.append(Prediction(max(shares, key=shares.__getitem__, default=None), shares))
        counts[y] = counts.get(y, 0) + 1
    return answers

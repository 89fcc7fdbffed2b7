"""What is measured on the answers that were served.

>>> kappa_temporal([True, True, False, False], [True, True, True, False])
0.5
>>> average_precision([True, False, True, False], [0.9, 0.8, 0.7, 0.1])
0.8333333333333333
"""

import base64
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from river import metrics

from anabranch.events import Prediction
from learners.models.tasks import brier

ROLLING = 200
FINAL_EVENTS = 2000
RECOVERED = 0.95
RARE = 0.2
"""With fewer positives than this share, the area under precision and recall is measured."""

Served = Sequence[tuple[Any, Prediction]]


def of_labels(served: Served, *, with_hits: bool, days: Sequence[str] | None = None) -> dict[str, Any]:
    """The measures of a classifier; the hits, packed, where a stream's changes are known.

    Args:
        days: of each event, where cases are examined day by day.
    """
    truth, said = [y for y, _ in served], [answer.value for _, answer in served]
    hits = [a == b for a, b in zip(truth, said, strict=True)]
    result: dict[str, Any] = {
        "accuracy": sum(hits) / len(hits),
        "kappa": kappa(truth, said),
        "kappa_temporal": kappa_temporal(truth, said),
        "brier": sum(brier(y, answer) for y, answer in served) / len(served),
    }
    if set(truth) <= {True, False} and sum(truth) < RARE * len(truth):
        scores = [(answer.proba or {}).get(True, 0.0) for _, answer in served]
        result["pr_auc"] = average_precision(truth, scores)
        if days is not None:
            result["top_a_day"] = precision_at_top(truth, scores, days)
    return result | ({"hits": packed(hits)} if with_hits else {})


def of_numbers(served: Served) -> dict[str, Any]:
    """The measures of a regressor; what has no answer yet answers 0."""
    return {"mae": sum(abs(y - (answer.value or 0.0)) for y, answer in served) / len(served)}


def kappa(truth: Sequence[Any], said: Sequence[Any]) -> float:
    """Cohen's kappa: the share of the way from chance to perfection."""
    metric = metrics.CohenKappa()
    for y, answer in zip(truth, said, strict=True):
        metric.update(y, answer)
    return float(metric.get())


def kappa_temporal(truth: Sequence[Any], said: Sequence[Any]) -> float:
    """The share of the way from "the same label as last time" to perfection (Žliobaitė et al., MLJ 2015)."""
    right = sum(a == b for a, b in zip(truth, said, strict=True)) / len(truth)
    no_change = sum(a == b for a, b in itertools.pairwise(truth)) / len(truth)
    return (right - no_change) / (1 - no_change) if no_change < 1 else 0.0


def average_precision(truth: Sequence[bool], scores: Sequence[float]) -> float:
    """The area under precision and recall, as a sum of steps; equal scores are one step."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked, positive = np.asarray(scores)[order], np.asarray(truth, dtype=float)[order]
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    found = np.cumsum(positive)[ends]
    recall = found / max(positive.sum(), 1.0)
    return float(np.sum(np.diff(recall, prepend=0.0) * found / (ends + 1)))


TOP = 100
"""Cases that somebody can examine in a day."""


def precision_at_top(truth: Sequence[bool], scores: Sequence[float], days: Sequence[str]) -> float:
    """The share of positives among each day's 100 highest scores, mean over the days.

    >>> precision_at_top([True, False], [0.1, 0.9], ["monday", "tuesday"])
    0.5
    """
    shares = []
    for _, rows in itertools.groupby(zip(days, scores, truth, strict=True), key=lambda row: row[0]):
        top = sorted(rows, key=lambda row: -row[1])[:TOP]
        shares.append(sum(y for _, _, y in top) / len(top))
    return sum(shares) / len(shares)


def accuracy(served: Served) -> float:
    """The share of right answers."""
    return sum(y == answer.value for y, answer in served) / len(served)


def packed(hits: Sequence[bool]) -> str:
    """Hits and misses as text, eight to a byte."""
    return base64.b64encode(np.packbits(np.asarray(hits, dtype=bool)).tobytes()).decode()


def unpacked(text: str, *, events: int) -> np.ndarray[Any, Any]:
    """The hits that `packed` wrote."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8))[:events]


def segments(changes: Sequence[int], *, events: int) -> list[tuple[int, int]]:
    """From each change to the next one or the end; those that the events do not reach are left out."""
    inner = [each for each in changes if each + FINAL_EVENTS <= events]
    return list(itertools.pairwise([*inner, events]))


def final_level(hits: np.ndarray[Any, Any], *, end: int) -> float:
    """The accuracy over the last events before `end`."""
    return float(hits[end - FINAL_EVENTS : end].mean())


def recovery_events(hits: np.ndarray[Any, Any], *, change: int, end: int, level: float) -> int:
    """Events from a change until the rolling accuracy is 95 % of `level`; all of them if it never is."""
    sums = np.cumsum(np.concatenate([[0], hits[change:end]]))
    rolling = (sums[ROLLING:] - sums[:-ROLLING]) / ROLLING
    there = np.flatnonzero(rolling >= RECOVERED * level)
    return int(there[0]) + ROLLING if len(there) else end - change

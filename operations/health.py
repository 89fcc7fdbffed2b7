"""How a model is, in a word and why; worst first."""

from typing import NamedTuple

from anabranch.messages import Alert, Transition
from operations.picture import ModelPicture, Record

SILENT_S = 120.0
"""A learner that is there reports every few seconds; one of before that only as events come."""
RECENT_S = 3600.0
"""So long an alert counts."""


class Health(NamedTuple):
    """A word, its rank (0 is worst), and the reason."""

    word: str
    rank: int
    why: str


def health(model: ModelPicture, now_s: float) -> Health:
    """How it is."""
    newest = model.newest
    if newest is not None and newest.kind == "retired":
        return Health("retired", 4, f"out of service: {newest.reason}")
    if recent := last_alert(model, now_s):
        return Health("alert", 0, recent)
    if model.report is None:
        return Health("no report", 2, "nothing was reported yet: has the learner been started (anabranch learn)?")
    silent_s = now_s - model.report_at_s
    if silent_s > SILENT_S:
        why = f"no report for {in_words(silent_s)}: is the learner running, and do events come?"
        return Health("silent", 1, why)
    if newest is None:
        return Health("warming up", 3, "no version is announced yet (publish.warm_up_events)")
    return Health("well", 5, f"reports come; version {newest.version} is announced")


def last_alert(model: ModelPicture, now_s: float) -> str:
    """The newest of the last hour, empty if there is none."""
    found = [each for each in (*model.alerts, *model.steps) if is_alert(each) and now_s - each.at_s < RECENT_S]
    newest = max(found, key=lambda each: each.at_s, default=None)
    return "" if newest is None else str(getattr(newest.message, "reason", ""))


def is_alert(record: Record) -> bool:
    """Whether somebody should look at it."""
    return isinstance(record.message, Alert | Transition) and record.message.level == "alert"


def in_words(seconds: float) -> str:
    """A duration for people.

    >>> [in_words(each) for each in (5, 150, 7200, 200_000)]
    ['5 s', '2 min', '2 h', '2 d']
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"

"""From the picture to what each screen shows, as plain values for JSON; nothing here reads a clock or a topic."""

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from anabranch.messages import DeadLetter, DriftSignal, ModelUpdate
from operations import actions, stories
from operations.columns import columns, rounded, thinned
from operations.health import health, is_alert
from operations.picture import ModelPicture, Picture, Point, Record, Window

HOUR_S, DAY_S = 3_600.0, 86_400.0
SPARK_MAX = 40
SPARK_S = 3_600.0
LETTERS_SHOWN, LETTER_CHARACTERS = 50, 500
SIGNALS_SHOWN, STEPS_SHOWN, MARKS_SHOWN = 50, 100, 300
"""Of each the newest: a page is told them anew when one comes."""
MARKED = ("swap", "rollback", "first", "rebuild", "retired", "reinstated")
"""Updates that are marked in charts: refreshes are many, and change little."""


def overview(picture: Picture, now_s: float) -> list[dict[str, Any]]:
    """A row a model, worst first."""
    rows = [row(each, now_s) for each in picture.models.values()]
    return sorted(rows, key=lambda each: (each["health"]["rank"], each["model"], each["scope"]))


def row(model: ModelPicture, now_s: float) -> dict[str, Any]:
    """What the overview says of a model."""
    newest, report = model.newest, model.report
    points = list(model.points)
    day = [each for each in (*model.alerts, *model.steps) if is_alert(each) and now_s - each.at_s < DAY_S]
    recent = [each for each in points if now_s - each.at_s < SPARK_S]
    spark = thinned(recent, SPARK_S / SPARK_MAX)
    shadows = [] if report is None else [each for each in report.members if each.kind != "champion"]
    return {
        "model": model.model,
        "scope": model.scope,
        "health": health(model, now_s)._asdict(),
        "version": 0 if newest is None else newest.version,
        "announced_s": None if newest is None else newest.announced_ts,
        "error": {
            "now": rounded(points[-1].loss) if points else None,
            "hour": loss_ago(points, now_s, HOUR_S),
            "day": loss_ago(points, now_s, DAY_S),
        },
        "metrics": {} if report is None else {name: rounded(value) for name, value in report.windowed.items()},
        "unread": None if report is None else report.unread,
        "pending": None if report is None else report.pending,
        "rate": None if report is None else rounded(report.records_per_s),
        "event_number": None if report is None else report.event_number,
        "told_s": model.report_at_s or None,
        "alerts": len(day),
        "shadows": len(shadows),
        "refused": sum(model.refused.values()),
        "spark": [[round(each.at_s) for each in spark], [rounded(each.loss) for each in spark]],
    }


def loss_ago(points: Sequence[Point], now_s: float, ago_s: float) -> float | None:
    """The champion's loss so long ago, by the point that is nearest; None if none is near."""
    wanted_s = now_s - ago_s
    nearest = min(points, key=lambda each: abs(each.at_s - wanted_s), default=None)
    if nearest is None or abs(nearest.at_s - wanted_s) > ago_s / 10:
        return None
    return rounded(nearest.loss)


# ── One model: what its screens show, by the messages that change it ────────────────────────────────────────────────


def model(model: ModelPicture, now_s: float) -> dict[str, Any]:
    """Everything about a model, its points too."""
    return {"columns": columns(model.points), "parts": parts(model, now_s, PARTS)}


def parts(model: ModelPicture, now_s: float, names: Iterable[str]) -> dict[str, Any]:
    """Some of the parts of which a model's screens consist."""
    return {name: PARTS[name](model, now_s) for name in sorted(names)}


def told(record: Record) -> dict[str, Any]:
    """A message, and where and when it was found."""
    where = {"at_s": record.at_s, "topic": record.topic, "partition": record.partition, "offset": record.offset}
    # Of an event about which it is, a message says partition and offset itself.
    return {"where": where, **record.message.model_dump(mode="json")}


def _newest(records: Iterable[Record], most: int) -> list[dict[str, Any]]:
    return [told(each) for each in sorted(records, key=lambda each: each.at_s, reverse=True)[:most]]


def _report(model: ModelPicture, now_s: float) -> dict[str, Any] | None:
    del now_s
    return None if model.report is None else {"at_s": model.report_at_s, **model.report.model_dump(mode="json")}


def _windows(model: ModelPicture, now_s: float) -> dict[str, Any]:
    del now_s
    return {span: [_window(span, each) for each in several] for span, several in model.windows.items()}


def _window(span: str, window: Window) -> dict[str, Any]:
    calibration = [each.model_dump(mode="json") for each in window.calibration]
    return {**window._asdict(), "span": span, "scores": dict(window.scores), "calibration": calibration}


def _letters(model: ModelPicture, now_s: float) -> dict[str, Any]:
    del now_s
    newest = sorted(model.letters, key=lambda each: each.at_s, reverse=True)[:LETTERS_SHOWN]
    return {"by_stage": dict(model.refused), "listed": [_letter(each) for each in newest]}


def _letter(record: Record) -> dict[str, Any]:
    letter = record.message
    assert isinstance(letter, DeadLetter)
    value = base64.b64decode(letter.value_base64)
    shown = {"text": value.decode("utf-8", errors="backslashreplace")[:LETTER_CHARACTERS], "value_base64": None}
    return {**told(record), **shown}


def _acks(model: ModelPicture, now_s: float) -> list[dict[str, Any]]:
    newest = model.newest
    place = (0, 0) if newest is None else (newest.epoch, newest.seq)
    return [
        {
            **each.model_dump(mode="json"),
            "is_behind": (each.epoch, each.seq) < place,
            "silent_s": max(0.0, round(now_s - each.ts, 1)),
        }
        for _, each in sorted(model.acks.items())
        if not each.left and now_s - each.ts < HOUR_S
    ]


def _marks(model: ModelPicture, now_s: float) -> list[dict[str, Any]]:
    """What happened, for lines in the charts: signals, triggers, and updates that changed something."""
    del now_s
    found: list[dict[str, Any]] = []
    for record in (*model.signals, *model.updates):
        message = record.message
        if isinstance(message, DriftSignal):
            kind = "trigger" if message.triggered else "signal"
            label = f"{message.detector} ({message.kind})"
            found.append({"t": record.at_s, "kind": kind, "label": label, "event": message.event_number})
        elif isinstance(message, ModelUpdate) and (message.kind in MARKED or message.is_step):
            share = "" if message.share is None else f" for {message.share:g} % of the keys"
            label = f"version {message.version}{share}"
            found.append(
                {"t": record.at_s, "kind": message.kind, "label": label, "event": message.event_number}
                | {"version": message.version}
            )
    return sorted(found, key=lambda each: each["t"])[-MARKS_SHOWN:]


Part = Callable[[ModelPicture, float], Any]

PARTS: dict[str, Part] = {
    "row": row,
    "report": _report,
    "windows": _windows,
    "versions": stories.versions,
    "signals": lambda model, now_s: _newest(model.signals, SIGNALS_SHOWN),
    "marks": _marks,
    "steps": lambda model, now_s: _newest(model.steps, STEPS_SHOWN),
    "alerts": lambda model, now_s: _newest(model.alerts, STEPS_SHOWN),
    "letters": _letters,
    "acks": _acks,
    "audit": stories.audit,
    "actions": actions.offered,
}

CHANGED_BY: dict[str, tuple[str, ...]] = {
    "reports": ("row", "report", "actions"),  # what is held, rolled out or in its probation, and so what can be done
    "updates": ("row", "versions", "marks", "acks", "audit", "actions"),
    "signals": ("signals", "marks"),
    "lifecycle": ("row", "steps", "audit"),
    "alerts": ("row", "alerts", "audit"),
    "answers": ("audit", "actions"),
    "dead_letters": ("row", "letters"),
    "acks": ("acks", "versions", "actions"),
}
"""Which parts are to be told anew after a message on a topic, by its key."""


# How versions did since changes with each report, and is told with the next update: it is long, and moves little.


def changed(model: ModelPicture, kinds: Iterable[str]) -> set[str]:
    """The parts that messages of these kinds have changed."""
    found = {part for kind in kinds for part in CHANGED_BY.get(kind, ())}
    if "reports" in kinds and model.report is not None and model.report.windows:
        found.add("windows")
    return found

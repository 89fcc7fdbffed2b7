"""Rules about what happens to a model: drift, swaps that are undone, probation without end, announcements that wait."""

from collections.abc import Callable, Iterable

from anabranch.messages import Alert, DriftSignal, ModelUpdate, Transition
from operations.alerts.finding import Asked, Finding, against, duration
from operations.picture import ModelPicture, Record


def drift(model: ModelPicture, asked: Asked) -> Finding | None:
    """Decisions to retrain within the window."""
    found = _within(model.signals, asked)
    triggers = [each for each in found if isinstance(each.message, DriftSignal) and each.message.triggered]
    return _counted(asked, triggers, "drift: retraining was decided", _detector)


def signals(model: ModelPicture, asked: Asked) -> Finding | None:
    """Signals within the window that the labels' distribution, or the number of events in a time, is another."""
    found = _within(model.signals, asked)
    about = [
        each for each in found if isinstance(each.message, DriftSignal) and each.message.kind in ("label", "volume")
    ]
    return _counted(asked, about, "labels or volume are not as they were", _detector)


def _detector(record: Record) -> str:
    message = record.message
    return f"{message.detector} at event {message.event_number:,}" if isinstance(message, DriftSignal) else ""


def rollbacks(model: ModelPicture, asked: Asked) -> Finding | None:
    """Swaps that were undone within the window."""
    found = _within(model.updates, asked)
    undone = [each for each in found if isinstance(each.message, ModelUpdate) and each.message.kind == "rollback"]
    return _counted(asked, undone, "swaps were rolled back", _reason)


def learner_alert(model: ModelPicture, asked: Asked) -> Finding | None:
    """What the learner itself has asked somebody to look at within the window."""
    found = _within((*model.alerts, *model.steps), asked)
    told = [each for each in found if isinstance(each.message, Alert | Transition) and each.message.level == "alert"]
    return _counted(asked, told, "the learner asks somebody to look", _reason)


def _reason(record: Record) -> str:
    return str(getattr(record.message, "reason", ""))


def _within(records: Iterable[Record], asked: Asked) -> list[Record]:
    """Those of the window; topics are read in no order, so all are looked at."""
    begin_s = asked.now_s - asked.rule.window
    return sorted((each for each in records if begin_s < each.at_s <= asked.now_s), key=lambda each: each.at_s)


def _counted(asked: Asked, found: list[Record], said: str, words_of: Callable[[Record], str]) -> Finding:
    count = f"{len(found)} in {duration(asked.rule.window)}"
    last = f"; the last: {words_of(found[-1])}" if found else ""
    since_s = found[0].at_s if found else None
    return against(asked.rule, len(found), f"{said}: {count}{last}", since_s=since_s)


def probation(model: ModelPicture, asked: Asked) -> Finding | None:
    """How long a new champion has been on probation, as long as events are learned."""
    last: dict[str, Record] = {}
    for each in sorted(model.steps, key=lambda each: each.at_s):
        if isinstance(each.message, Transition):
            last[each.message.member] = each
    waiting = [
        each for each in last.values() if isinstance(each.message, Transition) and each.message.after == "probation"
    ]
    if not waiting or model.counts.learned.grew_s is None:
        return None
    oldest = min(waiting, key=lambda each: each.at_s)
    value = max(0.0, model.counts.learned.grew_s - oldest.at_s)
    member = oldest.message.member if isinstance(oldest.message, Transition) else ""
    return against(asked.rule, value, f"{member} has been on probation for {duration(value)}", since_s=oldest.at_s)


def rollout(model: ModelPicture, asked: Asked) -> Finding | None:
    """How long a rollout has not come further, as long as events are learned; one that waits for a person, too."""
    report = model.report
    if report is None or report.rollout is None or model.counts.learned.grew_s is None:
        return None
    steps = [each for each in model.updates if isinstance(each.message, ModelUpdate) and each.message.is_step]
    if not steps:
        return None
    since_s = max(each.at_s for each in steps)
    value = max(0.0, model.counts.learned.grew_s - since_s)
    told = report.rollout
    said = f"version {report.version} has {told.share:g} % of the keys for {duration(value)}; missing: {told.missing}"
    return against(asked.rule, value, said, since_s=since_s)


def model_age(model: ModelPicture, asked: Asked) -> Finding | None:
    """How long the model has learned since its last announcement."""
    newest, grew_s = model.newest, model.counts.learned.grew_s
    if newest is None or newest.kind == "retired" or grew_s is None:
        return None
    value = max(0.0, grew_s - newest.announced_ts)
    return against(asked.rule, value, f"version {newest.version} was announced {duration(value)} ago, and it learns on")

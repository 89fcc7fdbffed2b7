"""What messages tell when they are read together: the versions, how one swap came about, and who asked for what."""

from collections.abc import Iterable, Sequence
from typing import Any

from anabranch.messages import (
    Alert,
    DecisionAnswer,
    DriftSignal,
    ModelUpdate,
    RetireAnswer,
    RetrainAnswer,
    Transition,
    Verdict,
)
from operations.columns import columns, rounded
from operations.picture import ModelPicture, Point, Record

EFFECT_S = 600.0
"""So long before a swap and after it the errors are compared."""
NEWEST_MAX = 120
ITSELF = "the learner"
"""Who acts where nobody asked."""
AROUND_S = 60.0
"""A swap's curve begins so long before its trigger."""

# ── versions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def versions(model: ModelPicture, now_s: float) -> list[dict[str, Any]]:
    """Each announced version with what it is, what it came from and how it has done since; newest first."""
    del now_s
    since: dict[int, list[Point]] = {}
    for point in model.points:
        since.setdefault(point.version, []).append(point)
    return [
        _version(record, update, since.get(update.version, ()), _followers(model, update))
        for record, update in _listed(model)
    ]


def _listed(model: ModelPicture) -> list[tuple[Record, ModelUpdate]]:
    """The newest, and before them what is no mere refresh."""
    found = sorted(_updates(model), key=lambda each: (each[1].epoch, each[1].seq), reverse=True)
    rest = [each for each in found[NEWEST_MAX:] if each[1].kind not in ("refresh", "canary") or each[1].is_step]
    return found[:NEWEST_MAX] + rest


def _updates(model: ModelPicture) -> list[tuple[Record, ModelUpdate]]:
    return [(each, each.message) for each in model.updates if isinstance(each.message, ModelUpdate)]


def _followers(model: ModelPicture, update: ModelUpdate) -> list[str]:
    place = (update.epoch, update.seq)
    return sorted(each.follower for each in model.acks.values() if not each.left and (each.epoch, each.seq) == place)


def _version(record: Record, update: ModelUpdate, since: Sequence[Point], followers: list[str]) -> dict[str, Any]:
    artifact = update.artifact
    kept = update.model_dump(mode="json", exclude={"artifact", "positions", "model", "scope"})
    return {
        **kept,
        "at_s": record.at_s,
        "size_bytes": None if artifact is None else artifact.size_bytes,
        "followers": followers,
        "since": {"points": len(since), "loss": mean_loss(since), "metrics": _means(since)},
    }


def mean_loss(points: Iterable[Point]) -> float | None:
    """The mean of the champion's loss; None without points."""
    found = [each.loss for each in points]
    return rounded(sum(found) / len(found)) if found else None


def _means(points: Sequence[Point]) -> dict[str, float | None]:
    found: dict[str, list[float]] = {}
    for point in points:
        for name, value in point.windowed.items():
            found.setdefault(name, []).append(value)
    return {name: rounded(sum(several) / len(several)) for name, several in found.items()}


# ── one swap ────────────────────────────────────────────────────────────────────────────────────────────────────────


def swap(model: ModelPicture, version: int) -> dict[str, Any] | None:
    """How a version came to be announced: what fired, who was recruited, how the contest went, what has changed.

    None: no update of this version is known.
    """
    found = [(record, update) for record, update in _updates(model) if update.version == version]
    if not found:
        return None
    # The first of them: a version may be announced once more after a restart.
    record, update = min(found, key=lambda each: (each[1].epoch, each[1].seq))
    trigger = _trigger(model, update)
    began_s = record.at_s - EFFECT_S if trigger is None else trigger.at_s - AROUND_S
    until_s = record.at_s + EFFECT_S
    points = [each for each in model.points if began_s <= each.at_s <= until_s]
    steps = [each for each in model.steps if began_s <= each.at_s <= until_s]
    before = [each for each in model.points if 0 < record.at_s - each.at_s <= EFFECT_S]
    after = [each for each in model.points if 0 <= each.at_s - record.at_s <= EFFECT_S]
    return {
        "update": {"at_s": record.at_s, **update.model_dump(mode="json")},
        "trigger": None if trigger is None else {"at_s": trigger.at_s, **trigger.message.model_dump(mode="json")},
        "steps": [{"at_s": each.at_s, **each.message.model_dump(mode="json")} for each in steps],
        "columns": columns(points),
        "effect": {"before": mean_loss(before), "after": mean_loss(after), "seconds": EFFECT_S},
        "next": min((each.version for _, each in _updates(model) if _is_after(each, update)), default=None),
        "words": _words(update, trigger, _up_to(steps, record), mean_loss(before), mean_loss(after))
        + _who_has_it(_followers_of_version(model, version)),
    }


def _up_to(steps: Sequence[Record], record: Record) -> list[Record]:
    """What led to the version: who comes into the arena after it belongs to another."""
    return [each for each in steps if each.at_s <= record.at_s]


def _followers_of_version(model: ModelPicture, version: int) -> list[str]:
    """Who serves it now; a version may have been announced several times."""
    return sorted(each.follower for each in model.acks.values() if not each.left and each.version == version)


def _is_after(each: ModelUpdate, update: ModelUpdate) -> bool:
    return (each.epoch, each.seq) > (update.epoch, update.seq) and each.version != update.version


def _trigger(model: ModelPicture, update: ModelUpdate) -> Record | None:
    """The signal that brought the model, or the answer to the request that did."""
    if not update.trigger:
        return None
    for record in (*model.signals, *model.answers):
        message = record.message
        if isinstance(message, DriftSignal) and message.id == update.trigger:
            return record
        if isinstance(message, RetrainAnswer) and update.trigger in (message.request, message.id):
            return record
    return None


def _words(
    update: ModelUpdate, trigger: Record | None, steps: Sequence[Record], before: float | None, after: float | None
) -> list[dict[str, str]]:
    """The story in four sentences or fewer, each with its heading."""
    told = [
        ("What fired", _what_fired(update, trigger)),
        # Nobody was, without a trigger: who is in the arena then came for another version, or always stands there.
        ("Who was recruited", _who_was_recruited(update, steps) if update.trigger else ""),
        ("How the contest went", _how_it_went(update)),
        ("What has changed", _what_changed(update, before, after)),
    ]
    return [{"heading": heading, "text": text} for heading, text in told if text]


def _who_has_it(followers: Sequence[str]) -> list[dict[str, str]]:
    """Nothing, where no follower has told that it serves the version."""
    return [{"heading": "Who serves it", "text": f"{', '.join(followers)}."}] if followers else []


def _what_fired(update: ModelUpdate, trigger: Record | None) -> str:
    message = None if trigger is None else trigger.message
    if isinstance(message, DriftSignal):
        moved = f" The features that moved most: {', '.join(each.feature for each in message.moved)}."
        began = f"The change began about event {message.change_point:,}."
        return f"{fired(message)}. {began}{moved if message.moved else ''}"
    if isinstance(message, RetrainAnswer):
        return f"{message.by or 'Somebody'} asked for it: {message.reason}."
    if update.trigger:
        return f"{update.trigger} (what it said is older than what is kept here)."
    return "Nothing: no retraining brought this version."


def fired(signal: DriftSignal) -> str:
    """Which detector it was, when, and by how much."""
    return (
        f"{signal.detector} ({signal.kind}) fired at event {signal.event_number:,}: {signal.statistic:.4g} against a "
        f"threshold of {signal.threshold:.4g}"
    )


def _who_was_recruited(update: ModelUpdate, steps: Sequence[Record]) -> str:
    entered = [
        each.message.member
        for each in steps
        if isinstance(each.message, Transition) and each.message.after in ("recruiting", "arena")
    ]
    trained = update.trained_on
    learned = f" {update.member} had learned {trained.events:,} events before" if trained.events else ""
    note = f" ({trained.note})" if trained.note else ""
    several = f"Into the arena came {', '.join(dict.fromkeys(entered))}." if entered else ""
    return f"{several}{learned}{note}{'.' if learned else ''}".strip()


def _how_it_went(update: ModelUpdate) -> str:
    verdict = update.verdict
    if verdict is None:
        return ""
    return (
        f"{update.member} met the champion on {verdict.events:,} events. Its loss was lower by {verdict.gain:.4f} "
        f"(95 %: {verdict.low:.4f} to {verdict.high:.4f}), and the evidence {verdict.evidence:.2f} "
        f"times what a win needs.{_between_groups(verdict)}"
    )


def _between_groups(verdict: Verdict) -> str:
    won, lost = verdict.gap_won, verdict.lost
    if won is None or lost is None:
        return ""
    gap, loss = "narrower" if won >= 0 else "wider", "higher" if lost >= 0 else "lower"
    return f" Lately its gap between groups was {gap} by {abs(won):.4f}, and its mean loss {loss} by {abs(lost):.4f}."


def _what_changed(update: ModelUpdate, before: float | None, after: float | None) -> str:
    displaced = f"Version {update.version} replaced version {update.displaced_version}. "
    restored = f"It restores version {update.restores}. " if update.restores is not None else ""
    minutes = EFFECT_S / 60
    effect = (
        f"The mean error was {before:.4f} in the {minutes:.0f} minutes before, and {after:.4f} in those after."
        if before is not None and after is not None
        else "How the error changed is not known: no reports around it are kept here."
    )
    return f"{displaced if update.displaced_version is not None else ''}{restored}{effect}"


# ── audit ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def audit(model: ModelPicture, now_s: float) -> list[dict[str, Any]]:
    """Who asked for what and when, what came of it, and the newest of what the model did by itself; newest first."""
    del now_s
    records = (*model.answers, *model.updates, *model.steps, *model.alerts)
    entries = [_entry(each) for each in sorted(records, key=lambda each: each.at_s, reverse=True)]
    return entries[:NEWEST_MAX] + [each for each in entries[NEWEST_MAX:] if each["who"] != ITSELF]


def _entry(record: Record) -> dict[str, Any]:
    who, what, why, outcome = _what_happened(record)
    where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
    return {"at_s": record.at_s, "who": who, "what": what, "why": why, "outcome": outcome, "where": where}


def _what_happened(record: Record) -> tuple[str, str, str, str]:
    match record.message:
        case RetrainAnswer() as answer:
            return answer.by or "somebody", "retrain", answer.reason, _outcome(answer)
        case RetireAnswer() | DecisionAnswer() as answer:
            return answer.by or "somebody", answer.step, answer.why, _outcome(answer)
        case ModelUpdate() as update:
            who = update.by or ITSELF
            return who, f"announce version {update.version} ({update.kind})", update.reason, "done"
        case Transition() as step:
            return ITSELF, f"{step.member}: {step.before} → {step.after}", step.reason, step.level
        case Alert() as alert:
            return ITSELF, f"alert: {alert.kind}", alert.reason, alert.level
    raise AssertionError(f"{type(record.message).__name__} is no entry of the audit")


def _outcome(answer: RetrainAnswer | RetireAnswer | DecisionAnswer) -> str:
    return "accepted" if answer.accepted else f"withheld: {answer.withheld}"

"""How what a model says looks to a person: a line a message."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from confluent_kafka import Message as KafkaMessage

from anabranch.messages import (
    Alert,
    DeadLetter,
    DecisionAnswer,
    DriftSignal,
    Message,
    ModelReport,
    ModelUpdate,
    RetireAnswer,
    RetrainAnswer,
    Transition,
    UnreadableMessage,
)
from commands import views as figures
from config.records import Topics
from operations.picture import model_of, read


def keys(topics: Topics, wanted: Iterable[str]) -> dict[str, str]:
    """Each topic's key in `[topics]`, by its full name."""
    return {topics.name(key): key for key in (which.replace("-", "_") for which in wanted)}


def heard(
    records: Iterable[KafkaMessage], keys: Mapping[str, str], *, model: str
) -> Iterator[tuple[datetime, Message]]:
    """The messages of this model, by the broker's time; what cannot be read is named and passed over."""
    # Those of one poll only: across topics and partitions records come in no order.
    for record in sorted(records, key=lambda record: record.timestamp()[1]):
        value = record.value()
        if value is None:  # a tombstone
            continue
        try:
            message = read(keys[record.topic() or ""], bytes(value))
        except UnreadableMessage as error:
            where = f"{record.topic()} partition {record.partition()} offset {record.offset()}"
            print(f"passed over: {where}: {error}", file=sys.stderr)
            continue
        if model_of(message) == model:
            yield datetime.fromtimestamp(record.timestamp()[1] / 1000).astimezone(), message


def line(message: Message) -> str:
    """A message as a line. What it quotes may hold anything: nothing that would move the cursor is printed."""
    return "".join(each if each.isprintable() else "�" for each in _words(message))


def _words(message: Message) -> str:  # noqa: PLR0911  # a kind of message, a line
    match message:
        case DriftSignal():
            return f"{message.event_number:>9,}  signal     {_signal(message)}"
        case Transition():
            alert = "ALERT " if message.level == "alert" else ""
            step = f"{message.before} → {message.after}"
            return f"{message.event_number:>9,}  lifecycle  {alert}{message.member}: {step}: {message.reason}"
        case Alert():
            return f"{message.event_number:>9,}  alert      ALERT {message.kind}: {message.reason}"
        case RetrainAnswer():
            outcome = "retraining" if message.accepted else f"not retrained: {message.withheld}"
            return f"{message.event_number:>9,}  answer     {message.by or 'somebody'}: {message.reason}: {outcome}"
        case RetireAnswer():
            outcome = f"{message.step}d" if message.accepted else f"not {message.step}d: {message.withheld}"
            return f"{message.event_number:>9,}  answer     {message.by or 'somebody'}: {message.why}: {outcome}"
        case DecisionAnswer():
            outcome = f"{message.step}: done" if message.accepted else f"not done ({message.step}): {message.withheld}"
            return f"{message.event_number:>9,}  answer     {message.by or 'somebody'}: {message.why}: {outcome}"
        case ModelUpdate():
            share = "" if message.share is None else f" for {message.share:g} % of the keys"
            what = f"version {message.version}, {message.kind}{share}"
            return f"{message.event_number:>9,}  update     {what}: {message.reason}"
        case ModelReport():
            told = [
                f"version {message.version}",
                figures.listed(message.windowed),
                figures.behind(message.published),
                figures.labels(message.labels),
                figures.segments(message.segments),
                figures.balance(message.balance),
                figures.fairness(message.fairness),
                f"{message.unread:,} records unread" if message.unread else "",
                ""
                if message.rollout is None
                else f"{message.rollout.share:g} % of the keys: {message.rollout.missing}",
            ]
            return f"{message.event_number:>9,}  report     {'  '.join(filter(None, told))}"
        case DeadLetter():
            where = f"{message.topic} partition {message.partition} offset {message.offset}"
            return f"{'–':>9}  refused    {where}: {message.stage}: {message.reason}"
    raise AssertionError(f"{type(message).__name__} is on none of these topics")


def _signal(signal: DriftSignal) -> str:
    moved = f"; moved: {', '.join(each.feature for each in signal.moved)}" if signal.moved else ""
    withheld = f"not retrained: {signal.withheld}" if signal.withheld else "a signal only"
    outcome = "triggers a retraining" if signal.triggered else withheld
    return f"{signal.detector} ({signal.kind}): {outcome}{moved}"

"""Dead letters that are published once more, after what they were refused for is mended.

The record itself is read from its topic, with its key and headers; where retention has taken it, the letter's bytes do
if all of them were kept. It goes to the partition that it came from. What was learned already the learner refuses as
a duplicate by its id, as it does any other record.
"""

import base64
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from anabranch.events import Headers, Record
from anabranch.messages import DeadLetter
from config.settings import Settings
from consumers.guard import Guard
from consumers.kafka.sink import KafkaSink

FROM, BY, WHY = "anabranch-redriven-from", "anabranch-redriven-by", "anabranch-redriven-why"
"""Headers of a record that was published once more: which record it was, who did it, and the reason."""


class Redriven(NamedTuple):
    """What would become of a dead letter."""

    letter: DeadLetter
    record: Record | None
    """What would be published; None: it is nowhere any more."""
    fault: str
    """Why it is not published; empty: it is."""
    note: str = ""


def plan(
    letters: Iterable[DeadLetter], originals: Iterable[Record | None], settings: Settings, *, now_s: float
) -> Iterator[Redriven]:
    """What would become of each letter, as far as that can be known here.

    It is checked by a new guard with these settings. The learner's own knows more: the ids and labels that it has had,
    and the types of features. Whether the model can learn the event is known when it does.

    Args:
        originals: the record of each letter; None: it is no longer on its topic.
        now_s: when they would be published, epoch seconds: event times are compared with that.
    """
    guard = Guard(settings)
    for letter, original in zip(letters, originals, strict=True):
        record, note = (original, "") if original is not None else _from(letter)
        if record is None:
            lacking = "was redacted ([privacy])" if letter.redacted else "holds a part of its bytes only"
            yield Redriven(letter, None, f"its record is gone, and the letter {lacking}")
            continue
        yield Redriven(letter, record, _refusal(guard, record._replace(timestamp_s=now_s), settings), note)


def _from(letter: DeadLetter) -> tuple[Record | None, str]:
    """The record as the letter has it."""
    value = base64.b64decode(letter.value_base64)
    if letter.redacted or len(value) < letter.value_bytes:
        return None, ""
    note = "its record is gone: the letter's bytes are published, without its key"
    return Record(letter.topic, letter.partition, letter.offset, 0.0, None, value), note


def _refusal(guard: Guard, record: Record, settings: Settings) -> str:
    """Why it would be refused again; empty if nothing is known against it."""
    if record.topic == settings.topics.name("labels"):
        told = guard.check_label(record)
        return f"{told.stage}: {told.reason}" if isinstance(told, DeadLetter) else ""
    checked = guard.check(record)
    if checked is None:
        return "a duplicate: an event with this id is among them already"
    return f"{checked.stage}: {checked.reason}" if isinstance(checked, DeadLetter) else ""


def send(
    planned: Iterable[Redriven],
    sink: KafkaSink,
    *,
    by: str,
    why: str,
    rate: float,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Publish those against which nothing is known; how many those were.

    Args:
        rate: records a second.
        wait: waits for so many seconds.

    Raises:
        KafkaUnavailable: brokers did not take them.
    """
    count = 0
    for each in planned:
        if each.fault or each.record is None:
            continue
        record = each.record
        place = f"{record.topic}/{record.partition}/{record.offset}"
        ours: Headers = [(FROM, place.encode()), (BY, by.encode()), (WHY, why.encode())]
        # Of a record that was published once more before, the last time is told.
        kept = [(name, value) for name, value in record.headers if name not in (FROM, BY, WHY)]
        sink.send(record.topic, key=record.key, value=record.value, partition=record.partition, headers=[*kept, *ours])
        count += 1
        wait(1 / rate)
    sink.flush()
    return count

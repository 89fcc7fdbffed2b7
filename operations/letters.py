"""Dead letters as they lie on their topic: which are chosen, and what they have in common."""

import base64
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from anabranch.errors import ConfigError
from anabranch.kafka import Kafka, tail
from anabranch.messages import DeadLetter

_OWN = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d[\d.,:e+TZ-]*")
"""What is of one record alone in a reason: what it quotes, and numbers."""

_OFFSETS = re.compile(r"(\d+)(?:-(\d*))?")


class Letter(NamedTuple):
    """A dead letter, and where it was found."""

    told: DeadLetter
    at_s: float
    """When it was written, epoch seconds, as the brokers have it."""
    offset: int
    """Its own, on the topic of dead letters."""

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the record that was refused."""
        return self.told.topic, self.told.partition, self.told.offset

    @property
    def value(self) -> bytes:
        """The record's bytes, as far as they were kept."""
        return base64.b64decode(self.told.value_base64)

    @property
    def is_whole(self) -> bool:
        """Whether all of its bytes were kept."""
        return not self.told.redacted and len(self.value) == self.told.value_bytes


class Choice(NamedTuple):
    """Which dead letters are meant: all that satisfy each of these."""

    stages: tuple[str, ...] = ()
    reason: str = ""
    """A part of the reason, in any case of letters."""
    since_s: float | None = None
    until_s: float | None = None
    topic: str = ""
    """Of the record that was refused; so are the partition and the offsets."""
    partition: int | None = None
    first_offset: int = 0
    last_offset: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether it is one of them."""
        topic, partition, offset = letter.place
        return (
            (not self.stages or letter.told.stage in self.stages)
            and self.reason.casefold() in letter.told.reason.casefold()
            and (self.since_s is None or letter.at_s >= self.since_s)
            and (self.until_s is None or letter.at_s < self.until_s)
            and self.topic in ("", topic)
            and self.partition in (None, partition)
            and offset >= self.first_offset
            and (self.last_offset is None or offset <= self.last_offset)
        )


def offsets(text: str) -> tuple[int, int | None]:
    """The first and the last offset that a text names; None: there is no last one.

    Raises:
        ConfigError: it names none.

    >>> offsets("17"), offsets("100-200"), offsets("100-")
    ((17, 17), (100, 200), (100, None))
    """
    found = _OFFSETS.fullmatch(text)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        raise ConfigError(f"offsets {text!r}: write one (17), a range (100-200), or from one on (100-)")
    if found[2] is None:
        return int(found[1]), int(found[1])
    return int(found[1]), int(found[2]) if found[2] else None


def read(kafka: Kafka, *, topic: str, model: str) -> list[Letter]:
    """The dead letters of a model that are still on their topic, each once, in the order of its records.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    found: dict[tuple[str, int, int], Letter] = {}
    for message, each in tail.told(kafka, topic, DeadLetter, key=f"{model}/"):
        # A learner that went on from a checkpoint tells some once more, under the same id.
        letter = Letter(each, message.timestamp()[1] / 1000, message.offset() or 0)
        found[letter.place] = letter
    return [found[place] for place in sorted(found)]


def kind_of(reason: str) -> str:
    """A reason without what is of one record alone, so that like ones can be counted.

    >>> kind_of("'amount' is 'abc', a string; it was a number before, in 1,204 events")
    '… is …, a string; it was a number before, in … events'
    """
    return _OWN.sub("…", reason)


def statistics(letters: Iterable[Letter]) -> dict[str, Any]:
    """How many there are by stage, by reason, by topic and partition, and by hour; the most frequent first."""
    letters = list(letters)
    stages = Counter(each.told.stage for each in letters)
    reasons = Counter((each.told.stage, kind_of(each.told.reason)) for each in letters)
    places = Counter(f"{each.told.topic}/{each.told.partition}" for each in letters)
    hours = Counter(int(each.at_s // 3600 * 3600) for each in letters)
    return {
        "letters": len(letters),
        "by_stage": dict(stages.most_common()),
        "by_reason": [
            {"stage": stage, "reason": reason, "letters": count} for (stage, reason), count in reasons.most_common()
        ],
        "by_partition": dict(places.most_common()),
        "by_hour": [{"start": hour, "letters": hours[hour]} for hour in sorted(hours)],
    }

"""What is on the topics of several configurations, as records; and which of the many reports of a day are read."""

import re
from collections.abc import Sequence
from sys import intern

from confluent_kafka import Message as KafkaMessage

from anabranch.errors import ConfigError
from anabranch.messages import UnreadableMessage
from config.settings import Settings
from operations.picture import COARSE_S, FINE_S, WINDOWS_MAX, Picture, Record, read
from operations.reading import keys_of, one_kafka

MODEL, PARTITION = re.compile(rb'"model":\s*"([^"]+)"'), re.compile(rb'"partition":\s*(\d+)')
LONG = re.compile(rb'"span":\s*"(?:hour|day)"')
"""To find out whose a report is, and whether an hour has ended, without reading it: of a day's most are left out."""


class Source:
    """Which topics are read, and what is on them.

    Raises:
        ConfigError: two configurations are of one model, or are on another Kafka each.
    """

    def __init__(self, several: Sequence[Settings]) -> None:
        self.by_model = {each.name: each for each in several}
        if len(self.by_model) < len(several):
            names = [each.name for each in several]
            twice = min(name for name in names if names.count(name) > 1)
            raise ConfigError(f"two configurations are of model {twice!r}: give each another `name`")
        self.kafka = one_kafka(several)
        self.keys = keys_of(several)
        self.whole = frozenset(each.topics.name("updates") for each in several)
        self.reports = frozenset(each.topics.name("reports") for each in several)

    def picture(self) -> Picture:
        """An empty one."""
        return Picture.of(self.by_model.values())

    def record(self, message: KafkaMessage) -> Record | None:
        """What a Kafka record says; None: a tombstone.

        Raises:
            UnreadableMessage: nothing that it may.
        """
        value, topic = message.value(), intern(message.topic() or "")
        if value is None:
            return None
        at_s = message.timestamp()[1] / 1000
        return Record(
            at_s, topic, message.partition() or 0, message.offset() or 0, read(self.keys[topic], bytes(value))
        )


class Thinning:
    """Of the backlog's reports one in `COARSE_S` and model is read: the picture keeps no more of them.

    Args:
        now_s: what is newer than a quarter of an hour before is read whole.
        windows: reports that end an hour or a day, or one of the last minutes, are read too.
    """

    def __init__(self, now_s: float, *, windows: bool = True) -> None:
        self.windows = windows
        self.fine_s = now_s - FINE_S
        self.minutes_s = now_s - 60 * WINDOWS_MAX["minute"] - COARSE_S
        self.read_s: dict[tuple[bytes, bytes], float] = {}

    def spares(self, value: bytes, at_s: float) -> bool:
        """Whether a report can be left out."""
        if at_s >= self.fine_s or (self.windows and self._ends_a_window(value, at_s)):
            return False
        model, partition = MODEL.search(value), PARTITION.search(value)
        if model is None or partition is None:
            return False
        key = (model[1], partition[1])
        if abs(at_s - self.read_s.get(key, 0.0)) < COARSE_S:
            return True
        self.read_s[key] = at_s
        return False

    def _ends_a_window(self, value: bytes, at_s: float) -> bool:
        return b'"windows"' in value and (at_s >= self.minutes_s or LONG.search(value) is not None)


def readable(source: Source, picture: Picture, message: KafkaMessage, thinning: Thinning) -> Record | None:
    """The record, if it is wanted; what cannot be read is counted."""
    topic = message.topic() or ""
    if source.keys[topic] == "reports" and thinning.spares(bytes(message.value() or b""), message.timestamp()[1] / 1e3):
        return None
    try:
        return source.record(message)
    except UnreadableMessage:
        picture.unreadable[topic] += 1
        return None

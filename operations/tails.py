"""The newest records of any topic, as they come: read while somebody looks, and a little longer."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anabranch.errors import AnabranchError
from anabranch.kafka import Kafka
from anabranch.privacy import Edge
from config.settings import Settings
from operations.reading import Reading, topics_of

KEPT_MAX = 500
CHARACTERS_MAX = 2_000
TAILS_MAX = 4
"""Topics that are read at once: who wants a fifth ends the one that was looked at longest ago."""
UNWATCHED_S = 15.0
POLL_S = 0.25


class TopicTail:
    """The newest records of one topic; its thread ends when nobody has asked for a while."""

    def __init__(self, kafka: Kafka, topic: str, *, edges: Sequence[Edge] = ()) -> None:
        self.kafka, self.topic, self.edges = kafka, topic, edges
        self.records: deque[dict[str, Any]] = deque(maxlen=KEPT_MAX)
        self.read = 0
        self.reason = ""
        self.asked_s = time.monotonic()
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, name=f"tail {topic}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            # From its newest records on: of each partition some hundred.
            with Reading(self.kafka, since_s=time.time(), records_max=KEPT_MAX) as reading:
                reading.add(topics_of(reading.present(), [self.topic]))
                if not reading.spans:
                    self.reason = f"there is no topic {self.topic}; create it with `anabranch topics create CONFIG`"
                while not self.stopping.is_set() and time.monotonic() - self.asked_s < UNWATCHED_S:
                    several = reading.poll(POLL_S)
                    with self.lock:
                        for message in several:
                            self.read += 1
                            self.records.append(_shown(message, self.read, self.edges))
        except AnabranchError as error:
            self.reason = str(error)

    def newest(self, *, wanted: str, after: int, most: int) -> dict[str, Any]:
        """Records after the n-th that hold the text, the newest `most` of them, oldest first."""
        self.asked_s = time.monotonic()
        with self.lock:
            found = [each for each in self.records if each["n"] > after and _holds(each, wanted)]
            return {"topic": self.topic, "read": self.read, "reason": self.reason, "records": found[-most:]}


def _holds(shown: dict[str, Any], wanted: str) -> bool:
    return not wanted or wanted.lower() in f"{shown['key']} {shown['text']}".lower()


def _shown(message: Any, number: int, edges: Sequence[Edge]) -> dict[str, Any]:
    value, key = message.value(), message.key()
    text = None if value is None else _text(bytes(value), edges)
    for edge in edges:
        key = None if key is None else edge.of_key(bytes(key)).encode()
    return {
        "n": number,
        "at_s": message.timestamp()[1] / 1000,
        "partition": message.partition(),
        "offset": message.offset(),
        "key": "" if key is None else bytes(key).decode("utf-8", errors="backslashreplace"),
        "text": "(deleted)" if text is None else text[:CHARACTERS_MAX],
        "bytes": 0 if value is None else len(value),
    }


def _text(value: bytes, edges: Sequence[Edge]) -> str:
    """What a page shows of a record that producers wrote: nothing that is hidden."""
    for edge in edges:
        value, extent = edge.redacted(value)
        if extent == "all":
            return "(cannot be read, so that nothing of it is shown: [privacy])"
    return value.decode("utf-8", errors="backslashreplace")


def edges_of(several: Sequence[Settings]) -> dict[str, list[Edge]]:
    """What stands before the topics that producers write, by topic: those of all models that read it."""
    found: dict[str, list[Edge]] = {}
    for settings in several:
        if (edge := settings.edge).is_on:
            for which in ("events", "labels"):
                found.setdefault(settings.topics.name(which), []).append(edge)
    return found


class Tails:
    """The topics that somebody looks at.

    Args:
        edges: what stands before a topic, by its name.
    """

    def __init__(
        self,
        kafka: Kafka,
        *,
        edges: Mapping[str, Sequence[Edge]] | None = None,
        make: Callable[..., TopicTail] = TopicTail,
    ) -> None:
        self.kafka, self.make = kafka, make
        self.edges = edges or {}
        self.by_topic: dict[str, TopicTail] = {}
        self.lock = threading.Lock()

    def of(self, topic: str) -> TopicTail:
        """The tail of a topic, which begins if there is none."""
        with self.lock:
            self.by_topic = {name: each for name, each in self.by_topic.items() if each.thread.is_alive()}
            if topic not in self.by_topic and len(self.by_topic) >= TAILS_MAX:
                oldest = min(self.by_topic, key=lambda name: self.by_topic[name].asked_s)
                self.by_topic.pop(oldest).stopping.set()
            if topic not in self.by_topic:
                self.by_topic[topic] = self.make(self.kafka, topic, edges=self.edges.get(topic, ()))
            return self.by_topic[topic]

    def close(self) -> None:
        """End all of them."""
        with self.lock:
            for each in self.by_topic.values():
                each.stopping.set()
            for each in self.by_topic.values():
                each.thread.join(5)
            self.by_topic = {}

"""Where an entity still stands after it was forgotten: every record of every topic, byte for byte; and until when.

`consumers.kafka.traces` looks for what is theirs where it belongs, to end it; this looks everywhere, to prove that it
has ended.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from confluent_kafka import Message

from anabranch.kafka import headers_of
from anabranch.kafka.tail import Tail
from config.records import TOPICS
from config.settings import Settings
from consumers.forgetting import Traces, mentions, spellings
from consumers.kafka.topics import configs, kept_s
from consumers.kafka.traces import Where, in_checkpoints, in_models, present, until_day

Place = tuple[int, int]
"""Partition and offset."""


@dataclass
class Remains:
    """The records of one topic that name the entity, and what lies over them."""

    places: dict[Place, bytes | None] = field(default_factory=dict)
    """With their keys."""
    tombstones: int = 0
    """Those among them that have no value."""
    newest_s: float = 0.0
    """When the newest of them was written, epoch seconds."""
    buried: dict[tuple[int, bytes], int] = field(default_factory=dict)
    """By partition and key, the offset of the newest tombstone."""

    def hear(self, message: Message, *, is_of_it: bool) -> None:
        """One record."""
        partition, offset = message.partition() or 0, message.offset() or 0
        key = None if message.key() is None else bytes(message.key() or b"")
        if message.value() is None and key is not None:
            self.buried[partition, key] = offset
        if is_of_it:
            self.places[partition, offset] = key
            self.tombstones += message.value() is None
            self.newest_s = max(self.newest_s, message.timestamp()[1] / 1000)

    @property
    def under_tombstones(self) -> int:
        """How many a tombstone lies over, or are one: what compaction ends."""
        return sum(
            key is not None and self.buried.get((partition, key), -1) >= offset
            for (partition, offset), key in self.places.items()
        )


def remains(settings: Settings, traces: Traces) -> list[Where]:
    """Each place that still names the entity, or one of its events, and until when it is kept there; best none.

    Records are read with their keys and headers, also where a text stands in base64 or is escaped as in JSON. Of a
    value of less than `WORD_MIN` characters only records are known that are the entity's own.

    Raises:
        KafkaUnavailable: no broker answers.
        StoreUnavailable: checkpoints cannot be read.
    """
    names = present(settings, TOPICS)
    known, found = configs(settings, names), _read(settings, names, traces)
    rows = [
        Where(name, len(found[name].places), "records that name it", until(found[name], known.get(which)))
        for which, name in names.items()
    ]
    rows += [in_models(settings, traces), *in_checkpoints(settings, traces)]
    return [each for each in rows if each.number]


def _read(settings: Settings, names: Mapping[str, str], traces: Traces) -> dict[str, Remains]:
    """What is on the topics, by their full names."""
    words = [form for word in traces.spoken() for form in spellings(word)]
    own = {place for each in traces.found.values() for place in each.places}
    found = {name: Remains() for name in names.values()}
    with Tail(settings.kafka, list(found)) as tail:
        for message in tail.until_caught_up():
            topic = message.topic() or ""
            is_own = (topic, message.partition(), message.offset()) in own
            found[topic].hear(message, is_of_it=is_own or any(mentions(each, words) for each in _parts(message)))
    return found


def _parts(message: Message) -> Iterator[bytes]:
    """All that a record holds."""
    yield bytes(message.key() or b"")
    yield bytes(message.value() or b"")
    for name, value in headers_of(message):
        yield name.encode()
        yield value


def until(found: Remains, config: Mapping[str, str] | None) -> str:
    """What ends it, for people.

    Args:
        config: the settings of the topic; None: brokers do not tell them.
    """
    if config is None:
        return "the brokers do not tell how long they are kept"
    if "compact" not in config.get("cleanup.policy", ""):
        kept = kept_s(config)
        return (
            "kept for ever: set retention.ms" if kept is None else f"retention, by {until_day(found.newest_s + kept)}"
        )
    under = found.under_tombstones
    if under < len(found.places):
        return f"nothing: no tombstone lies over {len(found.places) - under:,} of them; say --yes, or --yes --versions"
    hours = int(config.get("delete.retention.ms", "86400000")) / 3_600_000
    ends = "compaction, once their segment is closed (segment.ms)"
    return f"{ends}; tombstones ({found.tombstones:,}) {hours:.3g} h later" if found.tombstones else ends

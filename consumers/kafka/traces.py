"""Reads from the topics and the store of a model what there is of one entity, and writes tombstones where they help."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from confluent_kafka import Message

from anabranch.artifact import chunk_key
from anabranch.kafka import partitions, producer, reach
from anabranch.kafka.tail import Tail
from anabranch.kafka.updates import all_updates
from anabranch.scope import GLOBAL, Scope, of_partition
from config.records import TOPICS
from config.settings import Settings
from consumers.forgetting import READ, WORD_MIN, WRITTEN, Entity, Found, Traces, mentions
from consumers.kafka.reader import record_of
from consumers.kafka.sink import KafkaSink
from consumers.kafka.topics import configs, kept_s
from consumers.stores import store_of
from consumers.stores.manifest import NAME

OTHERS = tuple(which for which in TOPICS if which not in (*READ, *WRITTEN, "artifacts"))
"""Topics on which nothing of single events should be, but what a trained model holds; artifacts are the models."""


class Where(NamedTuple):
    """Something of the entity in one place."""

    place: str
    number: int
    what: str
    ends: str
    """What ends it."""


def present(settings: Settings, several: Iterable[str]) -> dict[str, str]:
    """The names of those of the topics that are there, by their keys in `[topics]`."""
    there = reach(settings.kafka).topics
    names = {which: settings.topics.name(which) for which in several}
    return {which: name for which, name in names.items() if name in there and there[name].error is None}


def read(settings: Settings, entity: Entity) -> Traces:
    """What is of the entity on the topics of events and of what comes of single ones.

    Raises:
        KafkaUnavailable: no broker answers, or there are no events.
    """
    traces = Traces(settings, entity)
    events = settings.topics.name("events")
    for message in _all(settings, [events]):
        traces.hear("events", record_of(message))
    others = {name: which for which, name in present(settings, (*READ, *WRITTEN)).items() if which != "events"}
    letters = []  # may be of labels, which are to be known by then
    for message in _all(settings, list(others)):
        which = others[message.topic() or ""]
        if which == "dead_letters":
            letters.append(record_of(message))
        else:
            traces.hear(which, record_of(message))
    for letter in letters:
        traces.hear("dead_letters", letter)
    return traces


def _all(settings: Settings, topics: list[str]) -> Iterator[Message]:
    if topics:
        with Tail(settings.kafka, topics) as tail:
            yield from tail.until_caught_up()


def survey(settings: Settings, traces: Traces) -> list[Where]:
    """Each place in which there is something of the entity, and what ends it there."""
    names = present(settings, (*READ, *WRITTEN))
    known = configs(settings, names)
    rows = [_of_topic(names[which], traces.found[which], known.get(which)) for which in names]
    rows += [in_models(settings, traces), *in_checkpoints(settings, traces), *_elsewhere(settings, traces)]
    return [each for each in rows if each.number]


def _of_topic(name: str, found: Found, config: Mapping[str, str] | None) -> Where:
    if config is None:
        return Where(name, len(found.places), "records", "the brokers do not tell how long they are kept")
    if "compact" in config.get("cleanup.policy", ""):
        return Where(name, len(found.places), "records", _buried(found))
    kept = kept_s(config)
    ends = "kept for ever: set retention.ms" if kept is None else f"retention, by {until_day(found.newest_s + kept)}"
    return Where(name, len(found.places), "records", ends)


def _buried(found: Found) -> str:
    """What ends it on a compacted topic."""
    own = len(found.own_keys)
    shared = len(found.keys) - own
    if not own:
        return "nothing: under each of its keys lie other records, too"
    return f"tombstones for its {own:,} keys{f'; under {shared:,} more lie other records, too' if shared else ''}"


def until_day(at_s: float) -> str:
    """A moment, for people."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_s))


@dataclass
class Version:
    """The chunks of a published model, and whether they name the entity."""

    keys: list[tuple[int, bytes]] = field(default_factory=list)
    """Partitions and keys."""
    end: bytes = b""
    is_named: bool = False

    def add(self, partition: int, key: bytes, chunk: bytes, words: Sequence[bytes]) -> None:
        """The next chunk; a word may lie on both sides of where a model was cut."""
        data = self.end + chunk
        self.keys.append((partition, key))
        self.is_named = self.is_named or mentions(data, words)
        self.end = data[-max(map(len, words), default=1) :]


def versions(settings: Settings, traces: Traces) -> dict[str, Version]:
    """The published models of which there are bytes, by scope, version and digest as their keys have them."""
    found: dict[str, Version] = {}
    words = traces.words()
    for message in _all(settings, list(present(settings, ("artifacts",)).values())):
        key, value = bytes(message.key() or b""), message.value()
        model, _, rest = key.decode(errors="replace").partition("/")
        name = rest.rpartition("/")[0]
        if model == settings.name and value is None:
            found.pop(name, None)
        elif model == settings.name:
            found.setdefault(name, Version()).add(message.partition() or 0, key, bytes(value or b""), words)
    return found


def in_models(settings: Settings, traces: Traces) -> Where:
    """Published models whose bytes hold its name, or the id of one of its events."""
    found = versions(settings, traces)
    number = sum(each.is_named for each in found.values())
    ends = f"a rebuild, and --versions; or {settings.publish.versions_kept} newer ones (publish.versions_kept)"
    return Where(settings.topics.name("artifacts"), number, f"of {len(found):,} published models", ends)


def in_checkpoints(settings: Settings, traces: Traces) -> Iterator[Where]:
    """All that lies in the store and names it, also what no checkpoint refers to any more."""
    words = traces.words()
    for scope in _scopes(settings):
        blobs = store_of(settings, scope, make=False).blobs
        names = [*sorted(blobs.written_s()), NAME]
        # None: the next checkpoint has taken its place meanwhile.
        count = sum(mentions(blobs.read(name) or b"", words) for name in names)
        ends = f"a rebuild; then {settings.checkpoint.keep} checkpoints later (checkpoint.keep)"
        yield Where(f"checkpoints of {scope.within(settings.name, '/')}", count, f"of {len(names) - 1} blobs", ends)


def _scopes(settings: Settings) -> list[Scope]:
    if settings.scope == GLOBAL:
        return [GLOBAL]
    return [of_partition(each) for each in sorted(partitions(settings.kafka, settings.topics.name("events")))]


def _elsewhere(settings: Settings, traces: Traces) -> Iterator[Where]:
    """Topics on which it should not be: as the value of a group, say, or in a reason that somebody gave."""
    names = present(settings, OTHERS)
    counts = dict.fromkeys(names.values(), 0)
    words = [traces.name.encode()] if len(traces.name) >= WORD_MIN else []
    known = configs(settings, names)
    newest = dict.fromkeys(names.values(), 0.0)
    for message in _all(settings, list(names.values())) if words else ():
        if mentions(bytes(message.value() or b""), words):
            topic = message.topic() or ""
            counts[topic] += 1
            newest[topic] = max(newest[topic], message.timestamp()[1] / 1000)
    for which, name in names.items():
        kept = kept_s(known.get(which, {}))
        ends = "nothing that is known" if kept is None else f"retention, by {until_day(newest[name] + kept)}"
        yield Where(name, counts[name], "messages that mention it", ends)


def bury(settings: Settings, traces: Traces) -> int:
    """Write a tombstone for each key that is the entity's alone, on the topics that are compacted; how many.

    Raises:
        KafkaUnavailable: brokers did not take them.
    """
    names = present(settings, (*READ, *WRITTEN))
    known = configs(settings, names)
    compacted = [which for which in names if "compact" in known.get(which, {}).get("cleanup.policy", "")]
    sink, count = KafkaSink(producer(settings.kafka)), 0
    for which in compacted:
        for partition, key in traces.found[which].own_keys:
            sink.send(names[which], key=key, value=None, partition=partition)
            count += 1
    sink.flush()
    return count


def bury_versions(settings: Settings, traces: Traces) -> tuple[int, int]:
    """Write tombstones for the bytes of models that name the entity, but for those in service.

    Returns:
        How many models those were, and how many that name it are still in service.
    """
    serving = {name for scope in _scopes(settings) for name in _serving(settings, scope)}
    named = {name: each for name, each in versions(settings, traces).items() if each.is_named}
    sink, topic = KafkaSink(producer(settings.kafka)), settings.topics.name("artifacts")
    old = [each for name, each in named.items() if name not in serving]
    for partition, key in (place for each in old for place in each.keys):
        sink.send(topic, key=key, value=None, partition=partition)
    sink.flush()
    return len(old), len(named) - len(old)


def _serving(settings: Settings, scope: Scope) -> Iterator[str]:
    """The models that followers take: the newest, and while one is rolled out that beside it."""
    announced = all_updates(settings.kafka, topic=settings.topics.name("updates"), model=settings.name, scope=scope)
    models = [each for each in announced if each.artifact is not None]
    wanted = {models[-1].version, models[-1].beside} if models else set()
    for each in models:
        if each.version in wanted:
            yield chunk_key("", scope, each.version, sha256=each.pointer.sha256)[1:-1]

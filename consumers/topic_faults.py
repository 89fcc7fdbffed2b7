"""What is wrong with topics that are there: settings under which something is lost, and transactions."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigResource, ResourceType

from anabranch.artifact import CHUNK_BYTES
from anabranch.kafka_clients import admin as admin_of
from anabranch.kafka_clients import at, batch, consumer, partitions, reach, reader
from anabranch.settings import Settings

ANSWER_S = 3.0
MESSAGE_OVERHEAD_BYTES = 4096


def shortcomings(settings: Settings) -> list[str]:
    """Settings of the topics under which something is lost; nothing where the broker does not tell them."""
    names = {which: settings.topics.name(which) for which in ("events", "updates", "artifacts")}
    found = _configs(settings, names)
    return [fault for which, config in found.items() for fault in _faults(which, names[which], config)]


def _faults(which: str, name: str, config: Mapping[str, str]) -> Iterator[str]:
    policy, hours = config.get("cleanup.policy", ""), int(config.get("retention.ms", "-1")) / 3_600_000
    if which == "events" and "compact" in policy:
        yield (
            f"{name} has cleanup.policy={policy}: the broker drops all but the last event of each key, so that "
            "retraining and `rebuild` miss the others; set cleanup.policy=delete"
        )
    is_dropped = "delete" in policy and hours >= 0
    if (which != "events" and is_dropped) or (which == "updates" and "compact" not in policy):
        yield (
            f"{name} has cleanup.policy={policy} and retention.ms={config.get('retention.ms')}: what was announced is "
            f"gone after {hours:g} h, and who starts to follow then finds no model; set cleanup.policy=compact and "
            "retention.ms=-1"
        )
    needed = CHUNK_BYTES + MESSAGE_OVERHEAD_BYTES
    if which == "artifacts" and int(config.get("max.message.bytes", needed)) < needed:
        yield f"{name} has max.message.bytes={config['max.message.bytes']}: models come in chunks of {needed} bytes"


def _configs(settings: Settings, names: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The settings of the topics, of those that the broker tells."""
    if str(reach(settings.kafka).cluster_id).startswith("mockCluster"):
        return {}  # the embedded broker would leave the question open
    client = admin_of(settings.kafka)  # held by name: its answers are lost when it goes away
    asked = {which: ConfigResource(ResourceType.TOPIC, name) for which, name in names.items()}
    answers = client.describe_configs(list(asked.values()), request_timeout=ANSWER_S)
    found = {}
    for which, resource in asked.items():
        try:
            config = answers[resource].result()
        except KafkaException:  # not authorised, or not there
            continue
        found[which] = {name: str(entry.value) for name, entry in config.items() if entry.value is not None}
    return found


def transactions(settings: Settings) -> list[str]:
    """What transactions do to the events: one that is open holds back all that comes after it.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    topic = settings.topics.name("events")
    every = partitions(settings.kafka, topic)
    committed = reader(settings.kafka)
    ends = _ends({**committed, "isolation.level": "read_uncommitted"}, topic, every)
    readable = _ends(committed, topic, every)
    marked = _without_a_last_record(committed, topic, readable)
    return [fault for each in every for fault in _held_back(topic, each, readable[each], ends[each], marked)]


def _held_back(topic: str, partition: int, readable: int, end: int, marked: set[int]) -> Iterator[str]:
    if readable < end:
        yield (
            f"{topic} partition {partition}: a transaction that is still open holds back the records from offset "
            f"{readable} on, of {end}: nothing after it is learned before its producer ends it"
        )
    elif partition in marked:
        yield (
            f"{topic} partition {partition} ends in the mark of a transaction: its offsets have gaps, and only what "
            "was committed is learned"
        )


def _ends(configured: dict[str, Any], topic: str, every: Sequence[int]) -> dict[int, int]:
    """Where each partition ends for such a reader."""
    with closing(consumer(configured)) as client:
        return {each: client.get_watermark_offsets(TopicPartition(topic, each), timeout=ANSWER_S)[1] for each in every}


def _without_a_last_record(configured: dict[str, Any], topic: str, ends: Mapping[int, int]) -> set[int]:
    """The partitions whose last offset holds no record that could be read."""
    last = {partition: end - 1 for partition, end in ends.items() if end}
    found, until_s = set(last), time.monotonic() + ANSWER_S
    open_ends = set(last)
    with closing(consumer({**configured, "enable.partition.eof": True})) as client:
        client.assign(at(topic, last))
        while open_ends and time.monotonic() < until_s:
            for message in batch(client, 100, timeout_s=0.1):
                error = message.error()
                if error is None:
                    found.discard(message.partition() or 0)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition() or 0)
    return found - open_ends

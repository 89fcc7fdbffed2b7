"""What must be true after every fault: each event learned once, and announcements in order, complete and usable."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy
from confluent_kafka import Consumer, KafkaError, TopicPartition

from anabranch.candidates import order
from anabranch.errors import ArtifactError
from anabranch.kafka import artifacts as kafka_artifacts
from anabranch.kafka import batch, partitions, reader
from anabranch.messages import DeadLetter, ModelUpdate, decode
from benchmarks.faults.project import Project
from commands import wiring
from consumers.checkpoint import positions_of
from consumers.ports import offsets_in
from consumers.timing import SystemClock
from evaluation.backtest import Backtest

ARTIFACTS_MAX = 6
"""So many of the announced models, evenly spread, are fetched and checked."""


Place = tuple[int, int]
"""Epoch and seq: what updates are ordered by."""


class Learned(NamedTuple):
    """What a checkpoint's champion has learned, against what it should have."""

    lost: int
    twice: int
    events: int


def learned(project: Project, state: dict[str, Any]) -> Learned:
    """Count, for the champion of a checkpoint, the events it should have learned at its positions and has not."""
    if not state:
        return Learned(0, 0, 0)
    counts = state["lane"]["champion"]["model"].learned.astype(int)
    wanted = numpy.zeros_like(counts)
    wanted[
        project.stream.learnable(offsets_in(project.settings.topics.name("events"), positions_of(state["positions"])))
    ] = 1
    if (
        state["lane"]["champion"]["name"] != "first"
    ):  # a recruit begins somewhere in the log, and must lack nothing since
        wanted[: int(numpy.flatnonzero(counts)[0])] = 0
    lost, twice = (wanted > counts).sum(), (counts - wanted).clip(0).sum()
    return Learned(int(lost), int(twice), int(state["lane"]["events"]))


def straight(project: Project, *, partition: int = 0) -> dict[str, Any]:
    """The same records of one partition, in their order, without Kafka and without interruption."""
    settings, now_s = project.settings, time.time()
    run = Backtest(
        settings,
        first=wiring.first_champion(settings),
        values=lambda: (entry.value for entry in project.stream.log[partition]),
        timestamp_of=lambda number: now_s,
        clock=SystemClock(),
    )
    return run.run()


def messages(project: Project, which: str) -> list[bytes]:
    """Every record of one of the model's topics of one partition, in the order of the log."""
    topic = project.settings.topics.name(which)
    consumer = Consumer({**reader(project.settings.kafka), "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, each, 0) for each in partitions(project.settings.kafka, topic)])
        return list(_to_the_end(consumer))
    finally:
        consumer.close()


def _to_the_end(consumer: Consumer) -> Iterable[bytes]:
    while True:
        for message in batch(consumer, 1000, timeout_s=5.0):
            error = message.error()
            if error is None:
                yield bytes(message.value() or b"")
            elif error.code() == KafkaError._PARTITION_EOF:
                return


def updates(project: Project) -> list[ModelUpdate]:
    """What was announced, in the order of the topic, repeats included."""
    return [decode(ModelUpdate, each) for each in messages(project, "updates")]


def refused(project: Project, *, stage: str | None = None) -> set[tuple[int, int]]:
    """The places of the dead letters; a repeat is plain by its place."""
    letters = [decode(DeadLetter, each) for each in messages(project, "dead_letters")]
    return {(each.partition, each.offset) for each in letters if stage is None or each.stage == stage}


def announced_wrongly(announced: Sequence[ModelUpdate], *, last: Place, late_repeats: bool = False) -> list[str]:
    """What is wrong with the announcements of a model whose state has counted to `last`.

    Args:
        late_repeats: an update may come once more after newer ones; never one that was not there before.
    """
    complaints = []
    known: dict[Place, str] = {}
    highest = (1, 0)
    for update in announced:
        place = order(update)
        if known.setdefault(place, update.pointer.sha256) != update.pointer.sha256:
            complaints.append(f"{place} was announced with two different models")
        if place > highest:
            # A later epoch may go on from a parent, which has counted less far; but never further.
            if update.seq > highest[1] + 1 or (update.seq <= highest[1] and update.epoch == highest[0]):
                complaints.append(f"{place} was announced after {highest}: there is a gap")
            highest = place
        elif place < highest and not late_repeats:
            complaints.append(f"{place} was announced after {highest}")
    if highest > last or highest[1] != last[1]:
        complaints.append(f"the last announcement is {highest}, the state's is {last}")
    return complaints


def unusable(project: Project, announced: Sequence[ModelUpdate]) -> list[str]:
    """Announced models whose bytes are not there, or are not those announced."""
    complaints = []
    for update in announced[:: max(1, len(announced) // ARTIFACTS_MAX)]:
        try:
            data = kafka_artifacts.fetch(project.settings.kafka, update)
            if hashlib.sha256(data).hexdigest() != update.pointer.sha256:
                complaints.append(f"version {update.version}: its bytes are not those announced")
        except ArtifactError as error:
            complaints.append(f"version {update.version}: {error}")
    return complaints

"""Followers that start while the newest update is bad: of another River, with torn bytes, or another model's."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from anabranch import follow
from anabranch.artifact import chunk_key
from anabranch.errors import NoChampionYet
from anabranch.follower import Follower
from anabranch.kafka import producer
from anabranch.kafka import updates as kafka_updates
from anabranch.kafka.artifacts import fetch
from anabranch.messages import ModelUpdate, encode
from benchmarks.faults.project import Project, project
from benchmarks.faults.table import Row, timed
from consumers.announcer import update_key
from consumers.kafka.sink import KafkaSink

SOON_S = 10.0
TRUSTED = ("witness:Witness",)
BAD_EPOCH = 50
"""From here on the bad ones are."""

Bad = Callable[[Project, KafkaSink, ModelUpdate], None]


def bad_newest(folder: Path, *, seed: int, **given: Any) -> Iterator[Row]:
    """A learner announces; somebody puts a bad update on top; a follower starts and the learner announces more."""
    with project(folder, name="followers", seed=seed, **given) as here:
        row = Row("a bad newest update (newer River; torn artifact; foreign model) while followers start")
        with timed(row):
            sink = KafkaSink(producer(here.settings.kafka))
            for bad in (_newer_river, _torn, _foreign, _absurd):
                _learned(here, row)
                good = _good(here)
                row.insist(len(good) >= 3, f"only {len(good)} versions were announced")
                bad(here, sink, good[-1])
                row.times += 1
                row.recovered += int(_follows(here, row, good[-1].version, what=bad.__name__))
        yield row


def _good(here: Project) -> list[ModelUpdate]:
    """What the learner has announced, oldest first."""
    known = kafka_updates.all_updates(here.settings.kafka, topic=here.settings.topics.name("updates"), model=here.name)
    return [each for each in known if each.epoch < BAD_EPOCH]


def _learned(here: Project, row: Row) -> None:
    here.feed(3000)
    learner = here.learn(end=True)
    row.insist(learner.ended() == 0, f"the learner ended with {learner.process.returncode}: {learner.said()}")


def _follows(here: Project, row: Row, version: int, *, what: str) -> bool:
    """Whether a fresh follower soon serves the newest good version, and then the next one."""
    with follow(
        here.name, kafka=here.settings.kafka, topic=here.settings.topics.name("updates"), trusted=TRUSTED
    ) as model:
        began_s = time.monotonic()
        fine = row.insist(_serves(model, version), f"{what}: version {version} is not served: {model.last_refusal}")
        print(f"    {what}: version {version} after {time.monotonic() - began_s:.1f} s", flush=True)
        _learned(here, row)
        newer = _good(here)[-1].version
        return fine and row.insist(newer > version and _serves(model, newer), f"{what}: {newer} was not taken")


def _serves(model: Follower, version: int) -> bool:
    try:
        return model.wait(version=version, timeout_s=SOON_S).version == version
    except NoChampionYet:
        return False


def _newer_river(here: Project, sink: KafkaSink, good: ModelUpdate) -> None:
    """Many, as of a learner that ran for a while."""
    for number in range(1, 200):
        _say(here, sink, good.model_copy(update={"epoch": 50, "seq": number, "river": "99.0.0"}))
    sink.flush()


def _torn(here: Project, sink: KafkaSink, good: ModelUpdate) -> None:
    key = chunk_key(good.model, good.scope, good.version, sha256=good.pointer.sha256)
    values = [fetch(here.settings.kafka, good)[:-9][: 512 * 1024]]
    (sent,) = sink.send_all(good.pointer.topic, key=key, values=values)
    place = {"partition": sent.partition, "first_offset": sent.offset, "last_offset": sent.offset, "chunks": 1}
    _say(here, sink, good.model_copy(update={"epoch": 60, "artifact": good.pointer.model_copy(update=place)}))


def _foreign(here: Project, sink: KafkaSink, good: ModelUpdate) -> None:
    other = good.model_copy(update={"epoch": 70, "model": "somebody-elses"})
    sink.send(here.settings.topics.name("updates"), key=update_key(good), value=encode(other))
    sink.flush()


def _absurd(here: Project, sink: KafkaSink, good: ModelUpdate) -> None:
    _say(here, sink, good.model_copy(update={"epoch": 10**12}))


def _say(here: Project, sink: KafkaSink, update: ModelUpdate) -> None:
    key = f"{update.model}/{update.scope}/{update.version}-{update.epoch}-{update.seq}"
    sink.send(here.settings.topics.name("updates"), key=key, value=encode(update))
    sink.flush()

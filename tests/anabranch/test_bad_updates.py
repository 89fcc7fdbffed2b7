"""A follower that starts while the newest update is bad: the newest good one serves, then those after it."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from anabranch import candidates, follow
from anabranch.artifact import chunk_key
from anabranch.candidates import CANDIDATES_MAX, Candidates
from anabranch.errors import ConfigError
from anabranch.kafka import artifacts as kafka_artifacts
from anabranch.kafka import updates as kafka_updates
from anabranch.kafka.updates import EPOCH_MAX
from anabranch.messages import ModelUpdate
from commands import wiring
from support.publisher import UPDATE, Publisher
from support.waiting import until

GOOD = 3
TOPICS = ("updates", "artifacts")


Bad = Callable[[Publisher, ModelUpdate], None]


def changed(good: ModelUpdate, *, seq: int = 90, **changes: Any) -> ModelUpdate:
    """The good update as one that is newer; what is no field of it is one of its artifact's."""
    place = {name: changes.pop(name) for name in list(changes) if name not in ModelUpdate.model_fields}
    pointer = good.artifact.model_copy(update=place)
    return good.model_copy(update={"seq": seq, "version": 9, "artifact": pointer, **changes})


def told(**changes: Any) -> Bad:
    return lambda publisher, good: publisher.say(changed(good, **changes))


def record(value: bytes | None, key: str = "m/global/9") -> Bad:
    def send(publisher: Publisher, good: ModelUpdate) -> None:
        publisher.sink.send(publisher.topic, key=key, value=value)
        publisher.sink.flush()

    return send


def foreign(publisher: Publisher, good: ModelUpdate) -> None:
    """A model of another name, good in itself, under this model's key."""
    other = Publisher(publisher.kafka["bootstrap.servers"], prefix=publisher.settings.topics.prefix, name="other")
    update = other.announce(9, seq=90)
    publisher.say(update, key="m/global/9")
    publisher.say(changed(good, scope="p3"), key="m/global/9")


def bytes_of(data: bytes, **changes: Any) -> Bad:
    """Such bytes under the right key, with an update that names them."""

    def send(publisher: Publisher, good: ModelUpdate) -> None:
        key = chunk_key("m", "global", 9, sha256=good.artifact.sha256)
        (sent,) = publisher.sink.send_all(good.artifact.topic, key=key, values=[data])
        where = {"partition": sent.partition, "first_offset": sent.offset, "last_offset": sent.offset}
        publisher.say(changed(good, **where, size_bytes=10_000, **changes))

    return send


def torn(publisher: Publisher, good: ModelUpdate) -> None:
    """The bytes of a good version, less their end."""
    whole = kafka_artifacts.fetch(publisher.kafka, good)
    bytes_of(whole[:-7])(publisher, good)


BAD: dict[str, Bad] = {
    "a newer River": told(river="99.0.0"),
    "a torn artifact": torn,
    "foreign bytes": bytes_of(b"no model"),
    "a digest of other bytes": told(sha256="0" * 64),
    "another model under this key": foreign,
    "no JSON": record(b"\xff{"),
    "JSON of something else": record(b'["m"]'),
    "a tombstone": record(None),
    "no key at all": record(b"{}", key=""),
    "too large": told(size_bytes=2**40),
    "a size below nothing": told(size_bytes=-1),
    "an epoch of no learner": told(epoch=10**12),
    "the largest epoch, and not usable": told(epoch=EPOCH_MAX, river="99.0.0"),
    "an epoch below nothing": told(epoch=-1),
    "a seq of no learner": told(seq=10**12),
    "numbers that no machine holds": told(partition=2**40),
    "the same numbers, other bytes": told(seq=GOOD, sha256="1" * 64),
    "a topic that does not exist": told(topic="nowhere"),
    "a topic that cannot exist": told(topic="no/where"),
    "another topic": told(topic="model-updates"),
    "a partition that does not exist": told(partition=999),
    "a partition below nothing": told(partition=-1),
    "offsets that are not there yet": told(first_offset=10**6, last_offset=10**6),
    "an offset below nothing": told(first_offset=-5),
    "offsets the wrong way round": told(first_offset=5, last_offset=1),
    "offsets without an end": told(first_offset=0, last_offset=2**62, chunks=10**9, size_bytes=2**28),
    "no chunks": told(chunks=0),
    "a billion chunks": told(chunks=10**9),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_newest_update_leaves_nobody_without_a_model(embedded: Any, bad: Bad) -> None:
    """The newest good one serves within seconds, and the next good one, of ordinary numbers, is taken."""
    publisher = Publisher(embedded.bootstrap)
    for version in range(1, GOOD + 1):
        good = publisher.announce(version)
    bad(publisher, good)
    begun_s = time.monotonic()
    with follow("m", kafka=publisher.kafka) as model:
        assert model.wait(timeout_s=20).version == GOOD
        assert time.monotonic() - begun_s < 10  # some two seconds, on a machine that does nothing else
        publisher.announce(GOOD + 1)
        assert model.wait(version=GOOD + 1, timeout_s=20).version == GOOD + 1


@pytest.mark.kafka
def test_everything_bad_at_once_on_a_real_kafka(kafka: Any, topic_prefix: str) -> None:
    """One on top of the other, and each told."""
    publisher = Publisher(kafka.bootstrap, prefix=topic_prefix)
    for which in TOPICS:
        kafka.create_topic(publisher.settings.topics.name(which))
    for version in range(1, GOOD + 1):
        good = publisher.announce(version)
    for number, bad in enumerate(BAD.values()):
        bad(publisher, good.model_copy(update={"event_number": number}))
    begun_s = time.monotonic()
    with follow("m", kafka=publisher.kafka, topic=publisher.topic) as model:
        assert model.wait(timeout_s=60).version == GOOD
        assert time.monotonic() - begun_s < 20
        publisher.announce(GOOD + 1)
        assert model.wait(version=GOOD + 1, timeout_s=20).version == GOOD + 1


def test_an_artifact_that_comes_late_is_taken_in_time(embedded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version before it serves until then."""
    monkeypatch.setattr(candidates, "RETRY_S", 0.05)
    publisher = Publisher(embedded.bootstrap)
    good = publisher.announce(1)
    place = good.artifact.model_copy(update={"first_offset": 1, "last_offset": 1})
    publisher.say(good.model_copy(update={"seq": 2, "version": 2, "artifact": place}))
    with follow("m", kafka=publisher.kafka) as model:
        assert model.wait(timeout_s=20).version == 1
        until(lambda: "which holds 0 to 0" in str(model.last_refusal))
        key = chunk_key("m", "global", 2, sha256=good.artifact.sha256)
        data = kafka_artifacts.fetch(publisher.kafka, good)
        publisher.sink.send(place.topic, key=f"{key}0", value=data, partition=place.partition)
        publisher.sink.flush()
        assert model.wait(version=2, timeout_s=20).version == 2


def test_more_bad_updates_than_are_kept_hide_no_good_one(embedded: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What was dropped is read again once nothing of the rest can be used; the reason is told once."""
    publisher = Publisher(embedded.bootstrap)
    good = publisher.announce(1)
    for seq in range(10, 10 + 3 * CANDIDATES_MAX):
        publisher.say(changed(good, seq=seq, river="99.0.0"))
    with follow("m", kafka=publisher.kafka) as model:
        assert model.wait(timeout_s=30).version == 1
        publisher.announce(2)
        assert model.wait(version=2, timeout_s=20).version == 2
    assert caplog.text.count("River 99.0.0") == 1


def test_candidates_are_bounded_and_prefer_what_was_not_tried() -> None:
    """However long the topic, and however many cannot be fetched now."""
    now_s = [0.0]
    kept = Candidates(lambda: now_s[0])
    for seq in range(10 * CANDIDATES_MAX):
        kept.add(UPDATE.model_copy(update={"seq": seq}))
    assert len(kept.waiting) < 2 * CANDIDATES_MAX
    for _ in range(CANDIDATES_MAX + 5):
        if (newest := kept.newest()) is not None:
            kept.refuse(newest, for_good=False)
    kept.add(UPDATE.model_copy(update={"seq": 1}))
    assert kept.newest() == UPDATE.model_copy(update={"seq": 1})


def test_the_pauses_between_two_tries_double_up_to_a_minute() -> None:
    """What may come yet is asked for again, and not all the time."""
    now_s, tries_s = [0.0], []
    kept = Candidates(lambda: now_s[0])
    kept.add(UPDATE)
    for now_s[0] in map(float, range(300)):
        if kept.newest() is not None:
            tries_s.append(now_s[0])
            kept.refuse(UPDATE, for_good=False)
    assert tries_s == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_of_two_with_the_same_numbers_the_other_is_tried() -> None:
    """A refusal is of one update, not of its numbers."""
    kept = Candidates()
    other = UPDATE.model_copy(update={"artifact": UPDATE.artifact.model_copy(update={"sha256": "b"})})
    kept.add(UPDATE)
    kept.add(other)
    kept.refuse(other, for_good=True)
    kept.add(other)
    assert kept.newest() == UPDATE
    kept.use(UPDATE)
    assert kept.newest() is None


def test_foreign_updates_count_for_nobody(embedded: Any) -> None:
    """Not for what was announced, which a learner goes on from and `--from` looks through; nor for the names."""
    publisher = Publisher(embedded.bootstrap)
    good = publisher.announce(1)
    for number, changes in enumerate(({"model": "other"}, {"scope": "p1"}, {"epoch": EPOCH_MAX + 1}, {"version": -1})):
        publisher.say(good.model_copy(update={"seq": 50 + number, **changes}), key="m/global/9")
    publisher.say(good, key="ghost/global/1")
    kafka, topic = publisher.kafka, publisher.topic
    assert kafka_updates.all_updates(kafka, topic=topic, model="m") == [good]
    assert kafka_updates.all_updates(kafka, topic=topic, model="ghost") == []
    assert kafka_updates.announced(kafka, topic=topic) == {("m", "global")}
    assert wiring.announced(publisher.settings, "global") == good
    with pytest.raises(ConfigError, match="versions there: 1"):
        wiring._from_published(publisher.settings, "models:/m/9")

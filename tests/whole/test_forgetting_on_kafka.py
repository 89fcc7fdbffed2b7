"""`anabranch forget` on a real Kafka: what there is of a customer, tombstones, and a model that never met her."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from anabranch.kafka import artifacts
from anabranch.kafka.tail import Tail
from commands.brokers.local import LocalKafka
from config.loading import load
from consumers.checkpoint import contents_of, newest
from consumers.stores import store_of
from support.command_line import anabranch
from support.projects import SCALED_LINEAR, Project, announced
from support.streams import rows
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECTIONS = (
    SCALED_LINEAR + '[features]\ndrop = ["customer"]\n[[features.rules]]\nname = "often"\nwhat = "count"\n'
    'by = "customer"\nover = "1h"\n[publish]\nwarm_up_events = 100\npredictions = true\n'
)
HERS = "customer-no-7"
EVENTS = 600


def filled(here: Project, events: int, *, after: int = 0, without: str = "") -> list[str]:
    """Events of forty customers, each under a key of its own; the ids of hers."""
    producer, hers = Producer(here.kafka), []
    for n, row in enumerate(rows(events)):
        customer = f"customer-no-{n % 40}"
        if n < after or customer == without:
            continue
        hers += [f"event-number-{n}."] if customer == HERS else []
        features = {**row["features"], "customer": customer}
        event = {**row, "id": f"event-number-{n}.", "ts": 1.6e9 + n, "features": features}
        producer.produce(f"{here.prefix}events", orjson.dumps(event), key=customer, partition=0)
    assert not producer.flush(30)
    return hers


def set_on(here: Project, topic: str, **values: object) -> None:
    """Change the topic's settings; `_` stands for `.` in their names."""
    entries = [
        ConfigEntry(name.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
        for name, value in values.items()
    ]
    client, changed = AdminClient(here.kafka), ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for done in client.incremental_alter_configs([changed]).values():
        done.result()


def tombstones(here: Project, topic: str) -> set[str]:
    with Tail(here.kafka, [topic]) as tail:
        return {bytes(each.key() or b"").decode() for each in tail.until_caught_up() if each.value() is None}


def state_of(here: Project) -> bytes:
    """The bytes of the newest checkpoint and of the newest published model."""
    settings = load(here.config)
    store = store_of(settings)
    entry = newest(None, store)
    assert entry is not None
    assert contents_of(settings, store, sha=entry.sha).state["lane"]["events"]
    return store.get(entry.sha) + artifacts.fetch(here.kafka, announced(here)[-1])


# ── after retention ─────────────────────────────────────────────────────────────────────────────────────────────────

CLEANING = (
    "log.cleaner.backoff.ms=100\nlog.retention.check.interval.ms=300\nlog.segment.delete.delay.ms=100\n"
    "log.initial.task.delay.ms=500\n"
)
COMPACTED = {"f-model-predictions", "f-model-artifacts", "f-model-updates"}
QUICKLY = {"segment_ms": 100, "min_cleanable_dirty_ratio": 0.001, "delete_retention_ms": 0, "max_compaction_lag_ms": 1}


def emptied(here: Project, places: list[str]) -> None:
    """What retention does by the day that was told: the low watermarks move over all that is there."""
    client = AdminClient(here.kafka)
    ends = {}
    with Tail(here.kafka, places) as tail:
        for each in tail.until_caught_up():
            ends[each.topic(), each.partition()] = each.offset() + 1
    several = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
    for done in client.delete_records(several).values():
        done.result()


def rolled(here: Project, topic: str) -> None:
    """One more record, of nobody: what lies before it is in a segment that is closed, and can be cleaned."""
    producer = Producer(here.kafka)
    producer.produce(topic, b"nobody's", key=b"nobody", partition=0)
    assert not producer.flush(10)


def in_time(here: Project) -> None:
    """All that was told to come: retention, compaction, and the learner's next checkpoints, of events of others."""
    emptied(here, sorted(topics(here) - COMPACTED))
    for topic in ("f-events", "f-model-examples"):
        set_on(here, topic, segment_ms=100)
    for topic in sorted(COMPACTED):
        set_on(here, topic, **QUICKLY)
        rolled(here, topic)
    filled(here, EVENTS + 80, after=EVENTS, without=HERS)
    here.run("learn", here.config, "--until-end")


def checked(words: tuple[object, ...]) -> dict[str, dict[str, Any]]:
    """What `--check` finds, by place; the exit code says whether it is anything."""
    done = anabranch(*words, "--check", "--json")
    found = {each["place"]: each for each in json.loads(done.stdout)["found"]}
    assert done.returncode == bool(found), done.stderr
    return found


def topics(here: Project) -> set[str]:
    there = AdminClient(here.kafka).list_topics(timeout=10).topics
    return {topic for topic in there if topic.startswith(here.prefix)}


def everything(here: Project, folder: Path) -> dict[str, bytes]:
    """All records, and all files: checkpoints, and what the broker itself has on its disk."""
    found = {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    with Tail(here.kafka, sorted(topics(here))) as tail:
        for each in tail.until_caught_up():
            parts = (each.key() or b"", each.value() or b"", repr(each.headers()).encode())
            found[f"{each.topic()}/{each.partition()}/{each.offset()}"] = b"\n".join(map(bytes, parts))
    return found


def named(found: dict[str, bytes], *words: str) -> list[str]:
    """Where one of the words stands."""
    raw = [word.encode() for word in words]
    return [place for place, data in found.items() if any(word in data for word in raw)]


@pytest.fixture
def cleaning(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker that compacts at once what is to be compacted."""
    with LocalKafka(tmp_path / "kafka", properties=CLEANING) as broker:
        yield broker


# ── the whole way ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_customer_is_looked_for_buried_left_out_and_after_retention_nowhere(
    cleaning: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First only told; then tombstones, and a rebuild that never saw her; `--check` names each place until all end."""
    monkeypatch.setenv("ANABRANCH__CHECKPOINT__KEEP", "2")
    here = Project(tmp_path, bootstrap=cleaning.bootstrap, prefix="f-", sections=SECTIONS)
    predictions = f"{here.prefix}model-predictions"
    hers = filled(here, EVENTS)
    set_on(here, predictions, cleanup_policy="compact")
    here.run("learn", here.config, "--until-end")
    assert HERS.encode() in state_of(here)

    words = ("forget", here.config, "--entity", HERS, "--field", "customer")
    told = here.run(*words)
    for said in (f"{len(hers)} records", "retention, by 20", f"tombstones for its {len(hers)} keys", "--yes --rebuild"):
        assert said in told, told
    assert told.rstrip().endswith("Nothing was written: say --yes")
    assert tombstones(here, predictions) == set()
    found = {each["place"]: each for each in json.loads(here.run(*words, "--json"))["found"]}
    assert found[f"{here.prefix}events"]["number"] == found[f"{here.prefix}model-examples"]["number"] == len(hers)
    assert found[f"{here.prefix}model-artifacts"]["number"] > 0
    assert found[f"checkpoints of {here.name}"]["number"] > 0

    told = here.run(*words, "--yes", "--rebuild", "--versions")
    assert f"{len(hers)} tombstones written" in told
    assert f"{EVENTS - len(hers)} events relearned" in told
    assert tombstones(here, predictions) == set(hers)
    now = state_of(here)
    assert [word for word in (HERS, *hers) if word.encode() in now] == []
    assert HERS not in announced(here)[-1].reason
    assert len(tombstones(here, f"{here.prefix}model-artifacts")) == found[f"{here.prefix}model-artifacts"]["number"]

    done = anabranch("forget", here.config, "--entity", HERS, "--rebuild")
    assert (done.returncode, "say --yes as well" in done.stderr) == (2, True)

    told = checked(words)
    assert told["f-events"]["number"] == told["f-model-examples"]["number"] == len(hers)
    assert told[predictions]["number"] == 2 * len(hers)  # with their tombstones
    ends = {place: each["ends"].split(",")[0] for place, each in told.items() if place.startswith("f-")}
    assert {ends.pop(place) for place in COMPACTED & ends.keys()} == {"compaction"}
    assert set(ends.values()) == {"retention"}
    in_time(here)
    # Bytes on the broker's disk, too: what nobody can read any more is gone a little later.
    until(lambda: named(everything(here, tmp_path), HERS, *hers) == [])
    assert checked(words) == {}

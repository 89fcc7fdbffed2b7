"""`anabranch forget` on a real Kafka: what there is of a customer, tombstones, and a model that never met her."""

import json
from collections.abc import Callable

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from anabranch.kafka import artifacts
from anabranch.kafka.tail import Tail
from config.loading import load
from consumers.checkpoint import contents_of, newest
from consumers.stores import store_of
from support.command_line import anabranch
from support.projects import SCALED_LINEAR, Project, announced
from support.streams import rows

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECTIONS = (
    SCALED_LINEAR + '[features]\ndrop = ["customer"]\n[[features.rules]]\nname = "often"\nwhat = "count"\n'
    'by = "customer"\nover = "1h"\n[publish]\nwarm_up_events = 100\npredictions = true\n'
)
HERS = "customer-no-7"


def filled(here: Project, events: int) -> list[str]:
    """Events of forty customers, each under a key of its own; the ids of hers."""
    producer, hers = Producer(here.kafka), []
    for n, row in enumerate(rows(events)):
        customer = f"customer-no-{n % 40}"
        hers += [f"event-number-{n}."] if customer == HERS else []
        features = {**row["features"], "customer": customer}
        event = {**row, "id": f"event-number-{n}.", "ts": 1.6e9 + n, "features": features}
        producer.produce(f"{here.prefix}events", orjson.dumps(event), key=customer, partition=0)
    assert not producer.flush(30)
    return hers


def compacted(here: Project, topic: str) -> None:
    entry = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    client, changed = AdminClient(here.kafka), ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
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


def test_a_customer_is_looked_for_buried_and_left_out(project: Callable[..., Project]) -> None:
    """First only told; then tombstones under her own keys, and a rebuild whose state and model never saw her."""
    here = project(sections=SECTIONS)
    predictions = f"{here.prefix}model-predictions"
    hers = filled(here, 1200)
    compacted(here, predictions)
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
    assert f"{1200 - len(hers)} events relearned" in told
    assert tombstones(here, predictions) == set(hers)
    now = state_of(here)
    assert [word for word in (HERS, *hers) if word.encode() in now] == []
    assert HERS not in announced(here)[-1].reason
    assert len(tombstones(here, f"{here.prefix}model-artifacts")) == found[f"{here.prefix}model-artifacts"]["number"]

    done = anabranch("forget", here.config, "--entity", HERS, "--rebuild")
    assert (done.returncode, "say --yes as well" in done.stderr) == (2, True)

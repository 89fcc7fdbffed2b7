"""What there is of one entity: which records are its own, whatever they look like, and what a rebuild leaves out."""

import base64
from typing import Any

import orjson
import pytest

from anabranch.events import Record
from anabranch.messages import DeadLetter, TopicRange, encode
from config.settings import Settings
from consumers.forgetting import Entity, Traces, mentions, spellings
from consumers.kafka.remains import Remains, until
from consumers.kafka.topics import kept_s
from consumers.stretches import SHOWN, Stretches
from support.loops import settings_of

KEY = "a key of thirty-two characters.."
PSEUDONYMS = settings_of(privacy={"pseudonyms": KEY, "users": ["customer"]})


def record(topic: str, offset: int, value: Any, *, key: bytes = b"", partition: int = 0) -> Record:
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    return Record(topic, partition, offset, 1000.0 + offset, key, data)


def event(id_: str, customer: object) -> dict[str, Any]:
    return {"id": id_, "ts": 0, "features": {"customer": customer}}


def traces(entity: Entity, events: list[Record], settings: Settings | None = None) -> Traces:
    found = Traces(settings or settings_of(), entity)
    for each in events:
        found.hear("events", each)
    return found


def offsets(found: Traces, which: str = "events") -> list[int]:
    return [offset for _, _, offset in found.found[which].places]


@pytest.mark.parametrize(
    ("value", "is_hers"),
    [
        (event("e", "ann@home"), True),
        (event("e", "ann"), False),
        ({"id": "e", "ts": "bad", "data": {"customer": "ann@home"}}, True),
        (b'{"id": "e", "features": {"customer": "ann@home"', True),
        (b'{"id": "e", "features": {"customer": "bob"', False),
        ({"id": "e", "features": {"friend": "ann@home"}}, False),
    ],
)
def test_records_are_hers_by_a_feature_also_where_they_were_refused(value: Any, is_hers: bool) -> None:
    """Whatever is wrong with a record, it is on the topic, and its dead letter on another."""
    assert offsets(traces(Entity("ann@home", "customer"), [record("events", 7, value)])) == [7] * is_hers


def test_numbers_are_found_by_their_digits_and_keys_by_the_kafka_key() -> None:
    """5, 5.0 and "5" are one customer; by key it does not matter what the record holds."""
    events = [record("events", n, event(f"e{n}", each), key=b"k%d" % n) for n, each in enumerate([5, "5", 5.0, 55])]
    assert offsets(traces(Entity("5", "customer"), events)) == [0, 1, 2]
    assert offsets(traces(Entity("k3"), events)) == [3]


@pytest.mark.parametrize("settings", [settings_of(), PSEUDONYMS])
def test_what_came_of_her_events_is_found_behind_pseudonyms_too(settings: Settings) -> None:
    """Labels by the ids of her events as producers write them; examples, predictions and letters by pseudonyms."""
    edge = settings.edge
    found = traces(Entity("ann", "customer"), [record("events", 0, event("e1", "ann"))], settings)
    for offset, id_ in enumerate(["e1", "e2"]):
        veiled = edge.pseudonym(id_)
        found.hear("labels", record("labels", offset, {"id": id_}))
        found.hear("examples", record("examples", offset, {"id": veiled, "features": {}}))
        found.hear("predictions", record("predictions", offset, {"id": veiled}, key=veiled.encode()))
    kept = base64.b64encode(orjson.dumps(event("other", edge.of_value("ann")))).decode()
    for offset, (at, value) in enumerate([(0, ""), (5, kept), (6, "")]):
        letter = DeadLetter(
            id="x", topic="events", partition=0, offset=at, stage="schema", reason="", value_base64=value, value_bytes=0
        )
        found.hear("dead_letters", record("dead-letters", offset, encode(letter)))
    assert {which: offsets(found, which) for which in found.found} == {
        "events": [0],
        "labels": [0],
        "examples": [0],
        "predictions": [0],
        "dead_letters": [0, 1],
    }
    assert found.found["predictions"].own_keys == [(0, edge.pseudonym("e1").encode())]


def test_no_tombstone_falls_on_a_key_that_others_have() -> None:
    """A key is hers alone if nothing else lies under it, in that partition."""
    events = [
        record("events", 0, event("e0", "ann"), key=b"shared"),
        record("events", 1, event("e1", "bob"), key=b"shared"),
        record("events", 2, event("e2", "ann"), key=b"own"),
        record("events", 3, event("e3", "bob"), key=b"own", partition=1),
    ]
    assert traces(Entity("ann", "customer"), events).found["events"].own_keys == [(0, b"own")]


def test_a_rebuild_leaves_out_thousands_of_stretches() -> None:
    """Found by bisection; overlapping ones are one; and people are told of the first."""
    every_third = [TopicRange(topic="events", partition=n % 2, start=n, end=n + 1) for n in range(0, 9000, 3)]
    several = Stretches([*every_third, TopicRange(topic="events", partition=0, start=10, end=14)])
    assert [n for n in range(20) if Record("events", 0, n, 0.0, None, b"") in several] == [0, 6, 10, 11, 12, 13, 18]
    assert Record("events", 2, 0, 0.0, None, b"") not in several
    assert Record("labels", 0, 0, 0.0, None, b"") not in several
    assert several.in_words.count(",") == SHOWN + 1  # one of them within a number
    assert several.in_words.endswith("and 2,980 more")
    assert Stretches.restored(several.state()).ranges == several.ranges  # type: ignore[arg-type]  # lists


@pytest.mark.parametrize(
    ("config", "days"),
    [
        ({"cleanup.policy": "delete", "retention.ms": "604800000"}, 14),
        ({"cleanup.policy": "delete", "retention.ms": "604800000", "segment.ms": "86400000"}, 8),
        ({"cleanup.policy": "compact,delete", "retention.ms": "604800000", "segment.ms": "0"}, 7),
        ({"cleanup.policy": "compact", "retention.ms": "604800000"}, None),
        ({"cleanup.policy": "delete", "retention.ms": "-1"}, None),
    ],
)
def test_a_record_is_kept_until_its_segment_is_closed_and_for_the_retention_after_that(
    config: dict[str, str], days: int | None
) -> None:
    """The promise of `retention.ms` alone would be a week too short."""
    kept = kept_s(config)
    assert (None if kept is None else kept / 86_400) == days


@pytest.mark.parametrize(
    ("config", "buried", "ends"),
    [
        (None, {}, "the brokers do not tell how long they are kept"),
        ({"cleanup.policy": "delete", "retention.ms": "-1"}, {}, "kept for ever: set retention.ms"),
        (
            {"cleanup.policy": "delete", "retention.ms": "3600000", "segment.ms": "3600000"},
            {},
            "retention, by 1970-01-01 02:16 UTC",
        ),
        (
            {"cleanup.policy": "compact"},
            {(0, b"e1"): 2},
            "nothing: no tombstone lies over 1 of them; say --yes, or --yes --versions",
        ),
        (
            {"cleanup.policy": "compact", "delete.retention.ms": "7200000"},
            {(0, b"e1"): 5, (1, b"e2"): 9},
            "compaction, once their segment is closed (segment.ms); tombstones (1) 2 h later",
        ),
    ],
)
def test_until_when_what_is_left_is_kept(
    config: dict[str, str] | None, buried: dict[tuple[int, bytes], int], ends: str
) -> None:
    """By retention a day; by compaction only what lies under a tombstone of its own key and partition."""
    found = Remains(places={(0, 1): b"e1", (1, 7): b"e2"}, tombstones=1, newest_s=1000.0, buried=buried)
    assert until(found, config) == ends


def test_a_value_is_looked_for_as_producers_write_it_and_behind_its_pseudonym() -> None:
    """Short ones in no bytes at all, where they would be found by chance."""
    found = traces(Entity("Zoë@home", "customer"), [record("events", 0, event("e-0001", "Zoë@home"))], PSEUDONYMS)
    edge = PSEUDONYMS.edge
    words = ["Zoë@home", edge.pseudonym("Zoë@home"), edge.pseudonym("e-0001")]
    assert found.spoken() == [each.encode() for each in words]
    assert mentions(b'{"customer": "Zo\\u00eb@home"}', spellings("Zoë@home".encode()))
    assert mentions(base64.b64encode(b"xx" + "Zoë@home".encode() + b"yy"), spellings("Zoë@home".encode()))
    assert traces(Entity("Zoë", "customer"), []).spoken() == []

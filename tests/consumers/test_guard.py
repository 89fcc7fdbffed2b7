"""The guard: what it refuses and says of it, what it lets through, and that a refusal leaves no trace."""

import base64
import gzip
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anabranch import statetree
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import DeadLetter, Event, decode, encode
from config.loading import build
from config.settings import Settings
from consumers.guard import REASON_MAX, Guard, Repeated
from detectors.watch import Watch
from learners.labels.recent_ids import UNKNOWN, RecentIds
from learners.lane import Lane
from learners.models import catalogue

NOW_S = 1_700_000_000.0
SMALL = {"features_max": 3, "event_max_bytes": 400, "string_max": 20, "shapes_max": 5, "classes_max": 3}


def settings_of(task: str = "binary", *, positive: str | None = None, **guard: Any) -> Settings:
    """Settings of a model with a cheap champion."""
    use = "linear_model.LinearRegression" if task == "regression" else "naive_bayes.GaussianNB"
    table: dict[str, Any] = {"name": "m", "task": task, "model": {"steps": [{"use": use}]}, "guard": guard}
    return build({**table, "positive": positive} if positive else table)


def record(value: bytes | None, *, offset: int = 0) -> Record:
    """A record as it comes from the log."""
    return Record("events", 2, offset, NOW_S, None, value)


def event(**changes: Any) -> bytes:
    """A good event with some of it changed; `...` takes a key away."""
    table = {"id": "e", "ts": NOW_S, "features": {"a": 1.5, "b": True}, "label": True, **changes}
    return json.dumps({key: value for key, value in table.items() if value is not ...}).encode()


def accepted(guard: Guard, *values: bytes) -> list[AcceptedEvent]:
    """Shows the guard values that it must take."""
    checked = [guard.check(record(value, offset=n)) for n, value in enumerate(values)]
    assert all(isinstance(each, AcceptedEvent) for each in checked), checked
    return [each for each in checked if isinstance(each, AcceptedEvent)]


NUMBER = b'{"id": "e", "ts": 1700000000, "features": {"a": %s}}'
A_DAY_S, A_CENTURY_S = 86_400, 100 * 365.25 * 86_400

REFUSALS = {
    "bad JSON": (b'{"id": ', "decode", "not JSON"),
    "not UTF-8": (event().replace(b'"e"', b'"\xff"'), "decode", "not JSON"),
    "a tombstone": (None, "decode", "tombstone"),
    "no bytes": (b"", "decode", "not JSON"),
    "not an object": (b"[1, 2]", "schema", "the event is an array, not an object"),
    "null": (b"null", "schema", "the event is null"),
    "no id": (event(id=...), "schema", "no 'id'"),
    "no ts": (event(ts=...), "schema", "no 'ts'"),
    "no features": (event(features=...), "schema", "no 'features'"),
    "an unknown key": (event(lable=1), "schema", "unknown key 'lable'"),
    "NaN": (NUMBER % b"NaN", "decode", "not JSON"),
    "Infinity": (NUMBER % b"Infinity", "decode", "not JSON"),
    "1e999": (NUMBER % b"1e999", "decode", "infinity"),
    "-1e999": (NUMBER % b"-1e999", "decode", "infinity"),
    "a number of 400 digits": (NUMBER % (b"9" * 350), "decode", "infinity"),
    "a number whose square is infinite": (event(features={"a": -1e155}), "limits", "feature 'a' is -1e+155"),
    "a nested feature": (event(features={"a": {"b": 1}}), "type", "feature 'a' is an object"),
    "a list as a feature": (event(features={"a": [1]}), "type", "feature 'a' is an array"),
    "features that are a list": (event(features=[1]), "schema", "'features' is an array"),
    "an id that is a number": (event(id=7), "schema", "'id' is a number, not a string"),
    "an id that is null": (event(id=None), "schema", "'id' is null"),
    "an empty id": (event(id=""), "schema", "'id' is empty"),
    "a long id": (event(id="i" * 21), "limits", "'id' has 21 characters"),
    "too many features": (event(features=dict.fromkeys("abcd", 1)), "limits", "4 features; at most 3"),
    "a long string": (event(features={"a": "s" * 21}), "limits", "'a' has 21 characters"),
    "a long feature name": (event(features={"n" * 21: 1}), "limits", "a feature's name"),
    "a long label": (event(label="s" * 21), "limits", "'label' has 21 characters"),
    "a large record": (event(features={"a": 1}) + b" " * 400, "limits", "at most 400 are taken"),
    "a time far ahead": (event(ts=NOW_S + A_DAY_S + 1), "time", "86401 s after"),
    "a time far behind": (event(ts=NOW_S - A_CENTURY_S - 1), "time", "s before the record's timestamp"),
    "milliseconds": (event(ts=NOW_S * 1000), "time", "after the record's timestamp"),
    "an absurd time": (event(ts=1e308), "time", "1e+308 s after"),
    "a time without a zone": (event(ts="2023-11-14T22:13:20"), "time", "names no time zone"),
    "a time that is a word": (event(ts="yesterday"), "time", "is not RFC 3339"),
    "a time as a week": (event(ts="2023-W46-2T22:13:20Z"), "time", "is not RFC 3339"),
    "a second that is not": (event(ts="2023-11-14T22:13:61Z"), "time", "is not RFC 3339"),
    "a zone of eighty minutes": (event(ts="2023-11-14T22:13:20+01:80"), "time", "is not RFC 3339"),
    "a time that is a boolean": (event(ts=True), "time", "'ts' is a boolean"),
    "a time that is null": (event(ts=None), "time", "'ts' is null"),
    "a time that is an object": (event(ts={}), "time", "'ts' is an object"),
}


@pytest.mark.parametrize(("value", "stage", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_refused_becomes_a_dead_letter(value: bytes | None, stage: str, reason: str) -> None:
    """A dead letter names stage, reason and place, and carries the record's very bytes."""
    letter = Guard(settings_of(**SMALL)).check(record(value, offset=41))
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.topic, letter.partition, letter.offset) == (stage, "events", 2, 41)
    assert reason in letter.reason
    assert base64.b64decode(letter.value_base64) == (value or b"")
    assert (letter.id, letter.value_bytes) == ("m/events/2/41", len(value or b""))
    assert decode(DeadLetter, encode(letter)) == letter


LABELS = {
    "binary: a word": (settings_of(), "yes", "name the positive class with `positive`"),
    "binary: two": (settings_of(), 2, 'is not true, false, 0 or 1; for several classes write task = "multiclass"'),
    "binary: an array": (settings_of(), [1], "is not true, false, 0 or 1"),
    "binary, named: a truth": (settings_of(positive="fraud"), True, "label is a boolean, not a string"),
    "multiclass: a fraction": (settings_of("multiclass"), 0.5, "not a string, an integer or a boolean"),
    "multiclass: an object": (settings_of("multiclass"), {}, "label is an object"),
    "regression: a word": (settings_of("regression"), "7", "label is a string, not a number"),
    "regression: a truth": (settings_of("regression"), True, "label is a boolean, not a number"),
}


@pytest.mark.parametrize(("settings", "label", "reason"), LABELS.values(), ids=LABELS)
def test_a_label_must_fit_the_task(settings: Settings, label: Any, reason: str) -> None:
    """Each task takes its own kind of label, and says what was wrong with another."""
    letter = Guard(settings).check(record(event(label=label)))
    assert isinstance(letter, DeadLetter)
    assert letter.stage == "label"
    assert reason in letter.reason


def test_labels_reach_the_lane_as_the_task_wants_them() -> None:
    """0 and 1 are truths, the positive word is true, numbers are floats, classes stay as they are."""
    shown: list[tuple[Settings, Any, Any]] = [
        (settings_of(), 1, True),
        (settings_of(), False, False),
        (settings_of(positive="fraud"), "fraud", True),
        (settings_of(positive="fraud"), "fine", False),
        (settings_of("regression"), 3, 3.0),
        (settings_of("multiclass"), "red", "red"),
        (settings_of("multiclass"), None, None),
    ]
    given_y = [accepted(Guard(settings), event(label=label))[0].y for settings, label, _ in shown]
    assert [(type(y), y) for y in given_y] == [(type(y), y) for _, _, y in shown]


@pytest.mark.parametrize(
    ("first", "other", "said"),
    [
        (1, "2", 'label "2" is a string; labels are numbers here (the first was 1)'),
        ("2", 1, 'label 1 is a number; labels are strings here (the first was "2")'),
        (1, True, "label true is a boolean; labels are numbers here (the first was 1)"),
        (False, 0, "label 0 is a number; labels are booleans here (the first was false)"),
    ],
)
def test_the_first_labels_type_counts(first: Any, other: Any, said: str) -> None:
    """Models compare labels with each other: one of another type freezes trees, or is taken for another label."""
    guard = Guard(settings_of("multiclass"))
    accepted(guard, event(id="1", label=first), event(id="2", label=None))
    before = {**guard.state(), "counts": None}
    letter = guard.check(record(event(id="3", label=other)))
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.reason.startswith(said)) == ("label", True)
    assert {**guard.state(), "counts": None} == before
    twin = Guard(settings_of("multiclass"))
    twin.restore(statetree.decode(statetree.encode(guard.state())))
    assert isinstance(twin.check(record(event(id="3", label=other))), DeadLetter)


def test_a_refused_label_does_not_settle_the_type() -> None:
    """Neither does the label of an event that something else is wrong with."""
    guard = Guard(settings_of("multiclass"))
    assert isinstance(guard.check(record(event(label="2", ts="never"))), DeadLetter)
    accepted(guard, event(label=2))


def test_a_whole_number_is_one_label_in_both_spellings() -> None:
    """1 and 1.0 are the same number in JSON; a fraction is no class."""
    first, second = accepted(Guard(settings_of("multiclass")), event(id="1", label=1), event(id="2", label=1.0))
    assert [(type(each.y), each.y) for each in (first, second)] == [(int, 1), (int, 1)]


def test_labels_are_of_the_kind_that_the_first_champion_has_learned() -> None:
    """A champion warmed up on numbers cannot learn words."""
    guard = Guard(settings_of("multiclass"))
    guard.labels.expect(3)
    letter = guard.check(record(event(label="3")))
    assert isinstance(letter, DeadLetter)
    assert 'label "3" is a string; labels are numbers here (the first champion has learned such)' in letter.reason


@pytest.mark.parametrize("label", [1, 0, True, 1.0])
def test_numbers_where_a_word_is_named_positive_are_told_the_way_out(label: Any) -> None:
    """The usual mistake of somebody who read of `positive`."""
    letter = Guard(settings_of(positive="1")).check(record(event(label=label)))
    assert isinstance(letter, DeadLetter)
    assert "leave `positive` = '1' out of the configuration" in letter.reason


def test_a_third_binary_label_is_refused_by_name() -> None:
    """A task of two classes that meets a third one learns nothing from it."""
    guard = Guard(settings_of(positive="fraud"))
    accepted(guard, event(id="1", label="fraud"), event(id="2", label="fine"))
    letter = guard.check(record(event(id="3", label="unclear")))
    assert isinstance(letter, DeadLetter)
    assert letter.stage == "label"
    assert letter.reason == (
        "label 'unclear' is one too many beside 'fraud', 'fine'; for several classes write task = \"multiclass\""
    )


def test_a_misspelt_positive_is_not_learned_from() -> None:
    """Every label would be negative, and the accuracy 1."""
    guard = Guard(settings_of(positive="YES"))
    accepted(guard, event(id="1", label="no"), event(id="2", label="no"))
    letter = guard.check(record(event(id="3", label="yes")))
    assert isinstance(letter, DeadLetter)
    assert letter.reason.startswith("label 'yes' cannot stand beside 'no': neither is `positive` = 'YES' of the config")
    accepted(guard, event(id="3", label="YES"), event(id="4", label="no"))


def test_an_event_without_what_a_recommender_needs_is_refused() -> None:
    """It would teach nothing, and nobody would know."""
    table = {"name": "m", "task": "reco", "model": {"steps": [{"use": "reco.BiasedMF"}], "item": "film"}}
    guard = Guard(build(table))
    accepted(guard, event(id="1", features={"user": "u", "film": 7}, label=3.5))
    for features, said in (
        ({"film": 7, "item": "f"}, "no feature 'user': `model.user` says that it holds the user"),
        ({"user": "u", "film": None}, "no feature 'film': `model.item` says that it holds the item"),
    ):
        letter = guard.check(record(event(id="2", features=features, label=3.5)))
        assert isinstance(letter, DeadLetter)
        assert (letter.stage, letter.reason) == ("schema", said)
    assert guard.kinds == {"user": "string", "film": "number"}


def test_a_feature_keeps_the_type_it_was_first_seen_with() -> None:
    """A word among numbers is refused; a missing value and an integer among fractions are not."""
    guard = Guard(settings_of())
    accepted(guard, event(id="1", features={"a": 1.5}), event(id="2", features={"a": 2}))
    accepted(guard, event(id="3", features={"a": None}))
    letters = [guard.check(record(event(features={"a": value}))) for value in ("2", True)]
    assert [(letter.stage, letter.reason) for letter in letters if isinstance(letter, DeadLetter)] == [
        ("type", "feature 'a' is a string; it was a number before"),
        ("type", "feature 'a' is a boolean; it was a number before"),
    ]


def test_the_number_of_feature_names_is_bounded_over_time() -> None:
    """Events that keep inventing names cannot fill the memory."""
    guard = Guard(settings_of(shapes_max=2))
    accepted(guard, event(id="1", features={"a": 1}), event(id="2", features={"b": 1}))
    letter = guard.check(record(event(id="3", features={"c": 1})))
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.reason) == ("limits", "feature 'c' is new, and 2 names are known already")


def test_a_number_too_large_is_refused_in_a_shape_known_by_sight() -> None:
    """The quick way for events like many before looks at the numbers too."""
    guard = Guard(settings_of())
    accepted(guard, event(id="1"), event(id="2"), event(id="3"))
    letter = guard.check(record(event(id="4", features={"a": 1e200, "b": True})))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "feature 'a' is 1e+200; numbers up to ±1e+100 are taken"


def test_a_regression_label_too_large_is_refused() -> None:
    """Its square would be infinite, and the model's weights with it."""
    letter = Guard(settings_of("regression")).check(record(event(label=-1e300)))
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.reason) == ("limits", "label is -1e+300; numbers up to ±1e+100 are taken")


def test_null_is_missing() -> None:
    """A null feature does not reach the model, and does not settle the feature's type."""
    guard = Guard(settings_of())
    first, second = accepted(
        guard, event(id="1", features={"a": None, "b": 1}), event(id="2", features={"a": "x", "b": None})
    )
    assert (first.x, second.x) == ({"b": 1}, {"a": "x"})
    assert guard.kinds == {"b": "number", "a": "string"}


def test_a_duplicate_is_counted_and_not_dead_lettered() -> None:
    """At-least-once producers repeat themselves; that is nobody's mistake."""
    guard = Guard(settings_of(dedup_window=2))
    answers = [guard.check(record(event(id=each))) for each in ("1", "2", "1", "2")]
    assert [type(answer) for answer in answers] == [AcceptedEvent, AcceptedEvent, type(None), type(None)]
    assert (guard.accepted, guard.refused, guard.duplicates) == (2, 0, 2)


def test_a_label_that_comes_later_is_no_duplicate() -> None:
    """The same event once more with its label is handed on; after that it is a duplicate, and another label refused."""
    guard = Guard(settings_of())
    accepted(guard, event(id="1", label=None))
    assert guard.check(record(event(id="1", label=None))) is None
    repeated = guard.check(record(event(id="1", label=1)))
    assert isinstance(repeated, Repeated)
    assert repeated.event.y is True
    guard.label_taken(repeated)
    assert guard.check(record(event(id="1", label=True))) is None
    letter = guard.check(record(event(id="1", label=False)))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "event '1' had another label before, which was learned and stands: this one is 'False'"
    assert (guard.accepted, guard.repeated, guard.duplicates, guard.refused, guard.taken) == (1, 1, 2, 1, 5)


def test_ids_of_an_old_checkpoint_count_as_labelled() -> None:
    """It did not say which were; all that came again were duplicates then."""
    ids = RecentIds(3)
    ids.restore(msgpack.packb([["a"], ["b"]]))
    assert [(ids.add(each), ids.code(each)) for each in "ab"] == [(False, UNKNOWN)] * 2


def test_a_duplicate_leaves_no_trace() -> None:
    """A feature or label that only a duplicate brings is not remembered."""
    guard = Guard(settings_of("multiclass"))
    accepted(guard, event(label="red"))
    before = {**guard.state(), "counts": None}
    assert guard.check(record(event(label="red", features={"new": "x"}))) is None
    assert isinstance(guard.check(record(event(label="blue"))), DeadLetter)
    assert {**guard.state(), "counts": None} == before


def test_ids_are_forgotten_beyond_the_window() -> None:
    """At least `dedup_window` ids are remembered, at most twice as many."""
    guard = Guard(settings_of(dedup_window=3))
    accepted(guard, *(event(id=str(n)) for n in range(7)))
    assert [guard.check(record(event(id=str(n)))) is None for n in (6, 5, 4, 3)] == [True] * 4
    assert isinstance(guard.check(record(event(id="0"))), AcceptedEvent)
    assert len(guard.ids.young) + len(guard.ids.old) <= 6


def test_time_is_taken_in_both_spellings() -> None:
    """RFC 3339 with any zone and epoch seconds are the same moment."""
    spellings = [NOW_S, int(NOW_S), "2023-11-14T22:13:20Z", "2023-11-14 17:13:20.000-05:00", "2023-11-14t22:13:20z"]
    events = accepted(Guard(settings_of()), *(event(id=str(n), ts=ts) for n, ts in enumerate(spellings)))
    assert {each.ts for each in events} == {NOW_S}


@pytest.mark.parametrize("zone", ["+00", "+0000", " UTC", " GMT", " +00:00", "Z", "z", " Z"], ids=repr)
def test_the_usual_spellings_of_a_zone_are_read(zone: str) -> None:
    """As databases, strftime and people write UTC; others who read the event by its model do too."""
    value = event(ts=f"2023-11-14 22:13:20{zone}")
    assert accepted(Guard(settings_of()), value)[0].ts == NOW_S
    assert decode(Event, value).ts == datetime.fromtimestamp(NOW_S, UTC)


TIMES_TOLD = {
    "milliseconds": (int(NOW_S * 1000), "ts 1700000000000 lies", "milliseconds? Seconds are expected"),
    "microseconds": (int(NOW_S * 1e6), "ts 1700000000000000 lies", "microseconds? Seconds are expected"),
    "nanoseconds": (int(NOW_S * 1e9), "ts 1700000000000000000 lies", "nanoseconds? Seconds are expected"),
    "digits in quotes": (str(int(NOW_S)), "'ts' '1700000000' is not RFC 3339: a number in quotes", "without them"),
    "a day": ("2023-11-14", "'ts' '2023-11-14' is not RFC 3339: a date without a time", "2026-11-25T10:00:00Z"),
    "no zone": ("2023-11-14 22:13:20", "'ts' '2023-11-14 22:13:20' names no time zone", "append Z if it is UTC"),
}


@pytest.mark.parametrize(("ts", "quoted", "fix"), TIMES_TOLD.values(), ids=TIMES_TOLD)
def test_a_time_that_cannot_be_is_told_with_what_it_probably_is(ts: Any, quoted: str, fix: str) -> None:
    """The value as it stands in the event, and the usual mistake."""
    letter = Guard(settings_of()).check(record(event(ts=ts)))
    assert isinstance(letter, DeadLetter)
    assert letter.stage == "time"
    assert quoted in letter.reason
    assert letter.reason.endswith(fix)


@pytest.mark.parametrize("timestamp_s", [-0.001, 0.0])
def test_without_a_records_timestamp_the_events_own_time_counts(timestamp_s: float) -> None:
    """There is nothing to compare it with; only what no date can say is refused."""
    guard = Guard(settings_of())
    good = Record("events", 0, 0, timestamp_s, None, event(id="1"))
    assert isinstance(guard.check(good), AcceptedEvent)
    letter = guard.check(good._replace(value=event(id="2", ts=int(NOW_S * 1000))))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "ts 1700000000000 lies after the year 9999: milliseconds? Seconds are expected"


def test_a_file_whose_own_times_are_milliseconds_is_refused() -> None:
    """There the record's timestamp is the event's own time, and says nothing."""
    letter = Guard(settings_of()).check(Record("events", 0, 0, NOW_S * 1000, None, event(ts=NOW_S * 1000)))
    assert isinstance(letter, DeadLetter)
    assert letter.reason.endswith("milliseconds? Seconds are expected")


def test_a_producer_that_gives_kafka_seconds_is_told_so() -> None:
    """The record's timestamp is of January 1970 then."""
    letter = Guard(settings_of()).check(Record("events", 0, 0, NOW_S / 1000, None, event()))
    assert isinstance(letter, DeadLetter)
    assert "which is of 1970-01-20: the producer seems to give it in seconds" in letter.reason


def test_a_byte_order_mark_is_passed_over() -> None:
    """Some editors begin every text with it; others read such an event, too."""
    value = b"\xef\xbb\xbf" + event()
    assert accepted(Guard(settings_of()), value)[0].x == {"a": 1.5, "b": True}
    assert decode(Event, value).id == "e"


INNER = {"id": "e", "ts": NOW_S, "features": {"a": 1}}
LOOKS = {
    "Schema Registry": (b"\x00\x00\x00\x00\x07" + event(), "(schema id 7), then JSON: publish the JSON alone"),
    "Schema Registry, Avro": (b"\x00\x00\x00\x00\x07\x02\x06abc", "then Avro or Protobuf: publish JSON"),
    "Avro": (b"Obj\x01\x04", "an Avro file"),
    "gzip": (gzip.compress(event()), "gzip: leave the compression to the producer"),
    "UTF-16": (event().decode().encode("utf-16"), "UTF-16: encode it as UTF-8"),
    "UTF-16 without a mark": (event().decode().encode("utf-16-le"), "UTF-16: encode it as UTF-8"),
    "Latin-1": ('{"id": "Zoë"}'.encode("latin-1"), "is not UTF-8: encode the event as UTF-8"),
    "a pickle": (pickle.dumps({"id": "e"}), "a Python pickle, which is never read"),
    "MessagePack": (msgpack.packb(INNER), "MessagePack"),
    "nothing": (b"", "it is empty"),
    "repr": (repr(INNER).encode(), "Python's repr: json.dumps writes JSON"),
    "NaN": (NUMBER % b"NaN", "leave a missing feature out, or send null"),
    "lines": (event(id="1") + b"\n" + event(id="2"), "publish each as a record of its own"),
    "encoded twice": (json.dumps(event().decode()).encode(), "it was encoded twice"),
    "an array of events": (b"[" + event() + b"]", "1 events in one record?"),
    "Connect": (json.dumps({"schema": {}, "payload": INNER}).encode(), "value.converter.schemas.enable=false"),
    "Debezium": (json.dumps({"before": None, "after": {}, "op": "c"}).encode(), "ExtractNewRecordState"),
    "CloudEvent": (json.dumps({"specversion": "1.0", "type": "t", "source": "s", "id": "e"}).encode(), "CloudEvent"),
    "wrapped": (json.dumps({"event": INNER}).encode(), "the event seems to lie in 'event'"),
    "a misspelt key": (event(lable=1, label=...), "did you mean 'label', where it says 'lable'?"),
    "another word": (event(ts=..., timestamp=1), "did you mean 'ts', where it says 'timestamp'?"),
    "features on top": (event(features=..., amount=3), "'amount' stands beside them: put all features into one"),
    "one key more": (event(source="web"), "what the model is to learn from belongs into 'features'"),
    "a label alone": (b'{"id": "e", "ts": 1, "label": true}', "Publish the event once more, with its features"),
}


@pytest.mark.parametrize(("value", "said"), LOOKS.values(), ids=LOOKS)
def test_a_refusal_says_what_the_record_looks_like(value: bytes, said: str) -> None:
    """And so what to do, since 'not JSON' alone helps nobody."""
    letter = Guard(settings_of()).check(record(value))
    assert isinstance(letter, DeadLetter)
    assert letter.stage in ("decode", "schema")
    assert said in letter.reason


def test_a_dead_letter_is_cut_at_a_bound() -> None:
    """It holds the beginning of a large record, and its length."""
    letter = Guard(settings_of(dead_letter_max_bytes=10)).check(record(b"x" * 5000))
    assert isinstance(letter, DeadLetter)
    assert (base64.b64decode(letter.value_base64), letter.value_bytes) == (b"x" * 10, 5000)


def test_a_dead_letter_quotes_no_more_than_a_bound() -> None:
    """A name as long as the record would make a letter too large to be published."""
    letter = Guard(settings_of()).check(record(event(features={"n" * 9000: "s" * 9000})))
    assert isinstance(letter, DeadLetter)
    assert (len(letter.reason), letter.reason[-1]) == (REASON_MAX, "…")


def test_the_guard_goes_on_from_its_state() -> None:
    """After a restart it knows the same types, labels and ids, and counts on."""
    guard, twin = (Guard(settings_of("multiclass", classes_max=2)) for _ in range(2))
    accepted(guard, event(id="1", label="red"), event(id="2", label="blue"))
    twin.restore(statetree.decode(statetree.encode(guard.state())))
    later = [
        event(id="2", label="blue"),
        event(id="3", label="green"),
        event(id="4", label="red", features={"a": "x"}),
        b"{",
    ]
    assert [guard.check(record(each)) for each in later] == [twin.check(record(each)) for each in later]
    assert (twin.state(), twin.refused, twin.duplicates) == (guard.state(), 3, 1)


# ── properties ──────────────────────────────────────────────────────────────────────────────────────────────────────

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64 - 1)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
TIMES = st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()) | st.floats(0, 2e9) | ANYTHING
TABLES = st.fixed_dictionaries(
    {
        "id": st.text(max_size=25) | ANYTHING,
        "ts": st.just(NOW_S) | TIMES,
        "features": st.dictionaries(st.sampled_from("abc"), NUMBERS | st.sampled_from(["x", True, None]), max_size=3)
        | ANYTHING,
    },
    optional={"label": st.sampled_from([True, 0, "x", 1.5]) | ANYTHING, "more": ANYTHING},
)


def taken_away(value: bytes, at: int, bytes_: bytes) -> bytes:
    """Some bytes of a value replaced by others."""
    at %= len(value)
    return value[:at] + bytes_ + value[at + len(bytes_) :]


MUTATED = st.builds(taken_away, st.just(event()), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))


@settings(max_examples=100)  # `anabranch simulate` sends the guard 100,000
@given(st.binary(max_size=200) | MUTATED | TABLES.map(orjson.dumps), st.sampled_from(["binary", "multiclass"]))
@example(event(ts="0001-01-01T00:00:00+14:00"), "binary")
@example(b"[" * 5000, "binary")
def test_no_bytes_whatever_make_the_guard_raise(value: bytes, task: str) -> None:
    """Whatever lies on the topic, the answer is an event or a dead letter that can be published."""
    checked = Guard(settings_of(task)).check(record(value))
    assert isinstance(checked, AcceptedEvent | DeadLetter)
    if isinstance(checked, DeadLetter):
        assert decode(DeadLetter, encode(checked)) == checked


@settings(max_examples=100)  # `anabranch simulate` sends the guard 100,000
@given(MUTATED | TABLES.map(orjson.dumps), st.sampled_from(["binary", "multiclass", "regression"]))
@example(event(ts="2023-W46-2T22:13:20Z"), "binary")
@example(event(ts="20231114T221320Z"), "binary")
@example(event(ts="2023-11-14T22:13:20,5+00:00:07"), "binary")
def test_what_the_guard_accepts_is_an_event_for_everybody(value: bytes, task: str) -> None:
    """Other readers of the topic, who validate with the published model, accept it as well."""
    checked = Guard(settings_of(task)).check(record(value))
    if isinstance(checked, AcceptedEvent):
        assert decode(Event, value).id == checked.id


GOOD = [event(id=f"g{n}", features={"a": n / 7, "b": n % 2 == 0}, label=n % 3 == 0) for n in range(12)]
BAD = [value for value, _, _ in REFUSALS.values()] + [
    event(id="bad", features={"a": "word"}),
    event(id="bad", features={"new": 1, "a": "word"}),
    event(id="bad", features={"new": 1}, label="third"),
    event(id="bad", features={"new": 1}, ts=0, label=7),
    event(id="g0", features={"newer": 1}, label=True),  # a duplicate, unless it comes before the first g0
]


def learned(values: list[bytes | None]) -> tuple[Any, str, int]:
    """What guard and lane hold after the values; those refused are not expected to count."""
    settings = settings_of(features_max=3, event_max_bytes=400, string_max=20)
    guard = Guard(settings)
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    for n, value in enumerate(values):
        checked = guard.check(record(value, offset=n))
        if isinstance(checked, AcceptedEvent):
            lane.on_event(checked)
    return (
        (guard.kinds, guard.labels.state(), guard.ids.state()),
        statetree.digest(lane.learning_state()),
        guard.accepted,
    )


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, len(GOOD)), st.sampled_from(BAD))))
def test_refused_records_leave_no_trace(places: list[tuple[int, bytes | None]]) -> None:
    """However good and bad records mix, guard and models are as if the bad ones had never been."""
    values: list[bytes | None] = list(GOOD)
    for place, bad in places:
        values.insert(place, bad)
    assert learned(values) == learned(list(GOOD))


# ── features that the learner computes ──────────────────────────────────────────────────────────────────────────────

COMPUTED: dict[str, Any] = {
    "name": "m",
    "task": "binary",
    "model": {"factory": "a:b"},
    "features": {"rules": [{"name": "paid_7d", "what": "sum", "of": "a", "by": "@key", "over": "7d"}]},
    "memory": {"labels": 1},
}


@pytest.mark.parametrize("name", ["paid_7d", "@label_1", "@key"])
def test_an_event_may_not_bring_what_the_learner_computes(name: str) -> None:
    """Nobody could tell which of both a model has learned."""
    guard = Guard(build(COMPUTED))
    letter = guard.check(record(event(features={"a": 1.0, name: 2.0})))
    assert isinstance(letter, DeadLetter)
    assert letter.stage == "schema"
    assert f"feature '{name}' is computed by the learner" in letter.reason


def test_the_key_comes_with_the_event_where_a_rule_goes_by_it() -> None:
    """It is no feature of events: another model's guard does not know of it."""
    value = event(features={"a": 1.0})
    keyed = [record(value)._replace(key=key) for key in (b"c1", b"\xff", None)]
    found = [Guard(build(COMPUTED)).check(each) for each in keyed]
    assert [each.x for each in found if isinstance(each, AcceptedEvent)] == [
        {"a": 1.0, "@key": "c1"},
        {"a": 1.0, "@key": "\ufffd"},
        {"a": 1.0},
    ]
    plain = Guard(settings_of()).check(keyed[0])
    assert isinstance(plain, AcceptedEvent)
    assert plain.x == {"a": 1.0}

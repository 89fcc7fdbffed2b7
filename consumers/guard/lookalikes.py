"""What a record that is no event looks like, and what to do about it: the end of a dead letter's reason.

It is only asked about records that are refused, so it may take its time.

>>> of_bytes(b"\\x00\\x00\\x00\\x00\\x07{}")
"; it begins with byte 0 and 4 more, as a Schema Registry's serializer writes them (schema id 7), then JSON: publish \
the JSON alone, with a plain string or bytes serializer"
>>> of_table({"id": "e1", "ts": 1.7e9, "amount": 3.5, "label": True})
'; \\'amount\\' stands beside them: put all features into one object, "features": {"amount": …}'
"""

from difflib import get_close_matches
from typing import Any

import orjson

BOM = b"\xef\xbb\xbf"
KEYS = ("id", "ts", "features", "label")

_SYNONYMS = {
    "ts": ("timestamp", "time", "event_time", "datetime", "date", "created_at", "when"),
    "label": ("target", "y", "class", "outcome", "labels"),
    "features": ("x", "inputs", "data", "feature", "attributes"),
    "id": ("event_id", "uuid", "key", "_id"),
}
_MAGIC = {
    b"Obj\x01": "an Avro file",
    b"\x1f\x8b": "gzip: leave the compression to the producer (compression.type)",
    b"\x28\xb5\x2f\xfd": "zstd: leave the compression to the producer (compression.type)",
    b"\x04\x22\x4d\x18": "lz4: leave the compression to the producer (compression.type)",
    b"PK\x03\x04": "a zip file",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16: encode it as UTF-8",
    b"\xfe\xff": "UTF-16: encode it as UTF-8",
    b"<": "XML",
}


def of_bytes(value: bytes) -> str:
    """What bytes that are no JSON look like; nothing where they look like nothing known."""
    if not value.strip():
        return "; it is empty"
    if value[0] == 0 and len(value) > 5:
        return _wire_format(value)
    for magic, name in _MAGIC.items():
        if value.startswith(magic):
            return f"; it looks like {name}; events are JSON objects in UTF-8"
    return _of_binary(value) or _of_text(value.strip())


def _of_binary(value: bytes) -> str:
    if value[:2] in (b"{\x00", b"\x00{"):
        return "; it looks like UTF-16: encode it as UTF-8"
    if value[0] == 0x80 and value[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "; it looks like a Python pickle, which is never read: json.dumps writes JSON"
    if 0x80 <= value[0] <= 0x8F or value[:1] in (b"\xde", b"\xdf"):
        return "; it looks like MessagePack: events are JSON objects in UTF-8"
    return ""


def _wire_format(value: bytes) -> str:
    schema = int.from_bytes(value[1:5], "big")
    inside = "JSON: publish the JSON alone" if _loaded(value[5:]) is not None else "Avro or Protobuf: publish JSON"
    return (
        f"; it begins with byte 0 and 4 more, as a Schema Registry's serializer writes them (schema id {schema}), "
        f"then {inside}, with a plain string or bytes serializer"
    )


def _of_text(value: bytes) -> str:
    """What text looks like that is nearly JSON."""
    lines = value.splitlines()
    if len(lines) > 1 and all(type(_loaded(line)) is dict for line in lines[:2]):
        return "; it holds several events, a line each: publish each as a record of its own"
    if value.startswith(b"{") and any(word in value for word in (b"NaN", b"Infinity")):
        return "; NaN and Infinity are no JSON: leave a missing feature out, or send null"
    if value.startswith((b"{'", b"{u'")) or (
        value.startswith(b"{") and any(w in value for w in (b": True", b": None"))
    ):
        return "; it looks like Python's repr: json.dumps writes JSON"
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return f"; byte {error.start} is not UTF-8: encode the event as UTF-8"
    return ""


def of_value(value: Any) -> str:
    """What JSON that is no object looks like."""
    if type(value) is str and type(_loaded(value.encode("utf-8", "replace"))) is dict:
        return ": a string that holds JSON, so it was encoded twice: publish the object itself"
    if type(value) is list and value and type(value[0]) is dict:
        return f": {len(value)} events in one record? Publish each as a record of its own"
    return ""


def of_table(table: dict[str, Any]) -> str:
    """What an object looks like that lacks a key, or has one that nobody knows."""
    known = _envelope(table)
    if known:
        return known
    missing = [key for key in KEYS[:3] if key not in table]
    others = [key for key in table if key not in KEYS]
    for key in others:
        meant = _meant(key, table)
        if meant:
            return f"; did you mean {meant!r}, where it says {key[:100]!r}?"
    if "features" in missing and others:
        return (
            f'; {_listed(others)} beside them: put all features into one object, "features": {{"{others[0][:100]}": …}}'
        )
    if others and not missing:
        return "; what the model is to learn from belongs into 'features', all else into the record's headers"
    return ""


def _envelope(table: dict[str, Any]) -> str:
    """Objects that wrap the event."""
    if table.keys() == {"schema", "payload"}:
        return (
            "; it looks like Kafka Connect's envelope: set value.converter.schemas.enable=false, and unwrap the event"
        )
    if {"op", "after"} <= table.keys():
        return (
            "; it looks like Debezium's change event: unwrap it (ExtractNewRecordState), and make an event of the row"
        )
    if {"specversion", "type", "source"} <= table.keys():
        return "; it looks like a CloudEvent: publish what is in its 'data', as an event"
    for key, inner in table.items():
        if type(inner) is dict and {"id", "ts", "features"} <= inner.keys():
            return f"; the event seems to lie in {key[:100]!r}: publish that alone"
    if "label" in table and "id" in table and "features" not in table and not table.keys() - {*KEYS, "revision"}:
        return "; a label alone? Publish the event once more, with its features and the label, under the same id"
    return ""


def _meant(key: str, table: dict[str, Any]) -> str:
    """The key that is missing and probably meant."""
    absent = [known for known in KEYS if known not in table]
    lower = key.lower().strip()
    for known in absent:
        if lower == known or lower in _SYNONYMS[known]:
            return known
    near = get_close_matches(lower, absent, n=1)
    return near[0] if near else ""


def _listed(keys: list[str]) -> str:
    shown = ", ".join(repr(key[:50]) for key in keys[:3])
    several = len(keys) > 1
    return f"{shown}{', …' if len(keys) > 3 else ''} {'stand' if several else 'stands'}"


def _loaded(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None

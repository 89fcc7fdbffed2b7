"""The audit of a model: what its topics tell of changes, in a file that another machine can verify without any broker.

Each record is kept as it lies on its topic, with its place and headers, so that signatures can be verified later. The
lines are chained: each holds the SHA-256 of the chain before it and of itself, and the last line the head. Who keeps
the head elsewhere sees whether the file was changed. That chain is made as the file is written. The records of the
topic of the audit are in a chain of their own, which the learner has made as it went (`anabranch.chain`): what was
altered or removed there before the file was written shows as well.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from anabranch.chain import ChainReader, Head
from anabranch.errors import AnabranchError, SignatureError
from anabranch.kafka import Kafka, headers_of
from anabranch.kafka.tail import Tail, told
from anabranch.messages import AuditRecord
from anabranch.scope import GLOBAL
from anabranch.signatures import TrustedKeys
from config.settings import Settings

FORMAT = "anabranch-audit/1"
KEYS = ("updates", "answers", "control", "lifecycle", "alerts", "signals")
"""The topics, by their keys in `[topics]`, that tell what was changed, who asked for it, and why."""
CHAINED = "audit"
"""Likewise the one whose records the learner has chained."""

FAULTS_MAX = 20
"""So many are named at once."""

Line = dict[str, Any]


class AuditError(AnabranchError):
    """A file of an audit is not what was written."""


class Verified(NamedTuple):
    """What a file holds that is as it was written."""

    model: str
    records: int
    head: str
    signed: int
    """Updates that one of the trusted keys has signed."""
    changes: int = 0
    """Records of the learner's own chain."""
    chain: str = ""
    """The last of these, for each model and scope, in words."""


def records(kafka: Kafka, settings: Settings) -> list[Line]:
    """What the topics hold of a model now, in the order of time.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    found = []
    with Tail(kafka, [settings.topics.name(key) for key in (*KEYS, CHAINED)]) as tail:
        for message in tail.until_caught_up():
            value = bytes(message.value() or b"")
            if _model_of(value) == settings.name:
                found.append(_line(message, value))
    return sorted(found, key=lambda each: (each["ts"], each["topic"], each["partition"], each["offset"]))


def _model_of(value: bytes) -> str:
    try:
        told = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ""
    return str(told.get("model", "")) if isinstance(told, dict) else ""


def _line(message: Any, value: bytes) -> Line:
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "ts": message.timestamp()[1] / 1000,
        "value": value.decode(),
        "headers": [[name, base64.b64encode(data).decode()] for name, data in headers_of(message)],
    }


def written(lines: Iterable[Line], *, model: str, made_ts: float, chained: str = "model-audit") -> Iterator[bytes]:
    """The lines of a file, each of JSON: what it is, the records, and the head of the chain.

    Args:
        made_ts: when, epoch seconds.
        chained: the topic of the learner's own chain.
    """
    first = {"format": FORMAT, "model": model, "made_ts": made_ts, "chained": chained}
    head, count = _next("", first), 0
    yield orjson.dumps(first) + b"\n"
    for count, line in enumerate(lines, 1):  # noqa: B007  # counted for what comes after
        head = _next(head, line)
        yield orjson.dumps({**line, "chain": head}) + b"\n"
    yield orjson.dumps({"records": count, "head": head}) + b"\n"


def _next(before: str, line: Mapping[str, Any]) -> str:
    return hashlib.sha256(before.encode() + orjson.dumps(line, option=orjson.OPT_SORT_KEYS)).hexdigest()


def verified(data: Iterable[bytes], *, keys: TrustedKeys | None = None, updates: str = "model-updates") -> Verified:
    """See that a file is as it was written.

    Args:
        keys: one of them must have signed each update.
        updates: how the name of their topic ends.

    Raises:
        AuditError: it is not; names the line.
    """
    lines = enumerate(map(_read, data), 1)
    _, first = next(lines, (0, {}))
    if first.get("format") != FORMAT:
        raise AuditError(f"line 1: not a file of {FORMAT}")
    head, count, signed, changes = _next("", first), 0, 0, list[Line]()
    for number, line in lines:
        if "head" in line:
            found = _ended(line, Verified(str(first["model"]), count, head, signed), after=lines)
            chain = _unbroken(changes, keys)
            return found._replace(changes=chain.records, chain=heads(chain))
        chain = line.pop("chain", "")
        head, count = _next(head, line), count + 1
        if chain != head:
            raise AuditError(f"line {number}: it, or one before it, was changed, added or removed")
        if line["topic"] == first.get("chained"):
            changes.append(line)
        if keys is not None and str(line["topic"]).endswith(updates):
            _see_signature(line, keys, where=number)
            signed += 1
    raise AuditError(f"the file ends after {count} records, without the head of the chain: it was cut")


def _unbroken(lines: Iterable[Line], keys: TrustedKeys | None) -> ChainReader:
    """The learner's own chain, in the order of its topic."""
    chain = ChainReader(keys)
    for line in sorted(lines, key=lambda each: (each["partition"], each["offset"])):
        place = f"{line['topic']}/{line['partition']} offset {line['offset']}"
        chain.add(line["value"].encode(), _headers(line), where=place)
    if chain.faults:
        raise AuditError("the learner's own chain is broken: " + "; ".join(chain.faults[:FAULTS_MAX]))
    return chain


def _read(data: bytes) -> Line:
    try:
        line = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise AuditError(f"a line is not JSON: {error}") from error
    if not isinstance(line, dict):
        raise AuditError("a line is no object")
    return line


def _ended(line: Line, found: Verified, *, after: Iterator[tuple[int, Line]]) -> Verified:
    if (line["head"], line.get("records")) != (found.head, found.records):
        raise AuditError("the last line: its head or its number of records is not that of the lines before it")
    for number, _ in after:
        raise AuditError(f"line {number}: behind the head of the chain")
    return found


def _see_signature(line: Line, keys: TrustedKeys, *, where: int) -> None:
    try:
        keys.verify(line["value"].encode(), _headers(line))
    except SignatureError as error:
        raise AuditError(f"line {where}: the update at offset {line['offset']} of {line['topic']}: {error}") from error


def _headers(line: Line) -> list[tuple[str, bytes]]:
    return [(name, base64.b64decode(data)) for name, data in line["headers"]]


# ── The learner's own chain, on its topic ───────────────────────────────────────────────────────────────────────────


def changes(kafka: Kafka, *, topic: str, model: str, scope: str = GLOBAL) -> list[AuditRecord]:
    """What is told of a model, oldest first; what was told twice, once.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    found = {each.id: each for _, each in told(kafka, topic, AuditRecord, key=model)}
    return [each for each in found.values() if (each.model, each.scope) == (model, scope)]


def followed(kafka: Kafka, *, topic: str, model: str, keys: TrustedKeys | None = None) -> ChainReader:
    """The chains of a model as they lie on the topic; `faults` says what is wrong with them. Others' are not looked at.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    chain = ChainReader(keys)
    with Tail(kafka, [topic]) as tail:
        for message in tail.until_caught_up():
            if bytes(message.key() or b"").decode(errors="replace").partition("/")[0] == model:
                place = f"{topic}/{message.partition()} offset {message.offset()}"
                chain.add(bytes(message.value() or b""), headers_of(message), where=place)
    return chain


def answering(records: Iterable[AuditRecord], at_s: float) -> AuditRecord | None:
    """The announcement that counted at a moment; None: it is older than the chain, or there was none."""
    told_then = [each for each in records if each.kind == "promotion" and each.ts <= at_s]
    return told_then[-1] if told_then else None


def heads(chain: ChainReader) -> str:
    """The last record of each chain, in words, to be kept elsewhere."""
    return ", ".join(_head(links.first, links.head) for links in chain.chains.values())


def _head(first: int, head: Head) -> str:
    return f"records {first} to {head.number}, head {head.text}"

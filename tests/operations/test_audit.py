"""The audit in a file: what was changed in it is found, without any broker."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anabranch.chain import digest
from anabranch.messages import AuditRecord, Decision, encode
from anabranch.signatures import Signer, TrustedKeys
from operations.audit import KEYS, AuditError, verified, written
from support.command_line import anabranch, config_in
from support.publisher import Publisher

LINES = [
    {"topic": "model-answers", "partition": 0, "offset": n, "ts": float(n), "value": "{}", "headers": []}
    for n in range(4)
]


def file_of(lines: Any = LINES) -> list[bytes]:
    return list(written(lines, model="m", made_ts=1.0))


def test_a_file_as_it_was_written_is_verified() -> None:
    """With the head that was printed, which depends on every record."""
    found = verified(file_of())
    assert (found.model, found.records) == ("m", 4)
    assert found.head != verified(file_of(LINES[:3])).head


def changed(lines: list[bytes]) -> list[bytes]:
    told = orjson.loads(lines[2])
    return [*lines[:2], orjson.dumps({**told, "value": "{} "}), *lines[3:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed, "line 3: it, or one before it, was changed"),
        (lambda lines: lines[:2] + lines[3:], "line 3: it, or one before it, was changed, added or removed"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2: "),
        (lambda lines: lines[:-1], "the file ends after 4 records, without the head"),
        (lambda lines: [*lines, lines[1]], "behind the head"),
        (lambda lines: [*lines[:-2], lines[-1]], "its head or its number of records"),
        (lambda lines: [b'{"format": "x"}', *lines[1:]], "line 1: not a file of anabranch-audit/1"),
        (lambda lines: [b"x"], "not JSON"),
        (lambda lines: [], "line 1: "),
    ],
)
def test_what_was_changed_is_found(change: Callable[[list[bytes]], list[bytes]], said: str) -> None:
    """A record that is another, gone, or elsewhere; a file that was cut."""
    with pytest.raises(AuditError, match=said):
        verified(change(file_of()))


def test_ten_thousand_records_are_verified_in_seconds() -> None:
    """Five at most, on any machine."""
    lines = file_of([{**LINES[0], "offset": n, "value": "x" * 2000} for n in range(10_000)])
    began_s = time.perf_counter()
    assert verified(lines).records == 10_000
    assert time.perf_counter() - began_s < 5


def chained(count: int) -> list[dict[str, Any]]:
    """Records of a learner's own chain, as lines."""
    lines: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        record = AuditRecord(
            id=f"m/{number}",
            number=number,
            follows=digest(lines[-1]["value"].encode()) if lines else "",
            model="m",
            kind="promotion",
            ts=float(number),
            who="the learner",
            why="better",
            before="",
            after=f"version {number}",
            version=number,
            epoch=1,
            seq=number,
            event_number=number,
            positions={},
            envelope="sha256:0",
        )
        place = {"topic": "model-audit", "partition": 0, "offset": number, "ts": float(number)}
        lines.append({**place, "value": encode(record).decode(), "headers": []})
    return lines


def test_what_was_done_to_the_topic_before_the_file_was_written_is_found() -> None:
    """The file is then as it was written; the learner's own chain is not."""
    lines = chained(6)
    assert verified(file_of(lines)).changes == 6
    with pytest.raises(AuditError, match="records 3 to 3 of m are missing before record 4"):
        verified(file_of([*lines[:2], *lines[3:]]))
    altered = [{**each, "value": each["value"].replace("better", "ordered")} for each in lines[2:3]]
    with pytest.raises(AuditError, match="offset 4: record 4 of m does not follow record 3"):
        verified(file_of([*lines[:2], *altered, *lines[3:]]))


def test_an_update_that_nobody_trusted_has_signed_is_found(embedded: Any, tmp_path: Path) -> None:
    """What the topics hold is exported, and says which version answered when."""
    signer, other = Signer(Ed25519PrivateKey.generate()), Signer(Ed25519PrivateKey.generate())
    publisher = Publisher(embedded.bootstrap, signer=signer)
    publisher.announce(1)
    asked = Decision(id="d", model="m", ts=1.0, step="pin", why="audit", by="ann")
    for key in KEYS[1:]:
        publisher.sink.send(publisher.settings.topics.name(key), key="m", value=encode(asked))
    change = chained(1)[0]["value"].encode()
    publisher.sink.send(publisher.settings.topics.name("audit"), key="m", value=change, headers=signer.headers(change))
    publisher.sink.flush()
    kafka = f'[kafka]\n"bootstrap.servers" = "{embedded.bootstrap}"\n"fetch.wait.max.ms" = 50\n'
    steps = 'model.steps = [{ use = "dummy.PriorClassifier" }]'
    config, file = config_in(tmp_path, f'name = "m"\ntask = "binary"\n{steps}\n{kafka}'), tmp_path / "audit.jsonl"
    done = anabranch("audit", "export", config, file)
    assert done.returncode == 0, done.stderr
    head = done.stdout.split()[-1]
    assert anabranch("audit", "verify", file, "--head", head, "--trust", signer.public).returncode == 0
    assert anabranch("audit", "verify", file, "--head", "x").returncode == 1
    with pytest.raises(AuditError, match=r"the update at offset 0 of model-updates: it is signed by a key"):
        verified(file.read_bytes().splitlines(), keys=TrustedKeys([other.public]))
    assert "models:/m/1 since" in anabranch("audit", "at", config, "2100-01-01T00:00:00Z").stdout
    assert "no version of m" in anabranch("audit", "at", config, "1969-01-01T00:00:00Z").stdout

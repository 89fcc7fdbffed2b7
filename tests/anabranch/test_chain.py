"""The chain of an audit: what a reader finds of records that were altered, dropped, moved, torn or cut off."""

import time
from collections.abc import Iterable

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anabranch.chain import ChainReader, Head, digest
from anabranch.signatures import Signer, TrustedKeys


def chained(count: int, *, epoch: int = 1, model: str = "m") -> list[bytes]:
    """So many records."""
    made: list[bytes] = []
    for number in range(1, count + 1):
        follows = digest(made[-1]) if made else ""
        made.append(
            orjson.dumps(
                {
                    "model": model,
                    "scope": "global",
                    "number": number,
                    "follows": follows,
                    "epoch": epoch,
                    "why": "x" * 400,
                }
            )
        )
    return made


def followed(values: Iterable[bytes], keys: TrustedKeys | None = None) -> ChainReader:
    reader = ChainReader(keys)
    for offset, value in enumerate(values):
        reader.add(value, where=f"offset {offset}")
    return reader


def test_a_chain_as_it_was_told_has_no_faults() -> None:
    """Told again by a learner that went on after a crash, and with another model's between, too."""
    mine, other = chained(6), chained(2, model="other")
    reader = followed([*mine[:4], other[0], *mine[2:5], other[1], mine[5]])
    assert (reader.faults, reader.records, reader.repeated) == ([], 8, 2)
    assert reader.chains["m", "global"].head == Head(6, digest(mine[5]))


@pytest.mark.parametrize(
    ("tampered", "named"),
    [
        (
            lambda made: [*made[:3], made[3].replace(b"xxx", b"yyy"), *made[4:]],
            "record 5 of m does not follow record 4",
        ),
        (lambda made: [*made[:3], *made[5:]], "records 4 to 5 of m are missing before record 6"),
        (lambda made: [*made[:2], made[3], made[2], *made[4:]], "record 3 of m stands behind record 4"),
        (lambda made: [*made[:3], made[3][:50], *made[4:]], "offset 3: it is no record of an audit"),
        (lambda made: [*made, *chained(2, epoch=2)], "another chain of m begins"),
        (lambda made: [*made, b"7"], "offset 8: it is no record"),
    ],
    ids=["altered", "dropped", "moved", "torn", "begun anew", "foreign"],
)
def test_what_was_done_to_it_is_named(tampered: object, named: str) -> None:
    """With the place, and the record's number."""
    faults = followed(tampered(chained(8))).faults  # type: ignore[operator]
    assert any(named in each for each in faults), faults


def test_an_end_that_was_cut_off_or_altered_shows_by_a_head_that_was_kept() -> None:
    """A head of before is found as well, and one of a chain that goes on is no fault."""
    made = chained(8)
    kept = Head(8, digest(made[7]))
    cut, altered, whole = followed(made[:6]), followed([*made[:7], made[7].replace(b"x", b"y")]), followed(made)
    for reader in (cut, altered, whole):
        reader.compare("m", "global", kept)
    assert cut.faults == ["records 7 to 8 of m are missing at the end"]
    assert altered.faults == ["record 8 of m is not the one that was the head: it was altered"]
    whole.compare("m", "global", Head(3, digest(made[2])))
    assert whole.faults == []
    assert Head.read(kept.text) == kept


def test_a_record_that_no_trusted_key_has_signed_is_named() -> None:
    """Whoever may write to the topic could else go on with the chain."""
    made, mine, theirs = chained(2), Signer(Ed25519PrivateKey.generate()), Signer(Ed25519PrivateKey.generate())
    reader = ChainReader(TrustedKeys([mine.public]))
    reader.add(made[0], mine.headers(made[0]), where="offset 0")
    reader.add(made[1], theirs.headers(made[1]), where="offset 1")
    (fault,) = reader.faults
    assert fault.startswith("offset 1: record 2 of m: it is signed by a key that is not among")


def test_ten_thousand_records_are_verified_within_five_seconds() -> None:
    """Of processor time, signatures included, as other work may go on here."""
    signer = Signer(Ed25519PrivateKey.generate())
    made = [(value, signer.headers(value)) for value in chained(10_000)]
    reader, began_s = ChainReader(TrustedKeys([signer.public])), time.process_time()
    for value, headers in made:
        reader.add(value, headers, where="")
    assert time.process_time() - began_s < 5
    assert reader.faults == []

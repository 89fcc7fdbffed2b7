"""The edge: what is hidden is dropped and redacted, and who is behind a pseudonym is the same one everywhere."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.privacy import MARK, OPEN, Edge

KEY = b"0123456789abcdef"
HERS = "078-05-1120"

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
PLACES = [
    lambda tree: {"ssn": HERS, "x": tree},
    lambda tree: {"features": {"SSN_2": {"is": [HERS, tree]}}},
    lambda tree: [tree, {"event": orjson.dumps({"ssn": HERS}).decode()}],
    lambda tree: {"features": {"note": f"her ssn: {HERS}", "x": tree}},
    lambda tree: {"x": tree, "features": {"customer": HERS}},
    lambda tree: {"id": HERS, "x": tree},
    lambda tree: {"before": {"event_id": HERS}, "x": tree},
]


@given(tree=TREES, place=st.sampled_from(PLACES))
def test_a_redacted_record_holds_no_secret(tree: Any, place: Any) -> None:
    """At any depth, under a name in any case of letters, in JSON within a string, and in a text that mentions it."""
    value = orjson.dumps(place(tree))
    clean, extent = Edge(hidden=["ssn"], users=["customer"], key=KEY).redacted(value)
    assert HERS.encode() not in clean
    assert extent in ("values", "all")
    if extent == "values":
        orjson.loads(clean)


@pytest.mark.parametrize(
    "value",
    [
        b'{"ssn": "078-05-1120"',
        b"ssn=078-05-1120",
        b'"078-05-1120"',
        b"\x00\x00\x00\x00\x07078-05-1120",
        orjson.dumps({"ssn": HERS}).decode().encode("utf-16"),
        b'{"a":' * 2000 + b'"078-05-1120"' + b"}" * 2000,
        b'{"a":' * 600 + b'{"ssn":"078-05-1120"}' + b"}" * 600,
    ],
)
def test_nothing_is_left_of_what_cannot_be_read(value: bytes) -> None:
    """Torn JSON, other formats, a bare text, and JSON that is nested too deeply to be written again."""
    assert Edge(hidden=["ssn"]).redacted(value) == (b"", "all")


def test_what_holds_nothing_hidden_stays_as_it_came() -> None:
    """To the byte; and without [privacy] everything does."""
    value = b' { "id": "e1",  "features": {"a": 1.0} }'
    assert Edge(hidden=["ssn"]).redacted(value) == (value, "")
    assert OPEN.redacted(b"{") == (b"{", "")
    assert OPEN.features({"ssn": 1}) == {"ssn": 1}


def test_equal_values_have_one_pseudonym_wherever_they_stand() -> None:
    """As id, Kafka key, feature and in a dead letter; 5, 5.0 and "5" are one user; another key gives others."""
    edge, other = Edge(users=["user"], key=KEY), Edge(users=["user"], key=b"f" * 16)
    one = edge.pseudonym("5")
    assert [edge.features({"user": each})["user"] for each in (5, 5.0, "5")] == [one] * 3
    assert edge.of_key(b"5") == one
    assert orjson.loads(edge.redacted(b'{"user": 5}').value) == {"user": one}
    assert len({one, edge.pseudonym("6"), other.pseudonym("5")}) == 3
    assert edge.features({"user": None, "a": 2}) == {"user": None, "a": 2}
    assert len({edge.pseudonym(str(n)) for n in range(20_000)}) == 20_000


def test_groups_are_read_before_they_are_dropped() -> None:
    """Only of hidden features, and only those that groups are made of."""
    edge = Edge(hidden=["sex", "ssn"], groups=["sex", "country"])
    x = {"sex": "f", "ssn": HERS, "country": "PT"}
    assert edge.apart(x) == {"sex": "f"}
    assert edge.features(x) == {"country": "PT"}


def test_bytes_that_were_taken_out_are_recognised_by_who_has_the_key() -> None:
    """A plain hash of a short record could be found by trying."""
    assert Edge(hidden=["ssn"], key=KEY).digest(b"x") != Edge(hidden=["ssn"]).digest(b"x")
    assert MARK.encode() in Edge(hidden=["ssn"]).redacted(b'{"ssn": 1}').value

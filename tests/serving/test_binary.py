"""Binary tensors: what fits arrives, and lengths that lie are refused."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from anabranch.testing import MemoryFollower
from serving import binary
from serving.refusal import Refusal
from support.scorers import FEATURES, Scorer, linear, scorer


def body(*tensors: dict[str, Any], behind: bytes) -> tuple[bytes, str]:
    """A request's bytes, and the length of its JSON."""
    data = json.dumps({"inputs": tensors}).encode()
    return data + behind, str(len(data))


def tensor(size: Any, *, datatype: Any = "FP64", **more: Any) -> dict[str, Any]:
    """One row or several of an input that stands behind the JSON."""
    return {"name": "a", "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}, **more}


@pytest.fixture(scope="module")
def served() -> Iterator[Scorer]:
    """A scorer with one model."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    with scorer(follower) as running:
        yield running


@pytest.mark.parametrize(
    ("datatype", "data", "values"),
    [
        ("FP64", struct.pack("<2d", 1.5, -2.0), [1.5, -2.0]),
        ("FP32", struct.pack("<f", 0.5), [0.5]),
        ("UINT64", struct.pack("<Q", 2**64 - 1), [2**64 - 1]),
        ("BOOL", b"\x01\x00", [True, False]),
        ("BYTES", b"\x02\0\0\0ab\0\0\0\0", ["ab", ""]),
        ("FP64", b"", []),
    ],
)
def test_values_arrive(datatype: str, data: bytes, values: list[Any]) -> None:
    """As lists of JSON would."""
    sent, header = body(tensor(len(data), datatype=datatype), behind=data)
    assert binary.table_of(sent, header=header)["inputs"][0]["data"] == values


EIGHT = b"\0" * 8
WRONG: list[tuple[list[dict[str, Any]], bytes]] = [
    ([tensor(16)], EIGHT),
    ([tensor(-8)], EIGHT),
    ([tensor(2**70)], EIGHT),
    ([tensor("8")], EIGHT),
    ([tensor(True)], b"\0"),
    ([tensor(7)], EIGHT[:7]),
    ([tensor(8)], EIGHT * 2),
    ([tensor(8), tensor(8)], EIGHT),
    ([tensor(8, data=[1.0])], EIGHT),
    ([tensor(8, datatype="BF16")], EIGHT),
    ([tensor(8, datatype=["FP64"])], EIGHT),
    ([tensor(8, datatype="BYTES")], b"\xff\xff\xff\xff1234"),
    ([tensor(3, datatype="BYTES")], b"\0\0\0"),
    ([tensor(5, datatype="BYTES")], b"\1\0\0\0\xff"),
]


@pytest.mark.parametrize(("tensors", "behind"), WRONG)
def test_what_does_not_fit_is_refused(tensors: list[dict[str, Any]], behind: bytes) -> None:
    """With 400."""
    sent, header = body(*tensors, behind=behind)
    with pytest.raises(Refusal) as caught:
        binary.table_of(sent, header=header)
    assert caught.value.status == 400


@pytest.mark.parametrize("header", ["", "-1", "x", "1e3", "²", "9" * 5000, "1000000"])
def test_a_length_of_the_json_that_lies_is_refused(header: str) -> None:
    """It is a number within the body."""
    with pytest.raises(Refusal):
        binary.table_of(b"{}", header=header)


def test_it_is_refused_over_the_socket_too(served: Scorer) -> None:
    """No number is no feature; parameters that are none are no crash."""
    nan, header = body({**tensor(8), "name": "amount"}, behind=struct.pack("<d", float("nan")))
    reply = served.ask("/v2/models/fraud/infer", nan, Inference_Header_Content_Length=header)
    assert (400 <= reply.status < 500, set(reply.body)) == (True, {"error"})
    for odd in (7, [1], "text"):
        table = {"inputs": [{"name": "amount", "shape": [1], "datatype": "FP64", "data": [6.0], "parameters": odd}]}
        assert served.ask("/v2/models/fraud/infer", {**table, "parameters": odd}).status == 200

"""The protocol's binary tensors: values that stand behind the JSON of a request or a response, little-endian."""

import struct
from typing import Any

import numpy as np

from serving import rows
from serving.refusal import Refusal

HEADER = "inference-header-content-length"
"""Of requests and responses: how many bytes of the body are its JSON."""

DTYPES = {
    "BOOL": "?",
    **{f"{sign}INT{bits}": f"<{kind}{bits // 8}" for sign, kind in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}
_LENGTH = struct.Struct("<I")


def table_of(body: bytes, *, header: str | None) -> Any:
    """The JSON of a request, the binary values in it as if they had come as lists.

    Raises:
        Refusal: 400; lengths that do not fit, or bytes that are no values of the datatype.
    """
    if header is None:
        return rows.table_of(body)
    length = int(header) if header.isascii() and header.isdigit() and len(header) < 12 else -1
    if not 0 <= length <= len(body):
        raise Refusal(400, f"{HEADER}: {header[:20]!r} is not the length of the JSON in {len(body)} bytes")
    table, begin = rows.table_of(body[:length]), length
    for number, tensor in enumerate(_tensors(table)):
        size = _size(tensor, most=len(body) - begin, field=f"inputs[{number}]")
        if size is not None:
            tensor["data"] = _values(body[begin : begin + size], tensor.get("datatype"), field=f"inputs[{number}]")
            begin += size
    if begin != len(body):
        raise Refusal(400, f"{len(body) - begin} bytes behind the last input", field="inputs")
    return table


def _tensors(table: Any) -> list[dict[str, Any]]:
    inputs = table.get("inputs") if isinstance(table, dict) else None
    return [each for each in inputs if isinstance(each, dict)] if isinstance(inputs, list) else []


def _size(tensor: dict[str, Any], *, most: int, field: str) -> int | None:
    """Takes `binary_data_size` out of an input; None: it came as JSON."""
    parameters = tensor.get("parameters")
    if not isinstance(parameters, dict) or "binary_data_size" not in parameters:
        return None
    size = parameters.pop("binary_data_size")
    if type(size) is not int or not 0 <= size <= most:
        raise Refusal(400, f"{size!r} bytes, and {most} are left"[:200], field=f"{field}.parameters.binary_data_size")
    if "data" in tensor:
        raise Refusal(400, "data stands in the JSON and behind it", field=f"{field}.data")
    return size


def _values(data: bytes, datatype: Any, *, field: str) -> list[Any]:
    if datatype == "BYTES":
        return _strings(data, field=field)
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise Refusal(400, f"{datatype!r} is none that is taken as binary data"[:200], field=f"{field}.datatype")
    dtype = np.dtype(DTYPES[datatype])
    if len(data) % dtype.itemsize:
        raise Refusal(400, f"{len(data)} bytes are no whole number of {datatype}", field=field)
    values: list[Any] = np.frombuffer(data, dtype=dtype).tolist()
    return values


def _strings(data: bytes, *, field: str) -> list[str]:
    """Each behind its length, four bytes."""
    found: list[str] = []
    begin = 0
    while begin < len(data):
        end = begin + _LENGTH.size
        if end > len(data) or (end := end + _LENGTH.unpack_from(data, begin)[0]) > len(data):
            raise Refusal(400, f"string {len(found)} is longer than the data", field=field)
        try:
            found.append(data[begin + _LENGTH.size : end].decode())
        except UnicodeDecodeError as error:
            raise Refusal(400, f"string {len(found)} is not UTF-8", field=field) from error
        begin = end
    return found


def wanted(table: dict[str, Any], names: list[str]) -> set[str]:
    """Those of the outputs that the request wants as binary data, each by itself or all together."""
    asked = {each["name"]: _parameters(each).get("binary_data") for each in table.get("outputs") or ()}
    otherwise = _parameters(table).get("binary_data_output")
    return {name for name in names if (otherwise if asked.get(name) is None else asked[name]) is True}


def _parameters(table: dict[str, Any]) -> dict[str, Any]:
    found = table.get("parameters")
    return found if isinstance(found, dict) else {}


def taken_out(outputs: list[dict[str, Any]], names: set[str]) -> bytes:
    """The values of these outputs as bytes, which stand behind the JSON; there, their size is told instead."""
    behind = b""
    for each in outputs:
        if each["name"] in names:
            data = _packed(each.pop("data"), each["datatype"])
            each["parameters"] = {**each.get("parameters", {}), "binary_data_size": len(data)}
            behind += data
    return behind


def _packed(values: list[Any], datatype: str) -> bytes:
    if datatype != "BYTES":
        return np.asarray(values, dtype=DTYPES[datatype]).tobytes()
    texts = ["" if each is None else each for each in values]  # there is no null among bytes
    return b"".join(_LENGTH.pack(len(data)) + data for data in map(str.encode, texts))

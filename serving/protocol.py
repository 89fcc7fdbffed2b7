"""The Open Inference Protocol, version 2: a request's tensors as events, and answers as tensors.

Rows of a table: one named input for each feature, of shape [n] or [n, 1]. Strings are BYTES, a missing value is null.
"""

from collections.abc import Sequence
from typing import Any

from serving.models import Answer, Answerer
from serving.refusal import Refusal
from serving.rows import STRING_MAX, Row, see_value, too_many

FLOATS = ("FP16", "FP32", "FP64", "BF16")
INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
READ_AS: dict[str, tuple[type, ...]] = {
    "BOOL": (bool,),
    "BYTES": (str,),
    **dict.fromkeys(INTEGERS, (int,)),
    **dict.fromkeys(FLOATS, (int, float)),
}
"""What JSON may hold for each datatype, besides null."""

DATATYPES = {"number": "FP64", "boolean": "BOOL", "string": "BYTES"}
"""Of a feature, by its kind."""

_INPUT_KEYS = {"name", "shape", "datatype", "parameters", "data"}


def rows_of(table: Any, *, rows_max: int, string_max: int = STRING_MAX) -> list[Row]:
    """The events in an inference request.

    Raises:
        Refusal: 400, naming the input.
    """
    if not isinstance(table, dict) or not isinstance(table.get("inputs"), list) or not table["inputs"]:
        raise Refusal(400, 'an inference request is {"inputs": [{"name", "shape", "datatype", "data"}, …]}')
    columns: dict[str, list[Any]] = {}
    for number, tensor in enumerate(table["inputs"]):
        name, values = _column(tensor, field=f"inputs[{number}]", string_max=string_max)
        if name in columns:
            raise Refusal(400, "two inputs of one name", field=f"inputs[{number}].name")
        columns[name] = values
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        counted = ", ".join(f"{name} has {len(values)}" for name, values in list(columns.items())[:5])
        raise Refusal(400, f"every input is one column of the same rows, but {counted}", field="inputs")
    too_many(lengths.pop(), rows_max)
    id_ = table.get("id")
    return [
        Row(id_ if isinstance(id_, str) else None, dict(zip(columns, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    ]


def _column(tensor: Any, *, field: str, string_max: int) -> tuple[str, list[Any]]:
    """An input's name and values."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise Refusal(400, "an input has a name, a shape, a datatype and data", field=field)
    parameters = tensor.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        raise Refusal(400, "binary data needs the header Inference-Header-Content-Length", field=field)
    unknown = tensor.keys() - _INPUT_KEYS
    if unknown:
        raise Refusal(400, "no such key of an input", field=f"{field}.{min(unknown)}"[:200])
    datatype, shape, data = tensor.get("datatype"), tensor.get("shape"), tensor.get("data")
    if not isinstance(datatype, str) or datatype not in READ_AS:
        raise Refusal(400, f"{datatype!r} is not one of {', '.join(READ_AS)}"[:300], field=f"{field}.datatype")
    if not isinstance(data, list):
        raise Refusal(400, "data is a list", field=f"{field}.data")
    values = [each for row in data for each in row] if data and all(isinstance(each, list) for each in data) else data
    fits = isinstance(shape, list) and shape in ([len(values)], [len(values), 1])
    if not fits:
        raise Refusal(
            400,
            f"{shape!r} does not fit {len(values)} values: a feature's shape is [n] or [n, 1]"[:300],
            field=f"{field}.shape",
        )
    for each in values:
        if each is not None and type(each) not in READ_AS[datatype]:
            raise Refusal(400, f"{each!r} is no {datatype}"[:300], field=f"{field}.data")
        see_value(each, field=f"{field}.data", string_max=string_max)
    return tensor["name"], [float(each) for each in values] if datatype in FLOATS and None not in values else values


def see_outputs(table: Any, answerer: Answerer) -> list[str] | None:
    """The names of the outputs that are asked for; None: all.

    Raises:
        Refusal: 400; one that the model does not give.
    """
    wanted = table.get("outputs")
    if not wanted:
        return None
    known = [each["name"] for each in outputs_of(answerer)]
    if not isinstance(wanted, list) or not all(isinstance(each, dict) for each in wanted):
        raise Refusal(400, 'outputs is a list of {"name": …}', field="outputs")
    for number, each in enumerate(wanted):
        if each.get("name") not in known:
            raise Refusal(400, f"the model gives {', '.join(known)}", field=f"outputs[{number}].name")
    return [each["name"] for each in wanted]


def metadata(answerer: Answerer, *, name: str) -> dict[str, Any]:
    """What a model takes and gives."""
    kinds = answerer.kinds
    return {
        "name": name,
        "versions": [str(answerer.version)],
        "platform": "anabranch_river",
        "inputs": [
            {"name": each, "datatype": DATATYPES.get(kinds.get(each, ""), "FP64"), "shape": [-1]}
            for each in sorted(answerer.features)
        ],
        "outputs": outputs_of(answerer),
    }


def outputs_of(answerer: Answerer) -> list[dict[str, Any]]:
    """The tensors that a model gives: its labels or numbers, and the probabilities where it has any."""
    task = answerer.champion.artifact.task
    datatype = {"binary": "BOOL", "multiclass": "BYTES"}.get(task, "FP64")
    outputs: list[dict[str, Any]] = [{"name": "prediction", "datatype": datatype, "shape": [-1]}]
    if answerer.proba_of is not None and task == "binary":
        outputs.append({"name": "probability", "datatype": "FP64", "shape": [-1]})
    elif answerer.proba_of is not None:
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, -1]})
    return outputs


def response(
    answerer: Answerer, answers: Sequence[Answer], *, name: str, id_: Any, wanted: list[str] | None
) -> dict[str, Any]:
    """The response to an inference request."""
    outputs = [_tensor(each, answers) for each in outputs_of(answerer) if wanted is None or each["name"] in wanted]
    table: dict[str, Any] = {"model_name": name, "model_version": str(answerer.version)}
    if isinstance(id_, str):
        table["id"] = id_
    parameters = {name: value for name, value in answerer.about.items() if name in ("epoch", "seq", "age_s")}
    return {**table, "parameters": parameters, "outputs": outputs}


def _tensor(output: dict[str, Any], answers: Sequence[Answer]) -> dict[str, Any]:
    name, count = output["name"], len(answers)
    if name == "probability":
        return {**output, "shape": [count], "data": [(each.proba or {}).get(True, 0.0) for each in answers]}
    if name == "probabilities":
        labels = sorted({label for each in answers for label in each.proba or {}}, key=str)
        data = [[(each.proba or {}).get(label, 0.0) for label in labels] for each in answers]
        shape = [count, len(labels)]
        return {**output, "shape": shape, "parameters": {"labels": [str(each) for each in labels]}, "data": data}
    return {**output, "shape": [count], "data": [_value(each.value, output["datatype"]) for each in answers]}


def _value(value: Any, datatype: str) -> Any:
    if datatype == "BYTES":
        return None if value is None else str(value)
    return bool(value) if datatype == "BOOL" else value

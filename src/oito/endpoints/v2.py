"""Open Inference Protocol V2, its JSON form: metadata, and requests as rows. Binary tensors and gRPC are not spoken."""

from typing import Any

from oito.endpoints.served import Served
from oito.errors import BadRequest, NotFound
from oito.names import did_you_mean

_DATATYPES = {"number": "FP64", "boolean": "BOOL", "category": "BYTES"}


def server() -> dict[str, Any]:
    """Return the server's metadata."""
    return {"name": "oito", "version": "0.1.0", "extensions": []}


def model(served: Served) -> dict[str, Any]:
    """Return the model's metadata: one tensor of shape [-1] a column and an output."""
    return {
        "name": served.endpoint,
        "versions": [served.version],
        "platform": "oito",
        "inputs": [{"name": c.name, "datatype": _DATATYPES[c.kind], "shape": [-1]} for c in served.signature.columns],
        "outputs": [{"name": name, "datatype": "FP64", "shape": [-1]} for name in served.outputs],
    }


def rows(served: Served, body: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None, list[str]]:
    """Return the rows of an inference request, its id, and the outputs it wants, in its order.

    Raises:
        BadRequest: a tensor is malformed, or tensors differ in length.
        NotFound: an output does not exist.
    """
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise BadRequest("inputs is missing or no list of tensors")
    columns = dict(_tensor(given) for given in inputs)
    lengths = {len(data) for data in columns.values()}
    if len(columns) != len(inputs) or len(lengths) != 1:
        raise BadRequest("each input must be given once, and all with the same number of rows")
    echo = body.get("id")
    if echo is not None and not isinstance(echo, str):
        raise BadRequest("id is no text")
    names = list(columns)
    return (
        [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        echo,
        _wanted(served, body),
    )


def _tensor(given: Any) -> tuple[str, list[Any]]:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise BadRequest("an input is no tensor", known="a tensor has name, shape, datatype and data")
    name, data, shape = given["name"][:80], given.get("data"), given.get("shape")
    if not isinstance(data, list):
        raise BadRequest(
            f"the input {name!r} has no data", known="binary tensors are not taken", next="send data as JSON"
        )
    if shape not in ([len(data)], [len(data), 1]):
        raise BadRequest(f"the shape of the input {name!r} does not fit its data", known=f"it has {len(data)} values")
    return given["name"], data


def _wanted(served: Served, body: dict[str, Any]) -> list[str]:
    given = body.get("outputs") or [{"name": name} for name in served.outputs]
    names = (
        [item.get("name") if isinstance(item, dict) else None for item in given] if isinstance(given, list) else [None]
    )
    for name in names:
        if name not in served.outputs:
            raise NotFound("no such output", known=did_you_mean(str(name)[:80], served.outputs))
    return [str(name) for name in names]

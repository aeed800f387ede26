"""The OpenAPI 3.1 description of what a process serves, made from the model's signature. Serving it is the desk's work."""

from typing import Any

from oito.catalog.signature import Column
from oito.endpoints.served import Served

_TYPES = {"number": "number", "boolean": "boolean", "category": "string"}
_ERROR_FIELDS = ("error", "what", "where", "known", "next")


def description(served: Served) -> dict[str, Any]:
    """Return the document as plain data.

    With `enrich`, a row must give no particular column: what it lacks is looked up.
    """
    columns = {column.name: _column(column) for column in served.signature.columns}
    extra: dict[str, Any] = {name: {} for name in served.request_fields if name not in columns}
    row = {
        "type": "object",
        "properties": {**columns, **extra},
        "required": list(columns) if served.enrich is None else [],
        "additionalProperties": False,
    }
    number: dict[str, Any] = {"type": ["number", "null"]}
    several = {"type": "object", "properties": dict.fromkeys(served.outputs, number)}
    prediction = {
        "type": "object",
        "properties": {
            "prediction_id": {"type": "string"},
            "model": {"type": "string"},
            "prediction": number if len(served.outputs) == 1 else several,
        },
    }
    truth = {
        "type": "object",
        "properties": {
            "prediction_id": {"type": "string"},
            "truth": {"type": ["number", "string", "boolean"]},
            "at": {"type": "string", "format": "date-time"},
        },
        "required": ["prediction_id", "truth"],
    }
    schemas = {
        "Row": row,
        "Rows": _listed("rows", "Row"),
        "Prediction": prediction,
        "Predictions": _listed("predictions", "Prediction", "Error"),
        "Feedback": truth,
        "Feedbacks": _listed("rows", "Feedback"),
        "Error": {"type": "object", "properties": {name: {"type": "string"} for name in _ERROR_FIELDS}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": served.endpoint, "version": served.version, "description": f"Answers with {served.model}."},
        "paths": {
            "/predict": {"post": _operation("Score one row or many.", ["Row", "Rows"], ["Prediction", "Predictions"])},
            "/feedback": {"post": _operation("Tell the truth of earlier predictions.", ["Feedback", "Feedbacks"], [])},
            **{path: {"get": _operation(text, [], [])} for path, text in _READS.items()},
        },
        "components": {"schemas": schemas},
    }


_READS = {
    "/": "What is served.",
    "/health": "Whether the process lives.",
    "/ready": "Whether it takes requests.",
    "/metrics": "Counters as Prometheus text.",
    "/openapi.json": "This document.",
}


def _column(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {"type": [_TYPES[column.kind], "null"]}
    if column.kind == "category":
        described["examples"] = list(column.categories[:3])  # others are allowed: they count as never seen
    return described


def _listed(name: str, *schemas: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "array", "items": _any_of(schemas)}}, "required": [name]}


def _any_of(schemas: tuple[str, ...] | list[str]) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{name}"} for name in schemas]
    return references[0] if len(references) == 1 else {"anyOf": references}


def _operation(summary: str, takes: list[str], gives: list[str]) -> dict[str, Any]:
    content = {"application/json": {"schema": _any_of(gives)}} if gives else {}
    error = {"description": "Error", "content": {"application/json": {"schema": _any_of(["Error"])}}}
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": {"description": "OK", "content": content}}}
    operation["responses"]["default"] = error
    if takes:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _any_of(takes)}}}
    return operation

"""What an endpoint looks like: what it takes and gives, the proof of its compiled model, what it served, and its traffic."""

from __future__ import annotations

import json
from typing import Any

from oito.catalog import environments, versions
from oito.catalog.records import Version
from oito.endpoints import traffic
from oito.endpoints.loading import signature_of
from oito.endpoints.requests import Fields
from oito.flow.project import Asset
from oito.flow.site import Site
from oito.show import Badge, Block, Cell, Facts, Link, Table, Text

WINDOW = 20_000  # predictions that charts are drawn from
LATEST = 20


def asset_blocks(site: Site, asset: Asset, version: Version | None) -> list[Block]:
    """Return what a caller must know, then what was answered lately."""
    if version is None:
        return []
    lately = traffic.of(site, asset.name, WINDOW)
    facts = Facts([
        ("answers with", Link(version.record["model"], f"/assets/{version.record['model']}")),
        ("predictions looked at", lately.count), ("truths sent as feedback", lately.feedback_count()),
        ("environment", lately.environment),
    ], title="Traffic")  # fmt: skip
    return [*version_blocks(site, version), _served(site, asset.name), facts, *lately.charts(), lately.table(LATEST)]


def version_blocks(site: Site, version: Version) -> list[Block]:
    """Return what a version takes and gives, a call to copy, and the proof of its compiled model."""
    return [_fields(version), Text(_call(site, version), title="Ask it", language="sh"), _proof(version)]


def _fields(version: Version) -> Table:
    record, fields = version.record, Fields(version.record)
    rows: list[list[Cell]] = []
    signature = signature_of(version)
    for name in record["request_fields"]:
        if name not in signature.names:
            use = (
                "time of asking, now when absent"
                if name == record["time"]
                else "key"
                if name in record["entity"]
                else "to look up by"
            )
            rows.append([name, fields.takes(name), use])
    needed = record["features"] or record["on_request"]
    for column in signature.columns:
        words = {"number": "a number", "boolean": "true or false", "category": "a text"}[column.kind]
        few = ", ".join(column.categories[:5]) + (", …" if len(column.categories) > 5 else "")
        told = column.name in record["request_fields"] or not needed
        rows.append(
            [column.name, f"{words}: {few}" if few else words, "input" if told else "input, looked up when absent"]
        )
    rows += [[name, "a number", "answer"] for name in record["outputs"]]
    return Table(["field", "takes", "use"], rows, title="Takes and gives")


def _call(site: Site, version: Version) -> str:
    record, signature = version.record, signature_of(version)
    keyed = record["features"] or record["on_request"]
    names = record["request_fields"] if keyed else signature.names
    kinds = {column.name: column for column in signature.columns}
    row = {name: _example(record["request_types"].get(name, ""), kinds.get(name)) for name in names}
    address = f"http://127.0.0.1:{site.settings.serve_port}/predict"
    return f"oito serve {version.asset}\ncurl {address} -d '{json.dumps(row)}'"


def _example(written: str, column: Any) -> Any:
    if column is not None and column.kind == "category":
        return next(iter(column.categories), "text")
    if written.startswith("Datetime"):
        return "2013-11-01T06:30:00Z"
    if written == "Boolean" or (column is not None and column.kind == "boolean"):
        return True
    return (
        1
        if written.startswith(("Int", "UInt"))
        else 1.5
        if written.startswith("Float") or column is not None
        else "text"
    )


def _proof(version: Version) -> Facts:
    proof = version.record["proof"]
    verdict = "bit-equal" if proof["bit_equal"] else f"within {proof['max_difference']:.1e}"
    pairs: list[tuple[str, Cell]] = [
        ("runs as", proof["kind"]), ("against the trained model", Badge(verdict, "good")), ("rows compared", proof["rows"]),
        ("same class", f"{proof['class_agreement']:.2%}"),
    ]  # fmt: skip
    if proof["reason"]:
        pairs.append(("why not compiled", proof["reason"]))
    return Facts(pairs, title="Proof of the compiled model")


def _served(site: Site, endpoint: str) -> Table:
    """Return where the endpoint pointed over time, in every environment, newest first."""
    moves = [
        move
        for name in environments.names(site.catalog.rows)
        for move in environments.moves(site.catalog.rows, name, endpoint)
    ]
    known = versions.by_ids(site.catalog.rows, {move.version for move in moves if move.version})
    rows: list[list[Cell]] = []
    for move in sorted(moves, key=lambda each: each.at, reverse=True)[:LATEST]:
        version = known.get(move.version or 0)
        link: Cell = Link(version.ref, f"/assets/{version.ref}") if version else "nothing"
        rows.append([move.at, move.environment, link, version.record["model"] if version else None])
    return Table(["from", "environment", "version", "model"], rows, title="Versions over time")

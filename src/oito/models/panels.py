"""What a design looks like: what it learns from, what it is built of, what is searched, and what it must beat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oito.catalog.records import Version
from oito.flow.project import Asset
from oito.flow.site import Site
from oito.show import Badge, Block, Cell, Facts, Form, Graph, Node, Table

if TYPE_CHECKING:
    from oito.models.linter import Finding


def asset_blocks(site: Site, asset: Asset, version: Version | None) -> list[Block]:
    """Return a way to look for leaks in what the design would learn from now."""
    return [Form("model lint", {"asset": asset.name}, title="Look for leaks")]


def version_blocks(site: Site, version: Version) -> list[Block]:
    """Return the design card of one version."""
    record = version.record
    estimator = record["estimator"]
    facts: list[tuple[str, Cell]] = [
        ("task", record["task"]), ("labels", record["labels"]), ("estimator", estimator["class"]),
        ("request columns", "all that can be" if record["request"] is None else ", ".join(record["request"])),
        ("left out", ", ".join(record["exclude"])), ("must beat", ", ".join(record["baselines"])),
    ]  # fmt: skip
    space: list[list[Cell]] = [[name, part["kind"], *_range(part)] for name, part in record["space"].items()]
    params: list[list[Cell]] = [[name, text] for name, text in _parameters(estimator)]
    return [
        Facts([pair for pair in facts if pair[1]], title="Design"),
        _graph(version.asset, record),
        Table(
            ["parameter", "kind", "values", "scale", "first"], space, title="Search space", empty="nothing is searched"
        ),
        Table(["parameter", "value"], params, title="Built with first values", empty="no parameters"),
    ]


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return what the leak linter found."""
    rows: list[list[Cell]] = [
        [Badge(each.severity, "bad" if each.severity == "error" else "warn"), each.trap, each.column, each.text]
        for each in findings
    ]
    return Table(["severity", "trap", "column", "what"], rows, title="Findings", empty="no leak was found")


def _graph(name: str, record: Mapping[str, Any]) -> Graph:
    labels = [Node(record["labels"], record["labels"], "labels", "plain", f"/assets/{record['labels']}")]
    views = [Node(each, each, "features", "plain", f"/assets/{each}") for each in record["features"]]
    views += [Node(each, each, "on request", "quiet", f"/assets/{each}") for each in record["on_request"]]
    node = Node(name, name, record["estimator"]["class"].rpartition(".")[2], "good", f"/assets/{name}")
    return Graph("Learns from", [*labels, *views, node], [(each.id, name) for each in (*labels, *views)])


def _range(part: Mapping[str, Any]) -> tuple[Cell, Cell, Cell]:
    if part["kind"] == "choice":
        return ", ".join(map(str, part["options"])), None, _first(part["default"], part["options"][0])
    if part["kind"] == "fixed":
        return None, None, _first(part["value"], None)
    return f"{part['low']} to {part['high']}", "log" if part["log"] else "linear", _first(part["default"], "middle")


def _first(value: Any, otherwise: Any) -> Cell:
    shown = otherwise if value is None else value
    return shown if shown is None or isinstance(shown, str | int | float) else str(shown)


def _parameters(estimator: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Cell]]:
    """Yield the parameters of an estimator, those of estimators inside it under a dotted name."""
    for name, value in estimator.get("params", {}).items():
        inside = [(name, value)]
        if isinstance(value, list) and value and all(isinstance(part, list) and len(part) > 1 for part in value):
            inside = [(f"{name}.{part[0]}", part[1]) for part in value]  # the steps of a pipeline
        for path, part in inside:
            if isinstance(part, Mapping) and "class" in part:
                yield f"{before}{path}", part["class"]
                yield from _parameters(part, f"{before}{path}.")
            elif part is not None:
                yield f"{before}{path}", part if isinstance(part, str | int | float) else str(part)

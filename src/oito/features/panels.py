"""What a feature view looks like: its columns, its freshness, how complete it is."""

from __future__ import annotations

from oito.catalog.records import Version
from oito.clock import moment
from oito.flow.project import Asset
from oito.flow.site import Site
from oito.names import duration_text
from oito.show import Block, Cell, Facts, Table, Text


def asset_blocks(site: Site, asset: Asset, version: Version | None) -> list[Block]:
    """Return what the newest version says of the view."""
    return version_blocks(site, version) if version else []


def version_blocks(site: Site, version: Version) -> list[Block]:
    """Return entity, times, freshness and the statistics of each column."""
    record = version.record
    if record["on_request"]:
        return [Text("Computed from the request itself, at the moment of asking.")]
    age = duration_text(site.now() - moment(record["newest"])) if record["newest"] else "no rows"
    facts = Facts([
        ("entity", ", ".join(record["entity"])), ("entities", record["entities"]), ("event time", record["time"]),
        ("known at", record["known_at"] or "the event time"), ("ttl", record["ttl"] or "none"), ("newest row is", f"{age} old"),
    ])  # fmt: skip
    rows: list[list[Cell]] = [
        [name, s["type"], f"{s['missing']:.1%}", s.get("mean"), s.get("low"), s.get("high")]
        for name, s in record["statistics"].items()
    ]
    return [facts, Table(["column", "type", "missing", "mean", "low", "high"], rows, title="Features")]

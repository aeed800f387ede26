"""What a source looks like on a page: its collections over time, how far it got, its files, and the rows set aside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from oito.catalog import versions
from oito.clock import moment
from oito.show import Block, Cell, Chart, Facts, Link, Series, Table

if TYPE_CHECKING:
    from oito.catalog.records import Version
    from oito.flow.project import Asset
    from oito.flow.site import Site

_SHOWN = 20
_FILES = 200


def asset_blocks(site: Site, asset: Asset, version: Version | None) -> list[Block]:
    """Return the collections of a source, newest first, their rows over time, and where the newest one stands."""
    listed = versions.listed(site.catalog.rows, asset.name)
    blocks: list[Block] = []
    if len(listed) > 1:
        blocks.append(_chart(asset.name, list(reversed(listed))))
    blocks.append(collections(listed))
    return blocks + (version_blocks(site, version) if version else [])


def version_blocks(site: Site, version: Version) -> list[Block]:
    """Return how far one collection got, the files it knows, and the rows it set aside."""
    record = version.record
    blocks: list[Block] = [facts(version)]
    if record.get("files"):
        blocks.append(ledger(record["files"]))
    if "quarantine" in version.tables:
        blocks.append(aside(site, version, limit=_SHOWN))
    return blocks


def facts(version: Version) -> Facts:
    """Return how far a collection got, in words."""
    record = version.record
    column = record.get("cursor_column")
    pairs: list[tuple[str, Cell]] = [
        ("cursor", f"{column} = {record.get('cursor')}" if column else "none: it grows by its key or is read whole"),
        ("asked from", record.get("since") or "the beginning"),
        ("until", record.get("until")),
        ("key", ", ".join(record.get("key", [])) or "none"),
        ("rows read", record.get("read")),
        ("rows added", record.get("added")),
        ("set aside", f"{record.get('set_aside', 0):,} new, {record.get('quarantined', 0):,} in all"),
    ]
    if record.get("waiting"):
        pairs.append(("left for later", f"{record['waiting']:,} rows, the first known at {record['waits_until']}"))
    return Facts(pairs, "Collection")


def collections(listed: list[Version]) -> Table:
    """Return one row per collection that brought something."""
    rows = [
        [
            Link(each.ref, f"/assets/{each.ref}"), each.created_at, each.record.get("added"), each.rows,
            each.record.get("set_aside"), each.record.get("waiting"), each.record.get("cursor"),
        ]
        for each in listed[:_SHOWN]
    ]  # fmt: skip
    heads = ("version", "at", "added", "rows", "set aside", "wait", "cursor")
    return Table(heads, rows, "Collections", "nothing was collected yet")


def ledger(files: list[dict[str, Any]]) -> Table:
    """Return the files that were read, those changed last first."""
    newest = sorted(files, key=lambda each: (-each["changed_ns"], each["path"]))[:_FILES]
    rows = [
        [each["path"], each["rows"], each["size_bytes"], _at(each["changed_ns"]), each["waits_until"] or None]
        for each in newest
    ]
    more = f", the newest {_FILES} of {len(files):,}" if len(files) > _FILES else ""
    return Table(("file", "rows", "size in bytes", "changed at", "rows wait until"), rows, f"Files{more}")


def aside(site: Site, version: Version, *, limit: int) -> Table:
    """Return rows that were set aside with their reasons, the newest first."""
    total = version.record.get("quarantined", 0)
    return Table(*aside_rows(site, version, limit=limit), f"Set aside: {total:,} rows")


def aside_rows(site: Site, version: Version, *, limit: int) -> tuple[list[str], list[list[Cell]]]:
    """Return (columns, rows) of what was set aside, the newest first, the reason in front."""
    frame = site.table(version, "quarantine").collect().reverse().head(limit)
    first = ["set_aside_because", "set_aside_at"]
    names = [*first, *(name for name in frame.columns if name not in first)]
    rows = [[str(cell) if isinstance(cell, datetime) else cell for cell in row] for row in frame.select(names).rows()]
    return names, rows


def _chart(name: str, listed: list[Version]) -> Chart:
    times = [moment(each.created_at) for each in listed]
    lines = [
        Series(word, times, [_number(each, word) for each in listed], mark="step")
        for word in ("added", "set_aside")
        if any(_number(each, word) for each in listed)
    ]
    return Chart(f"Rows that {name} brought", lines, x="collected at", y="rows")


def _number(version: Version, word: str) -> float:
    return float(version.record.get(word, 0))


def _at(changed_ns: int) -> str:
    return datetime.fromtimestamp(changed_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")

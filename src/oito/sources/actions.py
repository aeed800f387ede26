"""What a person may do with a source: see how far it got, what it read, and what it set aside."""

from __future__ import annotations

from oito.catalog import versions
from oito.flow.action import action
from oito.flow.site import Site
from oito.show import Page, Table, Text
from oito.sources import panels


@action("source collections", group="sources")
def collections(site: Site, source: str, *, limit: int = 20) -> Page:
    """Show what each collection of a source brought, newest first.

    Args:
        source: the name of a source.
        limit: how many collections.
    """
    site.catalog.find(source, site.environment)
    listed = versions.listed(site.catalog.rows, source, limit=limit)
    told = [{"version": each.ref, "at": each.created_at, "rows": each.rows, **each.record} for each in listed]
    return Page(f"Collections of {source}", [panels.collections(listed)], {"collections": told, "next": None})


@action("source files", group="sources")
def files(site: Site, version: str) -> Page:
    """Show the files that a source has read: size, time of change and rows of each.

    Args:
        version: a source, or one of its versions, such as weather:v3.
    """
    found = site.catalog.find(version, site.environment)
    told = list(found.record.get("files", []))
    block = panels.ledger(told) if told else Text(f"{found.ref} was not read from files")
    return Page(f"Files of {found.ref}", [block], {"version": found.ref, "files": told, "next": None})


@action("source quarantine", group="sources")
def quarantine(site: Site, version: str, *, limit: int = 50) -> Page:
    """Show the rows that a source has set aside, newest first, with the reasons.

    Args:
        version: a source, or one of its versions, such as weather:v3.
        limit: how many rows.
    """
    found = site.catalog.find(version, site.environment)
    if "quarantine" not in found.tables:
        return Page(f"Set aside: {found.ref}", [Text("no row is set aside")], {"version": found.ref, "rows": []})
    names, rows = panels.aside_rows(site, found, limit=limit)
    told = [dict(zip(names, row, strict=True)) for row in rows]
    block = Table(names, rows, f"{found.record.get('quarantined', len(rows)):,} rows are set aside")
    return Page(f"Set aside: {found.ref}", [block], {"version": found.ref, "rows": told, "next": None})

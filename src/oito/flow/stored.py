"""What a step made, as stored bytes and their digests. Which version they become is the runner's and the catalog's work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oito.catalog.records import Version
from oito.flow.partition import data, dimensions_of, keys_of, together
from oito.flow.site import ROWS, Context, Made
from oito.storage.digests import digest

if TYPE_CHECKING:
    from oito.storage.tables import Table


@dataclass(frozen=True)
class Stored:
    """Tables and files by name, and the one digest of what came out; `rows` is the main table's, None when there is none."""

    tables: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, str]
    content: str
    rows: int | None
    size_bytes: int
    partitions: Mapping[str, Any] = field(default_factory=dict)


def store(context: Context, made: Made) -> Stored:
    """Return what a step made after storing what is not stored yet; where the asset is cut, by key too."""
    from oito.storage import tables

    files = context.site.files

    main = made.table if made.table is not None else (None if made.frame is None else tables.write(files, made.frame))
    found = {} if main is None else {ROWS: main}
    found |= {name: tables.write(files, frame) for name, frame in made.frames.items()}
    names = {name: files.put(data) for name, data in sorted(made.files.items())}
    others = {name: table.content for name, table in found.items() if name != ROWS}
    content = made.content or _content(main.content if main else None, others, names, made)
    cut = _cut(context, main) if context.asset.cut and main is not None else {}
    return Stored(
        tables={name: table.data() for name, table in found.items()},
        files=names,
        # The same rows cut in another way are other content, so that what reads them key by key is made anew.
        content=digest(("cut", content, [each.data() for each in context.asset.cut])) if cut else content,
        partitions=cut,
        rows=main.rows if main is not None else None,
        size_bytes=sum(table.size_bytes for table in found.values()) + sum(map(len, made.files.values())),
    )


def digests(tables: Mapping[str, Mapping[str, Any]], files: Mapping[str, str]) -> list[str]:
    """Return the digest of every stored file behind the tables and files of a version."""
    return [part[0] for table in tables.values() for part in table["parts"]] + list(files.values())


def joined(context: Context, parts: Mapping[str, Version]) -> tuple[Made, Stored]:
    """Return a mapped asset as its partitions together, with what its kind says of the whole; no row is copied.

    Raises:
        DataError: two partitions have other columns.
    """
    from oito.storage import tables

    found = together({key: part.tables for key, part in parts.items()})
    rows = tables.scan(context.site.files, tables.Table.from_data(found[ROWS]))
    describe = getattr(context.asset.kind.door("run"), "describe", None)
    made: Made = describe(context, rows.collect(), list(parts.values())) if describe else Made()
    main = digest([(key, part.content) for key, part in parts.items()])
    return made, Stored(
        tables=found, files={}, content=_content(main, {}, {}, made), rows=found[ROWS]["rows"],
        size_bytes=sum(part.size_bytes for part in parts.values()),
    )  # fmt: skip


def _cut(context: Context, main: Table) -> dict[str, Any]:
    """Return the keys of a table that is cut, with the digest of each one's rows."""
    from oito.storage import cuts, tables

    by = [cuts.Cut(each.unit, each.column) for each in context.asset.cut]
    previous = context.previous
    before, known = None, None
    if previous and previous.partitions and dimensions_of(previous) == list(context.asset.cut):
        before = tables.Table.from_data(previous.tables[ROWS])
        known = {key: (facts[1], facts[2]) for key, facts in keys_of(previous).items()}
    found = cuts.cut(context.site.files, main, by, before=before, known=known)
    return data(context.asset.cut, {key: ["", content, rows, None] for key, (content, rows) in found.items()})


def _content(main: str | None, others: Mapping[str, str], files: Mapping[str, str], made: Made) -> str:
    """Return the digest of the main table and the files as they are to be read; without either, of the record and tables."""
    meaning = json.dumps({name: made.record[name] for name in made.meaning}, sort_keys=True) if made.meaning else ""
    if main is None and not files:
        record = json.dumps(made.record, sort_keys=True)
        return digest(("record", record, dict(sorted(others.items())))) if others else digest(record)
    if not files and not meaning:
        return str(main)
    return digest(("files", main or "", dict(sorted(files.items())), meaning))

"""What a step made, as stored bytes and their digests. Which version they become is the runner's and the catalog's work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oito.flow.site import ROWS, Made
from oito.storage.digests import digest
from oito.storage.files import Files


@dataclass(frozen=True)
class Stored:
    """Tables and files by name, and the one digest of what came out; `rows` is the main table's, None when there is none."""

    tables: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, str]
    content: str
    rows: int | None
    size_bytes: int


def store(files: Files, made: Made) -> Stored:
    """Return what was made after storing what is not stored yet."""
    from oito.storage import tables

    main = made.table if made.table is not None else (None if made.frame is None else tables.write(files, made.frame))
    found = {} if main is None else {ROWS: main}
    found |= {name: tables.write(files, frame) for name, frame in made.frames.items()}
    names = {name: files.put(data) for name, data in sorted(made.files.items())}
    return Stored(
        tables={name: table.data() for name, table in found.items()},
        files=names,
        content=made.content or _content(main, {n: t.content for n, t in found.items() if n != ROWS}, names, made),
        rows=main.rows if main is not None else None,
        size_bytes=sum(table.size_bytes for table in found.values()) + sum(map(len, made.files.values())),
    )


def digests(tables: Mapping[str, Mapping[str, Any]], files: Mapping[str, str]) -> list[str]:
    """Return the digest of every stored file behind the tables and files of a version."""
    return [part[0] for table in tables.values() for part in table["parts"]] + list(files.values())


def _content(main: Any, others: Mapping[str, str], files: Mapping[str, str], made: Made) -> str:
    """Return the digest of the main table and the files as they are to be read; without either, of the record and tables."""
    meaning = json.dumps({name: made.record[name] for name in made.meaning}, sort_keys=True) if made.meaning else ""
    if main is None and not files:
        record = json.dumps(made.record, sort_keys=True)
        return digest(("record", record, dict(sorted(others.items())))) if others else digest(record)
    if not files and not meaning:
        return str(main.content)
    return digest(("files", main.content if main is not None else "", dict(sorted(files.items())), meaning))

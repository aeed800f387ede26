"""Where a view's newest rows are kept for endpoints: one shelf for each way it is made. What a shelf is in bytes is online.py's.

A release that makes a view in another way fills another shelf before any pointer moves, and leaves the old one standing:
what is served keeps reading rows of the definition it was loaded with, and what is loaded next finds its own in place.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from oito.catalog import environments
from oito.catalog.records import Version
from oito.clock import text
from oito.errors import BadRequest, SchemaChanged
from oito.features.online import Online
from oito.flow.site import ROWS, Site
from oito.names import duration, file_name

KEPT_S = 600.0  # how long a shelf that nothing points at stands: time for every serving process to have gone over


def online_path(site: Site) -> Path:
    """Return where the online store of the site's environment lies."""
    return site.home / "online" / f"{file_name(site.environment)}.db"


def shelf_of(version: Version) -> str:
    """Return the name of the shelf for a view's version: newer rows of the same definition and columns share it."""
    told = json.dumps([version.definition, version.record["columns"], version.tables[ROWS]["schema"]])
    return f"{version.asset}:{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def fill(site: Site, version: Version) -> None:
    """Bring the shelf of a view's version to what that version says now; the same again costs one look.

    Readers see the rows from before or those from after, never some of each.
    """
    shelf, now = shelf_of(version), site.now()
    mark, before = f"{version.id}@{text(now)}", _mark(site, shelf)
    online = Online(online_path(site))
    try:
        is_there = online.has(shelf)
        if is_there and before == mark:
            return
        rows, record = newest(site, version, now), version.record
        goes_back = is_there and before != "" and _goes_back(before, version.id, text(now))
        online.declare(shelf, [(name, rows.schema[name]) for name in record["columns"]])
        online.write(
            shelf, rows, entity=record["entity"], time=record["time"], known_at=record["known_at"], afresh=goes_back
        )
    finally:
        online.close()
    with site.catalog.change() as change:
        change.rows.run(
            "INSERT OR REPLACE INTO poll (environment, asset, probe, at) VALUES (?, ?, ?, ?)",
            _shelves(site), shelf, mark, change.at,
        )  # fmt: skip


def prepare(site: Site, version: Version) -> None:
    """Fill the shelf of a version that the environment is about to point at, unless what is there now shares it."""
    now = environments.target(site.catalog.rows, site.environment, version.asset)
    if now is None or shelf_of(now) != shelf_of(version):
        fill(site, version)


def leave_others(site: Site, version: Version) -> None:
    """Note that the view's other shelves are read no more by what is loaded from now on, and drop those left long ago."""
    online = Online(online_path(site))
    try:
        online.leave(f"{version.asset}:", but=shelf_of(version), now_s=time.time(), keep_s=KEPT_S)
    finally:
        online.close()


def is_filled(site: Site, version: Version) -> bool:
    """Say whether the shelf of a view's version can be read."""
    return _mark(site, shelf_of(version)) != ""


class Lookup:
    """Reads the values of one view for a request, from the environment's online store."""

    def __init__(self, site: Site, name: str) -> None:
        version = site.catalog.find(name, site.environment)
        self.name, self._shelf = name, shelf_of(version)
        self._columns: list[str] = version.record["columns"]
        self._entity: list[str] = version.record["entity"]
        self._ttl = duration(version.record["ttl"]) if version.record["ttl"] else None
        self._online = Online(online_path(site))

    def of(self, row: Mapping[str, Any], at: datetime) -> tuple[dict[str, Any], datetime | None]:
        """Return (values by column, when they happened); all are None for an entity nothing usable is known of.

        Raises:
            BadRequest: the row lacks a column of the view's entity.
        """
        absent = [name for name in self._entity if name not in row]
        if absent:
            raise BadRequest(
                f"the field {absent[0]!r} is missing",
                known=f"{self.name} is looked up by {', '.join(self._entity)}",
                next=f"give {absent[0]!r}, or the features themselves: {', '.join(self._columns)}",
            )
        key = [row[name] for name in self._entity]
        try:
            found = self._online.read(self._shelf, key, at=at, ttl=self._ttl)
        except SchemaChanged:  # the shelf was dropped and made again
            self._online.close()
            self._online = Online(self._online.path)
            found = self._online.read(self._shelf, key, at=at, ttl=self._ttl)
        return (found.values, found.event_at) if found else (dict.fromkeys(self._columns), None)


def parity(site: Site, version: Version) -> tuple[int, list[dict[str, Any]]]:
    """Return (entities compared, those whose online values are not what the view says now)."""
    expected = newest(site, version, site.now())
    online = Online(online_path(site))
    names: list[str] = version.record["columns"]
    entities = expected.select(version.record["entity"]).rows()
    found = online.read_many(shelf_of(version), entities, at=site.now())
    online.close()
    skewed = []
    for key, row, answer in zip(entities, expected.select(names).rows(), found, strict=True):
        given = tuple(answer.values[name] for name in names) if answer else None
        if given is None or not all(_same(a, b) for a, b in zip(row, given, strict=True)):
            skewed.append({"entity": list(key), "offline": list(row), "online": list(given) if given else None})
    return len(entities), skewed


def newest(site: Site, version: Version, now: datetime) -> pl.DataFrame:
    """Return each entity's newest row that has happened and is known by now."""
    record = version.record
    known = record["known_at"] or record["time"]
    rows: pl.LazyFrame = site.table(version)
    past = rows.filter((pl.col(record["time"]) <= now) & (pl.col(known) <= now))
    return (
        past.sort([record["time"], known], maintain_order=True)
        .unique(record["entity"], keep="last", maintain_order=True)
        .collect()
    )


def _goes_back(before: str, version: int, now: str) -> bool:
    """Say whether rows that the shelf has may be newer than the version and the moment: after a rollback they must not win."""
    earlier, _, moment = before.partition("@")
    return int(earlier) > version or moment > now


def _mark(site: Site, shelf: str) -> str:
    """Return the version and moment that a shelf was filled for last, "" before the first time."""
    row = site.catalog.rows.one("SELECT probe FROM poll WHERE environment = ? AND asset = ?", _shelves(site), shelf)
    return str(row["probe"]) if row else ""


def _shelves(site: Site) -> str:
    return f"online:{site.environment}"


def _same(a: Any, b: Any) -> bool:
    return a == b or (a is None and b is None) or (a != a and b != b)

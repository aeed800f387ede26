"""Versions: written once with their edges, files and metrics, found by name, number, fingerprint or pointer."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oito.catalog import freed
from oito.catalog.records import NewVersion, Version
from oito.storage.sql import Database, Row, Transaction

_JOINED = ("metric_value", "place")


_MANY = 500  # values in one query


def insert(change: Transaction, new: NewVersion, *, at: str, environment: str, run: str) -> int:
    """Write one version inside a transaction and return its id; its number is the asset's next.

    A metric that is no finite number is left out: neither JSON nor a chart could show it.

    Raises:
        VersionFreed: something it was made from was freed meanwhile.
    """
    if gone := freed.among(change, [identity for _, identity in new.inputs]):
        raise freed.error(change, gone[0])
    row = change.one("SELECT COALESCE(MAX(number), 0) + 1 AS number FROM version WHERE asset = ?", new.asset)
    number = row["number"] if row else 1
    identity = change.run(
        "INSERT INTO version (asset, number, kind, state, fingerprint, definition, content, created_at, environment, run,"
        " seconds, rows, size_bytes, record, tables, files, partition, partitions)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        new.asset, number, new.kind, new.state, new.fingerprint, new.definition, new.content, at, environment, run,
        new.seconds, new.rows, new.size_bytes, _json(new.record), _json(new.tables), _json(new.files),
        new.partition, _json(new.partitions),
    )  # fmt: skip
    change.many(
        "INSERT OR IGNORE INTO edge (version, role, input) VALUES (?, ?, ?)",
        [(identity, role, i) for role, i in new.inputs],
    )
    change.many("INSERT OR IGNORE INTO file (version, digest) VALUES (?, ?)", [(identity, d) for d in new.digests])
    change.many(
        "INSERT INTO metric (version, name, value) VALUES (?, ?, ?)",
        [(identity, name, float(value)) for name, value in new.metrics.items() if math.isfinite(value)],
    )
    keep_parts(change, new.fingerprint, new.parts)
    return identity


def keep_parts(change: Transaction, fingerprint: str, parts: Mapping[str, Any]) -> None:
    """Write down what a digest was made of, once."""
    change.run("INSERT OR IGNORE INTO fingerprint (digest, parts) VALUES (?, ?)", fingerprint, _json(parts))


def by_id(database: Database, identity: int) -> Version | None:
    return _first(database.read("SELECT * FROM version WHERE id = ?", identity))


def by_ids(database: Database, identities: Iterable[int]) -> dict[int, Version]:
    """Return the versions by id; an unknown id is left out."""
    wanted = list(identities)
    found: dict[int, Version] = {}
    for first in range(0, len(wanted), _MANY):
        some = wanted[first : first + _MANY]
        rows = database.read(f"SELECT * FROM version WHERE id IN ({','.join('?' * len(some))})", *some)
        found |= {row["id"]: version(row) for row in rows}
    return found


def by_number(database: Database, asset: str, number: int) -> Version | None:
    return _first(database.read("SELECT * FROM version WHERE asset = ? AND number = ?", asset, number))


def by_fingerprint(database: Database, fingerprint: str, *, asset: str) -> Version | None:
    """Return the newest good version with that fingerprint, preferring the asset's own; a renamed asset finds the old one."""
    return _first(
        database.read(
            "SELECT * FROM version WHERE fingerprint = ? AND state = 'ok' ORDER BY asset = ? DESC, id DESC LIMIT 1",
            fingerprint,
            asset,
        )
    )


def by_fingerprints(database: Database, fingerprints: Sequence[str]) -> dict[str, Version]:
    """Return fingerprint → its newest good version, for those of many that have one."""
    found: dict[str, Version] = {}
    for first in range(0, len(fingerprints), _MANY):
        some = fingerprints[first : first + _MANY]
        marks = ",".join("?" * len(some))
        rows = database.read(
            f"SELECT * FROM version WHERE fingerprint IN ({marks}) AND state = 'ok' ORDER BY id", *some
        )
        found |= {row["fingerprint"]: version(row) for row in rows}
    return found


def newest(database: Database, asset: str, *, environment: str = "") -> Version | None:
    """Return the newest version of the asset, of any state; with an environment, the newest that was made in it."""
    return _first(
        database.read(
            "SELECT * FROM version WHERE asset = ? AND (? = '' OR environment = ?) ORDER BY number DESC LIMIT 1",
            asset,
            environment,
            environment,
        )
    )


def listed(database: Database, asset: str, *, limit: int = 50) -> list[Version]:
    """Return the versions of one asset, newest first."""
    return [
        version(row)
        for row in database.read("SELECT * FROM version WHERE asset = ? ORDER BY number DESC LIMIT ?", asset, limit)
    ]


def assets(database: Database) -> list[tuple[str, str, int]]:
    """Return (name, kind, number of versions) of every asset that has a version."""
    rows = database.read(
        "SELECT asset, kind, COUNT(*) AS n FROM version WHERE partition = '' GROUP BY asset ORDER BY asset"
    )
    return [(row["asset"], row["kind"], row["n"]) for row in rows]


def is_known(database: Database, asset: str) -> bool:
    """Say whether the asset has any version."""
    return database.one("SELECT 1 FROM version WHERE asset = ? LIMIT 1", asset) is not None


def parts(database: Database, fingerprint: str) -> Mapping[str, Any] | None:
    """Return what a fingerprint was made of, or None when it is unknown."""
    row = database.one("SELECT parts FROM fingerprint WHERE digest = ?", fingerprint)
    found: dict[str, Any] | None = json.loads(row["parts"]) if row else None
    if found and "of" in found:  # a partition's: what all of them have in common is kept once
        return {**(parts(database, found["of"]) or {}), **found}
    return found


def metrics(database: Database, identity: int) -> dict[str, float]:
    return {r["name"]: r["value"] for r in database.read("SELECT name, value FROM metric WHERE version = ?", identity)}


def metric_history(database: Database, asset: str, name: str, *, limit: int = 200) -> list[tuple[Version, float]]:
    """Return one metric over the versions of an asset, oldest first."""
    rows = database.read(
        "SELECT v.*, m.value AS metric_value FROM version v JOIN metric m ON m.version = v.id"
        " WHERE v.asset = ? AND m.name = ? ORDER BY v.number DESC LIMIT ?",
        asset, name, limit,
    )  # fmt: skip
    return [(version(row), row["metric_value"]) for row in reversed(rows)]


def version(row: Row) -> Version:
    """Return the version that a row holds; what a query joined to it is left out."""
    fields = dict(row)
    for name in _JOINED:
        fields.pop(name, None)
    return Version(**fields)


def _first(rows: Sequence[Row]) -> Version | None:
    return version(rows[0]) if rows else None


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain data")

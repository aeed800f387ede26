"""Environments: maps from asset to version, moved one pointer at a time or all at once, and never forgotten."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from oito.catalog import freed
from oito.catalog.records import Move, Release, Version
from oito.catalog.versions import version
from oito.storage.sql import Database, Row, Transaction


def move(
    change: Transaction, environment: str, asset: str, identity: int | None, *, at: str, release: int | None = None
) -> bool:
    """Point `asset@environment` at a version (None: nowhere) inside a transaction; return whether that changed anything.

    Raises:
        VersionFreed: the version has no bytes any more.
    """
    row = change.one("SELECT version FROM pointer WHERE environment = ? AND asset = ?", environment, asset)
    if (row["version"] if row else None) == identity:
        return False
    if identity is not None and (gone := freed.among(change, [identity])):
        raise freed.error(change, gone[0])
    if identity is None:
        change.run("DELETE FROM pointer WHERE environment = ? AND asset = ?", environment, asset)
    else:
        change.run(
            "INSERT INTO pointer (environment, asset, version) VALUES (?, ?, ?)"
            " ON CONFLICT (environment, asset, partition) DO UPDATE SET version = excluded.version",
            environment, asset, identity,
        )  # fmt: skip
    change.run(
        "INSERT INTO move (environment, asset, version, at, release) VALUES (?, ?, ?, ?, ?)",
        environment, asset, identity, at, release,
    )  # fmt: skip
    return True


def pointed(database: Database, environment: str) -> dict[str, Version]:
    """Return the version of every asset that the environment points at, read in one go: never a mix of two releases."""
    rows = database.read(
        "SELECT v.* FROM pointer p JOIN version v ON v.id = p.version WHERE p.environment = ? ORDER BY p.asset",
        environment,
    )
    versions = [version(row) for row in rows]
    return {each.asset: each for each in versions}


def resolved(database: Database, chain: Sequence[str], *, asset: str = "") -> dict[str, Version]:
    """Return asset → the version that the first environment of the chain points at, read in one go; all assets, or one."""
    marks = ",".join("?" * len(chain))
    rows = database.read(
        f"SELECT p.environment AS place, v.* FROM pointer p JOIN version v ON v.id = p.version"
        f" WHERE p.environment IN ({marks})" + (" AND p.asset = ?" if asset else " ORDER BY p.asset"),
        *chain, *([asset] if asset else []),
    )  # fmt: skip
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: chain.index(row["place"])):  # stable: by asset within each
        first.setdefault(row["asset"], row)
    return {name: version(row) for name, row in first.items()}


def target(database: Database, environment: str, asset: str) -> Version | None:
    row = database.one(
        "SELECT v.* FROM pointer p JOIN version v ON v.id = p.version WHERE p.environment = ? AND p.asset = ?",
        environment, asset,
    )  # fmt: skip
    return version(row) if row else None


def names(database: Database) -> list[str]:
    return [row["environment"] for row in database.read("SELECT DISTINCT environment FROM move ORDER BY environment")]


def at_time(database: Database, environment: str, at: str) -> dict[str, int]:
    """Return asset → version id as the environment stood at the moment `at`."""
    return {each.asset: each.version for each in standing(database, environment, at) if each.version is not None}


def standing(database: Database, environment: str, at: str) -> list[Move]:
    """Return, for each asset that pointed somewhere at the moment `at`, the move that made it so, by asset."""
    rows = database.read(
        "SELECT environment, asset, version, at, release FROM move WHERE id IN"
        " (SELECT MAX(id) FROM move WHERE environment = ? AND at <= ? GROUP BY asset) AND version IS NOT NULL"
        " ORDER BY asset",
        environment, at,
    )  # fmt: skip
    return [Move(**dict(row)) for row in rows]


def moves(database: Database, environment: str, asset: str) -> list[Move]:
    """Return where a pointer pointed, oldest first."""
    rows = database.read(
        "SELECT environment, asset, version, at, release FROM move WHERE environment = ? AND asset = ? ORDER BY id",
        environment, asset,
    )  # fmt: skip
    return [Move(**dict(row)) for row in rows]


def last_move(database: Database) -> int:
    """Return the id of the newest move of all, 0 when there is none."""
    row = database.one("SELECT MAX(id) AS id FROM move")
    return int(row["id"] or 0) if row else 0


def insert_release(
    change: Transaction, environment: str, *, at: str, who: str, message: str, bundle: str, record: Mapping[str, Any]
) -> tuple[int, int]:
    """Write a release inside a transaction and return its id and number."""
    row = change.one("SELECT COALESCE(MAX(number), 0) + 1 AS number FROM release WHERE environment = ?", environment)
    number = int(row["number"]) if row else 1
    identity = change.run(
        "INSERT INTO release (environment, number, at, who, message, bundle, record) VALUES (?, ?, ?, ?, ?, ?, ?)",
        environment, number, at, who, message, bundle, json.dumps(record),
    )  # fmt: skip
    return identity, number


def releases(database: Database, environment: str = "") -> list[Release]:
    """Return the releases of an environment (or of all), newest first."""
    rows = database.read(
        "SELECT * FROM release WHERE ? = '' OR environment = ? ORDER BY id DESC", environment, environment
    )
    return [_release(row) for row in rows]


def current_release(database: Database, environment: str) -> Release | None:
    """Return the newest release of an environment, a rollback included."""
    row = database.one("SELECT * FROM release WHERE environment = ? ORDER BY number DESC LIMIT 1", environment)
    return _release(row) if row else None


def _release(row: Row) -> Release:
    return Release(**{**dict(row), "record": json.loads(row["record"])})

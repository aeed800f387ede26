"""Edges between versions, walked both ways."""

from dataclasses import dataclass

from oito.storage.sql import Database


@dataclass(frozen=True)
class Edge:
    """`version` was made from `input`, which it knew under the name `role`."""

    version: int
    role: str
    input: int


def inputs(database: Database, identity: int) -> list[Edge]:
    """Return the direct inputs of a version."""
    rows = database.read("SELECT version, role, input FROM edge WHERE version = ? ORDER BY role, input", identity)
    return [Edge(**dict(row)) for row in rows]


def upstream(database: Database, identity: int) -> list[Edge]:
    """Return every edge on the way from the version back to its sources."""
    return _walk(database, identity, "e.version = w.id", "e.input")


def downstream(database: Database, identity: int) -> list[Edge]:
    """Return every edge to what was made from the version, directly or not."""
    return _walk(database, identity, "e.input = w.id", "e.version")


def _walk(database: Database, identity: int, joined: str, reached: str) -> list[Edge]:
    rows = database.read(
        f"WITH RECURSIVE walk (id) AS (SELECT ? UNION SELECT {reached} FROM edge e JOIN walk w ON {joined})"
        f" SELECT DISTINCT e.version, e.role, e.input FROM edge e JOIN walk w ON {joined} ORDER BY e.version, e.role",
        identity,
    )
    return [Edge(**dict(row)) for row in rows]

"""Edges between versions, walked both ways."""

from dataclasses import dataclass

from oito.storage.sql import Database

PARTITION = "partition."  # what the role of a partition's edge to its whole begins with


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


def upstream(database: Database, identity: int, *, with_partitions: bool = True) -> list[Edge]:
    """Return every edge on the way from the version back to its sources.

    Args:
        with_partitions: whether a whole also leads to the versions of its partitions; it leads to their inputs anyway.
    """
    return _walk(database, identity, "e.version = w.id", "e.input", with_partitions=with_partitions)


def downstream(database: Database, identity: int, *, with_partitions: bool = True) -> list[Edge]:
    """Return every edge to what was made from the version, directly or not."""
    return _walk(database, identity, "e.input = w.id", "e.version", with_partitions=with_partitions)


def _walk(database: Database, identity: int, joined: str, reached: str, *, with_partitions: bool) -> list[Edge]:
    joined += "" if with_partitions else f" AND e.role NOT LIKE '{PARTITION}%'"
    rows = database.read(
        f"WITH RECURSIVE walk (id) AS (SELECT ? UNION SELECT {reached} FROM edge e JOIN walk w ON {joined})"
        f" SELECT DISTINCT e.version, e.role, e.input FROM edge e JOIN walk w ON {joined} ORDER BY e.version, e.role",
        identity,
    )
    return [Edge(**dict(row)) for row in rows]

"""What people agreed to: proposals of a release that they approved, and versions that they let stand."""

from collections.abc import Iterable
from dataclasses import dataclass

from oito.storage.sql import Database, Transaction


@dataclass(frozen=True)
class Approval:
    """One person's yes to one proposal for an environment; `proposal` is the digest of what was proposed."""

    environment: str
    proposal: str
    who: str
    at: str
    note: str


def approve(change: Transaction, given: Approval) -> None:
    """Write an approval; a second one of the same person for the same proposal replaces the first."""
    change.run(
        "INSERT OR REPLACE INTO approval (environment, proposal, who, at, note) VALUES (?, ?, ?, ?, ?)",
        given.environment, given.proposal, given.who, given.at, given.note,
    )  # fmt: skip


def approvals(database: Database, environment: str, proposal: str) -> list[Approval]:
    """Return who approved a proposal, oldest first."""
    rows = database.read(
        "SELECT environment, proposal, who, at, note FROM approval WHERE environment = ? AND proposal = ? ORDER BY id",
        environment, proposal,
    )  # fmt: skip
    return [Approval(**dict(row)) for row in rows]


def of_others(database: Database, environment: str, proposal: str, *, since: str) -> list[Approval]:
    """Return who approved another proposal since a moment: those who may wonder why their yes does not count any more."""
    rows = database.read(
        "SELECT environment, proposal, who, at, note FROM approval"
        " WHERE environment = ? AND proposal != ? AND at > ? ORDER BY id",
        environment, proposal, since,
    )  # fmt: skip
    return [Approval(**dict(row)) for row in rows]


def accept(change: Transaction, environment: str, *, fingerprint: str, asset: str, version: int, reason: str) -> None:
    """Let a version stand in an environment although its asset has another fingerprint by now."""
    change.run(
        "INSERT OR REPLACE INTO acceptance (environment, fingerprint, asset, version, reason) VALUES (?, ?, ?, ?, ?)",
        environment, fingerprint, asset, version, reason,
    )  # fmt: skip


def is_accepted(database: Database, environments: Iterable[str], *, fingerprint: str, asset: str, version: int) -> bool:
    """Say whether the version was let stand in one of the environments: an environment's own, or the base it reads."""
    names = list(environments)
    marks = ",".join("?" * len(names))
    row = database.one(
        f"SELECT 1 FROM acceptance WHERE fingerprint = ? AND asset = ? AND version = ? AND environment IN ({marks})",
        fingerprint, asset, version, *names,
    )  # fmt: skip
    return row is not None


def accepted(database: Database, environments: Iterable[str], *, asset: str) -> set[tuple[str, int]]:
    """Return every (fingerprint, version) of an asset that was let stand in one of the environments."""
    names = list(environments)
    marks = ",".join("?" * len(names))
    rows = database.read(
        f"SELECT fingerprint, version FROM acceptance WHERE asset = ? AND environment IN ({marks})", asset, *names
    )
    return {(row["fingerprint"], row["version"]) for row in rows}


def carry(change: Transaction, from_: str, to: str, versions: Iterable[int]) -> None:
    """Let versions, and the partitions of them, stand in another environment as in the one they are released from."""
    for version in versions:
        change.run(
            "INSERT OR REPLACE INTO acceptance (environment, fingerprint, asset, version, reason)"
            " SELECT ?, fingerprint, asset, version, reason FROM acceptance WHERE environment = ? AND"
            " (version = ? OR version IN (SELECT input FROM edge WHERE version = ? AND role LIKE 'partition.%'))",
            to, from_, version, version,
        )  # fmt: skip

"""Versions whose bytes were given back: what they were, and what they were made from, stays. Which ones may go is the flow's to say."""

from collections.abc import Iterable, Mapping, Sequence

from oito.errors import VersionFreed
from oito.storage.sql import Database, Transaction

STATE = "freed"
_MANY = 500  # values in one query


def free(change: Transaction, identities: Iterable[int]) -> None:
    """Take their files away from versions; from then on nobody finds, reads or points at them."""
    rows = [(each,) for each in identities]
    change.many(f"UPDATE version SET state = '{STATE}' WHERE id = ?", rows)
    change.many("DELETE FROM file WHERE version = ?", rows)


def give_back(change: Transaction, identity: int, digests: Iterable[str]) -> None:
    """Let a version have its bytes again, after they were made once more."""
    change.run(f"UPDATE version SET state = 'ok' WHERE id = ? AND state = '{STATE}'", identity)
    change.many("INSERT OR IGNORE INTO file (version, digest) VALUES (?, ?)", [(identity, each) for each in digests])


def among(database: Database | Transaction, identities: Iterable[int]) -> list[str]:
    """Return those of the versions that have been freed, by the name that people use."""
    wanted, found = list(identities), []
    for first in range(0, len(wanted), _MANY):
        some = wanted[first : first + _MANY]
        marks = ",".join("?" * len(some))
        found += database.read(f"SELECT asset, number FROM version WHERE id IN ({marks}) AND state = '{STATE}'", *some)
    return [f"{row['asset']}:v{row['number']}" for row in found]


def owners(database: Database | Transaction, digests: Sequence[str]) -> Mapping[str, list[str]]:
    """Return digest → the versions that own the file; one that nobody owns is left out."""
    found: dict[str, list[str]] = {}
    for first in range(0, len(digests), _MANY):
        some = digests[first : first + _MANY]
        rows = database.read(
            "SELECT f.digest, v.asset, v.number FROM file f JOIN version v ON v.id = f.version"
            f" WHERE f.digest IN ({','.join('?' * len(some))}) ORDER BY v.id",
            *some,
        )
        for row in rows:
            found.setdefault(row["digest"], []).append(f"{row['asset']}:v{row['number']}")
    return found


def told(database: Database | Transaction, ref: str) -> str:
    """Return when a version's bytes were given back, and by whom, in words."""
    row = database.one("SELECT at, who FROM event WHERE subject = ? AND verb = 'freed' ORDER BY id DESC", ref)
    return f"at {row['at']} by {row['who']}" if row else "by oito gc"


def error(database: Database | Transaction, ref: str) -> VersionFreed:
    """Return the error for whoever wants the bytes of a freed version: when they went, and how to have them again."""
    return VersionFreed(
        f"the bytes of {ref} were freed",
        known=f"freed {told(database, ref)}; what it was made from is still known: oito lineage {ref}",
        next=f"oito repair {ref} makes them again from its stored source and inputs, while these are kept",
    )

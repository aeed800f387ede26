"""The append-only log of everything that happened, each event chained to the one before by its hash."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from oito.catalog.records import Event
from oito.storage.sql import Database, Row, Transaction

FIRST = "0" * 64


def append(change: Transaction, *, at: str, who: str, verb: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Add one event inside the transaction of the thing it tells."""
    row = change.one("SELECT hash FROM event ORDER BY id DESC LIMIT 1")
    previous = row["hash"] if row else FIRST
    body = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    change.run(
        "INSERT INTO event (at, who, verb, subject, detail, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        at, who, verb, subject, body, previous, _hash(previous, at, who, verb, subject, body),
    )  # fmt: skip


def listed(database: Database, *, subject: str = "", limit: int = 100, before: int | None = None) -> list[Event]:
    """Return events, newest first; `subject` keeps those of one asset or version, `before` an id to page on from."""
    rows = database.read(
        "SELECT * FROM event WHERE (? = '' OR subject = ? OR (subject >= ? || ':' AND subject < ? || ';')) AND id < ?"
        " ORDER BY id DESC LIMIT ?",
        subject, subject, subject, subject, before or 2**62, limit,
    )  # fmt: skip
    return [_event(row) for row in rows]


def first_broken(database: Database) -> int | None:
    """Return the id of the first event whose hash does not fit its content and predecessor, or None when all fit.

    A changed, added, moved or missing event is found; that the newest ones were cut off is only seen by who noted a later
    hash elsewhere.
    """
    previous = FIRST
    for row in database.read("SELECT * FROM event ORDER BY id"):
        told = _hash(previous, row["at"], row["who"], row["verb"], row["subject"], row["detail"])
        if row["previous"] != previous or row["hash"] != told:
            return int(row["id"])
        previous = row["hash"]
    return None


def _hash(*fields: str) -> str:
    digest = hashlib.sha256()
    for text in fields:
        raw = text.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def _event(row: Row) -> Event:
    return Event(**{**dict(row), "detail": json.loads(row["detail"])})

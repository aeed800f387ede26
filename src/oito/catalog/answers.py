"""Labels that people gave. Every answer is kept; the newest of a person for an item is the one that counts."""

import json
from typing import Any

from oito.catalog.records import Answer
from oito.storage.sql import Database, Transaction


def insert(change: Transaction, asset: str, item: str, label: Any, *, who: str, at: str, note: str = "") -> int:
    """Keep one answer (None: skipped) and return its id."""
    return change.run(
        "INSERT INTO answer (asset, item, label, who, at, note) VALUES (?, ?, ?, ?, ?, ?)",
        asset, item, json.dumps(label), who, at, note,
    )  # fmt: skip


def listed(database: Database, asset: str, *, history: bool = False) -> list[Answer]:
    """Return the answers that count, oldest first; with `history`, also those that were superseded."""
    rows = database.read(
        "SELECT * FROM answer a WHERE asset = ? AND (? OR id = (SELECT MAX(id) FROM answer b"
        " WHERE b.asset = a.asset AND b.item = a.item AND b.who = a.who)) ORDER BY id",
        asset, history,
    )  # fmt: skip
    return [Answer(**{**dict(row), "label": json.loads(row["label"])}) for row in rows]

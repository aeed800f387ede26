"""The embedded online store: the newest features of each entity, in one SQLite file. How a row is packed is `blobs`' work."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from oito.clock import moment
from oito.errors import CatalogTooNew, UnknownAsset
from oito.features.blobs import EPOCH, Layout, Row, entity_key, since_epoch_us
from oito.features.keys import check_key
from oito.features.times import microseconds, span_us
from oito.names import did_you_mean
from oito.storage.sql import Database, Transaction

_FORMAT = 2
_TABLES = (
    "CREATE TABLE IF NOT EXISTS view"
    " (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, layout TEXT NOT NULL, newest_us INTEGER, left_s REAL)",
    "CREATE TABLE IF NOT EXISTS entity"
    " (view INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (view, key)) WITHOUT ROWID",
    f"PRAGMA user_version = {_FORMAT}",
)
_FROM_1 = "ALTER TABLE view ADD COLUMN left_s REAL"
_READ = "SELECT value FROM entity WHERE view = ? AND key = ?"
# Bytes 9-24 of a value are event time and known-at: the newest event wins, then what was known last, then the last writer.
_WRITE = """
    INSERT INTO entity (view, key, value) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET value = excluded.value WHERE substr(excluded.value, 9, 16) >= substr(value, 9, 16)
"""
_CHUNK = 256
"""Entities per statement: few lengths of statement, so SQLite's prepared ones are used again."""


class Online:
    """The newest row per (view, entity); many processes may read while one writes, and any thread may do either.

    A view's columns are fixed by `declare`. An object remembers the columns a view had when it first met it; once
    another process has declared others, its reads are refused instead of answered with shifted values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path)
        self._views: dict[str, tuple[int, Layout]] = {}
        found = self._database.read("PRAGMA user_version")[0][0]
        if found > _FORMAT:
            raise CatalogTooNew(
                f"the online store has format {found}, this oito reads up to {_FORMAT}",
                where=str(path),
                next="upgrade oito, or move the file away and materialize again",
            )
        if found < _FORMAT:
            with self._database.write() as transaction:
                if transaction.one("SELECT 1 FROM sqlite_master WHERE name = 'view' AND sql NOT LIKE '%left_s%'"):
                    transaction.run(_FROM_1)
                for sql in _TABLES:
                    transaction.run(sql)

    def declare(self, view: str, columns: Sequence[tuple[str, Any]]) -> None:
        """Fix a view's columns as (name, Polars type); with other columns than before the view starts afresh, empty.

        Raises:
            BadInput: no columns.
            DataError: a type that is not kept online.
        """
        layout = Layout.of(view, columns)
        with self._database.write() as transaction:
            stored = transaction.one("SELECT id, layout FROM view WHERE name = ?", view)
            if stored is None or stored["layout"] != layout.text:
                number = _forget(transaction, view)
                number = transaction.run("INSERT INTO view VALUES (?, ?, ?, NULL, NULL)", number, view, layout.text)
            else:
                number = stored["id"]
        self._views[view] = (number, layout)

    def expect(self, view: str, columns: Sequence[tuple[str, Any]]) -> None:
        """Make sure, before the first read, that a view has just these columns.

        Raises:
            UnknownAsset: there is no such view.
            SchemaChanged: it has others.
        """
        layout = Layout.of(view, columns)
        number, stored = self._stored(view)
        if stored.hash != layout.hash:
            raise layout.changed()
        self._views[view] = (number, layout)

    def drop(self, view: str) -> None:
        """Forget a view and its rows; one that is not there is no error."""
        with self._database.write() as transaction:
            _forget(transaction, view)
        self._views.pop(view, None)

    def has(self, view: str) -> bool:
        """Say whether a view of that name was declared."""
        return self._database.one("SELECT 1 FROM view WHERE name = ?", view) is not None

    def leave(self, prefix: str, *, but: str, now_s: float, keep_s: float) -> list[str]:
        """Note that views whose names begin alike are read no more, but one; drop those left for long, and return them.

        Args:
            now_s: seconds since 1970.
            keep_s: how long a view that was left is kept for those who read it still.
        """
        alike = "substr(name, 1, ?) = ? AND name != ?"
        told = (len(prefix), prefix, but)
        with self._database.write() as transaction:
            transaction.run("UPDATE view SET left_s = NULL WHERE name = ? AND left_s IS NOT NULL", but)
            transaction.run(f"UPDATE view SET left_s = ? WHERE {alike} AND left_s IS NULL", now_s, *told)
            old = transaction.read(f"SELECT name FROM view WHERE {alike} AND left_s < ?", *told, now_s - keep_s)
            for row in old:
                _forget(transaction, row["name"])
        return [row["name"] for row in old]

    def write(
        self, view: str, frame: pl.DataFrame, *, entity: Sequence[str], time: str, known_at: str | None = None,
        afresh: bool = False,
    ) -> int:  # fmt: skip
        """Keep each entity's newest row, in one transaction; return how many rows were offered.

        An older event never replaces a newer one, whoever writes it and when. So write nothing that has not happened and
        become known yet: it would hide the present until its time comes. Rows with a null in the key or a time are left
        out. With `afresh` the rows that stood there go in the same transaction.

        Raises:
            UnknownAsset: the view was not declared.
            SchemaChanged: it was declared with other columns since.
            MissingColumn, DataError: the frame is not of the view's columns, or its key cannot be one.
        """
        number, layout = self._view(view)
        where = f"the frame for the view {view!r}"
        check_key(frame, entity, where=where)
        event = microseconds(frame, time, where=where, up=True)
        known = microseconds(frame, known_at, where=where, up=True) if known_at else event
        if event.null_count() or known.null_count():
            usable = event.is_not_null() & known.is_not_null()
            frame, event, known = frame.filter(usable), event.filter(usable), known.filter(usable)
        blobs = layout.pack(frame, event.to_numpy(), known.to_numpy())
        keys = map(entity_key, frame.select(entity).rows())
        # In the order of the keys SQLite fills its pages from left to right: smaller and twice as fast.
        offered = sorted(
            ((number, key, blob) for key, blob in zip(keys, blobs, strict=True) if key is not None), key=itemgetter(1)
        )
        with self._database.write() as transaction:
            self._verify(transaction.one("SELECT layout FROM view WHERE id = ?", number), layout)
            if afresh:
                transaction.run("DELETE FROM entity WHERE view = ?", number)
                transaction.run("UPDATE view SET newest_us = NULL WHERE id = ?", number)
            transaction.many(_WRITE, offered)
            if offered:
                newest = "UPDATE view SET newest_us = max(coalesce(newest_us, ?1), ?1) WHERE id = ?2"
                transaction.run(newest, event.max(), number)
        return len(offered)

    def read(
        self, view: str, entity_values: Sequence[object], *, at: datetime, ttl: timedelta | None = None
    ) -> Row | None:
        """Return one entity's newest row as of `at`; None when unknown, not known yet, or older than `ttl`.

        The store holds the newest row only, so a question from before it is answered with None, never with the future.

        Raises:
            UnknownAsset: there is no such view.
            SchemaChanged: the view's columns changed since this object first met it.
        """
        number, layout = self._view(view)
        key = entity_key(entity_values)
        found = self._database.one(_READ, number, key) if key is not None else None
        if found is None:
            self._verify(self._database.one("SELECT layout FROM view WHERE id = ?", number), layout)
            return None
        return layout.unpack(found[0], at_us=since_epoch_us(moment(at)), ttl_us=span_us(ttl, name="ttl"))

    def read_many(
        self, view: str, entities: Sequence[Sequence[object]], *, at: datetime, ttl: timedelta | None = None
    ) -> list[Row | None]:
        """Return what `read` returns for each entity, in their order."""
        number, layout = self._view(view)
        keys = [entity_key(values) for values in entities]
        wanted = list(dict.fromkeys(key for key in keys if key is not None))
        blobs: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), _CHUNK):
            blobs.update(self._values(number, wanted[start : start + _CHUNK]))
        if len(blobs) < len(keys):
            self._verify(self._database.one("SELECT layout FROM view WHERE id = ?", number), layout)
        at_us, ttl_us = since_epoch_us(moment(at)), span_us(ttl, name="ttl")
        found = (None if key is None else blobs.get(key) for key in keys)
        return [None if blob is None else layout.unpack(blob, at_us=at_us, ttl_us=ttl_us) for blob in found]

    def newest(self, view: str) -> datetime | None:
        """Return the newest event time ever offered to the view since it was declared, None before the first row."""
        row = self._database.one("SELECT newest_us FROM view WHERE id = ?", self._view(view)[0])
        return None if row is None or row[0] is None else EPOCH + timedelta(microseconds=row[0])

    def close(self) -> None:
        self._database.close()

    def _values(self, number: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        room = 1 << (len(keys) - 1).bit_length()  # a power of two, filled up with nulls, which equal nothing
        marks = ",".join("?" * room)
        found: Any = self._database.read(
            f"SELECT key, value FROM entity WHERE view = ? AND key IN ({marks})",
            number,
            *keys,
            *[None] * (room - len(keys)),
        )
        return dict(found)

    def _view(self, view: str) -> tuple[int, Layout]:
        known = self._views.get(view)
        if known is None:
            known = self._views[view] = self._stored(view)
        return known

    def _stored(self, view: str) -> tuple[int, Layout]:
        row = self._database.one("SELECT id, layout FROM view WHERE name = ?", view)
        if row is None:
            names = [name for (name,) in self._database.read("SELECT name FROM view")]
            raise UnknownAsset(
                f"the online store has no view {view!r}",
                where=str(self._database.path),
                known=did_you_mean(view, names),
                next="materialize it first",
            )
        _, columns = json.loads(row["layout"])
        return row["id"], Layout(view, [(name, kind) for name, kind in columns])

    @staticmethod
    def _verify(stored: Any, layout: Layout) -> None:
        if stored is None or stored["layout"] != layout.text:
            raise layout.changed()


def _forget(transaction: Transaction, view: str) -> int | None:
    """Delete a view with its rows; return its number, which a new one of that name keeps so that old readers notice."""
    stored = transaction.one("SELECT id FROM view WHERE name = ?", view)
    if stored is None:
        return None
    transaction.run("DELETE FROM entity WHERE view = ?", stored["id"])
    transaction.run("DELETE FROM view WHERE id = ?", stored["id"])
    number: int = stored["id"]
    return number

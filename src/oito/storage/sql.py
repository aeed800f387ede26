"""Rows in SQLite: reads, and write transactions that either happen whole or not at all. What rows mean is not known here.

Write-ahead log, one writer at a time (`BEGIN IMMEDIATE`), a patient busy timeout. A committed transaction survives a
killed process; `synchronous=NORMAL` means that a power cut may take the last moments, never the consistency.
"""

import errno
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oito.errors import CatalogBusy, StorageError, StorageFull

Row = sqlite3.Row
BUSY_S = 30.0


class Transaction:
    """Statements that are kept together."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, *values: Any) -> int:
        """Carry out one statement; return the id of the row it inserted, if it did."""
        return self._connection.execute(sql, values).lastrowid or 0

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self._connection.executemany(sql, rows)

    def read(self, sql: str, *values: Any) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> Row | None:
        row: Row | None = self._connection.execute(sql, values).fetchone()
        return row


class Database:
    """One SQLite file; safe to use from any thread, and by any number of processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._writing = threading.RLock()
        self._opened: list[sqlite3.Connection] = []
        with _mapped(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection().execute("PRAGMA journal_mode=WAL")

    def read(self, sql: str, *values: Any) -> list[Row]:
        """Return the rows of one query."""
        with _mapped(self.path):
            return self._connection().execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of one query, or None."""
        with _mapped(self.path):
            row: Row | None = self._connection().execute(sql, values).fetchone()
            return row

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction; it is committed at the end of the block and undone by any exception.

        Raises:
            CatalogBusy: another process kept writing for 30 seconds.
            StorageFull: the disk is full; nothing of the transaction was kept.
        """
        with self._writing, _mapped(self.path):
            connection = self._connection()
            if connection.in_transaction:  # an outer block of the same thread owns the commit
                yield Transaction(connection)
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connections of every thread."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            self._local.connection = connection
            self._opened.append(connection)
        return connection


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours at the edge."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise CatalogBusy("another process is writing to the catalog", where=str(path), next="try again") from error
        if "full" in text or "disk I/O error" in text:
            raise StorageFull(
                "the disk is full",
                where=str(path),
                known="nothing of this step was kept",
                next="free some space, then run the same command again",
            ) from error
        raise StorageError(f"the catalog cannot be used: {text}", where=str(path)) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise StorageError(
            f"the catalog is damaged: {error}", where=str(path), next="restore the file from a backup"
        ) from error
    except OSError as error:
        if isinstance(error, StorageError) or error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise StorageFull("the disk is full", where=str(path), next="free some space") from error

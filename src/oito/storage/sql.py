"""Rows in SQLite: reads, and write transactions that either happen whole or not at all. What rows mean is not known here.

Write-ahead log, one writer at a time (`BEGIN IMMEDIATE`), a patient busy timeout. A committed transaction survives a
killed process; `synchronous=NORMAL` means that a power cut may take the last moments, never the consistency.
"""

import errno
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oito.errors import CatalogBusy, StorageError, StorageFull
from oito.storage.manifest import Manifest, Statement

Row = sqlite3.Row
BUSY_S = 30.0
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# A limit on the size of a process's files shows as a failed write, not as a full disk.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_TRUNCATE}


class Transaction:
    """Statements that are kept together; `done` are those that the database's manifest has to know."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.done: list[Statement] = []

    def run(self, sql: str, *values: Any) -> int:
        """Carry out one statement; return the id of the row it inserted, if it did."""
        identity = self._connection.execute(sql, values).lastrowid or 0
        self.done.append((sql, values, identity))
        return identity

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Carry out one statement for each row of values."""
        if rows:
            self._connection.executemany(sql, rows)
            self.done.append((sql, rows, -1))

    def passing(self, sql: str, *values: Any) -> int:
        """Carry out one statement on rows that mean nothing after a crash, such as signs of life; return how many changed."""
        return self._connection.execute(sql, values).rowcount

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
        self._opened: set[sqlite3.Connection] = set()
        self._manifest: Manifest | None = None
        with _mapped(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._into_wal()
            except BaseException:
                self.close()
                raise

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
                yield self._local.transaction
                return
            connection.execute("BEGIN IMMEDIATE")
            self._local.transaction = transaction = Transaction(connection)
            try:
                yield transaction
                if self._manifest and transaction.done:
                    self._manifest.keep(connection, transaction.done)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def keep_manifest(self, *, is_new: bool = False) -> None:
        """From now on write every transaction into the manifest beside the file; `is_new` says that the file began empty."""
        self._manifest = Manifest(self.path, is_new=is_new)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread inside the block see one state, whatever others write meanwhile; write nothing in it."""
        with _mapped(self.path):
            connection = self._connection()
            if connection.in_transaction:  # an outer block gives one state already
                yield
                return
            connection.execute("BEGIN")
            try:
                yield
            finally:
                connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connections of every thread."""
        if self._manifest:
            self._manifest.close()
        for connection in list(self._opened):
            connection.close()
        self._opened.clear()
        self._local = threading.local()

    def foreign_changes(self) -> int:
        """Return a number that differs once another connection has changed anything since this thread asked last."""
        with _mapped(self.path):
            return int(self._connection().execute("PRAGMA data_version").fetchone()[0])

    def leave(self) -> None:
        """Close this thread's connection; a thread that ends soon leaves no open file behind."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            del self._local.connection
            self._opened.discard(connection)
            connection.close()

    def _into_wal(self) -> None:
        # Two processes that make the same new file: SQLite answers "locked" at once here, without its usual patience.
        patient_until = time.monotonic() + BUSY_S
        while True:
            try:
                self._connection().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > patient_until:
                    raise
                time.sleep(0.01)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            self._local.connection = connection
            self._opened.add(connection)
        return connection


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours at the edge."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in _BUSY:
            known = f"waited {BUSY_S:.0f} s for it"
            raise CatalogBusy(
                "another process is writing to the catalog", where=str(path), known=known, next="try again"
            ) from error
        if code in _FULL:
            raise StorageFull(
                "there is no room to write",
                where=str(path),
                known="nothing of this step was kept",
                next="free some space or raise the quota, then run the same command again",
            ) from error
        raise StorageError(
            f"the catalog cannot be used: {error}", where=str(path), next="look at the folder's rights and its disk"
        ) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise StorageError(
            f"the catalog is damaged: {error}", where=str(path), next="oito repair, or restore the file from a backup"
        ) from error
    except OSError as error:
        if isinstance(error, StorageError) or error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise StorageFull(
            "there is no room to write", where=str(path), next="free some space, then run the same command again"
        ) from error

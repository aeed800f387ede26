"""The manifest: every kept transaction of a database written beside it, so that the file can be built again. Reading it is `rebuild`'s work.

A segment is a base (a copy of the database; none for one that began empty) and a log of what was done since. A log has one
line per transaction: CRC-32, then JSON with the statements, its own mark (`tip`) and the mark of the transaction before it
(`after`). The database holds the newest mark, in the same transaction. So a line whose transaction was never committed is
known by nobody pointing at it, and neither file has to be trusted to be newer than the other.

A line is written with one write(2) before its commit, under the database's write lock; like the commit it is not synced.
"""

import errno
import json
import os
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from oito.errors import StorageFull

FOLDER = "manifest"
LOG_BYTES = 16 << 20  # a longer log gives way to a new base, once it is also twice as long as the database
KEPT = 2  # segments: the newest, and the one before in case that a base is damaged
_TAIL_BYTES = 1 << 18
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Statement = tuple[str, Sequence[Any], int]  # SQL, values, the id that the row was given; -1: values are many rows


class Manifest:
    """The writing side for one database file; used under its write lock alone, so one writer at a time in all processes.

    Args:
        is_new: whether the database began empty, in this very process, at the form it has now.
    """

    def __init__(self, database: Path, *, is_new: bool = False) -> None:
        self.database, self.folder = database, folder_of(database)
        self._is_new = is_new
        self._fd = -1
        self._segment = -1
        self._limit_bytes = LOG_BYTES

    def keep(self, connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
        """Write a transaction down, from within it.

        Raises:
            StorageFull: there is no room; the log is as before.
        """
        row = connection.execute("SELECT segment, sequence, tip FROM manifest").fetchone()
        segment, sequence, tip = row or (0, 0, "")
        if segment != self._segment or not self._is_open(segment):
            segment = self._follow(connection, segment, sequence, tip, is_known=row is not None)
        new = os.urandom(8).hex()
        self._write({"tip": new, "after": tip, "sequence": sequence + 1, "do": statements})
        connection.execute(
            "INSERT INTO manifest (id, segment, sequence, tip) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET segment = excluded.segment, sequence = excluded.sequence, tip = excluded.tip",
            (segment, sequence + 1, new),
        )

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = self._segment = -1

    def _is_open(self, segment: int) -> bool:
        """Say whether the open log is the one of that name, and not too long yet."""
        try:
            found, held = log_path(self.folder, segment).stat(), os.fstat(self._fd)
        except OSError:
            return False
        return found.st_ino == held.st_ino and held.st_size < self._limit_bytes

    def _follow(self, connection: sqlite3.Connection, segment: int, sequence: int, tip: str, *, is_known: bool) -> int:
        """Open the log that goes on from the mark `tip`, beginning a new segment where none does; return its number."""
        self.close()
        form = int(connection.execute("PRAGMA user_version").fetchone()[0])
        pages, page_bytes = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        self._limit_bytes = max(LOG_BYTES, 2 * pages * page_bytes)
        if not (is_known and self._goes_on(segment, form, tip)):
            segment = self._begin(form, sequence, tip, is_empty=self._is_new and not is_known)
        self._is_new = False
        self._fd = os.open(log_path(self.folder, segment), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._segment = segment
        return segment

    def _goes_on(self, segment: int, form: int, tip: str) -> bool:
        path = log_path(self.folder, segment)
        if segment != max(segments(self.folder), default=0) or path.stat().st_size >= self._limit_bytes:
            return False  # an earlier segment: the database is an older one that somebody has put back
        with path.open("rb") as log:
            head = read_line(log.readline() + log.readline())
            log.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            tail = log.read()
            if head is None or head.get("form") != form:
                return False
            if _has(tail, tip) or head.get("tip") == tip:
                return True
            log.seek(0)
            return _has(log.read(), tip)

    def _begin(self, form: int, sequence: int, tip: str, *, is_empty: bool) -> int:
        """Write a new segment and return its number; those before the last are deleted."""
        try:
            self.folder.mkdir(exist_ok=True)
            numbers = segments(self.folder)
            number = max(numbers, default=0) + 1
            if not is_empty:
                self._copy(base_path(self.folder, number))
            head = {"form": form, "base": not is_empty, "sequence": sequence, "tip": tip}
            log_path(self.folder, number).write_bytes(line(head))
            for old in sorted(numbers)[: -(KEPT - 1)]:
                base_path(self.folder, old).unlink(missing_ok=True)
                log_path(self.folder, old).unlink(missing_ok=True)
        except (OSError, sqlite3.Error) as error:
            raise _no_room(self.folder, error) from error
        return number

    def _copy(self, path: Path) -> None:
        """Copy the database as it was committed last: the writing connection's own changes are not in it."""
        scratch = path.with_suffix(".part")
        scratch.unlink(missing_ok=True)
        source, target = sqlite3.connect(self.database), sqlite3.connect(scratch)
        try:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        finally:
            source.close()
            target.close()
        _sync(scratch)
        scratch.replace(path)
        _sync(self.folder)

    def _write(self, told: dict[str, Any]) -> None:
        data, size_bytes = line(told), os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            written = 0
        if written != len(data):
            os.ftruncate(self._fd, size_bytes)
            raise _no_room(self.folder, OSError(errno.ENOSPC, "only a part fitted"))


def folder_of(database: Path) -> Path:
    """Return where the manifest of a database file lies."""
    return database.parent / FOLDER


def segments(folder: Path) -> list[int]:
    """Return the numbers of the segments that have a log, oldest first."""
    found = (re.fullmatch(r"log-(\d+)\.jsonl", path.name) for path in folder.glob("log-*.jsonl"))
    return sorted(int(match[1]) for match in found if match)


def log_path(folder: Path, segment: int) -> Path:
    return folder / f"log-{segment:06d}.jsonl"


def base_path(folder: Path, segment: int) -> Path:
    return folder / f"base-{segment:06d}.db"


def line(told: Any) -> bytes:
    """Return one line of a log. It begins with a line break, so that a line cut short by a death spoils no other."""
    body = json.dumps(told, separators=(",", ":"), default=_plain).encode()
    return b"\n%08x %b\n" % (crc32(body), body)


def read_line(data: bytes) -> dict[str, Any] | None:
    """Return what a line of a log says, or None when it is not as it was written.

    Example:
        >>> read_line(line({"tip": "ab"}).strip())
        {'tip': 'ab'}
    """
    total, _, body = data.strip().partition(b" ")
    try:
        found = json.loads(body) if int(total, 16) == crc32(body) else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def value(told: Any) -> Any:
    """Return a value of a statement as it was before it was written as JSON."""
    return bytes.fromhex(told["hex"]) if isinstance(told, dict) else told


def _plain(given: Any) -> Any:
    if isinstance(given, bytes | bytearray | memoryview):
        return {"hex": bytes(given).hex()}
    raise TypeError(f"{type(given).__name__} is no value of a statement")


def _has(lines: bytes, tip: str) -> bool:
    mark = f'"tip":"{tip}"'.encode()
    return any(mark in each and read_line(each) is not None for each in lines.split(b"\n"))


def _no_room(folder: Path, error: Exception) -> StorageFull:
    return StorageFull(
        "there is no room to write",
        where=str(folder),
        known=f"{error}; nothing of this step was kept",
        next="free some space or raise the quota, then run the same command again",
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

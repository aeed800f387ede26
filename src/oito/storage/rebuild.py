"""A database built again from its manifest, and held against it. Writing manifests is `manifest`'s work; what rows mean is not known here."""

import re
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oito.errors import CatalogLost, StorageError
from oito.storage.manifest import base_path, folder_of, log_path, read_line, segments, value
from oito.storage.migrations import migrate
from oito.storage.sql import Database

Line = dict[str, Any]
_INTO = re.compile(r"\s*INSERT (?:OR \w+ )?INTO (\w+)", re.IGNORECASE)
SHOWN = 20  # differences of one table that are named


@dataclass(frozen=True)
class Start:
    """Where a manifest can be told from: a segment's base, or nothing at all when the database began empty."""

    segment: int
    form: int
    sequence: int
    tip: str
    base: Path | None


@dataclass(frozen=True)
class Story:
    """The transactions of a manifest from `start` on, oldest first; `lost` names what could not be read of them."""

    start: Start
    lines: tuple[Line, ...]
    lost: tuple[str, ...]
    segment: int

    @property
    def tip(self) -> str:
        return str(self.lines[-1]["tip"]) if self.lines else self.start.tip

    @property
    def sequence(self) -> int:
        return int(self.lines[-1]["sequence"]) if self.lines else self.start.sequence


@dataclass
class Difference:
    """How one table of a database differs from what its manifest tells: keys of rows, as `name=value` texts."""

    table: str
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


def read(folder: Path, *, until: str | None = None) -> Story:
    """Return what the manifest in `folder` tells, up to its newest transaction or to the one with the mark `until`.

    Raises:
        CatalogLost: there is nothing that could be told, or `until` is not known.
    """
    lines: dict[str, Line] = {}
    order: list[Line] = []
    starts: dict[str, Start] = {}
    for segment in segments(folder):
        for told in _lines(log_path(folder, segment)):
            if "do" in told:
                order.append({**told, "place": len(order), "segment": segment})
                lines[told["tip"]] = order[-1]
            elif (start := _start(folder, segment, told)) is not None:
                starts[start.tip] = start
    if not starts:
        raise CatalogLost(
            "the catalog cannot be built again",
            where=str(folder),
            known=f"none of its {len(segments(folder))} segments has a whole beginning",
            next="restore the folder from a backup",
        )
    newest = max(starts.values(), key=lambda start: start.segment)
    if until is not None and until not in lines and until not in starts:
        raise CatalogLost("the manifest does not tell of the catalog's newest transaction", where=str(folder))
    end = order[-1] if order and until is None else lines.get(until or "")
    is_behind = end is not None and newest.segment > end["segment"] and newest.sequence > end["sequence"]
    if end is None or (until is None and is_behind):
        start = starts[until] if until is not None else newest
        return Story(start, (), (), start.segment)
    return _walked_back(end, lines, order, starts)


def build(folder: Path, path: Path, *, until: str | None = None) -> Story:
    """Write the database that the manifest tells of to a new file at `path`, and return what was told.

    What cannot be carried out, because it rests on something lost, is named in the story's `lost`.

    Raises:
        CatalogLost: as `read`.
    """
    story = read(folder, until=until)
    if story.start.base is None:
        empty = Database(path)
        migrate(empty, to=story.start.form)
        empty.close()
    else:
        shutil.copyfile(story.start.base, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        lost = list(story.lost)
        connection.execute("PRAGMA synchronous=OFF")  # nobody uses the file before it is whole
        connection.execute("BEGIN")
        keys: dict[str, bool] = {}
        for told in story.lines:
            lost += _carried_out(connection, told, keys)
        connection.execute(
            "INSERT OR REPLACE INTO manifest (id, segment, sequence, tip) VALUES (1, ?, ?, ?)",
            (0, story.sequence, story.tip),  # no segment: whoever writes first begins a new one
        )
        connection.execute("COMMIT")
        dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
        lost += [f"a row of {table} refers to a lost row of {parent}" for table, _, parent, _ in dangling]
    return Story(story.start, story.lines, tuple(lost), story.segment)


def held_against(
    database: Path, folder: Path, *, besides: Mapping[str, Collection[str]]
) -> tuple[Story, list[Difference]]:
    """Return what the manifest of a database tells, and where the database differs from it; both may be written to meanwhile.

    Args:
        folder: where the second database and a copy of the first are made.

    Raises:
        CatalogLost: as `read`.
    """
    copy, built = folder / "copy.db", folder / "built.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        until = str(target.execute("SELECT tip FROM manifest").fetchone()[0])
        form = int(target.execute("PRAGMA user_version").fetchone()[0])
        target.execute("PRAGMA journal_mode=DELETE")
    story = build(folder_of(database), built, until=until)
    rows = Database(built)
    migrate(rows, to=form)
    rows.close()
    return story, differences(copy, built, besides=besides)


def differences(database: Path, built: Path, *, besides: Mapping[str, Collection[str]]) -> list[Difference]:
    """Return where a database differs from one that was built from its manifest, table by table.

    Args:
        besides: table → columns that a manifest does not know of; with none named, the whole table.
    """
    found = []
    with closing(sqlite3.connect(f"file:{built}?mode=ro", uri=True)) as connection:
        connection.execute("ATTACH ? AS other", (f"file:{database}?mode=ro",))
        names = connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        for (table,) in names.fetchall():
            left = besides.get(table)
            if left is None or left:
                told = _difference(connection, table, left or ())
                if told.missing or told.changed or told.added:
                    found.append(told)
    return found


def _lines(path: Path) -> Iterator[Line]:
    with suppress(FileNotFoundError), path.open("rb") as log:  # an old segment may be deleted meanwhile
        for each in log:
            told = read_line(each) if each != b"\n" else None
            if told is not None:
                yield told


def _start(folder: Path, segment: int, head: Line) -> Start | None:
    base = base_path(folder, segment) if head["base"] else None
    if base is not None and not is_sound(base):
        return None
    return Start(segment, head["form"], head["sequence"], head["tip"], base)


def is_sound(path: Path) -> bool:
    """Say whether a file is a whole SQLite database."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False


def _walked_back(end: Line, lines: Mapping[str, Line], order: list[Line], starts: Mapping[str, Start]) -> Story:
    chain, lost, at = [end], [], end
    while at["after"] not in starts:
        before = lines.get(at["after"])
        if before is None:
            before = next((each for each in reversed(order[: at["place"]]) if each["sequence"] < at["sequence"]), None)
            first = 1 + (before["sequence"] if before else _first(starts).sequence)
            lost.append(f"transactions {first} to {at['sequence'] - 1} are lost: the log does not hold them any more")
            if before is None:
                break
        chain.append(before)
        at = before
    start = starts.get(at["after"]) or _first(starts)
    return Story(start, tuple(reversed(chain)), tuple(lost), int(end["segment"]))


def _first(starts: Mapping[str, Start]) -> Start:
    return min(starts.values(), key=lambda start: start.sequence)


def _carried_out(connection: sqlite3.Connection, told: Line, keys: dict[str, bool]) -> Iterator[str]:
    """Carry a transaction's statements out again, each row under the id that it had; yield what was not possible."""
    for sql, values, identity in told["do"]:
        try:
            if identity == -1:
                connection.executemany(sql, [[value(each) for each in row] for row in values])
                continue
            given = connection.execute(sql, [value(each) for each in values]).lastrowid
            into = _INTO.match(sql)
            if into and identity and given != identity and _has_id(connection, into[1], keys):
                connection.execute(f"UPDATE {into[1]} SET id = ? WHERE id = ?", (identity, given))
        except sqlite3.Error as error:
            yield f"transaction {told['sequence']}: {sql.split('(')[0].strip()[:60]}: {error}"


def _has_id(connection: sqlite3.Connection, table: str, keys: dict[str, bool]) -> bool:
    if table not in keys:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        keys[table] = any(each[1] == "id" and each[2] == "INTEGER" and each[5] for each in columns)
    return keys[table]


def _difference(connection: sqlite3.Connection, table: str, left: Collection[str]) -> Difference:
    columns = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
    names = ", ".join(each[1] for each in columns if each[1] not in left)
    keys = [each[1] for each in sorted(columns, key=lambda each: each[5]) if each[5]] or [columns[0][1]]
    sides = {}
    for one, other in (("main", "other"), ("other", "main")):
        found = connection.execute(
            f"SELECT {', '.join(keys)} FROM (SELECT {names} FROM {one}.{table} EXCEPT SELECT {names} FROM {other}.{table})"
            f" ORDER BY {', '.join(keys)} LIMIT {SHOWN}"
        )
        sides[one] = [", ".join(f"{k}={v}" for k, v in zip(keys, row, strict=True)) for row in found.fetchall()]
    told, held = set(sides["main"]), set(sides["other"])
    return Difference(
        table,
        [key for key in sides["main"] if key not in held],
        [key for key in sides["main"] if key in held],
        [key for key in sides["other"] if key not in told],
    )


def damaged(path: Path) -> str:
    """Return what is wrong with a database file: "" when it is whole, as far as SQLite can say."""
    if not path.is_file() or not path.stat().st_size:
        return "it is gone" if not path.is_file() else "it is empty"
    try:
        rows = Database(path)
        try:
            said = str(rows.read("PRAGMA integrity_check")[0][0])
        finally:
            rows.close()
    except StorageError as error:
        return error.what
    return "" if said == "ok" else said

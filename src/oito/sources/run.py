"""What happens when a source is collected: rows since the cursor, held against the contract, added exactly once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from oito.clock import moment, text
from oito.errors import EmptySource, MissingColumn
from oito.flow.site import ROWS, Context, Made
from oito.names import did_you_mean, duration
from oito.sources import contract, readers
from oito.sources.spec import SourceSpec
from oito.storage import frames, tables
from oito.storage.digests import digest


def probe(context: Context) -> str:
    """Return what tells cheaply whether the outside may have something new: the tick of `every`, and the files' stamps."""
    spec = _spec(context)
    now = context.site.now()
    if spec.every:
        seconds = duration(spec.every).total_seconds()
        return text(datetime.fromtimestamp(now.timestamp() // seconds * seconds, now.tzinfo))
    if spec.reader is None:
        return text(now)
    stamps = readers.stamps(context.site.root, spec.reader)
    return digest((stamps, text(now) if spec.known_at else ""))[:16]


def make(context: Context) -> Made:
    """Collect what is new and return the source's next version, or nothing when there is nothing new."""
    spec, before = _spec(context), _before(context)
    cursor = context.previous.record.get("cursor") if before and context.previous else None
    since = _since(cursor, spec)
    now = context.site.now()
    rows = _collected(context, since, now)
    if rows.height == 0 and rows.width == 0 and before is None:
        raise _empty(context)
    if before is not None and rows.width == 0:
        return Made(unchanged=True)
    _check_columns(context, rows, spec)
    kept, aside = contract.hold(rows, before.schema if before else None, spec.contract, place=context.asset.place)
    if kept.height == 0 and before is None:
        raise _empty(context)
    table = _added(context, before, kept, since)
    if before is not None and table.content == before.content and aside.height == 0:
        return Made(unchanged=True)
    added = table.rows - (before.rows if before else 0)
    context.say(f"{kept.height} rows read, {added} new, {aside.height} set aside")
    newest = _newest(kept, spec.cursor, cursor)
    return Made(
        table=table,
        frames={"quarantine": aside} if aside.height else {},
        record={
            "cursor": newest, "since": since if since is None or isinstance(since, int | float | str) else text(since),
            "until": text(now), "read": kept.height + aside.height, "added": added, "set_aside": aside.height,
            "cursor_column": spec.cursor, "key": list(spec.key),
        },
        metrics={"rows": table.rows, "added": added, "set_aside": aside.height},
    )  # fmt: skip


def _spec(context: Context) -> SourceSpec:
    spec = context.asset.spec
    assert isinstance(spec, SourceSpec)
    return spec


def _before(context: Context) -> tables.Table | None:
    """Return the table to go on from; a source that is collected in another way than before starts afresh."""
    if context.previous is None or context.is_redefined:
        return None
    return tables.Table.from_data(context.previous.tables[ROWS])


def _since(cursor: Any, spec: SourceSpec) -> Any:
    if cursor is None:
        return None
    if isinstance(cursor, str) and cursor.endswith("Z"):
        return moment(cursor) - duration(spec.overlap)
    return cursor


def _collected(context: Context, since: Any, now: datetime) -> pl.DataFrame:
    spec = _spec(context)
    if spec.reader is not None:
        rows = readers.read(context.site.root, spec.reader, place=context.asset.place)
        if since is not None and spec.cursor and spec.cursor in rows.columns:
            rows = rows.filter(pl.col(spec.cursor) >= since)
    else:
        given = context.call(since=since, until=now)
        rows = context.collected(frames.to_frame(pl.DataFrame() if given is None else given))
    if spec.known_at and spec.known_at in rows.columns and rows.schema[spec.known_at].is_temporal():
        rows = rows.filter(pl.col(spec.known_at) <= now)
    return rows


def _check_columns(context: Context, rows: pl.DataFrame, spec: SourceSpec) -> None:
    for name in (*spec.key, *filter(None, (spec.cursor, spec.known_at))):
        if name not in rows.columns:
            raise MissingColumn(
                f"{context.asset.name} gave no column {name!r}",
                where=context.asset.place,
                known=f"its columns: {', '.join(rows.columns)}",
                next=did_you_mean(name, rows.columns),
            )


def _added(context: Context, before: tables.Table | None, rows: pl.DataFrame, since: Any) -> tables.Table:
    spec, files = _spec(context), context.site.files
    if spec.key:
        rows = rows.unique(subset=list(spec.key), keep="last", maintain_order=True)
        return tables.write(files, rows) if before is None else tables.upsert(files, before, rows, list(spec.key))
    if before is None:
        return tables.write(files, rows)
    if spec.cursor is None:
        return tables.write(files, rows)  # without key and cursor every reading is the whole
    seen = tables.scan(files, before).filter(pl.col(spec.cursor) >= since).collect() if since is not None else None
    new = rows if seen is None else rows.join(seen, on=rows.columns, how="anti", nulls_equal=True)
    return tables.append(files, before, new) if new.height else before


def _newest(rows: pl.DataFrame, column: str | None, before: Any) -> Any:
    if column is None or rows.height == 0:
        return before
    newest = rows[column].max()
    newest = text(newest) if isinstance(newest, datetime) else newest
    return newest if before is None or newest is None else max(newest, before)


def _empty(context: Context) -> EmptySource:
    return EmptySource(
        f"{context.asset.name} gave no rows",
        where=context.asset.place,
        known="it has never given any",
        next="look at what it reads; a source that is empty now and filled later may be run again then",
    )

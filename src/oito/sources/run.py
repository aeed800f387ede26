"""What happens when a source is collected: rows since the cursor, held against the contract, added exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from oito.clock import text
from oito.errors import BadInput, EmptySource, MissingColumn, StepFailed
from oito.flow.site import ROWS, Context, Made
from oito.names import did_you_mean
from oito.sources import contract, cursor, ledger, quarantine, readers
from oito.sources.ledger import Read
from oito.sources.readers import Batch
from oito.sources.spec import SourceSpec
from oito.storage import frames, tables
from oito.storage.tables import Table

QUARANTINE = "quarantine"


def make(context: Context) -> Made:
    """Collect what is new and return the source's next version, or nothing when there is nothing new."""
    past = _past(context)
    batch = _collected(context, past)
    if batch is None or (past.table is not None and not batch.rows.width):
        context.say("nothing new")
        return Made(unchanged=True)
    if not batch.rows.width:
        raise _empty(context, "it has never given any")
    sorted_out = _sorted_out(context, past, batch)
    if past.table is None and not sorted_out.kept.height:
        raise _empty(context, sorted_out.why_empty())
    table = _added(context, past.table, sorted_out.kept)
    aside, set_aside = quarantine.merged(
        past.quarantine, sorted_out.aside, sorted_out.kept, key=_spec(context).key, now=past.now
    )
    if past.is_same(table, aside, sorted_out.waits_until):
        context.say(f"{batch.rows.height} rows read, none new")
        return Made(unchanged=True)
    added = table.rows - (past.table.rows if past.table else 0)
    context.say(f"{batch.rows.height} rows read, {added} added, {set_aside} set aside, {sorted_out.waiting} wait")
    return Made(
        table=table,
        frames={QUARANTINE: aside} if aside.height else {},
        record=_record(context, past, sorted_out)
        | {"added": added, "set_aside": set_aside, "quarantined": aside.height},
        metrics={"rows": table.rows, "added": added, "set_aside": set_aside, "waiting": sorted_out.waiting},
    )


@dataclass(frozen=True)
class _Past:
    """What the version before knows: its table, its record, from where to ask, and the moment it is now."""

    table: Table | None
    record: Mapping[str, Any]
    quarantine: pl.DataFrame | None
    cursor: Any
    since: Any
    now: datetime

    def is_same(self, table: Table, aside: pl.DataFrame, waits_until: str) -> bool:
        """Say whether a collection changed nothing worth a version."""
        if self.table is None or table.content != self.table.content:
            return False
        if self.record.get("files") and waits_until != self.record.get("waits_until", ""):
            return False
        return aside.equals(self.quarantine) if self.quarantine is not None else not aside.height


@dataclass(frozen=True)
class _SortedOut:
    """A batch sorted out: rows that count, rows set aside, and what is known of those left for later."""

    kept: pl.DataFrame
    aside: pl.DataFrame
    waiting: int = 0
    waits_from: Any = None  # the least cursor among the rows left for later
    waits_until: str = ""  # when the first of them becomes known
    ledger: tuple[Read, ...] = field(default=())

    def why_empty(self) -> str:
        if self.waiting:
            return f"rows that are not known yet: {self.waiting:,}, the first at {self.waits_until}"
        if self.aside.height:
            return f"rows that do not count: {self.aside.height:,}, the first because {self.aside[contract.REASON][0]}"
        return "it has never given any"


def _spec(context: Context) -> SourceSpec:
    spec = context.asset.spec
    assert isinstance(spec, SourceSpec)
    return spec


def _past(context: Context) -> _Past:
    """Return what to go on from; a source that is collected in another way than before starts afresh."""
    now, previous, spec = context.site.now(), context.previous, _spec(context)
    if previous is None or context.is_redefined:
        return _Past(None, {}, None, None, None, now)
    table = Table.from_data(previous.tables[ROWS])
    dtype = dict(table.schema).get(spec.cursor or "", "")
    reached = cursor.revived(previous.record.get("cursor"), dtype)
    waits_from = cursor.revived(previous.record.get("waits_from"), dtype)
    aside = context.site.table(previous, QUARANTINE, as_type=pl.DataFrame) if QUARANTINE in previous.tables else None
    since = cursor.lesser(None if reached is None else cursor.behind(reached, spec.overlap), waits_from)
    return _Past(table, previous.record, aside, reached, since, now)


def _collected(context: Context, past: _Past) -> Batch | None:
    """Return what the outside gives; None says that it has nothing new."""
    spec = _spec(context)
    if spec.reader is None:
        return Batch(_rows(context, context.call(since=past.since, until=past.now)), (), ())
    return readers.news(
        context.site.root, spec.reader, ledger.kept(past.record),
        now=text(past.now), is_whole=not (spec.key or spec.cursor), place=context.asset.place,
    )  # fmt: skip


def _rows(context: Context, given: Any) -> pl.DataFrame:
    """Return what the function gave as one frame in the types that are stored; pages are put together."""
    if given is None:
        return pl.DataFrame()
    pages = context.guarded(list, given) if isinstance(given, Iterator) else [given]
    try:
        read = [context.collected(frames.to_frame(page)) for page in pages]
        return pl.concat([page for page in read if page.width] or [pl.DataFrame()], how="diagonal_relaxed")
    except (BadInput, pl.exceptions.PolarsError) as error:
        raise StepFailed(
            f"{context.asset.name} gave no table: {getattr(error, 'what', error)}",
            where=context.asset.place,
            known=getattr(error, "known", ""),
            next=getattr(error, "next", "") or "give each column one type in all pages",
        ) from error


def _sorted_out(context: Context, past: _Past, batch: Batch) -> _SortedOut:
    """Leave rows of the future for later, and set aside those that do not fit or lack what names and places them."""
    spec, place, rows = _spec(context), context.asset.place, batch.rows
    _check_columns(context, rows, spec)
    schema = tables.scan(context.site.files, past.table).collect_schema() if past.table else None
    waits = _waits(rows, spec, schema, past.now, place)
    present = rows.filter(waits.is_null())
    fits, misfits = contract.hold(present, schema, spec.contract, place=place)
    if spec.cursor:
        cursor.require_usable(fits, spec.cursor, place=place)
    lacking = contract.missing(fits, [*spec.key, *filter(None, [spec.known_at])])
    nameless = contract.marked(fits, lacking)
    aside = pl.concat([misfits, nameless], how="diagonal_relaxed") if nameless.height else misfits
    left = rows.filter(waits.is_not_null())
    first = waits.min()
    return _SortedOut(
        kept=fits.filter(lacking == ""),
        aside=aside,
        waiting=left.height,
        waits_from=_least(left, spec.cursor, schema),
        waits_until=_first_wait(batch, waits, first),
        ledger=readers.with_waits(batch, waits),
    )


def _waits(rows: pl.DataFrame, spec: SourceSpec, schema: pl.Schema | None, now: datetime, place: str) -> pl.Series:
    """Return per row the moment it becomes known when that is still to come, else null."""
    utc = pl.Datetime("us", "UTC")
    if not spec.known_at:
        return pl.Series([None] * rows.height, dtype=utc)
    column = rows[spec.known_at]
    if schema is None or column.dtype.is_temporal():
        cursor.require_time(rows, spec.known_at, place=place)
    known = contract.converted(column, utc)
    return known.to_frame("known").select(pl.when(pl.col("known") > now).then(pl.col("known"))).to_series()


def _first_wait(batch: Batch, waits: pl.Series, first: Any) -> str:
    """Return when the next row becomes known; files that were not read again keep theirs."""
    moments = [each.waits_until for each in readers.with_waits(batch, waits)] if batch.ledger else []
    return min((each for each in moments if each), default="" if batch.ledger or first is None else text(first))


def _least(left: pl.DataFrame, column: str | None, schema: pl.Schema | None) -> Any:
    if column is None or not left.height:
        return None
    values = left[column] if schema is None else contract.converted(left[column], schema[column])
    return values.min()


def _check_columns(context: Context, rows: pl.DataFrame, spec: SourceSpec) -> None:
    for name in (*spec.key, *filter(None, (spec.cursor, spec.known_at))):
        if name not in rows.columns:
            raise MissingColumn(
                f"{context.asset.name} gave no column {name!r}",
                where=context.asset.place,
                known=f"its columns: {', '.join(rows.columns)}",
                next=did_you_mean(name, rows.columns),
            )


def _added(context: Context, before: Table | None, rows: pl.DataFrame) -> Table:
    """Return the table with the rows that are new to it."""
    spec, files = _spec(context), context.site.files
    if spec.key:
        ordered = rows.sort(spec.cursor, nulls_last=False, maintain_order=True) if spec.cursor else rows
        rows = ordered.unique(subset=list(spec.key), keep="last", maintain_order=True)
    elif spec.cursor:
        rows = rows.unique(keep="first", maintain_order=True)
    if before is None or not (spec.key or spec.cursor):
        return tables.write(files, rows)
    before = _widened(context, before, rows)
    if spec.key or not spec.cursor:
        news = _news(context, before, rows, list(spec.key))
        return tables.upsert(files, before, news, list(spec.key)) if news.height else before
    known = [name for name, _ in before.schema]
    if set(known) != set(rows.columns):
        before = _filled(context, before, rows, known)
    place, least = pl.col(spec.cursor), rows[spec.cursor].min()
    is_near = place.is_null() if least is None else place.is_null() | (place >= least)
    old = tables.scan(files, before).filter(is_near).select(known).collect()
    new = rows.join(old, on=known, how="anti", nulls_equal=True, maintain_order="left")
    return tables.append(files, before, new) if new.height else before


def _news(context: Context, before: Table, rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Return the rows that the table does not hold as they are; the rest of the overlap costs no rewriting then."""
    have = tables.scan(context.site.files, before)
    if rows.columns != have.collect_schema().names() or not rows.height:
        return rows
    first = pl.col(key[0]).is_between(
        pl.lit(rows[key[0]].min()), pl.lit(rows[key[0]].max())
    )  # lets whole row groups be left out
    old = have.filter(first).join(rows.lazy().select(key), on=key, how="semi").collect()
    return rows.join(old, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")


def _widened(context: Context, before: Table, rows: pl.DataFrame) -> Table:
    """Return the table with the columns whose type gave way to a wider one."""
    have = tables.scan(context.site.files, before)
    wider = {n: rows.schema[n] for n, dtype in have.collect_schema().items() if rows.schema[n] != dtype}
    return tables.write(context.site.files, have.cast(wider)) if wider else before  # type: ignore[arg-type]  # any dict of types is a mapping of types


def _filled(context: Context, before: Table, rows: pl.DataFrame, known: list[str]) -> Table:
    """Return the table with the new columns of rows that it has already, so that these are not taken for other rows."""
    fresh = rows.unique(subset=known, keep="first", maintain_order=True)
    old = tables.scan(context.site.files, before).collect()
    return tables.write(
        context.site.files, old.join(fresh, on=known, how="left", nulls_equal=True, maintain_order="left")
    )


def _record(context: Context, past: _Past, found: _SortedOut) -> dict[str, Any]:
    spec = _spec(context)
    reached = cursor.greater(cursor.newest(found.kept, spec.cursor), past.cursor)
    before, now = past.record.get("waits_until", ""), text(past.now)
    return {
        "cursor": cursor.plain(reached), "since": cursor.plain(past.since), "until": now,
        "read": found.kept.height + found.aside.height, "cursor_column": spec.cursor, "key": list(spec.key),
        "waiting": found.waiting, "waits_from": cursor.plain(found.waits_from), "waits_until": found.waits_until,
        "opened": before if before and before <= now else past.record.get("opened", ""),
        "files": [each.data() for each in found.ledger],
    }  # fmt: skip


def _empty(context: Context, known: str) -> EmptySource:
    return EmptySource(
        f"{context.asset.name} gave no rows",
        where=context.asset.place,
        known=known,
        next="look at what it reads; a source that is empty now and filled later may be run again then",
    )

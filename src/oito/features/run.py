"""What happens with a feature view: its rows are made and checked, joined to questions, and kept ready online."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from oito.catalog.records import Version
from oito.clock import text
from oito.errors import DataError, MissingColumn
from oito.features import shelves
from oito.features.asof import Index, Joined
from oito.features.shelves import Lookup
from oito.features.spec import FeaturesSpec
from oito.flow.project import Asset
from oito.flow.site import Context, Made, Site, failed
from oito.names import did_you_mean, duration
from oito.storage import frames

__all__ = ["Lookup", "describe", "is_ready", "make", "read", "ready", "settled"]

INDEXES: dict[str, Index] = {}  # content of a view → its sorted index, for the join that comes next
MAX_INDEXES = 8


def make(context: Context) -> Made:
    """Make the rows of a view; one on request has none, its version stands for its code."""
    spec = _spec(context.asset)
    if spec.on_request:
        return Made(record={"on_request": True}, content=context.definition)
    rows = context.collected(frames.to_frame(context.call()))
    made = describe(context, rows)
    made.frame = rows
    return made


def describe(context: Context, rows: pl.DataFrame, parts: Sequence[Version] = ()) -> Made:
    """Return what holds of a view's rows, made in one go or as the partitions together; the rows are no part of it.

    Raises:
        DataError: they are no rows of a view.
    """
    spec = _spec(context.asset)
    _check(rows, spec, context.asset)
    values = [name for name in rows.columns if name not in {*spec.entity, spec.time, spec.known_at}]
    event = rows[spec.time]
    newest = event.max()
    record = {
        "on_request": False, "entity": list(spec.entity), "time": spec.time, "known_at": spec.known_at, "ttl": spec.ttl,
        "columns": values, "entities": rows.select(pl.struct(spec.entity).n_unique()).item(),
        "newest": text(newest) if isinstance(newest, datetime) else None,
        "statistics": _statistics(rows.select(values)),
    }  # fmt: skip
    metrics = {"rows": rows.height, "entities": record["entities"]}
    return Made(record=record, metrics=metrics, meaning=("entity", "time", "known_at", "ttl", "columns"))


def read(site: Site, version: Version, *, as_type: Any = None, at: pl.DataFrame | None = None, time: str = "") -> Any:
    """Return the view's rows, or, given questions, a `Joined`: the questions with the view's columns as known at each.

    Args:
        at: the questions, with the view's entity columns; for a view on request, the request's own columns.
        time: the column of `at` with the moment of each question.

    Raises:
        DataError: a view on request gave another number of rows, or a column that is there already.
    """
    if at is None:
        return site.table(version, as_type=as_type)
    if version.record["on_request"]:
        return _on_request(site, version, at)
    ttl = version.record["ttl"]
    index = _index(site, version)
    return index.join(at, at=time, ttl=duration(ttl) if ttl else None, columns=version.record["columns"])


def settled(site: Site, asset: Asset, version: Version) -> None:
    """Bring the online store of the environment to what the view says now; the same again costs one look."""
    if not version.record["on_request"] and site.settings.online:
        shelves.fill(site, version)
        shelves.leave_others(site, version)


def ready(site: Site, version: Version) -> None:
    """Have the rows of a version online before the environment points at it, so that no reader misses them."""
    if not version.record["on_request"] and site.settings.online:
        shelves.prepare(site, version)


def is_ready(site: Site, version: Version) -> bool:
    """Say whether an endpoint can look the version's rows up online; where none are kept it need not wait for them."""
    return version.record["on_request"] or not site.settings.online or shelves.is_filled(site, version)


def _spec(asset: Asset) -> FeaturesSpec:
    assert isinstance(asset.spec, FeaturesSpec)
    return asset.spec


def _check(rows: pl.DataFrame, spec: FeaturesSpec, asset: Asset) -> None:
    for name in (*spec.entity, spec.time, *filter(None, (spec.known_at,))):
        if name not in rows.columns:
            raise MissingColumn(
                f"{asset.name} gave no column {name!r}", where=asset.place,
                known=f"its columns: {', '.join(rows.columns)}", next=did_you_mean(name, rows.columns),
            )  # fmt: skip
    for name in filter(None, (spec.time, spec.known_at)):
        if rows.schema[name] != pl.Datetime("us", "UTC"):
            raise DataError(
                f"{asset.name}: {name} is {rows.schema[name]}, not a moment", where=asset.place,
                next="give a datetime; one without a zone is taken as UTC",
            )  # fmt: skip


def _index(site: Site, version: Version) -> Index:
    key = f"{version.content}:{version.record['known_at']}"
    if key not in INDEXES:
        while len(INDEXES) >= MAX_INDEXES:
            INDEXES.pop(next(iter(INDEXES)))
        record = version.record
        rows = site.table(version, as_type=pl.DataFrame)
        INDEXES[key] = Index(rows, by=record["entity"], time=record["time"], known_at=record["known_at"])
    return INDEXES[key]


def _on_request(site: Site, version: Version, at: pl.DataFrame) -> Joined:
    asset = site.project.asset(version.asset)
    assert asset.function is not None
    try:
        given = asset.function(request=at)
    except Exception as error:
        raise failed(asset, error, site.project.root) from error
    made = frames.to_frame(given)
    made = made.collect() if isinstance(made, pl.LazyFrame) else made
    if made.height != at.height:
        raise DataError(
            f"{asset.name} gave {made.height} rows for {at.height} questions",
            where=asset.place,
            next="give one row per question, in order",
        )
    new = [column for column in made.get_columns() if column.name not in at.columns]
    return Joined(at.hstack(new), 0, 0, 0)


def _statistics(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for column in rows.iter_columns():
        facts: dict[str, Any] = {"type": str(column.dtype), "missing": column.null_count() / max(len(column), 1)}
        if column.dtype.is_numeric():
            facts |= {"mean": _number(column.mean()), "low": _number(column.min()), "high": _number(column.max())}
        found[column.name] = facts
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None

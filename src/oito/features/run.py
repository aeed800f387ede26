"""What happens with a feature view: its rows are made and checked, joined to questions, and kept ready online."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from oito.catalog.records import Version
from oito.clock import text
from oito.errors import BadRequest, DataError, MissingColumn, SchemaChanged
from oito.features.asof import Index, Joined
from oito.features.online import Online
from oito.features.spec import FeaturesSpec
from oito.flow.project import Asset
from oito.flow.site import Context, Made, Site, failed
from oito.names import did_you_mean, duration
from oito.storage import frames

INDEXES: dict[str, Index] = {}  # content of a view → its sorted index, for the join that comes next
MAX_INDEXES = 8


def make(context: Context) -> Made:
    """Make the rows of a view; one on request has none, its version stands for its code."""
    spec = _spec(context.asset)
    if spec.on_request:
        return Made(record={"on_request": True}, content=context.definition)
    rows = context.collected(frames.to_frame(context.call()))
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
    return Made(frame=rows, record=record, metrics=metrics, meaning=("entity", "time", "known_at", "ttl", "columns"))


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
    spec = _spec(asset)
    if spec.on_request or not site.settings.online:
        return
    now = site.now()
    mark = f"{version.id}@{text(now)}"
    row = site.catalog.rows.one("SELECT probe FROM poll WHERE environment = ? AND asset = ?", _shelf(site), asset.name)
    if row and row["probe"] == mark:
        return
    before = int(row["probe"].split("@")[0]) if row else 0
    online = Online(online_path(site))
    try:
        rows = _newest(site, version, spec, now)
        columns = [(name, rows.schema[name]) for name in version.record["columns"]]
        if before > version.id or (row and row["probe"].split("@")[1] > text(now)):
            online.drop(asset.name)  # a rollback: what is newer there must not win
        online.declare(asset.name, columns)
        online.write(asset.name, rows, entity=spec.entity, time=spec.time, known_at=spec.known_at)
    finally:
        online.close()
    with site.catalog.change() as change:
        change.rows.run(
            "INSERT OR REPLACE INTO poll (environment, asset, probe, at) VALUES (?, ?, ?, ?)",
            _shelf(site), asset.name, mark, change.at,
        )  # fmt: skip


class Lookup:
    """Reads the values of one view for a request, from the environment's online store."""

    def __init__(self, site: Site, name: str) -> None:
        version = site.catalog.find(name, site.environment)
        self.name = name
        self._columns: list[str] = version.record["columns"]
        self._entity: list[str] = version.record["entity"]
        self._ttl = duration(version.record["ttl"]) if version.record["ttl"] else None
        self._online = Online(online_path(site))

    def of(self, row: Mapping[str, Any], at: datetime) -> tuple[dict[str, Any], datetime | None]:
        """Return (values by column, when they happened); all are None for an entity nothing usable is known of.

        Raises:
            BadRequest: the row lacks a column of the view's entity.
        """
        absent = [name for name in self._entity if name not in row]
        if absent:
            raise BadRequest(
                f"the field {absent[0]!r} is missing",
                known=f"{self.name} is looked up by {', '.join(self._entity)}",
                next=f"give {absent[0]!r}, or the features themselves: {', '.join(self._columns)}",
            )
        try:
            found = self._online.read(self.name, [row[name] for name in self._entity], at=at, ttl=self._ttl)
        except SchemaChanged:
            self._online.close()
            self._online = Online(self._online.path)
            found = self._online.read(self.name, [row[name] for name in self._entity], at=at, ttl=self._ttl)
        return (found.values, found.event_at) if found else (dict.fromkeys(self._columns), None)


def online_path(site: Site) -> Path:
    """Return where the online store of the site's environment lies."""
    return site.home / "online" / f"{site.environment.replace('/', '_')}.db"


def parity(site: Site, version: Version) -> tuple[int, list[dict[str, Any]]]:
    """Return (entities compared, those whose online values are not what the view says now)."""
    spec = _spec(site.project.asset(version.asset))
    expected = _newest(site, version, spec, site.now())
    online = Online(online_path(site))
    names: list[str] = version.record["columns"]
    entities = expected.select(spec.entity).rows()
    found = online.read_many(version.asset, entities, at=site.now())
    online.close()
    skewed = []
    for key, row, answer in zip(entities, expected.select(names).rows(), found, strict=True):
        given = tuple(answer.values[name] for name in names) if answer else None
        if given is None or not all(_same(a, b) for a, b in zip(row, given, strict=True)):
            skewed.append({"entity": list(key), "offline": list(row), "online": list(given) if given else None})
    return len(entities), skewed


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


def _newest(site: Site, version: Version, spec: FeaturesSpec, now: datetime) -> pl.DataFrame:
    """Return each entity's newest row that has happened and is known by now."""
    known = spec.known_at or spec.time
    rows: pl.LazyFrame = site.table(version)
    past = rows.filter((pl.col(spec.time) <= now) & (pl.col(known) <= now))
    return (
        past.sort([spec.time, known], maintain_order=True)
        .unique(spec.entity, keep="last", maintain_order=True)
        .collect()
    )


def _shelf(site: Site) -> str:
    return f"online:{site.environment}"


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


def _same(a: Any, b: Any) -> bool:
    return a == b or (a is None and b is None) or (a != a and b != b)

"""Where a prediction came from and what became of it: the feature rows that were used, the source rows behind them, the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from oito.catalog import lineage, versions
from oito.catalog.records import Version
from oito.clock import moment, text
from oito.endpoints import feedback
from oito.endpoints.predictions import Found
from oito.endpoints.requests import Fields, as_json, dtype
from oito.flow.site import Site

MAX_ROWS = 20
UTC_TIME = pl.Datetime("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Key = Mapping[str, Any]


@dataclass(frozen=True)
class Rows:
    """Rows of a version that have to do with a prediction: at most 20 of `count`, the newest last, as JSON knows values."""

    version: str
    why: str
    count: int
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        return {**vars(self), "columns": list(self.columns), "rows": [list(row) for row in self.rows]}


@dataclass(frozen=True)
class Truth:
    """What turned out: `told_by` is the label set's version, or "feedback"."""

    value: Any
    known_at: str
    told_by: str


class Origins:
    """Reads what a prediction rests on, from the catalog as its environment has it now and had it when the model was made."""

    def __init__(self, site: Site, found: Found, version: Version) -> None:
        self._site = site.within(found.environment)
        self._found, self._version, self._record = found, version, version.record
        fields = Fields(version.record)
        given = found.prediction.request
        names = list(version.record["request_fields"])
        self.request = dict(zip(names, fields.known(given, names), strict=True))
        self._types = {name: dtype(written) for name, written in fields.types.items()}
        edges = lineage.upstream(site.catalog.rows, version.id, with_partitions=False)
        self._upstream = versions.by_ids(site.catalog.rows, {edge.input for edge in edges})

    @property
    def asked_at(self) -> datetime:
        """The moment of the question: as told, as looked up for, else when it was answered."""
        told = self.request.get(self._record["time"])
        if isinstance(told, datetime):
            return told
        assumed = self._found.prediction.as_of.get(self._record["time"])
        return moment(assumed) if assumed else _EPOCH + timedelta(microseconds=self._found.prediction.at_ns // 1000)

    def made_from(self) -> list[Version]:
        """Return every version on the way from the sources to the endpoint's, sources first."""
        return sorted([*self._upstream.values(), self._version], key=lambda version: version.id)

    def feature_rows(self) -> list[Rows]:
        """Return, for each looked-up view, the row whose values were used."""
        found = []
        for name in self._record["features"]:
            happened = self._found.prediction.as_of.get(name)
            if name not in self._found.prediction.as_of:
                found.append(Rows(name, "not looked up: the caller gave the features", 0))
            elif happened is None:
                found.append(Rows(name, "nothing usable was known of the entity", 0))
            else:
                found.append(self._feature_row(name, moment(happened)))
        return found

    def source_rows(self) -> list[Rows]:
        """Return, for each source upstream, its rows with the key of the question, and with that of each view up to its as-of."""
        found = []
        for source in self._upstream.values():
            if source.kind == "source":
                current = self._site.catalog.resolve(source.asset, self._site.environment) or source
                found += [rows for rows in self._source_rows(current) if rows.count]
        return found

    def _source_rows(self, source: Version) -> Iterator[Rows]:
        schema = self._site.table(source).collect_schema()
        key = self._key(self._record["entity"])
        if key and set(key) <= set(schema):
            yield self._rows(source, key, f"{_told(key)}, the question's key")
        for name in self._record["features"]:
            happened = self._found.prediction.as_of.get(name)
            view = next(iter(self._views(name)), None)
            if view is None or happened is None:
                continue
            key, time = self._key(view.record["entity"]), view.record["time"]
            if key and set(key) <= set(schema):
                until = [pl.col(time) <= _moment(happened)] if schema.get(time) == UTC_TIME else []
                yield self._rows(source, key, f"{_told(key)}, the key of {name}, up to {happened[:19]}Z", *until)

    def truth(self) -> Truth | None:
        """Return what turned out, from the newest labels of that entity and time, else from feedback; None while unknown."""
        labels = self._site.catalog.resolve(self._record["labels"], self._site.environment)
        key = self._key(self._record["entity"])
        if labels is not None and key:
            rows: pl.LazyFrame = self._site.table(labels)
            time = pl.col(labels.record["time"]) == _moment(self.asked_at)
            told = rows.filter(*self._matches(key), time).collect()
            if told.height:
                row = told.row(-1, named=True)
                return Truth(row[labels.record["label"]], as_json(row[labels.record["known_at"]]), labels.ref)
        return self._feedback()

    def _feedback(self) -> Truth | None:
        told = [each for each in feedback.read(self._found.folder) if each.prediction_id == self._found.prediction.id]
        if not told:
            return None
        newest = max(told, key=lambda each: each.received_us)
        known_us = newest.received_us if newest.at_us is None else newest.at_us
        return Truth(newest.truth, text(_EPOCH + timedelta(microseconds=known_us)), "feedback")

    def _feature_row(self, name: str, happened: datetime) -> Rows:
        for view in self._views(name):
            record = view.record
            key = self._key(record["entity"])
            at = pl.col(record["time"]) == _moment(happened)
            rows: pl.DataFrame = self._site.table(view).filter(*self._matches(key), at).collect()
            if rows.height:
                return _shown(view, "the row whose values were used", rows.tail(1))
        return Rows(name, f"the row of {text(happened)} is in no version that is pointed at", 0)

    def _views(self, name: str) -> list[Version]:
        """Return the versions of a view to look into: what is pointed at now, then what the model learned from."""
        current = self._site.catalog.resolve(name, self._site.environment)
        learned = [version for version in self._upstream.values() if version.asset == name]
        return list({version.id: version for version in [*([current] if current else []), *learned]}.values())

    def _key(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the values of key columns as the request tells them, nothing when one is missing."""
        key = {name: self.request.get(name) for name in names}
        return {} if None in key.values() else key

    def _matches(self, key: Key) -> Iterator[pl.Expr]:
        for name, value in key.items():
            yield pl.col(name).cast(self._types[name], strict=False) == pl.lit(value, self._types[name])

    def _rows(self, source: Version, key: Key, why: str, *further: pl.Expr) -> Rows:
        rows: pl.DataFrame = self._site.table(source).filter(*self._matches(key), *further).collect()
        cursor = source.record.get("cursor_column")
        return _shown(source, why, rows.sort(cursor, maintain_order=True) if cursor else rows)


def _moment(at: str | datetime) -> pl.Expr:
    return pl.lit(moment(at)).cast(UTC_TIME)


def _told(key: Key) -> str:
    return ", ".join(f"{name}={value}" for name, value in key.items())


def _shown(version: Version, why: str, rows: pl.DataFrame) -> Rows:
    shown = [[as_json(value) for value in row] for row in rows.tail(MAX_ROWS).iter_rows()]
    return Rows(version.ref, why, rows.height, rows.columns, shown)

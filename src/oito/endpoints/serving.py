"""What a process serves, put together: a version's executor, the user's function, and features looked up by word."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from oito.catalog.records import Version
from oito.catalog.signature import Signature
from oito.clock import moment, text
from oito.endpoints import run
from oito.endpoints.answering import scoring
from oito.endpoints.served import Enriched, Served
from oito.errors import BadRequest, OitoError
from oito.flow.site import Site


def served(site: Site, endpoint: str) -> Served:
    """Return what the environment's pointer of an endpoint stands for, ready to answer.

    Raises:
        UnknownEnvironment: the endpoint has no version there.
    """
    version = site.catalog.find(endpoint, site.environment)
    record = version.record
    signature = Signature.from_data(record["signature"])
    asset = site.project.assets.get(version.asset)
    needs_lookup = record["features"] or record["on_request"]
    return Served(
        endpoint=version.asset,
        version=version.ref,
        model=record["model"],
        signature=signature,
        request_fields=tuple(record["request_fields"]),
        score=scoring(run.loaded(site, version), signature, asset.function if asset else None),
        outputs=tuple(record["outputs"]),
        enrich=Enricher(site, version) if needs_lookup else None,
    )


class Enricher:
    """Looks up the features of rows that give only keys: online for views with an entity, computed for those on request."""

    def __init__(self, site: Site, version: Version) -> None:
        self._site, self._record = site, version.record
        door = site.project.kinds["features"].door("run")
        self._views = [door.Lookup(site, name) for name in self._record["features"]]
        self._on_request = [(name, site.catalog.resolve(name, site.environment)) for name in self._record["on_request"]]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[Enriched | OitoError]:
        """Return, for each row, its features and when they happened, or what is wrong with that row."""
        return [self._one(row) for row in rows]

    def _one(self, row: Mapping[str, Any]) -> Enriched | OitoError:
        try:
            at = self._moment(row)
            values: dict[str, Any] = {}
            as_of: dict[str, str | None] = {}
            for view in self._views:
                found, happened = view.of(row, at)
                values |= found
                as_of[view.name] = text(happened) if happened else None
            if self._on_request:
                values |= self._computed({**row, self._record["time"]: row.get(self._record["time"]) or text(at)})
            return Enriched(values, as_of)
        except OitoError as error:
            return error

    def _moment(self, row: Mapping[str, Any]) -> datetime:
        given = row.get(self._record["time"])
        if given is None:
            return self._site.now()
        if not isinstance(given, str):
            raise BadRequest(
                f"{self._record['time']} is {given!r}", known='it takes a time such as "2013-11-01T06:30:00Z"'
            )
        try:
            return moment(given)
        except OitoError as error:
            raise BadRequest(f"{self._record['time']}: {error.what}", next=error.next) from None

    def _computed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        question = typed([row], self._record)
        found: dict[str, Any] = {}
        for _, version in self._on_request:
            joined = self._site.read(version, at=question) if version else None
            if joined is not None:
                found |= joined.frame.drop(question.columns).row(0, named=True)
        return found


def typed(rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> Any:
    """Return requests as a frame with the types that the labels had.

    Raises:
        BadRequest: a field has a value of another type.
    """
    import polars as pl

    columns = []
    for name in record["request_fields"]:
        wanted = record["request_types"].get(name, "String")
        values = [row.get(name) for row in rows]
        try:
            if wanted.startswith("Datetime"):
                columns.append(
                    pl.Series(name, [None if v is None else moment(v) for v in values], dtype=pl.Datetime("us", "UTC"))
                )
            else:
                columns.append(pl.Series(name, values, dtype=getattr(pl, wanted.split("(")[0]), strict=True))
        except (TypeError, pl.exceptions.PolarsError, OverflowError):
            raise BadRequest(f"{name} is {values[0]!r}", known=f"{name} takes {wanted}") from None
    return pl.DataFrame(columns)


def checker(site: Callable[[], Site], endpoint: str, current: Served) -> Callable[[], Served | None]:
    """Return the function that a serving process asks twice a second: something newer to serve, or None."""
    state = {"version": current.version, "bundle": _bundle(site())}

    def check() -> Served | None:
        now = site()
        version = now.catalog.find(endpoint, now.environment)
        bundle = _bundle(now)
        if (version.ref, bundle) == (state["version"], state["bundle"]):
            return None
        found = served(now, endpoint)
        state.update(version=found.version, bundle=bundle)
        return found

    return check


def answered(site: Site, version: Version, rows: Any) -> tuple[Any, Any, list[bytes]]:
    """Return (features as the model sees them, answers, requests as JSON) of many questions at once, features as known at each.

    Args:
        rows: a frame with the request's fields; the time column says when each was asked.
    """
    record = version.record
    signature = Signature.from_data(record["signature"])
    frame = rows
    for name in [*record["features"], *record["on_request"]]:
        view = site.catalog.find(name, site.environment)
        frame = site.read(view, at=frame, time=record["time"]).frame
    matrix = signature.matrix(frame)
    asset = site.project.assets.get(version.asset)
    score = scoring(run.loaded(site, version), signature, asset.function if asset else None)
    asked = rows.select(name for name in record["request_fields"] if name in rows.columns)
    requests = [json.dumps(row, default=_plain).encode() for row in asked.iter_rows(named=True)]
    return matrix, np.asarray(score(matrix)), requests


def _plain(value: Any) -> Any:
    return text(value) if isinstance(value, datetime) else str(value)


def _bundle(site: Site) -> str:
    return str(site.project.root)

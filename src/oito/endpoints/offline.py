"""Many questions answered at once without a server: the same executor and function, features as known at each question."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.catalog.records import Version
from oito.endpoints.loading import scorer, signature_of
from oito.endpoints.lookup import computed
from oito.endpoints.requests import as_json, dtype
from oito.errors import DataError, MissingColumn
from oito.flow.site import Site
from oito.names import did_you_mean

Floats = NDArray[np.float64]
CALL_ROWS = 4096
TIME = pl.Datetime("us", "UTC")


def answered(site: Site, version: Version, questions: pl.DataFrame) -> tuple[Floats, Floats, list[bytes]]:
    """Return (features as the model sees them [n, d], answers [n, k], the requests as JSON) of n questions.

    Columns that the questions have are used as given, the others looked up as known at each question's time; without a
    time column all are asked now. The answers have the bits that a server gives for the same features.

    Raises:
        MissingColumn: neither the questions nor a view have a column of the model, or a key is missing.
        DataError: a column has another type than in training.
    """
    signature = signature_of(version)
    matrix = signature.matrix(completed(site, version, questions))
    score = scorer(site, version)
    calls = [matrix[start : start + CALL_ROWS] for start in range(0, max(len(matrix), 1), CALL_ROWS)]
    answers = np.concatenate([score(rows) for rows in calls])
    known = {*version.record["request_fields"], *signature.names}
    asked = questions.select(name for name in questions.columns if name in known)
    requests = [
        json.dumps({name: as_json(value) for name, value in row.items()}).encode()
        for row in asked.iter_rows(named=True)
    ]
    return matrix, answers, requests


def completed(site: Site, version: Version, questions: pl.DataFrame) -> pl.DataFrame:
    """Return the questions with the columns of the endpoint's views that they lack, as known at each question's time."""
    record, wanted = version.record, set(signature_of(version).names)
    frame = _timed(site, record, questions)
    for name in record["features"]:
        view = site.catalog.find(name, site.environment)
        if not wanted.intersection(view.record["columns"]) - set(questions.columns):
            continue
        for key in view.record["entity"]:
            if key not in frame.columns:
                raise MissingColumn(
                    f"the column {key!r} is missing", known=f"{name} is looked up by it", next=did_you_mean(key, frame.columns)
                )  # fmt: skip
        keys = frame.select(*view.record["entity"], record["time"])
        found = site.read(view, at=keys, time=record["time"]).frame
        frame = frame.with_columns(found[c] for c in view.record["columns"] if c not in questions.columns)
    if record["on_request"] and wanted - set(frame.columns):
        frame = _with_computed(site, version, frame)
    return frame


def _timed(site: Site, record: Mapping[str, Any], questions: pl.DataFrame) -> pl.DataFrame:
    """Return the questions with a time each, and every request field typed as the labels were."""
    time, now = record["time"], pl.lit(site.now()).cast(TIME)
    if time not in questions.columns:
        return _timed(site, record, questions.with_columns(now.alias(time)))
    try:
        typed = questions.with_columns(
            _cast(name, questions.schema[name], dtype(written))
            for name, written in record["request_types"].items()
            if name in questions.columns
        )
    except pl.exceptions.PolarsError as error:
        known = ", ".join(f"{name} {written}" for name, written in record["request_types"].items())
        raise DataError(f"a column is of another type than in training: {error}", known=known) from None
    return typed.with_columns(pl.col(time).fill_null(now))


def _cast(name: str, given: pl.DataType, wanted: Any) -> pl.Expr:
    if wanted == TIME and given == pl.String:
        return pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC")
    return pl.col(name).cast(wanted)


def _with_computed(site: Site, version: Version, frame: pl.DataFrame) -> pl.DataFrame:
    types = version.record["request_types"]
    fields = [
        frame[name] if name in frame.columns else pl.Series(name, [None] * frame.height, dtype(types[name]))
        for name in version.record["request_fields"]
    ]
    views = [site.catalog.find(name, site.environment) for name in version.record["on_request"]]
    new = computed(site, views, pl.DataFrame(fields))
    return frame.with_columns(column for column in new if column.name not in frame.columns)

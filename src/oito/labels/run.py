"""What happens when labels are made: rows checked, people's answers filled in, what is known told apart from what is open."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from oito.catalog import answers
from oito.catalog.records import Answer, Version
from oito.clock import moment, text
from oito.errors import DataError
from oito.flow.site import Context, Made, Site
from oito.labels.queue import QUEUE, SCORE
from oito.labels.rows import UTC, Columns, columns_of, items, normalized
from oito.labels.spec import LabelsSpec
from oito.labels.votes import Decision, ballots
from oito.storage import frames
from oito.storage.digests import digest

SOURCE = "label_source"  # the column that says "data" or "person", where people are asked
MAX_CLASSES = 20
DELAY_QUANTILES = (0.1, 0.5, 0.9, 0.99)


def probe(context: Context) -> str:
    """Return what tells whether an answer or an input is newer than at the last run."""
    history = answers.listed(context.site.catalog.rows, context.asset.name, history=True)
    return _stamp(context, history)


def make(context: Context) -> Made:
    """Return the label rows that are known, with the open ones beside them where people are asked.

    Raises:
        MissingColumn, DataError: the function's rows are no labels; see `rows.normalized`.
    """
    spec = _spec(context)
    columns = columns_of(spec, context.asset.name)
    history = answers.listed(context.site.catalog.rows, context.asset.name, history=True) if spec.asks_people else []
    stamp = _stamp(context, history) if spec.asks_people else ""
    if stamp and context.previous and not context.is_redefined and context.previous.record["probe"] == stamp:
        return Made(unchanged=True)
    given = context.collected(frames.to_frame(context.call()))
    if spec.asks_people:
        given = _askable(given, columns, context.asset.place)
    rows = normalized(given, columns, classes=spec.classes, place=context.asset.place)
    filled = _filled(context, rows, columns, history) if spec.asks_people else rows
    known = filled.filter(pl.col(columns.label).is_not_null())
    unknown = filled.height - known.height
    early = known.filter(pl.col(columns.known_at) < pl.col(columns.time)).height
    if early:
        context.say(f"{early} labels were known before their question was asked: look at {columns.known_at}")
    context.say(f"{known.height} labels known, {unknown} {'wait for people' if spec.asks_people else 'not known yet'}")
    record = {**_described(known, columns), "unknown": unknown, "early": early, "probe": stamp}
    metrics = {"known": known.height, "unknown": unknown, "early": early}
    metrics |= {"positive_share": record["positive_share"]} if record["positive_share"] is not None else {}
    return Made(
        frame=known,
        frames={QUEUE: _open(filled, columns)} if spec.asks_people else {},
        record=record,
        metrics=metrics,
        meaning=("entity", "time", "known_at", "label", "context"),
    )


def read(site: Site, version: Version, as_type: Any = None, *, known_by: datetime | None = None) -> Any:
    """Return the label rows: entity, time, known_at, label, then the context columns; sorted by time and entity.

    Args:
        as_type: the type of frame; None is `pl.LazyFrame`.
        known_by: only rows whose question had been asked and whose label was known at that moment. A label that was
            corrected since is not among them: it counts from its correction on.
    """
    rows: pl.LazyFrame = site.table(version)
    if known_by is not None:
        record = version.record
        bound = pl.lit(moment(known_by)).cast(UTC)
        rows = rows.filter((pl.col(record["known_at"]) <= bound) & (pl.col(record["time"]) <= bound))
    return frames.as_type(rows, as_type)


def _spec(context: Context) -> LabelsSpec:
    spec = context.asset.spec
    assert isinstance(spec, LabelsSpec)
    return spec


def _stamp(context: Context, history: list[Answer]) -> str:
    contents = {role: version.content for role, version in sorted(context.inputs.items())}
    return digest((history[-1].id if history else 0, contents))[:16]


def _askable(given: pl.DataFrame, columns: Columns, place: str) -> pl.DataFrame:
    """Return rows that have a label column of texts and a known-at column, both empty where there were none."""
    if SOURCE in given.columns:
        raise DataError(f"the labels have a column {SOURCE!r}", where=place, known="oito writes it", next="rename it")
    empty = {columns.label: pl.String(), columns.known_at: UTC}
    given = given.with_columns(pl.lit(None, dtype).alias(n) for n, dtype in empty.items() if n not in given.columns)
    dtype = given.schema[columns.label]
    if dtype not in (pl.String, pl.Null):
        known = f"it is {dtype}, and people answer with texts"
        raise DataError(
            f"the label {columns.label!r} is no text", where=place, known=known, next="cast it to pl.String"
        )
    return given.with_columns(pl.col(columns.label).cast(pl.String))


def _filled(context: Context, rows: pl.DataFrame, columns: Columns, history: list[Answer]) -> pl.DataFrame:
    """Return the rows with the answers that have a majority in place of missing labels, and where each label came from."""
    classes = set(_spec(context).classes)
    decided = {item: ballot.decision for item, ballot in ballots(history).items() if ballot.decision}
    foreign = sorted(item for item, decision in decided.items() if decision.label not in classes)
    if foreign:
        context.say(f"{len(foreign)} answers are of a class that is no longer declared, such as that to {foreign[0]}")
    said = _answers_frame({item: decided[item] for item in decided if decided[item].label in classes})
    joined = rows.with_columns(items(rows, columns)).join(said, on="item", how="left", maintain_order="left")
    open_ = pl.col(columns.label).is_null()
    return joined.with_columns(
        pl.when(~open_).then(pl.lit("data")).when(pl.col("said").is_not_null()).then(pl.lit("person")).alias(SOURCE),
        pl.when(open_).then(pl.col("said")).otherwise(pl.col(columns.label)).alias(columns.label),
        pl.when(open_).then(pl.col("said_at")).otherwise(pl.col(columns.known_at)).alias(columns.known_at),
    ).select([*rows.columns, SOURCE])


def _answers_frame(decided: dict[str, Decision]) -> pl.DataFrame:
    rows = [(item, decision.label, moment(decision.at)) for item, decision in decided.items()]
    return pl.DataFrame(rows, schema={"item": pl.String, "said": pl.String, "said_at": UTC}, orient="row")


def _open(filled: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    waiting = filled.filter(pl.col(columns.label).is_null()).drop(columns.label, columns.known_at, SOURCE)
    return waiting.select(items(waiting, columns), pl.all())


def _described(known: pl.DataFrame, columns: Columns) -> dict[str, Any]:
    """Return the record of a label set: its columns, its classes, and how late the truth comes."""
    label = known[columns.label]
    task = _task(label)
    counts = label.value_counts().sort(columns.label).rows() if task == "classification" else []
    is_binary = len(counts) == 2 and known.height > 0
    delays = (known[columns.known_at] - known[columns.time]).dt.total_seconds() / 3600
    aside = {*columns.all, SOURCE, *([SCORE] if SOURCE in known.columns else [])}
    return {
        "entity": list(columns.entity), "time": columns.time, "known_at": columns.known_at, "label": columns.label,
        "task": task, "classes": [value for value, _ in counts], "counts": [count for _, count in counts],
        "positive_share": counts[1][1] / known.height if is_binary else None,
        "time_from": _edge(known[columns.time].min()), "time_to": _edge(known[columns.time].max()),
        "known_from": _edge(known[columns.known_at].min()), "known_to": _edge(known[columns.known_at].max()),
        "delay_hours": {str(q): delays.quantile(q, "linear") for q in DELAY_QUANTILES},
        "context": [name for name in known.columns if name not in aside],
    }  # fmt: skip


def _task(label: pl.Series) -> str:
    is_class = label.dtype in (pl.Boolean, pl.String, pl.Null)
    is_small = label.dtype.is_integer() and label.n_unique() <= MAX_CLASSES
    return "classification" if is_class or is_small else "regression"


def _edge(value: Any) -> str | None:
    return text(value) if isinstance(value, datetime) else None

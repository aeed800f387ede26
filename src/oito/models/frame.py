"""Training frames: the labels known by a moment, with every feature as it was known at each question. Fitting is an experiment's work.

Columns keep their plain names, because a caller sends them by these names: one that two sources give is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import polars as pl

from oito.catalog.records import Version
from oito.catalog.signature import MAX_CATEGORIES, Signature, infer
from oito.clock import text
from oito.errors import DataError, LeakFound, MissingColumn
from oito.flow.site import Site
from oito.models.linter import Finding, View, lint
from oito.names import did_you_mean

ASKED = "\0asked at"  # in the questions handed to a view: a name that none of its columns has
LINT_ROWS = 50_000  # the newest rows tell what all would: a leak is made anew with every row
_DERIVE = "derive a number from it in a feature view, such as its hour or its age in days"


@dataclass(frozen=True)
class Wanted:
    """What a design asks for: the columns of the labels that are inputs (None: all that can be), and those that are not."""

    design: str
    place: str
    task: Literal["classification", "regression"]
    request: tuple[str, ...] | None
    exclude: tuple[str, ...]


@dataclass(frozen=True)
class TrainingFrame:
    """Rows to learn from, in the order of their questions; every series and frame has one row per label.

    `frame` has the model's inputs and nothing else; `report` is plain data: what was joined, what was left out and why.
    """

    frame: pl.DataFrame
    signature: Signature
    y: pl.Series
    times: pl.Series
    known_at: pl.Series
    entity: pl.DataFrame
    report: Mapping[str, Any]
    findings: Sequence[Finding]

    @property
    def leaks(self) -> list[Finding]:
        """The findings that are leaks for sure."""
        return [finding for finding in self.findings if finding.severity == "error"]


@dataclass(frozen=True)
class _Attached:
    """What one view gave: its columns beside the labels, and the time of the event behind each row (None: on request)."""

    name: str
    columns: pl.DataFrame
    event: pl.Series | None
    report: Mapping[str, Any]


@dataclass
class _Inputs:
    """The columns chosen so far, and those left out with the reason."""

    columns: list[pl.Series] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def training_frame(
    site: Site,
    wanted: Wanted,
    *,
    labels: Version,
    views: Mapping[str, Version],
    cut_off: datetime,
    lint_rows: int | None = None,
) -> TrainingFrame:
    """Return the labels known at `cut_off` joined with the views as known at each label's time, examined for leaks.

    Inputs are the labels' context columns (or those that the design names), then the views' columns, less `exclude`.
    Times are never inputs; a text of more than 255 values is left out with a finding, unless the design names it.

    Args:
        lint_rows: how many of the newest rows are examined; None is all of them.

    Raises:
        MissingColumn: the design or a view names a column that is not there.
        DataError: no label is known by then, no input is left, a column comes from two sources, or the label does not
            fit the task.
        LeakFound: the design names the label itself as an input.
    """
    rows: pl.DataFrame = site.read(labels, known_by=cut_off).collect()
    if not rows.height:
        known = f"{labels.ref} has {labels.rows} rows, known from {labels.record['known_from']} on"
        next = "wait until the truth of some questions is known, or look at known_at="
        raise DataError(
            f"{wanted.design}: no label was known by {text(cut_off)}", where=wanted.place, known=known, next=next
        )
    attached = [_attached(site, wanted, rows, labels, view) for view in views.values()]
    _check_owners(wanted, rows, labels, attached)
    inputs = _chosen(wanted, rows, labels, attached)
    if not inputs.columns:
        left = "; ".join(f"{name}: {why}" for name, why in inputs.left_out.items()) or "there were no columns"
        raise DataError(
            f"{wanted.design} has no input", where=wanted.place, known=left, next="add features= or request="
        )
    frame = pl.DataFrame(inputs.columns)
    record = labels.record
    y = _truth(rows[record["label"]], wanted)
    report = {
        "labels": labels.ref, "rows": rows.height, "cut_off": text(cut_off),
        "views": {view.name: dict(view.report) for view in attached}, "left_out": inputs.left_out,
        "request": [name for name in frame.columns if name in rows.columns], "request_fields": list(record["context"]),
        "linted_rows": min(lint_rows or rows.height, rows.height),
    }  # fmt: skip
    return TrainingFrame(
        frame=frame,
        signature=infer(frame, y, task=wanted.task),
        y=y,
        times=rows[record["time"]],
        known_at=rows[record["known_at"]],
        entity=rows.select(record["entity"]),
        report=report,
        findings=[*_linted(frame, rows, record, attached, lint_rows or rows.height), *inputs.findings],
    )


def refuse_leaks(found: TrainingFrame, wanted: Wanted) -> None:
    """Make sure that no finding is a leak.

    Raises:
        LeakFound: naming each leak, the column, and what to do.
    """
    leaks = found.leaks
    if not leaks:
        return
    columns = list(dict.fromkeys(leak.column for leak in leaks))
    others = "\n".join(leak.text for leak in leaks[1:])
    raise LeakFound(
        f"{wanted.design} would learn from what is not known when it is asked: {leaks[0].text}",
        where=f"{wanted.place}; {', '.join(columns)}",
        known=others or f"{found.frame.height} rows and {found.frame.width} inputs were looked at",
        next=f"mend the view or the labels, or leave it out: exclude={tuple(columns)!r}",
    )


def _attached(site: Site, wanted: Wanted, rows: pl.DataFrame, labels: Version, view: Version) -> _Attached:
    record = labels.record
    questions = rows.select([*record["entity"], record["time"], *record["context"]])  # never the truth
    if view.record.get("on_request"):
        joined = site.read(view, at=questions, time=record["time"])
        columns = joined.frame.drop(questions.columns)
        return _Attached(view.asset, columns, None, {"version": view.ref, "on_request": True})
    for name in view.record["entity"]:
        if name not in questions.columns:
            raise MissingColumn(
                f"{view.asset} is looked up by {name!r}, which {labels.asset} does not give",
                where=wanted.place,
                known=f"columns of {labels.asset}: {', '.join(questions.columns)}",
                next=did_you_mean(name, questions.columns),
            )
    keys = questions.select(*view.record["entity"], pl.col(record["time"]).alias(ASKED))
    time, columns = view.record["time"], view.record["columns"]
    # The event's own time is asked for like any other column, because the leak linter wants to see it.
    with_time = replace(view, record={**view.record, "columns": [*columns, time]})
    joined = site.read(with_time, at=keys, time=ASKED)
    report = {
        "version": view.ref, "on_request": False, "leaked_rows": joined.leaked_rows,
        "missing_share": joined.missing_rows / rows.height, "expired_share": joined.expired_rows / rows.height,
    }  # fmt: skip
    return _Attached(view.asset, joined.frame.select(columns), joined.frame[time], report)


def _check_owners(wanted: Wanted, rows: pl.DataFrame, labels: Version, attached: Sequence[_Attached]) -> None:
    owners = dict.fromkeys(rows.columns, labels.asset)
    for view in attached:
        for name in view.columns.columns:
            if name in owners:
                raise DataError(
                    f"{wanted.design}: both {owners[name]} and {view.name} give a column {name!r}",
                    where=wanted.place,
                    known="a column keeps its plain name, in training as in a request",
                    next=f"rename it in one of them, or drop it from {view.name}",
                )
            owners[name] = view.name


def _chosen(wanted: Wanted, rows: pl.DataFrame, labels: Version, attached: Sequence[_Attached]) -> _Inputs:
    found = _Inputs()
    given = {name: rows[name] for name in (*labels.record["entity"], *labels.record["context"])}
    if wanted.request is not None:
        _check_request(wanted, given, labels)
    asked = labels.record["context"] if wanted.request is None else wanted.request
    named = set(wanted.request or ())
    columns = [given[name] for name in asked] + [each for view in attached for each in view.columns.get_columns()]
    known = {*given, *(each.name for each in columns)}
    for name in wanted.exclude:
        if name not in known:
            raise MissingColumn(
                f"{wanted.design}: exclude= names {name!r}, which is no column here",
                where=wanted.place,
                next=did_you_mean(name, known),
            )
    for column in columns:
        reason = "excluded" if column.name in wanted.exclude else _unusable(column, is_named=column.name in named)
        if not reason:
            found.columns.append(column)
            continue
        if column.name in named and reason != "excluded":
            raise DataError(f"{wanted.design}: {column.name} is {reason}", where=wanted.place, next=_DERIVE)
        found.left_out[column.name] = reason
        if reason != "excluded" and not column.dtype.is_temporal():
            evidence = {"type": str(column.dtype)}
            found.findings.append(
                Finding("left_out", column.name, "warning", f"{column.name} is no input: it is {reason}", evidence)
            )
    return found


def _check_request(wanted: Wanted, given: Mapping[str, pl.Series], labels: Version) -> None:
    for name in wanted.request or ():
        if name == labels.record["label"]:
            raise LeakFound(
                f"{wanted.design} would learn from what is not known when it is asked: {name} is the target itself",
                where=f"{wanted.place}; request=",
                next=f"take {name!r} out of request=",
            )
        if name in (labels.record["time"], labels.record["known_at"]):
            raise DataError(f"{wanted.design}: {name} is a time", where=wanted.place, next=_DERIVE)
        if name not in given:
            raise MissingColumn(
                f"{wanted.design}: request= names {name!r}, which {labels.asset} does not give",
                where=wanted.place,
                known=f"columns of {labels.asset}: {', '.join(given)}",
                next=did_you_mean(name, given),
            )


def _unusable(column: pl.Series, *, is_named: bool) -> str:
    """Return why a column cannot be an input, or nothing when it can."""
    dtype = column.dtype
    if dtype.is_temporal():
        return "a time"
    if isinstance(dtype, pl.Null):
        return "empty in every row"
    if isinstance(dtype, pl.String):
        distinct = column.n_unique()
        return f"a text of {distinct} values" if distinct > MAX_CATEGORIES and not is_named else ""
    return "" if dtype.is_numeric() or dtype == pl.Boolean else f"of the type {dtype}, which no model takes"


def _truth(label: pl.Series, wanted: Wanted) -> pl.Series:
    if wanted.task == "regression":
        if not label.dtype.is_numeric():
            next = 'declare task="classification", or make it a number'
            raise DataError(f"{wanted.design}: {label.name} is {label.dtype}, no number", where=wanted.place, next=next)
        return label.cast(pl.Float64)
    if not (label.dtype.is_integer() or label.dtype in (pl.Boolean, pl.String)):
        next = 'declare task="regression", or cut it into classes'
        raise DataError(f"{wanted.design}: {label.name} is {label.dtype}, no class", where=wanted.place, next=next)
    return label


def _linted(
    frame: pl.DataFrame, rows: pl.DataFrame, record: Mapping[str, Any], attached: Sequence[_Attached], lint_rows: int
) -> list[Finding]:
    events = [view.event.alias(_event(view)) for view in attached if view.event is not None]
    whole = frame.with_columns(rows[record["label"]], rows[record["time"]], rows[record["known_at"]], *events)
    return lint(
        whole.tail(lint_rows), target=record["label"], features=frame.columns, event_time=record["time"],
        known_at=record["known_at"], views=list(_views(frame, attached)),
    )  # fmt: skip


def _views(frame: pl.DataFrame, attached: Sequence[_Attached]) -> Iterator[View]:
    for view in attached:
        columns = [name for name in view.columns.columns if name in frame.columns]
        if columns and view.event is not None:
            yield View(view.name, columns, _event(view))


def _event(view: _Attached) -> str:
    return f"\0event of {view.name}"

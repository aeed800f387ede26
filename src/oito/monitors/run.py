"""What happens when a monitor runs: windows that are over are looked at, judged, and a decision is written down with its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from oito.catalog import versions
from oito.catalog.records import Version
from oito.clock import moment, text
from oito.errors import DataError, NotFound
from oito.flow.site import ROWS, Context, Made, Site
from oito.monitors import performance, regret, windows
from oito.monitors.accepted import Accepted, accepted
from oito.monitors.looks import Looker, Window
from oito.monitors.performance import Target
from oito.monitors.quality import Alarm
from oito.monitors.regret import Decision, Losses
from oito.monitors.sight import DRIFT_TABLE, FIGURES_TABLE, Before, Seen, Sight
from oito.monitors.spec import MonitorSpec, OnRegret, OnSchedule
from oito.monitors.windows import DRIFT, FIGURES, Row
from oito.names import duration, file_name

DRIFT_WINDOWS = 30  # of which a verdict keeps the columns
MAX_ALARMS = 50  # in one verdict's record; the tables hold all


def probe(context: Context) -> str:
    """Return what tells cheaply whether there may be a new verdict: the last window's end, the journal's bytes, the labels."""
    spec = _spec(context)
    end = windows.tick(context.site.now(), _every(spec))
    return f"{text(end)} {_journal_bytes(context)} {context.version('labels').content[:12]}"


def make(context: Context) -> Made:
    """Return the verdict on the windows since the last one, and on earlier ones whose truth was still coming in."""
    spec, site = _spec(context), context.site
    every = _every(spec)
    end = windows.tick(site.now(), every)
    before = Before.of(context)
    target, truths, known_until = _truths(context)
    span = duration(spec.window or every)
    since = before.open_from - max(span - every, timedelta()) if before.open_from else None
    predictions = context.read("endpoint", since=since, until=end)
    predictions = predictions.filter(pl.col("at") < end) if predictions.height else predictions
    if not predictions.height and before.open_from is None:
        return _nothing_served(context, end)
    if predictions.height:
        predictions = performance.with_truth(predictions, truths, target).sort("at", maintain_order=True)
    models = _models(context, predictions, span)
    looker = Looker(models, truths, spec.false_alarms, _own(context))
    sight = Sight(looker, predictions, before, every, span, performance.usual_delay_s(truths, target), known_until)
    seen = sight.looks(end, model=str(context.version("endpoint").record["model"]))
    return _verdict(context, before, seen, models, end=end, delay_s=sight.delay_s)


def _verdict(
    context: Context,
    before: Before,
    seen: Seen,
    models: Mapping[str, Accepted],
    *,
    end: datetime,
    delay_s: float | None,
) -> Made:
    model = str(context.version("endpoint").record["model"])
    rows = _with_regret([*before.kept, *seen.rows], models, _spec(context))
    first = seen.rows[0].start if seen.rows else end
    old = before.figures.filter(pl.col("start") < first)
    figures = pl.concat([old, windows.frame(seen.figures, FIGURES)])
    drift = pl.concat([before.drift, windows.frame(seen.drift, DRIFT)])
    drift = drift.filter(pl.col("start") >= end - DRIFT_WINDOWS * _every(_spec(context)))
    decision = _decided(context, [row for row in rows if row.model == model], models.get(model))
    record = _record(context, rows, seen, figures, decision, end=end, delay_s=delay_s)
    table = windows.frame(rows, windows.ROWS)
    if _is_same(context, record, {ROWS: table, FIGURES_TABLE: figures}):
        return Made(unchanged=True)
    context.say(f"{record['status']}: {record['rows']} predictions, {len(record['alarms'])} alarms; {decision.text}")
    metrics = {
        "rows": float(record["rows"]), "coverage": record["coverage"], "alarms": float(len(record["alarms"])),
        "regret": float(decision.numbers.get("regret") or 0.0), **record["figures"],
    }  # fmt: skip
    return Made(frame=table, frames={FIGURES_TABLE: figures, DRIFT_TABLE: drift}, record=record, metrics=metrics)


def _record(
    context: Context, rows: list[Row], seen: Seen, figures: pl.DataFrame, decision: Decision, *, end: datetime,
    delay_s: float | None,
) -> dict[str, Any]:  # fmt: skip
    every = _every(_spec(context))
    last = [row for row in rows if row.start == end - every]
    settled = [row for row in rows if row.is_settled and row.labelled]
    newest = settled[-1].start if settled else None
    alarms = [_told(context, start, alarm) for start, alarm in seen.alarms]
    recent = figures.filter((pl.col("start") == end - every) & pl.col("note").is_in(["own", "served"]))
    judged = (
        figures.filter((pl.col("start") == newest) & ~pl.col("note").is_in(["own", "served"]))
        if newest
        else figures.clear()
    )
    shown = {r["name"]: r["value"] for r in [*judged.to_dicts(), *recent.to_dicts()] if math.isfinite(r["value"])}
    served = sum(row.rows for row in last)
    status = "silent" if not served else ("alarm" if alarms else "good")
    experiment = context.version("experiment").asset
    return {
        "window": [text(end - every), text(end)], "status": status, "rows": served,
        "coverage": sum(row.labelled for row in last) / served if served else 0.0,
        "model": context.version("endpoint").record["model"], "endpoint": context.version("endpoint").ref,
        "labels": context.version("labels").ref, "settled": text(newest) if newest else None, "delay_p95_s": delay_s,
        "alarms": alarms[-MAX_ALARMS:], "decision": decision.data(), "figures": shown,
        **({"asks": {experiment: decision.text}} if decision.retrain else {}),
    }  # fmt: skip


def _told(context: Context, start: datetime, alarm: Alarm) -> dict[str, Any]:
    """Return an alarm as data, with the version that the column comes from and the run that made it."""
    made_by = _origin(context, alarm.column) if alarm.column else context.version("endpoint")
    source = {"version": made_by.ref, "run": made_by.run} if made_by else {}
    return {**alarm.data(), "window": text(start), **source}


def _origin(context: Context, column: str) -> Version:
    """Return the version of the feature view that a column comes from here; of the endpoint for scores and request fields."""
    record = context.version("endpoint").record
    pointed = context.site.catalog.resolve_all(context.site.environment)
    for name in [*record.get("features", ()), *record.get("on_request", ())]:
        version = pointed.get(name)
        schema = dict(version.tables[ROWS]["schema"]) if version and ROWS in version.tables else {}
        if version and (column in schema or column.removeprefix(f"{name}_").removeprefix("_") in schema):
            return version
    return context.version("endpoint")


def _with_regret(rows: list[Row], models: Mapping[str, Accepted], spec: MonitorSpec) -> list[Row]:
    """Return the rows with the regret after each, per model at work; only settled rows count."""
    value = spec.retrain.value if isinstance(spec.retrain, OnRegret) else 1.0
    found: dict[tuple[datetime, str], regret.Regret] = {}
    for name in {row.model for row in rows} & set(models):
        own = [row for row in rows if row.model == name]
        sums = regret.accumulate([_losses(row) for row in own], models[name].losses, value=value)
        found.update({(row.start, name): each for row, each in zip(own, sums, strict=True)})
    return [
        replace(row, regret=each.low, expected=each.expected) if (each := found.get((row.start, row.model))) else row
        for row in rows
    ]


def _losses(row: Row) -> Losses:
    if not row.is_settled or row.loss is None or row.variance is None:
        return Losses(0, 0.0, 0.0)
    return Losses(row.labelled, row.loss, row.variance)


def _decided(context: Context, rows: list[Row], model: Accepted | None) -> Decision:
    rule, since = _spec(context).retrain, _since_training(context)
    if rule is None:
        return regret.unruled()
    if isinstance(rule, OnSchedule):
        return regret.on_schedule(every=duration(rule.every), since_training=since)
    if not isinstance(rule, OnRegret):
        return regret.never()
    sums = regret.accumulate([_losses(row) for row in rows], model.losses, value=rule.value) if model else []
    return regret.on_regret(
        sums[-1] if sums else regret.Regret(), price=rule.price, cool_down=duration(rule.cool_down),
        since_training=since, has_acceptance=model is not None,
    )  # fmt: skip


def _since_training(context: Context) -> timedelta | None:
    """Return how long ago the newest training was that this environment has or has tried; a refused one counts."""
    served = context.version("experiment")
    tried = versions.newest(context.site.catalog.rows, served.asset, environment=context.site.environment)
    newest = max([served, *([tried] if tried else [])], key=lambda version: version.id)
    return max(context.site.now() - moment(newest.created_at), timedelta())


def _models(context: Context, predictions: pl.DataFrame, window: timedelta) -> dict[str, Accepted]:
    """Return what each model at work was at acceptance; one that the catalog no longer knows is left out."""
    endpoint = context.version("endpoint")
    names = {str(endpoint.record["model"])}
    names |= set(predictions["model"].unique()) if predictions.height else set()
    found = {}
    for name in sorted(names):
        try:
            version = context.site.catalog.find(name, context.site.environment)
        except NotFound:
            continue
        found[name] = accepted(context.site, version, outputs=tuple(endpoint.record["outputs"]), window=window)
    return found


def _truths(context: Context) -> tuple[Target, pl.DataFrame, datetime | None]:
    labels, experiment = context.version("labels"), context.version("experiment").record
    known_at = labels.record.get("known_at")
    classes = tuple(experiment["signature"]["classes"])
    target = Target(tuple(experiment["entity"]), experiment["time"], experiment["label"], classes)
    truths = performance.known(context.read("labels"), target, known_at=known_at, now=context.site.now())
    newest = truths["y_at"].max()
    return target, truths, newest if isinstance(newest, datetime) else None


def _own(context: Context) -> Any:
    function = context.asset.function
    if function is None:
        return None

    def figures(window: Window) -> Mapping[str, float]:
        given = context.call(window=window)
        if not isinstance(given, dict) or not all(_is_number(value) for value in given.values()):
            raise DataError(
                f"{context.asset.name} gave no figures", where=context.asset.place,
                known="a monitor's function returns a dict of numbers by name", next=f"it returned {given!r:.80}",
            )  # fmt: skip
        return {str(name): float(value) for name, value in given.items() if value is not None and math.isfinite(value)}

    return figures


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float) or hasattr(value, "__float__")


def _nothing_served(context: Context, end: datetime) -> Made:
    spec = _spec(context)
    decision = _decided(context, [], None) if isinstance(spec.retrain, OnSchedule) else regret.unruled()
    if not isinstance(spec.retrain, OnSchedule):
        decision = Decision(type(spec.retrain).__name__, False, "did not retrain: nothing has been served yet")
    asks = {"asks": {context.version("experiment").asset: decision.text}} if decision.retrain else {}
    record = {
        "window": [text(end - _every(spec)), text(end)], "status": "nothing served", "rows": 0, "coverage": 0.0,
        "alarms": [], "decision": decision.data(), "figures": {}, "model": context.version("endpoint").record["model"], **asks,
    }  # fmt: skip
    tables = {ROWS: windows.frame([], windows.ROWS), FIGURES_TABLE: windows.frame([], FIGURES)}
    if _is_same(context, record, tables):
        return Made(unchanged=True)
    frames = {FIGURES_TABLE: tables[FIGURES_TABLE], DRIFT_TABLE: windows.frame([], DRIFT)}
    return Made(frame=tables[ROWS], frames=frames, record=record, metrics={"rows": 0.0, "alarms": 0.0})


def _is_same(context: Context, record: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> bool:
    """Say whether the verdict before already says all this, so that none needs to be written."""
    version = context.previous
    if version is None or context.is_redefined or version.record.get("window") != record["window"]:
        return False
    same = version.record.get("decision", {}).get("retrain") == record["decision"]["retrain"]
    stored = {name: context.site.table(version, name, as_type=pl.DataFrame) for name in tables}
    return same and all(stored[name].equals(tables[name]) for name in tables)


def _journal_bytes(context: Context) -> int:
    site: Site = context.site
    folder = site.home / "journal" / file_name(site.environment) / context.version("endpoint").asset
    return sum(path.stat().st_size for path in folder.glob("**/*") if path.is_file())


def _spec(context: Context) -> MonitorSpec:
    spec = context.asset.spec
    assert isinstance(spec, MonitorSpec)
    return spec


def _every(spec: MonitorSpec) -> timedelta:
    return duration(spec.every or "1d")

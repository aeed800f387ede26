"""What happens in an experiment: the frame as known, split, searched, fitted, judged. Fitting, trials and gates have files of their own."""

from __future__ import annotations

import dis
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from oito.catalog.records import Version
from oito.catalog.signature import Signature, infer
from oito.clock import text
from oito.errors import DataError, OitoError
from oito.experiments import boosters, gates, importance, judged_rows, model_files, report, splits
from oito.experiments.metrics import Metric
from oito.experiments.metrics import metric as metric_of
from oito.experiments.search import at_the_edge
from oito.experiments.spec import ByTime, ExperimentSpec
from oito.experiments.trained import Trained, answers, opened
from oito.experiments.training import Fit, Trainer, best_of, evenly
from oito.experiments.trials import TrialFile
from oito.flow import machine
from oito.flow.project import Asset
from oito.flow.site import Context, Gate, Made, Site
from oito.names import duration
from oito.storage.digests import digest

Floats = NDArray[np.float64]
IMPORTANCE_ROWS = 4000
IMPORTANCE_REPEATS = 2
BASELINE_ROWS = 50_000  # more would make plain models the dearest part of a training


@dataclass(frozen=True)
class _Lesson:
    """What one training is about: the design with its frame and split, as of one moment."""

    context: Context
    design: Any
    frame: Any
    split: splits.Split
    trainer: Trainer
    metric: Metric
    cut_off: datetime

    @property
    def spec(self) -> ExperimentSpec:
        return _spec(self.context.asset)

    def seed(self, *names: str) -> int:
        return self.context.seed(*names)


def make(context: Context) -> Made:
    """Train, judge and describe; the model's files are canonical, the test rows are kept with what was said of them.

    Raises:
        LeakFound, DataError: the design's frame cannot be learned from, or a part of the split is empty.
        StepFailed: the estimator, or the user's way to fit it, raised with the declared parameters.
    """
    store = TrialFile(context.site.home / "trials", _search_key(context))
    cut_off, finished = store.begin(context.site.now())
    lesson = _lesson(context, cut_off)
    trials = lesson.trainer.searched(
        lesson.design.space, lesson.design.build, trials=lesson.spec.trials, metric=lesson.metric,
        finished=finished, store=store, tell=context.say,
    )  # fmt: skip
    chosen = best_of(trials, lesson.metric)
    estimator = lesson.trainer.final(lesson.design.build(chosen.params))
    files = model_files.dump(estimator, trusted=tuple(context.site.settings.trusted))
    said = lesson.trainer.said(estimator, lesson.split.test)
    judged, champion = _judged(lesson, said)
    signature = lesson.trainer.signature
    record = _json({
        **_described(lesson), **judged, "champion": champion.ref if champion else None,
        "params": dict(chosen.params), "trial": chosen.number, "trials": [each.data() for each in trials],
        "space": lesson.design.described_space(), "at_the_edge": at_the_edge(lesson.design.space, chosen.params),
        "importance": _importance(lesson, estimator), "estimator": boosters.word(estimator),
        "environment": machine.describe(),
    })  # fmt: skip
    headline = {n: f["value"] for n, f in record["report"]["headline"].items() if f["value"] is not None}
    context.say(", ".join(f"{name} {value:.4f}" for name, value in headline.items()))
    store.done()
    return Made(
        frames={judged_rows.TABLE: _test_rows(lesson, said)},
        files=files,
        record=record,
        metrics=headline,
        content=digest((sorted((name, digest(data)) for name, data in files.items()), signature.data())),
    )


def read(site: Site, version: Version, *, as_type: Any = None) -> Trained:
    """Return the trained model; every file is verified against its digest first.

    Raises:
        CorruptFile: a file's bytes have changed.
    """
    return opened(site, version)


def gate(site: Site, asset: Asset, version: Version) -> list[Gate]:
    """Return what each declared gate says of a version."""
    return [gates.ask(site, rule, version) for rule in _spec(asset).gate]


def _spec(asset: Asset) -> ExperimentSpec:
    assert isinstance(asset.spec, ExperimentSpec)
    return asset.spec


def _search_key(context: Context) -> list[str]:
    contents = (version.content for _, version in sorted(context.inputs.items()))
    return [context.asset.name, context.definition, str(context.seed()), *contents]


def _lesson(context: Context, cut_off: datetime) -> _Lesson:
    spec = _spec(context.asset)
    design = context.read("model")
    chosen = metric_of(spec.metric or report.DEFAULT_METRIC[design.task], task=design.task)
    gates.check(spec.gate, design.task)
    views = {i.asset: context.version(i.role) for i in context.asset.inputs if i.role.startswith("features.")}
    frame = design.frame(context.version("labels"), views, cut_off=cut_off)
    context.say(f"{frame.frame.height} rows, {frame.frame.width} inputs, as known at {text(cut_off)[:19]}Z")
    split = _split(context, spec, frame, cut_off)
    learned = np.concatenate([split.train, split.valid])
    seen = infer(frame.frame[learned], frame.y[learned], task=design.task)  # what only test rows show is not known yet
    signature = Signature(seen.columns, seen.task, seen.target, frame.signature.classes)
    truth = _truth(frame.y, signature)
    _check_classes(truth, split, signature)
    fit = Fit(context.call if context.asset.function else None, context.guarded, _uses(context.asset, "valid"))
    trainer = Trainer(
        signature, signature.matrix(frame.frame), truth, split, fit=fit, seed=context.seed(), sample=BASELINE_ROWS
    )
    return _Lesson(context, design, frame, split, trainer, chosen, cut_off)


def _uses(asset: Asset, name: str) -> bool:
    """Say whether the asset's function does something with a parameter, and not only has it."""
    code = asset.function.__code__ if asset.function else None
    if code is None or name not in code.co_varnames[: code.co_argcount]:
        return False
    touched = (i.argval for i in dis.get_instructions(code) if "FAST" in i.opname)  # one name, or two at once
    return name in code.co_cellvars or any(name in (each if isinstance(each, tuple) else (each,)) for each in touched)


def _split(context: Context, spec: ExperimentSpec, frame: Any, cut_off: datetime) -> splits.Split:
    key = frame.entity.select(pl.concat_str(pl.all().cast(pl.String), separator="\x1f", ignore_nulls=True)).to_series()
    rule = spec.split
    if isinstance(rule, ByTime):
        return splits.by_time(
            frame.times, frame.known_at, valid=duration(rule.valid), test=duration(rule.test), cut_off=cut_off, key=key
        )
    if rule.group:
        given = {**{c.name: c for c in frame.entity}, **{c.name: c for c in frame.frame}}
        if rule.group not in given:
            raise DataError(
                f"{context.asset.name} splits by the group {rule.group!r}, which is no column",
                where=context.asset.place,
                known=f"columns: {', '.join(given)}",
            )
        return splits.by_group(given[rule.group], valid=rule.valid, test=rule.test, seed=context.seed("split"), key=key)
    is_number = frame.signature.task == "regression"
    classes = pl.Series("one", [0]).new_from_index(0, len(frame.y)) if is_number else frame.y
    # Questions of one entity at several times must not be drawn by their place in the frame, which new rows move.
    moments = pl.select(pl.concat_str(frame.times.cast(pl.String), key, separator="\x1f")).to_series()
    return splits.stratified(classes, valid=rule.valid, test=rule.test, seed=context.seed("split"), key=moments)


def _truth(y: pl.Series, signature: Signature) -> Floats:
    if signature.task == "regression":
        return y.cast(pl.Float64).to_numpy()
    if len(signature.classes) < 2:
        raise DataError(
            f"the labels have one class only: {', '.join(map(str, signature.classes))}",
            known=f"in all {len(y)} rows that are known",
            next="collect over a longer time, or look at the labels",
        )
    return report.class_numbers(y.to_numpy(), signature.classes)


def _check_classes(truth: Floats, split: splits.Split, signature: Signature) -> None:
    if not len(split.valid):
        raise DataError(
            "the valid part of the split is empty", next="give it rows: parameters are chosen by what it says"
        )
    found = np.unique(truth[split.train])
    if signature.task == "classification" and len(found) < 2:
        raise DataError(
            f"the rows that train have one class only: {signature.classes[int(found[0])]}",
            known=f"{len(split.train)} rows train; all rows have the classes {', '.join(map(str, signature.classes))}",
            next="shorten valid= and test= of the split, or collect over a longer time",
        )


def _judged(lesson: _Lesson, said: Floats) -> tuple[dict[str, Any], Version | None]:
    """Return the report with what baselines and the champion say of the same test rows."""
    context, trainer, test = lesson.context, lesson.trainer, lesson.split.test
    rows = lesson.trainer.rows
    learned, sampled = len(rows["learned"]), len(rows["sample"])
    notes = [f"baselines learned from {sampled:,} of the {learned:,} rows, evenly taken"] if sampled < learned else []
    baselines = {}
    for name, build in lesson.design.baselines().items():
        try:
            baselines[name] = _baseline(lesson, build, name)
        except OitoError as error:
            notes.append(f"the baseline {name} could not be fitted: {error.what}")
    protected = context.site.catalog.protected
    champion = context.resolve(context.asset.name, protected[0]) if protected else None
    theirs = None
    if champion is not None:
        theirs, reason = answers(context.site, champion, lesson.frame.frame[test], trainer.signature)
        notes += [reason] if reason else _flattered(champion, lesson)
    judged = report.evaluate(
        lesson.frame.y[test].to_numpy(), said, task=trainer.signature.task, classes=trainer.signature.classes,
        frame=trainer.sample("test").X, metric_name=lesson.metric.name, baselines=baselines, champion=theirs,
        seed=lesson.seed("report"),
    )  # fmt: skip
    return {"report": judged.data(), "notes": [*judged.notes, *notes]}, champion


def _baseline(lesson: _Lesson, build: Callable[[int], Any], name: str) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a plain model may be plain
        estimator = lesson.trainer.plainly(build(lesson.seed("baseline", name)), "sample")
        return lesson.trainer.said(estimator, lesson.split.test)


def _flattered(champion: Version, lesson: _Lesson) -> list[str]:
    """Return a note when the champion learned from rows that are as new as those that judge here."""
    until = champion.record.get("learned_until", "")
    first = _span(lesson)["test_from"]
    return [f"{champion.ref} learned up to {until}, within these test rows: its figure flatters it"] * (until >= first)


def _span(lesson: _Lesson) -> dict[str, str]:
    times = lesson.frame.times
    edges = {"learned_until": times[lesson.trainer.rows["learned"]].max(), "test_from": times[lesson.split.test].min(),
             "test_until": times[lesson.split.test].max()}  # fmt: skip
    return {name: text(edge) for name, edge in edges.items()}


def _importance(lesson: _Lesson, estimator: Any) -> list[dict[str, Any]]:
    test, trainer = lesson.split.test, lesson.trainer
    few = evenly(test, IMPORTANCE_ROWS)
    found = importance.importance(
        lambda matrix: trainer.of(estimator, matrix), trainer.matrix[few], trainer.truth[few],
        names=trainer.signature.names, metric=lesson.metric, seed=lesson.seed("importance"), repeats=IMPORTANCE_REPEATS,
    )  # fmt: skip
    return [vars(each) for each in found]


def _described(lesson: _Lesson) -> dict[str, Any]:
    context, frame = lesson.context, lesson.frame
    labels = context.version("labels")
    views = [context.version(i.role) for i in context.asset.inputs if i.role.startswith("features.")]
    stored = [view for view in views if not view.record.get("on_request")]
    on_request = [view.asset for view in views if view.record.get("on_request")]
    return {
        "model": context.version("model").asset, "labels": labels.asset, "features": [view.asset for view in stored],
        "on_request": on_request, "entity": labels.record["entity"], "time": labels.record["time"],
        "known_at": labels.record["known_at"], "label": labels.record["label"], "task": lesson.design.task,
        "metric": lesson.metric.name, "greater_is_better": lesson.metric.greater_is_better,
        "signature": lesson.trainer.signature.data(), "request_fields": _request_fields(labels, stored, on_request, frame.report),
        "split": lesson.split.data(), **_span(lesson), "frame": dict(frame.report),
        "findings": [finding.data() for finding in frame.findings], "cut_off": text(lesson.cut_off),
        "seed": context.site.settings.seed,
    }  # fmt: skip


def _request_fields(
    labels: Version, views: list[Version], on_request: list[str], asked: Mapping[str, Any]
) -> list[str]:
    """Return the columns a caller must give: whom and when it is about, what is an input as given, what views need."""
    keys = {name for view in views for name in view.record["entity"]}
    needed = {*asked["request"], *keys, *(labels.record["context"] if on_request else ())}
    who = [*labels.record["entity"], labels.record["time"]]
    return [*who, *(name for name in asked["request_fields"] if name in needed and name not in who)]


def _test_rows(lesson: _Lesson, said: Floats) -> pl.DataFrame:
    test, trainer = lesson.split.test, lesson.trainer
    frame = lesson.frame
    return judged_rows.table(
        frame.entity[test], frame.times[test], frame.frame[test], truth=trainer.truth[test], said=said,
        classes=len(trainer.signature.classes),
    )  # fmt: skip


def _json(value: Any) -> Any:
    """Return JSON types only; a number that does not exist is null."""
    if isinstance(value, Mapping):
        return {str(name): _json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain

"""What happens in an experiment: the frame as known, split, searched, fitted, judged; and whether a result may pass its gates."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.catalog import environments
from oito.catalog.records import Version
from oito.catalog.signature import Signature, infer
from oito.errors import DataError, OitoError
from oito.experiments import environment, importance, model_files, report, splits
from oito.experiments.intervals import compare
from oito.experiments.metrics import metric as metric_of
from oito.experiments.spec import AtLeast, Beats, ByTime, ExperimentSpec
from oito.experiments.trained import Trained
from oito.experiments.training import Trainer, store_name
from oito.flow.project import Asset
from oito.flow.site import Context, Gate, Made, Site
from oito.names import duration

Floats = NDArray[np.float64]
TRUTH = "truth"
SEEN = "x_"  # prefix of model columns in the table of test rows
IMPORTANCE_ROWS = 4000


def make(context: Context) -> Made:
    """Train, judge and describe; the model's files are canonical, the test rows are kept with what was said of them."""
    spec = _spec(context.asset)
    model = context.asset.names("model")[0]
    design = context.read(model)
    views = {i.asset: context.version(i.role) for i in context.asset.inputs if i.role.startswith("features.")}
    labels = context.version("labels")
    frame = design.frame(labels, views, cut_off=context.site.now())
    context.say(f"{frame.frame.height} rows, {len(frame.signature.columns)} columns")
    split = _split(context, spec, frame)
    learned = np.concatenate([split.train, split.valid])
    signature = _signature(frame, learned)
    truth = _truth(frame.y, signature)
    chosen = metric_of(spec.metric or report.DEFAULT_METRIC[signature.task], task=signature.task)
    trainer = Trainer(
        signature, signature.matrix(frame.frame), truth, split, build=design.build,
        fit=context.asset.function, seed=context.seed(),
    )  # fmt: skip
    store = context.site.home / "trials" / store_name(context.definition, *(v.content for v in context.inputs.values()))
    trials = context.guarded(
        trainer.searched, dict(design.space), trials=spec.trials, metric=chosen, store=store, tell=context.say
    )
    best = trainer.best(trials, chosen)
    estimator = context.guarded(trainer.fitted, design.build(best.params), learned, "fit")
    said = trainer.said(estimator, split.test)
    baselines = {
        name: trainer.said(Trainer(signature, trainer.matrix, truth, split, build=design.build, fit=None, seed=context.seed())
                           .fitted(build(context.seed("baseline", name)), learned, "baseline", name), split.test)
        for name, build in design.baselines().items()
    }  # fmt: skip
    champion = _champion(context)
    judged = report.evaluate(
        truth[split.test], said, task=signature.task, frame=signature.frame(trainer.matrix[split.test]),
        classes=tuple(range(len(signature.classes))), metric_name=chosen.name, baselines=baselines,
        champion=_said_by(champion, frame.frame[split.test]) if champion else None, seed=context.seed("report"),
    )  # fmt: skip
    few = split.test[:IMPORTANCE_ROWS]
    weights = importance.importance(
        lambda matrix: _shown(Trained("", {"signature": signature.data()}, {}), estimator, matrix), trainer.matrix[few],
        truth[few], names=signature.names, metric=chosen, seed=context.seed("importance"), repeats=2,
    )  # fmt: skip
    files = model_files.dump(estimator, trusted=tuple(context.site.settings.trusted))
    record = {
        "model": model, "labels": labels.asset, "features": [n for n, v in views.items() if not v.record.get("on_request")],
        "on_request": [n for n, v in views.items() if v.record.get("on_request")], "entity": labels.record["entity"],
        "time": labels.record["time"], "known_at": labels.record["known_at"], "label": labels.record["label"],
        "task": signature.task, "metric": chosen.name, "greater_is_better": chosen.greater_is_better,
        "signature": signature.data(), "request_fields": list(frame.report["request_fields"]),
        "params": _plain(best.params), "trial": best.number, "trials": [_plain(t.data()) for t in trials],
        "report": judged.data(), "importance": [{"column": i.column, "lost": i.lost, "error": i.error} for i in weights],
        "split": split.data(), "frame": dict(frame.report), "findings": [f.data() for f in frame.findings],
        "champion": champion.ref if champion else None, "environment": environment.describe(),
        "estimator": type(estimator).__name__, "cut_off": _text(context),
    }  # fmt: skip
    headline = {name: value.value for name, value in judged.headline.items() if np.isfinite(value.value)}
    context.say(", ".join(f"{name} {value:.4f}" for name, value in headline.items()))
    store.unlink(missing_ok=True)
    return Made(
        frames={"test": _test_rows(frame, split.test, trainer, said)}, files=files, record=record, metrics=headline
    )


def read(site: Site, version: Version, *, as_type: Any = None) -> Trained:
    """Return the trained model; every file is verified against its digest first."""
    files = {name: site.files.read(digest) for name, digest in version.files.items()}
    return Trained(version.ref, version.record, files, trusted=tuple(site.settings.trusted))


def gate(site: Site, asset: Asset, version: Version) -> list[Gate]:
    """Return what each declared gate says of a version."""
    return [_asked(site, rule, version) for rule in _spec(asset).gate]


def _spec(asset: Asset) -> ExperimentSpec:
    assert isinstance(asset.spec, ExperimentSpec)
    return asset.spec


def _split(context: Context, spec: ExperimentSpec, frame: Any) -> splits.Split:
    key = frame.entity.select(pl.concat_str(pl.all().cast(pl.String), separator="\x1f")).to_series()
    if isinstance(spec.split, ByTime):
        return splits.by_time(
            frame.times, frame.known_at, valid=duration(spec.split.valid), test=duration(spec.split.test),
            cut_off=context.site.now(), key=key,
        )  # fmt: skip
    shares: dict[str, Any] = {
        "valid": spec.split.valid,
        "test": spec.split.test,
        "seed": context.seed("split"),
        "key": key,
    }
    if spec.split.group:
        return splits.by_group(frame.frame[spec.split.group], **shares)
    if frame.signature.task == "regression":
        return splits.stratified(pl.Series([0] * frame.frame.height), **shares)
    return splits.stratified(frame.y, **shares)


def _signature(frame: Any, rows: Any) -> Signature:
    """Return the frame's signature as the training rows alone would give it, with the classes of all rows."""
    seen = infer(frame.frame[rows], frame.y[rows], task=frame.signature.task)
    return Signature(seen.columns, seen.task, seen.target, frame.signature.classes)


def _truth(y: pl.Series, signature: Signature) -> Floats:
    if signature.task == "regression":
        return y.cast(pl.Float64).to_numpy()
    if len(signature.classes) < 2:
        raise DataError(
            f"the labels have one class only: {signature.classes}", next="widen the time span, or mend the labels"
        )
    return report.class_numbers(y.to_list(), signature.classes)


def _champion(context: Context) -> Trained | None:
    """Return the model of the protected environment, when it can say something of the same columns."""
    version = (
        context.resolve(context.asset.name, context.site.catalog.protected[0])
        if context.site.catalog.protected
        else None
    )
    return context.site.read(version) if version else None


def _said_by(champion: Trained, rows: pl.DataFrame) -> Floats | None:
    try:
        return _shown(champion, champion.estimator, champion.matrix(rows))
    except OitoError:
        return None  # it needs a column that is no longer there: nothing to compare on these rows


def _shown(trained: Trained, estimator: Any, matrix: Floats) -> Floats:
    from oito.experiments.trained import predicted

    given = predicted(estimator, trained.signature, matrix)
    return given[:, 1] if given.ndim == 2 and given.shape[1] == 2 else given


def _test_rows(frame: Any, rows: Any, trainer: Trainer, said: Floats) -> Any:
    seen = trainer.signature.frame(trainer.matrix[rows]).select(pl.all().name.prefix(SEEN))
    names = ["said"] if said.ndim == 1 else [f"said_{c}" for c in trainer.signature.classes]
    answers = pl.DataFrame(dict(zip(names, np.atleast_2d(said.T), strict=True)))
    truth = pl.Series(TRUTH, trainer.truth[rows])
    return pl.concat(
        [frame.entity[rows], frame.times[rows].alias("time").to_frame(), truth.to_frame(), answers, seen],
        how="horizontal",
    )


def _asked(site: Site, rule: Beats | AtLeast, version: Version) -> Gate:
    if isinstance(rule, AtLeast):
        return _bounded(rule, version)
    champion = environments.target(site.catalog.rows, rule.environment, version.asset)
    name = f"beats {rule.environment} on {rule.on}"
    if champion is None or champion.id == version.id:
        return Gate(name, True, f"{rule.environment} has no other {version.asset}")
    rows = site.table(version, "test", as_type=pl.DataFrame)
    old = read(site, champion)
    seen = rows.select(pl.col(f"^{SEEN}.*$").name.map(lambda column: column.removeprefix(SEEN)))
    answers = _said_by(old, seen)
    if answers is None:
        return Gate(
            name, False, f"{champion.ref} needs columns that {version.ref} does not have, so they cannot be compared"
        )
    chosen = metric_of(rule.on, task=version.record["task"])
    own = rows.select(pl.col("^said.*$")).to_numpy()
    own = own[:, 0] if own.shape[1] == 1 else own
    found = compare(rows[TRUTH].to_numpy(), answers, own, metric=chosen, seed=site.settings.seed)
    gain = found.difference if chosen.greater_is_better else -found.difference
    text = (
        f"{rule.on} {found.challenger:.4f} against {found.champion:.4f} of {champion.ref} on {found.n} rows: "
        f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    )
    return Gate(
        name, gain > rule.margin, text, {**found.data(), "champion_version": champion.ref, "margin": rule.margin}
    )


def _bounded(rule: AtLeast, version: Version) -> Gate:
    chosen = metric_of(rule.metric, task=version.record["task"])
    value = version.record["report"]["headline"][rule.metric]["value"]
    passed = value is not None and (value >= rule.bound if chosen.greater_is_better else value <= rule.bound)
    word = "at least" if chosen.greater_is_better else "at most"
    shown = "absent" if value is None else f"{value:.4f}"
    return Gate(
        f"{rule.metric} {word} {rule.bound:g}",
        passed,
        f"{rule.metric} is {shown}, asked is {word} {rule.bound:g}",
        {"value": value},
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _text(context: Context) -> str:
    from oito.clock import text

    return text(context.site.now())

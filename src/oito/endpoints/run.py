"""What happens with an endpoint: its model is compiled and proven at registration; its journal is what others read of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import polars as pl

from oito.catalog import lineage, versions
from oito.catalog.records import Version
from oito.catalog.signature import Signature
from oito.clock import moment
from oito.endpoints import executor, feedback, journal
from oito.endpoints.answering import check_rows_stand_alone, output_names, scoring
from oito.endpoints.loading import journal_folder, signature_of
from oito.endpoints.lookup import computed
from oito.endpoints.requests import Fields, dtype
from oito.endpoints.spec import EndpointSpec
from oito.errors import StepFailed
from oito.flow.site import Context, Made, Site
from oito.storage.digests import digest

SEEN = "x_"  # prefix of model columns, in the experiment's test rows and in what is read of the journal
SAMPLE_ROWS = 4000
ALONE_ROWS = 20  # questions that are also asked one by one
TIME = pl.Datetime("us", "UTC")
PLAIN = ("prediction_id", "at", "endpoint", "version", "model", "variant", "latency_s", "as_of", "truth", "truth_at")


def make(context: Context) -> Made:
    """Compile the model, prove it equal to the trained one on its test rows, and name what the endpoint takes and gives.

    Raises:
        StepFailed: the function, or a view on request, answers a row otherwise alone than among others; or the names of
            outputs do not fit.
    """
    from oito.endpoints.compile import compile_model  # scikit-learn, which a process that only reads does without

    spec = context.asset.spec
    assert isinstance(spec, EndpointSpec)
    version = context.version("model")
    trained = context.read("model")
    signature: Signature = trained.signature
    sample = signature.matrix(_judged(context.site, version, SAMPLE_ROWS))
    compiled = compile_model(trained.estimator, signature, sample)
    run = executor.load(compiled.files, signature, native=lambda: trained.estimator)
    score = scoring(run, signature, context.asset.function)
    context.guarded(check_rows_stand_alone, score, sample[:500])
    outputs = output_names(
        spec.outputs, signature, score(sample[:1]).shape[1], has_function=context.asset.function is not None
    )
    proof, record = compiled.proof, trained.record
    context.say(
        f"compiled as {proof.kind}: {proof.rows} rows, "
        + ("bit-equal" if proof.bit_equal else f"within {proof.max_difference:.1e}")
    )
    keys = [*record["entity"], record["time"]]
    _check_names(outputs, keys)
    fields = list(dict.fromkeys([*keys, *record["request_fields"]]))
    questions = _questions(context, record["labels"], fields)
    _check_requests_stand_alone(context, record["on_request"], questions)
    return Made(
        files=compiled.files,
        record={
            "model": version.ref, "model_version_id": version.id, "experiment": version.asset, "signature": signature.data(),
            "features": record["features"], "on_request": record["on_request"], "entity": record["entity"], "time": record["time"],
            "label": record["label"], "task": record["task"], "labels": record["labels"], "request_fields": fields,
            "request_types": {name: str(kind) for name, kind in questions.schema.items()},
            "function": context.asset.function is not None, "outputs": list(outputs), "proof": vars(proof),
        },
        metrics={"max_difference": proof.max_difference, "class_agreement": proof.class_agreement},
        content=digest((sorted((name, digest(data)) for name, data in compiled.files.items()), context.definition, version.content)),
    )  # fmt: skip


def read(
    site: Site, version: Version, *, as_type: Any = None, since: datetime | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """Return what the endpoint has predicted in the site's environment, by the moment of the question, oldest first.

    Columns: prediction_id, at (the question's time, else when it was answered), endpoint, version, model, variant,
    latency_s, as_of (JSON: when the features used happened), the entity's and time columns, one column per output, `x_`
    and each model column, truth (from feedback, JSON, null when none) and truth_at.
    """
    folder = journal_folder(site, version.asset)
    rows = journal.frame(folder)
    pieces = [
        _decoded(site.catalog.find(str(ref), site.environment), part)
        for (ref,), part in rows.group_by("version", maintain_order=True)
    ]
    found = pl.concat(pieces or [_decoded(version, rows)], how="diagonal_relaxed")
    told = feedback.frame(folder).sort("received_at").unique("prediction_id", keep="last")
    truth = told.select("prediction_id", "truth", pl.col("at").alias("truth_at"))
    found = found.join(truth, on="prediction_id", how="left", maintain_order="left").sort("at", maintain_order=True)
    if since is not None:
        found = found.filter(pl.col("at") >= since)
    return found.filter(pl.col("at") < until) if until is not None else found


def _judged(site: Site, version: Version, count: int) -> pl.DataFrame:
    """Return the model's columns of the rows that judged it, as given, at most `count` from the newest back."""
    rows: pl.DataFrame = site.table(version, "test", as_type=pl.DataFrame)
    return rows.tail(count).select(pl.col(f"^{SEEN}.*$").name.map(lambda name: name.removeprefix(SEEN)))


def _questions(context: Context, labels: str, fields: list[str]) -> pl.DataFrame:
    """Return a few of the questions that were learned from, with the request's fields as the labels have them."""
    rows = context.site.catalog.rows
    edges = lineage.inputs(rows, context.version("model").id)
    made_from = versions.by_ids(rows, [edge.input for edge in edges])
    found = next(version for version in made_from.values() if version.asset == labels)
    questions: pl.DataFrame = context.site.table(found).select(fields).tail(ALONE_ROWS).collect()
    return questions


def _check_names(outputs: tuple[str, ...], keys: list[str]) -> None:
    taken = {*PLAIN, *keys}
    for name in outputs:
        if name in taken or name.startswith(SEEN) or outputs.count(name) > 1:
            raise StepFailed(
                f"no output can be named {name!r}",
                known=f"taken are {', '.join(sorted(taken))}, and what begins with {SEEN}",
                next="give other names: outputs=(...)",
            )


def _check_requests_stand_alone(context: Context, views: list[str], questions: pl.DataFrame) -> None:
    """Refuse a view on request whose value for a question depends on the questions beside it."""
    found = [context.site.catalog.find(name, context.site.environment) for name in views]
    for view in found:
        together = [column.to_list() for column in computed(context.site, [view], questions)]
        alone = [computed(context.site, [view], questions[place]) for place in range(questions.height)]
        if not all(_same([row[n][0] for row in alone], values) for n, values in enumerate(together)):
            raise StepFailed(
                f"{view.asset} answers a question otherwise when it is alone than among others",
                where=context.site.project.asset(view.asset).place,
                next="treat each row by itself: no means, ranks or sums over rows",
            )


def _same(alone: list[Any], together: list[Any]) -> bool:
    return all(a == b or (a != a and b != b) for a, b in zip(alone, together, strict=True))


def _decoded(version: Version, rows: pl.DataFrame) -> pl.DataFrame:
    """Return journal rows of one endpoint version with their lists and texts as named columns."""
    record, signature = version.record, signature_of(version)
    matrix = rows["features"].explode().to_numpy().reshape(rows.height, len(signature.columns))
    answers = rows["outputs"].explode().to_numpy().reshape(rows.height, len(record["outputs"]))
    seen = signature.frame(matrix).with_columns(pl.col(pl.Enum).cast(pl.String)).select(pl.all().name.prefix(SEEN))
    outputs = pl.DataFrame({name: answers[:, place] for place, name in enumerate(record["outputs"])})
    keys = _keys(rows, record)
    asked_at = pl.select(pl.coalesce(keys[record["time"]], rows["at"]).alias("at"))
    plain = rows.select("prediction_id", "endpoint", "version", "model", "variant", "latency_s", "as_of")
    keys = keys.drop("at", strict=False)  # a time column of that name is the moment itself
    return pl.concat([plain, asked_at, keys, outputs, seen], how="horizontal")


def _keys(rows: pl.DataFrame, record: Any) -> pl.DataFrame:
    """Return the entity and time columns of requests, typed as in the labels; what a request did not tell is null.

    A question that told no time has the one it was looked up for.
    """
    fields, time = Fields(record), record["time"]
    names = [*record["entity"], time]
    found = []
    for request, as_of in zip(rows["request"], rows["as_of"], strict=True):
        row = dict(zip(names, fields.known(json.loads(request), names), strict=True))
        if row[time] is None and as_of is not None and (at := json.loads(as_of).get(time)):
            row[time] = moment(at)
        found.append(row)
    return pl.DataFrame(
        {name: pl.Series(name, [row[name] for row in found], dtype(fields.types[name])) for name in names}
    )

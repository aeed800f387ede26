"""What happens with an endpoint: its model is compiled and proven at registration; its journal is what others read of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from oito.catalog import lineage, versions
from oito.catalog.records import Version
from oito.catalog.signature import Signature
from oito.endpoints import executor, feedback, journal
from oito.endpoints.answering import check_rows_stand_alone, output_names, scoring
from oito.endpoints.compile import compile_model
from oito.endpoints.spec import EndpointSpec
from oito.errors import UnknownVersion
from oito.flow.site import Context, Made, Site
from oito.storage.digests import digest

SEEN = "x_"  # prefix of model columns, in the experiment's test rows and in what is read of the journal
SAMPLE_ROWS = 4000
TIME = pl.Datetime("us", "UTC")


def make(context: Context) -> Made:
    """Compile the model, prove it equal to the trained one on its test rows, and name what the endpoint takes and gives."""
    spec = context.asset.spec
    assert isinstance(spec, EndpointSpec)
    version = context.version("model")
    trained = context.read("model")
    signature: Signature = trained.signature
    tests = context.site.table(version, "test", as_type=pl.DataFrame)
    sample = signature.matrix(
        tests.head(SAMPLE_ROWS).select(pl.col(f"^{SEEN}.*$").name.map(lambda name: name.removeprefix(SEEN)))
    )
    compiled = compile_model(trained.estimator, signature, sample)
    run = executor.load(compiled.files, signature, native=lambda: trained.estimator)
    score = scoring(run, signature, context.asset.function)
    context.guarded(check_rows_stand_alone, score, sample[:500])
    outputs = output_names(
        spec.outputs, signature, score(sample[:1]).shape[1], has_function=context.asset.function is not None
    )
    proof = compiled.proof
    context.say(
        f"compiled as {proof.kind}: {proof.rows} rows, "
        + ("bit-equal" if proof.bit_equal else f"within {proof.max_difference:.1e}")
    )
    record = trained.record
    keys = [*record["entity"], record["time"]]
    return Made(
        files=compiled.files,
        record={
            "model": version.ref, "model_version_id": version.id, "experiment": version.asset, "signature": signature.data(),
            "features": record["features"], "on_request": record["on_request"], "entity": record["entity"], "time": record["time"],
            "label": record["label"], "task": record["task"], "labels": record["labels"],
            "request_fields": list(dict.fromkeys([*keys, *record["request_fields"]])),
            "request_types": {n: str(t) for n, t in tests.schema.items() if not n.startswith(SEEN)} | _context_types(context, record),
            "outputs": list(outputs), "proof": vars(proof),
        },
        metrics={"max_difference": proof.max_difference, "class_agreement": proof.class_agreement},
        content=digest((sorted((name, digest(data)) for name, data in compiled.files.items()), context.definition, version.content)),
    )  # fmt: skip


def read(
    site: Site, version: Version, *, as_type: Any = None, since: datetime | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """Return what the endpoint has predicted in the site's environment, by the moment of the question.

    Columns: prediction_id, at (the question's time, else when it was answered), model, version, variant, the entity's and
    time columns, `x_` and each model column, one column per output, truth (from feedback, JSON, null when none), latency_s.
    """
    folder = journal_folder(site, version.asset)
    rows = journal.frame(folder) if folder.is_dir() else _nothing(version)
    pieces = [
        _decoded(site, version.asset, part, str(name[0]))
        for name, part in rows.group_by("version", maintain_order=True)
    ]
    found = pl.concat(pieces, how="diagonal_relaxed") if pieces else _decoded(site, version.asset, rows, version.ref)
    told = feedback.frame(folder) if folder.is_dir() else None
    if told is not None and told.height:
        newest = (
            told.sort("received_at")
            .unique("prediction_id", keep="last")
            .select("prediction_id", "truth", pl.col("at").alias("truth_at"))
        )
        found = found.join(newest, on="prediction_id", how="left")
    else:
        found = found.with_columns(pl.lit(None, pl.String).alias("truth"), pl.lit(None, TIME).alias("truth_at"))
    if since is not None:
        found = found.filter(pl.col("at") >= since)
    return found.filter(pl.col("at") < until) if until is not None else found


def journal_folder(site: Site, endpoint: str) -> Path:
    """Return where the predictions of an endpoint in the site's environment are written down."""
    return site.home / "journal" / site.environment.replace("/", "_") / endpoint


def loaded(site: Site, version: Version) -> executor.Executor:
    """Return the executor of an endpoint's version; the trained model itself is only read when it is served natively."""
    signature = Signature.from_data(version.record["signature"])
    files = {name: site.files.read(key) for name, key in version.files.items()}
    return executor.load(files, signature, native=lambda: site.read(model_of(site, version)).estimator)


def model_of(site: Site, version: Version) -> Version:
    """Return the experiment's version that an endpoint's version answers with."""
    found = versions.by_id(site.catalog.rows, version.record["model_version_id"])
    if found is None:
        raise UnknownVersion(f"{version.ref} answers with {version.record['model']}, which is gone")
    return found


def labels_of(site: Site, version: Version) -> Version | None:
    """Return the newest labels of what an endpoint answers, in the site's environment."""
    return site.catalog.resolve(version.record["labels"], site.environment)


def _context_types(context: Context, record: dict[str, Any]) -> dict[str, str]:
    """Return the types of the request's columns, as the labels that were learned from have them."""
    edges = lineage.inputs(context.site.catalog.rows, context.version("model").id)
    made_from = versions.by_ids(context.site.catalog.rows, [edge.input for edge in edges])
    labels = next(v for v in made_from.values() if v.asset == record["labels"])
    schema = context.site.table(labels).collect_schema()
    return {
        name: str(schema[name])
        for name in [*record["entity"], record["time"], *record["request_fields"]]
        if name in schema
    }


def _decoded(site: Site, endpoint: str, rows: pl.DataFrame, ref: str) -> pl.DataFrame:
    """Return journal rows of one endpoint version with their lists and texts as named columns."""
    version = site.catalog.find(ref, site.environment)
    record = version.record
    signature = Signature.from_data(record["signature"])
    matrix = np.array(rows["features"].to_list(), dtype=np.float64).reshape(rows.height, len(signature.columns))
    answers = np.array(rows["outputs"].to_list(), dtype=np.float64).reshape(rows.height, len(record["outputs"]))
    seen = signature.frame(matrix).with_columns(pl.col(pl.Enum).cast(pl.String)) if rows.height else pl.DataFrame()
    seen = seen.select(pl.all().name.prefix(SEEN)) if seen.width else seen
    outputs = pl.DataFrame({name: answers[:, place] for place, name in enumerate(record["outputs"])})
    keys = _keys(rows["request"], record)
    asked_at = pl.Series("at", pl.select(pl.coalesce(keys[record["time"]], rows["at"])).to_series())
    plain = rows.select("prediction_id", "endpoint", "version", "model", "variant", "latency_s", "as_of")
    plain = plain.rename({name: f"journal_{name}" for name in plain.columns if name in keys.columns})
    keys = keys.drop("at", strict=False)  # a time column of that name is the moment itself
    return pl.concat([plain, asked_at.to_frame(), keys, outputs, *([seen] if seen.width else [])], how="horizontal")


def _keys(requests: pl.Series, record: Any) -> pl.DataFrame:
    """Return the entity and time columns of requests, typed as in the labels; what a request did not tell is null."""
    names = [*record["entity"], record["time"]]
    types = {name: record["request_types"].get(name, "String") for name in names}
    raw = requests.str.json_decode(pl.Struct({name: pl.Int64 if "Int" in types[name] else pl.String for name in names}))
    found = raw.struct.unnest() if len(requests) else pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    return found.with_columns(_cast(name, types[name], found.schema[name]) for name in names)


def _cast(name: str, wanted: str, given: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if wanted.startswith("Datetime"):
        return column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    dtype = getattr(pl, wanted.split("(")[0], pl.String)
    return column if given == dtype else column.cast(dtype, strict=False)


def _nothing(version: Version) -> pl.DataFrame:
    texts = ("prediction_id", "endpoint", "version", "model", "variant", "request", "as_of")
    lists = {name: pl.List(pl.Float64) for name in ("features", "outputs")}
    return pl.DataFrame(schema={**dict.fromkeys(texts, pl.String), "at": TIME, **lists, "latency_s": pl.Float64})

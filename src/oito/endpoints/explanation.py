"""The page that answers for one prediction. Its figures are made by `explain`, its origins found by `origins`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl

from oito.catalog.records import Version
from oito.catalog.signature import Column, Signature
from oito.clock import text
from oito.endpoints import predictions
from oito.endpoints.explain import Contributions, background_rows, contributions
from oito.endpoints.loading import model_of, signature_of
from oito.endpoints.origins import Origins, Rows, Truth
from oito.endpoints.predictions import Found, same_bits, score_of, version_of
from oito.endpoints.requests import as_json
from oito.flow.site import Site
from oito.show import Badge, Block, Cell, Chart, Facts, Form, Link, Page, Series, Table, Text

MOST_BARS = 20


def page(site: Site, prediction: str) -> Page:
    """Return everything that is known of one prediction.

    Raises:
        UnknownPrediction, BadRequest: see `predictions.find`.
    """
    found = predictions.find(site, prediction)
    version = version_of(site, found.prediction.about)
    signature = signature_of(version)
    why = explained(site, found, version)
    origins = Origins(site, found, version)
    truth = origins.truth()
    said = found.prediction
    is_equal = same_bits(why.answer, said.outputs)
    facts = Facts([
        ("prediction", said.id.hex()), ("asked at", text(origins.asked_at)),
        *((str(name), float(value)) for name, value in zip(said.about.outputs, said.outputs, strict=True)),
        ("truth", _cell(truth.value) if truth else "not known yet"),
        ("told by", f"{truth.told_by}, known at {truth.known_at[:19]}Z" if truth else None),
        ("endpoint", Link(version.ref, f"/assets/{version.ref}")), ("model", Link(said.about.model, f"/assets/{said.about.model}")),
        ("environment", found.environment), ("variant", said.about.variant),
        ("said again", Badge("bit-equal", "good") if is_equal else Badge("differs", "bad")),
    ])  # fmt: skip
    features, source = origins.feature_rows(), origins.source_rows()
    made_from: list[list[Cell]] = [
        [Link(each.ref, f"/assets/{each.ref}"), each.kind, each.created_at, each.rows] for each in origins.made_from()
    ]
    blocks: list[Block] = [
        facts, *_moved(signature, why, said.about.outputs), _features(signature, found, version),
        Text(json.dumps(dict(said.request), indent=2, ensure_ascii=False), title="Request", language="json"),
        *(_rows_table("Feature row", rows) for rows in features), *(_rows_table("Source rows", rows) for rows in source),
        Table(["version", "kind", "made", "rows"], made_from, title="Made from"),
        Form("replay", {"prediction": said.id.hex()}, title="Score it again"),
    ]  # fmt: skip
    data = {
        "prediction_id": said.id.hex(), "environment": found.environment, "endpoint": version.ref, "model": said.about.model,
        "variant": said.about.variant, "asked_at": text(origins.asked_at), "request": dict(said.request),
        "outputs": _named(said.about.outputs, said.outputs), "bit_equal": is_equal, "as_of": dict(said.as_of),
        "features": {c.name: shown(c, value) for c, value in zip(signature.columns, said.features.tolist(), strict=True)},
        "baseline": _named(said.about.outputs, why.baseline),
        "contributions": [
            {"column": name, **{str(o): as_json(float(v)) for o, v in zip(said.about.outputs, row, strict=True)}}
            for name, row in zip(signature.names, why.values, strict=True)
        ],
        "feature_rows": [rows.data() for rows in features], "source_rows": [rows.data() for rows in source],
        "made_from": [each.ref for each in origins.made_from()], "truth": _truth_data(truth), "next": None,
    }  # fmt: skip
    return Page(f"Prediction {said.id.hex()}", blocks, data)


def explained(site: Site, found: Found, version: Version) -> Contributions:
    """Return the contributions to a prediction, against the rows that judged its model; the id is the seed."""
    signature = signature_of(version)
    judged: pl.DataFrame = site.table(model_of(site, version), "test", as_type=pl.DataFrame)
    rows = signature.matrix(judged.select(pl.col("^x_.*$").name.map(lambda name: name.removeprefix("x_"))))
    background = background_rows(rows, columns=len(signature.columns))
    score = score_of(site, found.prediction.about)
    seed = int.from_bytes(found.prediction.id, "big")
    return contributions(score, found.prediction.features, background, seed=seed)


def shown(column: Column, value: float) -> Any:
    """Return a value of a model's row as a caller would give it; None is missing or never seen."""
    if value != value:
        return None
    if column.kind == "category":
        return column.categories[int(value)]
    return bool(value) if column.kind == "boolean" else value


def _moved(signature: Signature, why: Contributions, outputs: tuple[str, ...]) -> list[Block]:
    order = np.argsort(-np.abs(why.values).max(axis=1), kind="stable")
    names = [signature.names[place] for place in order]
    rows: list[list[Cell]] = [
        [
            name,
            *(cell for o in range(len(outputs)) for cell in (float(why.values[place, o]), float(why.errors[place, o]))),
        ]
        for name, place in zip(names, order, strict=True)
    ]
    columns = ["column", *(title for name in outputs for title in (str(name), "±"))]
    series = [
        Series(str(name), names[:MOST_BARS], [float(why.values[place, o]) for place in order[:MOST_BARS]], mark="bar")
        for o, name in enumerate(outputs[:4])
    ]
    base = ", ".join(f"{name} {value:.4f}" for name, value in zip(outputs, why.baseline, strict=True))
    return [
        Chart(f"What moved it away from the mean answer ({base})", series, y="contribution"),
        Table(columns, rows, title="Contributions"),
    ]


def _features(signature: Signature, found: Found, version: Version) -> Table:
    said = found.prediction
    rows: list[list[Cell]] = [
        [c.name, _cell(shown(c, value)), "request" if c.name in said.request else "looked up"]
        for c, value in zip(signature.columns, said.features.tolist(), strict=True)
    ]
    rows += [
        [f"as of: {name}", at, "online store" if name in version.record["features"] else "clock"]
        for name, at in said.as_of.items()
    ]
    return Table(["feature", "value", "from"], rows, title="Features as the model saw them")


def _rows_table(title: str, rows: Rows) -> Block:
    if not rows.count:
        return Facts([(rows.version, rows.why)], title=title)
    more = f", the newest {len(rows.rows)} of {rows.count}" if rows.count > len(rows.rows) else ""
    return Table(rows.columns, rows.rows, title=f"{title}: {rows.version}, {rows.why}{more}")


def _named(names: tuple[str, ...], values: Any) -> dict[str, Any]:
    return {str(name): as_json(float(value)) for name, value in zip(names, values, strict=True)}


def _truth_data(truth: Truth | None) -> dict[str, Any] | None:
    return {"value": as_json(truth.value), "known_at": truth.known_at, "told_by": truth.told_by} if truth else None


def _cell(value: Any) -> Cell:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)

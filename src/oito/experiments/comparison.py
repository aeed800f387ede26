"""Two trained versions on common terms: the same rows, the same labels, and how they were made otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oito.catalog.records import Version
from oito.catalog.signature import Signature
from oito.experiments import judged_rows
from oito.experiments.intervals import compare
from oito.experiments.metrics import METRICS, metric
from oito.experiments.trained import answers
from oito.flow.site import Site


def on_common_terms(site: Site, first: Version, second: Version) -> dict[str, Any]:
    """Return, as plain data, how the second version does against the first on the second's test rows.

    Where the first cannot answer these rows, `comparison` is None, `notes` say why, and `scores` are each version's own.
    """
    record = second.record
    truth, said, rows = judged_rows.read(site, second)
    theirs, reason = answers(site, first, rows, Signature.from_data(record["signature"]))
    notes = [reason] if reason else []
    if first.record["learned_until"] >= record["test_from"]:
        notes.append(
            f"{first.ref} learned up to {first.record['learned_until']}, within these rows: its figure is flattered"
        )
    shared = {"metric": record["metric"], "changes": list(_changes(first.record, record)), "notes": notes}
    if theirs is None:
        own = (first.record["report"]["headline"], record["report"]["headline"])
        scores = [
            {"metric": name, **{key: side.get(name, {}).get("value") for key, side in zip(("first", "second"), own, strict=True)}}
            for name in dict.fromkeys([*own[0], *own[1]])
        ]  # fmt: skip
        return {**shared, "comparison": None, "scores": scores, "rows": "each version's own test rows"}
    found = compare(truth, theirs, said, metric=metric(record["metric"]), seed=site.settings.seed)
    scores = [
        {"metric": each.name, "first": _number(each.score(truth, theirs)), "second": _number(each.score(truth, said))}
        for each in METRICS.values()
        if each.task == record["task"]
    ]
    return {
        **shared,
        "comparison": found.data(),
        "scores": scores,
        "rows": f"the {len(truth)} test rows of {second.ref}",
    }


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for what in ("model", "estimator", "metric", "cut_off", "learned_until", "seed"):
        if first[what] != second[what]:
            yield {"what": what, "before": str(first[what]), "after": str(second[what])}
    for name in dict.fromkeys([*first["params"], *second["params"]]):
        values = [str(side["params"].get(name, "absent")) for side in (first, second)]
        if values[0] != values[1]:
            yield {"what": f"parameter {name}", "before": values[0], "after": values[1]}
    columns = [[column["name"] for column in side["signature"]["columns"]] for side in (first, second)]
    for name in dict.fromkeys([*columns[0], *columns[1]]):
        if (name in columns[0]) != (name in columns[1]):
            words = ["an input" if name in side else "absent" for side in columns]
            yield {"what": f"column {name}", "before": words[0], "after": words[1]}


def _number(value: float) -> float | None:
    return value if value == value else None

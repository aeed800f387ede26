"""How logged metrics look: curves of a version, of a run while it runs, and of an asset's versions beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oito.catalog import points as live_points
from oito.catalog import runs, versions
from oito.catalog.records import Version
from oito.flow.action import action
from oito.flow.site import Site
from oito.flow.tracking import POINTS, frame
from oito.names import reference
from oito.show import Block, Cell, Chart, Link, Page, Series, Table

if TYPE_CHECKING:
    import polars as pl

MOST_POINTS = 600  # of one curve that are drawn, and told as data
MOST_CURVES = 24


@action("metrics", page="/metrics/{name}")
def metrics(site: Site, name: str, *, metric: str = "", limit: int = 5) -> Page:
    """Show the metrics of an asset's newest versions beside each other, with the curves that they logged.

    Args:
        name: an asset, a version or an asset in an environment.
        metric: one metric; all when it is left out.
        limit: how many versions.
    """
    asset, number, environment = reference(name)
    first = site.catalog.find(name, site.environment)
    is_one = number is not None or environment is not None
    found = [first] if is_one else versions.listed(site.catalog.rows, asset, limit=limit)
    values = {each.ref: versions.metrics(site.catalog.rows, each.id) for each in found}
    names = [each for each in dict.fromkeys(n for row in values.values() for n in row) if metric in ("", each)]
    rows: list[list[Cell]] = [
        [Link(ref, f"/assets/{ref}"), *(row.get(n) for n in names)] for ref, row in values.items()
    ]
    curves = [(each.ref, _wanted(_rows_of(site, each), metric)) for each in found if POINTS in each.tables]
    data = {
        "asset": asset, "metrics": {ref: {n: row[n] for n in names if n in row} for ref, row in values.items()},
        "points": {ref: _plain(rows) for ref, rows in curves}, "next": None,
    }  # fmt: skip
    table = Table(["version", *names], rows, title="Metrics", empty="no metric was logged yet")
    return Page(f"Metrics of {name}", [table, *_charts(curves)], data)


def of_version(site: Site, version: Version) -> list[Block]:
    """Return the curves that a version's step logged."""
    return _charts([("", _rows_of(site, version))]) if POINTS in version.tables else []


def of_run(site: Site, run: str) -> list[Block]:
    """Return the curves of a run's steps as they are at this moment; those of a good step are the version's own."""
    made = {step.asset: step.version for step in runs.steps(site.catalog.rows, run) if step.version}
    known = versions.by_ids(site.catalog.rows, made.values())
    kept = {asset: known[made[asset]] for asset in made if POINTS in known[made[asset]].tables}
    blocks: list[Block] = []
    for asset, version in kept.items():
        blocks += _charts([("", _rows_of(site, version))], title=asset)
    for asset, points in live_points.live(site.home, run).items():
        if asset not in kept:
            blocks += _charts([("", frame(asset, points))], title=asset)
    return blocks


def _rows_of(site: Site, version: Version) -> pl.DataFrame:
    rows: pl.DataFrame = site.table(version, POINTS).collect()
    return rows


def _wanted(rows: pl.DataFrame, metric: str) -> pl.DataFrame:
    import polars as pl

    return rows.filter(pl.col("name") == metric) if metric else rows


def _charts(curves: Sequence[tuple[str, pl.DataFrame]], *, title: str = "") -> list[Block]:
    """Return one chart per metric, in it one curve per given table, or per partition."""
    series: dict[str, list[Series]] = {}
    for label, rows in curves:
        is_cut = rows["asset"].n_unique() > 1
        for (name, asset), each in _curves(rows).items():
            text = " ".join(filter(None, [label, asset if is_cut else ""])) or name
            series.setdefault(name, []).append(Series(text, each["step"].to_list(), _values(each)))
    return [
        Chart(f"{title}: {name}" if title else name, found[:MOST_CURVES], x="step", y=name)
        for name, found in list(series.items())[:MOST_CURVES]
    ]


def _curves(rows: pl.DataFrame) -> Mapping[tuple[str, str], pl.DataFrame]:
    found = rows.partition_by("name", "asset", maintain_order=True, as_dict=True)
    return {
        (str(name), str(asset)): thinned(each.sort("step", maintain_order=True))
        for (name, asset), each in found.items()
    }


def thinned(rows: pl.DataFrame, *, most: int = MOST_POINTS) -> pl.DataFrame:
    """Return at most so many rows of one curve, in order: the least and the greatest value of each stretch are kept.

    Example:
        >>> import polars as pl
        >>> curve = pl.DataFrame({"step": range(1000), "value": [0.0] * 500 + [9.0] + [0.0] * 499})
        >>> thinned(curve, most=10)["value"].max()
        9.0
    """
    import polars as pl

    if rows.height <= most:
        return rows
    width = -(-rows.height // (most // 2))
    value = pl.col("value").fill_nan(None)
    places = rows.with_row_index("\0place").group_by(pl.col("\0place") // width)
    ends = places.agg(low=pl.col("\0place").get(value.arg_min()), high=pl.col("\0place").get(value.arg_max()))
    return rows[pl.concat([ends["low"], ends["high"]]).drop_nulls().unique().sort()]


def _values(rows: pl.DataFrame) -> list[float | None]:
    import polars as pl

    return rows.select(pl.when(pl.col("value").is_finite()).then(pl.col("value"))).to_series().to_list()


def _plain(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {"metric": name, "asset": asset, "steps": each["step"].to_list(), "values": _values(each)}
        for (name, asset), each in _curves(rows).items()
    ]

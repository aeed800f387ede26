"""Batch scoring of a file: read, answered like any caller's rows, and written. How rows are answered is `offline`'s work."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from oito.endpoints.loading import beside, source_of
from oito.endpoints.offline import answered
from oito.errors import BadInput, DataError
from oito.flow.site import Site
from oito.show import Facts, Page, Table
from oito.storage.frames import stored

SHOWN = 20
ENDINGS = (".csv", ".parquet")


def page(site: Site, endpoint: str, file: str, out: str) -> Page:
    """Return what scoring a file gave; see the action.

    Raises:
        BadInput: the file is not there; or one of both lies outside the project's folder, or ends otherwise.
        MissingColumn, DataError: see `answered`.
    """
    version = site.catalog.find(endpoint, site.environment)
    target = _inside(site, out) if out else None
    rows = _read(_inside(site, file))
    taken = [name for name in version.record["outputs"] if name in rows.columns]
    if taken:
        raise DataError(f"{file} has a column {taken[0]!r} already", next="rename it: the answer has that name")
    _, answers, _ = answered(beside(site, source_of(site, version)), version, rows)
    said = pl.DataFrame(answers, schema=list(version.record["outputs"]))
    scored = rows.hstack(said)
    if target is not None:
        scored.write_parquet(target) if target.suffix == ".parquet" else scored.write_csv(target)
    means = {name: float(said[name].mean() or 0.0) for name in said.columns}  # type: ignore[arg-type]  # the mean of floats is a float
    facts = Facts(
        [("endpoint", version.ref), ("rows", rows.height), *((f"mean {name}", mean) for name, mean in means.items()),
         ("written to", str(target) if target else "nowhere: give --out")]
    )  # fmt: skip
    shown = Table(scored.columns, [list(map(_cell, row)) for row in scored.head(SHOWN).iter_rows()], title="First rows")
    data = {"version": version.ref, "rows": rows.height, "means": means, "out": str(target) if target else None}
    return Page(f"{file} scored by {version.ref}", [facts, shown], data)


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise BadInput(f"there is no file {path.name}", where=str(path.parent))
    try:
        rows = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, try_parse_dates=True)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path.name} cannot be read: {error}", next="give a CSV or Parquet file") from None
    typed = stored(rows)
    assert isinstance(typed, pl.DataFrame)
    return typed


def _inside(site: Site, file: str) -> Path:
    """Return the path of a file of rows in the project's folder: a page may ask for one, and must not reach further."""
    path, root = (site.root / file).resolve(), site.root.resolve()
    if not path.is_relative_to(root) or path.is_relative_to(site.home.resolve()) or path.suffix not in ENDINGS:
        known = f"a file in the project's folder that ends in {' or '.join(ENDINGS)}"
        raise BadInput(f"{file!r} cannot hold rows", where=str(root), known=known, next='write "rows.csv"')
    return path


def _cell(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)

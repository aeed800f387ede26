"""The rows a model was judged by, kept with what it said: gates, endpoints and monitors go back to them."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.catalog.records import Version
from oito.flow.site import Site

Floats = NDArray[np.float64]
TABLE = "test"
TRUTH = "truth"
SAID = "said"
SEEN = "x_"  # prefix of the model's columns


def table(
    entity: pl.DataFrame, times: pl.Series, columns: pl.DataFrame, *, truth: Floats, said: Floats, classes: int
) -> pl.DataFrame:
    """Return one row per judged question: entity, `time`, `truth`, what was said, and `x_` + each model column as given.

    `truth` is the class number (its place in the signature's classes) or the value. What was said is one column `said`
    (of two classes the probability of the second) or `said_0`, `said_1`, … by class number.
    """
    names = [SAID] if said.ndim == 1 else [f"{SAID}_{place}" for place in range(classes)]
    answers = pl.DataFrame(said.reshape(len(said), -1), schema=names)
    seen = columns.select(pl.all().name.prefix(SEEN))
    return pl.concat(
        [entity, times.alias("time").to_frame(), pl.DataFrame({TRUTH: truth}), answers, seen], how="horizontal"
    )


def read(site: Site, version: Version) -> tuple[Floats, Floats, pl.DataFrame]:
    """Return (truth, what was said, the model's columns) of a version's judged rows."""
    rows: pl.DataFrame = site.table(version, TABLE, as_type=pl.DataFrame)
    names = [name for name in rows.columns if name == SAID or name.removeprefix(f"{SAID}_").isdigit()]
    said = rows[SAID].to_numpy() if names == [SAID] else rows.select(names).to_numpy()
    seen = rows.select(pl.col(f"^{SEEN}.*$").name.map(lambda name: name.removeprefix(SEEN)))
    return rows[TRUTH].to_numpy(), said, seen

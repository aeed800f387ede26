"""A small world of parcels, made up from one seed: what a courier's own tables would tell. Nothing here knows oito."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl

OPENED = datetime(2024, 1, 1, tzinfo=UTC)
CHANGED = datetime(2024, 3, 17, tzinfo=UTC)  # from here on heavy parcels wait for the second van
DAYS, PER_DAY = 120, 30
DEPOTS = ["north", "south", "harbor"]


def delivered(since: datetime | None, until: datetime) -> pl.DataFrame:
    """Return the parcels handed in from `since` on that had arrived by `until`."""
    rows = _parcels().filter(pl.col("arrived_at") <= until)
    return rows if since is None else rows.filter(pl.col("handed_in") >= since)


def waiting(since: datetime, until: datetime) -> pl.DataFrame:
    """Return what is known of the parcels handed in from `since` to before `until`, when they are handed in."""
    rows = _parcels().filter(pl.col("handed_in").is_between(since, until, closed="left"))
    return rows.select("parcel", "handed_in", "depot", "miles", "kilos")


@cache
def _parcels() -> pl.DataFrame:
    draw = np.random.default_rng(8)
    count = DAYS * PER_DAY
    minutes = np.sort(draw.integers(0, DAYS * 1440, count))
    handed_in = pl.Series([OPENED + timedelta(minutes=int(each)) for each in minutes], dtype=pl.Datetime("us", "UTC"))
    depot = draw.choice(DEPOTS, count, p=[0.5, 0.3, 0.2])
    miles = draw.gamma(2.0, 60.0, count).round(1)
    kilos = draw.gamma(2.0, 2.0, count).round(1)
    waits = (kilos > 4) & (minutes >= (CHANGED - OPENED).days * 1440)
    busy = np.sin(minutes / 1440 / 9) * (depot == "harbor") * 14
    hours = 14 + miles / 12 + busy + 20 * waits + draw.normal(0, 6, count).clip(-10, None)
    return pl.DataFrame(
        {"parcel": [f"p{number:05}" for number in range(count)], "handed_in": handed_in, "depot": depot, "miles": miles,
         "kilos": kilos, "arrived_at": handed_in + pl.Series([timedelta(hours=float(each)) for each in hours.round(2)])}
    )  # fmt: skip

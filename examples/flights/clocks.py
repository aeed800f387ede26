"""Clocks of many places: local minutes become moments in UTC. Flights are other modules' work."""

import polars as pl

HOUR_MIN = 60
DAY_MIN = 24 * HOUR_MIN
UNLISTED = "America/Puerto_Rico"  # the four airports of the Caribbean are in no list of airports of the United States


def minutes_of(column: str) -> pl.Expr:
    """Return the minutes since midnight of a clock written as a number, such as 1745."""
    return pl.col(column) // 100 * HOUR_MIN + pl.col(column) % 100


def per_hour(amount: pl.Expr, *, minutes: pl.Expr) -> pl.Expr:
    """Return an amount per hour, when it took some minutes."""
    return amount * HOUR_MIN / minutes


def local(moment: pl.Expr, zone: str) -> pl.Expr:
    """Return what the clocks of a zone show."""
    return moment.dt.convert_time_zone(zone)


def nearest_arrival(rows: pl.DataFrame, *, near: str, minute_of_day: str, zone: str) -> pl.DataFrame:
    """Return the rows with `arrived_at`, UTC: the moment nearest to `near` at which the local clock shows `minute_of_day`.

    A clock tells the minute and not the day; the nearest moment is right when `near` is less than twelve hours off.
    """
    parts = rows.with_columns(pl.col(zone).fill_null(UNLISTED)).partition_by(zone, as_dict=True)
    return pl.concat(_arrived(part, str(name), near, minute_of_day) for (name,), part in parts.items())


def _arrived(rows: pl.DataFrame, zone: str, near: str, minute_of_day: str) -> pl.DataFrame:
    clock = local(pl.col(near), zone)
    shown = clock.dt.hour().cast(pl.Int32) * HOUR_MIN + clock.dt.minute()
    off = (pl.col(minute_of_day) - shown + DAY_MIN // 2) % DAY_MIN - DAY_MIN // 2
    return rows.with_columns(arrived_at=pl.col(near) + pl.duration(minutes=off))

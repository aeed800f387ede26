"""What people who fly mean by their words: late, and fast. Where the figures come from is another module's work."""

import polars as pl

from clocks import per_hour

LATE_MIN = 15  # up to here the Department of Transportation calls a flight on time


def is_late() -> pl.Expr:
    """Return whether a flight arrived late; null while nobody knows."""
    return pl.col("arr_delay") > LATE_MIN


def ground_speed() -> pl.Expr:
    """Return the miles per hour between take-off and landing."""
    return per_hour(pl.col("distance"), minutes=pl.col("air_time"))

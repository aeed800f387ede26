"""Will this ride arrive late? A whole small project on made-up rides; tests copy it, this file holds none."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

import oito

START = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ["harbor", "center", "hills"]


@oito.source(key="ride_id", cursor="asked_at")
def rides(since: datetime | None) -> pl.DataFrame:
    draw = np.random.default_rng(8)
    count = 1200
    distance = draw.gamma(2.0, 3.0, count).round(2)
    driver = draw.integers(0, 12, count)
    delay = distance * 0.8 + driver * 0.7 + draw.normal(0, 3, count)
    asked = [START + timedelta(minutes=30 * n) for n in range(count)]
    return pl.DataFrame(
        {
            "ride_id": np.arange(count),
            "driver": [f"D{n:02d}" for n in driver],
            "zone": draw.choice(ZONES, count),
            "distance": distance,
            "delay": delay.round(2),
            "asked_at": asked,
            "arrived_at": [at + timedelta(minutes=int(d) + 60) for at, d in zip(asked, delay, strict=True)],
        }
    )


@oito.dataset(key="ride_id", checks=[oito.not_null("driver")])
def clean_rides(rides: pl.LazyFrame) -> pl.LazyFrame:
    return rides.filter(pl.col("distance") > 0)


@oito.features(entity="driver", time="arrived_at", ttl="20d")
def driver_record(clean_rides: pl.LazyFrame) -> pl.LazyFrame:
    ordered = clean_rides.sort("arrived_at")
    past = pl.col("delay").cum_sum().over("driver") / pl.col("delay").cum_count().over("driver")
    return ordered.select("driver", "arrived_at", past.alias("driver_delay"))


@oito.features(on_request=True)
def calendar(request: pl.DataFrame) -> pl.DataFrame:
    return request.select(pl.col("asked_at").dt.hour().alias("hour"), (pl.col("distance") > 5).alias("is_long"))


@oito.labels(entity="ride_id", time="asked_at", known_at="arrived_at")
def late(clean_rides: pl.LazyFrame) -> pl.LazyFrame:
    return clean_rides.select(
        "ride_id", "asked_at", "arrived_at", (pl.col("delay") > 8).alias("late"), "driver", "zone", "distance"
    )


@oito.model(labels=late, features=[driver_record, calendar], exclude=["driver"], baselines=["dummy"])
def lateness(*, leaves: int = 7) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_leaf_nodes=leaves, max_iter=20, random_state=1)


late_ride = oito.experiment(model=lateness, trials=1, split=oito.by_time(valid="3d", test="5d"))


@oito.endpoint(model=late_ride, outputs=("late",))
def delay_risk(model, rows):  # type: ignore[no-untyped-def]  # as a user writes it
    return model.predict_proba(rows)[:, 1] * 1.0

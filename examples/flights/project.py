"""Will this flight arrive more than fifteen minutes late? Asked two hours before it is to leave New York."""

from datetime import datetime

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

import nyc
import oito
from aviation import ground_speed, is_late
from clocks import local

# 1 sources: rows from outside, collected as the clock advances


@oito.source(key="flight_id", cursor="scheduled_departure", overlap="3d", every="1h")
def flights(since: datetime | None, until: datetime) -> pl.DataFrame:
    return nyc.flights(since, until)  # a flight is told once it has landed


@oito.source(key=("origin", "time_hour"), cursor="time_hour", overlap="6h", every="1h")
def weather(since: datetime | None, until: datetime) -> pl.DataFrame:
    return nyc.weather(since, until)


@oito.source(key="tailnum", every="30d")
def planes() -> pl.DataFrame:
    return nyc.planes()


# 2 datasets: clean and checked


@oito.dataset(
    key="flight_id",
    checks=[
        oito.not_null("carrier", "origin", "dest", "scheduled_departure"),
        oito.one_of("origin", ["EWR", "JFK", "LGA"]),
        oito.between("distance", 50, 6000),
        oito.between("ground_speed", 70, 600, severity="quarantine"),  # no airliner is that fast
    ],
)
def departures(flights: pl.LazyFrame) -> pl.LazyFrame:
    return flights.with_columns(late=is_late(), ground_speed=ground_speed().round(1)).drop("air_time")


fleet = oito.dataset.sql("fleet.sql", key="tailnum")


# 3 features: what was known by then


@oito.features(entity="origin", time="time_hour", ttl="3h")
def origin_weather(weather: pl.LazyFrame) -> pl.LazyFrame:
    return weather


@oito.features(entity="origin", time="arrived_at", ttl="1d")
def origin_traffic(departures: pl.LazyFrame) -> pl.DataFrame:
    values = {"origin_delay": ("arr_delay", "mean"), "origin_landed": ("arr_delay", "count")}
    return oito.sliding(departures, by="origin", time="arrived_at", windows=["2h", "6h"], values=values, every="10m")


@oito.features(entity="dest", time="arrived_at", ttl="1d")
def dest_traffic(departures: pl.LazyFrame) -> pl.DataFrame:
    values = {"dest_delay": ("arr_delay", "mean")}
    return oito.sliding(departures, by="dest", time="arrived_at", windows=["6h", "1d"], values=values, every="30m")


@oito.features(entity="carrier", time="arrived_at")
def carrier_record(departures: pl.LazyFrame) -> pl.DataFrame:
    values = {"carrier_late": ("late", "mean")}
    return oito.sliding(departures, by="carrier", time="arrived_at", windows=["7d", "30d"], values=values, every="1h")


@oito.features(entity=("origin", "dest"), time="arrived_at")
def route_record(departures: pl.LazyFrame) -> pl.DataFrame:
    values, route = {"route_late": ("late", "mean"), "route_landed": ("late", "count")}, ["origin", "dest"]
    return oito.sliding(departures, by=route, time="arrived_at", windows=["7d", "30d"], values=values, every="6h")


@oito.features(entity="tailnum", time="arrived_at", ttl="1d")
def previous_leg(departures: pl.LazyFrame) -> pl.LazyFrame:
    landed = departures.filter(pl.col("arrived_at").is_not_null(), pl.col("tailnum").is_not_null())
    return landed.select("tailnum", "arrived_at", leg_delay="arr_delay", leg_miles="distance")


@oito.features(entity="tailnum", time="first_seen")
def aircraft(fleet: pl.LazyFrame) -> pl.LazyFrame:
    return fleet


@oito.features(on_request=True)
def calendar(request: pl.DataFrame) -> pl.DataFrame:
    leaves = local(pl.col("scheduled_departure"), "America/New_York")
    return request.select(leaves_at=leaves.dt.hour() + leaves.dt.minute() / 60, weekday=leaves.dt.weekday())


# 4 labels: the truth, and when it was known; further columns are what a caller tells


@oito.labels(entity="flight_id", time="asked_at", known_at="arrived_at")
def late(departures: pl.LazyFrame) -> pl.LazyFrame:
    told = ["carrier", "origin", "dest", "tailnum", "distance", "scheduled_departure"]
    asked_at = pl.col("scheduled_departure") - pl.duration(hours=2)
    return departures.drop_nulls("late").select("flight_id", "late", "arrived_at", *told, asked_at=asked_at)


# 5 model, 6 experiment: what learns what from what; how it is searched and judged

VIEWS = [origin_weather, origin_traffic, dest_traffic, carrier_record, route_record, previous_leg, aircraft, calendar]


@oito.model(labels=late, features=VIEWS, exclude=["tailnum"], baselines=["dummy", "linear"])
def lateness(*, rate: float = oito.Float(0.04, 0.3, log=True, default=0.12), leaves: int = oito.Int(8, 48, default=24)):
    return HistGradientBoostingClassifier(
        learning_rate=rate, max_leaf_nodes=leaves, max_iter=60, early_stopping=False, categorical_features="from_dtype"
    )


@oito.experiment(
    model=lateness,
    trials=3,
    split=oito.by_time(valid="14d", test="14d"),
    metric="roc_auc",
    gate=[oito.beats("production", on="roc_auc"), oito.at_least("roc_auc", 0.6)],
)
def late_flight(estimator, train, valid):
    return estimator.fit(train.X, train.y)


# 7 endpoint, 8 monitor: what answers, and who watches it


@oito.endpoint(model=late_flight, outputs=("late",))
def delay_risk(model, rows):
    return model.predict_proba(rows)[:, 1]


@oito.monitor(endpoint=delay_risk, every="1d", retrain=oito.on_regret(price=50, cool_down="14d"))
def watch(window):
    return {"late_share": window.truth.mean(), "warned_share": (window.score > 0.5).mean()}

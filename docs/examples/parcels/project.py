"""Will this parcel take more than a day? Asked when it is handed in."""

from datetime import datetime

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

import oito
import world


@oito.source(key="parcel", cursor="handed_in", every="1d")  # 1 sources: rows from outside
def parcels(since: datetime | None, until: datetime) -> pl.DataFrame:
    return world.delivered(since, until)


@oito.dataset(key="parcel", checks=[oito.not_null("depot"), oito.between("miles", 0, 900)])  # 2 datasets
def deliveries(parcels: pl.LazyFrame) -> pl.LazyFrame:
    return parcels.with_columns(late=pl.col("arrived_at") - pl.col("handed_in") > pl.duration(hours=24))


@oito.features(entity="depot", time="arrived_at", ttl="7d")  # 3 features: as known at each moment
def depot_record(deliveries: pl.LazyFrame) -> pl.DataFrame:
    values = {"depot_late": ("late", "mean")}
    return oito.sliding(deliveries, by="depot", time="arrived_at", windows=["7d"], values=values, every="1h")


@oito.labels(entity="parcel", time="handed_in", known_at="arrived_at")  # 4 labels: the truth, once it is known
def late(deliveries: pl.LazyFrame) -> pl.LazyFrame:
    return deliveries.select("parcel", "handed_in", "arrived_at", "late", "depot", "miles", "kilos")


@oito.model(labels=late, features=[depot_record])  # 5 models: a design and the space of its parameters
def lateness(
    *,
    learning_rate: float = oito.Float(0.03, 0.3, log=True, default=0.1),
    leaves: int = oito.Int(4, 32, log=True, default=8),
) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        learning_rate=learning_rate, max_leaf_nodes=leaves, max_iter=30, categorical_features="from_dtype"
    )


@oito.experiment(  # 6 experiments: search, training, judgement
    model=lateness,
    trials=2,
    split=oito.by_time(valid="7d", test="7d"),
    gate=[oito.beats("production", on="log_loss")],
)
def late_parcel(estimator, train, valid):
    return estimator.fit(train.X, train.y)


@oito.endpoint(model=late_parcel, outputs=("late",))  # 7 endpoints: answers over HTTP
def parcel_risk(model, rows):
    return model.predict_proba(rows)[:, 1]


@oito.monitor(endpoint=parcel_risk, every="1d", retrain=oito.on_regret(price=5))  # 8 monitors: the loop closes
def watch(window):
    return {"late_share": window.truth.mean()}

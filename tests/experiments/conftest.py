"""A small real project for the tests of experiments: parcels that arrive late or not, from source to trained model."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import sklearn.ensemble  # so that its thread pool is there to be limited
from threadpoolctl import threadpool_limits

from oito.clock import VirtualClock, moment
from oito.flow.site import Site
from oito.workspace import Workspace

START = "2024-04-01"
PROJECT = '''"""Will a parcel be late? Asked when it is sent."""
from datetime import datetime, timedelta, timezone

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.impute import SimpleImputer

import oito

SEED = 3


@oito.source(key="parcel", cursor="sent_at")
def parcels(since, until):
    rng = np.random.default_rng(SEED)
    n = 2400
    begin = datetime(2024, 1, 1, tzinfo=timezone.utc)
    minute = np.sort(rng.integers(0, 60 * 24 * 120, n))
    weight, city = rng.normal(5, 2, n), rng.choice(["Faro", "Oslo", "Rio"], n)
    risk = 0.8 * (weight - 5) + (city == "Oslo") * 1.2 - 0.6
    hours = np.exp(risk * 0.5 + rng.normal(0, 0.6, n)) * 10
    frame = pl.DataFrame({
        "parcel": np.arange(n), "sent_at": [begin + timedelta(minutes=int(m)) for m in minute], "weight": weight,
        "city": city, "hours": hours, "van": rng.integers(0, 20, n),
    })
    sent = frame.filter(pl.col("sent_at") <= until)
    return sent.with_columns(arrived_at=pl.col("sent_at") + pl.duration(minutes=60 * pl.col("hours")))


@oito.dataset(key="parcel", checks=[oito.not_null("sent_at")])
def sendings(parcels):
    return parcels


@oito.features(entity="van", time="arrived_at", ttl="30d")
def van_record(sendings):
    ordered = sendings.sort("arrived_at")
    mean = pl.col("hours").rolling_mean(20, min_samples=1).over("van")
    return ordered.select("van", "arrived_at", mean.alias("van_hours"))

@oito.labels(entity="parcel", time="sent_at", known_at="arrived_at")
def late(sendings):
    return sendings.select("parcel", "sent_at", "arrived_at", "weight", "city", "van", late=pl.col("hours") > 12)


@oito.model(labels=late, features=[van_record], exclude=["van"], baselines=["dummy", "linear"])
def lateness(*, rate: float = oito.Float(0.02, 0.3, log=True), leaves: int = oito.Int(4, 16)):
    return HistGradientBoostingClassifier(learning_rate=rate, max_leaf_nodes=leaves, max_iter=10, categorical_features="from_dtype")


late_parcel = oito.experiment(model=lateness, trials=4, split=oito.by_time(valid="10d", test="15d"), metric="roc_auc")
'''


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fit on one thread, here and in children: on a busy machine two wait for each other longer than they work."""
    assert sklearn.ensemble
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with threadpool_limits(limits=1, user_api="openmp"):
        yield


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Return a function (swap={old: new} in the project's text, more=text at its end, **settings) -> its site.

    `folder` is where the project stands, `now` what its clock shows.
    """
    spaces: list[Workspace] = []

    def site(
        swap: Mapping[str, str] | None = None, *, more: str = "", now: str = START, folder: str = "", **given: Any
    ) -> Site:
        text = PROJECT
        for old, new in (swap or {}).items():
            assert old in text, old
            text = text.replace(old, new)
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        (root / "project.py").write_text(text + dedent(more))
        shutil.rmtree(root / "__pycache__", ignore_errors=True)
        sys.modules.pop("project", None)
        space = Workspace(root, clock=VirtualClock(moment(now)), who="ana", **given)
        spaces.append(space)
        return space.site

    yield site
    for space in spaces:
        space.close()

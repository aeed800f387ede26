"""A small project whose truth depends on one column, served day by day under a clock that is moved."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from oito import settings
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import VirtualClock
from oito.eight import KINDS
from oito.endpoints.rehearsal import rehearse
from oito.flow import runner
from oito.flow.project import load
from oito.flow.site import Site
from oito.storage.files import Files

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAILY = 200

PROJECT = '''
"""Questions with a number and a place; the answer follows the number until the world turns."""
from dataclasses import replace
from datetime import UTC, datetime, timedelta
import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
import oito

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
TURNS = {turns}

@oito.source(key="id", cursor="known_at", known_at="known_at", overlap="30d", every="1h")
def events(since):
    random = np.random.default_rng(7)
    n = {daily} * 70
    day = np.arange(n) // {daily}
    km = random.normal(100, 20, n)
    sign = np.where(day >= TURNS, -1.0, 1.0)
    answer = sign * (km - 100) + random.normal(0, 8, n) > 0
    asked = [BEGIN + timedelta(days=int(d), minutes=int(7 * (i % {daily}))) for i, d in enumerate(day)]
    return pl.DataFrame(dict(
        id=np.arange(n), asked_at=asked, km=km, place=random.choice(["a", "b", "c"], n), answer=answer,
        known_at=[each + timedelta(hours=6) for each in asked],
    ))

@oito.labels(entity="id", time="asked_at", known_at="known_at", label="answer")
def truth(events): return events

@oito.model(labels=truth, task="classification", baselines=[])
def line(*, strength: float = 1.0): return LogisticRegression(C=strength)

@oito.experiment(model=line, trials=1, split=oito.by_time(valid="5d", test="10d"), metric="roc_auc")
def fitted(estimator, train, valid):
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    return make_pipeline(ColumnTransformer([("km", StandardScaler(), ["km"])]), estimator).fit(train.X, train.y)

@oito.endpoint(model=fitted, outputs=("yes",))
def answers(model, rows): return model.predict_proba(rows)[:, 1]

@oito.monitor(endpoint=answers, every="1d", retrain={rule})
def watch(window): return {{"yes_share": window.truth.mean(), "mean_score": window.score.mean()}}
'''


class Loop:
    """The project under its clock; `serve` answers a day's questions, changed as the test wants it."""

    def __init__(self, root: Path, *, turns: int = 1000, rule: str = "oito.on_regret(price=20)") -> None:
        (root / "project.py").write_text(PROJECT.format(turns=turns, rule=rule, daily=DAILY))
        sys.modules.pop("project", None)
        self.clock = VirtualClock(BEGIN + 40 * DAY)
        given = settings.load(root)
        catalog = Catalog(given.home_folder, self.clock, who="ann")
        files = Files(given.home_folder / "files")
        self.site = Site(load(root, ["project.py"], KINDS), catalog, files, given, "production", root)

    def reload(self) -> None:
        """Take up the project file as it is now."""
        sys.modules.pop("project", None)
        self.site = replace(self.site, project=load(self.site.root, ["project.py"], KINDS))

    def run(self) -> Version:
        """Run everything and return the monitor's verdict."""
        runner.run(self.site).raise_first()
        return self.site.catalog.find("watch", "production")

    def day(self, change: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows, *, share: float = 1.0) -> Version:
        """Let a day pass: its questions are answered, then everything runs."""
        start = self.clock.now()
        self.clock.advance(DAY)
        questions = self.site.project.asset("events").function
        assert questions is not None
        rows = questions(None).filter(pl.col("asked_at").is_between(start, start + DAY, closed="left"))
        rows = change(rows.drop("answer", "known_at").head(int(DAILY * share)))
        rehearse(self.site, self.site.catalog.find("answers", "production"), rows)
        return self.run()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[..., Loop]]:
    made: list[Loop] = []

    def start(**how: object) -> Loop:
        made.append(Loop(tmp_path, **how))  # type: ignore[arg-type]  # the options of Loop, by name
        return made[-1]

    yield start
    for each in made:
        each.site.catalog.close()

"""Replays the loop over the past: the same steps on a clock that is moved by hand, once per retraining policy, in a scratch catalog.

Nothing here knows how a step works; data is collected, models are trained and released, predictions are answered and judged
by the code that does it every day. Only the clock, the catalog and the monitor's retraining rule are others.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from oito.catalog import versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import VirtualClock, text
from oito.endpoints.rehearsal import rehearse
from oito.errors import BadInput
from oito.experiments.metrics import metric
from oito.experiments.spec import Beats
from oito.flow import runner
from oito.flow.project import Asset, Project
from oito.flow.site import Site
from oito.monitors.spec import MonitorSpec, Never, OnRegret, OnSchedule
from oito.names import duration

DATA = "data"  # the environment whose collected and processed data all policies read
UPSTREAM = frozenset({"source", "dataset", "features", "labels", "model"})


@dataclass(frozen=True)
class Result:
    """What one policy did over the whole span."""

    policy: str
    metrics: Mapping[str, float]
    predictions: int
    retrainings: int
    refused: int
    alarms: int
    cost: float
    days: Sequence[str]
    losses: Sequence[float | None]

    def data(self) -> dict[str, Any]:
        return {**vars(self), "metrics": dict(self.metrics), "days": list(self.days), "losses": list(self.losses)}


def compared(
    site: Site,
    began: datetime,
    ended: datetime,
    step: timedelta,
    *,
    policies: Sequence[str],
    trials: int = 0,
    monitor: str = "",
) -> list[Result]:
    """Return what each policy would have done between two moments of the past; the site itself is only read.

    Raises:
        BadInput: there is no such monitor, or a policy's text names no rule.
    """
    return _Loop(site, monitor, trials).replay(began, ended, step, policies)


class _Loop:
    def __init__(self, site: Site, monitor: str, trials: int) -> None:
        watchers = [asset for asset in site.project.assets.values() if asset.kind.word == "monitor"]
        if not watchers or (monitor and monitor not in {each.name for each in watchers}):
            raise BadInput(
                "the project has no monitor to replay" if not watchers else f"there is no monitor {monitor!r}"
            )
        self.site = replace(site, project=_without_baselines(site.project))
        self.monitor = site.project.asset(monitor or watchers[0].name)
        self.endpoint = site.project.asset(self.monitor.names("endpoint")[0])
        self.experiment = site.project.asset(self.endpoint.names("model")[0])
        self.labels = site.catalog.find(
            next(i.asset for i in self.monitor.inputs if i.role == "labels"), site.environment
        )
        self.trials = trials

    def replay(self, began: datetime, ended: datetime, step: timedelta, policies: Sequence[str]) -> list[Result]:
        """Move the clock from begin to end and return what each policy did."""
        home = self.site.home / "simulation"
        shutil.rmtree(home, ignore_errors=True)
        clock = VirtualClock(began)
        data = self._site(Catalog(home, clock, who=self.site.catalog.who, protected=(DATA,)), DATA, self.site.project)
        sites = {
            policy: self._site(Catalog(home, clock, who=self.site.catalog.who, protected=(_name(policy),), base=DATA), _name(policy),
                               self._under(policy))
            for policy in policies
        }  # fmt: skip
        upstream = [name for name, asset in self.site.project.assets.items() if asset.kind.word in UPSTREAM]
        questions = self._questions(began, ended)
        time = self.labels.record["time"]
        runner.run(data, upstream, reason="simulation").raise_first()
        for site in sites.values():
            runner.run(site, [self.endpoint.name], reason="simulation").raise_first()
        while clock.now() < ended:
            start = clock.now()
            clock.move_to(min(start + step, ended))
            runner.run(data, upstream, reason="simulation").raise_first()
            asked = questions.filter((questions[time] >= start) & (questions[time] < clock.now()))
            for policy, site in sites.items():
                rehearse(site, site.catalog.find(self.endpoint.name, site.environment), asked)
                runner.run(site, [self.monitor.name], reason="simulation").raise_first()
                self.site.tell(policy, f"{text(clock.now())[:10]}: {asked.height} questions")
        results = [self._judged(policy, site) for policy, site in sites.items()]
        for site in (data, *sites.values()):
            site.catalog.close()
        return results

    def _site(self, catalog: Catalog, environment: str, project: Project) -> Site:
        settings = self.site.settings
        offline = replace(settings, values={**settings.values, "online": False})  # nobody serves here
        return Site(project, catalog, self.site.files, offline, environment, self.site.root)

    def _under(self, policy: str) -> Project:
        """Return the project with the monitor's rule, and the number of trials, replaced; asset for asset the same otherwise."""
        changed: dict[str, Asset] = {}
        watch: Any = self.monitor.spec
        changed[self.monitor.name] = replace(self.monitor, spec=replace(watch, retrain=_rule(policy, watch)))
        spec: Any = self.experiment.spec
        gates = tuple(replace(g, environment=_name(policy)) if isinstance(g, Beats) else g for g in spec.gate)
        fields = {"gate": gates, **({"trials": self.trials} if self.trials else {})}
        changed[self.experiment.name] = replace(self.experiment, spec=replace(spec, **fields))
        project = self.site.project
        return replace(project, assets={**project.assets, **changed})

    def _questions(self, began: datetime, ended: datetime) -> pl.DataFrame:
        """Return what was asked in the span, oldest first, as the newest labels tell it."""
        record = self.labels.record
        rows: pl.DataFrame = self.site.table(self.labels).collect()
        rows = rows.filter((rows[record["time"]] >= began) & (rows[record["time"]] < ended))
        return rows.drop(record["label"], record["known_at"]).sort(record["time"])

    def _judged(self, policy: str, site: Site) -> Result:
        version = site.catalog.find(self.endpoint.name, site.environment)
        told = _told(site.read(version), site.table(self.labels).collect(), version.record)
        verdicts = self._versions(site, self.monitor)
        refused = site.catalog.rows.read(
            "SELECT 1 FROM step s JOIN run r ON r.id = s.run WHERE r.environment = ? AND s.asset = ? AND s.state = 'refused'",
            site.environment, self.experiment.name,
        )  # fmt: skip
        asked = sum(bool(verdict.record.get("asks")) for verdict in verdicts)
        rule: Any = self.monitor.spec
        price, value = (rule.retrain.price, rule.retrain.value) if isinstance(rule.retrain, OnRegret) else (0.0, 1.0)
        weeks = told.group_by_dynamic("at", every="1w").agg(pl.col("loss").mean()).sort("at")
        return Result(
            policy=policy, metrics=_metrics(told, version.record["task"]), predictions=told.height,
            retrainings=asked, refused=len(refused),
            alarms=sum(len(verdict.record.get("alarms", [])) for verdict in verdicts),
            cost=float(told["loss"].sum()) * value + asked * price,
            days=[text(day)[:10] for day in weeks["at"]], losses=weeks["loss"].to_list(),
        )  # fmt: skip

    def _versions(self, site: Site, asset: Asset) -> list[Version]:
        found = versions.listed(site.catalog.rows, asset.name, limit=10_000)
        return [version for version in found if version.environment == site.environment]


def _rule(policy: str, spec: Any) -> OnRegret | OnSchedule | Never:
    """Return the retraining rule that a policy's text names."""
    assert isinstance(spec, MonitorSpec)
    word, _, price = policy.partition(":")
    if word == "never":
        return Never()
    if word != "regret":
        duration(policy)
        return OnSchedule(policy)
    if isinstance(spec.retrain, OnRegret):
        return replace(spec.retrain, price=float(price)) if price else spec.retrain
    if not price:
        raise BadInput("the monitor declares no price of a retraining", next="write regret:PRICE, such as regret:50")
    return OnRegret(float(price))


def _told(predictions: pl.DataFrame, labels: pl.DataFrame, record: Mapping[str, Any]) -> pl.DataFrame:
    """Return predictions with the truth that came later, and the loss of each: log-loss, or the squared error."""
    keys = [*record["entity"], record["time"]]
    joined = predictions.join(labels.select(*keys, pl.col(record["label"]).alias("label")), on=keys, how="inner")
    outputs = record["outputs"]
    if record["task"] == "regression":
        return joined.with_columns((pl.col("label") - pl.col(outputs[0])).pow(2).alias("loss"))
    classes = record["signature"]["classes"]
    likelihood: Any = pl.lit(None, pl.Float64)
    for place, name in enumerate(classes):
        if len(outputs) == 1:
            share = pl.col(outputs[0]) if place == 1 else 1 - pl.col(outputs[0])
        else:
            share = pl.col(outputs[place])
        likelihood = pl.when(pl.col("label") == name).then(share).otherwise(likelihood)
    if len(classes) == 2:
        joined = joined.with_columns(pl.col(outputs[-1]).alias("score"))
    return joined.with_columns((-likelihood.clip(1e-15, 1.0).log()).alias("loss"))


def _metrics(told: pl.DataFrame, task: str) -> dict[str, float]:
    """Return the headline figures over all predictions whose truth is known."""
    if task == "regression":
        return {"rmse": float(told["loss"].mean() or 0.0) ** 0.5}  # type: ignore[arg-type]  # the mean of floats is a float
    figures = {"log_loss": float(told["loss"].mean() or 0.0)}  # type: ignore[arg-type]  # the mean of floats is a float
    classes = told["label"].unique().sort().to_list()
    if len(classes) == 2 and "score" in told.columns:
        figures["roc_auc"] = metric("roc_auc").score(
            (told["label"] == classes[1]).cast(pl.Float64).to_numpy(), told["score"].to_numpy()
        )
    return figures


def _without_baselines(project: Project) -> Project:
    """Return the project whose designs train no baselines: they are for judging a design, not a policy."""
    plain: dict[str, Asset] = {}
    for name, asset in project.assets.items():
        spec: Any = asset.spec
        plain[name] = replace(asset, spec=replace(spec, baselines=())) if asset.kind.word == "model" else asset
    return replace(project, assets=plain)


def _name(policy: str) -> str:
    return "policy-" + policy.replace(":", "-")

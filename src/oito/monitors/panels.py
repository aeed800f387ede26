"""What a monitor looks like: traffic, performance, drift, decisions and regret over its windows. Its figures are made in run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oito.catalog import versions
from oito.catalog.records import Version
from oito.flow.project import Asset
from oito.flow.site import ROWS, Site
from oito.monitors.spec import OnRegret
from oito.show import Badge, Block, Cell, Chart, Facts, Link, Series, Table, Text, Tone

if TYPE_CHECKING:
    import polars as pl

SHOWN_WINDOWS = 120
SHOWN_DECISIONS = 30
HEADLINES = ("roc_auc", "accuracy", "rmse")
TONES: Mapping[str, Tone] = {"good": "good", "alarm": "bad", "silent": "bad", "nothing served": "quiet"}
GRAVE = frozenset({"nulls", "unseen", "constant", "stuck", "unit", "zone"})


def asset_blocks(site: Site, asset: Asset, version: Version | None) -> list[Block]:
    """Return the windows up to the newest verdict, drift of the last one, and every decision, the noes too."""
    if version is None:
        return [Text("The monitor has not run yet: oito run " + asset.name, tone="quiet")]
    rows, figures = _recent(site, version, ROWS), _recent(site, version, "figures")
    blocks: list[Block] = [facts(version), *alarm_blocks(version)]
    if rows.height:
        blocks += [traffic(rows), loss(rows), *headline(figures), *_own(figures)]
        blocks += _regret(asset, rows)
    return [*blocks, drift_table(_last_drift(site, version)), decisions_table(history(site, asset.name))]


def version_blocks(site: Site, version: Version) -> list[Block]:
    """Return one verdict: its window, its alarms, its figures, and every column that was compared."""
    figures = version.record.get("figures", {})
    table = Table(["figure", "value"], [[name, value] for name, value in figures.items()], title="Figures")
    return [facts(version), *alarm_blocks(version), table, drift_table(_last_drift(site, version))]


def facts(version: Version) -> Facts:
    """Return the head of a verdict."""
    record = version.record
    status = str(record["status"])
    pairs: list[tuple[str, Cell]] = [
        ("status", Badge(status, TONES.get(status, "plain"))),
        ("window", " … ".join(record["window"])),
        ("model", Link(record["model"], f"/assets/{record['model']}")),
        ("predictions", record["rows"]),
        ("coverage", record["coverage"]),
        ("newest settled window", record.get("settled")),
        ("decision", record["decision"]["text"]),
    ]
    return Facts(pairs, title="Verdict")


def alarm_blocks(version: Version) -> list[Block]:
    """Return the alarms of a verdict, each with what its column is made by; nothing when there are none."""
    alarms = version.record["alarms"]
    if not alarms:
        return []
    rows: list[list[Cell]] = [
        [
            Badge(a["kind"], "bad"),
            a["text"],
            a["window"],
            _version_link(a.get("version")),
            Link(a["run"], f"/runs/{a['run']}"),
        ]
        for a in alarms
    ]
    return [Table(["alarm", "what", "window", "made by", "run"], rows, title="Alarms")]


def traffic(rows: pl.DataFrame) -> Chart:
    """Return predictions per window, and how many of them have their truth."""
    summed = rows.select("start", "rows", "labelled").group_by("start", maintain_order=True).sum()
    starts = summed["start"].to_list()
    series = [Series(name, starts, summed[name].to_list(), mark="bar") for name in ("rows", "labelled")]
    return Chart("Predictions, and those whose truth is known", series, x="window", y="rows")


def loss(rows: pl.DataFrame) -> Chart:
    """Return the loss of each window with truth, by model, with its interval, against the loss at acceptance."""
    known = rows.filter((rows["labelled"] > 0) & rows["is_settled"])
    series = [_loss_line(str(name), part) for (name,), part in known.group_by("model", maintain_order=True)]
    accepted = known["accepted"].to_list()
    return Chart("Loss per decision", series, x="window", y="loss", rule=accepted[-1] if accepted else None)


def _loss_line(name: str, part: pl.DataFrame) -> Series:
    reach = ((part["variance"] / part["labelled"]).sqrt() * 1.96).to_list()
    values = part["loss"].to_list()
    low = [value - each for value, each in zip(values, reach, strict=True)]
    high = [value + each for value, each in zip(values, reach, strict=True)]
    return Series(name, part["start"].to_list(), values, low, high, "line")


def headline(figures: pl.DataFrame) -> list[Block]:
    """Return the figure that people know, with its interval, beside the estimate without truth and the naive answer."""
    name = next((name for name in HEADLINES if name in set(figures["name"])), None)
    if name is None:
        return []
    own = figures.filter(figures["name"] == name)
    accepted = own["accepted"].drop_nulls().to_list()
    charts: list[Block] = [
        Chart(name, [_figure_line(name, own)], x="window", y=name, rule=accepted[-1] if accepted else None)
    ]
    compared = "accuracy" if "accuracy" in set(figures["name"]) else "mae"
    lines = [
        (compared, compared),
        ("accuracy_estimated", "estimated without truth"),
        ("same_as_last_time", "same as last time"),
    ]
    found = [(figures.filter(figures["name"] == key), title) for key, title in lines]
    series = [_figure_line(title, part) for part, title in found if part.height]
    return [*charts, Chart(f"{compared}, against simple answers", series, x="window", y=compared)]


def _figure_line(title: str, part: pl.DataFrame) -> Series:
    return Series(
        title, part["start"].to_list(), part["value"].to_list(), part["low"].to_list(), part["high"].to_list()
    )


def _own(figures: pl.DataFrame) -> list[Block]:
    own = figures.filter(figures["note"].is_in(["own", "served"]))
    return [
        Chart(str(name), [Series(str(name), part["start"].to_list(), part["value"].to_list())], x="window")
        for (name,), part in own.group_by("name", maintain_order=True)
    ]


def _regret(asset: Asset, rows: pl.DataFrame) -> list[Block]:
    rule = getattr(asset.spec, "retrain", None)
    if not isinstance(rule, OnRegret):
        return []
    parts = rows.filter(rows["regret"].is_not_null()).group_by("model", maintain_order=True)
    series = [
        Series(
            str(name),
            part["start"].to_list(),
            part["regret"].to_list(),
            part["regret"].to_list(),
            part["expected"].to_list(),
        )
        for (name,), part in parts
    ]
    return [Chart("Regret, and the price of a retraining", series, x="window", y="regret", rule=rule.price)]


def drift_table(drift: pl.DataFrame) -> Table:
    """Return the columns of one window, the most changed first, with a badge each."""
    columns = ["column", "state", "PSI", "at least", "p", "KS", "W1", "JS", "missing", "before", "what"]
    names = ("psi", "threshold", "p_adjusted", "ks", "w1", "js", "missing", "missing_reference", "text")
    rows = [[row["column"], _badge(row), *(row[name] for name in names)] for row in drift.to_dicts()]
    return Table(columns, rows, title="Columns in the last window", empty="nothing has been compared yet")


def _badge(row: Mapping[str, Any]) -> Badge:
    if not row["is_drifted"]:
        return Badge("same", "good")
    return Badge(row["cause"], "bad" if row["is_alarm"] else "warn")


def decisions_table(verdicts: Sequence[Version]) -> Table:
    """Return what each verdict decided, newest first, with the numbers it was decided on."""
    rows: list[list[Cell]] = []
    for version in verdicts:
        decision = version.record["decision"]
        numbers = decision["numbers"]
        state = Badge("retrain", "warn") if decision["retrain"] else Badge("no", "quiet")
        rows.append([_version_link(version.ref), version.record["window"][1], state, decision["text"],
                     numbers.get("regret"), numbers.get("price"), numbers.get("rows")])  # fmt: skip
    return Table(["verdict", "until", "retrain", "why", "regret", "price", "rows"], rows, title="Decisions")


def history(site: Site, name: str) -> list[Version]:
    """Return the newest verdicts that the environment made."""
    found = versions.listed(site.catalog.rows, name, limit=4 * SHOWN_DECISIONS)
    return [each for each in found if each.environment == site.environment][:SHOWN_DECISIONS]


def _version_link(ref: str | None) -> Cell:
    return Link(ref, f"/assets/{ref}") if ref else None


def _recent(site: Site, version: Version, table: str) -> pl.DataFrame:
    import polars as pl

    frame: pl.DataFrame = site.table(version, table, as_type=pl.DataFrame)
    starts = frame["start"].unique().sort().tail(SHOWN_WINDOWS)
    return frame.filter(pl.col("start") >= starts[0]).sort("start", maintain_order=True) if frame.height else frame


def _last_drift(site: Site, version: Version) -> pl.DataFrame:
    import polars as pl

    frame: pl.DataFrame = site.table(version, "drift", as_type=pl.DataFrame)
    return frame.filter(pl.col("start") == pl.col("start").max())

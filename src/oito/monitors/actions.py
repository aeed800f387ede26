"""What a person may ask of a monitor: its decisions, its alarms, its windows, and what became of each column."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from oito.catalog.records import Version
from oito.clock import text
from oito.errors import BadInput
from oito.flow.action import action
from oito.flow.site import ROWS, Site
from oito.monitors import panels
from oito.names import did_you_mean
from oito.show import Block, Page, Table, Text


@action("monitor decisions", group="monitors", page="/monitors/{asset}/decisions")
def decisions(site: Site, asset: str) -> Page:
    """Show every decision of a monitor with its numbers, those not to retrain too.

    Args:
        asset: a monitor.
    """
    _verdict(site, asset)
    verdicts = panels.history(site, asset)
    told = [
        {
            "verdict": v.ref,
            "window": v.record["window"],
            "decision": v.record["decision"],
            "asks": v.record.get("asks", {}),
        }
        for v in verdicts
    ]
    return Page(f"{asset}: decisions", [panels.decisions_table(verdicts)], {"asset": asset, "decisions": told})


@action("monitor alarms", group="monitors", page="/monitors/{asset}/alarms")
def alarms(site: Site, asset: str) -> Page:
    """Show what the newest verdicts of a monitor found wrong, each with the version and run that made the column.

    Args:
        asset: a monitor.
    """
    _verdict(site, asset)
    verdicts = panels.history(site, asset)
    blocks: list[Block] = [block for version in verdicts for block in panels.alarm_blocks(version)]
    told = [{"verdict": version.ref, **alarm} for version in verdicts for alarm in version.record["alarms"]]
    none = Text("No alarm in the newest verdicts.", tone="good")
    return Page(f"{asset}: alarms", blocks or [none], {"asset": asset, "alarms": told})


@action("monitor drift", group="monitors", page="/monitors/{asset}/drift")
def drift(site: Site, asset: str, *, column: str = "") -> Page:
    """Show what became of each column in the last window, or of one column over the windows.

    Args:
        asset: a monitor.
        column: one column, window by window.
    """
    import polars as pl

    version = _verdict(site, asset)
    frame: pl.DataFrame = site.table(version, "drift", as_type=pl.DataFrame)
    if not column:
        last = frame.filter(pl.col("start") == pl.col("start").max())
        return Page(f"{asset}: columns", [panels.drift_table(last)], {"asset": asset, "columns": _plain(last)})
    known = frame["column"].unique().to_list()
    if column not in known:
        raise BadInput(f"{asset} compares no column {column!r}", next=did_you_mean(column, known))
    own = frame.filter(pl.col("column") == column).sort("start", descending=True)
    names = ["start", "psi", "threshold", "p_adjusted", "missing", "cause", "text"]
    table = Table(names, [[text(row[0]), *row[1:]] for row in own.select(names).rows()], title=column)
    return Page(f"{asset}: {column}", [table], {"asset": asset, "column": column, "windows": _plain(own)})


@action("monitor windows", group="monitors", page="/monitors/{asset}/windows")
def windows(site: Site, asset: str) -> Page:
    """Show the windows of a monitor: traffic, coverage, loss against acceptance, and the regret after each.

    Args:
        asset: a monitor.
    """
    import polars as pl

    version = _verdict(site, asset)
    frame: pl.DataFrame = site.table(version, ROWS, as_type=pl.DataFrame).sort("start", descending=True)
    names = ["start", "model", "rows", "labelled", "loss", "accepted", "regret", "is_settled", "is_final"]
    rows = [[text(row[0]), *row[1:]] for row in frame.head(panels.SHOWN_WINDOWS).select(names).rows()]
    table = Table(names, rows, title="Windows, newest first", empty="nothing has been served yet")
    return Page(f"{asset}: windows", [table], {"asset": asset, "windows": _plain(frame)})


def _verdict(site: Site, name: str) -> Version:
    asset = site.project.asset(name)
    if asset.kind.word != "monitor":
        monitors = [each.name for each in site.project.assets.values() if each.kind.word == "monitor"]
        raise BadInput(
            f"{name} is no monitor", known=f"its kind is {asset.kind.word}", next=did_you_mean(name, monitors)
        )
    return site.catalog.find(name, site.environment)


def _plain(frame: Any) -> list[Mapping[str, Any]]:
    """Return the rows of a frame as JSON types."""
    return [
        {name: text(value) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in frame.to_dicts()
    ]

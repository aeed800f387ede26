"""What labels look like: balance over time, how late the truth comes, the queue and what people answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from oito.catalog import answers
from oito.catalog.records import Version
from oito.clock import text
from oito.errors import DataError
from oito.flow.project import Asset
from oito.flow.site import Site
from oito.labels.spec import LabelsSpec
from oito.show import Block, Cell, Chart, Facts, Form, Series, Table

if TYPE_CHECKING:
    import polars as pl

PERIODS = 40  # at most so many points on the balance chart
BINS = 30
SHOWN_CLASSES = 6


def asset_blocks(site: Site, asset: Asset, version: Version | None) -> list[Block]:
    """Return the queue and the answers, where people are asked."""
    if not isinstance(asset.spec, LabelsSpec) or not asset.spec.asks_people or version is None:
        return []
    from oito.labels import agreement, queue, votes

    left = queue.waiting(site, asset)
    history = answers.listed(site.catalog.rows, asset.name, history=True)
    cast = votes.ballots(history)
    people = sorted({answer.who for answer in history})
    blocks: list[Block] = [
        Facts(
            [("waiting", len(left)), ("answered", sum(b.decision is not None for b in cast.values())),
             ("ties", sum(b.is_tied for b in cast.values())), ("people", len(people))],
            title="People",
        )
    ]  # fmt: skip
    try:
        found = agreement.krippendorff([ballot.labels for ballot in cast.values()])
        blocks.append(Facts([("alpha", found.alpha), ("from", found.low), ("to", found.high)], title="Agreement"))
    except DataError:
        pass  # nobody's answers can be compared yet
    blocks.append(queue_table(queue.rows_of(site, asset, left[:10])))
    if left:
        values = {"asset": asset.name, "item": left[0][0]}
        blocks.append(Form("label give", values, title="Answer the first"))
    rows: list[list[Cell]] = [[a.at, a.who, a.item, a.label, a.note] for a in reversed(history[-20:])]
    blocks.append(
        Table(["at", "who", "item", "label", "note"], rows, title="Answers, newest first", empty="no answers")
    )
    return blocks


def version_blocks(site: Site, version: Version) -> list[Block]:
    """Return counts, the balance of classes over time, and the delay of the truth."""
    record = version.record
    rows: pl.DataFrame = site.table(version).collect()
    facts: list[tuple[str, Cell]] = [
        ("task", record["task"]), ("known", version.rows), ("not known", record["unknown"]),
        ("known before the question", record["early"]), ("asked from", record["time_from"]), ("to", record["time_to"]),
        ("known up to", record["known_to"]), ("typical delay in hours", record["delay_hours"]["0.5"]),
    ]  # fmt: skip
    facts += [(f"share of {record['classes'][1]}", record["positive_share"])] if record["positive_share"] else []
    blocks: list[Block] = [Facts(facts, title="Labels")]
    if rows.height:
        blocks += [_balance(rows, record), _delays(rows, record)]
    return blocks


def queue_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the waiting rows as a table, at most eight columns of theirs."""
    names = list(rows[0]) if rows else ["item"]
    names = ["item", "reason", *(name for name in names if name not in {"item", "reason"})][:10]
    cells = [[plain(row).get(name) for name in names] for row in rows]
    return Table(names, cells, title="Waiting", empty="nothing waits for people")


def item_facts(row: Mapping[str, Any]) -> Facts:
    """Return one waiting row as facts."""
    return Facts(list(plain(row).items()), title=str(row["item"]))


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with times as texts, and what JSON does not know as its text.

    Example:
        >>> plain({"day": date(2024, 1, 2), "n": 3})
        {'day': '2024-01-02', 'n': 3}
    """
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return text(value)
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _balance(rows: pl.DataFrame, record: Mapping[str, Any]) -> Chart:
    """Return the share of each class (or the mean) over the times of the questions."""
    import polars as pl

    time, label = record["time"], record["label"]
    span = rows[time].max() - rows[time].min()
    days = max(1, -(-span.days // PERIODS))
    periods = rows.sort(time).group_by_dynamic(time, every=f"{days}d")
    if record["task"] != "classification":
        mean = periods.agg(pl.col(label).mean())
        series = [Series(label, mean[time].to_list(), mean[label].to_list())]
        return Chart(f"Mean of {label} over time", series, x=time, y=label)
    shown = record["classes"][1:] if len(record["classes"]) == 2 else record["classes"][:SHOWN_CLASSES]
    shares = periods.agg((pl.col(label) == value).mean().alias(f"{n}") for n, value in enumerate(shown))
    series = [Series(str(value), shares[time].to_list(), shares[f"{n}"].to_list()) for n, value in enumerate(shown)]
    return Chart("Balance over time", series, x=time, y="share")


def _delays(rows: pl.DataFrame, record: Mapping[str, Any]) -> Chart:
    """Return how many labels became known after how many hours, up to the delay of 99 in 100."""
    import numpy as np

    hours = ((rows[record["known_at"]] - rows[record["time"]]).dt.total_seconds() / 3600).to_numpy()
    top = float(np.quantile(hours, 0.99))
    bottom = min(float(hours.min()), 0.0)
    counts, edges = np.histogram(hours, bins=BINS, range=(bottom, top if top > bottom else bottom + 1.0))
    series = Series("labels", [round(float(edge), 3) for edge in edges[:-1]], [float(n) for n in counts], mark="bar")
    return Chart("How late the truth comes", [series], x="hours after the question", y="labels")

"""What a data set looks like on a page: its checks with the rows that broke them, its columns, its rows over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oito.catalog import versions
from oito.show import Badge, Block, Cell, Chart, Series, Table, Tone

if TYPE_CHECKING:
    from oito.catalog.records import Version
    from oito.flow.project import Asset
    from oito.flow.site import Site

_TONES: Mapping[str, Tone] = {
    "passed": "good", "failed": "bad", "warned": "warn", "quarantined": "warn", "untested": "quiet",
}  # fmt: skip
_BARS = " ▁▂▃▄▅▆▇█"
_BAR_WIDTH = 8
_SAMPLE_ROWS = 10


def asset_blocks(site: Site, asset: Asset, version: Version | None) -> list[Block]:
    """Return the rows over the versions, and the checks and columns of the version that counts."""
    listed = [each for each in reversed(versions.listed(site.catalog.rows, asset.name)) if each.rows is not None]
    good = [each for each in listed if each.state == "ok"]
    blocks: list[Block] = []
    if len(good) > 1:
        lines = [Series("rows", [each.number for each in good], [each.rows for each in good], mark="step")]
        if any(each.record.get("set_aside") for each in good):
            aside = [float(each.record.get("set_aside", 0)) for each in good]
            lines.append(Series("set aside", [each.number for each in good], aside, mark="step"))
        blocks.append(Chart(f"Rows of {asset.name}", lines, x="version", y="rows"))
    if listed and listed[-1].state == "broken":
        blocks = [checks_table(listed[-1], title=f"{listed[-1].ref} is broken: no pointer moved to it"), *blocks]
    return blocks + (version_blocks(site, version) if version else [])


def version_blocks(site: Site, version: Version) -> list[Block]:
    """Return the checks, the rows that broke them or were set aside, and the columns of one version."""
    blocks: list[Block] = []
    if version.record.get("checks"):
        blocks.append(checks_table(version))
        blocks += samples(version.record["checks"])
    if "quarantine" in version.tables:
        title = f"Set aside: {version.record.get('set_aside', 0):,} rows"
        blocks.append(rows_table(first_rows(site, version, "quarantine", _SAMPLE_ROWS), title))
    if version.record.get("profile"):
        blocks.append(columns_table(version.record["profile"]))
    return blocks


def checks_table(version: Version, *, title: str = "Checks") -> Table:
    """Return each check with its state and how many rows broke it."""
    rows = [_check_row(check) for check in version.record.get("checks", [])]
    return Table(("check", "state", "broken", "of rows", "when broken", "why"), rows, title, "no checks are declared")


def samples(checks: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return, for each broken check, the first rows that broke it."""
    return [
        rows_table(check["samples"], f"First rows that broke “{check['text']}”")
        for check in checks
        if check["broken"] and check["samples"]
    ]


def columns_table(profile: Mapping[str, Any]) -> Table:
    """Return what each column holds, one row per column, with a small picture of its shape."""
    rows = [_column_row(column, profile["rows"]) for column in profile["columns"]]
    heads = ("column", "type", "missing", "distinct", "min", "max", "mean", "shape", "most frequent")
    return Table(heads, rows, f"Columns ({profile['rows']:,} rows)")


def rows_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Return rows as a table; nested values become text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table(names, [[_cell(row.get(name)) for name in names] for row in rows], title)


def first_rows(site: Site, version: Version, name: str, limit: int) -> list[dict[str, Any]]:
    """Return the first rows of one table of a version, as plain data."""
    from oito.datasets.profile import plain_value

    return [plain_value(row) for row in site.table(version, name).head(limit).collect().to_dicts()]


def sketch(counts: Sequence[int]) -> str:
    """Return a histogram as a line of bars; a bin that is not empty shows at least the lowest one.

    Example:
        >>> sketch([0, 1, 4, 8])
        ' ▁▄█'
    """
    top = max(counts, default=0) or 1
    return "".join(_BARS[0 if not count else max(1, round(count / top * 8))] for count in counts)


def share_bar(share: float) -> str:
    """Return a share as a bar of eight signs with its percentage; nothing when it is nothing.

    Example:
        >>> share_bar(0.5), share_bar(0.0)
        ('████░░░░ 50.0%', '0')
    """
    if not share:
        return "0"
    full = max(1, round(share * _BAR_WIDTH))
    return "█" * full + "░" * (_BAR_WIDTH - full) + f" {share:.1%}"


def _check_row(check: Mapping[str, Any]) -> list[Cell]:
    state = str(check["state"])
    broken = None if check["reason"] else check["broken"]
    return [
        check["text"],
        Badge(state, _TONES[state]),
        broken,
        check["rows"],
        check["severity"],
        check["reason"] or None,
    ]


def _column_row(column: Mapping[str, Any], rows: int) -> list[Cell]:
    frequent = ", ".join(f"{_cell(value)} ({count:,})" for value, count in column.get("top", [])[:3])
    return [
        column["name"], column["dtype"], share_bar(column["missing"] / rows) if rows else None, column["distinct"],
        _cell(column["min"]), _cell(column["max"]), column.get("mean"), sketch(column.get("histogram", [])) or None,
        frequent or None,
    ]  # fmt: skip


def _cell(value: Any) -> Cell:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)

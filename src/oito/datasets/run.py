"""What happens when a dataset is made: the rows from Python or SQL, what does not fit set aside, checked and profiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from oito.catalog.records import Version
from oito.datasets import checks as checking
from oito.datasets import profile as profiling
from oito.datasets.checks import Result
from oito.datasets.spec import Check, DatasetSpec
from oito.errors import BadInput, CheckFailed, StepFailed
from oito.flow.site import Context, Made
from oito.storage import frames

QUARANTINE = "quarantine"
BROKEN = "broken"
_SHOWN_ROWS = 1_000  # broken rows that a failed version keeps with their reason


@dataclass(frozen=True)
class Examined:
    """A table after its checks: the rows that stay, those set aside, and what became of each check, the key's first."""

    rows: pl.DataFrame
    aside: pl.DataFrame
    results: tuple[Result, ...]

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.results if result.state == "failed"]


def make(context: Context) -> Made:
    """Return the dataset's next version with its checks and profile; a failed check makes it a broken one."""
    spec = _spec(context)
    examined = examine(_rows(context), spec)
    found = examined.failed
    context.say(f"{examined.rows.height} rows, {examined.aside.height} set aside, {len(found)} checks failed")
    extra = {QUARANTINE: examined.aside} if examined.aside.height else {}
    if found:
        shown = _broken_rows(examined.rows, [result.check for result in found])
        extra |= {BROKEN: shown} if shown.height else {}
    return Made(
        frame=examined.rows,
        frames=extra,
        record={
            "key": list(spec.key),
            "checks": [_told(result) for result in examined.results],
            "set_aside": examined.aside.height,
            "profile": profiling.profile(examined.rows),
        },
        metrics={
            "rows": examined.rows.height,
            "set_aside": examined.aside.height,
            "checks_failed": len(found),
            "checks_warned": sum(result.state == "warned" for result in examined.results),
        },
        broken=_failure(context, spec, found) if found else None,
    )


def describe(context: Context, rows: pl.DataFrame, parts: Sequence[Version]) -> Made:
    """Return what holds of a dataset as the whole of its partitions, each of which was checked when it was made.

    What is promised of rows beside each other, the key and uniqueness, is looked at once more over all of them.
    """
    spec = _spec(context)
    beside = tuple(check for check in spec.checks if check.rule == "unique")
    examined = examine(rows, DatasetSpec(key=spec.key, checks=beside))
    found = examined.failed
    told = _together([part.record["checks"] for part in parts])
    told |= {each["text"]: each for result in examined.results if (each := _told(result))}
    return Made(
        record={
            "key": list(spec.key),
            "checks": list(told.values()),
            "set_aside": sum(part.record["set_aside"] for part in parts),
            "profile": profiling.profile(rows),
        },
        metrics={
            "rows": rows.height,
            "set_aside": sum(part.record["set_aside"] for part in parts),
            "checks_failed": len(found),
            "checks_warned": sum(each["state"] == "warned" for each in told.values()),
        },
        broken=_failure(context, spec, found) if found else None,
    )


def examine(rows: pl.DataFrame, spec: DatasetSpec) -> Examined:
    """Return the table held against its key and checks; rows are set aside first, the other checks see what is left.

    Example:
        >>> from oito.datasets.spec import between
        >>> spec = DatasetSpec(checks=(between("fare", 0, None, severity="quarantine"),))
        >>> done = examine(pl.DataFrame({"fare": [3, -1]}), spec)
        >>> done.rows.height, done.aside.height, done.results[0].state
        (1, 1, 'quarantined')
    """
    aside = rows.clear().with_columns(pl.lit("").alias(checking.REASON))
    first = [check for check in spec.checks if check.severity == "quarantine"]
    found = dict(zip(map(id, first), checking.measure(rows, first), strict=True)) if first else {}
    if any(result.broken for result in found.values()):
        rows, aside = checking.split(rows, first)
    others = [check for check in spec.checks if check.severity != "quarantine"]
    keys = [Check("key", spec.key)] if spec.key else []
    measured = checking.measure(rows, [*keys, *others])
    found |= dict(zip(map(id, others), measured[len(keys) :], strict=True))
    return Examined(rows, aside, (*measured[: len(keys)], *(found[id(check)] for check in spec.checks)))


def _spec(context: Context) -> DatasetSpec:
    spec = context.asset.spec
    assert isinstance(spec, DatasetSpec)
    return spec


def _rows(context: Context) -> pl.DataFrame:
    """Return what the function or the query gives, in the types that are stored."""
    asset = context.asset
    if asset.function is None:
        from oito.datasets import sql

        given: Any = sql.run(context)
    else:
        given = context.call()
    try:
        rows = context.collected(frames.to_frame(given))
    except BadInput as error:
        raise StepFailed(
            f"{asset.name} returned no table: {error.what}",
            where=f"{asset.place} {error.where}".strip(),
            known=error.known,
            next=error.next,
        ) from error
    if not rows.width:
        raise StepFailed(
            f"{asset.name} returned a table without columns",
            where=asset.place,
            next="return an empty frame with its columns named and typed",
        )
    return rows


def _broken_rows(rows: pl.DataFrame, checks: Sequence[Check]) -> pl.DataFrame:
    return checking.split(rows, checks)[1].head(_SHOWN_ROWS).rename({checking.REASON: "broke"})


def _told(result: Result) -> dict[str, Any]:
    """Return a result as the record keeps it."""
    return {
        "text": result.check.text, "rule": result.check.rule, "columns": list(result.check.columns),
        "severity": result.check.severity, "share": result.check.share, "state": result.state, "rows": result.rows,
        "broken": result.broken, "reason": result.reason, "samples": [profiling.plain_value(s) for s in result.samples],
    }  # fmt: skip


def _together(parts: Sequence[Sequence[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the checks of all partitions, by text: rows added up, the state of those that kept it least."""
    found: dict[str, dict[str, Any]] = {}
    for each in (check for checks in parts for check in checks):
        before = found.get(each["text"])
        if before is None:
            found[each["text"]] = dict(each)
            continue
        worse = each if each["broken"] and not before["broken"] else before
        counts = {name: before[name] + each[name] for name in ("rows", "broken")}
        found[each["text"]] = {**worse, **counts}
    return found


def _failure(context: Context, spec: DatasetSpec, failed: Sequence[Result]) -> CheckFailed:
    """Return the error of a broken version: what broke in how many rows, where, what still holds, and what to do."""
    name, worst = context.asset.name, failed[0]
    more = [f'also broke "{each.check.text}"{_extent(each)}' for each in failed[1:]]
    last = context.previous
    known = f"last good version {last.ref} ({last.rows or 0:,} rows)" if last else "no version is good yet"
    sample = _sample(worst, spec)
    return CheckFailed(
        f'{name} broke "{worst.check.text}"{_extent(worst)}',
        where="\n".join([context.asset.place + (f"; first bad row {sample}" if sample else ""), *more]),
        known=f"{known}; the broken one is kept, and no pointer moved",
        next=f"oito dataset rows {name} --broken     or change the check at {context.asset.place}",
    )


def _extent(result: Result) -> str:
    if result.reason:
        return f": {result.reason}"
    if result.check.rule == "row_count":
        return f": it has {result.rows:,}"
    return f" in {result.broken:,} of {result.rows:,} rows"


def _sample(result: Result, spec: DatasetSpec) -> str:
    """Return the first bad row's key and checked columns."""
    if not result.samples:
        return ""
    names = dict.fromkeys((*spec.key, *result.check.columns))
    row = result.samples[0]
    return ", ".join(f"{name}={profiling.plain_value(row[name])!r}" for name in names if name in row)

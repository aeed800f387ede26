"""What one may declare of a dataset: a transformation in Python or SQL, and the checks its rows must pass."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, overload

from oito.flow.declare import Decorator, declared
from oito.flow.dimensions import Dimension, cuts_of
from oito.flow.kind import Kind, Spec
from oito.flow.schedules.schedule import Missed

F = TypeVar("F", bound=Callable[..., Any])
Severity = Literal["fail", "warn", "quarantine"]
Scalar = str | int | float | bool


@dataclass(frozen=True)
class Check:
    """A promise about rows. `rule` says which, the other fields what it needs; `share` of the rows must keep it.

    What happens when it is broken is the `severity`: `fail` (the version is kept for looking at, and no pointer reaches
    it), `warn` (it is told), `quarantine` (the rows are set aside; with a `share` below 1, more of them than that is a
    failure). A check that cannot be applied, because its column vanished or has another type, is broken.
    """

    rule: str
    columns: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    values: tuple[Scalar, ...] = ()
    pattern: str = ""
    severity: Severity = "fail"
    share: float = 1.0

    @property
    def text(self) -> str:
        """The promise in words, as errors and pages show it."""
        names = ", ".join(self.columns)
        low, high = _number(self.low), _number(self.high)
        words = {
            "not_null": f"{names} is never missing",
            "key": f"{names} names one row, and is never missing",
            "between": f"{names} is between {low or '-∞'} and {high or '∞'}",
            "unique": f"{names} is unique",
            "one_of": f"{names} is one of {', '.join(map(str, self.values))}",
            "matches": f"{names} matches {self.pattern!r}",
            "row_count": f"it has between {low or '0'} and {high or '∞'} rows",
        }
        often = "" if self.share == 1.0 else f" in {self.share:.1%} of the rows"
        return words[self.rule] + often


def _number(bound: float | None) -> str:
    """Return a bound in few digits when they say all of it; "" is no bound."""
    if bound is None:
        return ""
    return short if float(short := f"{bound:g}") == bound else repr(bound)


def not_null(*columns: str, severity: Severity = "fail", share: float = 1.0) -> Check:
    """Promise that the columns hold a value in every row; NaN counts as missing.

    Example:
        >>> not_null("origin", "dest").text
        'origin, dest is never missing'
    """
    return Check("not_null", columns, severity=severity, share=share)


def between(
    column: str, low: float | None, high: float | None, *, severity: Severity = "fail", share: float = 1.0
) -> Check:
    """Promise that a number lies in [low, high], both ends included; None is no bound, and missing values (null, NaN) pass.

    Example:
        >>> between("distance", 0, 6000).text
        'distance is between 0 and 6000'
    """
    return Check("between", (column,), low=low, high=high, severity=severity, share=share)


def unique(*columns: str, severity: Severity = "fail") -> Check:
    """Promise that no two rows have the same values in the columns; rows with a missing one are not compared.

    Each row that repeats an earlier one breaks it.
    """
    return Check("unique", columns, severity=severity)


def one_of(column: str, values: Sequence[Scalar], *, severity: Severity = "fail", share: float = 1.0) -> Check:
    """Promise that a column holds only these values; missing values pass."""
    return Check("one_of", (column,), values=tuple(values), severity=severity, share=share)


def matches(column: str, pattern: str, *, severity: Severity = "fail", share: float = 1.0) -> Check:
    """Promise that a text matches a regular expression somewhere; missing values pass."""
    return Check("matches", (column,), pattern=pattern, severity=severity, share=share)


def row_count(low: int | None = None, high: int | None = None, *, severity: Severity = "fail") -> Check:
    """Promise how many rows there are, both ends included."""
    return Check("row_count", low=low, high=high, severity=severity)


_RANDOM = re.compile(r"\b(?:random|uuid\w*|gen_random_uuid|setseed|sample|tablesample)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A dataset's declaration; `query` holds the SQL of one that has no function, `file` the place it was read from."""

    key: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    partition: tuple[Dimension, ...] = ()  # what the rows are cut by
    query: str = ""
    file: str = ""
    unreadable: str = ""  # why the SQL file could not be read

    word: ClassVar[str] = "dataset"
    may_be_mapped: ClassVar[bool] = True

    @property
    def needs_function(self) -> bool:
        return not (self.query or self.file)

    @property
    def is_random(self) -> bool:  # type: ignore[override]  # a query draws from the project's seed only where it says so
        return _RANDOM.search(self.query) is not None

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]  # who runs a query can change its result
        return () if self.needs_function else ("duckdb",)

    @property
    def tables(self) -> tuple[str, ...]:
        """The names that the SQL reads from: each is an asset that is needed."""
        plain = re.sub(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", " ", self.query, flags=re.S)
        made_here = {
            name.lower() for name in re.findall(r"(?:\bwith|,|\brecursive)\s+(\w+)\s+as\s*\(", plain, flags=re.I)
        }
        read = re.findall(r"\b(?:from|join)\s+(\w+)\b(?!\s*[.(])", plain, flags=re.I)
        return tuple(dict.fromkeys(name for name in read if name.lower() not in made_here))

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.unreadable:
            yield self.unreadable
        for check in self.checks:
            yield from _faults(check)

    def identity(self) -> dict[str, Any]:
        """Return what changes the result: the text of a query, not the file it stands in."""
        return {name: value for name, value in super().identity().items() if name not in {"file", "unreadable"}}


class _Dataset:
    """`oito.dataset`: the decorator, and `oito.dataset.sql`."""

    @overload
    def __call__(self, function: F, /) -> F: ...
    @overload
    def __call__(
        self,
        *,
        key: str | tuple[str, ...] = (),
        checks: Sequence[Check] = (),
        partition: Dimension | tuple[Dimension, ...] = (),
        every: str | None = None,
        cron: str | None = None,
        after: Literal["", "inputs"] = "",
        missed: Literal["", Missed] = "",
        retries: int = 0,
        timeout: str | None = None,
        memory: str | None = None,
        reads: tuple[str, ...] = (),
        env: tuple[str, ...] = (),
        version: str = "",
        description: str = "",
    ) -> Decorator: ...
    def __call__(self, *function: Any, **fields: Any) -> Any:
        """Declare a transformation: parameters are assets by name, the result is a table of any of the supported types.

        Args:
            key: columns that name a row; two rows of one key are an error.
            checks: promises about the rows, such as `oito.not_null("origin")`.
            partition: what the rows are cut by, such as `oito.Day.of("time")`: who takes `*, day: oito.Day` reads one key.
            every, cron: when it runs by itself in production, such as "1h" or "0 6 * * *"; after: "inputs" runs it as soon as an
                input has moved; missed: what becomes of ticks at which nobody was there, "once", "skip" or "all".
            reads: files that the function reads by itself; env: variables that it reads by itself.
            version: change it to force a re-run.

        Example:
            >>> @dataset(key="flight_id", checks=[between("distance", 0, 6000)])
            ... def departures(flights): return flights
        """
        return _made(function, fields)

    def sql(
        self,
        file: str = "",
        *,
        query: str = "",
        key: str | tuple[str, ...] = (),
        checks: Sequence[Check] = (),
        partition: Dimension | tuple[Dimension, ...] = (),
        every: str | None = None,
        cron: str | None = None,
        after: Literal["", "inputs"] = "",
        missed: Literal["", Missed] = "",
        description: str = "",
    ) -> Decorator:
        """Declare a transformation in SQL, run by DuckDB; the tables it reads from are assets, by name.

        Args:
            file: path of a `.sql` file, relative to the module that declares it.
            query: the SQL itself, instead of a file.
            every, cron, after, missed: when it runs by itself, as with `dataset`.

        Example:
            >>> busy = dataset.sql(query="SELECT origin, count(*) AS n FROM departures GROUP BY origin")
        """
        unreadable = ""
        if file:
            path = Path(sys._getframe(1).f_code.co_filename).parent / file
            try:
                query = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                unreadable = f"the SQL file {path} cannot be read: {getattr(error, 'strerror', None) or error}"
        return Decorator(
            DatasetSpec(
                key=_names(key), checks=tuple(checks), partition=cuts_of(partition), query=query, file=file, unreadable=unreadable,
                every=every, cron=cron, after=after, missed=missed, description=description,
            )
        )  # fmt: skip


def _names(key: str | tuple[str, ...]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key)


def _faults(check: Any) -> Iterator[str]:
    if not isinstance(check, Check):
        yield f"{check!r} is no check"
        return
    if check.severity not in {"fail", "warn", "quarantine"}:
        yield f"severity is {check.severity!r}; it is fail, warn or quarantine"
    if check.severity == "quarantine" and check.rule == "row_count":
        yield "row_count cannot quarantine: no single row breaks it"
    if not 0 <= check.share <= 1:
        yield f"{check.rule}: share is {check.share!r}; it lies between 0 and 1"
    if not check.columns and check.rule != "row_count":
        yield f"{check.rule} names no column"
    if check.rule in {"between", "row_count"}:
        yield from _bound_faults(check)


def _bound_faults(check: Check) -> Iterator[str]:
    bounds = [bound for bound in (check.low, check.high) if bound is not None]
    if any(isinstance(bound, bool) or not isinstance(bound, int | float) or bound != bound for bound in bounds):
        yield f"{check.rule}: {check.low!r} and {check.high!r} are no bounds; they are numbers or None"
    elif len(bounds) == 2 and bounds[0] > bounds[1]:
        yield f"{check.rule}: {check.low!r} is above {check.high!r}, so no row can keep it"


def _made(function: tuple[Any, ...], fields: dict[str, Any]) -> Any:
    fields = {**fields, "key": _names(fields.get("key", ())), "checks": tuple(fields.get("checks", ()))}
    fields["partition"] = cuts_of(fields.get("partition", ()))
    spec = DatasetSpec(**fields)
    return declared(spec, function[0]) if function else Decorator(spec)


dataset = _Dataset()

KIND = Kind(
    "dataset", "datasets", DatasetSpec, "A transformation in Python or SQL, and checks of its rows.", "oito.datasets"
)

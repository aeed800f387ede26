"""What one may declare of a source: rows from outside, collected as the clock advances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, overload

from oito.errors import BadInput
from oito.flow.declare import Decorator, declared
from oito.flow.dimensions import Dimension, cuts_of
from oito.flow.kind import Kind, Spec
from oito.flow.schedules.schedule import Missed
from oito.names import duration

F = TypeVar("F", bound=Callable[..., Any])
Contract = Literal["evolve", "quarantine", "freeze"]


@dataclass(frozen=True)
class FilesReader:
    """Reads every file that fits a pattern, relative to the project's folder."""

    pattern: str
    null_values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SourceSpec(Spec):
    """A source's declaration; see `source` for what each field means."""

    key: tuple[str, ...] = ()
    cursor: str | None = None
    known_at: str | None = None
    overlap: str | int = "3d"
    contract: Contract = "evolve"
    partition: tuple[Dimension, ...] = ()  # what the rows are cut by
    reader: FilesReader | None = None

    word: ClassVar[str] = "source"
    given: ClassVar[tuple[str, ...]] = ("since", "until")
    takes_assets: ClassVar[bool] = False
    is_external: ClassVar[bool] = True

    @property
    def needs_function(self) -> bool:
        return self.reader is None

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        try:
            if isinstance(self.overlap, str):
                duration(self.overlap)
            elif self.overlap < 0:
                yield "overlap is negative"
        except BadInput as error:
            yield f"overlap: {error.what} ({error.next}, or a number for a cursor of numbers)"
        if self.contract not in {"evolve", "quarantine", "freeze"}:
            yield f"contract is {self.contract!r}; it is evolve, quarantine or freeze"


class _Source:
    """`oito.source`: the decorator, and the ready-made sources below it."""

    @overload
    def __call__(self, function: F, /) -> F: ...
    @overload
    def __call__(
        self,
        *,
        key: str | tuple[str, ...] = (),
        cursor: str | None = None,
        known_at: str | None = None,
        overlap: str | int = "3d",
        contract: Contract = "evolve",
        partition: Dimension | tuple[Dimension, ...] = (),
        every: str | None = None,
        cron: str | None = None,
        missed: Literal["", Missed] = "",
        retries: int = 0,
        timeout: str | None = None,
        memory: str | None = None,
        version: str = "",
        description: str = "",
    ) -> Decorator: ...
    def __call__(self, *function: Any, **fields: Any) -> Any:
        """Declare a function that returns rows from outside: `def flights(since)` or `def flights(since, until)`.

        The function may return any table, or yield several of them, such as pages. With a key, rows are added and
        replaced; with a cursor alone, rows that are equal in every column are one row; with neither, what it returns is
        the whole each time.

        Args:
            key: columns that name a row; a row collected again with the same key replaces the one before, and of several
                in one collection the one with the greatest cursor counts, then the last.
            cursor: the column that grows with time; `since` is its newest value minus `overlap`, None the first time.
            known_at: the column of the moment when a row becomes known; rows of the future are left for later, and rows
                without that moment are set aside.
            overlap: how far behind the cursor rows are asked for again, so that late ones are not lost: a duration, or a
                number when the cursor is one.
            contract: what happens when a column changes its type: `evolve` (new columns and wider numbers come in, rows
                that do not fit are set aside), `quarantine` (new columns are set aside too), `freeze` (an error).
            partition: what the rows are cut by, such as `oito.Day.of("scheduled")`: who takes `*, day: oito.Day` reads one
                key, and a late row makes just its own partition stale.
            every, cron: when the outside is asked, such as "1h" or "0 6 * * *"; without either, at each run.
            missed: what becomes of ticks at which nobody was there, "once", "skip" or "all".

        Example:
            >>> @source(key="flight_id", cursor="scheduled", every="1h")
            ... def flights(since): ...
        """
        key = fields.pop("key", ())
        fields["partition"] = cuts_of(fields.get("partition", ()))
        spec = SourceSpec(key=(key,) if isinstance(key, str) else tuple(key), **fields)
        return declared(spec, function[0]) if function else Decorator(spec)

    def files(
        self,
        pattern: str,
        *,
        key: str | tuple[str, ...] = (),
        cursor: str | None = None,
        known_at: str | None = None,
        overlap: str | int = "3d",
        contract: Contract = "evolve",
        partition: Dimension | tuple[Dimension, ...] = (),
        every: str | None = None,
        cron: str | None = None,
        missed: Literal["", Missed] = "",
        null_values: tuple[str, ...] = ("", "NA"),
        description: str = "",
    ) -> Decorator:
        """Declare a source of files: CSV, JSON lines, Parquet or Arrow, by their ending; `*` and `**` in the pattern.

        Args:
            pattern: path relative to the project's folder, such as `"weather/*.csv"`.
            cursor: the column that grows with time; rows beyond the clock's now are left for later.
            null_values: texts that stand for "no value" in CSV files.

        Example:
            >>> weather = source.files("weather/*.csv", cursor="time_hour")
        """
        spec = SourceSpec(
            key=(key,) if isinstance(key, str) else tuple(key),
            cursor=cursor,
            known_at=known_at or cursor,
            overlap=overlap,
            contract=contract,
            partition=cuts_of(partition),
            every=every,
            cron=cron,
            missed=missed,
            description=description,
            reader=FilesReader(pattern, tuple(null_values)),
        )
        return Decorator(spec)


source = _Source()

KIND = Kind(
    "source",
    "sources",
    SourceSpec,
    "Rows from outside, collected as the clock advances.",
    "oito.sources",
    probe="probe",
)

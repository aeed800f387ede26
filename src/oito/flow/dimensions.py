"""How partitions are declared: hours, days, months and keys, as a function takes them or as rows are cut by them.

Two ways to have them. An asset is *cut*: `partition=oito.Day.of("at")` says by which columns of its rows; it is made whole,
and each key's rows have a digest. An asset is *mapped*: its function takes `*, day: oito.Day` and makes one key at a time,
from the same key of what it needs; the whole is what all of them are together.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import unquote

from oito.clock import FORMATS, span
from oito.errors import DeclarationError
from oito.names import duration, escaped


@dataclass(frozen=True)
class Dimension:
    """One way that an asset is cut; `column` is that of a cut asset, `given` the keys that a mapped one declares."""

    name: str
    unit: str
    column: str = ""
    given: Given | None = None

    def data(self) -> list[str]:
        """Return the dimension as a version keeps it."""
        return [self.name, self.unit, self.column]


@dataclass(frozen=True)
class Given:
    """The keys of a dimension as declared: values, or every hour, day or month from `since` to `until`, or to now.

    It says which partitions there are, not what is in one: no partition's fingerprint holds it.
    """

    unit: str
    values: tuple[str, ...] = ()
    since: str = ""
    until: str = ""

    def __getstate__(self) -> None:
        return None

    def keys(self, now: datetime) -> list[str]:
        """Return the keys there are at a moment; a span of time counts once it is over."""
        if not self.since:
            return list(self.values)
        end = min(now, span(self.unit, self.until)[1]) if self.until else now
        found, (start, after) = [], span(self.unit, self.since)
        while after <= end:
            found.append(start.strftime(FORMATS[self.unit]))
            start, after = span(self.unit, after.strftime(FORMATS[self.unit]))
        return found


class Partition(str):
    """The key of one partition, as text."""

    unit: ClassVar[str] = "key"

    @classmethod
    def of(cls, column: str, *, name: str = "") -> Dimension:
        """Cut the rows of an asset by a column: `partition=oito.Day.of("scheduled_departure")`.

        Args:
            column: of moments, or for `Key` of any values that can be written as text; none may be missing.
            name: the parameter by which others take one partition; by default `day`, `hour`, `month`, or the column of a key.
        """
        return Dimension(name or (column if cls.unit == "key" else cls.unit), cls.unit, column)


class _Span(Partition):
    def __new__(cls, written: str) -> Self:
        span(cls.unit, written)
        return super().__new__(cls, written)

    @property
    def start(self) -> datetime:
        """The first moment, UTC."""
        return span(self.unit, self)[0]

    @property
    def end(self) -> datetime:
        """The first moment that is not in it any more, UTC."""
        return span(self.unit, self)[1]

    @classmethod
    def since(cls, first: str, *, until: str = "") -> Self:
        """Declare which partitions there are: `*, day: oito.Day = oito.Day.since("2013-01-01")`.

        Args:
            first: the first of them.
            until: the last of them; without it there is one more whenever one is over.
        """
        for written in filter(None, (first, until)):
            span(cls.unit, written)
        return Given(cls.unit, since=first, until=until)  # type: ignore[return-value]  # it stands for the value that it describes


class Hour(_Span):
    """An hour of UTC, as `2013-11-01T06`, with its `start` and `end`.

    Example:
        >>> Hour("2013-11-01T06").end.hour
        7
    """

    unit = "hour"


class Day(_Span):
    """A day of UTC, as `2013-11-01`, with its `start` and `end`.

    Example:
        >>> Day("2013-11-01").end - Day("2013-11-01").start
        datetime.timedelta(days=1)
    """

    unit = "day"


class Month(_Span):
    """A month of UTC, as `2013-11`, with its `start` and `end`.

    Example:
        >>> Month("2013-12").end.year
        2014
    """

    unit = "month"


class Key(Partition):
    """Any value that rows are cut by, as text.

    Example:
        >>> Key("UA")
        'UA'
    """

    @classmethod
    def among(cls, *values: str) -> Self:
        """Declare which partitions there are: `*, region: oito.Key = oito.Key.among("north", "south")`."""
        if not values or not all(isinstance(value, str) and value for value in values):
            raise DeclarationError("Key.among takes the keys as texts", next='oito.Key.among("north", "south")')
        return Given(cls.unit, values=tuple(dict.fromkeys(map(escaped, values))))  # type: ignore[return-value]  # as above


PARTITIONS: dict[str, type[Partition]] = {each.unit: each for each in (Hour, Day, Month, Key)}


@dataclass(frozen=True)
class Window:
    """Hands a mapped function more than its own partition: `Annotated[pl.LazyFrame, oito.Window("28d")]` is that long a
    time up to the end of its hour, day or month, itself included.

    Example:
        >>> Window("28d").length.days
        28
    """

    span: str

    def __post_init__(self) -> None:
        if self.length <= timedelta():
            raise DeclarationError(f"a window of {self.span} is no time at all", next='oito.Window("28d")')

    @property
    def length(self) -> timedelta:
        return duration(self.span)


def cuts_of(partition: Dimension | tuple[Dimension, ...]) -> tuple[Dimension, ...]:
    """Return what `partition=` names as a tuple.

    Raises:
        DeclarationError: it is something else.
    """
    found = partition if isinstance(partition, tuple) else (partition,)
    for each in found:
        if not isinstance(each, Dimension):
            raise DeclarationError(f"partition={each!r} says no column to cut by", next='partition=oito.Day.of("time")')
    return found


def arguments(dimensions: Sequence[Dimension], key: str) -> dict[str, Partition]:
    """Return what a mapped function is given for one key, by parameter."""
    return {
        each.name: PARTITIONS[each.unit](unquote(text)) for each, text in zip(dimensions, key.split("/"), strict=True)
    }


def named(asset: str, key: str) -> str:
    """Return the name under which one partition's versions stand.

    Example:
        >>> named("daily", "2013-11-01")
        'daily[2013-11-01]'
    """
    return f"{asset}[{key}]"


Fault = tuple[str, str, str]  # what is wrong, what is known, what to do next


def is_partition(annotation: Any) -> bool:
    """Say whether a parameter of that type takes a partition."""
    return isinstance(annotation, type) and issubclass(annotation, Partition)


def dimension_of(
    asset: str, parameter: inspect.Parameter, annotation: type[Partition]
) -> tuple[Dimension, list[Fault]]:
    """Return the dimension that a function's parameter declares, with what is wrong about it."""
    given, wrong = parameter.default, []
    if given is parameter.empty:
        given = None
    elif not (isinstance(given, Given) and given.unit == annotation.unit):
        known = "the default says which partitions there are"
        wrong.append((f"{asset}: the default of {parameter.name!r} is {given!r}", known, _declared(annotation.unit)))
        given = None
    if parameter.kind != parameter.KEYWORD_ONLY:
        hint = f"def {asset}(..., *, {parameter.name}: oito.{annotation.__name__})"
        wrong.append((f"{asset}: {parameter.name!r} is a partition and stands before the *", "", hint))
    return Dimension(parameter.name, annotation.unit, given=given), wrong


def misfits(
    asset: str,
    dimensions: Sequence[Dimension],
    cut: Sequence[Dimension],
    inputs: Sequence[tuple[str, Window | None, Sequence[Dimension]]],
    *,
    word: str,
    may_be_mapped: bool,
) -> Iterator[Fault]:
    """Yield what is wrong with an asset's partitions, beside those of its inputs: (name, window, dimensions) each."""
    own = [*dimensions, *cut]
    names = [each.name for each in own]
    for each in own:
        if not each.name.isidentifier():
            yield f"{asset}: a partition is called {each.name!r}, which no parameter can be", "", "give it a name="
    if len(set(names)) < len(names):
        yield f"{asset}: two partitions are called {max(names, key=names.count)!r}", "", "give one another name="
    if dimensions and not may_be_mapped:
        known = f"{word} has no parameter {dimensions[0].name!r}"
        yield f"{asset}: a {word} is made whole, not partition by partition", known, "leave the parameter out"
    if dimensions and cut:
        both = f"{asset} is both cut (partition=) and made partition by partition ({dimensions[0].name})"
        yield both, "", "leave one of them out"
    for each in dimensions:
        same = [other for _, _, theirs in inputs for other in theirs if other.name == each.name]
        if not same and each.given is None:
            known, unit = f"no input is partitioned by {each.name}", each.unit.capitalize()
            hint = f"cut an input, partition=oito.{unit}.of(...), or declare them, {each.name}: oito.{unit} = {_declared(each.unit)}"
            yield f"{asset}: nothing says which partitions {each.name!r} has", known, hint
        for other in same:
            if other.unit != each.unit:
                yield f"{asset}: {each.name!r} is by {each.unit} here and by {other.unit} in an input", "", ""
    for name, window, theirs in inputs:
        lacking = next((who for who, them in ((asset, dimensions), (name, theirs)) if not _is_timed(them)), "")
        if window and lacking:
            yield f"{asset}: {name} has a window, but {lacking} is not partitioned by time", "", ""


def _is_timed(dimensions: Sequence[Dimension]) -> bool:
    return any(each.unit != "key" for each in dimensions)


def _declared(unit: str) -> str:
    return 'oito.Key.among("north", "south")' if unit == "key" else f'oito.{unit.capitalize()}.since("2013-01")'

"""What a model takes and gives: named, typed columns, frozen at training and the same in training and serving.

Every value a model sees is one float64 of a matrix [rows, columns]: a number as it is, a boolean as 0 or 1, a category as
its place in the frozen list; missing and never-seen values are NaN. Estimators get the same matrix as a frame with named
columns. How rows reach an endpoint, and what a model does with them, lives elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from oito.errors import BadRequest, DataError, MissingColumn
from oito.names import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

MAX_CATEGORIES = 255  # what scikit-learn's histogram boosting can hold; rarer values count as never seen

ColumnKind = Literal["number", "boolean", "category"]
Class = str | int | bool


@dataclass(frozen=True)
class Column:
    """One input column; `categories` are the known texts of a category, sorted."""

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    codes: Mapping[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", {text: float(place) for place, text in enumerate(self.categories)})

    def value(self, given: Any) -> float:
        """Return one value as the model sees it.

        Raises:
            BadRequest: the value is of another type than the column, or an infinite number.
        """
        if given is None:
            return math.nan
        if self.kind == "category":
            if isinstance(given, str):
                return self.codes.get(given, math.nan)
        elif isinstance(given, bool):
            return float(given)
        elif self.kind == "number" and isinstance(given, int | float):
            if not math.isinf(given):
                return float(given)
            raise BadRequest(f"{self.name} is infinite", known=f"{self.name} takes finite numbers or null")
        raise BadRequest(
            f"{self.name} is {given!r} ({type(given).__name__})",
            known=f"{self.name} takes a {'text' if self.kind == 'category' else self.kind} or null",
        )


@dataclass(frozen=True)
class Signature:
    """The input columns in their order, the task, and for a classification the classes in the order of probabilities."""

    columns: tuple[Column, ...]
    task: Literal["classification", "regression"]
    target: str
    classes: tuple[Class, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def row(self, given: Mapping[str, Any]) -> list[float]:
        """Return one row as floats, in column order.

        Raises:
            BadRequest: a column is absent, misspelt or of another type; the text names it.

        Example:
            >>> sign = Signature((Column("age", "number"), Column("city", "category", ("Rio",))), "regression", "y")
            >>> sign.row({"age": 3, "city": "Rio"})
            [3.0, 0.0]
        """
        try:
            return [column.value(given[column.name]) for column in self.columns]
        except KeyError as missing:
            name = missing.args[0]
            unknown = [key for key in given if key not in self.names]
            hint = did_you_mean(name, unknown) if unknown else ""
            raise BadRequest(
                f"the field {name!r} is missing", known=f"fields are {', '.join(self.names)}", next=hint
            ) from None

    def matrix(self, frame: pl.DataFrame) -> NDArray[np.float64]:
        """Return `frame` as the model sees it, float64 [rows, columns]; other columns of the frame are ignored.

        Raises:
            MissingColumn: a column of the signature is not in the frame.
            DataError: a column has another type than in training.
        """
        import numpy as np

        out = np.empty((frame.height, len(self.columns)), dtype=np.float64)
        for place, column in enumerate(self.columns):
            if column.name not in frame.columns:
                known = did_you_mean(column.name, frame.columns)
                raise MissingColumn(f"the column {column.name!r} is missing", known=known)
            out[:, place] = _floats(frame[column.name], column)
        return out

    def frame(self, matrix: NDArray[np.float64]) -> pl.DataFrame:
        """Return what estimators see: Float64 columns (missing is NaN) and Enum columns (missing is null)."""
        import polars as pl

        series = []
        for place, column in enumerate(self.columns):
            values = pl.Series(column.name, matrix[:, place], dtype=pl.Float64)
            if column.kind == "category":
                known = pl.Series(column.name, column.categories, dtype=pl.Enum(column.categories))
                values = known.gather(values.fill_nan(None).cast(pl.UInt32))
            series.append(values)
        return pl.DataFrame(series)

    def data(self) -> dict[str, Any]:
        """Return the signature as plain data, as stored in the record of a version."""
        columns = [{"name": c.name, "kind": c.kind, "categories": list(c.categories)} for c in self.columns]
        return {"columns": columns, "task": self.task, "target": self.target, "classes": list(self.classes)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Signature:
        columns = tuple(Column(c["name"], c["kind"], tuple(c["categories"])) for c in data["columns"])
        return cls(columns, data["task"], data["target"], tuple(data["classes"]))


def infer(frame: pl.DataFrame, target: pl.Series, *, task: Literal["classification", "regression"]) -> Signature:
    """Return the signature of training columns `frame` for `target`.

    Texts become categories (the 255 most frequent), numbers and booleans stay; the order of columns is the frame's.

    Raises:
        DataError: a column is of a type no model here takes, such as a time.

    Example:
        >>> import polars as pl
        >>> infer(pl.DataFrame({"x": [1, 2]}), pl.Series("y", [True, False]), task="classification").classes
        (False, True)
    """
    columns = tuple(_column(frame[name]) for name in frame.columns)
    classes: Sequence[Class] = target.drop_nulls().unique().sort().to_list() if task == "classification" else ()
    return Signature(columns, task, target.name, tuple(classes))


def _column(values: pl.Series) -> Column:
    import polars as pl

    dtype = values.dtype
    if dtype == pl.Boolean:
        return Column(values.name, "boolean")
    if dtype.is_numeric():
        return Column(values.name, "number")
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        counts = values.cast(pl.String).drop_nulls().value_counts()
        common = counts.sort(["count", values.name], descending=[True, False]).head(MAX_CATEGORIES)
        return Column(values.name, "category", tuple(sorted(common[values.name].to_list())))
    raise DataError(
        f"the feature {values.name!r} is {dtype}, which no model takes",
        known="models take numbers, booleans and texts",
        next="derive a number from it in a feature view, such as its hour or its age in days",
    )


def _floats(values: pl.Series, column: Column) -> NDArray[np.float64]:
    import numpy as np
    import polars as pl

    is_text = values.dtype in (pl.String, pl.Categorical, pl.Enum)
    is_empty = values.dtype == pl.Null
    if not is_empty and is_text != (column.kind == "category"):
        known = f"in training it was a {column.kind}"
        raise DataError(
            f"the column {column.name!r} is {values.dtype}", known=known, next="give it the type of training"
        )
    if is_text:
        old = list(column.codes)
        places = values.cast(pl.String).replace_strict(
            old, list(column.codes.values()), default=None, return_dtype=pl.Float64
        )
        values = places if old else pl.Series(column.name, [None] * len(values), dtype=pl.Float64)
    floats = cast("NDArray[np.float64]", values.cast(pl.Float64).fill_null(math.nan).to_numpy())
    return np.where(np.isinf(floats), np.nan, floats)

"""Entity keys as integer codes: equal keys, equal codes, whatever the width or encoding. Joining by them is done elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from oito.errors import DataError, MissingColumn
from oito.names import did_you_mean

Ints = npt.NDArray[np.int64]
UNKNOWN = -1
"""The code of a key that is null or was never seen; it matches nothing."""

_CODE = "code"
_PLAIN = (pl.String, pl.Boolean, pl.Date, pl.Datetime, pl.Binary)
_CODED_TEXT = (pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class Keys:
    """The distinct keys of one frame, in ascending order; a key's code is its row number here."""

    frame: pl.DataFrame

    @staticmethod
    def of(frame: pl.DataFrame, by: Sequence[str], *, where: str) -> "Keys":
        """Return the distinct keys of `frame`, those with a null left out; `where` names the frame in errors."""
        return Keys(_key_columns(frame, by, where=where).drop_nulls().unique().sort(by))

    def codes(self, frame: pl.DataFrame, *, where: str) -> Ints:
        """Return each row's code, `UNKNOWN` for a null key and for one that is not here.

        Raises:
            MissingColumn: a key column is not in `frame`.
            DataError: a key column is a float, a list or another thing without plain equality, or of another sort here.
        """
        by = self.frame.columns
        columns = _key_columns(frame, by, where=where)
        columns = columns.with_columns(_aligned(columns[name], self.frame.schema[name], where=where) for name in by)
        # Positions instead of names, so that no key column can be called like ours. Polars compares the columns one by
        # one, so composite keys cannot run into each other, and nulls are equal to nothing.
        spots = [str(spot) for spot in range(len(by))]
        known = self.frame.rename(dict(zip(by, spots, strict=True))).with_row_index(_CODE)
        columns = columns.rename(dict(zip(by, spots, strict=True)))
        joined = columns.join(known, on=spots, how="left", maintain_order="left")
        return joined[_CODE].cast(pl.Int64).fill_null(UNKNOWN).to_numpy()


def require(frame: pl.DataFrame | pl.LazyFrame, names: Sequence[str], *, where: str) -> None:
    """Refuse a frame that lacks one of the columns."""
    known = frame.collect_schema().names()
    for name in names:
        if name not in known:
            raise MissingColumn(f"{where} has no column {name!r}", known=did_you_mean(name, known))


def check_key(frame: pl.DataFrame, by: Sequence[str], *, where: str) -> None:
    """Refuse a key of no columns, of missing ones, or of a type whose equality is not dependable."""
    if not by:
        raise DataError(f"{where} was given no key columns", next='name the entity\'s columns, such as ["carrier"]')
    require(frame, by, where=where)
    for name in by:
        _check_type(name, frame.schema[name], where=where)


def _key_columns(frame: pl.DataFrame, by: Sequence[str], *, where: str) -> pl.DataFrame:
    check_key(frame, by, where=where)
    return frame.select(
        pl.col(name).cast(pl.String) if isinstance(frame.schema[name], _CODED_TEXT) else pl.col(name) for name in by
    )


def _check_type(name: str, dtype: pl.DataType, *, where: str) -> None:
    if dtype.is_integer() or isinstance(dtype, (*_PLAIN, *_CODED_TEXT, pl.Null)):
        return
    raise DataError(
        f"{where} has the key {name!r} of type {dtype}, and equality of such values is not dependable",
        known="keys are integers, text, booleans, dates or times",
        next=f'cast it, such as pl.col("{name}").cast(pl.Int64), before the join',
    )


def _aligned(column: pl.Series, wanted: pl.DataType, *, where: str) -> pl.Series:
    if column.dtype == wanted:
        return column
    if column.dtype == pl.Null or (column.dtype.is_integer() and wanted.is_integer()):
        return column.cast(wanted, strict=False)  # what does not fit becomes null: it can equal nothing over there
    if wanted == pl.Null:
        return pl.Series(column.name, [None] * len(column), dtype=pl.Null)
    raise DataError(
        f"{where} has the key {column.name!r} as {column.dtype}, the other side has it as {wanted}",
        next="cast one of them, so that both are of one type",
    )

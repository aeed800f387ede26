"""Which rows train, which choose and which judge: splits of a training frame by time, group or class shares.

Parts are row numbers, sorted by (time, key), so that what a model sees does not depend on the order in which rows came.
How a split is declared, and the frame itself, live elsewhere.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.clock import moment, text
from oito.errors import BadInput, DataError
from oito.names import duration_text

Rows = NDArray[np.uint32]


@dataclass(frozen=True)
class Split:
    """Row numbers (uint32) of three parts without overlap; `late` rows were left out because their truth came too late."""

    train: Rows
    valid: Rows
    test: Rows
    late: int = 0

    def data(self) -> dict[str, int]:
        """Return the counts, as kept with a trained version."""
        return {"train": len(self.train), "valid": len(self.valid), "test": len(self.test), "late": self.late}


def by_time(
    times: pl.Series,
    known_at: pl.Series | None,
    *,
    valid: timedelta,
    test: timedelta,
    cut_off: datetime,
    key: pl.Series | None = None,
) -> Split:
    """Return the last `test` before `cut_off` for judging, the `valid` before that for choosing, all before for training.

    No part knows what was not known when the next one begins: a row trains only if its truth was known at the start of
    valid, chooses only if it was known at the start of test, and judges only if it was known at the cut-off.

    Args:
        times: event time of each row, UTC, without nulls.
        known_at: when each row's truth was known; a null was never known; None means at once.
        valid, test: spans; a span of zero asks for an empty part.
        key: a unique key that orders rows of the same time.

    Raises:
        DataError: a part is empty, or a row has no time.

    Example:
        >>> times = pl.Series([datetime(2024, 1, day) for day in range(1, 11)]).cast(pl.Datetime("us", "UTC"))
        >>> two = timedelta(days=2)
        >>> by_time(times, None, valid=two, test=two, cut_off=datetime(2024, 1, 10)).data()
        {'train': 5, 'valid': 2, 'test': 3, 'late': 0}
    """
    if valid < timedelta(0) or test < timedelta(0):
        raise BadInput(f"a split needs spans of zero or more, not valid={valid}, test={test}")
    _same_height(times, known_at, key)
    if times.null_count():
        raise DataError(
            f"{times.null_count()} of {len(times)} rows have no event time", next="drop them before the split"
        )
    at = _micros(times)
    known = at if known_at is None else _micros(known_at)
    end = _micros(pl.Series([moment(cut_off)]))[0]
    test_from = end - test // timedelta(microseconds=1)
    valid_from = test_from - valid // timedelta(microseconds=1)

    spans = {
        "train": (at < valid_from, valid_from),
        "valid": ((at >= valid_from) & (at < test_from), test_from),
        "test": ((at >= test_from) & (at <= end), end),
    }
    order = _order(times, key)
    parts = {name: order[(inside & (known <= limit))[order]] for name, (inside, limit) in spans.items()}
    late = {name: int((inside & (known > limit)).sum()) for name, (inside, limit) in spans.items()}
    wanted = {"train": timedelta.max, "valid": valid, "test": test}
    for name, rows in parts.items():
        if not len(rows) and wanted[name]:
            raise _empty(name, parts, late, times=times, valid=valid, test=test, cut_off=cut_off)
    return Split(parts["train"], parts["valid"], parts["test"], late=sum(late.values()))


def by_group(groups: pl.Series, *, valid: float, test: float, seed: int, key: pl.Series | None = None) -> Split:
    """Return parts that share no group; groups are drawn by a hash of the seed until a part has its share of rows.

    Args:
        groups: the group of each row, without nulls.
        valid, test: shares of rows in 0..1; what is left trains.
        key: a unique key that orders the rows of a part.

    Raises:
        DataError: a part is empty, or a row has no group.

    Example:
        >>> by_group(pl.Series(list("aabbccdd")), valid=0.25, test=0.25, seed=1).data()
        {'train': 4, 'valid': 2, 'test': 2, 'late': 0}
    """
    _check_shares(valid, test)
    _same_height(groups, key)
    if groups.null_count():
        raise DataError(f"{groups.null_count()} of {len(groups)} rows have no {groups.name or 'group'}")
    sizes = dict(groups.to_frame("group").group_by("group").len().iter_rows())
    left = {"test": test * len(groups), "valid": valid * len(groups)}
    part_of: dict[object, str] = {}
    for group in sorted(sizes, key=lambda group: _draw(seed, group)):
        # A group goes where at least half of it still fits, so that one big group does not eat a small part.
        part_of[group] = next((name for name, room in left.items() if room >= sizes[group] / 2), "train")
        left[part_of[group]] = left.get(part_of[group], 0) - sizes[group]
    names = groups.replace_strict(list(part_of), list(part_of.values()), return_dtype=pl.String).to_numpy()
    return _shared(names, _order(None, key, height=len(groups)), valid=valid, test=test, of=f"{len(sizes)} groups")


def stratified(classes: pl.Series, *, valid: float, test: float, seed: int, key: pl.Series | None = None) -> Split:
    """Return parts with the shares of every class kept to within one row; drawn from the seed alone.

    A class with too few rows for all parts trains first. Null is a class of its own. With a unique `key` the draw depends
    on the keys, not on the order of the rows.

    Raises:
        DataError: a part is empty.

    Example:
        >>> stratified(pl.Series([0, 1] * 10), valid=0.2, test=0.2, seed=1).data()
        {'train': 12, 'valid': 4, 'test': 4, 'late': 0}
    """
    _check_shares(valid, test)
    _same_height(classes, key)
    order = _order(None, key, height=len(classes))
    names = np.full(len(classes), "train", dtype="<U5")
    codes = classes.cast(pl.String).fill_null("\0null").to_numpy()[order]
    for label in sorted(set(codes)):
        rows = order[codes == label]
        rows = np.random.default_rng([seed, _draw(seed, label)]).permutation(rows)
        n_test, n_valid = int(len(rows) * test + 0.5), int(len(rows) * valid + 0.5)
        n_test = min(n_test, max(len(rows) - 1, 0))
        n_valid = min(n_valid, max(len(rows) - 1 - n_test, 0))
        names[rows[:n_test]], names[rows[n_test : n_test + n_valid]] = "test", "valid"
    return _shared(names, order, valid=valid, test=test, of=f"{classes.n_unique()} classes")


def _shared(names: NDArray[np.str_], order: Rows, *, valid: float, test: float, of: str) -> Split:
    parts = {name: order[names[order] == name] for name in ("train", "valid", "test")}
    wanted = {"train": 1.0, "valid": valid, "test": test}
    for name, rows in parts.items():
        if not len(rows) and wanted[name]:
            raise DataError(
                f"the {name} part of the split is empty",
                known=f"{_counts(parts)}, from {len(names)} rows in {of}; shares valid={valid}, test={test}",
                next="give more rows or other shares",
            )
    return Split(parts["train"], parts["valid"], parts["test"])


def _empty(
    name: str,
    parts: dict[str, Rows],
    late: dict[str, int],
    *,
    times: pl.Series,
    valid: timedelta,
    test: timedelta,
    cut_off: datetime,
) -> DataError:
    begin, end = times.min(), times.max()
    span = f"from {_day(begin)} to {_day(end)}" if isinstance(begin, datetime) and isinstance(end, datetime) else "none"
    return DataError(
        f"the {name} part of the split is empty",
        where=f"cut-off {_day(cut_off)}, valid {duration_text(valid)}, test {duration_text(test)}",
        known=f"{_counts(parts)}, of {len(times)} rows {span}; truth came too late for {late[name]} rows of {name}",
        next="shorten the spans, move the cut-off or wait for more labels",
    )


def _counts(parts: dict[str, Rows]) -> str:
    return ", ".join(f"{name} {len(rows)}" for name, rows in parts.items())


def _day(at: datetime) -> str:
    return text(moment(at))[:16] + "Z"


def _order(times: pl.Series | None, key: pl.Series | None, *, height: int = 0) -> Rows:
    columns = [column.alias(name) for name, column in (("time", times), ("key", key)) if column is not None]
    if not columns:
        return np.arange(height, dtype=np.uint32)
    frame = pl.DataFrame(columns).with_row_index("row")
    rows: Rows = (
        frame.sort([column.name for column in columns], maintain_order=True)["row"].to_numpy().astype(np.uint32)
    )
    return rows


def _micros(times: pl.Series) -> NDArray[np.int64]:
    never = np.iinfo(np.int64).max  # a null is a moment that has not come
    micros: NDArray[np.int64] = times.dt.timestamp("us").fill_null(never).to_numpy()
    return micros


def _draw(seed: int, name: object) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{type(name).__name__}\0{name}".encode()).digest()[:8], "big")


def _check_shares(valid: float, test: float) -> None:
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise BadInput(f"shares valid={valid} and test={test} leave nothing to train", known="shares add up to below 1")


def _same_height(*columns: pl.Series | None) -> None:
    heights = {len(column) for column in columns if column is not None}
    if len(heights) > 1:
        raise BadInput(f"the columns of a split have different lengths: {', '.join(map(str, sorted(heights)))}")

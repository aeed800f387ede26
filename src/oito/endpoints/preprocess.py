"""What a fitted scikit-learn preprocessing does to each input column, as numbers with steps and as look-up tables.

Steps on numbers are read from the fitted objects. Encoders are not read but asked: every value a column can have is sent
through them, and what comes out is the table. A step that mixes columns (PCA, say) does not compile; its model is served
natively.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from oito.endpoints.columns import Number, Step, changed

if TYPE_CHECKING:
    from oito.catalog.signature import Signature

Floats = NDArray[np.float64]

_ENCODERS = (OneHotEncoder, OrdinalEncoder, TargetEncoder)


class NotCompilable(Exception):
    """The model is outside what compiles; the text says why and goes into the proof."""


@dataclass(frozen=True)
class Table:
    """One feature that depends on one column through a list: `keys` known values, then missing, then any other value.

    `values` [keys + 2] holds what the estimator sees; `refused` marks the values its encoder raises on.
    """

    source: int
    keys: Floats
    values: Floats
    refused: NDArray[np.bool_]
    is_category: bool


@dataclass(frozen=True)
class _Category:
    """A category column that no encoder has turned into numbers yet."""

    source: int


Feature = Number | Table
_Column = Number | Table | _Category


def raw_columns(signature: Signature) -> list[_Column]:
    """Return the columns an estimator is given, before any preprocessing."""
    return [
        _Category(place) if column.kind == "category" else Number(place)
        for place, column in enumerate(signature.columns)
    ]


def numeric(columns: Sequence[_Column]) -> list[Feature]:
    """Return the columns, all of which must be numbers by now."""
    features = [column for column in columns if not isinstance(column, _Category)]
    if len(features) != len(columns):
        raise NotCompilable("a category reaches the estimator without an encoder")
    return features


def through(step: Any, columns: Sequence[_Column], signature: Signature) -> list[_Column]:
    """Return the columns after one fitted transformer.

    Raises:
        NotCompilable: the transformer is not one whose outputs depend on one column each.
    """
    if step is None or step == "passthrough":
        return list(columns)
    if isinstance(step, ColumnTransformer):
        return _column_transformer(step, columns, signature)
    if _is_encoding(step):
        if any(isinstance(column, Table) for column in columns) and isinstance(step, OrdinalEncoder):
            return list(_ordinal_again(step, numeric(columns)))
        return list(_asked(step, columns, signature))
    if isinstance(step, Pipeline):
        for _, inner in step.steps:
            columns = through(inner, columns, signature)
        return list(columns)
    if isinstance(step, SelectorMixin):
        return [column for column, kept in zip(columns, step.get_support(), strict=True) if kept]
    if isinstance(step, FunctionTransformer) and step.func is None:
        return list(columns)
    for family, reader in _READERS.items():
        if isinstance(step, family):
            return list(reader(step, numeric(columns)))
    raise NotCompilable(f"{type(step).__name__} is not a preprocessing that compiles")


def _column_transformer(step: ColumnTransformer, columns: Sequence[_Column], signature: Signature) -> list[_Column]:
    found: list[_Column] = []
    for name, inner, _ in step.transformers_:
        chosen = [columns[place] for place in step._transformer_to_input_indices[name]]
        if chosen and not (isinstance(inner, str) and inner == "drop"):
            found += through(inner, chosen, signature)
    return found


def _is_encoding(step: Any) -> bool:
    """Whether a transformer, or a pipeline of transformers, has an encoder and so is asked as a whole."""
    if isinstance(step, Pipeline):
        return any(_is_encoding(inner) for _, inner in step.steps) and not any(
            isinstance(inner, ColumnTransformer) for _, inner in step.steps
        )
    return isinstance(step, _ENCODERS)


def _encoder(step: Any) -> Any:
    if isinstance(step, Pipeline):
        return next(_encoder(inner) for _, inner in step.steps if _is_encoding(inner))
    return step


def _asked(step: Any, columns: Sequence[_Column], signature: Signature) -> list[Table]:
    """Return the outputs of an encoding as tables, by sending every value of every column through it."""
    if any(isinstance(column, Table) or (isinstance(column, Number) and column.steps) for column in columns):
        raise NotCompilable(f"{type(step).__name__} encodes values that are already changed")
    encoder = _encoder(step)
    keys = [_keys(column, place, encoder, signature) for place, column in enumerate(columns)]
    sources = [column.source for column in columns]
    probes = _probes(keys, sources, width=len(signature.columns))
    names = [signature.names[source] for source in sources]
    outputs, refused = _transformed(step, lambda rows: signature.frame(rows).select(names), probes)
    starts = np.cumsum([0, *(len(known) + 2 for known in keys)])
    blocks = [slice(first, last) for first, last in pairwise(starts.tolist())]
    tables = []
    for place in range(outputs.shape[1]):
        moving = [at for at, block in enumerate(blocks) if _varies(outputs[block, place], refused[block])]
        if len(moving) > 1:
            raise NotCompilable(f"{type(step).__name__} mixes columns")
        at = moving[0] if moving else 0
        is_category = isinstance(columns[at], _Category)
        tables.append(Table(sources[at], keys[at], outputs[blocks[at], place], refused[blocks[at]], is_category))
    return tables


def _keys(column: _Column, place: int, encoder: Any, signature: Signature) -> Floats:
    if isinstance(column, _Category):
        return np.arange(len(signature.columns[column.source].categories), dtype=np.float64)
    known = np.asarray(encoder.categories_[place], dtype=np.float64)
    return np.unique(known[np.isfinite(known)])


def _probes(keys: Sequence[Floats], sources: Sequence[int], *, width: int) -> Floats:
    """Return one row per value of each column (its keys, missing, another value), the others at their first key."""
    base = np.zeros(width)
    for known, source in zip(keys, sources, strict=True):
        base[source] = known[0] if len(known) else math.nan
    rows = []
    for known, source in zip(keys, sources, strict=True):
        block = np.repeat(base[np.newaxis], len(known) + 2, axis=0)
        block[:, source] = [*known, math.nan, _other(known)]
        rows.append(block)
    return np.concatenate(rows)


def _transformed(step: Any, frame: Callable[[Floats], Any], rows: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the outputs of all rows and which rows are refused; a category code between two codes is missing."""
    try:
        return _dense(step.transform(frame(rows))), np.zeros(len(rows), dtype=np.bool_)
    except ValueError:
        outputs: list[Floats | None] = []
        for place in range(len(rows)):
            try:
                outputs.append(_dense(step.transform(frame(rows[place : place + 1]))))
            except ValueError:
                outputs.append(None)
    width = next((found.shape[1] for found in outputs if found is not None), None)
    if width is None:
        raise NotCompilable(f"{type(step).__name__} refuses every value")
    nothing = np.full((1, width), math.nan)
    refused = np.array([found is None for found in outputs])
    return np.concatenate([nothing if found is None else found for found in outputs]), refused


def _dense(outputs: Any) -> Floats:
    return np.asarray(outputs.toarray() if hasattr(outputs, "toarray") else outputs, dtype=np.float64)


def _varies(values: Floats, refused: NDArray[np.bool_]) -> bool:
    kept = values[~refused]
    return bool(len(kept)) and not np.array_equal(kept, np.full_like(kept, kept[0]), equal_nan=True)


def _ordinal_again(step: OrdinalEncoder, features: Sequence[Feature]) -> list[Table]:
    """Return tables after a second ordinal encoding, such as the one inside histogram boosting."""
    if step.handle_unknown != "use_encoded_value":
        raise NotCompilable("an OrdinalEncoder after another encoder refuses unknown values")
    found = []
    for feature, categories in zip(features, step.categories_, strict=True):
        if isinstance(feature, Number):
            feature = _listed(feature, np.asarray(categories, dtype=np.float64))
        places = {float(value): float(place) for place, value in enumerate(categories) if value == value}
        values = [
            step.encoded_missing_value if value != value else places.get(value, step.unknown_value)
            for value in feature.values.tolist()
        ]
        found.append(Table(feature.source, feature.keys, np.array(values), feature.refused, feature.is_category))
    return found


def _listed(number: Number, categories: Floats) -> Table:
    """Return a number as a table of the values its encoder knows."""
    if number.steps:
        raise NotCompilable("OrdinalEncoder encodes values that are already changed")
    keys = np.unique(categories[np.isfinite(categories)])
    values = np.array([*keys, math.nan, _other(keys)])
    return Table(number.source, keys, values, np.zeros(len(values), dtype=np.bool_), is_category=False)


def _other(keys: Floats) -> float:
    """Return a value that is none of `keys`."""
    return float(keys[-1]) + 0.4142135 if len(keys) else math.nan


def _after(feature: Feature, *steps: Step) -> Feature:
    if isinstance(feature, Number):
        return Number(feature.source, feature.steps + steps)
    return Table(feature.source, feature.keys, changed(feature.values, steps), feature.refused, feature.is_category)


def _each(features: Sequence[Feature], word: str, *parameters: Any) -> list[Feature]:
    """Return the features after one more step whose parameters are arrays with one value per feature."""
    rows = zip(*(np.asarray(values, dtype=np.float64).tolist() for values in parameters), strict=True)
    values = list(rows) if parameters else [()] * len(features)
    return [_after(feature, (word, tuple(own))) for feature, own in zip(features, values, strict=True)]


def _imputed(step: SimpleImputer, features: Sequence[Feature]) -> list[Feature]:
    if not _is_nan(step.missing_values):
        raise NotCompilable("SimpleImputer fills something else than NaN")
    pairs = zip(features, np.asarray(step.statistics_, dtype=np.float64).tolist(), strict=True)
    filled = [_after(feature, ("fill", (value,))) for feature, value in pairs if value == value]
    return filled + (_indicated(step.indicator_, features) if step.add_indicator else [])


def _indicated(step: MissingIndicator, features: Sequence[Feature]) -> list[Feature]:
    if not _is_nan(step.missing_values):
        raise NotCompilable("MissingIndicator marks something else than NaN")
    return [_after(features[place], ("missing", ())) for place in step.features_]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _standard(step: StandardScaler, features: Sequence[Feature]) -> list[Feature]:
    found = _each(features, "subtract", step.mean_) if step.with_mean else list(features)
    return _each(found, "divide", step.scale_) if step.with_std else found


def _min_max(step: MinMaxScaler, features: Sequence[Feature]) -> list[Feature]:
    found = _each(_each(features, "multiply", step.scale_), "add", step.min_)
    low, high = step.feature_range
    return _each(found, "clip", [low] * len(found), [high] * len(found)) if step.clip else found


def _robust(step: RobustScaler, features: Sequence[Feature]) -> list[Feature]:
    found = _each(features, "subtract", step.center_) if step.with_centering else list(features)
    return _each(found, "divide", step.scale_) if step.with_scaling else found


_READERS: Mapping[type, Callable[[Any, Sequence[Feature]], list[Feature]]] = {
    SimpleImputer: _imputed,
    MissingIndicator: _indicated,
    StandardScaler: _standard,
    MinMaxScaler: _min_max,
    MaxAbsScaler: lambda step, features: _each(features, "divide", step.scale_),
    RobustScaler: _robust,
}

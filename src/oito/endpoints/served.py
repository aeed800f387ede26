"""What one process serves: a scored, versioned function of named columns. How it was compiled or chosen lives elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oito.catalog.signature import Signature
from oito.errors import OitoError

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Enriched:
    """Features looked up for one row: values by column, and per feature view the event time (ISO, UTC) of what was used.

    A row that told no time of asking has the one that was taken, under the name of the time's field.
    """

    values: Mapping[str, Any]
    as_of: Mapping[str, str | None] = field(default_factory=dict)


Enrich = Callable[[Sequence[Mapping[str, Any]]], Sequence[Enriched | OitoError]]


@dataclass(frozen=True)
class Served:
    """One version of an endpoint, ready to answer.

    Args:
        endpoint: the asset's name; `version` its version and `model` the model's, such as `late_flight:v7`.
        signature: every column of the model, in order.
        request_fields: what a caller may give beside columns: entity keys, the time of asking, inputs of on-request features.
        score: from X, float64 [n, d], to outputs, float64 [n, k] (or [n]); the same bits for a row whatever its neighbours.
        outputs: the k names.
        enrich: for rows that lack columns, one result a row: its features, or the error of that row alone.
        variant: which side of a split this is; written into the journal.
        source: digest of the stored source whose functions run, "" when none do; written into the journal too.
    """

    endpoint: str
    version: str
    model: str
    signature: Signature
    request_fields: tuple[str, ...]
    score: Score
    outputs: tuple[str, ...]
    enrich: Enrich | None = None
    variant: str = "champion"
    source: str = ""

"""oito: a whole machine-learning system as one plain module. Eight kinds of function, one catalog, a closed loop."""

from typing import TYPE_CHECKING, Any

from oito.datasets.spec import between, dataset, matches, not_null, one_of, row_count, unique
from oito.endpoints.spec import endpoint
from oito.errors import OitoError
from oito.experiments.spec import at_least, beats, by_share, by_time, experiment
from oito.features.spec import features
from oito.flow.declare import From
from oito.flow.dimensions import Day, Hour, Key, Month, Window
from oito.flow.space import Choice, Float, Int
from oito.flow.tracking import log_metric
from oito.labels.spec import labels
from oito.models.spec import model
from oito.monitors.spec import monitor, never, on_regret, on_schedule
from oito.sources.spec import source

if TYPE_CHECKING:
    from oito.features.windows import sliding
    from oito.workspace import open

__version__ = "0.1.0"

_LATE = {"open": "oito.workspace", "sliding": "oito.features.windows"}  # what needs more than the standard library


def __getattr__(name: str) -> Any:
    if name in _LATE:
        import importlib

        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module 'oito' has no attribute {name!r}")


__all__ = [
    "Choice",
    "Day",
    "Float",
    "From",
    "Hour",
    "Int",
    "Key",
    "Month",
    "OitoError",
    "Window",
    "at_least",
    "beats",
    "between",
    "by_share",
    "by_time",
    "dataset",
    "endpoint",
    "experiment",
    "features",
    "labels",
    "log_metric",
    "matches",
    "model",
    "monitor",
    "never",
    "not_null",
    "on_regret",
    "on_schedule",
    "one_of",
    "open",
    "row_count",
    "sliding",
    "source",
    "unique",
]

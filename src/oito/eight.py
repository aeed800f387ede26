"""The eight kinds, named here and nowhere else. A ninth is a package with an entry point in the group `oito.kinds`."""

import sys
from pathlib import Path

from oito.datasets.spec import KIND as DATASET
from oito.endpoints.spec import KIND as ENDPOINT
from oito.experiments.spec import KIND as EXPERIMENT
from oito.features.spec import KIND as FEATURES
from oito.flow.kind import Kind
from oito.labels.spec import KIND as LABELS
from oito.models.spec import KIND as MODEL
from oito.monitors.spec import KIND as MONITOR
from oito.sources.spec import KIND as SOURCE

KINDS: tuple[Kind, ...] = (SOURCE, DATASET, FEATURES, LABELS, MODEL, EXPERIMENT, ENDPOINT, MONITOR)


def kinds() -> tuple[Kind, ...]:
    """Return the eight kinds and those of installed plug-ins (entry points of the group `oito.kinds`)."""
    if not _has_plug_ins():
        return KINDS
    from importlib.metadata import entry_points

    return (*KINDS, *(point.load() for point in entry_points(group="oito.kinds")))


def _has_plug_ins() -> bool:
    """Say whether any installed package names the group; a look into the files costs a tenth of importing their reader."""
    told = (path for entry in sys.path for path in Path(entry).glob("*-info/entry_points.txt"))
    return any(b"[oito.kinds]" in path.read_bytes() for path in told)

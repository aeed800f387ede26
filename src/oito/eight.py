"""The eight kinds, named here and nowhere else. A ninth is a package with an entry point in the group `oito.kinds`."""

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

"""What happens when a guess is made, and whether it may pass."""

from __future__ import annotations

import os
from typing import Any

from oito.errors import StorageError
from oito.flow.site import Context, Gate, Made, Site


def make(context: Context) -> Made:
    """Return the number, as a file and as a metric."""
    value = context.call(rows=context.read("of"))
    return Made(files={"value.txt": repr(value).encode()}, record={"value": value}, metrics={"value": value})


def gate(site: Site, asset: Any, version: Any) -> list[Gate]:
    """Return whether the number reaches the bound; dies here when it is told to."""
    if os.environ.get("DIE_AT_GATE"):
        os._exit(9)
    if os.environ.get("FAIL_AT_GATE"):
        raise StorageError("the gate cannot read its rows")
    value, least = version.record["value"], asset.spec.least
    return [Gate("least", value >= least, f"{value:g} against at least {least:g}", {"value": value})]


def read(site: Site, version: Any, *, as_type: Any = None) -> float:
    """Return the number itself."""
    return float(site.files.read(version.files["value.txt"]))

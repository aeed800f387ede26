"""The process that the server's tests start: a small endpoint whose version is the number in a file. It holds no tests."""

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oito.catalog.signature import Column, Signature
from oito.endpoints.served import Enriched, Floats, Served
from oito.endpoints.server import serve
from oito.errors import OitoError, UnknownEntity

SIGNATURE = Signature(
    (Column("carrier", "category", ("AA", "UA")), Column("distance", "number"), Column("hub", "boolean")),
    "classification",
    "late",
    (False, True),
)
RECORDS: Mapping[str, float] = {"N1": 100.0, "N2": 200.0}


def enrich(rows: Sequence[Mapping[str, Any]]) -> list[Enriched | OitoError]:
    return [_enriched(row) for row in rows]


def _enriched(row: Mapping[str, Any]) -> Enriched | OitoError:
    plane = row.get("plane")
    if plane == "broken":
        raise RuntimeError("the online store cannot read this plane")
    if not isinstance(plane, str) or plane not in RECORDS:
        return UnknownEntity(f"no plane is called {plane}")
    return Enriched({"distance": RECORDS[plane], "hub": True}, {"plane_record": "2013-11-01T06:00:00.000000Z"})


def score(rows: Floats) -> Floats:
    """Deliberately element by element, so a row's bits cannot depend on its neighbours; 666 fails, 777 is not a number."""
    if (rows[:, 1] == 666).any():
        raise ValueError("this distance is cursed")
    said = np.nan_to_num(rows[:, 0]) * 0.1 + np.nan_to_num(rows[:, 1]) / 7 + np.nan_to_num(rows[:, 2]) / 3
    return np.where(rows[:, 1] == 777, np.nan, said)


def served(version: int, *, enriched: bool) -> Served:
    return Served(
        "delay_risk",
        f"delay_risk:v{version}",
        f"late_flight:v{version}",
        SIGNATURE,
        ("carrier", "plane"),
        score,
        ("late",),
        enrich if enriched else None,
    )


def announce(path: Path, port: int) -> None:
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps({"port": port}))
    fresh.replace(path)


def main(folder: Path, *options: str) -> None:
    version = folder / "version"
    current = [int(version.read_text())]
    enriched = "enriched" in options
    token = next((option.removeprefix("token=") for option in options if option.startswith("token=")), None)
    for option in options:
        if option.startswith("fsize="):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(option.removeprefix("fsize=")),) * 2)

    def check() -> Served | None:
        newest = int(version.read_text() or current[0])
        if newest == current[0]:
            return None
        current[0] = newest
        return served(newest, enriched=enriched)

    serve(
        lambda: served(current[0], enriched=enriched),
        folder=folder / "journal",
        port=0,
        check=check,
        token=token,
        ready=lambda served, host, port: announce(folder / "ready.json", port),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

"""What a look at a large project costs: 1,000 assets of 100 partitions each, a module that is slow to import, nothing changed.

The partitions are written into a real catalog in bulk; status and plan are then asked as a person asks, by the command line.
The floor is the same command in an empty project: the start of Python and of the command line itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from table import report

from oito.catalog import versions
from oito.catalog.lineage import PARTITION
from oito.catalog.records import NewVersion, Version
from oito.flow.partition import data, keys_of
from oito.flow.plan import Planner
from oito.storage import tables
from oito.storage.digests import digest
from oito.workspace import Workspace

OITO = str(Path(sys.executable).with_name("oito"))
SLOW_S = 1.5
HEAD = f"""
import time
time.sleep({SLOW_S})  # as a large library takes
import oito

@oito.source(key="id", partition=oito.Day.of("at"), every="1d")
def rows(since):
    import polars as pl
    first = pl.lit("2024-01-01").str.to_datetime("%Y-%m-%d", time_zone="UTC")
    return pl.DataFrame({{"id": range(PARTITIONS)}}).with_columns((first + pl.duration(days=pl.col("id"))).alias("at"))
"""


def project(assets: int, partitions: int) -> str:
    """Return a source, and datasets below it in a tree of three branches each."""
    text = HEAD.replace("PARTITIONS", str(partitions))
    for n in range(assets - 1):
        above = f"d{(n - 1) // 3}" if n else "rows"
        text += f"\n@oito.dataset\ndef d{n}({above}, *, day: oito.Day):\n    return {above}.head({n})\n"
    return text


def fill(folder: Path) -> None:
    """Write a version of each partition of each asset into the folder's catalog."""
    workspace = Workspace(folder)
    workspace.run("rows")
    site = workspace.site
    table = tables.write(workspace.files, {"id": [1]}).data()
    planner, pointed = Planner(site), site.catalog.resolve_all(site.environment)
    with site.catalog.change() as change:
        for asset in site.project.assets.values():
            if asset.name in pointed:
                continue
            entry = planner.entry(asset, pointed)
            known: dict[str, Any] = {
                "kind": "dataset",
                "definition": entry.definition,
                "rows": 1,
                "tables": {"rows": table},
            }
            facts: dict[str, list[Any]] = {}
            for each in entry.partitions:
                content = digest(each.name)
                new = NewVersion(
                    asset=each.name, fingerprint=each.fingerprint, content=content, parts=each.parts,
                    inputs=[(role, v.id) for role, v in entry.inputs.items()], partition=each.partition, **known,
                )  # fmt: skip
                identity = versions.insert(change.rows, new, at=change.at, environment=site.environment, run="r")
                facts[each.partition] = [each.fingerprint, content, 1, identity]
            whole = NewVersion(
                asset=asset.name, fingerprint=entry.fingerprint, content=digest(list(facts.values())), parts=entry.parts,
                inputs=[(PARTITION + key, fact[3]) for key, fact in facts.items()]
                + [(role, v.id) for role, v in entry.inputs.items()],
                partitions=data(asset.dimensions, facts), **known,
            )  # fmt: skip
            identity = versions.insert(change.rows, whole, at=change.at, environment=site.environment, run="r")
            change.move(site.environment, asset.name, identity)
            made: Version | None = versions.by_id(site.catalog.rows, identity)
            assert made is not None and keys_of(made)
            pointed[asset.name] = made
    workspace.close()


def seconds(folder: Path, *words: str, times: int = 5) -> float:
    """Return the wall time of a command, the best of several."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([OITO, *words, "--json"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - began)
    return min(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--partitions", type=int, default=100)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, empty = Path(scratch, "large"), Path(scratch, "empty")
        for each in (folder, empty):
            each.mkdir()
        (folder / "project.py").write_text(project(told.assets, told.partitions))
        (empty / "project.py").write_text("import oito\n")
        fill(folder)
        time.sleep(0.2)
        first = seconds(folder, "plan", times=1)
        floor = seconds(empty, "plan")
        print(f"{told.assets} assets x {told.partitions} partitions; an empty project's plan takes {floor:.3f} s")
        print(f"first plan, with the import of {SLOW_S} s: {first:.2f} s")
        for word in ("status", "plan"):
            took = seconds(folder, word)
            what = f"{word} of {told.assets:,} assets x {told.partitions} partitions, nothing changed"
            report(what, took, "the same in an empty project", floor, unit="s", at_most=0.5)


if __name__ == "__main__":
    main()

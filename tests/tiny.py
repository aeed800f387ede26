"""A tiny project in a temporary folder: written as text, opened as another process would, and asked what it would do."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

import kind_guess.spec
import kind_look.spec
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import VirtualClock, moment
from oito.eight import KINDS
from oito.flow import runner
from oito.flow.entry import Entry
from oito.flow.plan import Planner
from oito.flow.project import Project, load
from oito.flow.runner import Outcome
from oito.flow.site import Site
from oito.settings import load as load_settings
from oito.storage.files import Files

KINDS_AND_MORE = (*KINDS, kind_guess.spec.KIND, kind_look.spec.KIND)

HEAD = """
import json, os
from pathlib import Path
import polars as pl
import oito
from kind_guess.spec import guess
from kind_look.spec import look

def ran(name):
    with open(os.environ["RAN"], "a") as file:
        file.write(name + chr(10))

def outside(name="outside.json"):
    return pl.DataFrame(json.loads(Path(os.environ["OUTSIDE"]).read_text()))
"""

CHAIN = (
    HEAD
    + """
@oito.source(key="id")
def orders(since):
    ran("orders")
    return outside()

@oito.dataset
def cleaned(orders: pl.DataFrame) -> pl.DataFrame:
    ran("cleaned")
    return orders.filter(pl.col("n") > 0)

@oito.dataset
def total(cleaned: pl.DataFrame) -> pl.DataFrame:
    ran("total")
    return cleaned.select(pl.col("n").sum())
"""
)

WATCHED = (
    CHAIN
    + """
@guess(of=cleaned, least=5)
def size(rows):
    ran("size")
    return float(rows.collect()["n"].sum())

watch = look(at=size)
"""
)


class Tiny:
    """A project folder; each `site` is opened anew, as another process would open it."""

    def __init__(self, root: Path, *, outside: Path | None = None) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.clock = VirtualClock(moment("2024-01-01"))
        os.environ["RAN"], os.environ["OUTSIDE"] = str(root / "ran.txt"), str(outside or root / "outside.json")
        self._open: list[Catalog] = []

    def write(self, text: str, name: str = "project.py") -> Tiny:
        """Write a file of the project."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)
        return self

    def edit(self, before: str, after: str, name: str = "project.py") -> None:
        """Replace a text that the file holds once."""
        text = (self.root / name).read_text()
        assert text.count(before) == 1, (text.count(before), before)
        self.write(text.replace(before, after), name)

    def tell(self, **columns: list[Any]) -> Tiny:
        """Let these be the rows of the outside world from the next second on."""
        self.clock.advance(_SECOND)
        (self.root / "outside.json").write_text(pl.DataFrame(columns).write_json())
        return self

    def load(self) -> Project:
        return load(self.root, ["project.py"], KINDS_AND_MORE)

    def site(self, environment: str = "dev", *, project: Project | None = None, **settings: Any) -> Site:
        found = load_settings(self.root, {"environment": environment})
        found = replace(found, values={**found.values, **settings})
        catalog = Catalog(found.home_folder, self.clock, who="ana", protected=tuple(found.protected))
        self._open.append(catalog)
        files = Files(found.home_folder / "files")
        return Site(project or self.load(), catalog, files, found, environment, self.root)

    def plan(self, environment: str = "dev", *targets: str, **settings: Any) -> dict[str, Entry]:
        """Return the plan's entries by asset."""
        return {each.asset.name: each for each in Planner(self.site(environment, **settings)).plan(targets)}

    def states(self, environment: str = "dev", **settings: Any) -> dict[str, str]:
        return {name: entry.state for name, entry in self.plan(environment, **settings).items()}

    def run(self, *targets: str, environment: str = "dev", **how: Any) -> Outcome:
        """Carry the plan out, raise what went wrong, and return what happened."""
        outcome = self.tried(*targets, environment=environment, **how)
        outcome.raise_first()
        return outcome

    def tried(self, *targets: str, environment: str = "dev", **how: Any) -> Outcome:
        return runner.run(self.site(environment), targets, **how)

    def did(self, outcome: Outcome) -> dict[str, str]:
        return {step.asset: step.state for step in outcome.steps}

    def ran(self) -> list[str]:
        """Return the functions that were called since the last question."""
        path = self.root / "ran.txt"
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return names

    def version(self, name: str, environment: str = "dev") -> Version:
        found = self.site(environment, project=_NONE).catalog.resolve(name, environment)
        assert found is not None
        return found

    def rows(self, name: str, environment: str = "dev") -> pl.DataFrame:
        site = self.site(environment)
        frame: pl.DataFrame = site.table(self.version(name, environment), as_type=pl.DataFrame)
        return frame

    def close(self) -> None:
        for catalog in self._open:
            catalog.close()


_SECOND = moment("2024-01-01T00:00:01") - moment("2024-01-01")
_NONE = Project(Path(), {}, {}, ())

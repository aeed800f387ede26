"""A small real project whose outside world is one JSON file, opened as a site: what tests of several systems run on."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from oito.catalog import versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import VirtualClock, moment
from oito.eight import KINDS
from oito.flow import runner
from oito.flow.project import load
from oito.flow.site import Site
from oito.settings import load as load_settings
from oito.storage.files import Files

HEAD = """
import json
from pathlib import Path
import polars as pl
import oito

def outside(since=None, cursor="at"):
    rows = json.loads((Path(__file__).parent / "outside.json").read_text())
    frame = pl.DataFrame(rows, infer_schema_length=None)
    for name in ("at", "known"):
        if name in frame.columns and frame.schema[name] == pl.String:
            frame = frame.with_columns(pl.col(name).str.to_datetime(time_zone="UTC"))
    return frame if since is None or not rows else frame.filter(pl.col(cursor) >= since)
"""


class World:
    """A project folder with an outside world; `poll` runs the project once and tells what became of the source."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = VirtualClock(moment("2013-11-01"))

    def declare(self, project: str) -> None:
        """Write the project and open it."""
        (self.root / "project.py").write_text(HEAD + project)
        sys.modules.pop("project", None)
        self.site = self.opened()

    def opened(self) -> Site:
        """Open the project as another process would."""
        settings = load_settings(self.root, {"environment": "production"})
        catalog = Catalog(settings.home_folder, self.clock, who="test")
        project = load(self.root, ["project.py"], KINDS)
        return Site(project, catalog, Files(settings.home_folder / "files"), settings, "production", self.root)

    def tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Let these be the rows of the outside world."""
        (self.root / "outside.json").write_text(json.dumps(list(rows)))

    def move_to(self, at: str | datetime) -> None:
        self.clock.move_to(moment(at))

    def poll(self, rows: Sequence[Mapping[str, Any]] | None = None) -> str:
        """Run the project a second later and return the state of its step; errors are raised."""
        self.clock.advance(timedelta(seconds=1))
        if rows is not None:
            self.tell(rows)
        outcome = runner.run(self.site)
        outcome.raise_first()
        return outcome.steps[-1].state if outcome.steps else "fresh"

    def version(self, name: str = "rides") -> Version:
        return self.site.catalog.find(name, "production")

    def rows(self, name: str = "rides") -> pl.DataFrame:
        frame: pl.DataFrame = self.site.table(self.version(name), as_type=pl.DataFrame)
        return frame

    def aside(self, name: str = "rides") -> pl.DataFrame:
        frame: pl.DataFrame = self.site.table(self.version(name), "quarantine", as_type=pl.DataFrame)
        return frame

    def count(self, name: str = "rides") -> int:
        return len(versions.listed(self.site.catalog.rows, name, limit=1000))

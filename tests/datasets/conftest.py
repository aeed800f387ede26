"""A small real project on the disk, opened as a site: what the tests of data sets run on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from oito.catalog.catalog import Catalog
from oito.clock import VirtualClock, moment
from oito.eight import KINDS
from oito.flow.project import load
from oito.flow.site import Site
from oito.settings import load as load_settings
from oito.storage.files import Files

OpenSite = Callable[[str], Site]


@pytest.fixture
def open_site(tmp_path: Path) -> OpenSite:
    """Write `project.py` and open it; called again, it opens the changed project on the same catalog."""
    clock = VirtualClock(moment("2013-11-01"))

    def opened(project: str) -> Site:
        (tmp_path / "project.py").write_text("import polars as pl\nimport oito\n" + project)
        settings = load_settings(tmp_path, {"environment": "production"})
        catalog = Catalog(settings.home_folder, clock, who="test")
        import sys

        sys.modules.pop("project", None)
        loaded = load(tmp_path, ["project.py"], KINDS)
        return Site(loaded, catalog, Files(settings.home_folder / "files"), settings, "production", tmp_path)

    return opened

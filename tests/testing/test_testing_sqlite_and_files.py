"""The embedded storage and catalog keep the promises that are asked of every other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oito.catalog.catalog import Catalog
from oito.clock import VirtualClock, moment
from oito.storage import sql
from oito.storage.files import Files
from oito.storage.sql import Database
from oito.testing import CatalogContract, StorageContract


class TestLocalFilesAndSqlite(StorageContract):
    @pytest.fixture
    def files(self, tmp_path: Path) -> Files:
        return Files(tmp_path / "files")

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        found = Database(tmp_path / "rows.db")
        yield found
        found.close()

    def opening(self, files: Files) -> str:
        return (
            f"from pathlib import Path; from oito.storage.files import Files; files = Files(Path({str(files.root)!r}))"
        )

    def database_opening(self, database: Database) -> str:
        path = str(database.path)
        return f"from pathlib import Path; from oito.storage.sql import Database; database = Database(Path({path!r}))"

    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sql, "BUSY_S", 0.1)


class TestSqliteCatalog(CatalogContract):
    @pytest.fixture
    def catalog(self, tmp_path: Path) -> Iterator[Catalog]:
        found = Catalog(tmp_path, VirtualClock(moment("2024-01-01")), who="ana")
        yield found
        found.close()

    def opening(self, catalog: Catalog) -> str:
        return (
            "from pathlib import Path; from oito.catalog.catalog import Catalog; from oito.clock import RealClock;"
            f"catalog = Catalog(Path({str(catalog.folder)!r}), RealClock())"
        )

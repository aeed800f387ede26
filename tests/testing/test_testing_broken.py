"""The contracts find what is broken: storages, catalogs and engines that each break one promise fail where it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import hashlib
from contextlib import contextmanager
import pytest
from oito.testing import CatalogContract, EngineContract, FilesContract, RowsContract, TablesContract
from oito.catalog.catalog import Catalog
from oito.clock import VirtualClock, moment
from oito.errors import OitoError, StepFailed
from oito.flow.engines.engine import Done, Inline
from oito.storage import tables as good_tables
from oito.storage.files import Files
from oito.storage.sql import Database

class BrokenFiles(Files):
    pass

class BrokenRows(Database):
    pass

class BrokenCatalog(Catalog):
    pass

class BrokenEngine(Inline):
    pass

class BrokenTables:
    Table = good_tables.Table
    write, append = staticmethod(good_tables.write), staticmethod(good_tables.append)
    upsert, scan = staticmethod(good_tables.upsert), staticmethod(good_tables.scan)
"""
SUITES = """
class TestFiles(FilesContract):
    @pytest.fixture
    def files(self, tmp_path):
        return BrokenFiles(tmp_path / "files")
    def opening(self, files):
        return f"from pathlib import Path; from oito.storage.files import Files; files = Files(Path({str(files.root)!r}))"

class TestTables(TablesContract):
    damage = FilesContract.damage
    @pytest.fixture
    def files(self, tmp_path):
        return Files(tmp_path / "files")
    @pytest.fixture
    def tables(self):
        return BrokenTables

class TestRows(RowsContract):
    @pytest.fixture
    def database(self, tmp_path):
        return BrokenRows(tmp_path / "rows.db")
    def database_opening(self, database):
        return f"from pathlib import Path; from oito.storage.sql import Database; database = Database(Path({str(database.path)!r}))"

class TestCatalog(CatalogContract):
    @pytest.fixture
    def catalog(self, tmp_path):
        return BrokenCatalog(tmp_path, VirtualClock(moment("2024-01-01")), who="ana")
    def opening(self, catalog):
        return (
            "from pathlib import Path; from oito.catalog.catalog import Catalog; from oito.clock import RealClock;"
            f"catalog = Catalog(Path({str(catalog.folder)!r}), RealClock())"
        )

class TestEngine(EngineContract):
    is_apart = False
    def engine(self, site):
        return BrokenEngine()
"""
BROKEN = {
    "a read that is not verified": (
        "BrokenFiles.read = lambda self, digest: self.path(digest).read_bytes()",
        "TestFiles::test_changed_bytes_are_refused_and_the_right_ones_heal_them",
    ),
    "a put that trusts what is there": (
        "def put(self, data):\n"
        "    digest = hashlib.sha256(data).hexdigest()\n"
        "    return digest if self.has(digest) else Files.put(self, data)\n"
        "BrokenFiles.put = put",
        "TestFiles::test_changed_bytes_are_refused_and_the_right_ones_heal_them",
    ),
    "an append in the place of the old rows": (
        "BrokenTables.append = staticmethod(lambda files, table, frame: good_tables.write(files, frame))",
        "TestTables::test_an_append_comes_behind_and_an_upsert_in_place",
    ),
    "a digest that knows of cuts": (
        "def append(files, table, frame):\n"
        "    found = good_tables.append(files, table, frame)\n"
        "    text = ''.join(part.digest for part in found.parts)\n"
        "    return good_tables.Table(**{**vars(found), 'content': hashlib.sha256(text.encode()).hexdigest()})\n"
        "BrokenTables.append = staticmethod(append)",
        "TestTables::test_the_digest_is_that_of_the_rows_however_they_came",
    ),
    "a transaction that keeps its first half": (
        "@contextmanager\n"
        "def write(self):\n"
        "    from oito.storage.sql import Transaction\n"
        "    yield Transaction(self._connection())\n"
        "BrokenRows.write = write",
        "TestRows::test_a_transaction_is_kept_whole_or_not_at_all",
    ),
    "a pointer without a past": (
        "def move(change, environment, asset, identity, *, at, release=None):\n"
        "    is_new = good_move(change, environment, asset, identity, at=at, release=release)\n"
        "    change.run('DELETE FROM move WHERE id < (SELECT MAX(id) FROM move)')\n"
        "    return is_new\n"
        "from oito.catalog import environments\n"
        "good_move = environments.move\n"
        "@pytest.fixture(autouse=True)\n"
        "def forgetting(monkeypatch): monkeypatch.setattr(environments, 'move', move)",
        "TestCatalog::test_what_an_environment_was_at_any_moment_is_known",
    ),
    "an error in other words": (
        "def wait(self, timeout_s):\n"
        "    return [Done(d.context, d.made, d.stored, d.seconds, StepFailed('it failed') if d.error else None)\n"
        "            for d in Inline.wait(self, timeout_s)]\n"
        "BrokenEngine.wait = wait",
        "TestEngine::test_an_error_keeps_its_class_and_its_words",
    ),
    "an engine that does not stop": (
        "BrokenEngine.close = lambda self: None",
        "TestEngine::test_closing_ends_what_runs_and_leaves_nothing",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_fails_where_it_stands(name: str, tmp_path: Path) -> None:
    how, expected = BROKEN[name]
    (tmp_path / "test_broken.py").write_text(f"{HEAD}\n{how}\n{SUITES}")
    failed, told = _failed(tmp_path, expected)
    assert failed == {expected}, told


def test_what_is_whole_passes_in_another_ones_suite(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text(f"{HEAD}\n{SUITES}")
    expected = dict.fromkeys(test for _, test in BROKEN.values())
    failed, told = _failed(tmp_path, *expected)
    assert not failed and f"{len(expected)} passed" in told, told


def _failed(folder: Path, *tests: str) -> tuple[set[str], str]:
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    run = subprocess.run(
        [*command, *(f"test_broken.py::{test}" for test in tests)], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "300"},
    )  # fmt: skip
    return set(re.findall(r"FAILED test_broken\.py::(\S+)", run.stdout)), run.stdout + run.stderr

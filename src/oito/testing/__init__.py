"""Promises as test classes for pytest: who brings a storage, a catalog or an engine of their own subclasses one and gives a fixture.

Nothing else in oito imports this folder, and it alone needs pytest.
"""

import importlib.util

from oito.errors import MissingExtra

if importlib.util.find_spec("pytest") is None:
    raise MissingExtra("oito.testing runs in pytest, which is not installed", next="pip install 'oito[testing]'")

import pytest

pytest.register_assert_rewrite(*(f"oito.testing.{name}" for name in ("files", "tables", "rows", "catalog", "engine")))

from oito.testing.catalog import CatalogContract
from oito.testing.engine import EngineContract
from oito.testing.files import FilesContract
from oito.testing.rows import RowsContract
from oito.testing.tables import TablesContract


class StorageContract(FilesContract, TablesContract, RowsContract):
    """All promises of a storage: files, tables in them, and rows; see the three for the fixtures that they need."""


__all__ = ["CatalogContract", "EngineContract", "FilesContract", "RowsContract", "StorageContract", "TablesContract"]

"""The pages of a project that went round the loop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from begun_project import Client, client_of, opened


@pytest.fixture(scope="module")
def pages(looped: Path) -> Iterator[Client]:
    """The pages of the project, in production."""
    workspace = opened(looped)
    yield client_of(workspace)
    workspace.close()

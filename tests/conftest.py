"""Fixtures of several folders: one project that went round the loop, made once per process."""

from pathlib import Path

import pytest

from begun_project import begin, went_round


@pytest.fixture(scope="session")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project from `oito init` that was run, released, asked and judged. Look, do not change."""
    folder = tmp_path_factory.mktemp("looped") / "clients"
    begin(folder, "text")
    went_round(folder)
    return folder

"""What the tests of the flow have at hand: a tiny project in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tiny import Tiny


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    for name in ("RAN", "OUTSIDE"):
        monkeypatch.setenv(name, "")
    found = Tiny(tmp_path).tell(id=[1, 2, 3], n=[5, 0, 7])
    yield found
    found.close()

"""A storage of one's own, proven: files that are kept a second time on another disk."""

from pathlib import Path

import pytest

from oito.storage.files import Files
from oito.testing import FilesContract


class Mirrored(Files):
    """Files with a copy of each under `second`."""

    def __init__(self, root: Path, second: Path) -> None:
        super().__init__(root)
        self.second = Files(second)

    def put(self, data: bytes) -> str:
        self.second.put(data)
        return super().put(data)


class TestMirrored(FilesContract):
    @pytest.fixture
    def files(self, tmp_path: Path) -> Mirrored:
        return Mirrored(tmp_path / "first", tmp_path / "second")

    def opening(self, files: Mirrored) -> str:
        first, second = str(files.root), str(files.second.root)
        return (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from pathlib import Path\n"
            f"from {Path(__file__).stem} import Mirrored\n"
            f"files = Mirrored(Path({first!r}), Path({second!r}))"
        )

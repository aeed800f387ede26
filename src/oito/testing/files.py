"""What content-addressed files promise. What their bytes mean is not asked."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from oito.errors import BadInput, CorruptFile, StorageError
from oito.testing import children

_WRITING = """
while True:
    print(files.put(os.urandom(200_000)), flush=True)
"""
_SHARING = """
for n in range({count}):
    files.put((b"%d" % n) * 1000)
files.put({own!r})
"""


class FilesContract:
    """Subclass it, and give a fixture `files` (an empty store) and `opening` (Python that opens it elsewhere as `files`).

    `damage` says how a stored byte is changed behind the store's back.
    """

    def opening(self, files: Any) -> str:
        """Return Python that opens the same store in another process, under the name `files`."""
        raise NotImplementedError

    def damage(self, files: Any, digest: str) -> None:
        """Change one stored byte; the default is for stores that keep a file per digest at `files.path(digest)`."""
        path = files.path(digest)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def test_bytes_come_back_under_their_sha256(self, files: Any) -> None:
        for data in (b"", b"rides", bytes(range(256)) * 5_000):
            digest = files.put(data)
            assert digest == hashlib.sha256(data).hexdigest()
            assert files.read(digest) == data
            assert files.verify(digest).read_bytes() == data
            assert files.has(digest) and files.size(digest) == len(data)

    def test_the_same_bytes_are_kept_once(self, files: Any) -> None:
        digests = {files.put(b"rides") for _ in range(3)}
        assert list(files.digests()) == list(digests)

    def test_digests_are_listed_in_order(self, files: Any) -> None:
        kept = sorted(files.put(b"%d" % n) for n in range(20))
        assert list(files.digests()) == kept

    def test_what_is_not_there_is_told(self, files: Any) -> None:
        absent = hashlib.sha256(b"never").hexdigest()
        assert not files.has(absent)
        for ask in (files.read, files.verify, files.size):
            with pytest.raises(StorageError):
                ask(absent)
        for wrong in ("", "../../etc/passwd", "AB" * 32):
            with pytest.raises(BadInput):
                files.read(wrong)

    def test_changed_bytes_are_refused_and_the_right_ones_heal_them(self, files: Any) -> None:
        digest = files.put(b"rides" * 1_000)
        self.damage(files, digest)
        for ask in (files.read, files.verify):
            with pytest.raises(CorruptFile):
                ask(digest)
        assert files.put(b"rides" * 1_000) == digest
        assert files.read(digest) == b"rides" * 1_000

    def test_a_removed_file_is_gone_and_may_be_removed_again(self, files: Any) -> None:
        digest, other = files.put(b"rides"), files.put(b"stay")
        for _ in range(2):
            files.remove(digest)
        assert not files.has(digest) and list(files.digests()) == [other]

    def test_a_finished_scratch_file_is_moved_in_and_an_unfinished_one_leaves_nothing(self, files: Any) -> None:
        with files.writing() as path:
            path.write_bytes(b"rides")
            digest = files.adopt(path)
        assert files.read(digest) == b"rides" and not path.exists()
        with pytest.raises(ZeroDivisionError), files.writing() as path:
            path.write_bytes(b"half")
            _ = 1 / 0
        assert not path.exists() and list(files.digests()) == [digest]

    def test_another_process_reads_what_was_put(self, files: Any) -> None:
        digest = files.put(b"rides")
        code = f"{self.opening(files)}\nassert files.read({digest!r}) == b'rides'\nprint(files.put(b'from there'))"
        (told,) = children.together([code])
        assert files.read(told.strip()) == b"from there"

    def test_many_writers_of_the_same_bytes_leave_one_sound_file_each(self, files: Any) -> None:
        head = f"{self.opening(files)}\n"
        children.together([head + _SHARING.format(count=30, own=b"own %d" % n) for n in range(4)])
        found = list(files.digests())
        assert len(found) == 34
        assert all(hashlib.sha256(files.read(digest)).hexdigest() == digest for digest in found)

    def test_a_killed_writer_loses_nothing_that_it_had_told_and_leaves_no_half_file(self, files: Any) -> None:
        told = children.killed(f"import os\n{self.opening(files)}\n{_WRITING}", after_lines=5)
        found = list(files.digests())
        assert set(told) <= set(found)
        assert all(len(files.read(digest)) == 200_000 for digest in found)

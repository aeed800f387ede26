"""What content-addressed files promise: the same bytes once, no half file, nothing broken handed out."""

import os
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oito.errors import BadInput, CorruptFile, StorageError, StorageFull
from oito.storage import tables
from oito.storage.files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


def flip_one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def leftovers(files: Files) -> list[Path]:
    return list((files.root / "scratch").iterdir())


@given(data=st.binary(max_size=2000))
def test_what_was_put_is_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    files = Files(tmp_path_factory.getbasetemp() / "shared")
    digest = files.put(data)
    assert files.put(data) == digest
    assert files.read(digest) == data
    assert files.has(digest) and files.size(digest) == len(data) and digest in set(files.digests())
    assert not leftovers(files)


def test_a_finished_scratch_file_moves_in(files: Files) -> None:
    path = files.scratch()
    path.write_bytes(b"rides")
    digest = files.adopt(path)
    assert not path.exists()
    assert digest == files.put(b"rides")
    assert files.path(digest) == files.root / digest[:2] / digest[2:]


def test_one_flipped_bit_is_refused_with_both_digests_named(files: Files) -> None:
    digest = files.put(b"rides" * 1000)
    files.verify(digest)
    flip_one_bit(files.path(digest))
    for ask in (files.read, files.verify):
        with pytest.raises(CorruptFile) as caught:
            ask(digest)
        assert caught.value.what == "a stored file does not have the bytes it was written with"
        assert f"expected sha256 {digest}\nfound    sha256 " in caught.value.known
        assert caught.value.where == str(files.path(digest))
        assert caught.value.next


def test_a_broken_file_is_written_anew_by_the_next_put(files: Files) -> None:
    digest = files.put(b"rides")
    for broken in (b"", b"ridex", b"rides and more"):
        files.path(digest).write_bytes(broken)
        assert files.put(b"rides") == digest
        assert files.read(digest) == b"rides"


def test_a_large_file_is_hashed_again_only_when_it_was_touched(files: Files) -> None:
    digest = files.put(b"rides")
    path = files.path(digest)
    time.sleep(0.15)  # a file that was changed within one tick of its clock is not trusted
    files.verify(digest)
    assert files._verified[digest][0] == 5
    before = path.stat()
    path.write_bytes(b"RIDES")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # not even a change that hides its time gets through
    with pytest.raises(CorruptFile):
        files.verify(digest)


def test_a_file_that_is_gone_says_so(files: Files) -> None:
    digest = files.put(b"rides")
    files.remove(digest)
    files.remove(digest)
    assert not files.has(digest)
    for ask in (files.read, files.verify, files.size):
        with pytest.raises(StorageError, match="a stored file is gone"):
            ask(digest)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n"])
def test_only_digests_are_names(files: Files, name: str) -> None:
    with pytest.raises(BadInput, match="is no digest of a file"):
        files.path(name)


def test_a_writer_that_fails_leaves_nothing(files: Files) -> None:
    with pytest.raises(ZeroDivisionError), files.writing() as path:
        path.write_bytes(b"half")
        raise ZeroDivisionError
    assert not leftovers(files)


def test_leftovers_of_killed_writers_are_cleaned_and_living_ones_kept(files: Files) -> None:
    kill = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from oito.storage.files import Files
        with Files(Path(sys.argv[1])).writing() as path:
            path.write_bytes(b"half a file")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    subprocess.run([sys.executable, "-c", kill, str(files.root)], check=False)
    (old,) = leftovers(files)
    assert list(files.digests()) == []
    os.utime(old, (time.time() - 100, time.time() - 100))
    young = files.scratch()
    young.write_bytes(b"")
    assert files.clean_scratch(older_than_s=50) == 1
    assert leftovers(files) == [young]


_FULL = """
import resource, sys
from pathlib import Path
import polars as pl
from oito.errors import StorageFull
from oito.storage import tables
from oito.storage.files import Files
files = Files(Path(sys.argv[1]))
small = files.put(b"small")
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
frame = pl.DataFrame({"a": pl.int_range(0, 3_000_000, eager=True).hash(1)})
for work in (lambda: files.put(bytes(range(256)) * 40_000), lambda: tables.write(files, frame), lambda: tables.write(files, frame.lazy())):
    try:
        work()
    except StorageFull as error:
        print(error.what, "/", error.where == str(files.root / "scratch"), "/", "nothing half-written was kept" in error.known)
assert not list((files.root / "scratch").iterdir())
assert list(files.digests()) == [small] and files.read(small) == b"small"
"""


def fill(root: Path, way: str) -> list[str]:
    # a directory of bytecode files must not be what fills the disk
    done = subprocess.run(
        [sys.executable, "-B", "-c", _FULL, str(root), way], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_limit_on_file_sizes_is_a_full_disk_and_keeps_nothing_half_written(tmp_path: Path) -> None:
    assert fill(tmp_path, "limit") == ["there is no room to write / True / True"] * 3


def test_a_really_full_disk_keeps_nothing_half_written(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a tiny disk; the limit on file sizes is tested everywhere")
    try:
        assert fill(tmp_path, "disk") == ["there is no room to write / True / True"] * 3
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_leaves_old_tables_readable(files: Files) -> None:
    table = tables.write(files, {"a": [1, 2, 3]})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(StorageFull):
            tables.append(files, table, {"a": list(range(1000))})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert tables.scan(files, table).collect()["a"].to_list() == [1, 2, 3]
    assert not leftovers(files)

"""The source of a release: one stored file, the same for the same source, unpacked whole however many ask for it."""

import multiprocessing
import random
import time
import zipfile
from multiprocessing.synchronize import Barrier
from pathlib import Path

from oito.flow import bundle
from oito.storage.files import Files

PROCESSES, ROUNDS = 8, 12


def test_an_unpacked_bundle_that_somebody_edited_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "project.py").write_text("x = 1\n")
    files = Files(tmp_path / "home" / "files")
    digest = bundle.keep(tmp_path / "code", files)
    folder = bundle.unpacked(files, digest, tmp_path / "bundles")
    (folder / "project.py").write_text("x = 2\n")
    (folder / "more.py").write_text("x = 2\n")
    again = bundle.unpacked(files, digest, tmp_path / "bundles")
    assert [path.name for path in again.iterdir()] == ["project.py"]
    assert (again / "project.py").read_text() == "x = 1\n"
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [digest[:16]]
    assert bundle.keep(again, files) == digest


def test_a_bundle_holds_the_source_and_nothing_else(tmp_path: Path) -> None:
    code = tmp_path / "code"
    for name in ("project.py", "parts/__init__.py", "parts/clean.sql", "oito.toml", "data.csv", ".hidden/x.py", "venv/x.py",
                 "venv/pyvenv.cfg", "node_modules/x.py", "store/bundles/x.py"):  # fmt: skip
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(name)
    (code / "loop").symlink_to(code)
    (code / "gone.py").symlink_to(code / "nowhere.py")
    files = Files(code / "store" / "files")
    digest = bundle.keep(code, files)
    with zipfile.ZipFile(files.path(digest)) as stored:
        assert stored.namelist() == ["oito.toml", "parts/__init__.py", "parts/clean.sql", "project.py"]
    for n in range(5):  # the same size, most times in the same tick
        (code / "project.py").write_text(f"changed {n}")
        with zipfile.ZipFile(files.path(bundle.keep(code, files))) as stored:
            assert stored.read("project.py") == f"changed {n}".encode()
    (code / "parts" / "new.py").write_text("new")
    with zipfile.ZipFile(files.path(bundle.keep(code, files))) as stored:
        assert "parts/new.py" in stored.namelist()


def test_the_digest_of_a_bundle_can_be_told_without_storing_it(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "project.py").write_text("x = 1\n")
    files = Files(tmp_path / "home" / "files")
    told = bundle.digest(tmp_path / "code", files)
    assert list(files.digests()) == []
    assert bundle.keep(tmp_path / "code", files) == told


def unpack(
    home: Path, digest: str, folder: Path, seed: int, begin: Barrier, told: "multiprocessing.Queue[str]"
) -> None:
    """Ask for the bundle again and again, together with others, and read it whole each time."""
    files, wait = Files(home), random.Random(seed)
    for number in range(ROUNDS):
        begin.wait()
        time.sleep(wait.random() * 0.003)
        try:
            found = bundle.unpacked(files, digest, folder / str(number))
            texts = [(found / f"m{n}.py").read_text() for n in range(20)]
            told.put("" if texts == [f"x = {n}\n" for n in range(20)] else "another text")
        except OSError as error:
            told.put(repr(error))


def test_eight_processes_that_unpack_the_same_bundle_at_once_all_read_it_whole(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for n in range(20):
        (code / f"m{n}.py").write_text(f"x = {n}\n")
    files = Files(tmp_path / "files")
    digest = bundle.keep(code, files)
    for number in range(0, ROUNDS, 2):  # in every second round a damaged one stands there already
        damaged = tmp_path / "bundles" / str(number) / digest[:16]
        damaged.mkdir(parents=True)
        (damaged / "m0.py").write_text("x = 'damaged'\n")
    context = multiprocessing.get_context("spawn")
    begin, told = context.Barrier(PROCESSES), context.Queue()
    arguments = (tmp_path / "files", digest, tmp_path / "bundles")
    children = [context.Process(target=unpack, args=(*arguments, seed, begin, told)) for seed in range(PROCESSES)]
    for child in children:
        child.start()
    answers = [told.get(timeout=60) for _ in range(PROCESSES * ROUNDS)]
    for child in children:
        child.join()
    assert set(answers) == {""}
    left = {path.name for number in range(ROUNDS) for path in (tmp_path / "bundles" / str(number)).iterdir()}
    assert left == {digest[:16]}

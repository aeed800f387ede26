"""What the manual shows has run: each page's Python and commands, in order, in a project folder of its own."""

from __future__ import annotations

import contextlib
import doctest
import http.client
import io
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import manual
from oito.cli import main

EXAMPLE = manual.DOCS / "examples" / "parcels"
RUN = [page for page in manual.pages() if any(b.language in {"python", "console"} for b in manual.blocks(page))]
LOOKS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="session")
def after_two_weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the example's folder after two weeks in production."""
    folder = tmp_path_factory.mktemp("manual") / "parcels"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".oito", "__pycache__"))
    runpy.run_path(str(EXAMPLE / "two_weeks.py"))["main"](folder)
    return folder


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a page is run: in the example after two weeks, or where it says `begins in an empty folder`."""
    begin = tmp_path / "parcels"
    if "begins in an empty folder" in request.param.read_text():
        begin.mkdir()
    else:
        shutil.copytree(request.getfixturevalue("after_two_weeks"), begin)
        monkeypatch.setenv("OITO_NOW", "2024-03-29")
    monkeypatch.chdir(begin)
    monkeypatch.setenv("COLUMNS", "140")
    return request.param  # type: ignore[no-any-return]  # a page, as parametrized below


@pytest.mark.parametrize("folder", RUN, ids=lambda page: page.name, indirect=True)
def test_what_a_page_shows_has_run(folder: Path) -> None:
    names: dict[str, Any] = {}
    with contextlib.ExitStack() as running:
        for block in manual.blocks(folder):
            place = f"{folder.name}:{block.line}"
            if block.mark.startswith(("file: ", "from: ")):
                _excerpt(block, place)
            elif block.mark.startswith("add to: "):
                with Path(block.mark.removeprefix("add to: ")).open("a") as file:
                    file.write("\n\n" + block.text)
            elif block.language == "python":
                _python(block, names, place)
            elif block.language == "console":
                for command in manual.commands(block):
                    _command(command, running, place)


def _excerpt(block: manual.Block, place: str) -> None:
    how, _, name = block.mark.partition(": ")
    text = (manual.ROOT / name).read_text() if (manual.ROOT / name).exists() else Path(name).read_text()
    assert block.text == text if how == "file" else block.text in text, f"{place}: {name} says otherwise"


def _python(block: manual.Block, names: dict[str, Any], place: str) -> None:
    if ">>>" not in block.text:
        exec(compile(block.text, place, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.text, names, place, place, 0)
    told = io.StringIO()
    doctest.DocTestRunner(optionflags=LOOKS).run(test, out=told.write, clear_globs=False)
    names.update(test.globs)
    assert not told.getvalue(), told.getvalue()


def _command(command: manual.Command, running: contextlib.ExitStack, place: str) -> None:
    program, *words = command.words
    if program == "cd":
        os.chdir(words[0])
    elif program == "make":
        assert re.search(rf"^{words[0]}:", (manual.ROOT / "Makefile").read_text(), re.M), f"{place}: no such target"
    elif program == "pip":
        assert words[0] == "install" and (manual.ROOT / "pyproject.toml").exists()
    elif program == "git":
        subprocess.run([program, *words], check=True)
    elif program == "curl":
        _check(command, _asked(words), place)
    elif program == "oito" and words[-1] == "&":
        running.enter_context(_service(words[:-1]))
    else:
        assert program == "oito", f"{place}: {command.line} is not run"
        _check(command, _told(words, fails=_is_error(command), place=place), place)


def _check(command: manual.Command, output: str, place: str) -> None:
    lost = manual.missing_lines(command.shown, output)
    assert not lost, f"{place}: $ {command.line}\nshows\n" + "\n".join(lost) + "\nbut the output is\n" + output


def _is_error(command: manual.Command) -> bool:
    return any(re.match(r"[A-Z]\w+: ", line) for line in command.shown)


def _told(words: list[str], *, fails: bool, place: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(words)
    assert bool(code) == fails, f"{place}: oito {' '.join(words)} ended with {code}\n{out.getvalue()}"
    return out.getvalue()


@contextlib.contextmanager
def _service(words: list[str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from oito.cli import main; sys.exit(main())", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        _wait_for(int(words[words.index("--port") + 1]), process)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    for _ in range(300):
        assert process.poll() is None, process.communicate()[0]
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing answers on port {port}")


def _asked(words: list[str]) -> str:
    address = next(word for word in words if word.startswith("localhost:"))
    body = words[words.index("-d") + 1] if "-d" in words else None
    host, _, path = address.partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("POST" if body else "GET", f"/{path}", body, {"content-type": "application/json"})
    answer = connection.getresponse().read().decode()
    connection.close()
    return answer

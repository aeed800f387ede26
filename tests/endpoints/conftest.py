"""A real serving process on a free port of this machine, started and ended for a test."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oito.workspace import Workspace

_CHILD = Path(__file__).with_name("serving_child.py")
_PROJECT = Path(__file__).with_name("rides_project.py")
_MAIN = "import sys; from oito.cli.main import main; sys.exit(main())"
NOW = "2026-01-27"


class Serving:
    """One process; `call` sends a request and returns (status, decoded JSON)."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.journal = folder, folder / "journal"
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        if not (folder / "version").exists():
            (folder / "version").write_text("1")
        command = [sys.executable, str(_CHILD), str(folder), *options]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.port = int(json.loads(ready.read_text())["port"])

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def call(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """POST `body` (bytes, or data to be sent as JSON), or GET without one."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = self.connect()
        try:
            connection.request(
                "GET" if data is None else "POST", path, data, {k.replace("_", "-"): v for k, v in headers.items()}
            )
            answer = connection.getresponse()
            content = answer.read()
            is_json = answer.headers["content-type"] == "application/json"
            return answer.status, json.loads(content, parse_constant=_refuse) if is_json else content.decode()
        finally:
            connection.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.process.wait(30)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Return what starts a serving process in the test's folder; every one of them is ended afterwards."""
    started: list[Serving] = []

    def begin(*options: str) -> Serving:
        started.append(Serving(tmp_path, *options))
        return started[-1]

    yield begin
    for serving in started:
        serving.stop(signal.SIGKILL)


@pytest.fixture
def serving(start: Callable[..., Serving]) -> Serving:
    return start()


class Service:
    """`oito serve` in a process of its own, on a free port; `call` sends a request and returns (status, decoded JSON)."""

    def __init__(self, root: Path, *options: str) -> None:
        self.log_path = root / "serve.log"
        command = [sys.executable, "-c", _MAIN, "serve", "-C", str(root), *options]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        self.told = self.process.stdout.readline()
        found = re.search(r":(\d+)/predict", self.told)
        self.port = int(found[1]) if found else 0

    def log(self) -> str:
        return self.log_path.read_text()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def call(self, path: str, body: object = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = self.connect()
        try:
            connection.request("GET" if data is None else "POST", path, data)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read(), parse_constant=_refuse)
        finally:
            connection.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project of rides, run in dev and released to production once for all tests; copy it before you change it."""
    root = tmp_path_factory.mktemp("rides")
    shutil.copy(_PROJECT, root / "project.py")
    (root / "oito.toml").write_text(f'now = "{NOW}"\nserve_port = 0\n')
    workspace = Workspace(root)
    workspace.run()
    workspace.release()
    workspace.close()
    return root


@pytest.fixture
def rides(released: Path, tmp_path: Path) -> Path:
    """A copy of the released project."""
    return shutil.copytree(released, tmp_path / "rides")


@dataclass(frozen=True)
class House:
    """A released project that is being served, and its workspace in production."""

    service: Service
    workspace: Workspace


@pytest.fixture(scope="session")
def house(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One served copy for every test that only asks and looks."""
    root = shutil.copytree(released, tmp_path_factory.mktemp("house") / "rides")
    found = House(Service(root), Workspace(root, environment="production"))
    yield found
    found.service.stop(signal.SIGKILL)
    found.workspace.close()


@pytest.fixture
def production(rides: Path) -> Iterator[Workspace]:
    """The copy's workspace in production."""
    workspace = Workspace(rides, environment="production")
    yield workspace
    workspace.close()


@pytest.fixture
def serve(rides: Path) -> Iterator[Callable[..., Service]]:
    """Return what starts `oito serve` on the copy; every one of them is ended afterwards."""
    started: list[Service] = []

    def begin(*options: str) -> Service:
        started.append(Service(rides, *options))
        return started[-1]

    yield begin
    for service in started:
        service.stop(signal.SIGKILL)


@pytest.fixture
def oito(rides: Path) -> Callable[..., None]:
    """Return what carries out a command on the copy, in a process of its own; one that fails fails the test."""

    def carry_out(*words: str) -> None:
        command = [sys.executable, "-c", _MAIN, *words, "-C", str(rides)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return carry_out

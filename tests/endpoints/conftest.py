"""A real serving process on a free port of this machine, started and ended for a test."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_CHILD = Path(__file__).with_name("serving_child.py")


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

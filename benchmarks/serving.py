"""Requests per second of one-row predictions: oito with its journal on, against FastAPI with the same compiled model and with scikit-learn.

    python benchmarks/serving.py [--seconds 4] [--clients 16]

Every server runs in a process of its own, one after the other, several rounds in the same run; the best round of each counts.
The line "same desk behind uvicorn" is why the endpoint has a protocol of its own.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from table import report

COLUMNS = 20
CATEGORIES = tuple(f"C{n:02d}" for n in range(16))


# The servers; each runs in a child process.


def _models() -> tuple[Any, Any, Any]:
    """Return a fitted 100-tree histogram boosting with two category columns, its twin fitted on bare arrays, and the signature."""
    import numpy as np
    import polars as pl
    from sklearn.ensemble import HistGradientBoostingClassifier

    from oito.catalog import signature

    draw = np.random.default_rng(8)
    numbers = {f"x{n}": draw.normal(size=4000) for n in range(COLUMNS - 2)}
    texts = {f"k{n}": draw.choice(CATEGORIES, 4000) for n in range(2)}
    frame = pl.DataFrame({**numbers, **texts})
    target = pl.Series("late", frame["x0"] + (frame["k0"] < "C08").cast(pl.Float64) + draw.normal(size=4000) > 0.5)
    sign = signature.infer(frame, target, task="classification")
    matrix = sign.matrix(frame)
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=8)
    twin = HistGradientBoostingClassifier(
        max_iter=100, early_stopping=False, random_state=8, categorical_features=[COLUMNS - 2, COLUMNS - 1]
    )
    return model.fit(sign.frame(matrix), target.to_numpy()), twin.fit(matrix, target.to_numpy()), sign


def prepare(folder: Path) -> None:
    """Train once; leave the estimator and its compiled twin in `folder`."""
    import pickle

    from oito.endpoints.compile import compile_model

    model, twin, sign = _models()
    (folder / "model.pickle").write_bytes(pickle.dumps(model))
    (folder / "arrays.pickle").write_bytes(pickle.dumps(twin))
    (folder / "signature.json").write_text(json.dumps(sign.data()))
    compiled = compile_model(model, sign, _sample_rows())
    if compiled.proof.reason:
        raise SystemExit(f"the model did not compile: {compiled.proof.reason}")
    for name, data in compiled.files.items():
        (folder / f"compiled-{name}").write_bytes(data)


def _sample_rows() -> Any:
    import numpy as np

    draw = np.random.default_rng(9)
    rows = draw.normal(size=(256, COLUMNS))
    rows[:, -2:] = draw.integers(0, len(CATEGORIES), size=(256, 2))
    return rows


def _signature(folder: Path) -> Any:
    from oito.catalog.signature import Signature

    return Signature.from_data(json.loads((folder / "signature.json").read_text()))


def _compiled(folder: Path) -> Any:
    """Return X -> probability of being late, by the compiled model."""
    from oito.endpoints import executor

    files = {p.name.removeprefix("compiled-"): p.read_bytes() for p in folder.glob("compiled-*")}
    loaded = executor.load(files, _signature(folder), native=lambda: None)
    return lambda rows: loaded.predict(rows)[:, 1]


def _served(folder: Path) -> Any:
    from oito.endpoints.served import Served

    return Served("delay_risk", "delay_risk:v1", "late:v1", _signature(folder), (), _compiled(folder), ("late",))


def run_oito(folder: Path, port: int) -> None:
    from oito.endpoints.server import serve

    serve(lambda: _served(folder), folder=folder / "journal", port=port)


def run_desk_on_uvicorn(folder: Path, port: int) -> None:
    """The same handler and journal, with uvicorn's HTTP and ASGI in place of our own protocol."""
    import uvicorn

    from oito.clock import stopwatch
    from oito.endpoints.desk import Desk
    from oito.endpoints.http import Request
    from oito.endpoints.journal import Journal

    desk: list[Desk] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        if not desk:
            journal = Journal(folder / "journal-asgi")
            desk.append(
                Desk(
                    _served(folder),
                    journal,
                    call_soon=loop.call_soon,
                    call_soon_threadsafe=loop.call_soon_threadsafe,
                )
            )
        done = loop.create_future()
        request = Request(lambda _, status, body, kind, extra: done.set_result((status, body)), stopwatch())
        request.method, request.path = scope["method"].encode(), scope["path"].encode()
        request.headers = dict(scope["headers"])
        request.body = (await receive())["body"]
        desk[0].handle(request)
        status, body = await done
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(app, port=port, log_level="error", access_log=False, lifespan="off", loop="uvloop", http="httptools")


def run_fastapi(folder: Path, port: int, *, compiled: bool = False, arrays: bool = False) -> None:
    """What a team would write: a typed row, an async route, one call of the model; nothing is journaled."""
    import pickle

    import numpy as np
    import uvicorn
    from fastapi import FastAPI
    from pydantic import create_model

    sign = _signature(folder)
    fields: dict[str, Any] = {c.name: (str if c.kind == "category" else float, ...) for c in sign.columns}
    body_type = create_model("Row", **fields)
    if compiled:
        score = _compiled(folder)
    else:
        estimator = pickle.loads((folder / ("arrays.pickle" if arrays else "model.pickle")).read_bytes())

        def score(rows: Any) -> Any:
            return estimator.predict_proba(rows if arrays else sign.frame(rows))[:, 1]

    app = FastAPI()

    async def predict(row: Any) -> dict[str, float]:
        return {"prediction": float(score(np.array([sign.row(row.model_dump())]))[0])}

    predict.__annotations__["row"] = body_type
    app.post("/predict")(predict)
    uvicorn.run(app, port=port, log_level="error", access_log=False, loop="uvloop", http="httptools")


SERVERS = {
    "oito, journal on": run_oito,
    "same desk behind uvicorn": run_desk_on_uvicorn,
    "FastAPI, same compiled model": lambda folder, port: run_fastapi(folder, port, compiled=True),
    "FastAPI, scikit-learn": lambda folder, port: run_fastapi(folder, port),
    "FastAPI, scikit-learn on arrays": lambda folder, port: run_fastapi(folder, port, arrays=True),
}


# The load: keep-alive clients on raw sockets, each with one request under way.


class Client(asyncio.Protocol):
    def __init__(self, requests: list[bytes], laps: list[float]) -> None:
        self._requests, self._laps, self._place, self._seen = requests, laps, 0, b""
        self.is_over = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._place % len(self._requests)])
        self._place += 1

    def data_received(self, data: bytes) -> None:
        self._seen += data
        end = self._seen.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._seen.index(b"content-length: ") + 16
        if len(self._seen) < end + 4 + int(self._seen[at : self._seen.index(b"\r", at)]):
            return
        if not self._seen.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the server answered {self._seen!r}")
        self._seen = b""
        self._laps.append(time.perf_counter() - self._sent)
        if not self.is_over:
            self._send()


async def load(port: int, *, clients: int, seconds: float) -> tuple[float, float, float]:
    """Return requests per second, p50 and p99 in seconds."""
    laps: list[float] = []
    requests = _requests()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Client(requests, laps), "127.0.0.1", port) for _ in range(clients)]
    await asyncio.sleep(0.5)
    laps.clear()
    begun = time.perf_counter()
    await asyncio.sleep(seconds)
    lasted, count = time.perf_counter() - begun, len(laps)
    ordered = sorted(laps)
    for transport, client in made:
        client.is_over = True
        transport.close()
    return count / lasted, ordered[count // 2], ordered[int(count * 0.99)]


def _requests() -> list[bytes]:
    rows = _sample_rows()
    out = []
    for row in rows:
        named: dict[str, Any] = {f"x{n}": round(float(row[n]), 4) for n in range(COLUMNS - 2)}
        named |= {f"k{n}": CATEGORIES[int(row[COLUMNS - 2 + n])] for n in range(2)}
        body = json.dumps(named).encode()
        head = f"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        out.append(head.encode() + body)
    return out


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def measure(name: str, folder: Path, *, clients: int, seconds: float) -> dict[str, float]:
    import uvloop

    port = _free_port()
    begun = time.perf_counter()
    command = [sys.executable, __file__, "--server", name, "--folder", str(folder), "--port", str(port)]
    # One thread a call is the rivals' best case: with two, scikit-learn's pools spin against each other and the clients.
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"})
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.01)
        boot = time.perf_counter() - begun
        before = _cpu(child.pid)
        rate, p50, p99 = uvloop.run(load(port, clients=clients, seconds=seconds))
        used = _cpu(child.pid) - before
        share = Path(f"/proc/{child.pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]
    finally:
        child.terminate()
        child.wait()
    # The half second of warming is part of the CPU time, so it is counted in the requests too.
    return {
        "rate": rate,
        "p50": p50,
        "p99": p99,
        "boot": boot,
        "cpu": used / (rate * (seconds + 0.5)),
        "mb": int(share) / 1024,
    }


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--server")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    if given.server:
        SERVERS[given.server](given.folder, given.port)
        return
    folder = Path(tempfile.mkdtemp(prefix="oito-serving-"))
    try:
        prepare(folder)
        best: dict[str, dict[str, float]] = {}
        for _ in range(given.rounds):
            for name in SERVERS:
                seen = measure(name, folder, clients=given.clients, seconds=given.seconds)
                if name not in best or seen["rate"] > best[name]["rate"]:
                    best[name] = seen
    finally:
        shutil.rmtree(folder)
    ours = best["oito, journal on"]
    print(f"{given.clients} clients, one row of {COLUMNS} columns, 100 trees")
    for name, seen in best.items():
        print(
            f"{name:<32} {seen['rate']:>8,.0f} req/s  p50 {seen['p50'] * 1e3:6.2f} ms  p99 {seen['p99'] * 1e3:6.2f} ms  "
            f"{seen['cpu'] * 1e6:6.0f} us CPU  {seen['mb']:5.0f} MB  boot {seen['boot']:.2f} s  "
            f"ours: {ours['rate'] / seen['rate']:.1f}x the requests, 1/{seen['cpu'] / ours['cpu']:.1f} of the CPU"
        )
        if name != "oito, journal on":
            report("one-row predictions", ours["rate"], name, seen["rate"], unit="req/s", more_is_better=True)
    print("floors: 3 against FastAPI with the same model, 25 against FastAPI with scikit-learn")


if __name__ == "__main__":
    main()

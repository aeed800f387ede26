"""A project as `oito init` makes it from a table of thirty mixed columns, taken once round the loop: what tests of the faces run on."""

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl

from oito.api.app import application
from oito.cli import services
from oito.show import Page
from oito.workspace import Workspace, actions

Client = Callable[..., httpx.Response]
BEGAN = "2024-06-01T12:00:00Z"
LATER = "2024-06-03T12:00:00Z"
ROWS = 420


def mixed_table(label: str, *, rows: int = ROWS, seed: int = 3) -> pl.DataFrame:
    """Return 30 columns of numbers, texts, booleans and dates with gaps; the last, named `target`, depends on some of them.

    Args:
        label: the type of the target: "bool", "text", "int" (three classes) or "number".
    """
    draw = np.random.default_rng(seed)
    numbers = {f"amount {n}": draw.normal(50, 20, rows).round(2) for n in range(10)}
    counts = {f"count_{n}": draw.integers(0, 9, rows) for n in range(8)}
    texts = {f"group_{n}": np.array(["red", "blue", "grün", "sim, não"])[draw.integers(0, 4, rows)] for n in range(4)}
    flags = {f"is_{n}": draw.random(rows) < 0.4 for n in range(3)}
    strength = (
        (numbers["amount 0"] - 50) / 20
        + 0.4 * (counts["count_0"] - 4)
        + (texts["group_0"] == "red")
        + draw.normal(0, 0.7, rows)
    )
    target: Mapping[str, Any] = {
        "bool": strength > 0.5,
        "text": np.where(strength > 0.5, "gone", "stays"),
        "int": np.digitize(strength, [-0.7, 0.9]),
        "number": (100 + 10 * strength).round(3),
    }
    frame = pl.DataFrame(
        {
            "client_id": [f"c{n:04}" for n in range(rows)],
            **numbers,
            **counts,
            **texts,
            **flags,
            "notes": [f"called on day {n}, said {n * 7919 % 1000}" for n in range(rows)],
            "born": pl.Series([f"19{40 + n % 60}-0{1 + n % 9}-11" for n in range(rows)]),
            "empty": [None] * rows,
            "target": target[label],
        }
    )
    gaps = [name for name in frame.columns if name.startswith(("amount", "group"))]
    missing = {name: draw.random(rows) < 0.08 for name in gaps}
    return frame.with_columns(pl.when(~pl.Series(missing[name])).then(pl.col(name)).alias(name) for name in gaps)


def begin(folder: Path, label: str, **how: str) -> Page:
    """Write the table beside a folder, and a project for it into the folder, with one trial so that tests are quick."""
    table = folder.parent / f"clients {label}.csv"
    mixed_table(label).write_csv(table)
    page = services.init(Workspace(folder.parent, now=BEGAN), str(folder), data=str(table), **how)
    module = folder / "project.py"
    module.write_text(module.read_text().replace("trials=8", "trials=1"))
    return page


def went_round(folder: Path) -> list[dict[str, Any]]:
    """Run, release, serve three predictions, run production two days later; return what was predicted."""
    first = Workspace(folder, now=BEGAN, who="tester")
    first.run()
    first.release("production", message="first")
    first.close()
    questions = pl.read_csv(next((folder / "data").glob("*.csv")), infer_schema_length=None).head(3)
    fields = questions.drop("target", "notes", "born", "empty").to_dicts()
    with serving(folder) as address:
        said = [ask(f"{address}/predict", {**row, "asked_at": "2024-06-02T08:00:00Z"}) for row in fields]
    later = Workspace(folder, now=LATER, environment="production", who="tester")
    later.run()
    later.close()
    return said


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Let `oito serve` answer while the block runs; give its address."""
    command = [
        sys.executable,
        "-c",
        "from oito.cli import main; main()",
        "serve",
        "--port",
        "0",
        "--now",
        "2024-06-02T08:00:00Z",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            found = re.search(r"(http://\S+)/predict", line)
            assert found, f"the endpoint did not start: {line}"
            yield found[1]
        finally:
            child.terminate()
            child.wait(30)


def ask(address: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a POST of JSON."""
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def opened(folder: Path, environment: str = "production") -> Workspace:
    """Open the project at the moment of its last run."""
    return Workspace(folder, now=LATER, environment=environment, who="tester")


def began_at() -> datetime:
    return datetime(2024, 6, 1, 12, tzinfo=UTC)


def client_of(workspace: Workspace, **how: Any) -> Client:
    """Return a function (method, address, …) that gives the pages' answer, without a socket between."""
    app = application(workspace, **how)

    async def once(method: str, address: str, told: Mapping[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8787") as client:
            return await client.request(method, address, **told)

    return lambda method, address, **told: asyncio.run(once(method, address, told))


def page_addresses(pages: Client) -> list[str]:
    """Return an address of every page that there is, of a project that went round."""
    run = pages("GET", "/runs.json").json()["runs"][0]["id"]
    prediction = re.search(r"01[0-9a-f]{30}", pages("GET", "/assets/target_service").text)
    assert prediction, "the endpoint's page lists its predictions"
    words = {
        "name": "target_model:v1", "plural": "experiments", "target": "production", "number": "1", "run": run, "prediction": prediction[0],
        "first": "target_model:v1", "second": "target_model:v1", "endpoint": "target_service", "view": "gaps",
    }  # fmt: skip
    asset = {"/models/": "target_design", "/monitors/": "target_watch", "/experiments/": "target_model"}
    found = []
    for address in (action.page for action in actions() if action.page):
        start = f"/{address.split('/')[1]}/"
        if start not in {"/features/", "/labels/"}:  # the project has one view, on request, and asks no people
            named = {**words, "asset": asset.get(start, "target_service")}
            found.append(re.sub(r"\{(\w+)\}", lambda match, named=named: named[match[1]], address))  # type: ignore[misc]  # bound now
    return [*found, "/assets/target_service", "/assets/target_watch", "/assets/clean_clients_text:v1", "/kinds/monitors",
            "/assets/clients_text:v1", "/assets/target_watch:v2", "/actions"]  # fmt: skip

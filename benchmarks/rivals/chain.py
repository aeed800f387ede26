"""Ten steps that do nothing, one after the other: what a durable step costs in oito and in the tools that run pipelines."""

import subprocess
import tempfile
import time
from pathlib import Path

from venvs import Missing, environment, python_of, told

from oito.workspace import Workspace

from table import missing, report  # isort: skip

STEPS = 10
HEAD = "import json, time\n"
LOOP = """
spent = []
for _ in range(4):
    began = time.perf_counter()
    once()
    spent.append(1000 * (time.perf_counter() - began) / {steps})
print(json.dumps({{"ms": min(spent)}}))
"""
CODES = {
    "dagster": """
from dagster import AssetIn, DagsterInstance, asset, materialize
def made(n):
    if not n:
        @asset(name="d0")
        def step(): return 0
    else:
        @asset(name=f"d{n}", ins={"x": AssetIn(f"d{n - 1}")})
        def step(x): return x + 1
    return step
import logging; logging.disable(logging.CRITICAL)
assets, instance = [made(n) for n in range(10)], DagsterInstance.get()
def once(): assert materialize(assets, instance=instance).success
""",
    "prefect": """
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
@task(persist_result=True, cache_policy=NO_CACHE)
def step(x): return x + 1
@flow
def chain():
    x = 0
    for _ in range(10): x = step(x)
    return x
def once(): assert chain() == 10
""",
    "zenml": """
from zenml import pipeline, step
@step(enable_cache=False)
def first() -> int: return 1
@step(enable_cache=False)
def step_on(x: int) -> int: return x + 1
@pipeline(enable_cache=False)
def chain():
    x = first()
    for _ in range(9): x = step_on(x)
def once(): chain()
""",
    "hamilton": """
import types
from hamilton import driver
chain = types.ModuleType("chain")
exec("def d0() -> int: return 0" + "".join(f"\\ndef d{n}(d{n - 1}: int) -> int: return d{n - 1} + 1" for n in range(1, 10)), vars(chain))
import sys; sys.modules["chain"] = chain
for name in list(vars(chain)):
    if name.startswith("d"): vars(chain)[name].__module__ = "chain"
def once():
    built = driver.Builder().with_modules(chain).with_cache(path="cache", recompute=True).build()
    assert built.execute(["d9"])["d9"] == 9
""",
}
METAFLOW = "from metaflow import FlowSpec, step\nclass Chain(FlowSpec):\n"


def main() -> None:
    """Report milliseconds per step, the best of several runs in one process; Metaflow's are processes, start-up taken off."""
    with tempfile.TemporaryDirectory() as folder:
        fresh, cached = _ours(Path(folder))
    for name in ("dagster", "prefect", "zenml", "metaflow", "hamilton"):
        try:
            theirs = _metaflow() if name == "metaflow" else _theirs(name)
        except Missing as reason:
            missing("a durable step", name, str(reason))
            continue
        if name == "hamilton":
            report("a step", fresh, "hamilton, values only", theirs, at_most=8.0)
        else:
            report("a durable step", fresh, name, theirs, at_most=8.0, times=5.0)
            report("the same with nothing to do", cached, f"{name} runs it", theirs, at_most=1.0)


def _ours(root: Path) -> tuple[float, float]:
    """Return milliseconds per step: made, and found to be as it should."""
    fresh, cached = [], []
    for turn in range(6):
        lines = [f"    return pl.DataFrame({{'n': [{turn + n}]}})\n" for n in range(STEPS)]
        (root / "project.py").write_text(
            "import polars as pl\nimport oito\n"
            + "".join(f"@oito.dataset\ndef d{n}({f'd{n - 1}' if n else ''}):\n{lines[n]}" for n in range(STEPS))
        )
        workspace = Workspace(root, environment="dev")
        workspace.site.project  # noqa: B018  # reading the project is no part of a step
        for spent in (fresh, cached):
            began = time.perf_counter()
            workspace.run()
            spent.append(1000 * (time.perf_counter() - began) / STEPS)
        workspace.close()
    return min(fresh), min(cached)


def _theirs(name: str) -> float:
    return told(name, HEAD + CODES[name] + LOOP.format(steps=STEPS))["ms"]


def _metaflow() -> float:
    """Return milliseconds per step: the time of ten steps more than two, over eight."""
    with tempfile.TemporaryDirectory() as folder:
        long, short = (min(_metaflow_run(Path(folder), steps) for _ in range(2)) for steps in (STEPS, 2))
    return (long - short) / (STEPS - 2)


def _metaflow_run(folder: Path, steps: int) -> float:
    names = ["start", *(f"d{n}" for n in range(1, steps - 1)), "end"]
    bodies = []
    for n, name in enumerate(names):
        after = f"        self.next(self.{names[n + 1]})\n" if n + 1 < steps else ""
        bodies.append(f"    @step\n    def {name}(self):\n        self.x = {n}\n{after}")
    flow = folder / f"chain{steps}.py"
    flow.write_text(METAFLOW + "".join(bodies) + "if __name__ == '__main__': Chain()\n")
    python, began = python_of("metaflow"), time.perf_counter()
    run = subprocess.run(
        [str(python), str(flow), "--quiet", "run"], cwd=folder, env=environment("metaflow", folder),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if run.returncode:
        raise Missing((run.stderr or run.stdout).strip().splitlines()[-1][:120])
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()

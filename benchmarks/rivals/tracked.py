"""A thousand metrics logged one by one, in oito and in two experiment trackers that keep them on the same machine."""

import tempfile
from pathlib import Path

from venvs import Missing, told

from oito.workspace import Workspace

from table import missing, report  # isort: skip

POINTS = 1_000
PROJECT = """
import time
import polars as pl
import oito

@oito.dataset
def trained() -> pl.DataFrame:
    began = time.perf_counter()
    for step in range({points}):
        oito.log_metric("loss", 1 / (step + 1), step=step)
    return pl.DataFrame({{"ms": [1000 * (time.perf_counter() - began)]}})
"""
LOOP = """
import json, time
{code}
began = time.perf_counter()
for step in range({points}): log("loss", 1 / (step + 1), step)
print(json.dumps({{"ms": 1000 * (time.perf_counter() - began)}}), flush=True)
"""
CODES = {
    "mlflow": """
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.start_run()
def log(name, value, step): mlflow.log_metric(name, value, step=step)
log("warm", 0.0, 0)
""",
    "aim": """
from aim import Run
run = Run(repo=".", system_tracking_interval=None, log_system_params=False, capture_terminal_logs=False)
def log(name, value, step): run.track(value, name=name, step=step)
log("warm", 0.0, 0)
""",
}


def main() -> None:
    """Report milliseconds of the thousand."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "project.py").write_text(PROJECT.format(points=POINTS))
        workspace = Workspace(folder, environment="dev")
        workspace.run()
        ours = float(workspace["trained"].frame()["ms"][0])
        workspace.close()
    for name, code in CODES.items():
        try:
            theirs = told(name, LOOP.format(code=code, points=POINTS))["ms"]
        except Missing as reason:
            missing(f"{POINTS:,} metrics, one by one", name, str(reason))
            continue
        report(f"{POINTS:,} metrics, one by one", ours, name, theirs, at_most=50.0)


if __name__ == "__main__":
    main()

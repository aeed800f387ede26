"""Rivals in throw-away virtual environments under `build/rivals`, made on demand, with telemetry off and proxies that lead nowhere."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # where `table` and the other scripts are

# Newest versions of November 2026 that install and run on Python 3.11; what stands behind them mends a broken release.
PINS: Mapping[str, Sequence[str]] = {
    "dagster": ["dagster==1.13.29"],
    "prefect": ["prefect==3.8.8", "fastapi==0.139.0"],  # later ones have parted with what it imports
    "zenml": ["zenml[local]==0.98.0"],
    "metaflow": ["metaflow==2.19.39"],
    "hamilton": ["sf-hamilton[visualization]==1.90.0"],
    "mlflow": ["mlflow==3.17.2"],
    "kedro": ["kedro==1.7.0"],
    "aim": ["aim==3.29.1"],
    "deltalake": ["deltalake==1.6.6", "pyarrow==26.0.1"],
    "pyiceberg": ["pyiceberg[pyarrow,sql-sqlite]==0.12.0"],
    "lance": ["pylance==14.0.2"],
}

_QUIET = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "ZENML_ANALYTICS_OPT_IN": "false",
    "ZENML_LOGGING_VERBOSITY": "ERROR",
    "HAMILTON_TELEMETRY_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "AIM_UI_TELEMETRY_ENABLED": "0",
    "METAFLOW_USER": "bench",
    "NO_PROXY": "localhost,127.0.0.1",
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),  # nobody listens there
}


class Missing(Exception):
    """The rival cannot be measured here; the text says why."""


def python_of(name: str) -> Path:
    """Return the Python of a rival's environment, which is made when it is not there yet.

    Raises:
        Missing: it cannot be installed.
    """
    folder = ROOT / "build" / "rivals" / name
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS[name]]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise Missing(f"pip: {_last_line(run.stderr)}")
        ready.touch()
    return python


def told(name: str, code: str, *arguments: str, timeout_s: float = 300.0) -> dict[str, float]:
    """Run Python in a rival's environment and in an empty folder, and return the JSON of its last line.

    Raises:
        Missing: it cannot be installed, fails or takes too long.
    """
    python = python_of(name)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "bench.py")  # some look for the file of the main module
        script.write_text(code)
        try:
            run = subprocess.run(
                [str(python), str(script), *arguments], cwd=folder, env=environment(name, Path(folder)),
                capture_output=True, text=True, timeout=timeout_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing(f"not done after {timeout_s:.0f} s") from None
    lines = [line for line in run.stdout.splitlines() if line.startswith("{")]
    if not lines:  # the exit code does not count: some abort when all is done
        raise Missing(_last_line(run.stderr or run.stdout) or f"exit code {run.returncode}")
    found: dict[str, float] = json.loads(lines[-1])
    return found


def environment(name: str, home: Path) -> dict[str, str]:
    """Return the variables a rival runs with: its own programs first, its home in an empty folder."""
    path = os.pathsep.join([str(ROOT / "build" / "rivals" / name / "bin"), os.environ["PATH"]])
    homes = dict.fromkeys(("HOME", "DAGSTER_HOME", "PREFECT_HOME", "ZENML_CONFIG_PATH"), str(home))
    return {**os.environ, **_QUIET, **homes, "PATH": path}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:120] if lines else ""

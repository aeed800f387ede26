"""How soon a tool is there: importing it, and asking for its help, each in a new process, in turns with oito."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from venvs import Missing, environment, python_of

from table import missing, report  # isort: skip

TURNS = 5
IMPORTS = {"dagster": "dagster", "prefect": "prefect", "zenml": "zenml", "metaflow": "metaflow",
           "hamilton": "hamilton.driver", "mlflow": "mlflow", "kedro": "kedro.pipeline"}  # fmt: skip
HELPS = ("dagster", "prefect", "zenml", "metaflow", "mlflow", "kedro")
OURS = {"import": "import oito", "help": "from oito.cli import main; main(['--help'])"}


def main() -> None:
    """Report wall milliseconds, the least of several turns."""
    for name, module in IMPORTS.items():
        _compare(name, "import oito", OURS["import"], ["-c", f"import {module}"], at_most=150.0)
    for name in HELPS:
        program = f"import sys, shutil, runpy; sys.argv = [{name!r}, '--help']; runpy.run_path(shutil.which({name!r}))"
        code = program.replace("run_path(", "run_path(run_name='__main__', path_name=")
        _compare(name, "oito --help", OURS["help"], ["-c", code], at_most=None)


def _compare(name: str, what: str, ours: str, theirs: list[str], *, at_most: float | None) -> None:
    try:
        python = python_of(name)
        with tempfile.TemporaryDirectory() as folder:
            home, least = Path(folder), [float("inf"), float("inf")]
            for _ in range(TURNS):
                least[0] = min(least[0], _ms([sys.executable, "-c", ours], None, home))
                least[1] = min(least[1], _ms([str(python), *theirs], environment(name, home), home))
    except Missing as reason:
        missing(what, name, str(reason))
        return
    report(what, least[0], name, least[1], at_most=at_most)


def _ms(command: list[str], variables: dict[str, str] | None, home: Path) -> float:
    began = time.perf_counter()
    run = subprocess.run(command, cwd=home, env=variables, capture_output=True, text=True, timeout=120)
    if run.returncode:
        raise Missing((run.stderr or run.stdout).strip().splitlines()[-1][:120])
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()

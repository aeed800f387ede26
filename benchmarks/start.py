"""How soon oito is there: `import oito`, `oito --help` and `oito settings` against a bare Python, in modules and in time.

Every command runs in processes of its own, in turns with `python -c pass`, so that a busy machine slows all alike; the least
of the runs counts, because nothing makes a process faster than it is. CPU seconds are those of the children.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time

from table import report

TURNS = 9
GOALS_MS = {"import oito": 150.0, "oito --help": 250.0}


def main() -> None:
    with tempfile.TemporaryDirectory() as empty:
        run = f"from oito.cli import main; main([{{!r}}, '-C', {empty!r}])"
        commands = {
            "python -c pass": "pass",
            "import oito": "import oito",
            "oito --help": "from oito.cli import main; main(['--help'])",
            "oito settings": run.format("settings"),
        }
        least = {name: (float("inf"), float("inf")) for name in commands}
        for _ in range(TURNS):
            for name, code in commands.items():
                wall, cpu = timed(code)
                least[name] = (min(least[name][0], wall), min(least[name][1], cpu))
        floor = least["python -c pass"]
        for name, code in list(commands.items())[1:]:
            wall, cpu = least[name]
            report(
                f"{name}, {modules(code)} modules",
                wall * 1000,
                "python -c pass",
                floor[0] * 1000,
                at_most=GOALS_MS.get(name),
            )
            print(f"  CPU {cpu * 1000:.0f} ms, {cpu / max(floor[1], 1e-3):.1f}x a bare Python")


def timed(code: str) -> tuple[float, float]:
    """Return (wall, CPU) seconds of one process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True, env=_environment())
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def modules(code: str) -> int:
    """Return how many modules are loaded at the end."""
    counted = f"{code}\nimport sys; print(len(sys.modules), file=sys.stderr)"
    run = subprocess.run(
        [sys.executable, "-c", counted], capture_output=True, text=True, check=True, env=_environment()
    )
    return int(run.stderr)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OITO_")}


if __name__ == "__main__":
    main()

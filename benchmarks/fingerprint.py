"""What keying a project's code costs: symbols per second, as a ratio to parsing the same files with `ast.parse` alone."""

import ast
import importlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import report

from oito.flow.code.closure import Closure, closure

MODULES, FUNCTIONS, REPEATS = 10, 20, 5


def written_project(folder: Path) -> list[Path]:
    """Write modules of functions with constants, a class each, and one function that reaches them all."""
    files = []
    for module in range(MODULES):
        lines = ["import math", f"import part{module + 1}" if module + 1 < MODULES else "", "LIMIT = 10"]
        for n in range(FUNCTIONS):
            below = (
                f"step{n - 1}(rows)" if n else (f"part{module + 1}.step{FUNCTIONS - 1}(rows)" if lines[1] else "rows")
            )
            lines += [
                f"def step{n}(rows, least={n}):",
                f'    """Return the rows of step {n}, each at least `least`."""',
                "    kept = [row for row in rows if row is not None and row < LIMIT]",
                "    total = sum(math.sqrt(abs(row)) for row in kept)",
                "    if total > least:",
                "        kept = sorted(kept, key=lambda row: (row % 7, -row))",
                "    found = {row: {'half': row / 2, 'name': f'{row:>4}'} for row in kept}",
                "    for name, value in found.items():",
                "        value['all'] = (name, total, least)",
                f"    return {below}",
            ]
        files.append(folder / f"part{module}.py")
        files[-1].write_text("\n".join(lines) + "\n")
    project = folder / "project.py"
    project.write_text(f"import part0\ndef asset(rows): return part0.step{FUNCTIONS - 1}(rows)\n")
    return [*files, project]


def spent(work: object) -> float:
    """Return the CPU seconds of one call."""
    started = time.process_time()
    work()  # type: ignore[operator]  # a callable
    return time.process_time() - started


def main() -> None:
    """Print the figures; each cold figure is from a process of its own."""
    if len(sys.argv) > 1:
        cold(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        written_project(Path(folder))
        for number in range(REPEATS):
            is_last = number + 1 == REPEATS
            subprocess.run([sys.executable, __file__, folder, *(["last"] if is_last else [])], check=True)


def cold(folder: Path) -> None:
    """Measure one closure in this process, first time and second, and the floor."""
    sys.path.insert(0, str(folder))
    project = importlib.import_module("project")
    texts = [file.read_text() for file in sorted(folder.glob("*.py"))]
    floor = spent(lambda: [ast.parse(text) for text in texts])
    found: list[Closure] = []
    first = spent(lambda: found.append(closure(project.asset, roots=[folder])))
    again = spent(lambda: found.append(closure(project.asset, roots=[folder])))
    symbols = len(found[0].code)
    print(
        f"{symbols} symbols: cold {first:.3f} s CPU, {symbols / first:,.0f} symbols/s, {first / floor:.1f} x ast.parse"
        f" ({floor:.3f} s); warm {again:.3f} s, {again / floor:.1f} x"
    )
    if "last" in sys.argv:
        report(f"keying {symbols} symbols, cold", 1000 * first, "ast.parse of them", 1000 * floor, unit="CPU ms")


if __name__ == "__main__":
    main()

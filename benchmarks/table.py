"""The one table of `make bench`: runs every script here and in `rivals`, and sums up what they reported. It measures nothing itself.

`python benchmarks/table.py storage rivals` runs those alone whose path has one of the words.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
_ROWS = "OITO_BENCH_ROWS"  # the file that scripts report to while `make bench` runs them
_COLUMNS = ("what", "oito", "rival or floor", "its figure", "ratio", "aim")


def report(
    what: str,
    ours: float,
    rival: str,
    theirs: float,
    *,
    unit: str = "ms",
    more_is_better: bool = False,
    at_most: float | None = None,
    times: float | None = None,
) -> None:
    """Print one comparison, and keep it for the table when there is to be one.

    Args:
        ours, theirs: the two figures, in `unit`.
        more_is_better: whether the figure is one of which more is better, such as MB/s.
        at_most: the aim for our figure; `times` is the aim for how many times better it is than the rival's.
    """
    ratio = ours / theirs if more_is_better else theirs / ours
    aims = []
    if at_most is not None:
        aims.append(f"≤ {at_most:g} {unit} {'✓' if ours <= at_most else '✗'}")
    if times is not None:
        aims.append(f"≥ {times:g}× {'✓' if ratio >= times else '✗'}")
    row = (what, f"{_text(ours)} {unit}", rival, f"{_text(theirs)} {unit}", f"{_text(ratio)}×", ", ".join(aims))
    _keep(row)


def missing(what: str, rival: str, reason: str) -> None:
    """Print that a rival could not be measured, and why."""
    _keep((what, "", rival, f"not measured: {reason}", "", ""))


def main() -> None:
    """Run every script, one at a time; the table comes last, also when a script failed."""
    scripts = [*sorted(path for path in HERE.glob("*.py") if path != Path(__file__)), HERE / "rivals" / "all.py"]
    words, failed = sys.argv[1:], []
    scripts = [each for each in scripts if not words or any(word in str(each.relative_to(HERE)) for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows")
        rows.touch()
        for script in scripts:
            print(f"== {script.relative_to(HERE.parent)}", flush=True)
            if subprocess.run([sys.executable, script], env={**os.environ, _ROWS: str(rows)}).returncode:
                failed.append(script.name)
        print()
        _draw([_COLUMNS, *(tuple(json.loads(line)) for line in rows.read_text().splitlines())])
    print("A ratio of 5× says that oito is five times better; below 1× it is worse, as against a floor it must be.")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _keep(row: tuple[str, ...]) -> None:
    what, ours, rival, theirs, ratio, aim = row
    print(f"{what}: {ours}; {rival} {theirs}" + (f"; {ratio}" if ratio else "") + (f"; aim {aim}" if aim else ""))
    if _ROWS in os.environ:
        with Path(os.environ[_ROWS]).open("a") as file:
            file.write(json.dumps(row) + "\n")


def _draw(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _text(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    main()

"""Writes the page on estimators from what it measures: each is fitted, kept, asked and made again. `python docs/estimators.py` takes minutes.

How each stands in a design is said in estimator_cases.py. Fits run in processes of their own, with another hash seed and
another number of threads each; experiments run in a real project, and `oito reproduce` makes each one again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

import estimator_cases as cases  # noqa: E402  # it stands beside

ROWS = 200
HERE = Path(__file__).resolve()
GENERATED = "<!-- written by docs/estimators.py -->"
LIBRARIES = {"sklearn": "scikit-learn", "lightgbm": "LightGBM", "xgboost": "XGBoost"}
KEPT, DIFFERS = "yes", "differs"
_RANKERS = frozenset({"LGBMRanker", "XGBRanker"})
_OF_FIT = ("predict", "predict_proba", "decision_function", "transform", "score_samples")

PROJECT = '''"""Every estimator in an experiment of its own, on a few made-up rows."""
from datetime import datetime, timedelta, timezone

import numpy as np
import polars as pl

import estimator_cases as cases
import oito

@oito.source(key="id")
def rows(since):
    rng = np.random.default_rng(3)
    numbers = {name: rng.random(ROWS) for name in ("a", "b", "c")}
    begin = datetime(2024, 1, 1, tzinfo=timezone.utc)
    return pl.DataFrame({
        "id": np.arange(ROWS), "at": [begin + timedelta(hours=n) for n in range(ROWS)], **numbers,
        "n": rng.integers(0, 3, ROWS), "text": rng.choice(["old red", "new red", "new blue", "old"], ROWS),
        "value": 0.1 + 2 * numbers["a"] + rng.random(ROWS), "is_high": numbers["a"] + 0.3 * rng.random(ROWS) > 0.65,
    })

@oito.dataset(key="id")
def known(rows):
    return rows.with_columns(known_at=pl.col("at") + pl.duration(hours=1))

@oito.labels(entity="id", time="at", known_at="known_at")
def classification(known):
    return known.select("id", "at", "known_at", "a", "b", "c", "n", "text", classification="is_high")

@oito.labels(entity="id", time="at", known_at="known_at")
def regression(known):
    return known.select("id", "at", "known_at", "a", "b", "c", "n", "text", regression="value")
'''
DESIGN = """
@oito.model(labels={task}, task="{task}", exclude={exclude}, baselines=[])
def design_{name}():
    return cases.build("{name}")
"""
PLAIN = "{experiment} = oito.experiment(model=design_{name}, trials=1)\n"
COLUMN = """@oito.experiment(model=design_{name}, trials=1)
def {experiment}(estimator, train, valid):
    return estimator.fit(train.X, train.y[:, None])
"""


@dataclass(frozen=True)
class Measured:
    """What became of one estimator: the reason where it is not "yes"."""

    name: str
    library: str
    same_bytes: str
    same_answers: str
    reproduced: str

    @property
    def cells(self) -> list[str]:
        return [f"`{self.name}`", self.same_bytes, self.same_answers, self.reproduced]


def measured(names: Sequence[str], *, reproduced: Sequence[str] | None = None, jobs: int = 2) -> list[Measured]:
    """Return what is measured of the estimators; `reproduced` are those that also stand in experiments, by default all."""
    libraries = cases.names()
    with tempfile.TemporaryDirectory() as told, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 200 rows are few is known
        folder = Path(told)
        kept = _kept(names, folder)
        again = _reproduced([n for n in reproduced or names if not cases.outside(n)], folder / "project", jobs)
    return [Measured(n, libraries[n], *kept[n], cases.outside(n) or again.get(n, "")) for n in names]


# Fitted in two processes, asked in a third


def _kept(names: Sequence[str], folder: Path) -> dict[str, tuple[str, str]]:
    """Return name → whether two fits gave the same bytes, and whether what was loaded gave the same answers."""
    one, two = (_child("fit", names, folder / number, number) for number in ("1", "2"))
    asked = _child("ask", names, folder / "1", "1")
    found = {}
    for name in names:
        first, second = one[name], two[name]
        if "error" in first:
            found[name] = (first["error"], first["error"])
            continue
        answers = KEPT if asked[name] == {"answers": first["answers"]} else DIFFERS
        found[name] = (KEPT if first["files"] == second.get("files") else DIFFERS, answers)
    return found


def _child(verb: str, names: Sequence[str], folder: Path, number: str) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), number)
    env = {**os.environ, **threads, "PYTHONHASHSEED": number}
    subprocess.run([sys.executable, str(HERE), verb, str(folder), *names], env=env, check=True, stdout=sys.stderr)
    found: dict[str, Any] = json.loads((folder / f"{verb}.json").read_text())
    return found


def _fit(names: Sequence[str], folder: Path) -> dict[str, Any]:
    from oito.experiments import boosters, model_files, seeds
    from oito.experiments.trained import steady
    from oito.storage.digests import digest

    found: dict[str, Any] = {}
    for name in names:
        try:
            estimator = seeds.apply(cases.bare(name), 7)
            rows, arguments = _sample(name)
            boosters.prepare(estimator, rows)
            with steady(1):
                estimator.fit(*arguments, **({"group": [ROWS // 4] * 4} if name in _RANKERS else {}))
                said = _said(estimator, arguments[0])
            files = model_files.dump(estimator, trusted=_trusted())
        except Exception as error:  # a measurement tells of everything that may happen
            found[name] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"}
            continue
        for part, data in files.items():
            (folder / f"{name}-{part}").write_bytes(data)
        found[name] = {"files": digest(sorted(files.items())), "answers": said}
    return found


def _ask(names: Sequence[str], folder: Path) -> dict[str, Any]:
    from oito.experiments import model_files
    from oito.experiments.trained import steady

    found: dict[str, Any] = {}
    for name in names:
        paths = {part: folder / f"{name}-{part}" for part in (model_files.TREE, model_files.ARRAYS)}
        if not paths[model_files.TREE].exists():
            continue
        files = {part: path.read_bytes() for part, path in paths.items()}
        estimator = model_files.load(files, trusted=_trusted())
        with steady(1):
            said = _said(estimator, _sample(name)[1][0])
        found[name] = {
            "answers": said if model_files.dump(estimator, trusted=_trusted()) == files else "written otherwise"
        }
    return found


def _said(estimator: Any, rows: Any) -> str:
    """Return a digest of all that an estimator answers about some rows."""
    from scipy import sparse

    from oito.storage.digests import digest

    answers = []
    for method in _OF_FIT:
        if not hasattr(estimator, method) or (method == "transform" and type(estimator).__name__ == "PatchExtractor"):
            continue
        given = getattr(estimator, method)(rows)
        dense = given.toarray() if sparse.issparse(given) else given
        each = dense if isinstance(dense, list | tuple) else [dense]
        answers.append((method, [_bytes(part) for part in each]))
    return digest(answers)


def _bytes(part: Any) -> bytes:
    import numpy as np

    array = np.asarray(part)
    return repr(array.tolist()).encode() if array.dtype == object else array.dtype.str.encode() + array.tobytes()


def _sample(name: str) -> tuple[Any, tuple[Any, ...]]:
    """Return the frame an estimator would see, and what it is fitted on, which is another thing for a few."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(3)
    frame = pl.DataFrame({**{n: rng.random(ROWS) for n in "abc"}, "n": rng.integers(0, 3, ROWS).astype(float)})
    texts = pl.Series("text", rng.choice(["old red", "new red", "new blue", "old"], ROWS))
    is_high = (frame["a"].to_numpy() + 0.3 * rng.random(ROWS) > 0.65).astype(float)
    value = 0.1 + 2 * frame["a"].to_numpy() + rng.random(ROWS)
    odd: Mapping[str, tuple[Any, ...]] = {
        "KernelCenterer": (frame.to_numpy() @ frame.to_numpy().T,),
        "LabelBinarizer": (texts.to_numpy(),),
        "LabelEncoder": (texts.to_numpy(),),
        "MultiLabelBinarizer": ([text.split() for text in texts],),
        "PatchExtractor": (frame.to_numpy().reshape(ROWS, 2, 2),),
    }
    if name in odd:
        return frame, odd[name]
    rows = frame.with_columns(texts) if name in cases.OF_TEXT else frame
    y = value if cases.task(name) == "regression" else is_high
    if name in {"ClassifierChain", "MultiOutputClassifier"}:
        return rows, (rows, np.c_[is_high, 1 - is_high])
    if name in _RANKERS:
        return rows, (rows, (2 * value).astype(int))
    return rows, (rows, y[:, None] if name in cases.COLUMN else y)


def _trusted() -> list[str]:
    return [f"{cases.__name__}.{each.__name__}" for each in (cases.as_dicts, cases.as_words)]


# Made in an experiment, and made again


def _reproduced(names: Sequence[str], root: Path, jobs: int) -> dict[str, str]:
    from oito.clock import VirtualClock, moment
    from oito.flow import runner
    from oito.workspace import Workspace

    root.mkdir()
    (root / "project.py").write_text(project(names))
    (root / "oito.toml").write_text(f"trusted = {json.dumps(_trusted())}\nonline = false\n")
    shutil.copy(FOLDER / "estimator_cases.py", root)
    space = Workspace(root, clock=VirtualClock(moment("2024-02-01")), who="table")
    try:
        errors = runner.run(space.site, [_experiment(name) for name in names]).errors
        told = {_experiment(name): name for name in names}
        found = {told.get(asset, asset): error.what for asset, error in errors.items()}
        with ThreadPoolExecutor(jobs) as pool:
            made = [name for name in names if name not in found]
            return found | dict(zip(made, pool.map(lambda name: _again(space.site, name), made), strict=True))
    finally:
        space.close()


def _again(site: Any, name: str) -> str:
    from oito.errors import OitoError
    from oito.flow.remaking.reproduction import reproduce

    try:
        found = reproduce(site, site.catalog.find(_experiment(name), "dev"))
    except OitoError as error:
        return error.what
    return KEPT if found.verdict == "bit-equal" else found.text


def _experiment(name: str) -> str:
    return f"of_{name}"


def project(names: Sequence[str]) -> str:
    """Return the text of a project with an experiment for each of the estimators."""
    parts = [PROJECT.replace("ROWS", str(ROWS))]
    for name in names:
        exclude = [] if name in cases.OF_TEXT else [cases.TEXT]
        parts.append(DESIGN.format(name=name, task=cases.task(name), exclude=exclude))
        parts.append((COLUMN if name in cases.COLUMN else PLAIN).format(name=name, experiment=_experiment(name)))
    return "\n".join(parts)


# The page


def page(found: Sequence[Measured]) -> str:
    """Return the manual's page."""
    from importlib.metadata import version

    import sklearn

    parts = [
        "# Estimators", "",
        "Which estimators give the same model file from the same fit, are read back without pickle, and are made again bit by bit.",
        "", GENERATED, "",
        "Each is fitted on 200 rows in two processes, with another hash seed and another number of threads. *Same file*: the two "
        "model files are the same bytes. *Same answers*: a third process reads the file and gives the same bits for the same rows. "
        "*Reproduced*: it stands in an experiment (a transformer before a simple model), and `oito reproduce` says *bit-equal*.",
        "", "| library | estimators | same file | same answers | reproduced |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for library, title in LIBRARIES.items():
        rows = [each for each in found if each.library == library]
        counts = [sum(getattr(each, column) == KEPT for each in rows) for column in _COLUMNS]
        label = (
            sklearn.__version__ if library == "sklearn" else version({"xgboost": "xgboost-cpu"}.get(library, library))
        )
        parts.append(f"| {title} {label} | {len(rows)} | {' | '.join(map(str, counts))} |")
    parts += [
        "",
        "The native boosters of LightGBM and XGBoost serve as well: an experiment's function may return one.",
        "",
    ]
    parts += ["## What does not, and why", "", "| estimator | what | why |", "|---|---|---|", *_exceptions(found), ""]
    parts += ["## All of them", "", "| estimator | same file | same answers | reproduced |", "|---|---|---|---|"]
    parts += [f"| {' | '.join(_short(each))} |" for each in sorted(found, key=lambda each: each.name.lower())]
    return "\n".join(parts) + "\n"


_COLUMNS = {"same_bytes": "same file", "same_answers": "same answers", "reproduced": "reproduced"}


def _exceptions(found: Sequence[Measured]) -> Iterator[str]:
    why: dict[tuple[str, str], list[str]] = {}
    for each in found:
        for column, title in _COLUMNS.items():
            if getattr(each, column) != KEPT:
                why.setdefault((title, getattr(each, column)), []).append(f"`{each.name}`")
    for (title, reason), names in sorted(why.items()):
        yield f"| {', '.join(names)} | {title} | {_REASONS.get(reason, reason)} |"


_REASONS = {DIFFERS: "its fit depends on the number of threads or on chance that has no seed"}


def _short(each: Measured) -> list[str]:
    return [each.cells[0], *(cell if cell in {KEPT, DIFFERS} else "no" for cell in each.cells[1:])]


def main() -> None:
    if len(sys.argv) > 2:
        warnings.simplefilter("ignore")
        verb, folder, *names = sys.argv[1:]
        found = {"fit": _fit, "ask": _ask}[verb](names, Path(folder))
        (Path(folder) / f"{verb}.json").write_text(json.dumps(found))
        return
    (FOLDER / "estimators.md").write_text(page(measured(list(cases.names()))))


if __name__ == "__main__":
    main()

"""Edits to small projects as test material: how a case is written down, made into folders, and read before and after."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oito.flow.fingerprint import causes

_CHILD = """
import json, sys, traceback, warnings
from pathlib import Path
from oito.errors import DeclarationError
from oito.flow.code.closure import closure
sys.dont_write_bytecode = True
warnings.simplefilter("ignore")
answers = {}
import numpy, polars
known = set(sys.modules)
for folder in json.load(sys.stdin):
    sys.path.insert(0, folder)
    try:
        import project
        found = closure(project.asset, roots=[Path(folder)])
        answers[folder] = {
            "code": dict(found.code),
            "values": {name: key for name, key in found.values.items() if name != "tuple"},
            "packages": dict(found.packages),
            "shown": dict(found.shown),
            "places": {name: f"{Path(file).name}:{line}" for name, (file, line) in found.places.items()},
        }
    except DeclarationError as error:
        answers[folder] = str(error)
    except Exception:
        answers[folder] = "crashed: " + traceback.format_exc()
    sys.path.remove(folder)
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
            del sys.modules[name]
json.dump(answers, sys.stdout)
"""

Answer = dict[str, Any] | str  # the record of a project's `asset`, or the text of its error
Answers = dict[tuple[str, bool, int], Answer]  # by case, whether edited, and the order of sets


@dataclass(frozen=True)
class Case:
    """`files` is the project, each file under a line `# name.py`; `edit` is (old, new); `why` is the first cause told.

    The verdict is `stale`, `fresh` or `error`; of an error, `why` is the first line. `…` in it stands for anything.
    """

    name: str
    verdict: str
    why: str
    files: str
    edit: tuple[str, str] = ("", "")


def read(cases: Sequence[Case], home: Path) -> Answers:
    """Return all projects before and after their edit, as two processes with different orders of sets read them."""
    folders = {}
    for number, case in enumerate(cases):
        for edited in (False, True):
            folders[case.name, edited] = home / f"{number}{'b' if edited else 'a'}"
            _write(case, folders[case.name, edited], edited=edited)
    assert len(folders) == 2 * len(cases), "two cases have one name"
    found = {seed: _answers(list(folders.values()), hash_seed=seed) for seed in (1, 2)}
    return {(*key, seed): found[seed][str(folder)] for key, folder in folders.items() for seed in (1, 2)}


def judge(case: Case, answers: Answers) -> None:
    """Hold the verdict and the first cause of an edit against what was expected."""
    before, after = answers[case.name, False, 1], answers[case.name, True, 1]
    assert isinstance(before, dict), before
    if case.verdict == "error":
        assert isinstance(after, str)
        assert after.partition("\n")[0] == case.why
        return
    assert isinstance(after, dict), after
    told = [cause.text for cause in causes(before, after)]
    assert ("stale" if told else "fresh") == case.verdict, told
    pattern = ".*".join(map(re.escape, case.why.split("…")))
    assert re.fullmatch(pattern, (told or [""])[0]), told
    for seeded in (False, True):
        assert answers[case.name, seeded, 1] == answers[case.name, seeded, 2], "two processes disagree"


def _write(case: Case, folder: Path, *, edited: bool) -> None:
    text = case.files
    if edited and case.edit[0]:
        assert case.edit[0] in text, f"{case.name}: the edit does not fit"
        text = text.replace(*case.edit)
    file: Path | None = None
    for line in text.strip().splitlines(keepends=True):
        if line.startswith("# ") and line.strip().endswith((".py", ".txt")):
            file = folder / line[2:].strip()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        else:
            assert file is not None
            file.write_text(file.read_text() + line)


def _answers(folders: list[Path], *, hash_seed: int) -> dict[str, Answer]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps([str(folder) for folder in folders]),
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Answer] = json.loads(done.stdout)
    return answers

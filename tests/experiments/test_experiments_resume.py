"""A search that was killed goes on where it was, sees the same rows, and ends at the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from oito.clock import moment
from oito.experiments.search import Trial
from oito.experiments.trials import TrialFile
from oito.flow.site import Site

Open = Callable[..., Site]
CHILD = """
import sys
from oito.workspace import Workspace
space = Workspace(sys.argv[1], now="2024-04-01", lease_s=5.0)
space.run()
version = space.catalog.find("patient", "dev")
print(version.content)
"""
PATIENT = """
    import time
    from pathlib import Path

    @oito.experiment(model=lateness, trials=5, split=oito.by_time(valid="10d", test="15d"))
    def patient(estimator, train):
        here = Path(__file__).parent
        with (here / "fits.log").open("a") as log:
            log.write("fit\\\\n")
        while (here / "stop").exists() and len((here / "fits.log").read_text().split()) > 3:
            time.sleep(0.05)
        return estimator.fit(train.X, train.y)
    """.replace("\\\\", "\\")
NOW = moment("2024-04-01")
TRIAL = Trial(0, {"rate": 0.1, "loss": None}, 0.5, "ok", 0.01, reports=[[1, 0.5]])  # type: ignore[list-item]  # pairs come back from JSON as lists


def start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(root)], stdout=subprocess.PIPE, text=True)


def fits(root: Path) -> int:
    return len((root / "fits.log").read_text().split())


def test_after_kill_9_stored_trials_are_not_repeated_and_the_result_is_the_same(opened: Open) -> None:
    root = opened(more=PATIENT, folder="killed").root
    (root / "stop").touch()
    child = start(root)
    end = time.monotonic() + 120
    while not ((root / "fits.log").exists() and fits(root) == 4):
        assert time.monotonic() < end and child.poll() is None
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    stored = next((root / ".oito" / "trials").iterdir()).read_text().splitlines()
    assert [json.loads(line)["number"] for line in stored[1:]] == [0, 1, 2]

    (root / "stop").unlink()
    again, _ = start(root).communicate(timeout=120)
    assert fits(root) == 4 + 2 + 1  # the two trials that were open, and the last fit

    other = opened(more=PATIENT, folder="undisturbed").root
    undisturbed, _ = start(other).communicate(timeout=120)
    assert again == undisturbed != ""
    assert not list((root / ".oito" / "trials").iterdir())


def test_a_search_that_goes_on_looks_at_the_moment_it_began(tmp_path: Path) -> None:
    assert TrialFile(tmp_path, ["a"]).begin(NOW) == (NOW, [])
    TrialFile(tmp_path, ["a"]).keep(TRIAL)
    assert TrialFile(tmp_path, ["a"]).begin(NOW + timedelta(days=2)) == (NOW, [TRIAL])
    assert TrialFile(tmp_path, ["b"]).begin(NOW + timedelta(days=2)) == (NOW + timedelta(days=2), [])


def test_a_half_written_trial_is_cut_off(tmp_path: Path) -> None:
    file = TrialFile(tmp_path, ["a"])
    file.begin(NOW)
    file.keep(TRIAL)
    with file.path.open("a") as stream:
        stream.write('{"number": 1, "par')
    assert file.begin(NOW) == (NOW, [TRIAL])
    file.keep(TRIAL)
    assert file.begin(NOW) == (NOW, [TRIAL, TRIAL])


def test_a_file_without_a_whole_first_line_begins_anew(tmp_path: Path) -> None:
    file = TrialFile(tmp_path, ["a"])
    file.begin(NOW)
    file.path.write_text('{"cut_o')
    assert file.begin(NOW + timedelta(days=1)) == (NOW + timedelta(days=1), [])
    file.done()
    file.done()
    assert not file.path.exists()

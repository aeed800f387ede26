"""The trials of a search that is under way, on disk, so that a killed search goes on. How points are chosen is the search's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from oito.clock import moment, text
from oito.experiments.search import Trial
from oito.storage.digests import digest


class TrialFile:
    """One line for the moment the search looked at, then one per finished trial; gone once the result is made.

    The moment belongs to the search: a search that goes on tomorrow must see the rows that its first trials saw.
    """

    def __init__(self, folder: Path, key: Iterable[str]) -> None:
        self.path = folder / f"{digest(tuple(key))[:24]}.jsonl"

    def begin(self, now: datetime) -> tuple[datetime, list[Trial]]:
        """Return the moment that the search looks at and the trials that are finished; a half-written line is cut off."""
        lines = self._whole_lines()
        if not lines:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps({"cut_off": text(now)}) + "\n")
            return now, []
        self.path.write_text("".join(line + "\n" for line in lines))
        return moment(json.loads(lines[0])["cut_off"]), [Trial(**json.loads(line)) for line in lines[1:]]

    def keep(self, trial: Trial) -> None:
        """Add a trial; once this returns, the death of the process does not lose it."""
        with self.path.open("a") as stream:
            stream.write(json.dumps(trial.data()) + "\n")

    def done(self) -> None:
        """Forget the search."""
        self.path.unlink(missing_ok=True)

    def _whole_lines(self) -> list[str]:
        return self.path.read_text().split("\n")[:-1] if self.path.exists() else []

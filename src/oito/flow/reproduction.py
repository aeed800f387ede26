"""Whether a version can be made again: the same source, inputs and moment in a clean process, compared bit by bit.

No pointer moves and no version is written. What the outside world said cannot be asked again, so of sources and of labels
that people give only the stored bytes are proven.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from oito.catalog import runs
from oito.catalog.records import Version
from oito.errors import NotReproduced, UnknownVersion
from oito.flow import bundle, machine, remake, stored
from oito.flow.site import Site

Verdict = Literal["bit-equal", "equal but for hardware", "differs", "proven by stored rows only"]
HARDWARE = ("platform:", "cpu:", "threads:", "pools:")


@dataclass(frozen=True)
class Reproduction:
    """What became of making a version again.

    `differences` are places in what was made, the first one first; `conditions` are what is another on this machine, in
    its software or in the declared inputs of the step.
    """

    version: str
    verdict: Verdict
    content: str
    again: str
    differences: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    note: str = ""

    @property
    def text(self) -> str:
        """The verdict in one line."""
        if self.verdict == "differs":
            return f"{self.version} differs, first at {self.differences[0]}"
        if self.verdict == "proven by stored rows only":
            return f"{self.version} is {self.verdict}: {self.note}"
        return f"{self.version} is {self.verdict.replace('hardware', 'declared hardware differences')}"

    def data(self) -> dict[str, Any]:
        return asdict(self)


def reproduce(site: Site, version: Version, *, settings: Mapping[str, Any] | None = None) -> Reproduction:
    """Make a version again in a child process and compare.

    The source is that which its run stored, the inputs are those it had, the clock stands at the moment it looked at, and
    thread settings are as recorded. `settings` override the stored ones, to see what another seed would have made.

    Raises:
        UnknownVersion: the source of its run was not stored.
        NotReproduced: it cannot be made at all any more; the text holds the error.
        CorruptFile: a stored file of it, or of its inputs, has changed.
    """
    kind = site.project.kinds[version.kind]
    asset = site.project.assets.get(version.asset)
    if kind.spec.is_external is True or (asset is not None and asset.spec.is_external):
        return _proven(site, version)
    run = runs.by_id(site.catalog.rows, version.run)
    if run is None or not site.files.has(run.bundle):
        raise UnknownVersion(f"the source that made {version.ref} was not stored", known=f"its run was {version.run}")
    with tempfile.TemporaryDirectory(prefix="again-", dir=site.home) as name:
        folder = Path(name)
        source = bundle.unpacked(site.files, run.bundle, folder)
        result = _child(site, version, folder, source, dict(settings or {}))
    if "error" in result:
        error = result["error"]
        raise NotReproduced(
            f"{version.ref} cannot be made again: {error['what']}", where=error["where"], known=error["known"],
            next=error["next"],
        )  # fmt: skip
    return _judged(version, result)


def _proven(site: Site, version: Version) -> Reproduction:
    for digest in stored.digests(version.tables, version.files):
        site.files.verify(digest)
    note = "what it depends on outside of the catalog cannot be asked again"
    return Reproduction(version.ref, "proven by stored rows only", version.content, version.content, note=note)


def _judged(version: Version, result: Mapping[str, Any]) -> Reproduction:
    then, now = version.record.get("environment"), result["machine"]
    changed = _machine_differences(then, now) if then and now else []
    conditions = (*result["causes"], *changed)
    differences = tuple(result["differences"]) or ("what it declares of itself",)
    verdict: Verdict = "differs"
    if result["content"] == version.content and not result["differences"]:
        verdict, differences = "bit-equal", ()
    elif conditions and result["is_close"] and all(each.startswith(HARDWARE) for each in conditions):
        verdict = "equal but for hardware"
    return Reproduction(version.ref, verdict, version.content, result["content"], differences, conditions)


def _machine_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs, leaving out packages that only one of the two processes had loaded."""
    names = [{each.split("==")[0] for each in side["packages"]} for side in (then, now)]
    both = names[0] & names[1]
    sides = ({**side, "packages": [p for p in side["packages"] if p.split("==")[0] in both]} for side in (then, now))
    return machine.differences(*sides)


def _child(site: Site, version: Version, folder: Path, source: Path, settings: dict[str, Any]) -> dict[str, Any]:
    told = {n: site.settings.values[n] for n, origin in site.settings.origins.items() if origin == "command"}
    seed = {"seed": version.record["seed"]} if "seed" in version.record else {}
    request = {
        "home": str(site.catalog.folder), "files": str(site.files.root), "root": str(site.root), "source": str(source),
        "version": version.id, "now": version.record.get("cut_off") or version.created_at,
        "protected": list(site.catalog.protected), "settings": {**told, **seed, **settings},
        "kinds": [
            {"word": k.word, "plural": k.plural, "spec": f"{k.spec.__module__}:{k.spec.__qualname__}",
             "sentence": k.sentence, "package": k.package} for k in site.project.kinds.values()
        ],
    }  # fmt: skip
    (folder / remake.REQUEST).write_text(json.dumps(request))
    # -P: the folder of the project must not shadow the stored source.
    command = [sys.executable, "-P", "-m", remake.__name__, str(folder)]
    done = subprocess.run(command, cwd=site.root, env=_variables(version), capture_output=True, text=True, check=False)
    result = folder / remake.RESULT
    if not result.is_file():
        raise NotReproduced(f"the process that made {version.ref} again died", known=_tail(done.stderr.splitlines()))
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def _variables(version: Version) -> dict[str, str]:
    """Return this process's variables with the thread settings as they stood when the version was made."""
    recorded = (version.record.get("environment") or {}).get("threads", {})
    kept = {name: value for name, value in os.environ.items() if name not in recorded}
    return {**kept, **{name: value for name, value in recorded.items() if value is not None}}


def _tail(lines: Sequence[str]) -> str:
    return "\n".join(lines[-8:])

"""Whether a version can be made again: the same source, inputs and moment in a clean process, compared bit by bit.

No pointer moves and no version is written. What the outside world said cannot be asked again, so of sources and of labels
that people give only the stored bytes are proven; so it is with a monitor's verdict once its journal has moved on.
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

from oito.catalog import runs, versions
from oito.catalog.records import Version
from oito.errors import NotReproduced, UnknownVersion
from oito.flow import bundle, machine, stored
from oito.flow.partition import keys_of
from oito.flow.remaking import remake
from oito.flow.site import Site
from oito.storage.digests import digest

Verdict = Literal["bit-equal", "equal but for hardware", "differs", "proven by stored rows only"]
_WORSE: tuple[Verdict, ...] = ("bit-equal", "proven by stored rows only", "equal but for hardware", "differs")
HARDWARE = ("platform:", "cpu:", "threads:", "pools:")
STEADY = "undeclared: made twice in a row it is the same, so something that is not declared has changed since"
UNSTEADY = "chance: made twice in a row it is not the same either"


@dataclass(frozen=True)
class Reproduction:
    """What became of making a version again.

    `differences` are places in what was made, the first one first; `conditions` are what is another on this machine, in
    its software or in the declared inputs of the step, or, where none of that is, what the step did that nobody declared.
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


def reproduce(
    site: Site,
    version: Version,
    *,
    settings: Mapping[str, Any] | None = None,
    variables: Mapping[str, str | None] | None = None,
) -> Reproduction:
    """Make a version again in a child process and compare.

    The source is that which its run stored, the inputs are those it had, the clock stands at the moment it looked at, and
    seed, threads and locale are as recorded. Where it differs and nothing known is another, it is made once more, watched.

    Args:
        settings: override the stored ones, to see what another seed would have made.
        variables: override the recorded ones (None unsets), to see what other threads or another kernel would have made.

    Raises:
        UnknownVersion: the source of its run was not stored.
        NotReproduced: it cannot be made at all any more; the text holds the error and what is another by now.
        CorruptFile: a stored file of it, or of its inputs, has changed.
    """
    kind = site.project.kinds[version.kind]
    looks_outside = kind.spec.is_external is True and not kind.collects
    if is_external(site, version) and not looks_outside:
        return _proven(site, version)
    if version.partitions and all(fact[3] for fact in keys_of(version).values()):
        return _by_partition(site, version, settings=settings, variables=variables)
    stored_source = _source(site, version)
    then = machine.recorded(site.files, version.record)
    told = _variables(then, variables or {})
    with tempfile.TemporaryDirectory(prefix="again-", dir=site.home) as name:
        folder = Path(name)
        source = bundle.unpacked(site.files, stored_source, folder)
        request = _request(site, version, source, dict(settings or {}))
        result = _made(site, version, request, told, folder)
        found = _judged(version, then, result)
        if looks_outside and found.verdict != "bit-equal":
            return _proven(site, version, first=found.differences[0])
        if found.verdict != "differs" or any(not each.startswith(HARDWARE) for each in found.conditions):
            return found
        watched = _made(site, version, {**request, "watch": True}, told, folder)
    why = (STEADY if watched["content"] == result["content"] else UNSTEADY, *watched["suspects"])
    return Reproduction(
        version.ref, "differs", found.content, found.again, found.differences, (*found.conditions, *why)
    )


def made_again(site: Site, version: Version, folder: Path) -> None:
    """Make a version again in a child process; bytes that the store does not have are in `folder / "files"` then.

    Raises:
        UnknownVersion, NotReproduced, CorruptFile: as `reproduce`.
    """
    source = bundle.unpacked(site.files, _source(site, version), folder)
    then = machine.recorded(site.files, version.record)
    _made(site, version, _request(site, version, source, {}), _variables(then, {}), folder)


def is_external(site: Site, version: Version) -> bool:
    """Say whether what a version is made of came from outside, which cannot be asked again."""
    asset = site.project.assets.get(remake.base_name(version))
    is_always = site.project.kinds[version.kind].spec.is_external is True
    return is_always or (asset is not None and bool(asset.spec.is_external))


def _source(site: Site, version: Version) -> str:
    """Return the digest of the stored source that made a version."""
    run = runs.by_id(site.catalog.rows, version.run)
    if run is None or not site.files.has(run.bundle):
        raise UnknownVersion(f"the source that made {version.ref} was not stored", known=f"its run was {version.run}")
    return run.bundle


def _by_partition(site: Site, version: Version, **how: Any) -> Reproduction:
    """Make each partition of a whole again; the whole is what they are."""
    facts = keys_of(version)
    parts = versions.by_ids(site.catalog.rows, [fact[3] for fact in facts.values()])
    found = {key: reproduce(site, parts[fact[3]], **how) for key, fact in facts.items()}
    verdict = max((each.verdict for each in found.values()), key=_WORSE.index)
    same = all(each.content == each.again for each in found.values())
    differences = [f"partition {key}: {each}" for key, one in found.items() for each in one.differences]
    conditions = dict.fromkeys(each for one in found.values() for each in one.conditions)
    again = version.content if same else digest([(key, one.again) for key, one in found.items()])
    return Reproduction(version.ref, verdict, version.content, again, tuple(differences), tuple(conditions))


def _proven(site: Site, version: Version, *, first: str = "") -> Reproduction:
    for each in stored.digests(version.tables, version.files):
        site.files.verify(each)
    note = "what it depends on outside of the catalog cannot be asked again"
    if first:
        note = f"what it looked at has moved on; made again from that, it differs first at {first}"
    return Reproduction(version.ref, "proven by stored rows only", version.content, version.content, note=note)


def _judged(version: Version, then: Mapping[str, Any] | None, result: Mapping[str, Any]) -> Reproduction:
    conditions = (*result["causes"], *_changed(then, result["machine"]))
    differences = tuple(result["differences"]) or ("what it declares of itself",)
    verdict: Verdict = "differs"
    if result["content"] == version.content and not result["differences"]:
        verdict, differences = "bit-equal", ()
    elif conditions and result["is_close"] and all(each.startswith(HARDWARE) for each in conditions):
        verdict = "equal but for hardware"
    return Reproduction(version.ref, verdict, version.content, result["content"], differences, conditions)


def _changed(then: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Return what differs, leaving out packages that only one of the two processes had loaded."""
    if then is None:
        return []
    names = [{each.split("==")[0] for each in side["packages"]} for side in (then, now)]
    both = names[0] & names[1]
    sides = ({**side, "packages": [p for p in side["packages"] if p.split("==")[0] in both]} for side in (then, now))
    return machine.differences(*sides)


def _request(site: Site, version: Version, source: Path, settings: dict[str, Any]) -> dict[str, Any]:
    told = {n: site.settings.values[n] for n, origin in site.settings.origins.items() if origin == "command"}
    parts = versions.parts(site.catalog.rows, version.fingerprint) or {}
    root = parts.get("seed", {}).get("root", version.record.get("seed"))
    seed = {} if root is None else {"seed": int(root)}
    return {
        "home": str(site.catalog.folder), "files": str(site.files.root), "root": str(site.root), "source": str(source),
        "version": version.id, "now": version.record.get("cut_off") or version.created_at, "watch": False,
        "protected": list(site.catalog.protected), "settings": {**told, **seed, **settings}, "path": _import_path(site),
        "kinds": [
            {"word": k.word, "plural": k.plural, "spec": f"{k.spec.__module__}:{k.spec.__qualname__}",
             "sentence": k.sentence, "package": k.package} for k in site.project.kinds.values()
        ],
    }  # fmt: skip


def _import_path(site: Site) -> list[str]:
    """Return where this process finds packages; the folder of the project must not shadow the stored source."""
    own = {"", str(site.root), str(site.project.root), str(Path.cwd())}
    return [place for place in sys.path if place not in own]


def _made(
    site: Site, version: Version, request: Mapping[str, Any], variables: Mapping[str, str], folder: Path
) -> dict[str, Any]:
    (folder / remake.REQUEST).write_text(json.dumps(request))
    result = folder / remake.RESULT
    result.unlink(missing_ok=True)
    # -P: the folder of the project must not shadow the stored source.
    command = [sys.executable, "-P", "-m", remake.__name__, str(folder)]
    done = subprocess.run(command, cwd=site.root, env=variables, capture_output=True, text=True, check=False)
    if not result.is_file():
        raise NotReproduced(f"the process that made {version.ref} again died", known=_tail(done.stderr.splitlines()))
    found: dict[str, Any] = json.loads(result.read_text())
    if "error" in found:
        error = found["error"]
        raise NotReproduced(
            f"{version.ref} cannot be made again: {error['what']}", where=error["where"],
            known="\n".join(filter(None, [error["known"], *found.get("causes", ())])), next=error["next"],
        )  # fmt: skip
    return found


def _variables(then: Mapping[str, Any] | None, others: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process's variables with threads and locale as they stood when the version was made.

    On a machine with another number of processors, libraries that were not told how many threads to start are told now.
    """
    recorded: dict[str, str | None] = {}
    if then is not None:
        recorded = {**then.get("threads", {}), **then.get("locale", {})}
        if then.get("cpu", {}).get("count") != machine.usable_cpus():
            recorded |= {n: count for n, count in machine.threads_started(then).items() if recorded.get(n) is None}
    wanted = {**os.environ, **recorded, **others}
    return {name: value for name, value in wanted.items() if value is not None}


def _tail(lines: Sequence[str]) -> str:
    return "\n".join(lines[-8:])

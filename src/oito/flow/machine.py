"""What was true of the machine and its software when something was made, and how two such descriptions differ in words."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from oito.flow.code import packages
from oito.storage.files import Files

Environment = dict[str, Any]

THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_SCHEDULE",
    "OPENBLAS_CORETYPE",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "NPY_DISABLE_CPU_FEATURES",
    "PYTHONHASHSEED",
)
LOCALE_SETTINGS = ("TZ", "LC_ALL", "LANG")
NUMBERS_OF_THREADS = {
    "openmp": "OMP_NUM_THREADS",
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "polars": "POLARS_MAX_THREADS",
}  # library → the variable that sets how many it starts
KEPT = "machine"  # the entry of a version's record that names its stored description
_SHOWN = 8


def describe(*, hashes: bool = True) -> Environment:
    """Return, as plain data, what can move bits: Python, platform, processor, threads, BLAS, locale, packages.

    `packages` are the distributions (`name==version`, sorted) of which a module is loaded now, so call it when the user's
    code has been imported; `hashes` are digests of the files that each of them installed. `threads` and `locale` are
    settings as they stand; None is unset. `pools` are the thread pools of BLAS, OpenMP and Polars with the kernel they
    chose. Nothing in it names a user, a host or a path.

    Example:
        >>> sorted(describe())
        ['cpu', 'hashes', 'locale', 'packages', 'platform', 'pools', 'python', 'threads']
    """
    pools = _pools()  # first: it loads a package of its own
    versions = {_normal(package.name): package for package in _loaded()}
    return {
        **_fixed(),
        "cpu": {**_processor(), "count": usable_cpus()},
        "threads": {name: os.environ.get(name) for name in THREAD_SETTINGS},
        "locale": {name: os.environ.get(name) for name in LOCALE_SETTINGS},
        "pools": pools,
        "packages": sorted(f"{name}=={package.version}" for name, package in versions.items()),
        **({"hashes": {n: _installed(p.name, p.version) for n, p in sorted(versions.items())}} if hashes else {}),
    }


def noted(files: Files, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a version's record with the digest of the stored description of this machine, unless it holds one itself.

    While nothing changes in the process it costs next to nothing.
    """
    if "environment" in record:
        return dict(record)
    settings = tuple(os.environ.get(name) for name in (*THREAD_SETTINGS, *LOCALE_SETTINGS))
    state = (len(sys.modules), settings, usable_cpus())
    digest = _kept(files, *state)
    if not files.has(digest):  # given back in the meantime
        _kept.cache_clear()
        digest = _kept(files, *state)
    return {**record, KEPT: digest}


def digests(record: Mapping[str, Any]) -> list[str]:
    """Return the digests of stored files that a record refers to."""
    return [record[KEPT]] if record.get(KEPT) else []


@lru_cache(maxsize=64)
def _kept(files: Files, *state: Any) -> str:
    del state  # part of the cache's key only
    return files.put(json.dumps(describe(hashes=False), sort_keys=True).encode())


def recorded(files: Files, record: Mapping[str, Any]) -> Environment | None:
    """Return the description that belongs to a version's record; None when there is none."""
    if record.get("environment"):
        return dict(record["environment"])
    digest = record.get(KEPT)
    return json.loads(files.read(digest)) if digest and files.has(digest) else None


@cache
def _fixed() -> Environment:
    libc = " ".join(platform.libc_ver())
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": {"system": platform.system(), "machine": platform.machine(), "libc": libc},
    }


@cache
def _processor() -> dict[str, Any]:
    return {"model": _cpu("model name"), "flags": sorted(_cpu("flags").split())}


def _cpu(field: str) -> str:
    """Return a field of the first processor, or nothing where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() if field == "model name" else ""
    # Arm writes "Features" and no model name.
    names = {"flags": "(?:flags|Features)"}.get(field, re.escape(field))
    found = re.search(rf"^{names}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pools() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info  # comes with scikit-learn

    kept = ("user_api", "internal_api", "version", "architecture", "threading_layer", "num_threads")
    pools = [{name: pool[name] for name in kept if name in pool} for pool in threadpool_info()]
    if "polars" in sys.modules:
        threads = sys.modules["polars"].thread_pool_size()
        pools.append({"user_api": "frames", "internal_api": "polars", "num_threads": threads})
    # Libraries are listed in the order they were loaded, which says nothing.
    return sorted(pools, key=lambda pool: [str(pool.get(name)) for name in kept])


def threads_started(description: Mapping[str, Any]) -> dict[str, str]:
    """Return, by the variable that sets it, how many threads each library started that was described.

    Example:
        >>> threads_started({"pools": [{"internal_api": "polars", "num_threads": 4}]})
        {'POLARS_MAX_THREADS': '4'}
    """
    counts = {pool.get("internal_api"): pool.get("num_threads") for pool in description.get("pools") or ()}
    return {variable: str(counts[name]) for name, variable in NUMBERS_OF_THREADS.items() if counts.get(name)}


def _loaded() -> Iterable[packages.Package]:
    names = {name.partition(".")[0] for name in list(sys.modules)} - sys.stdlib_module_names
    return filter(None, map(packages.version_of, sorted(names)))


@cache
def _installed(name: str, version: str) -> str:
    """Return a digest of what a distribution has installed, after its own list; who installed it when does not count."""
    del version  # part of the cache's key only
    try:
        listed = importlib.metadata.distribution(name).read_text("RECORD") or ""
    except importlib.metadata.PackageNotFoundError:
        return ""
    kept = sorted(line for line in listed.splitlines() if ",sha256=" in line and not _is_of_installer(line))
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


def _is_of_installer(line: str) -> bool:
    return line.startswith(("..", "/")) or ".dist-info/" in line or ".pyc," in line


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what is another, one sentence each, in a fixed order; empty when nothing is.

    Example:
        >>> differences({"threads": {"OMP_NUM_THREADS": "1"}}, {"threads": {"OMP_NUM_THREADS": "4"}})
        ['threads: OMP_NUM_THREADS 1 → 4']
    """
    said = []
    if then.get("python") != now.get("python"):
        said.append(f"python: {_said(then.get('python'))} → {_said(now.get('python'))}")
    for topic in ("platform", "cpu", "threads", "locale"):
        said += _changed(topic, then.get(topic) or {}, now.get(topic) or {})
    said += _pools_changed(_by_library(then.get("pools") or ()), _by_library(now.get("pools") or ()))
    old, new = (_versions(side.get("packages") or ()) for side in (then, now))
    said += _changed("packages", old, new, absent="not there")
    hashes = [side.get("hashes") or {} for side in (then, now)]
    for name in sorted(set(hashes[0]) & set(hashes[1])):
        if hashes[0][name] != hashes[1][name] and old.get(name) == new.get(name):
            said.append(f"packages: {name} {new[name]} has other files")
    return said


def _changed(topic: str, then: Mapping[str, Any], now: Mapping[str, Any], *, absent: str = "unset") -> list[str]:
    said = []
    for name in sorted({*then, *now}):
        old, new = then.get(name), now.get(name)
        if isinstance(old, list) and isinstance(new, list):
            said += _sets(f"{topic}: {name}", set(old), set(new))
        elif old != new:
            said.append(f"{topic}: {name} {_said(old, absent)} → {_said(new, absent)}")
    return said


def _sets(what: str, then: set[str], now: set[str]) -> list[str]:
    sides = (("gone", then - now), ("new", now - then))
    return [f"{what} {word}: {_few(sorted(names))}" for word, names in sides if names]


def _few(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _said(value: Any, absent: str = "unset") -> str:
    return absent if value is None else str(value)


def _by_library(pools: Any) -> dict[str, set[str]]:
    """Return each pool's facts under its library, so that `openblas kernel` is one thing that can change."""
    facts: dict[str, set[str]] = {}
    words = {"version": "version", "architecture": "kernel", "threading_layer": "layer", "num_threads": "threads"}
    for pool in pools:
        for name, word in words.items():
            if pool.get(name) is not None:
                facts.setdefault(f"{pool.get('internal_api')} {word}", set()).add(str(pool[name]))
    return facts


def _pools_changed(then: Mapping[str, set[str]], now: Mapping[str, set[str]]) -> list[str]:
    """Return what is another of the pools; a process may have loaded more of them than another and still be alike."""
    both = [(name, then[name], now[name]) for name in sorted(set(then) & set(now))]
    return [
        f"pools: {name} {', '.join(sorted(old))} → {', '.join(sorted(new))}"
        for name, old, new in both
        if not (old <= new or new <= old)
    ]


def _versions(packages: Any) -> dict[str, str]:
    return dict(package.split("==", 1) for package in packages)

"""What was true of the machine and its software when a model was trained, and how two such descriptions differ in words."""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Environment = dict[str, Any]

THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_SCHEDULE",
    "OPENBLAS_CORETYPE",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "NPY_DISABLE_CPU_FEATURES",
    "PYTHONHASHSEED",
)
_SHOWN = 8


def describe() -> Environment:
    """Return, as plain data, what can move a model's bits: Python, platform, processor, threads, BLAS, packages.

    `packages` are the distributions (`name==version`, sorted) of which a module is loaded now, so call it when the training
    code has been imported. `threads` are the settings as they stand; None is unset. `pools` are the thread pools of BLAS and
    OpenMP with the kernel they chose. Nothing in it names a user, a host or a path.

    Example:
        >>> sorted(describe())
        ['cpu', 'packages', 'platform', 'pools', 'python', 'threads']
    """
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": {"system": platform.system(), "machine": platform.machine(), "libc": " ".join(platform.libc_ver())},
        "cpu": {"model": _cpu("model name"), "flags": sorted(_cpu("flags").split()), "count": _usable_cpus()},
        "threads": {name: os.environ.get(name) for name in THREAD_SETTINGS},
        "pools": _pools(),
        "packages": _packages(),
    }


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


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pools() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info  # comes with scikit-learn

    kept = ("user_api", "internal_api", "version", "architecture", "threading_layer", "num_threads")
    pools = [{name: pool[name] for name in kept if name in pool} for pool in threadpool_info()]
    # Libraries are listed in the order they were loaded, which says nothing.
    return sorted(pools, key=lambda pool: [str(pool.get(name)) for name in kept])


def _packages() -> list[str]:
    owners = importlib.metadata.packages_distributions()
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    names = {owner for module in loaded for owner in owners.get(module, ())}
    return sorted({f"{_normal(name)}=={importlib.metadata.version(name)}" for name in names})


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
    for topic in ("platform", "cpu", "threads"):
        said += _changed(topic, then.get(topic) or {}, now.get(topic) or {})
    said += _changed("pools", _by_library(then.get("pools") or ()), _by_library(now.get("pools") or ()))
    old, new = (_versions(side.get("packages") or ()) for side in (then, now))
    return said + _changed("packages", old, new, absent="not there")


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


def _by_library(pools: Any) -> dict[str, str]:
    """Return each pool's facts under its library, so that `openblas kernel` is one thing that can change."""
    facts: dict[str, list[str]] = {}
    words = {"version": "version", "architecture": "kernel", "threading_layer": "layer", "num_threads": "threads"}
    for pool in pools:
        for name, word in words.items():
            if pool.get(name) is not None:
                facts.setdefault(f"{pool.get('internal_api')} {word}", []).append(str(pool[name]))
    return {name: ", ".join(sorted(values)) for name, values in facts.items()}


def _versions(packages: Any) -> dict[str, str]:
    return dict(package.split("==", 1) for package in packages)

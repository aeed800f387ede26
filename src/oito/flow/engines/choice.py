"""Which engine a run uses: the one that is set, or processes when it is told how many. What engines do is their own files'."""

from __future__ import annotations

import os

from oito.errors import BadInput
from oito.flow.engines.engine import Engine, Inline
from oito.flow.site import Site


def engine_of(site: Site, jobs: int = 0) -> Engine:
    """Return a new engine for one run; whoever asks for it closes it.

    Args:
        jobs: how many steps may be under way at once, each in a process of its own; 0 leaves the choice of the engine to
            the setting `engine`, and the number to the setting `jobs`.

    Raises:
        BadInput: the number is negative.
    """
    if jobs < 0:
        raise BadInput(f"jobs is {jobs}", known="it is at least 0, which leaves the choice to the settings")
    if not jobs and site.settings.engine == "inline":
        return Inline()
    from oito.flow.engines.processes import Processes

    return Processes(site, slots=jobs or site.settings.jobs or cores())


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

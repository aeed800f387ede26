"""What journals refer to, and whether they are whole. Reading predictions out of them is `journal`'s work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oito.endpoints import feedback, journal, segment
from oito.endpoints.predictions import journals
from oito.errors import NotFound
from oito.flow.site import Site
from oito.flow.upkeep.kinds import Held, Problem


def held(site: Site) -> Iterator[Held]:
    """Yield the version that each segment's predictions were made by, and the source that ran for them."""
    for environment, folder in journals(site):
        for about in _abouts(folder):
            why = f"journals: {folder.name} in {environment}"
            yield Held(about.version, why)
            if about.source:
                yield Held(about.source, why)


def problems(site: Site) -> Iterator[Problem]:
    """Yield what is damaged in the journals, and predictions of versions that nobody knows."""
    for _, folder in journals(site):
        found: list[segment.Damage] = []
        for kind in (journal.KIND, feedback.KIND):
            for path in segment.paths(folder, kind):
                with segment.mapped(path) as frames:
                    for _ in frames.walk(damaged=found.append):
                        pass
        for damage in found:
            told = damage.error()
            where = f"bytes {damage.start} to {damage.end} are not as they were written"
            yield Problem(f"journal {folder.name}/{damage.path.name}", where, told.next)
        for version in sorted({about.version for about in _abouts(folder)}):
            try:
                site.catalog.find(version, site.environment)
            except NotFound:
                yield Problem(
                    f"journal {folder.name}", f"has predictions of {version}, which the catalog does not know"
                )


def _abouts(folder: Path) -> Iterator[journal.About]:
    """Yield what each segment says of itself in its first block."""
    return filter(None, (journal.about(path) for path in segment.paths(folder, journal.KIND)))

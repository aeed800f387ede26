"""Predictions of the past: found in any environment's journals, and scored again to show that they are what was answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from oito.catalog.records import Version
from oito.endpoints import ids, journal
from oito.endpoints.answering import Floats, Score
from oito.endpoints.journal import About, Block, Prediction
from oito.endpoints.loading import beside, scorer
from oito.errors import UnknownPrediction
from oito.flow.site import Site
from oito.names import file_name

BATCH_ROWS = 64  # as many as a server scores in one call


@dataclass(frozen=True)
class Found:
    """One prediction and where it was written down."""

    environment: str
    folder: Path
    prediction: Prediction


@dataclass(frozen=True)
class Replayed:
    """One prediction scored again: `stored` is what was answered, `alone` and `batched` what is said now, float64 [k]."""

    id: bytes
    version: str
    stored: Floats
    alone: Floats
    batched: Floats

    @property
    def is_equal(self) -> bool:
        """Whether all bits are as they were, alone and in a batch."""
        return same_bits(self.stored, self.alone) and same_bits(self.stored, self.batched)


def journals(site: Site) -> Iterator[tuple[str, Path]]:
    """Yield (environment, folder) of every endpoint that has ever answered, the site's own environment first."""
    own = file_name(site.environment)
    for environment in sorted(_folders(site.home / "journal"), key=lambda folder: (folder.name != own, folder.name)):
        for folder in sorted(_folders(environment)):
            yield unquote(environment.name), folder


def find(site: Site, prediction: str) -> Found:
    """Return a prediction from the journal that has it.

    Raises:
        UnknownPrediction: none has.
        BadRequest: the text is no prediction id.
    """
    wanted = ids.parse(prediction)
    searched = []
    for environment, folder in journals(site):
        try:
            return Found(environment, folder, journal.find(folder, wanted))
        except UnknownPrediction:
            searched.append(f"{folder.name} in {environment}")
    raise UnknownPrediction(
        f"no prediction has the id {wanted.hex()}",
        known=f"journals: {', '.join(searched) or 'none yet'}",
        next="give the prediction_id that /predict answered",
    )


def newest(site: Site, count: int) -> list[Block]:
    """Return the blocks of the newest `count` predictions of every environment and endpoint, oldest first."""
    found = [block for _, folder in journals(site) for block in journal.newest(folder, count)]
    return journal.last(sorted(found, key=lambda block: block.time_ns), count)


def version_of(site: Site, about: About) -> Version:
    """Return the endpoint's version that answered.

    Raises:
        UnknownAsset, UnknownVersion: it is gone from the catalog.
    """
    return site.catalog.find(about.version, site.environment)


def score_of(site: Site, about: About) -> Score:
    """Return what scored: the stored executor, verified, with the user's function from the source that ran.

    Raises:
        CorruptFile: a file of the version changed after it was written.
    """
    return scorer(beside(site, about.source), version_of(site, about))


def replay(site: Site, found: Prediction) -> Replayed:
    """Return one prediction scored again from the features it saw; there is no other row in its batch."""
    said = score_of(site, found.about)(found.features[np.newaxis])[0]
    return Replayed(found.id, found.about.version, found.outputs, said, said)


def replay_blocks(site: Site, blocks: Sequence[Block], count: int, *, tell: Callable[[str], None]) -> list[Replayed]:
    """Return the last `count` predictions of the blocks scored again, each alone and in batches of 64, version by version."""
    groups: dict[About, list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.about, []).append(block)
    found: list[Replayed] = []
    for about, group in groups.items():
        score = score_of(site, about)
        names = [name for block in group for name in block.ids]
        features = np.concatenate([block.features for block in group])
        stored = np.concatenate([block.outputs for block in group])
        batched = np.concatenate(
            [score(features[start : start + BATCH_ROWS]) for start in range(0, len(features), BATCH_ROWS)]
        )
        alone = np.concatenate([score(features[place : place + 1]) for place in range(len(features))])
        found += map(Replayed, names, [about.version] * len(names), stored, alone, batched)
        tell(f"{len(names)} predictions of {about.version}")
    return sorted(found, key=lambda each: each.id)[-count:]


def same_bits(a: Floats, b: Floats) -> bool:
    """Return whether two arrays have the same shape and bits."""
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def _folders(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir()] if path.is_dir() else []

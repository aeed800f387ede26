"""One asset's place in a plan: what holds of it, why, and everything a step needs to know. Who finds it out is the planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from oito.catalog.records import Version
from oito.flow.dimensions import named
from oito.flow.fingerprint import Cause
from oito.flow.project import Asset

State = Literal["fresh", "held", "accepted", "stale", "reusable", "missing", "waiting", "running", "blocked", "refused"]
SETTLED: frozenset[State] = frozenset({"fresh", "held", "accepted", "refused"})


@dataclass(frozen=True)
class Entry:
    """One asset's place in a plan.

    States: `fresh` (its version fits), `held` (newer data exists, but it waits for a verdict), `accepted` (re-stamped by a
    person), `refused` (made, and a gate said no), `stale` (with `causes`), `reusable` (another version fits: the pointer
    moves without a run), `missing` (never made), `waiting` (something it needs will run first, and may change nothing),
    `running` (by another run), `blocked` (something it needs is not there).
    """

    asset: Asset
    state: State
    version: Version | None = None
    fits: Version | None = None  # a version with this very fingerprint
    causes: tuple[Cause, ...] = ()
    note: str = ""
    fingerprint: str = ""
    definition: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Version] = field(default_factory=dict)
    probe: str = ""
    partition: str = ""  # the key, when it is one partition's place
    picks: Mapping[str, Sequence[str] | None] = field(default_factory=dict)  # role → keys that a partition reads of it
    whole_parts: Mapping[str, Any] = field(default_factory=dict)  # what all partitions of an asset are made from
    universe: tuple[str, ...] = ()  # of a mapped asset: all its keys
    partitions: tuple[Entry, ...] = ()  # those that would run
    standing: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # the others: key → what the whole keeps of it
    is_partial: bool = False  # whether some of those are behind, and stay so
    is_forced: bool = False  # whether it runs although it may fit
    is_redefined: bool = True  # whether a step would not go on from `version`, because that was made in another way

    @property
    def name(self) -> str:
        """The name under which the version stands that would be made."""
        return named(self.asset.name, self.partition) if self.partition else self.asset.name

    @property
    def work(self) -> str:
        """What two processes must not do at the same time."""
        return self.fingerprint if not self.asset.spec.is_external else f"{self.asset.name}:{self.fingerprint}"

    @property
    def reason(self) -> str:
        """The state's cause in one line."""
        more = f" (+{len(self.causes) - 1} more)" if len(self.causes) > 1 else ""
        return self.note or (self.causes[0].text + more if self.causes else "")

    def data(self) -> dict[str, Any]:
        return {
            "asset": self.asset.name,
            "kind": self.asset.kind.word,
            "state": self.state,
            "version": self.version.ref if self.version else None,
            "reason": self.reason,
            "causes": [cause.data() for cause in self.causes],
            **({"partitions": [each.partition for each in self.partitions]} if self.asset.dimensions else {}),
        }

"""The nouns of the catalog as frozen records. How they are kept is the other files' work."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class _Plain:
    """A field of plain data that may be given as JSON text: it is read when it is first looked at, which most never are."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            raise AttributeError(self._name)  # so that the field has no default
        held = instance.__dict__[self._name]
        if isinstance(held, str):
            held = instance.__dict__[self._name] = json.loads(held)
        return held

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = value


@dataclass(frozen=True)
class Version:
    """One immutable result of an asset: what went in (`fingerprint`), what came out (`content`), and what it is.

    `record` is plain data whose meaning belongs to the asset's kind; `tables` and `files` name stored bytes.
    `state` is "ok", "broken" for a result that exists to be looked at but that no pointer may reach, or "freed" for one
    whose bytes were given back: what it was, and what it was made from, stays known.

    `partition` is the key of a version that is one partition of an asset. `partitions` says what a whole is cut into:
    {"dimensions": [...], "keys": {key: [fingerprint, content, rows, id of the partition's own version or None]}};
    `selection` are the keys that this record stands for, when it stands for some of them only.
    """

    id: int
    asset: str
    number: int
    kind: str
    state: str
    fingerprint: str
    definition: str
    content: str
    created_at: str
    environment: str
    run: str
    seconds: float
    rows: int | None
    size_bytes: int
    record: Mapping[str, Any] = _Plain()  # type: ignore[assignment]  # a descriptor stands for what it gives
    tables: Mapping[str, Mapping[str, Any]] = _Plain()  # type: ignore[assignment]
    files: Mapping[str, str] = _Plain()  # type: ignore[assignment]
    partitions: Mapping[str, Any] = _Plain()  # type: ignore[assignment]
    partition: str = ""
    selection: tuple[str, ...] | None = None

    @property
    def ref(self) -> str:
        """The name people use: `clean_flights:v8`."""
        return f"{self.asset}:v{self.number}"


@dataclass(frozen=True)
class NewVersion:
    """A result that is about to be committed; its bytes are stored already."""

    asset: str
    kind: str
    fingerprint: str
    definition: str
    content: str
    parts: Mapping[str, Any]
    inputs: Sequence[tuple[str, int]]
    state: str = "ok"
    seconds: float = 0.0
    rows: int | None = None
    size_bytes: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    digests: Sequence[str] = ()
    partition: str = ""
    partitions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    """A pointer that was set: from `at` on, `asset@environment` was `version` (None: it pointed nowhere)."""

    environment: str
    asset: str
    version: int | None
    at: str
    release: int | None


@dataclass(frozen=True)
class Release:
    """All pointers of an environment moved at once, with the source bundle they were made by."""

    id: int
    environment: str
    number: int
    at: str
    who: str
    message: str
    bundle: str
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """Something that happened; `hash` covers the event and the hash before it."""

    id: int
    at: str
    who: str
    verb: str
    subject: str
    detail: Mapping[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True)
class Run:
    """One carrying-out of a plan; `state` is running, done, failed or stopped (by hand).

    A running one that was not seen lately is dead.

    `started` and `seen` are uptimes of the machine, in seconds. `bundle` is the digest of the stored source code that ran.
    """

    id: str
    environment: str
    reason: str
    who: str
    state: str
    at: str
    started: float
    seen: float
    seconds: float | None
    bundle: str


@dataclass(frozen=True)
class Step:
    """What a run did with one asset; `state` is made, reused, unchanged, held, refused, broken, failed or blocked."""

    run: str
    asset: str
    state: str
    version: int | None
    seconds: float
    cause: str
    error: str
    log: str


@dataclass(frozen=True)
class Answer:
    """A label that a person gave; a later answer of the same person for the same item supersedes an earlier one."""

    id: int
    asset: str
    item: str
    label: Any
    who: str
    at: str
    note: str

"""The catalog: what exists, what made it, what it is called. One object that opens the file and names the moment and the person."""

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oito.catalog import environments, events, versions
from oito.catalog.records import Version
from oito.clock import Clock, text
from oito.errors import CatalogLost, UnknownAsset, UnknownEnvironment, UnknownVersion
from oito.names import did_you_mean, reference
from oito.storage.manifest import folder_of, segments
from oito.storage.migrations import form_of, migrate
from oito.storage.sql import Database, Transaction


@dataclass(frozen=True)
class Change:
    """A transaction that knows when it happens and who acts."""

    rows: Transaction
    at: str
    who: str

    def event(self, verb: str, subject: str, **detail: Any) -> None:
        events.append(self.rows, at=self.at, who=self.who, verb=verb, subject=subject, detail=detail)

    def move(self, environment: str, asset: str, identity: int | None, *, release: int | None = None) -> bool:
        return environments.move(self.rows, environment, asset, identity, at=self.at, release=release)


class Catalog:
    """Opened once per process on a folder; `clock` is what every record's time is taken from.

    `base` is the environment whose versions the others read where they have none of their own: the first protected one.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        who: str = "",
        protected: tuple[str, ...] = ("production",),
        base: str = "",
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.who = who or _account()
        self.protected = protected
        self.base = base or (protected[0] if protected else "")
        self.rows = opened(folder)

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Open a transaction; all of the block is kept, or none of it."""
        with self.rows.write() as rows:
            yield Change(rows, text(self.clock.now()), self.who)

    def resolve(self, asset: str, environment: str) -> Version | None:
        """Return what an asset is in an environment: its own pointer, else that of the base."""
        return environments.resolved(self.rows, self.chain(environment), asset=asset).get(asset)

    def resolve_all(self, environment: str) -> dict[str, Version]:
        """Return asset → version of an environment, with those of the base where it has none of its own."""
        return environments.resolved(self.rows, self.chain(environment))

    def chain(self, environment: str) -> tuple[str, ...]:
        """Return the environments that are looked in for an environment's assets, in order: itself, then the base."""
        return tuple(dict.fromkeys(filter(None, (environment, self.base))))

    def find(self, written: str, environment: str) -> Version:
        """Return the version that `asset`, `asset:v3` or `asset@environment` names.

        Raises:
            UnknownAsset, UnknownVersion, UnknownEnvironment: with what is known instead.
        """
        asset, number, named = reference(written)
        if not versions.is_known(self.rows, asset):
            known = [name for name, _, _ in versions.assets(self.rows)]
            raise UnknownAsset(f"no asset {asset!r} has a version", next=did_you_mean(asset, known) or "oito run")
        if number is not None:
            found = versions.by_number(self.rows, asset, number)
            if found is None:
                newest = versions.newest(self.rows, asset)
                raise UnknownVersion(f"there is no {written}", known=f"the newest is {newest.ref}" if newest else "")
            return found
        name, _, key = asset.rstrip("]").partition("[")
        found = environments.target(self.rows, named, name) if named else self.resolve(name, environment)
        if found and key:  # a partition is reached through its whole
            facts = found.partitions["keys"].get(key) if found.partitions else None
            found = versions.by_id(self.rows, facts[3]) if facts and facts[3] else None
        if found is None:
            where = named or environment
            known_names = ", ".join(environments.names(self.rows)) or "none yet"
            raise UnknownEnvironment(
                f"{asset} has no version in {where}", known=f"environments: {known_names}", next=f"oito run {asset}"
            )
        return found

    def close(self) -> None:
        self.rows.close()

    def facts(self, version: Version) -> Mapping[str, Any]:
        """Return a version as plain data, as every `.json` shows it."""
        return {
            "version": version.ref, "asset": version.asset, "number": version.number, "kind": version.kind,
            "state": version.state, "created_at": version.created_at, "environment": version.environment,
            "run": version.run, "rows": version.rows, "size_bytes": version.size_bytes, "seconds": version.seconds,
            "fingerprint": version.fingerprint, "content": version.content,
            "metrics": versions.metrics(self.rows, version.id), "record": dict(version.record),
        }  # fmt: skip


def opened(folder: Path) -> Database:
    """Return the catalog's file of a folder in today's form, with its manifest beside it.

    Raises:
        CatalogLost: the file is gone or empty, while its manifest tells of what was in it.
    """
    path = folder / "catalog.db"
    is_told_of = bool(segments(folder_of(path)))  # before the file is looked at: another process may be making both
    if is_told_of and not path.exists():
        raise _lost(path)
    rows = Database(path)
    is_new = form_of(rows) == 0
    if is_told_of and is_new:
        rows.close()
        raise _lost(path)
    migrate(rows)
    rows.keep_manifest(is_new=is_new)
    return rows


def _lost(path: Path) -> CatalogLost:
    return CatalogLost(
        "the catalog is gone", where=str(path), known="its manifest is there, so it can be built again; nothing was changed",
        next="oito repair",
    )  # fmt: skip


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return f"uid-{os.getuid()}"

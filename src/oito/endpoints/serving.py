"""What a process serves, put together from what an environment stands for, and renewed when that changes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

from oito.catalog import events
from oito.catalog.records import Version
from oito.endpoints.loading import scorer, signature_of, source_of, with_source
from oito.endpoints.lookup import Enricher
from oito.endpoints.served import Served
from oito.errors import BadInput
from oito.flow.site import Site


@dataclass(frozen=True)
class _Standing:
    """What decides how an endpoint answers: its version, the source of its functions, how its views are looked up."""

    version: Version
    source: str
    views: tuple[Version, ...]

    @classmethod
    def of(cls, site: Site, endpoint: str) -> _Standing:
        version = site.catalog.find(endpoint, site.environment)
        views = tuple(site.catalog.find(name, site.environment) for name in version.record["features"])
        return cls(version, source_of(site, version), views)

    @property
    def key(self) -> tuple[int, str, str]:
        """What a process that serves must load anew for when it changes; a view's newer rows are no reason."""
        told = [[view.definition, *(view.record[fact] for fact in ("entity", "columns", "ttl"))] for view in self.views]
        return self.version.id, self.source, json.dumps(told)

    def is_ready(self, site: Site) -> bool:
        """Say whether the rows of every view can be looked up; a run fills them a moment after it has moved a pointer."""
        door = site.project.kinds["features"].door("run")
        return all(door.is_ready(site, view) for view in self.views)


class Stand:
    """An endpoint's place in an environment; a serving process loads from it first, then asks it for something newer.

    Args:
        site: its project is not looked at: functions come from stored source, imported when there are any.
    """

    def __init__(self, site: Site, endpoint: str) -> None:
        self._site, self.endpoint = site, endpoint
        self._standing: tuple[int, str, str] | None = None
        self._event = -1

    def load(self) -> Served:
        """Return what the environment stands for now, ready to answer.

        Raises:
            UnknownEnvironment: the endpoint has no version there.
            CorruptFile: a file of it changed after it was written.
        """
        with self._site.catalog.rows.snapshot():  # endpoint, views and source of one release, never of two
            event = self._newest_event()
            standing = _Standing.of(self._site, self.endpoint)
            found = _served(self._site, standing)
        self._standing, self._event = standing.key, event
        return found

    def newer(self) -> Served | None:
        """Return what a release, rollback or run put in the place of what was given last, None when nothing did.

        Every change of a pointer is an event, so mostly one look at the newest event is all there is to do.
        """
        if self._newest_event() == self._event:
            return None
        with self._site.catalog.rows.snapshot():
            event, standing = self._newest_event(), _Standing.of(self._site, self.endpoint)
            if standing.key != self._standing:
                return self.load() if standing.is_ready(self._site) else None  # else: at the next look
        self._event = event
        return None

    def _newest_event(self) -> int:
        newest = events.listed(self._site.catalog.rows, limit=1)
        return newest[0].id if newest else 0


def only_endpoint(site: Site) -> str:
    """Return the name of the environment's endpoint.

    Raises:
        BadInput: there is none, or more than one.
    """
    found = [name for name, version in site.catalog.resolve_all(site.environment).items() if version.kind == "endpoint"]
    if len(found) == 1:
        return found[0]
    if not found:
        raise BadInput(f"{site.environment} has no endpoint", next="oito run, then oito release production")
    raise BadInput("there is more than one endpoint", known=", ".join(found), next=f"oito serve {found[0]}")


def _served(site: Site, standing: _Standing) -> Served:
    version, record = standing.version, standing.version.record
    signature = signature_of(version)
    site = with_source(site, standing.source)
    return Served(
        endpoint=version.asset,
        version=version.ref,
        model=record["model"],
        signature=signature,
        request_fields=tuple(record["request_fields"]),
        score=scorer(site, version),
        outputs=tuple(record["outputs"]),
        enrich=_warm(Enricher(site, version), record["request_fields"])
        if record["features"] or record["on_request"]
        else None,
        source=standing.source,
    )


def _warm(enrich: Enricher, fields: list[str]) -> Enricher:
    """Have an empty question answered, so that the first caller does not pay for what is imported and made on the first call."""
    with suppress(Exception):  # a user's function may well fail on nothing
        enrich([dict.fromkeys(fields)])
    return enrich

"""Features of rows that give only keys: read online for views with an entity, computed from the request for those on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from oito.catalog.records import Version
from oito.clock import text
from oito.endpoints.requests import Fields
from oito.endpoints.served import Enriched
from oito.errors import OitoError
from oito.flow.site import Site

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class _Question:
    """A row's request fields, typed, with its time; `as_of` remembers the time of one that told none: it is asked now."""

    given: Mapping[str, Any]
    at: datetime
    as_of: Mapping[str, str | None]


class Enricher:
    """Completes rows for one version of an endpoint; used by the one thread that answers.

    Each row is typed and looked up by itself; the views on request then get all rows of the call in one frame, and each
    row alone when that fails, so that one bad row costs its neighbours nothing.
    """

    def __init__(self, site: Site, version: Version) -> None:
        record = version.record
        self._site, self._time = site, record["time"]
        self._fields = Fields(record)
        door: Any = site.project.kinds["features"].door("run")
        self._views = [door.Lookup(site, name) for name in record["features"]]
        self._on_request = [site.catalog.find(name, site.environment) for name in record["on_request"]]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[Enriched | OitoError]:
        """Return, for each row, its features and when they happened, or what is wrong with that row."""
        asked = [_or_error(self._question, row) for row in rows]
        found = [each if isinstance(each, OitoError) else _or_error(self._stored, each) for each in asked]
        good = [place for place, each in enumerate(found) if isinstance(each, Enriched)]
        if self._on_request and good:
            for place, extra in zip(good, self._computed([asked[place] for place in good]), strict=True):
                found[place] = extra if isinstance(extra, OitoError) else _with(found[place], extra)
        return found

    def _question(self, row: Mapping[str, Any]) -> _Question:
        given = self._fields.typed(row)
        at = given.get(self._time)
        if at is not None:
            return _Question(given, at, {})
        now = self._site.now()
        return _Question({**given, self._time: now}, now, {self._time: text(now)})

    def _stored(self, asked: _Question) -> Enriched:
        values: dict[str, Any] = {}
        as_of = dict(asked.as_of)
        for view in self._views:
            found, happened = view.of(asked.given, asked.at)
            values |= found
            as_of[view.name] = text(happened) if happened else None
        return Enriched(values, as_of)

    def _computed(self, asked: Sequence[_Question]) -> Sequence[Mapping[str, Any] | OitoError]:
        try:
            made = computed(self._site, self._on_request, self._fields.frame([each.given for each in asked]))
        except OitoError as error:
            if len(asked) == 1:
                return [error]
        else:
            names = [column.name for column in made]
            return [dict(zip(names, row, strict=True)) for row in zip(*(c.to_list() for c in made), strict=True)]
        return [self._computed([each])[0] for each in asked]


def computed(site: Site, views: Sequence[Version], questions: pl.DataFrame) -> list[pl.Series]:
    """Return the columns that views on request compute, one value per question.

    Raises:
        StepFailed, DataError: a view's function raised, or gave another number of rows.
    """
    given = set(questions.columns)
    frames = [site.read(view, at=questions).frame for view in views]
    return [column for frame in frames for column in frame.get_columns() if column.name not in given]


def _or_error(make: Callable[[Any], Any], given: Any) -> Any:
    try:
        return make(given)
    except OitoError as error:
        return error


def _with(found: Any, extra: Mapping[str, Any]) -> Enriched:
    return Enriched({**found.values, **extra}, found.as_of)

"""Whether the outside world may have something new for a source, asked at each plan: so nothing heavy is imported for it."""

from __future__ import annotations

from oito.clock import text
from oito.flow.schedules.schedule import scheduled
from oito.flow.site import Context
from oito.sources import ledger
from oito.sources.spec import SourceSpec
from oito.storage.digests import digest


def probe(context: Context) -> str:
    """Return what tells cheaply whether the outside may have something new: the last tick of its schedule, or the files' stamps.

    Rows that were left for later count as new from the moment the first of them is known.
    """
    spec = context.asset.spec
    assert isinstance(spec, SourceSpec)
    now = context.site.now()
    schedule = scheduled(spec.every, spec.cron, zone=context.site.settings.timezone)
    if schedule:
        return text(schedule.last(now))
    if spec.reader is None:
        return text(now)
    record = context.previous.record if context.previous else {}
    waits, opened = record.get("waits_until", ""), record.get("opened", "")
    is_open = waits and waits <= text(now)
    return digest((ledger.stamps(context.site.root, spec.reader), waits if is_open else opened))[:16]

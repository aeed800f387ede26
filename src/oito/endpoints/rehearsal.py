"""Answers questions of the past as an endpoint would have: the same executor, features as known at each, the same journal."""

from __future__ import annotations

import polars as pl

from oito.catalog.records import Version
from oito.endpoints.journal import About, Journal
from oito.endpoints.loading import journal_folder, signature_of
from oito.endpoints.offline import answered
from oito.flow.site import Site

BLOCK_ROWS = 4096


def rehearse(site: Site, version: Version, questions: pl.DataFrame) -> int:
    """Answer and write down every question, and return how many there were.

    Args:
        questions: rows with the request's fields; the time column says when each was asked.
    """
    if questions.height == 0:
        return 0
    record = version.record
    matrix, answers, requests = answered(site, version, questions)
    columns = signature_of(version).names
    about = About(version.asset, version.ref, record["model"], "champion", columns, tuple(record["outputs"]))
    now_ns = int(site.now().timestamp() * 1e9)
    journal = Journal(journal_folder(site, version.asset), now_ns=lambda: now_ns)
    try:
        stream = journal.stream(about)
        for start in range(0, len(requests), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            stream.append(matrix[rows], answers[rows], requests[rows])
    finally:
        journal.close()
    return questions.height

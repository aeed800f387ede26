"""Ready-made readers of files. Which files there are is the ledger's; what is new in the rows is decided in run.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from oito.clock import text
from oito.errors import BadInput, ContractBroken, EmptySource
from oito.sources import ledger
from oito.sources.spec import FilesReader
from oito.storage import frames


@dataclass(frozen=True)
class Batch:
    """Rows that were read, the file of each row by its place in `ledger`, and the ledger from now on."""

    rows: pl.DataFrame
    origins: tuple[tuple[int, int], ...]  # (place in the ledger, rows), in the order of the rows
    ledger: tuple[ledger.Read, ...]


def news(
    root: Path, reader: FilesReader, before: Sequence[ledger.Read], *, now: str, is_whole: bool, place: str
) -> Batch | None:
    """Return the rows of the files that are new or changed, or hold rows that were left for later; None when none are.

    Args:
        before: the ledger; empty the first time.
        is_whole: read all files when any of them is new, changed or gone.

    Raises:
        EmptySource: no file fits the pattern, and none ever did or all are wanted.
        ContractBroken: a file cannot be read, or two hold a column in types that do not go together.
    """
    known = {each.path: each for each in before}
    there = ledger.found(root, reader)
    due = [each for each in there if _is_due(each, known.get(each.path), now)]
    if is_whole and before and (due or len(there) != len(before)):
        due = there
    if not there and (is_whole or not before):
        raise EmptySource(
            f"no file fits {reader.pattern!r}",
            where=place,
            known=f"looked in {root}",
            next="put a file there, or mend the pattern",
        )
    if not due:
        return None
    places = {each.path: number for number, each in enumerate(there)}
    pieces = [(places[each.path], _one(root / each.path, reader, place)) for each in due]
    entries = [known.get(each.path, each) for each in there]
    for number, rows in pieces:
        entries[number] = ledger.Read(*there[number].stamp, rows.height)
    origins = tuple((number, rows.height) for number, rows in pieces)
    return Batch(_united([rows for _, rows in pieces], reader, place), origins, tuple(entries))


def with_waits(batch: Batch, waits: pl.Series) -> tuple[ledger.Read, ...]:
    """Return the ledger with the first moment, per file, at which rows left for later become known.

    Args:
        waits: per row of the batch, in its order, the moment it becomes known when that is still to come, else null.
    """
    entries = list(batch.ledger)
    start = 0
    for number, rows in batch.origins:
        first = waits.slice(start, rows).min()
        start += rows
        entry = entries[number]
        entries[number] = ledger.Read(*entry.stamp, entry.rows, "" if first is None else text(first))  # type: ignore[arg-type]  # a column of moments has a moment as its least
    return tuple(entries)


def _is_due(there: ledger.Read, known: ledger.Read | None, now: str) -> bool:
    return known is None or known.stamp != there.stamp or bool(known.waits_until and known.waits_until <= now)


def _united(pieces: Sequence[pl.DataFrame], reader: FilesReader, place: str) -> pl.DataFrame:
    try:
        return pl.concat(pieces, how="diagonal_relaxed", rechunk=True)
    except pl.exceptions.PolarsError as error:
        raise ContractBroken(
            f"the files of {reader.pattern!r} do not go together: {' '.join(str(error).split())[:300]}",
            where=place,
            next="give a column one type in all files",
        ) from error


def _one(path: Path, reader: FilesReader, place: str) -> pl.DataFrame:
    try:
        rows = frames.stored(_parsed(path, reader))
    except pl.exceptions.NoDataError:
        return pl.DataFrame()  # a file that was made and not yet written
    except (pl.exceptions.PolarsError, BadInput, OSError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())[:300]
        raise ContractBroken(
            f"{path.name} cannot be read: {text}", where=place, next="mend or move the file"
        ) from error
    assert isinstance(rows, pl.DataFrame)
    return rows


def _parsed(path: Path, reader: FilesReader) -> pl.DataFrame:
    ending = path.suffix.lower()
    if ending in {".csv", ".tsv"}:
        separator = "\t" if ending == ".tsv" else ","
        return pl.read_csv(
            path,
            separator=separator,
            null_values=list(reader.null_values),
            infer_schema_length=None,
            try_parse_dates=True,
        )
    if ending in {".parquet", ".pq"}:
        return pl.read_parquet(path, glob=False)
    if ending in {".jsonl", ".ndjson"}:
        return pl.read_ndjson(path, infer_schema_length=None)
    if ending == ".json":
        return pl.read_json(path, infer_schema_length=None)
    if ending in {".arrow", ".feather", ".ipc"}:
        return pl.read_ipc(path)
    raise OSError("oito reads .csv, .tsv, .json, .jsonl, .parquet and .arrow files")

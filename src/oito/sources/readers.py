"""Ready-made readers of files. What is new in them, and what fits the contract, is decided in run.py and contract.py."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from oito.errors import ContractBroken, EmptySource
from oito.sources.spec import FilesReader
from oito.storage import frames


def stamps(root: Path, reader: FilesReader) -> tuple[tuple[str, int, int], ...]:
    """Return (path, size in bytes, changed at in ns) of every file the reader would read."""
    found = [(path, path.stat()) for path in sorted(root.glob(reader.pattern))]
    return tuple((str(path.relative_to(root)), stat.st_size, stat.st_mtime_ns) for path, stat in found)


def read(root: Path, reader: FilesReader, *, place: str) -> pl.DataFrame:
    """Return the rows of all files, columns united by name.

    Raises:
        EmptySource: no file fits the pattern.
        ContractBroken: a file cannot be read; the text names it.
    """
    paths = sorted(root.glob(reader.pattern))
    if not paths:
        raise EmptySource(
            f"no file fits {reader.pattern!r}",
            where=place,
            known=f"looked in {root}",
            next="put a file there, or mend the pattern",
        )
    pieces = [_one(path, reader, place) for path in paths]
    return pl.concat(pieces, how="diagonal_relaxed", rechunk=True)


def _one(path: Path, reader: FilesReader, place: str) -> pl.DataFrame:
    try:
        rows = _parsed(path, reader)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())[:300]
        raise ContractBroken(
            f"{path.name} cannot be read: {text}", where=place, next="mend or move the file"
        ) from error
    stored = frames.stored(rows)
    assert isinstance(stored, pl.DataFrame)
    return stored


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
        return pl.read_parquet(path)
    if ending in {".jsonl", ".ndjson"}:
        return pl.read_ndjson(path, infer_schema_length=None)
    if ending == ".json":
        return pl.read_json(path, infer_schema_length=None)
    if ending in {".arrow", ".feather", ".ipc"}:
        return pl.read_ipc(path)
    raise OSError("oito reads .csv, .tsv, .json, .jsonl, .parquet and .arrow files")

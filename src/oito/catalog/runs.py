"""Runs and their steps, and the leases by which two processes do the same work once.

Every `now` and `seen` here is an `uptime`: a lease must not end, nor go on, because somebody sets the machine's clock.
"""

from typing import Any

from oito.catalog.records import Run, Step
from oito.storage.sql import Database, Transaction


def insert(change: Transaction, run: Run) -> None:
    change.run(
        "INSERT INTO run (id, environment, reason, who, state, at, started, seen, seconds, bundle)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        run.id, run.environment, run.reason, run.who, run.state, run.at, run.started, run.seen, run.seconds, run.bundle,
    )  # fmt: skip


def seen(change: Transaction, run: str, *, now: float) -> None:
    """Give a sign of life for the run and the work it holds; one that was taken for dead is alive again."""
    change.passing("UPDATE run SET seen = ? WHERE id = ?", now, run)
    change.passing("UPDATE work SET seen = ? WHERE run = ?", now, run)
    if change.one("SELECT 1 FROM run WHERE id = ? AND state = 'failed' AND seconds IS NULL", run):
        change.run("UPDATE run SET state = 'running' WHERE id = ?", run)


def end(change: Transaction, run: str, *, state: str, seconds: float | None) -> None:
    """Write down how a run ended, and free its work; without seconds nobody knows when it did."""
    change.run("UPDATE run SET state = ?, seconds = ? WHERE id = ?", state, seconds, run)
    change.passing("DELETE FROM work WHERE run = ?", run)


def end_dead(change: Transaction, *, now: float, lease_s: float) -> list[str]:
    """Mark runs without a sign of life within the lease as failed, free their work, and return their ids."""
    running = change.read("SELECT id, seen FROM run WHERE state = 'running'")
    dead = [row["id"] for row in running if not is_alive(row["seen"], now=now, lease_s=lease_s)]
    for run in dead:
        end(change, run, state="failed", seconds=None)
    return dead


def insert_step(change: Transaction, step: Step) -> None:
    change.run(
        "INSERT INTO step (run, asset, state, version, seconds, cause, error, log) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        step.run, step.asset, step.state, step.version, step.seconds, step.cause, step.error, step.log,
    )  # fmt: skip


def claim(change: Transaction, fingerprint: str, run: str, *, now: float, lease_s: float) -> str:
    """Take the work of one fingerprint for a run; return "" on success, else the run that holds it."""
    row = change.one("SELECT run, seen FROM work WHERE fingerprint = ?", fingerprint)
    if row and row["run"] != run and is_alive(row["seen"], now=now, lease_s=lease_s):
        return str(row["run"])
    change.passing("INSERT OR REPLACE INTO work (fingerprint, run, seen) VALUES (?, ?, ?)", fingerprint, run, now)
    return ""


def is_alive(seen: float, *, now: float, lease_s: float) -> bool:
    """Say whether a sign of life still counts; one far in the future is from before the machine was started anew."""
    return abs(now - seen) < lease_s


def holder(database: Database, fingerprint: str, *, now: float, lease_s: float) -> str:
    """Return the run that holds the work of one fingerprint and is alive, or ""."""
    row = database.one("SELECT run, seen FROM work WHERE fingerprint = ?", fingerprint)
    return str(row["run"]) if row and is_alive(row["seen"], now=now, lease_s=lease_s) else ""


def holds(change: Transaction, fingerprint: str, run: str) -> bool:
    """Say whether the work is still this run's: it is not once another took it over."""
    row = change.one("SELECT run FROM work WHERE fingerprint = ?", fingerprint)
    return row is not None and row["run"] == run


def free(change: Transaction, fingerprint: str, run: str) -> None:
    change.passing("DELETE FROM work WHERE fingerprint = ? AND run = ?", fingerprint, run)


def listed(database: Database, *, environment: str = "", limit: int = 30) -> list[Run]:
    rows = database.read(
        "SELECT * FROM run WHERE ? = '' OR environment = ? ORDER BY rowid DESC LIMIT ?",
        environment,
        environment,
        limit,
    )
    return [Run(**dict(row)) for row in rows]


def running(database: Database) -> list[Run]:
    """Return the runs that have not ended, the living and the dead."""
    return [Run(**dict(row)) for row in database.read("SELECT * FROM run WHERE state = 'running' ORDER BY rowid")]


def by_id(database: Database, identity: str) -> Run | None:
    row = database.one("SELECT * FROM run WHERE id = ?", identity)
    return Run(**dict(row)) if row else None


def steps(database: Database, run: str) -> list[Step]:
    rows = database.read("SELECT * FROM step WHERE run = ? ORDER BY id", run)
    return [_step(dict(row)) for row in rows]


def last_step(database: Database, asset: str, environment: str) -> Step | None:
    """Return what the newest run in the environment did with the asset."""
    rows = database.read(
        "SELECT s.* FROM step s JOIN run r ON r.id = s.run WHERE s.asset = ? AND r.environment = ? ORDER BY s.id DESC LIMIT 1",
        asset, environment,
    )  # fmt: skip
    return _step(dict(rows[0])) if rows else None


def has_answered(database: Database, asset: str, environment: str, asker: int) -> bool:
    """Say whether a run in the environment settled on a version of the asset after the version `asker` was made."""
    row = database.one(
        "SELECT 1 FROM step s JOIN run r ON r.id = s.run WHERE s.asset = ? AND r.environment = ? AND"
        " s.state IN ('made', 'reused', 'refused') AND s.id > (SELECT MIN(id) FROM step WHERE version = ?) LIMIT 1",
        asset, environment, asker,
    )  # fmt: skip
    return row is not None


def _step(fields: dict[str, Any]) -> Step:
    fields.pop("id")
    return Step(**fields)

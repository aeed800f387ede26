"""What became of each moment at which something was to run by itself, and who leads the schedules. What is due is the flow's to say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from oito.storage.sql import Database, Transaction

State = Literal["waiting", "running", "ran", "failed", "skipped", "missed"]
OPEN: tuple[State, ...] = ("waiting", "running")
KEPT = 1_000  # ended ticks of one asset that are remembered
OFFICE = "scheduler"


@dataclass(frozen=True)
class Tick:
    """One moment at which an asset was to run, or `count` of them in a row, the first of which was due at `first`.

    States: `waiting` (for its turn, or from `not_before` on for another attempt), `running`, `ran`, `failed`, `skipped`
    (`note` says why), `missed`. `sort` is why it came about: every, cron, upstream, verdict or hand; `cause` says it in words.
    `reason` is that of the run, which several ticks of one moment share; `run` is empty until it has begun.
    """

    id: int
    environment: str
    asset: str
    due: str
    first: str
    count: int
    sort: str
    cause: str
    state: State
    note: str = ""
    error: str = ""
    not_before: str = ""
    attempts: int = 0
    failures: int = 0
    reason: str = ""
    run: str = ""
    pid: int = 0
    began: str = ""
    ended: str = ""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


@dataclass(frozen=True)
class Leader:
    """Who carries out the schedules of a store; `beats` grows while it is alive, `seen` is the moment of the last beat."""

    holder: str
    since: str
    seen: str
    beats: int


def add(
    change: Transaction, environment: str, asset: str, *, due: str, sort: str, cause: str, first: str = "",
    count: int = 1, state: State = "waiting", note: str = "", ended: str = "",
) -> bool:  # fmt: skip
    """Write a tick down and return whether it is new: of one asset there is one tick per moment."""
    is_new = not is_known(change, environment, asset, due)
    if is_new:
        change.run(
            "INSERT INTO tick (environment, asset, due, first, count, sort, cause, state, note, ended)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            environment, asset, due, first or due, count, sort, cause, state, note, ended,
        )  # fmt: skip
    return is_new


def is_known(database: Database | Transaction, environment: str, asset: str, due: str) -> bool:
    """Say whether a tick has been written down."""
    found = database.one("SELECT 1 FROM tick WHERE environment = ? AND asset = ? AND due = ?", environment, asset, due)
    return found is not None


def begin(change: Transaction, ticks: Iterable[Tick], *, reason: str, at: str) -> None:
    """Say that a run for these ticks is about to begin."""
    change.many(
        "UPDATE tick SET state = 'running', attempts = attempts + 1, reason = ?, began = ?, run = '', pid = 0, ended = '',"
        " error = '' WHERE id = ?",
        [(reason, at, tick.id) for tick in ticks],
    )


def born(change: Transaction, reason: str, *, pid: int) -> None:
    """Remember the process that a run happens in."""
    change.run("UPDATE tick SET pid = ? WHERE state = 'running' AND reason = ?", pid, reason)


def link(change: Transaction, reason: str, *, run: str) -> None:
    """Remember the run that was begun for a reason."""
    change.run("UPDATE tick SET run = ? WHERE state = 'running' AND reason = ?", run, reason)


def end(change: Transaction, tick: int, *, state: State, at: str, note: str = "", error: str = "") -> None:
    """Say what became of a tick."""
    change.run(
        "UPDATE tick SET state = ?, ended = ?, note = ?, error = ?, failures = failures + (? = 'failed') WHERE id = ?",
        state, at, note, error, state, tick,
    )  # fmt: skip


def again(change: Transaction, tick: int, *, not_before: str, note: str, error: str = "", failed: bool = True) -> None:
    """Let a tick wait for another attempt; one that did not fail was stopped, and that counts as none."""
    change.run(
        "UPDATE tick SET state = 'waiting', not_before = ?, note = ?, error = ?, failures = failures + ? WHERE id = ?",
        not_before, note, error, failed, tick,
    )  # fmt: skip


def opened(database: Database) -> list[Tick]:
    """Return the ticks that wait or run, oldest first."""
    return _ticks(database, "SELECT * FROM tick WHERE state IN ('waiting', 'running') ORDER BY due, id")


def listed(database: Database, *, environment: str = "", asset: str = "", limit: int = 50) -> list[Tick]:
    """Return ticks, the newest first."""
    return _ticks(
        database,
        "SELECT * FROM tick WHERE ? IN ('', environment) AND ? IN ('', asset) ORDER BY due DESC, id DESC LIMIT ?",
        environment, asset, limit,
    )  # fmt: skip


def newest(database: Database) -> dict[tuple[str, str], Tick]:
    """Return, by environment and asset, the newest tick that has ended."""
    found = _ticks(
        database,
        "SELECT * FROM tick WHERE id IN (SELECT MAX(id) FROM tick WHERE ended != '' GROUP BY environment, asset)",
    )
    return {(tick.environment, tick.asset): tick for tick in found}


def forget_old(change: Transaction) -> None:
    """Let go of all but the newest thousand ended ticks of each asset."""
    change.run(
        "DELETE FROM tick WHERE id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER"
        " (PARTITION BY environment, asset ORDER BY due DESC) AS place FROM tick WHERE ended != '') WHERE place > ?)",
        KEPT,
    )


def reached(database: Database, environment: str) -> dict[str, tuple[str, str]]:
    """Return asset → (its schedule, the moment up to which each of its ticks has been written down)."""
    rows = database.read("SELECT asset, schedule, at FROM reached WHERE environment = ?", environment)
    return {row["asset"]: (row["schedule"], row["at"]) for row in rows}


def reach(change: Transaction, environment: str, asset: str, *, schedule: str, at: str) -> None:
    """Say that every tick of a schedule up to a moment has been written down."""
    change.run("INSERT OR REPLACE INTO reached VALUES (?, ?, ?, ?)", environment, asset, schedule, at)


def unschedule(change: Transaction, environment: str, assets: Sequence[str]) -> None:
    """Forget how far schedules were that no longer are."""
    change.many("DELETE FROM reached WHERE environment = ? AND asset = ?", [(environment, each) for each in assets])


def leader(database: Database | Transaction) -> Leader | None:
    """Return who holds the office, or None while it is free."""
    row = database.one("SELECT holder, since, seen, beats FROM leader WHERE office = ?", OFFICE)
    return Leader(**dict(row)) if row else None


def take_office(change: Transaction, holder: str, *, at: str, watched: Leader | None) -> bool:
    """Become the leader, if the office is as it was when it was `watched`: free, or without a new sign of life."""
    now = leader(change)
    if now is not None and (watched is None or (now.holder, now.beats) != (watched.holder, watched.beats)):
        return False
    change.passing("INSERT OR REPLACE INTO leader VALUES (?, ?, ?, ?, 0)", OFFICE, holder, at, at)
    return True


def beat(change: Transaction, holder: str, *, at: str) -> bool:
    """Give a sign of life; return whether the office is still the holder's."""
    sql = "UPDATE leader SET beats = beats + 1, seen = ? WHERE office = ? AND holder = ?"
    return bool(change.passing(sql, at, OFFICE, holder))


def leads(change: Transaction, holder: str) -> bool:
    """Say whether the office is still the holder's."""
    now = leader(change)
    return now is not None and now.holder == holder


def leave_office(change: Transaction, holder: str) -> None:
    """Free the office, so that who stands by takes over at once."""
    change.passing("DELETE FROM leader WHERE office = ? AND holder = ?", OFFICE, holder)


def _ticks(database: Database, sql: str, *values: object) -> list[Tick]:
    return [Tick(**dict(row)) for row in database.read(sql, *values)]

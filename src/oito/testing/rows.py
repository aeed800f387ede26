"""What a database promises: transactions that are whole, that wait for each other, and that survive a killed process."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from oito.errors import CatalogBusy
from oito.storage.migrations import migrate
from oito.testing import children

_COUNTING = """
for _ in range(25):
    with database.write() as change:
        n = change.one("SELECT n FROM counter")["n"]
        change.run("UPDATE counter SET n = ?", n + 1)
"""
_KILLED = """
for n in range(1_000_000):
    with database.write() as change:
        change.run("INSERT INTO pair (side, n) VALUES ('left', ?)", n)
        change.run("INSERT INTO pair (side, n) VALUES ('right', ?)", n)
    print(n, flush=True)
"""


class RowsContract:
    """Subclass it, and give a fixture `database` (empty), and `database_opening` (Python that opens it as `database`)."""

    def database_opening(self, database: Any) -> str:
        """Return Python that opens the same database in another process, under the name `database`."""
        raise NotImplementedError

    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make writers that wait for another give up within a second."""
        pytest.skip("nothing says how to make a writer impatient")

    def test_a_transaction_is_kept_whole_or_not_at_all(self, database: Any) -> None:
        database.one("CREATE TABLE t (x INTEGER)")
        with pytest.raises(ZeroDivisionError), database.write() as change:
            change.run("INSERT INTO t VALUES (1)")
            with database.write() as inner:
                inner.many("INSERT INTO t VALUES (?)", [(2,), (3,)])
            _ = 1 / 0
        assert database.read("SELECT x FROM t") == []
        with database.write() as change:
            first = change.run("INSERT INTO t VALUES (1)")
            assert [row["x"] for row in change.read("SELECT x FROM t")] == [1]
        assert first and [row["x"] for row in database.read("SELECT x FROM t")] == [1]
        assert database.one("SELECT x FROM t WHERE x = ?", 9) is None

    def test_nobody_sees_half_of_a_transaction(self, database: Any) -> None:
        database.one("CREATE TABLE t (x INTEGER)")
        seen: list[int] = []
        with database.write() as change:
            change.run("INSERT INTO t VALUES (1)")
            _elsewhere(database, lambda: seen.append(len(database.read("SELECT x FROM t"))))
            change.run("INSERT INTO t VALUES (2)")
        _elsewhere(database, lambda: seen.append(len(database.read("SELECT x FROM t"))))
        assert seen == [0, 2]

    def test_what_others_changed_is_noticed_and_what_oneself_did_is_not(self, database: Any) -> None:
        database.one("CREATE TABLE t (x INTEGER)")
        before = database.foreign_changes()
        with database.write() as change:
            change.run("INSERT INTO t VALUES (1)")
        assert database.foreign_changes() == before
        children.together(
            [f"{self.database_opening(database)}\nwith database.write() as c:\n    c.run('INSERT INTO t VALUES (2)')"]
        )
        assert database.foreign_changes() != before

    def test_writers_wait_for_each_other(self, database: Any) -> None:
        database.one("CREATE TABLE counter (n INTEGER)")
        with database.write() as change:
            change.run("INSERT INTO counter VALUES (0)")
        children.together([f"{self.database_opening(database)}\n{_COUNTING}"] * 4)
        row = database.one("SELECT n FROM counter")
        assert row is not None and row["n"] == 100

    def test_a_writer_that_waited_too_long_is_told_and_may_try_again(
        self, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.impatient(monkeypatch)
        database.one("CREATE TABLE t (x INTEGER)")
        code = f"""
{self.database_opening(database)}
import sys
with database.write() as change:
    change.run("INSERT INTO t VALUES (1)")
    print("holding", flush=True)
    sys.stdin.read()
"""
        told: list[CatalogBusy] = []

        def late() -> None:
            try:
                with database.write() as change:
                    change.run("INSERT INTO t VALUES (2)")
            except CatalogBusy as error:
                told.append(error)

        with children.holding(code):
            _elsewhere(database, late)
        assert told and told[0].may_retry
        with database.write() as change:
            change.run("INSERT INTO t VALUES (3)")

    def test_a_killed_writer_loses_nothing_that_it_had_told_and_leaves_no_half(self, database: Any) -> None:
        database.one("CREATE TABLE pair (side TEXT, n INTEGER)")
        told = children.killed(f"{self.database_opening(database)}\n{_KILLED}", after_lines=20)
        sides = {side: {row["n"] for row in database.read("SELECT n FROM pair WHERE side = ?", side)}
                 for side in ("left", "right")}  # fmt: skip
        assert sides["left"] == sides["right"] >= {int(line) for line in told}

    def test_migrations_are_applied_once_whoever_comes_first(self, database: Any) -> None:
        code = f"{self.database_opening(database)}\nfrom oito.storage.migrations import migrate\nmigrate(database)"
        children.together([code] * 3)
        migrate(database)
        assert database.read("SELECT * FROM version") == []


def _elsewhere(database: Any, work: Any) -> None:
    """Do something on a thread, which has a connection of its own, and close that."""

    def both() -> None:
        try:
            work()
        finally:
            database.leave()

    thread = threading.Thread(target=both)
    thread.start()
    thread.join()

"""Steps are carried out once, committed whole, tried again where that may help, and fail alone."""

import json
import resource
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from oito.catalog import events, runs, versions
from oito.catalog.records import Run
from oito.clock import uptime
from oito.errors import CheckFailed, OitoError, StepFailed, StepTimeout, StorageFull
from oito.flow import actions, runner
from oito.flow.engines import engine
from oito.flow.engines.attempt import attempt
from oito.flow.site import Context, Made
from oito.flow.stored import Stored
from oito.flow.upkeep import integrity
from tiny import CHAIN, HEAD, WATCHED, Tiny

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny import Tiny
from oito.flow import runner
tiny = Tiny(Path(sys.argv[1]))
outcome = runner.run(tiny.site(sys.argv[2]))
print(" ".join(step.asset + "=" + step.state for step in outcome.steps))
sys.exit(1 if outcome.errors else 0)
"""


def child(tiny: Tiny, environment: str = "production") -> "subprocess.Popen[str]":
    """Start `run` in another process."""
    code = CHILD.format(tests=str(Path(__file__).parents[1]))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(tiny.root), environment],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def step(tiny: Tiny, asset: str) -> tuple[str, str, str]:
    """Return state, error and log of what a run did last with an asset."""
    found = tiny.site().catalog.rows.read("SELECT state, error, log FROM step WHERE asset = ? ORDER BY id DESC", asset)[
        0
    ]
    return found["state"], found["error"], found["log"]


def test_a_step_that_fails_blocks_what_needs_it_and_nothing_else(tiny: Tiny) -> None:
    body = """
@oito.dataset
def broken(orders: pl.DataFrame):
    print("about to divide")
    return 1 / 0

@oito.dataset
def below(broken): return broken
"""
    tiny.write(CHAIN + body)
    outcome = tiny.tried()
    assert tiny.did(outcome) == {
        "orders": "made", "cleaned": "made", "total": "made", "broken": "failed", "below": "blocked",
    }  # fmt: skip
    assert list(outcome.errors) == ["broken"]
    _, error, log = step(tiny, "broken")
    assert log.splitlines()[0] == "about to divide"
    assert error.splitlines()[:2] == [
        "broken raised ZeroDivisionError: division by zero",
        f"  where    project.py:{(CHAIN + body).splitlines().index('    return 1 / 0') + 1}, in broken",
    ]
    assert runs.listed(tiny.site().catalog.rows)[0].state == "failed"
    with pytest.raises(StepFailed):
        outcome.raise_first()


def test_an_error_in_a_lazy_query_is_the_users_error(tiny: Tiny) -> None:
    tiny.write(CHAIN + "@oito.dataset\ndef wrong(orders): return orders.select(pl.col('nope'))\n")
    outcome = tiny.tried()
    assert list(outcome.errors) == ["wrong"]
    assert outcome.errors["wrong"].what.startswith("wrong raised ColumnNotFoundError")


def test_what_a_step_prints_stands_in_its_log(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write(CHAIN.replace('ran("cleaned")', 'ran("cleaned"); print("three rows"); print("and", "more")'))
    tiny.run()
    assert step(tiny, "cleaned")[2].splitlines()[:2] == ["three rows", "and more"]
    assert capsys.readouterr().out == ""


def test_runs_in_two_threads_leave_the_output_as_it_was(tiny: Tiny) -> None:
    from oito.flow.engines.attempt import captured

    before, both = sys.stdout, threading.Barrier(2)
    logs: list[list[str]] = [[], []]

    def work(n: int) -> None:
        with captured(logs[n]):
            both.wait()
            sys.stdout.write(f"from {n}\n")
            both.wait()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logs == [["from 0"], ["from 1"]]
    assert sys.stdout is before


RETRIED = (
    HEAD
    + """
@oito.source(retries=2)
def orders(since):
    ran("orders")
    tries = len(Path(os.environ["RAN"]).read_text().split())
    if tries < 3:
        raise {error}
    return outside()
"""
)


def test_what_may_be_retried_is_and_each_attempt_is_told(tiny: Tiny) -> None:
    tiny.write(RETRIED.format(error='ConnectionError("reset")')).run()
    assert tiny.ran() == ["orders"] * 3
    assert step(tiny, "orders")[2].splitlines()[:2] == [
        "attempt 1 of 3 failed: orders raised ConnectionError: reset",
        "attempt 2 of 3 failed: orders raised ConnectionError: reset",
    ]


def test_what_may_not_be_retried_is_tried_once(tiny: Tiny) -> None:
    outcome = tiny.write(RETRIED.format(error='ValueError("bad")')).tried()
    assert tiny.ran() == ["orders"]
    assert outcome.errors["orders"].what == "orders raised ValueError: bad"


@pytest.mark.parametrize(
    "body", ["time.sleep(30)", "\n        try: time.sleep(30)\n        except Exception: time.sleep(30)"]
)
def test_a_step_that_runs_too_long_is_interrupted_also_when_it_swallows_the_alarm(tiny: Tiny, body: str) -> None:
    tiny.write(HEAD + f"import time\n@oito.source(timeout='100ms')\ndef orders(since):\n    if True: {body}\n")
    began = time.monotonic()
    error = tiny.tried().errors["orders"]
    assert time.monotonic() - began < 20
    assert isinstance(error, StepTimeout)
    assert error.what == "orders ran longer than its timeout of 0.1 s"
    assert error.next == "raise timeout="


def test_a_failed_check_keeps_the_broken_version_and_moves_no_pointer(tiny: Tiny) -> None:
    tiny.write(
        CHAIN.replace("@oito.dataset\ndef cleaned", "@oito.dataset(checks=[oito.between('n', 0, 10)])\ndef cleaned")
    )
    tiny.run(environment="production")
    tiny.tell(id=[1], n=[99])
    outcome = tiny.tried(environment="production")
    assert tiny.did(outcome) == {"orders": "made", "cleaned": "broken", "total": "blocked"}
    assert isinstance(outcome.errors["cleaned"], CheckFailed)
    site = tiny.site("production")
    broken = versions.by_number(site.catalog.rows, "cleaned", 2)
    assert broken is not None
    assert broken.state == "broken"
    assert site.table(broken, as_type=pl.DataFrame)["n"].max() == 99
    assert tiny.version("cleaned", "production").number == 1
    last = runs.last_step(site.catalog.rows, "cleaned", "production")
    assert last is not None
    assert (last.state, last.version) == ("broken", broken.id)
    assert events.listed(site.catalog.rows, subject="cleaned:v2")[0].verb == "broke"
    tiny.tell(id=[1], n=[9])
    assert tiny.did(tiny.run(environment="production"))["cleaned"] == "made"


def test_two_runs_at_once_do_each_piece_of_work_once(tiny: Tiny) -> None:
    slow = CHAIN.replace('ran("', 'import time; time.sleep(0.3); ran("')
    tiny.write(
        slow
        + "".join(
            f"@oito.dataset\ndef d{n}(total): ran('d{n}'); return total.with_columns(x=pl.lit({n}))\n" for n in range(4)
        )
    )
    both = [child(tiny), child(tiny)]
    told = [each.communicate(timeout=120) for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    assert sorted(tiny.ran()) == ["cleaned", "d0", "d1", "d2", "d3", "orders", "total"]
    assert {len(versions.listed(tiny.site().catalog.rows, name)) for name in ("orders", "cleaned", "total", "d0")} == {
        1
    }


def test_the_work_of_a_dead_run_is_taken_over_after_its_lease(tiny: Tiny) -> None:
    tiny.write(CHAIN)
    site = tiny.site("production")
    entry = tiny.plan("production")["orders"]
    now = uptime()
    with site.catalog.change() as change:
        runs.insert(change.rows, Run("r-dead", "production", "", "ana", "running", change.at, now, now, None, ""))
        assert runs.claim(change.rows, entry.work, "r-dead", now=now - 19.5, lease_s=20.0) == ""
        change.rows.run("UPDATE run SET seen = ? WHERE id = 'r-dead'", now - 19.5)
    began = time.monotonic()
    tiny.run(environment="production")
    assert time.monotonic() - began > 0.3
    with site.catalog.change() as change:
        change.rows.run("UPDATE run SET seen = ? WHERE id = 'r-dead'", now - 30)
    tiny.run(environment="production")
    dead = runs.by_id(site.catalog.rows, "r-dead")
    assert dead is not None
    assert dead.state == "failed"
    assert events.listed(site.catalog.rows, subject="r-dead")[0].verb == "found dead"
    assert site.catalog.rows.read("SELECT * FROM work") == []


def test_a_run_that_lost_its_lease_commits_nothing_and_takes_what_the_other_made(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a laptop slept: another run took the work over and finished it meanwhile."""
    tiny.write(CHAIN)
    site = tiny.site("production")
    done: list[int] = []

    def slept(context: Context) -> tuple[Made, Stored | None]:
        made = attempt(context)
        if not done:
            done.append(1)
            site.catalog.rows.one("UPDATE work SET seen = 0")
            with child(tiny) as other:
                assert other.wait(60) == 0, other.communicate()
        return made

    monkeypatch.setattr(engine, "attempt", slept)
    monkeypatch.setattr(runner, "HEARTBEAT_S", 1000.0)
    outcome = runner.run(site)
    outcome.raise_first()
    assert {len(versions.listed(site.catalog.rows, name)) for name in ("orders", "cleaned", "total")} == {1}


def test_a_lease_from_the_future_holds_nothing(tiny: Tiny) -> None:
    assert not runs.is_alive(1000.0, now=10.0, lease_s=20.0)
    assert runs.is_alive(11.0, now=10.0, lease_s=20.0)


def test_an_error_of_a_gate_fails_its_step_alone(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(WATCHED)
    monkeypatch.setenv("FAIL_AT_GATE", "1")
    outcome = tiny.tried(environment="production")
    assert tiny.did(outcome) == {
        "orders": "made", "cleaned": "made", "total": "made", "size": "failed", "watch": "blocked",
    }  # fmt: skip
    monkeypatch.delenv("FAIL_AT_GATE")
    tiny.ran()
    assert tiny.did(tiny.run(environment="production")) == {"size": "reused", "watch": "made"}
    assert tiny.ran() == []


def test_a_refused_first_version_is_told_once_and_moves_nothing(tiny: Tiny) -> None:
    outcome = tiny.write(WATCHED.replace("least=5", "least=500")).tried(environment="production")
    assert tiny.did(outcome)["size"] == "refused"
    assert [each.asset for each in outcome.steps].count("size") == 1
    error = outcome.errors["size"]
    assert str(error).splitlines() == [
        "a gate refused size:v1",
        "  known    least: 12 against at least 500",
        "  next     oito show size:v1     or change the gate in its experiment",
    ]
    assert tiny.site("production").catalog.resolve("size", "production") is None
    assert tiny.did(tiny.tried(environment="dev"))["size"] == "reused"  # dev is not protected


def test_every_event_of_a_run_is_chained_and_any_edit_is_found(tiny: Tiny) -> None:
    tiny.write(WATCHED).run(environment="production")
    rows = tiny.site().catalog.rows
    assert events.first_broken(rows) is None
    for column in ("at", "who", "verb", "subject", "detail", "previous", "hash"):
        before = rows.one(f"SELECT {column} FROM event WHERE id = 3")
        assert before is not None
        rows.one(f"UPDATE event SET {column} = {column} || 'x' WHERE id = 3")
        assert events.first_broken(rows) == 3, column
        rows.one(f"UPDATE event SET {column} = ? WHERE id = 3", before[0])
    assert events.first_broken(rows) is None
    rows.one("DELETE FROM event WHERE id = 2")
    assert events.first_broken(rows) == 3
    said = [each["what"] for each in integrity.check(tiny.site()).data["problems"]]
    assert said == ["row of event, id=2", "event 3"]


def test_a_step_whose_bytes_find_no_room_is_told_and_leaves_nothing(tiny: Tiny) -> None:
    tiny.write(CHAIN).run("cleaned", environment="production")
    code = CHILD.format(tests=str(Path(__file__).parents[1])).replace(
        "outcome = ",
        "site = tiny.site('production')\nimport resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\noutcome = ",
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny.root), "x"], capture_output=True, text=True, check=False
    )
    assert "StorageFull: there is no room to write" in done.stderr
    site = tiny.site("production")
    assert versions.newest(site.catalog.rows, "total") is None
    assert not list((site.files.root / "scratch").iterdir())
    assert tiny.did(tiny.run(environment="production")) == {"total": "made"}


def test_a_full_disk_below_the_data_alone_fails_the_step(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    big = "@oito.dataset\ndef big(orders: pl.DataFrame):\n    import numpy\n    return pl.DataFrame({'x': numpy.random.default_rng(1).random(200_000)})\n"
    tiny.write(CHAIN + big)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        outcome = tiny.tried(environment="production")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert tiny.did(outcome) == {"orders": "made", "cleaned": "made", "total": "made", "big": "failed"}
    assert isinstance(outcome.errors["big"], StorageFull)
    site = tiny.site("production")
    assert versions.newest(site.catalog.rows, "big") is None
    assert not list((site.files.root / "scratch").iterdir())
    assert tiny.did(tiny.run(environment="production")) == {"orders": "unchanged", "big": "made"} or tiny.states(
        "production"
    )


def test_a_run_stores_the_code_that_ran_not_the_folder(tiny: Tiny) -> None:
    project = tiny.write(CHAIN).load()
    tiny.edit("> 0", "> 3")  # after it was loaded
    outcome = runner.run(tiny.site("production", project=project))
    import io
    import zipfile

    found = runs.by_id(tiny.site().catalog.rows, outcome.run)
    assert found is not None
    with zipfile.ZipFile(io.BytesIO(tiny.site().files.read(found.bundle))) as stored:
        assert stored.read("project.py").decode() == CHAIN


def test_the_outcome_of_a_run_is_plain_data(tiny: Tiny) -> None:
    page = actions.run(tiny.write(CHAIN).site("production"))
    assert json.loads(json.dumps(page.data))["steps"][0]["version"] == "orders:v1"
    assert actions.run(tiny.site("dev")).title == "nothing to do"


def test_heartbeats_leave_no_open_files(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "HEARTBEAT_S", 0.01)
    site = tiny.write(CHAIN.replace('ran("cleaned")', "import time; time.sleep(0.1)")).site("production")
    runner.run(site).raise_first()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        runner.run(site, ["cleaned"], force=["cleaned"]).raise_first()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_settings_lease_shorter_than_a_heartbeat_is_refused(tiny: Tiny) -> None:
    tiny.write("lease_s = 1.0\n", "oito.toml").write(CHAIN)
    with pytest.raises(OitoError, match="the setting 'lease_s' is 1"):
        tiny.site()


def test_a_site_within_another_environment_is_otherwise_the_same(tiny: Tiny) -> None:
    site = tiny.write(CHAIN).site()
    assert site.within("production") == replace(site, environment="production")

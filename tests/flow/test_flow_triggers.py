"""What should run because of what happened: an input moved, a verdict asks; and what a release remembers of schedules."""

from __future__ import annotations

from oito.catalog import runs
from oito.catalog.records import Run
from oito.clock import uptime
from oito.flow.releases.release import release, rollback
from oito.flow.triggers import Call, calls, declared, is_quiet, standing
from tiny import CHAIN, WATCHED, Tiny

FOLLOWED = CHAIN.replace("@oito.dataset\ndef total", '@oito.dataset(after="inputs")\ndef total')


def called(tiny: Tiny) -> list[tuple[str, str, str]]:
    """Return what is called for in production, as asset, sort and cause."""
    found = asked(tiny)
    return [(each.asset, each.sort, each.cause) for each in found]


def asked(tiny: Tiny) -> list[Call]:
    site = tiny.site("production")
    known = standing(site.catalog, "production")
    assert known is not None
    return calls(site.catalog, "production", known.known)


def released(tiny: Tiny, text: str) -> Tiny:
    tiny.write(text).run()
    release(tiny.site(), "production")
    return tiny


def test_a_follower_is_called_when_an_input_has_other_content_and_only_then(tiny: Tiny) -> None:
    released(tiny, FOLLOWED)
    assert called(tiny) == []
    tiny.tell(id=[4], n=[9]).run("cleaned", environment="production")
    assert called(tiny) == [("total", "upstream", f"cleaned moved to {tiny.version('cleaned', 'production').ref}")]
    assert asked(tiny) == asked(tiny), "the same call has the same moment, so it is one tick"
    tiny.run("total", environment="production")
    assert called(tiny) == []
    tiny.tell(id=[5], n=[0]).run("cleaned", environment="production")
    assert called(tiny) == [], "a row that does not count changes nothing below"


def test_without_after_nothing_is_called_when_inputs_move(tiny: Tiny) -> None:
    released(tiny, CHAIN)
    tiny.tell(id=[4], n=[9]).run("cleaned", environment="production")
    assert called(tiny) == []


def test_a_verdict_that_asks_calls_until_it_is_answered(tiny: Tiny) -> None:
    released(tiny, WATCHED)
    tiny.tell(id=[4], n=[9]).run("size", environment="production")
    (tiny.root / "asks.txt").write_text("it is too small")
    tiny.run("watch", environment="production")
    assert called(tiny) == [], "the run that made the verdict has answered it"


def test_a_verdict_whose_answer_failed_still_calls(tiny: Tiny) -> None:
    failing = WATCHED.replace('    ran("size")\n', '    ran("size")\n    assert not os.path.exists("asks.txt"), "no"\n')
    released(tiny, failing.replace('"asks.txt"', repr(str(tiny.root / "asks.txt"))))
    tiny.tell(id=[4], n=[9])
    (tiny.root / "asks.txt").write_text("it is too small")
    assert "size" in tiny.tried(environment="production").errors
    verdict = tiny.version("watch", "production")
    (call,) = asked(tiny)
    assert call == Call("size", verdict.created_at, "verdict", f"{verdict.ref} asks: it is too small")


def test_a_release_remembers_what_its_assets_say_and_a_rollback_goes_back_to_it(tiny: Tiny) -> None:
    released(tiny, CHAIN.replace('key="id"', 'key="id", every="1h", missed="skip", retries=2'))
    assert declared(tiny.load())["orders"] == {"needs": [], "every": "1h", "missed": "skip", "retries": 2}
    tiny.edit('every="1h"', 'cron="0 6 * * *"')
    tiny.run()
    release(tiny.site(), "production")
    catalog = tiny.site().catalog
    now = standing(catalog, "production")
    assert now is not None
    assert now.known == {
        "orders": {"needs": [], "cron": "0 6 * * *", "missed": "skip", "retries": 2},
        "cleaned": {"needs": ["orders"]}, "total": {"needs": ["cleaned"]},
    }  # fmt: skip
    rollback(tiny.site(), "production")
    then = standing(catalog, "production")
    assert then is not None and then.known["orders"] == {"needs": [], "every": "1h", "missed": "skip", "retries": 2}
    assert then.release.number == 3


def test_when_an_asset_runs_changes_nothing_of_what_it_is(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    tiny.edit('key="id"', 'key="id", missed="all"')
    tiny.edit("@oito.dataset\ndef total", '@oito.dataset(cron="0 6 * * *", missed="skip")\ndef total')
    assert tiny.states()["total"] in {"fresh", "waiting"}
    assert tiny.plan()["total"].causes == ()


def test_an_environment_is_quiet_while_no_run_is_at_work(tiny: Tiny) -> None:
    released(tiny, CHAIN)
    catalog, now = tiny.site().catalog, uptime()
    assert is_quiet(catalog, "production", now=now, lease_s=20.0)
    with catalog.change() as change:
        runs.insert(change.rows, Run("r-1", "production", "by hand", "ana", "running", change.at, now, now, None, ""))
    assert not is_quiet(catalog, "production", now=now + 19, lease_s=20.0)
    assert is_quiet(catalog, "production", now=now + 21, lease_s=20.0), "a dead one is no obstacle"
    assert is_quiet(catalog, "dev", now=now, lease_s=20.0)

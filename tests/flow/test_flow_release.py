"""A release moves everything or nothing, a rollback moves it back, and what was where at any time stays known."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oito.catalog import environments, events, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import NewVersion
from oito.clock import VirtualClock, moment, text
from oito.errors import BadInput, DeclarationError, GateRefused, Refused, UnknownEnvironment
from oito.flow import bundle, runner
from oito.flow.releases import release
from oito.storage.files import Files
from oito.workspace import Workspace
from tiny import CHAIN, WATCHED, Tiny


def released(tiny: Tiny, *, message: str = "") -> int:
    tiny.run()
    return release.release(tiny.site(), "production", message=message)[0].number


def pointers(tiny: Tiny, environment: str = "production") -> dict[str, str]:
    found = environments.pointed(tiny.site().catalog.rows, environment)
    return {name: version.ref.rpartition(":")[2] for name, version in found.items()}


def test_a_release_shows_its_difference_and_then_moves_all_of_it(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    before = [change.data() for change in release.difference(tiny.site(), "production")]
    assert before == [
        {"asset": name, "before": None, "after": f"{name}:v1", "redefined": True} for name in ("orders", "cleaned", "total")
    ]  # fmt: skip
    made, said = release.release(tiny.site(), "production", message="first")
    assert (made.number, made.message, made.who, said) == (1, "first", "ana", [])
    assert pointers(tiny) == {"orders": "v1", "cleaned": "v1", "total": "v1"}
    assert release.difference(tiny.site(), "production") == []
    event = events.listed(tiny.site().catalog.rows, subject="production")[0]
    assert (event.verb, event.detail) == ("released", {"number": 1, "message": "first", "pointers": 3})


def test_after_a_release_dev_reads_production_until_it_makes_something_else(tiny: Tiny) -> None:
    tiny.write(CHAIN)
    released(tiny)
    assert pointers(tiny, "dev") == {}
    tiny.tell(id=[4], n=[100])
    tiny.run(environment="production")
    tiny.ran()
    assert tiny.states() == {"orders": "fresh", "cleaned": "fresh", "total": "fresh"}
    assert tiny.rows("total", "dev")["n"].to_list() == [112]
    tiny.edit("> 0", "> 5")
    tiny.run()
    assert pointers(tiny, "dev") == {"cleaned": "v3", "total": "v3"}
    assert tiny.ran() == ["cleaned", "total"]


def test_a_release_keeps_the_rows_that_production_has_collected_meanwhile(tiny: Tiny) -> None:
    tiny.write(CHAIN)
    released(tiny)
    tiny.edit("> 0", "> 5")
    tiny.tell(id=[5], n=[1])
    tiny.run(collect=["orders"])  # dev has rows of its own now
    tiny.tell(id=[4], n=[100])
    tiny.run("orders", environment="production")
    assert (pointers(tiny)["orders"], pointers(tiny, "dev")["orders"]) == ("v3", "v2")
    made, _ = release.release(tiny.site(), "production")
    assert pointers(tiny) == {"orders": "v3", "cleaned": "v2", "total": "v2"}
    assert [change["asset"] for change in made.record["changes"]] == ["cleaned", "total"]
    tiny.run(environment="production")
    assert tiny.rows("total", "production")["n"].to_list() == [107]


def test_newer_data_is_no_obstacle_but_another_definition_is(tiny: Tiny) -> None:
    tiny.write(CHAIN)
    released(tiny)
    tiny.edit("> 0", "> 5")
    with pytest.raises(Refused) as told:
        release.release(tiny.site(), "production")
    assert told.value.what == "dev is not up to date"
    assert told.value.known.startswith("cleaned: stale, code project.cleaned changed")
    assert told.value.next == "oito run, then release again"
    assert pointers(tiny)["cleaned"] == "v1"


def test_an_environment_is_not_released_to_itself(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    with pytest.raises(BadInput, match="dev cannot be released to itself"):
        release.release(tiny.site(), "dev")


def test_gates_are_asked_and_a_refusal_moves_nothing(tiny: Tiny) -> None:
    tiny.write(WATCHED)
    tiny.run()
    made, said = release.release(tiny.site(), "production")
    assert [gate.text for gate in said] == ["12 against at least 5"]
    assert made.record["gates"][0]["numbers"] == {"value": 12.0}
    before = pointers(tiny)
    tiny.edit("least=5", "least=500")
    tiny.edit("> 0", "> 5")
    tiny.run()
    with pytest.raises(GateRefused) as told:
        release.release(tiny.site(), "production")
    assert told.value.what == "a gate refused size:v2"
    assert told.value.known == "least: 7 against at least 500"
    assert pointers(tiny) == before
    assert len(environments.releases(tiny.site().catalog.rows, "production")) == 1


def test_a_release_that_was_overtaken_moves_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(CHAIN)
    released(tiny)
    tiny.edit("> 0", "> 5")
    tiny.run()
    site, keep = tiny.site(), bundle.keep

    def overtaken(root: Path, files: Files, *, loaded: dict[str, bytes] | None = None) -> str:
        with site.catalog.change() as change:
            change.move("production", "total", None)
        return keep(root, files, loaded=loaded)

    monkeypatch.setattr(bundle, "keep", overtaken)
    with pytest.raises(Refused, match="production moved while it was looked at"):
        release.release(site, "production")
    assert pointers(tiny) == {"orders": "v1", "cleaned": "v1"}


def test_a_reader_in_a_loop_never_sees_a_mix_of_two_releases(tiny: Tiny) -> None:
    tiny.write(CHAIN + "".join(f"@oito.dataset\ndef d{n}(total): return total\n" for n in range(5)))
    released(tiny)
    catalog = Catalog(tiny.root / ".oito", tiny.clock)
    seen: set[frozenset[int]] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            now = environments.pointed(catalog.rows, "production")
            seen.add(frozenset(version.id for version in now.values()))

    reader = threading.Thread(target=read)
    reader.start()
    whole = {frozenset(v.id for v in environments.pointed(catalog.rows, "production").values())}
    for least in (1, 2, 3):
        tiny.edit(f"> {least - 1}", f"> {least}")
        tiny.edit(
            'pl.col("n").sum()' if least == 1 else f'pl.col("n").sum() + {least - 1}', f'pl.col("n").sum() + {least}'
        )
        released(tiny)
        whole.add(frozenset(v.id for v in environments.pointed(catalog.rows, "production").values()))
    over.set()
    reader.join()
    catalog.close()
    assert len(whole) == 4
    assert seen <= whole


def history(tiny: Tiny, count: int) -> None:
    """Make releases 1, 2, … in which total is that version."""
    tiny.write(CHAIN)
    released(tiny)
    for n in range(2, count + 1):
        tiny.edit('n").sum()' if n == 2 else f'n").sum() + {n - 1}', f'n").sum() + {n}')
        assert released(tiny) == n
        assert pointers(tiny)["total"] == f"v{n}"


def test_a_rollback_goes_back_one_release_and_the_next_one_further(tiny: Tiny) -> None:
    history(tiny, 3)
    site = tiny.site()
    first = release.rollback(site, "production")
    assert (first.record["rollback_to"], pointers(tiny)["total"]) == (2, "v2")
    second = release.rollback(site, "production")
    assert (second.record["rollback_to"], pointers(tiny)["total"]) == (1, "v1")
    with pytest.raises(UnknownEnvironment) as told:
        release.rollback(site, "production")
    assert told.value.what == "production has no earlier release to go back to"
    assert told.value.known == "other releases than the one that stands: 2, 3"
    assert release.rollback(site, "production", to=3).record["rollback_to"] == 3
    assert pointers(tiny)["total"] == "v3"


def test_a_rollback_after_a_release_after_a_rollback_undoes_that_release(tiny: Tiny) -> None:
    history(tiny, 3)
    release.rollback(tiny.site(), "production", to=1)
    tiny.edit('n").sum() + 3', 'n").sum() + 9')
    assert released(tiny) == 5
    assert release.rollback(tiny.site(), "production").record["rollback_to"] == 1
    assert pointers(tiny)["total"] == "v1"


def test_a_rollback_to_nowhere_says_what_there_is(tiny: Tiny) -> None:
    history(tiny, 2)
    with pytest.raises(UnknownEnvironment, match="production has no release 7 to go back to"):
        release.rollback(tiny.site(), "production", to=7)
    with pytest.raises(UnknownEnvironment, match="staging has no earlier release to go back to"):
        release.rollback(tiny.site(), "staging")


def test_sources_keep_their_rows_on_a_rollback_and_steps_of_the_release_are_undone(tiny: Tiny) -> None:
    history(tiny, 2)
    tiny.tell(id=[4], n=[100])
    tiny.run(environment="production")
    assert pointers(tiny) == {"orders": "v2", "cleaned": "v2", "total": "v3"}
    release.rollback(tiny.site(), "production")
    assert pointers(tiny) == {"orders": "v2", "cleaned": "v1", "total": "v1"}


def test_a_source_that_the_release_redefined_goes_back_too(tiny: Tiny) -> None:
    tiny.write(CHAIN)
    released(tiny)
    tiny.edit("return outside()", "return outside().with_columns(n=pl.col('n') * 2)")
    released(tiny)
    assert pointers(tiny)["orders"] == "v2"
    release.rollback(tiny.site(), "production")
    assert pointers(tiny) == {"orders": "v1", "cleaned": "v1", "total": "v1"}


def test_a_rollback_undoes_what_came_after_a_release_that_changed_nothing(tiny: Tiny) -> None:
    tiny.write(CHAIN)
    released(tiny)
    released(tiny)
    tiny.tell(id=[4], n=[100])
    tiny.run(environment="production")
    release.rollback(tiny.site(), "production")
    assert pointers(tiny) == {"orders": "v2", "cleaned": "v1", "total": "v1"}


def test_production_runs_the_released_code_and_not_the_working_folder(tiny: Tiny) -> None:
    tiny.write("LEAST = 0\n", "helper.py")
    tiny.write(CHAIN.replace("> 0", "> least()") + "def least():\n    import helper\n    return helper.LEAST\n")
    for kind in ("guess", "look"):
        tiny.edit(f"from kind_{kind}.spec import {kind}\n", "")
    with pytest.raises(DeclarationError) as told:
        _ = Workspace(tiny.root, clock=tiny.clock, environment="production").project
    assert told.value.what == "nothing was released to production yet"
    Workspace(tiny.root, clock=tiny.clock).run()
    Workspace(tiny.root, clock=tiny.clock).release()
    tiny.write("LEAST = 6\n", "helper.py")
    tiny.tell(id=[9], n=[1])
    production = Workspace(tiny.root, clock=tiny.clock, environment="production")
    site = production.site
    dev = Workspace(tiny.root, clock=tiny.clock)
    assert dev.project.root == tiny.root.resolve()  # loaded in between, in the same process
    runner.run(site).raise_first()
    assert production["total"].frame()["n"].to_list() == [13]
    assert site.project.root.is_relative_to(tiny.root / ".oito" / "bundles")


SECOND = timedelta(seconds=1)
NAMES, PLACES = ("a", "b", "c"), ("production", "dev")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(PLACES), st.sampled_from(NAMES), st.integers(0, 4), st.integers(0, 3)), max_size=40
    ),
    asked=st.lists(st.integers(-1, 130), min_size=1, max_size=10),
)
def test_what_was_where_at_any_time_is_known(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, str, int, int]], asked: list[int]
) -> None:
    clock = VirtualClock(moment("2024-01-01"))
    start = clock.now()
    catalog = Catalog(tmp_path_factory.mktemp("moves"), clock)
    with catalog.change() as change:
        identities: list[int | None] = [None]
        for n in range(4):
            new = NewVersion("a", "dataset", f"f{n}", "d", f"c{n}", {}, [])
            identities.append(versions.insert(change.rows, new, at=change.at, environment="dev", run=""))
    told: list[tuple[int, str, str, int | None]] = []
    for place, name, which, wait in moves:
        clock.advance(SECOND * wait)
        with catalog.change() as change:
            change.move(place, name, identities[which])
        told.append((round((clock.now() - start).total_seconds()), place, name, identities[which]))
    for at in asked:
        for place in PLACES:
            brute: dict[str, int | None] = {}
            for when, environment, name, identity in told:
                if environment == place and when <= at:
                    brute[name] = identity
            expected = {name: identity for name, identity in brute.items() if identity is not None}
            assert environments.at_time(catalog.rows, place, text(start + SECOND * at)) == expected
    catalog.close()

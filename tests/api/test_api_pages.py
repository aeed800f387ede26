"""The pages over HTTP: each has a twin, each action a route, each error one shape; and nobody else's page may act."""

import base64
import re
import socket
from pathlib import Path

import pytest

from begun_project import BEGAN, Client, begin, client_of, opened, page_addresses
from oito.api import guard
from oito.api.server import serve
from oito.errors import BadInput
from oito.workspace import Workspace

SHAPE = ["error", "what", "where", "known", "next"]


def test_every_page_answers_and_so_does_its_twin(pages: Client) -> None:
    seen = list(page_addresses(pages))
    assert len(seen) >= 20
    for address in seen:
        page = pages("GET", address, headers={"Accept": "text/html"})
        assert page.status_code == 200, f"{address}: {page.text[:600]}"
        assert (
            page.headers["content-type"].startswith("text/html")
            and "default-src 'self'" in page.headers["content-security-policy"]
        )
        twin = re.search(r'<a href="([^"]+)">This page as JSON', page.text)
        assert twin, address
        data = pages("GET", twin[1].replace("&amp;", "&"))
        assert data.status_code == 200 and isinstance(data.json(), dict), address


def test_every_link_of_every_page_leads_somewhere(pages: Client) -> None:
    links = set()
    for address in page_addresses(pages):
        links |= set(re.findall(r'href="(/[^"#]*)"', pages("GET", address).text))
    lost = {
        link: answer.status_code
        for link in sorted(links)
        if (answer := pages("GET", link.replace("&amp;", "&"))).status_code != 200
    }
    assert len(links) > 40 and not lost


def test_assets_versions_and_environments_have_addresses(pages: Client) -> None:
    for name in ("target_model", "target_model:v1", "target_model@production", "target_model%3Av1"):
        assert pages("GET", f"/assets/{name}").status_code == 200
        assert pages("GET", f"/assets/{name}.json").status_code == 200


def test_home_shows_the_eight_systems_with_their_state(pages: Client) -> None:
    home = pages("GET", "/").text
    for plural in ("sources", "datasets", "features", "labels", "models", "experiments", "endpoints", "monitors"):
        assert f'href="/kinds/{plural}"' in home
    assert len(pages("GET", "/status.json").json()["assets"]) == 8


@pytest.mark.parametrize(
    ("method", "address", "status", "name"),
    [
        ("GET", "/nowhere", 404, "NotFound"), ("GET", "/assets/nobody", 404, "UnknownAsset"),
        ("GET", "/assets/target_model:v99", 404, "UnknownVersion"), ("GET", "/assets/a%20b!", 400, "BadInput"),
        ("GET", "/kinds/wheels", 404, "UnknownAsset"), ("GET", "/runs/r-0", 404, "UnknownAsset"),
        ("GET", "/runs?limit=many", 400, "BadInput"), ("GET", "/runs?colour=red", 400, "BadInput"),
        ("GET", "/environments?at=yesterday", 400, "BadInput"), ("GET", "/static/../app.py", 404, "NotFound"),
        ("GET", "/static/%2e%2e%2fapp.py", 404, "NotFound"), ("GET", "/actions/dance", 404, "NotFound"),
        ("POST", "/plan", 405, "WrongMethod"), ("DELETE", "/actions/run", 405, "WrongMethod"),
        ("POST", "/actions/accept", 400, "BadInput"), ("POST", "/actions/run?x=1", 200, ""),
    ],
)  # fmt: skip
def test_errors_have_one_shape_and_their_own_status(
    pages: Client, method: str, address: str, status: int, name: str
) -> None:
    answer = pages(method, address)
    assert answer.status_code == status
    if status != 200:
        assert list(answer.json()) == SHAPE and answer.json()["error"] == name
        page = pages(method, address, headers={"Accept": "text/html"})
        assert page.status_code == status and "<h1>" in page.text


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"{", "the body is not JSON"), (b"[1]", "the body is not a JSON object"), (b"[" * 100_000, "the body is not JSON"),
        (b'{"asset": 7, "reason": "x"}', "asset is '7'"), (b'{"assets": "x"}', "accept takes no 'assets'"), (b"\xff", "the body is not JSON"),
    ],
)  # fmt: skip
def test_bodies_that_are_none_are_refused(pages: Client, body: bytes, what: str) -> None:
    answer = pages("POST", "/actions/accept", content=body)
    assert answer.status_code == 400 and answer.json()["what"].startswith(what)


def test_a_body_over_the_limit_is_refused_told_or_not(looped: Path) -> None:
    workspace = Workspace(looped, environment="production", max_body_bytes=1000)
    ask = client_of(workspace)
    assert ask("POST", "/actions/run", content=b" " * 1001).json()["error"] == "BodyTooLarge"

    async def drip() -> object:
        for _ in range(11):
            yield b" " * 100

    assert ask("POST", "/actions/run", content=drip()).status_code == 413
    workspace.close()


def test_an_action_is_carried_out_from_json_and_from_its_form(tmp_path: Path) -> None:
    begin(tmp_path / "made", "bool")
    workspace = Workspace(tmp_path / "made", now=BEGAN)
    ask = client_of(workspace)
    made = ask("POST", "/actions/run", json={"assets": ["target"]}).json()
    assert [step["state"] for step in made["steps"]] == ["made"] * 3
    form = ask("GET", "/actions/accept?asset=target").text
    assert 'name="reason"' in form and 'value="target"' in form
    secret = re.search(r'name="csrf" value="([^"]+)"', form)
    assert secret
    headers = {"Accept": "text/html"}
    without = ask("POST", "/actions/run", data={"assets": "target"}, headers=headers)
    assert without.status_code == 400 and "the form is not from this server" in without.text
    done = ask("POST", "/actions/run", data={"assets": "target", "csrf": secret[1]}, headers=headers)
    assert done.status_code == 200 and "nothing to do" in done.text
    workspace.close()


def test_an_edit_of_the_project_is_seen_by_the_next_visitor(tmp_path: Path) -> None:
    begin(tmp_path / "made", "bool")
    workspace = Workspace(tmp_path / "made", now=BEGAN)
    ask = client_of(workspace)
    assert ask("GET", "/plan.json").status_code == 200
    module = tmp_path / "made" / "project.py"
    good = module.read_text()
    module.write_text(good + "\nbroken = oito.endpoint(model=target)\n")
    broken = ask("GET", "/plan.json")
    assert broken.status_code == 400 and broken.json()["error"] == "ProjectFaults"
    module.write_text(good.replace("def gaps", "def holes").replace("[gaps]", "[holes]"))
    names = [each["asset"] for each in ask("GET", "/plan.json").json()["assets"]]
    assert "holes" in names and "gaps" not in names
    workspace.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403), ({"Host": "localhost.evil.example:8787"}, 403), ({"Host": ""}, 403),
        ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://localhost:9999"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost:8787", "Sec-Fetch-Site": "same-origin"}, 400), ({"Host": "127.0.0.1:1"}, 400),
        ({"Host": "[::1]:8787"}, 400),
    ],
)  # fmt: skip
def test_only_pages_of_this_server_may_act(pages: Client, headers: dict[str, str], status: int) -> None:
    answer = pages("POST", "/actions/accept", headers=headers)
    assert answer.status_code == status and list(answer.json()) == SHAPE


def test_looking_from_elsewhere_is_a_plain_link_and_fine(pages: Client) -> None:
    answer = pages("GET", "/plan.json", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"


def test_a_token_is_asked_of_everyone_as_bearer_or_password(looped: Path) -> None:
    workspace = opened(looped)
    ask = client_of(workspace, token="s3cret", hosts=("box.example",))
    refused = ask("GET", "/plan.json")
    assert refused.status_code == 401 and refused.json()["error"] == "TokenNeeded"
    assert refused.headers["www-authenticate"].startswith("Basic")
    basic = "Basic " + base64.b64encode(b"anyone:s3cret").decode()
    for given, status in [
        ("Bearer s3cret", 200),
        (basic, 200),
        ("Bearer s3cre", 401),
        ("Basic ???", 401),
        ("s3cret", 401),
        ("Bearer é", 401),
    ]:
        headers = {"Authorization": given.encode("latin-1"), "Host": "box.example"}
        assert ask("GET", "/plan.json", headers=headers).status_code == status
    workspace.close()


def test_listening_beyond_this_machine_needs_a_token() -> None:
    guard.check_reach("127.0.0.1", "")
    guard.check_reach("::1", "")
    guard.check_reach("0.0.0.0", "token")
    with pytest.raises(BadInput, match=r"listening on 0\.0\.0\.0 reaches beyond this machine and no token is set"):
        guard.check_reach("0.0.0.0", "")


def test_a_port_that_is_taken_is_told(looped: Path) -> None:
    workspace = opened(looped)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {port} of 127.0.0.1 cannot be listened on"):
            serve(workspace, host="127.0.0.1", port=port)
    workspace.close()


def test_a_fault_of_ours_is_told_without_its_insides(looped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = opened(looped)
    ask = client_of(workspace)
    monkeypatch.setattr(workspace, "refreshed", lambda: 1 / 0)
    answer = ask("GET", "/plan.json")
    assert answer.status_code == 500 and list(answer.json()) == SHAPE
    assert "division" not in answer.text and "Traceback" not in answer.text
    workspace.close()


def test_the_list_of_actions_names_every_field(pages: Client) -> None:
    told = {each["name"]: each for each in pages("GET", "/actions.json").json()["actions"]}
    assert told["run"]["writes"] and [field["name"] for field in told["run"]["fields"]] == [
        "assets",
        "partition",
        "collect",
        "jobs",
        "reason",
    ]
    assert pages("GET", "/actions").text.count("<table") >= 5

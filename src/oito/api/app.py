"""The pages and actions over HTTP: every page has a `.json` twin, every action a route, every error one shape.

Routes come from the same list of actions as the terminal's commands. How a page looks is the web folder's work; who may
ask is guard.py's, what a request carries is read by given.py, and server.py listens.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from oito.api import guard
from oito.api.given import told
from oito.errors import NotFound, OitoError, WrongMethod
from oito.flow.action import Action
from oito.names import did_you_mean
from oito.show import Field, Form, Link, Page, Table, Text, json_text
from oito.web import render
from oito.workspace import Workspace, actions

NAV = (
    Link("Loop", "/"), Link("Plan", "/plan"), Link("Schedule", "/schedule"), Link("Runs", "/runs"), Link("Releases", "/releases"),
    Link("Environments", "/environments"), Link("Events", "/events"), Link("Actions", "/actions"),
    Link("Settings", "/settings"),
)  # fmt: skip
HOME = "/status.json"  # the twin of the page at "/"
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
FRESH = {"Cache-Control": "no-store"}
Handler = Callable[[Request], Awaitable[Response]]


class _App:
    """The handlers, with what they share: the workspace, its actions by name, and the secret of this server's forms."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.actions = {action.name: action for action in actions()}
        self.csrf = secrets.token_urlsafe(24)

    def routes(self) -> Iterator[BaseRoute]:
        yield Route("/static/{name}", _static)
        yield Route("/favicon.ico", _nothing)
        yield Route("/actions.json", self.listed)
        yield Route("/actions", self.listed)
        yield Route("/actions/{name:path}", self.act, methods=["GET", "POST"])
        pages = [action for action in self.actions.values() if action.page]
        for action in pages:  # twins first: the last name of an address takes everything, slashes and dots too
            yield Route(HOME if action.page == "/" else _address(action) + ".json", self.page(action, as_json=True))
        for action in sorted(pages, key=lambda each: each.page.count("{")):
            yield Route(_address(action), self.page(action, as_json=False))

    def page(self, action: Action, *, as_json: bool) -> Handler:
        """Return the handler of one page or of its twin."""

        async def show(request: Request) -> Response:
            given = {**request.query_params, **request.path_params}
            page = await self.carried_out(action, given)
            if as_json:
                return _json(page.data)
            path = quote(request.url.path, safe="/:@")
            query = f"?{request.url.query}" if request.url.query else ""
            return self.html(page, active=path, twin=(HOME if path == "/" else path + ".json") + query)

        return show

    async def carried_out(self, action: Action, given: Mapping[str, Any]) -> Page:
        """Carry out an action beside the loop, on the project as its files are now."""
        return await run_in_threadpool(lambda: action.carry_out(self.workspace.refreshed(), given))

    async def listed(self, request: Request) -> Response:
        """List every action with its fields."""
        if request.url.path.endswith(".json"):
            data = [
                {"name": a.name, "summary": a.summary, "writes": a.writes, "page": a.page, "fields": [vars(f) for f in a.fields]}
                for a in self.actions.values()
            ]  # fmt: skip
            return _json({"actions": data, "next": None})
        groups = {a.group: [b for b in self.actions.values() if b.group == a.group] for a in self.actions.values()}
        tables = [
            Table(
                ["action", "what it does", ""],
                [
                    [Link(a.name, _form_address(a)), a.summary, "changes something" if a.writes else "looks"]
                    for a in group
                ],
                title=name or "the project",
            )
            for name, group in groups.items()
        ]
        page = Page("Actions", [Text("What can be done here. Each is a command of the terminal, too."), *tables], {})
        return self.html(page, active="/actions", twin="/actions.json")

    async def act(self, request: Request) -> Response:
        """Carry out one action (POST, with a form or a JSON object), or show its form (GET)."""
        action = self._action(request.path_params["name"])
        if request.method != "POST":
            page = Page(action.name, [Text(action.description), Form(action.name, dict(request.query_params))], {})
            return self.html(page, active="/actions", twin="")
        given, is_form = await told(request, action, csrf=self.csrf, limit=self.workspace.settings.max_body_bytes)
        page = await self.carried_out(action, given)
        return self.html(page, active="/actions", twin="") if is_form else _json(page.data)

    def html(self, page: Page, *, active: str, twin: str, status: int = 200) -> Response:
        """Return a page as a document."""
        text = render.html(
            page,
            active=active,
            environment=self.workspace.environment,
            nav=NAV,
            csrf=self.csrf,
            describe=self.described,
            twin=twin,
        )
        return Response(text, status, {"Content-Security-Policy": render.CSP, **FRESH}, "text/html")

    def described(self, name: str) -> Sequence[Field]:
        """Return what the action of that name can be told."""
        return self.actions[name].fields if name in self.actions else ()

    async def failed(self, request: Request, error: Exception) -> Response:
        """Answer an error: a page for people, data for programs."""
        assert isinstance(error, OitoError)
        wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.endswith(".json")
        if not wants_page:
            return _json(error.data(), error.status)
        page = Page(type(error).__name__, [Text(str(error), language="text", tone="bad")], error.data())
        return self.html(page, active="", twin="", status=error.status)

    async def lost(self, request: Request, error: Exception) -> Response:
        """Answer for an address that leads nowhere."""
        return await self.failed(request, NotFound(f"there is nothing at {request.url.path[:200]}", next="begin at /"))

    async def wrong_method(self, request: Request, error: Exception) -> Response:
        """Answer for an address that exists, but not for this method."""
        allowed = (getattr(error, "headers", None) or {}).get("Allow", "GET")
        problem = WrongMethod(
            f"{request.method} is not possible at {request.url.path[:200]}", known=f"it takes {allowed}"
        )
        answer = await self.failed(request, problem)
        answer.headers["Allow"] = allowed
        return answer

    async def broken(self, request: Request, error: Exception) -> Response:
        """Answer for a fault of ours: what it was is told to the log, not to the caller."""
        return await self.failed(
            request, OitoError("the server failed on this request", next="look at the server's output")
        )

    def _action(self, name: str) -> Action:
        found = self.actions.get(name) or self.actions.get(name.replace("/", " "))
        if found is None:
            raise NotFound(f"there is no action {name[:100]!r}", next=did_you_mean(name[:100], self.actions))
        return found


def application(workspace: Workspace, *, token: str = "", hosts: Sequence[str] = ()) -> guard.Asgi:
    """Return the ASGI application of the pages; `token` is asked of everyone when it is not empty.

    Args:
        hosts: names under which the server may be addressed, besides those of this machine itself.
    """
    app = _App(workspace)
    handlers: Mapping[Any, Any] = {
        OitoError: app.failed, 404: app.lost, 405: app.wrong_method, Exception: app.broken,
    }  # fmt: skip
    inner = Starlette(routes=list(app.routes()), exception_handlers=handlers)
    return guard.guarded(inner, token=token, hosts=hosts)


def _address(action: Action) -> str:
    """Return the address of a page for the router; its last name takes slashes, as names of environments have them."""
    return re.sub(r"\{(\w+)\}$", r"{\1:path}", action.page)


def _form_address(action: Action) -> str:
    return "/actions/" + quote(action.name.replace(" ", "/"))


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in render.STATIC:
        raise NotFound(f"there is no file {name[:100]!r}")
    return Response(render.static(name), headers=FOREVER, media_type=render.STATIC[name])


async def _nothing(request: Request) -> Response:
    return Response(status_code=204, headers=FOREVER)  # the icon stands in the page itself


def _json(data: Any, status: int = 200) -> Response:
    return Response(json_text(data), status, FRESH, "application/json")

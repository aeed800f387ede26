"""The pages and actions over HTTP: every page has a `.json` twin, every action a route, every error one shape.

Routes come from the same list of actions as the terminal's commands. How a page looks is the web folder's work.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from oito.api import guard
from oito.errors import BadInput, BodyTooLarge, NotFound, OitoError
from oito.flow.action import Action
from oito.show import Field, Link, Page, Text
from oito.web import render
from oito.workspace import Workspace, actions

NAV = (
    Link("Loop", "/"), Link("Plan", "/plan"), Link("Runs", "/runs"), Link("Releases", "/releases"),
    Link("Environments", "/environments"), Link("Events", "/events"), Link("Actions", "/actions"),
)  # fmt: skip
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
Handler = Callable[[Request], Awaitable[Response]]


class _App:
    """The handlers, with what they share."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.actions = {action.name: action for action in actions()}
        self.csrf = secrets.token_urlsafe(24)

    def routes(self) -> list[BaseRoute]:
        found: list[BaseRoute] = [
            Route("/static/{name}", _static),
            Route("/actions", self.listed),
            Route("/actions.json", self.listed),
        ]
        found.append(Route("/actions/{name:path}", self.act, methods=["GET", "POST"]))
        for action in self.actions.values():
            if action.page:
                address = re.sub(r"\{(\w+)\}", r"{\1}", action.page)
                twin = "/status.json" if address == "/" else address + ".json"
                found += [
                    Route(twin, self.page(action, as_json=True)),
                    Route(address, self.page(action, as_json=False)),
                ]
        return found

    def page(self, action: Action, *, as_json: bool) -> Handler:
        async def show(request: Request) -> Response:
            given = {**{n: unquote(v) for n, v in request.path_params.items()}, **request.query_params}
            page = await run_in_threadpool(action.carry_out, self.workspace.site, given)
            if as_json:
                return _json(page.data)
            path = request.url.path
            twin = (
                ("/status" if path == "/" else path) + ".json" + (f"?{request.url.query}" if request.url.query else "")
            )
            return self.html(page, active=path, twin=twin)

        return show

    async def listed(self, request: Request) -> Response:
        """List every action with its fields."""
        told = [
            {
                "name": a.name,
                "summary": a.summary,
                "writes": a.writes,
                "page": a.page,
                "fields": [vars(f) for f in a.fields],
            }
            for a in self.actions.values()
        ]
        if request.url.path.endswith(".json"):
            return _json({"actions": told, "next": None})
        from oito.show import Table

        rows = [
            [Link(a.name, f"/actions/{a.name}"), a.summary, "changes something" if a.writes else "looks"]
            for a in self.actions.values()
        ]
        page = Page(
            "Actions",
            [
                Text("What can be done here; each is a command of the terminal too."),
                Table(["action", "what it does", ""], rows),
            ],
            {},
        )
        return self.html(page, active="/actions", twin="/actions.json")

    async def act(self, request: Request) -> Response:
        """Carry out one action (POST), or show its form (GET)."""
        name = request.path_params["name"]
        if name not in self.actions:
            raise NotFound(f"there is no action {name!r}", next="/actions")
        action = self.actions[name]
        if request.method == "GET":
            from oito.show import Form

            page = Page(name, [Text(action.description), Form(name, dict(request.query_params))], {})
            return self.html(page, active="/actions", twin="")
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        given = await _given(request, is_form, self.workspace.settings.max_body_bytes)
        if is_form and not hmac.compare_digest(str(given.pop("csrf", "")), self.csrf):
            raise BadInput("the form is not from this server", next="reload the page and send it again")
        if is_form:
            given = {**{f.name: False for f in action.fields if f.kind == "bool"}, **given}
        page = await run_in_threadpool(action.carry_out, self.workspace.site, given)
        return self.html(page, active="/actions", twin="") if is_form else _json(page.data)

    def html(self, page: Page, *, active: str, twin: str, status: int = 200) -> Response:
        text = render.html(
            page,
            active=active,
            environment=self.workspace.environment,
            nav=NAV,
            csrf=self.csrf,
            describe=self.described,
            twin=twin,
        )
        return Response(text, status, {"Content-Security-Policy": render.CSP}, "text/html")

    def described(self, name: str) -> Sequence[Field]:
        return self.actions[name].fields if name in self.actions else ()

    async def failed(self, request: Request, error: Exception) -> Response:
        """Answer an error: data for programs, a page for people."""
        assert isinstance(error, OitoError)
        wants_page = "text/html" in request.headers.get("accept", "")
        if not wants_page:
            return _json(error.data(), error.status)
        page = Page(type(error).__name__, [Text(str(error), language="text", tone="bad")], error.data())
        return self.html(page, active="", twin="", status=error.status)

    async def lost(self, request: Request, error: Exception) -> Response:
        return await self.failed(request, NotFound(f"there is nothing at {request.url.path}", next="/"))

    async def wrong_method(self, request: Request, error: Exception) -> Response:
        problem = BadInput(f"{request.method} is not possible at {request.url.path}")
        problem.status = 405
        return await self.failed(request, problem)


def application(workspace: Workspace, *, token: str = "", hosts: Sequence[str] = ()) -> Any:
    """Return the ASGI application of the pages; `token` is asked of everyone when it is not empty.

    Args:
        hosts: names under which the server may be addressed, besides those of this machine itself.
    """
    app = _App(workspace)
    handlers: Mapping[Any, Any] = {OitoError: app.failed, 404: app.lost, 405: app.wrong_method}
    inner = Starlette(routes=app.routes(), exception_handlers=handlers)
    return guard.guarded(inner, token=token, hosts=hosts)


def serve(workspace: Workspace, *, host: str, port: int) -> Page:
    """Answer until stopped.

    Raises:
        BadInput: the host reaches beyond this machine and no token is set.
    """
    import uvicorn

    token = workspace.settings.token
    guard.check_reach(host, token)
    app = application(workspace, token=token, hosts=(host,))
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
    return Page("stopped", [], {})


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in render.STATIC:
        raise NotFound(f"there is no file {name!r}")
    return Response(render.static(name), headers=FOREVER, media_type=render.STATIC[name])


async def _given(request: Request, is_form: bool, limit: int) -> dict[str, Any]:
    """Return the fields of a form or a JSON object.

    Raises:
        BodyTooLarge, BadInput: the body is over the limit, or no JSON object.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"the body is over {limit} bytes", next="send less, or raise the setting max_body_bytes")
    if is_form:
        from urllib.parse import parse_qsl

        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadInput("the body is not a JSON object", known='such as {"assets": ["flights"]}')
    return given


def _json(data: Any, status: int = 200) -> Response:
    return Response(json.dumps(data, default=str), status, media_type="application/json")

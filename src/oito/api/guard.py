"""Who may talk to the pages: hosts by name against DNS rebinding, same origin for what changes something, a token beyond this machine."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from oito.errors import BadInput

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
HERE = frozenset({"127.0.0.1", "localhost", "::1", "[::1]", "testserver"})
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def check_reach(host: str, token: str) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        BadInput: the host is not this machine's own and the token is empty.
    """
    if host not in HERE and not token:
        raise BadInput(
            f"listening on {host} reaches beyond this machine and no token is set",
            next="set OITO_TOKEN to a long random text, and send it as: Authorization: Bearer TOKEN",
        )


def guarded(app: Asgi, *, token: str, hosts: Sequence[str]) -> Asgi:
    """Return the application behind the guard."""
    known = HERE | set(hosts)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        problem = _problem(scope["method"], headers, known, token)
        if problem:
            await _refused(send, *problem)
            return

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        await app(scope, receive, marked)

    return answer


def _problem(method: str, headers: dict[str, str], known: frozenset[str], token: str) -> tuple[int, str] | None:
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name not in known:
        return 421, f"this server is not known as {name!r}"
    if method in CHANGES:
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        if (origin and origin.split("://")[-1] != host) or site not in {"same-origin", "none"}:
            return 403, "the request comes from another site"
    if token:
        given = headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return 401, "a token is needed: Authorization: Bearer TOKEN"
    return None


async def _refused(send: Any, status: int, what: str) -> None:
    body = json.dumps({"error": "Refused", "what": what, "where": "", "known": "", "next": ""}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

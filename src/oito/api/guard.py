"""Who may talk to the pages: hosts by name against DNS rebinding, same origin for what changes something, a token beyond this machine."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from oito.errors import BadInput, ForeignCaller, Refused, TokenNeeded
from oito.show import json_text

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
HERE = frozenset({"127.0.0.1", "localhost", "[::1]"})
LOOKS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def check_reach(host: str, token: str) -> None:
    """Refuse to listen beyond this machine without a token.

    Raises:
        BadInput: the host is not this machine's own and the token is empty.
    """
    if host not in {*HERE, "::1"} and not token:
        raise BadInput(
            f"listening on {host} reaches beyond this machine and no token is set",
            next="set OITO_TOKEN to a long random text; browsers ask for it as a password, programs send it as a bearer token",
        )


def guarded(app: Asgi, *, token: str, hosts: Sequence[str]) -> Asgi:
    """Return the application behind the guard.

    Args:
        token: asked of everyone when it is not empty.
        hosts: names under which the server may be addressed, besides those of this machine itself.
    """
    known = HERE | {f"[{host}]" if ":" in host else host for host in hosts}

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            _check(scope["method"], headers, known, token)
        except Refused as problem:
            await _refuse(send, problem)
            return

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        await app(scope, receive, marked)

    return answer


def _check(method: str, headers: Mapping[str, str], known: frozenset[str], token: str) -> None:
    host = headers.get("host", "")
    if _name(host) not in known:
        raise ForeignCaller(
            f"this server is not known as {_name(host)[:100]!r}",
            known=f"it is known as {', '.join(sorted(known))}",
            next="open it by one of these names, or start it with: oito up --host NAME",
        )
    if method not in LOOKS:
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        if (origin is not None and origin.split("://")[-1] != host) or site not in {"same-origin", "none"}:
            raise ForeignCaller("the request comes from a page of another site", known="nothing was done")
    if token and not _has_token(headers.get("authorization", ""), token):
        raise TokenNeeded("a token is needed", next="send Authorization: Bearer TOKEN, or give it as the password")


def _name(host: str) -> str:
    """Return a host without its port.

    Example:
        >>> _name("localhost:8787"), _name("[::1]:8787"), _name("[::1]")
        ('localhost', '[::1]', '[::1]')
    """
    return host if host.endswith("]") else host.rsplit(":", 1)[0].lower()


def _has_token(authorization: str, token: str) -> bool:
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    return kind.lower() in {"basic", "bearer"} and hmac.compare_digest(given.encode(), token.encode())


async def _refuse(send: Any, problem: Refused) -> None:
    body = json_text(problem.data()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    if isinstance(problem, TokenNeeded):
        headers.append((b"www-authenticate", b'Basic realm="oito"'))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

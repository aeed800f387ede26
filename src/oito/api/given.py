"""What a request tells an action: the fields of a form from one of our own pages, or of a JSON object, within a limit."""

from __future__ import annotations

import hmac
import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from oito.errors import BadInput, BodyTooLarge
from oito.flow.action import Action

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 200


async def told(request: Request, action: Action, *, csrf: str, limit: int) -> tuple[dict[str, Any], bool]:
    """Return the fields, and whether a form gave them; a box that is not ticked is a field that says no.

    Raises:
        BodyTooLarge: the body is over `limit` bytes.
        BadInput: it is neither a form of this server nor a JSON object.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    body = await _body(request, limit)
    if kind != FORM:
        return _object(body), False
    try:
        pairs = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise BadInput("the form cannot be read") from None
    if not hmac.compare_digest(pairs.pop("csrf", "").encode(), csrf.encode()):
        raise BadInput(
            "the form is not from this server, or from before its last start", next="reload the page and send it again"
        )
    return {**{field.name: False for field in action.fields if field.kind == "bool"}, **pairs}, True


async def _body(request: Request, limit: int) -> bytes:
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect:
        raise BadInput("the request ended before its body did") from None
    return bytes(body)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is over {limit} bytes", next="send less, or raise the setting max_body_bytes")


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadInput(
            "the body is not JSON", known=str(error)[:200], next='send an object, such as {"assets": ["flights"]}'
        ) from None
    if not isinstance(given, dict):
        raise BadInput("the body is not a JSON object", next='send an object, such as {"assets": ["flights"]}')
    return given

"""HTTP/1.1 connections for the data plane: httptools reads, one write answers. What a request means is its handler's business.

Our own protocol, not an ASGI server: its layers cost more than parsing, scoring and journaling a row together (benchmarks/serving.py
shows both), and it bounds what a slow or endless request may hold: 64 KiB and 5 s of head, 16 MiB and 30 s of body.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, cast

import httptools
import msgspec

from oito.clock import stopwatch
from oito.endpoints.metrics import Metrics
from oito.errors import BadRequest, BodyTooLarge, OitoError, Overloaded, RequestTooSlow

BODY_BYTES = 16 << 20
HEAD_BYTES = 64 << 10
HEAD_S, BODY_S, IDLE_S, LINGER_S = 5.0, 30.0, 75.0, 5.0
CONNECTIONS = 4096
_PIPELINED = 16
_ERROR_TEXT = 2000  # an error never sends a whole body back
JSON = b"application/json"


class Request:
    """One request, whole; `answer` is called exactly once."""

    __slots__ = ("_send", "body", "headers", "keep_alive", "method", "path", "route", "started")

    def __init__(self, send: Callable[["Request", int, bytes, bytes, bytes], None], started: float) -> None:
        self._send, self.started = send, started
        self.method, self.path, self.body, self.route, self.keep_alive = b"", b"", b"", "", True
        self.headers: dict[bytes, bytes] = {}

    def answer(self, status: int, body: bytes, *, kind: bytes = JSON, extra: bytes = b"") -> None:
        """Send the answer; `extra` are whole header lines."""
        self._send(self, status, body, kind, extra)

    def refuse(self, error: OitoError) -> None:
        """Send an error in the one JSON shape."""
        extra = b"retry-after: 1\r\n" if error.status == 503 else b""
        self.answer(error.status, msgspec.json.encode(error_data(error)), extra=extra)


def error_data(error: OitoError) -> dict[str, str]:
    """Return an error's JSON shape, each text bounded."""
    return {
        key: value if len(value) <= _ERROR_TEXT else value[:_ERROR_TEXT] + "…" for key, value in error.data().items()
    }


class Listener:
    """All connections of one process: their common clock, their limits, their end."""

    def __init__(self, handle: Callable[[Request], None], metrics: Metrics, *, body_bytes: int = BODY_BYTES) -> None:
        self.handle, self.metrics, self.body_bytes = handle, metrics, body_bytes
        self.connections: set[Connection] = set()
        self.is_draining = False
        self.tick()

    def tick(self) -> None:
        """Renew the date of answers and end what took too long; call it once a second."""
        self.date = (
            b"date: " + formatdate(time.time(), usegmt=True).encode() + b"\r\nx-content-type-options: nosniff\r\n"
        )
        self.ok = b"HTTP/1.1 200 OK\r\n" + self.date + b"content-type: application/json\r\ncontent-length: "
        now = stopwatch()
        for connection in tuple(self.connections):
            connection.check(now)

    def drain(self) -> None:
        """Close every connection as soon as it owes no answer."""
        self.is_draining = True
        for connection in tuple(self.connections):
            connection.close_when_idle()


class Connection(asyncio.Protocol):
    """One client. Answers leave in the order of requests; the next pipelined one is handled when the last is answered."""

    _transport: asyncio.Transport

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser: Any = httptools.HttpRequestParser(self)
        self._reading: Request | None = None
        self._chunks: list[bytes] = []
        self._head_bytes = self._body_bytes = 0
        self._has_head = False
        self._pending: Request | None = None
        self._backlog: deque[Request] = deque()
        self._is_ended = False
        self._since = stopwatch()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's classes are not its subclasses
        self._listener.connections.add(self)
        if len(self._listener.connections) > CONNECTIONS:
            self._end(Overloaded("too many connections are open"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        self._is_ended = True
        self._backlog.clear()

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def eof_received(self) -> bool:
        # The client may only have finished sending: whoever is owed an answer still gets it, then `_respond` closes.
        is_owed = self._pending is not None and not self._is_ended
        self._is_ended = self._is_ended or not self._backlog
        return is_owed

    def data_received(self, data: bytes) -> None:
        if self._is_ended:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_ended = self._pending is not None
            if not self._is_ended:
                self._transport.close()
        except httptools.HttpParserError:
            self._end(BadRequest("the request is no HTTP/1.1", next="send a plain HTTP/1.1 request"))
        if self._reading is not None and not self._has_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._end(BodyTooLarge("the request's head is too large", known=f"the limit is {HEAD_BYTES} bytes"))

    # What httptools calls, in this order.

    def on_message_begin(self) -> None:
        self._since = stopwatch()
        self._reading = Request(self._respond, self._since)
        self._chunks = []
        self._head_bytes = self._body_bytes = 0
        self._has_head = False

    def on_url(self, url: bytes) -> None:
        if self._reading is not None:
            self._reading.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is not None:
            self._reading.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._has_head = True
        request = self._reading
        if request is None:
            return
        declared = request.headers.get(b"content-length", b"0")
        if len(declared) > 15 or int(declared) > self._listener.body_bytes:
            self._end(_too_large(self._listener.body_bytes))
        elif b"expect" in request.headers and self._pending is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        if self._is_ended:
            return
        self._body_bytes += len(chunk)
        if self._body_bytes > self._listener.body_bytes:
            self._end(_too_large(self._listener.body_bytes))
        else:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        request, self._reading = self._reading, None
        if self._is_ended or request is None:
            return
        request.method = self._parser.get_method()
        request.path = request.path.split(b"?", 1)[0]
        request.body = b"".join(self._chunks)
        request.keep_alive = self._parser.should_keep_alive()
        if self._pending is None:
            self._handle(request)
            return
        self._backlog.append(request)
        if len(self._backlog) == _PIPELINED:
            self._transport.pause_reading()

    def _handle(self, request: Request) -> None:
        self._pending = request
        self._listener.handle(request)

    def _respond(self, request: Request, status: int, body: bytes, kind: bytes, extra: bytes) -> None:
        listener = self._listener
        now = stopwatch()
        listener.metrics.request(request.method, request.route, status=status, seconds=now - request.started)
        self._pending, self._since = None, now
        if self._transport.is_closing():
            return
        closes = not request.keep_alive or listener.is_draining or self._is_ended
        if status == 200 and kind is JSON and not extra and not closes and request.method == b"POST":
            self._transport.write(b"%b%d\r\n\r\n%b" % (listener.ok, len(body), body))
        else:
            extra += b"connection: close\r\n" if closes else b""
            self._transport.write(_head(status, len(body), kind, listener.date + extra))
            if request.method != b"HEAD":
                self._transport.write(body)
        if closes:
            self._transport.close()
        elif self._backlog:
            # Not at once: a long chain of pipelined requests must not become a deep stack.
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        if not self._backlog or self._pending is not None:
            return
        request = self._backlog.popleft()
        if len(self._backlog) == _PIPELINED - 1:
            self._transport.resume_reading()
        self._handle(request)

    def _end(self, error: OitoError) -> None:
        """Answer with an error, read no further, and close; what still arrives is thrown away for a while."""
        if self._is_ended:
            return
        self._is_ended, self._reading, self._chunks, self._since = True, None, [], stopwatch()
        self._listener.metrics.error(type(error).__name__)
        if self._pending is not None:
            return  # an earlier request is still owed its answer, after which the connection closes
        body = msgspec.json.encode(error_data(error))
        self._transport.write(
            _head(error.status, len(body), JSON, self._listener.date + b"connection: close\r\n") + body
        )
        # Closing while the client still sends would reset the connection, and the client would never see the answer.
        self._transport.write_eof()

    def check(self, now: float) -> None:
        """End the connection when it is overdue."""
        waited = now - self._since
        if self._pending is not None:
            return
        if self._is_ended:
            if waited > LINGER_S:
                self._transport.abort()
        elif self._reading is not None:
            if waited > (BODY_S if self._has_head else HEAD_S):
                self._end(RequestTooSlow("the request did not arrive in time"))
        elif waited > IDLE_S:
            self._transport.abort()

    def close_when_idle(self) -> None:
        if self._pending is None and self._reading is None:
            self._transport.close()


def _too_large(limit: int) -> BodyTooLarge:
    known = f"the limit is {limit >> 20} MiB" if limit >= 1 << 20 else f"the limit is {limit} bytes"
    return BodyTooLarge("the body is too large", known=known, next="send the rows in several requests")


def _head(status: int, length: int, kind: bytes, lines: bytes) -> bytes:
    reason = HTTPStatus(status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (status, reason, lines, kind, length)

"""The desk: takes each whole request, decides who may ask and what is meant, and hands rows to the turns. Bytes are `http`'s."""

import hmac
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec

from oito.endpoints import openapi, rows, v2
from oito.endpoints.answers import Answers, refuse_v2
from oito.endpoints.batch import Job, Lane, Row, Turns, single
from oito.endpoints.feedback import Feedback, FeedbackJournal
from oito.endpoints.http import Request, error_data
from oito.endpoints.journal import Journal
from oito.endpoints.metrics import Metrics
from oito.endpoints.served import Served
from oito.errors import BadRequest, ForeignCaller, NotFound, OitoError, StepFailed, TokenNeeded, WrongMethod

Handler = Callable[[Request], None]
_OPEN = frozenset(("/health", "/ready", "/v2/health/live", "/v2/health/ready"))
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Desk:
    """Everything a process answers, for what it serves now.

    Args:
        call_soon: runs a function at the end of this turn of the event loop; from any thread when `call_soon_threadsafe`.
        hosts: host names a request without token may be addressed to (a page elsewhere could have its name point here).
    """

    def __init__(
        self,
        served: Served,
        journal: Journal,
        *,
        call_soon: Callable[[Callable[[], None]], Any],
        call_soon_threadsafe: Callable[..., Any],
        token: str | None = None,
        hosts: Iterable[str] = ("localhost", "127.0.0.1", "[::1]"),
    ) -> None:
        self.metrics = Metrics()
        self.is_ready = True
        self._journal = journal
        self._turns = Turns(call_soon, self.metrics)
        self._threadsafe = call_soon_threadsafe
        self._token = token.encode() if token else None
        self._hosts = frozenset(host.encode() for host in hosts)
        self._feedback = FeedbackJournal(journal.folder, now_ns=journal.now_ns)
        self._clerk = ThreadPoolExecutor(1, "oito-feedback")
        self._previous: Lane | None = None
        self._install(Lane(served, journal))

    def _install(self, lane: Lane) -> None:
        name = lane.served.endpoint
        self._lane, self._answers = lane, Answers(lane.served, self.metrics)
        post, get = b"POST", b"GET"
        self._routes: dict[bytes, tuple[str, Mapping[bytes, Handler]]] = {
            path.format(name).encode(): (path.format("{name}"), handlers)
            for path, handlers in {
                "/predict": {post: self._predict},
                "/feedback": {post: self._take_feedback},
                "/": {get: self._home},
                "/health": {get: _alive},
                "/ready": {get: self._ready},
                "/metrics": {get: self._metrics_text},
                "/openapi.json": {get: self._openapi},
                "/v2": {get: _v2_server},
                "/v2/": {get: _v2_server},
                "/v2/health/live": {get: _alive},
                "/v2/health/ready": {get: self._ready},
                "/v2/models/{}": {get: self._v2_model},
                "/v2/models/{}/ready": {get: self._ready},
                "/v2/models/{}/infer": {post: self._v2_infer},
            }.items()
        }

    @property
    def served(self) -> Served:
        return self._lane.served

    def swap(self, served: Served) -> None:
        """Serve another version from the next request on; those that wait are answered by the one they came to.

        The old version stays loaded until the swap after this one.
        """
        self._previous = self._lane
        self._install(Lane(served, self._journal))
        self.metrics.swaps += 1
        if self._previous is not None:
            self._previous.stream.end_segment()

    def close(self) -> None:
        """Score what waits and end the journals; new requests must no longer arrive."""
        self._turns.flush()
        self._clerk.shutdown()
        self._feedback.close()
        self._journal.close()

    def handle(self, request: Request) -> None:
        """Answer a request, now or after this turn; whatever is wrong with it becomes an error answer."""
        try:
            found = self._routes.get(request.path)
            request.route = found[0] if found else ""
            self._admit(request)
            if found is None:
                raise NotFound(
                    "there is nothing at this address", known=", ".join(sorted(p.decode() for p in self._routes))
                )
            handler = found[1].get(b"GET" if request.method == b"HEAD" else request.method)
            if handler is None:
                allowed = ", ".join(sorted(method.decode() for method in found[1]))
                self._refuse(
                    request, WrongMethod("wrong method for this address", known=f"it takes {allowed}"), allowed
                )
                return
            handler(request)
        except OitoError as error:
            self._refuse(request, error)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._refuse(
                request, StepFailed("the request could not be answered", next="the endpoint's log has the reason")
            )

    def _refuse(self, request: Request, error: OitoError, allowed: str = "") -> None:
        self.metrics.error(type(error).__name__)
        if request.path.startswith(b"/v2/"):
            refuse_v2(request, error)
        elif allowed:
            body = msgspec.json.encode(error_data(error))
            request.answer(error.status, body, extra=b"allow: %b\r\n" % allowed.encode())
        else:
            request.refuse(error)

    def _admit(self, request: Request) -> None:
        headers = request.headers
        if self._token is None:
            host = headers.get(b"host", b"localhost")
            name = host[: host.find(b"]") + 1] if host[:1] == b"[" else host.split(b":", 1)[0]
            if name.lower() not in self._hosts:
                raise ForeignCaller("this server does not answer under that host name", known="it answers to localhost")
        elif request.route not in _OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise TokenNeeded("the token is missing or wrong", next="send the header Authorization: Bearer TOKEN")
        if request.method not in (b"GET", b"HEAD"):
            if b"origin" in headers or headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
                raise ForeignCaller("web pages may not call this server", next="call it from your own server")
            if headers.get(b"content-encoding", b"identity") != b"identity":
                raise BadRequest("the body is compressed", next="send it plain, without Content-Encoding")

    def _predict(self, request: Request) -> None:
        lane = self._lane
        floats = lane.rows.straight(request.body)
        if floats is not None:
            row = single(lane, request.body, floats)
            self._turns.submit(Job(lane, [row], request.started, self._answers.one(request)))
            return
        given = rows.body(request.body)
        several = given.get("rows")
        if isinstance(several, list) and len(given) == 1:
            job = Job(lane, [Row(row) for row in several], request.started, self._answers.many(request))
        else:
            job = Job(lane, [Row(given)], request.started, self._answers.one(request))
        self._turns.submit(job)

    def _take_feedback(self, request: Request) -> None:
        given = rows.body(request.body)
        several = given.get("rows")
        is_many = isinstance(several, list)
        work = self._clerk.submit(self._feedback.record, several if isinstance(several, list) else [given])
        work.add_done_callback(lambda done: self._threadsafe(self._tell_feedback, request, done, is_many))

    def _tell_feedback(self, request: Request, done: "Future[list[Feedback | OitoError]]", is_many: bool) -> None:
        try:
            results = done.result()
        except Exception as failure:
            error = failure if isinstance(failure, OitoError) else StepFailed("the feedback could not be kept")
            self._refuse(request, error)
            return
        known = sum(isinstance(result, Feedback) for result in results)
        parked = sum(getattr(result, "status", 0) == 404 for result in results)
        self.metrics.feedback(known=known, parked=parked)
        if not is_many and isinstance(results[0], OitoError):
            self._refuse(request, results[0])
            return
        answers = [
            {"prediction_id": result.prediction_id.hex(), "kept": True}
            if isinstance(result, Feedback)
            else error_data(result)
            for result in results
        ]
        request.answer(200, msgspec.json.encode({"feedback": answers} if is_many else answers[0]))

    def _home(self, request: Request) -> None:
        served = self.served
        facts = {
            "endpoint": served.endpoint,
            "version": served.version,
            "model": served.model,
            "variant": served.variant,
            "fields": list(dict.fromkeys((*served.request_fields, *served.signature.names))),
            "outputs": list(served.outputs),
            "addresses": sorted(route for route, _ in self._routes.values()),
        }
        request.answer(200, msgspec.json.encode(facts))

    def _ready(self, request: Request) -> None:
        request.answer(200 if self.is_ready else 503, msgspec.json.encode({"ready": self.is_ready}))

    def _metrics_text(self, request: Request) -> None:
        gauges = {"oito_endpoint_ready": ("1 when the process takes requests.", float(self.is_ready))}
        totals = {
            "oito_swaps_total": ("Versions taken over while running.", float(self.metrics.swaps)),
            "oito_journal_bytes_total": ("Bytes of predictions written.", float(self._journal.written_bytes)),
            "oito_journal_sync_errors_total": ("Syncs of the journal that failed.", float(self._journal.sync_errors)),
        }
        request.answer(200, self.metrics.text(gauges, totals), kind=_TEXT)

    def _openapi(self, request: Request) -> None:
        request.answer(200, msgspec.json.encode(openapi.description(self.served)))

    def _v2_model(self, request: Request) -> None:
        request.answer(200, msgspec.json.encode(v2.model(self.served)))

    def _v2_infer(self, request: Request) -> None:
        given, echo, wanted = v2.rows(self.served, rows.body(request.body))
        finish = self._answers.tensors(request, echo, wanted)
        self._turns.submit(Job(self._lane, [Row(row) for row in given], request.started, finish))


def _alive(request: Request) -> None:
    request.answer(200, b'{"alive":true}')


def _v2_server(request: Request) -> None:
    request.answer(200, msgspec.json.encode(v2.server()))

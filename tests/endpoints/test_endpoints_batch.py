"""Turns and rows from inside: what shares a call of the model, and that both ways to read a row agree."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.catalog.signature import Column, Signature
from oito.clock import stopwatch
from oito.endpoints import rows as reading
from oito.endpoints.batch import Job, Lane, Row, Scored, Turns
from oito.endpoints.http import Connection, Listener, Request
from oito.endpoints.journal import Journal
from oito.endpoints.metrics import Metrics
from oito.endpoints.rows import Rows
from oito.endpoints.served import Floats, Served
from oito.errors import BadRequest, OitoError, Overloaded, StepFailed

SIGNATURE = Signature(
    (Column("city", "category", ("Rio", "São Paulo")), Column("age", "number"), Column("member", "boolean")),
    "regression",
    "spend",
)


class Bench:
    """Turns whose loop is a list: `turn` runs what was asked to run soon."""

    def __init__(self, folder: Path, score: Callable[[Floats], Any] | None = None) -> None:
        self.calls: list[int] = []
        self.soon: list[Callable[[], None]] = []
        self.turns = Turns(self.soon.append, Metrics())
        self.journal = Journal(folder)
        self.done: list[Job] = []
        self._score = score or (lambda features: features[:, 1])
        self.lane = self.serve("spend:v1")

    def serve(self, model: str) -> Lane:
        return Lane(Served("spending", "spending:v1", model, SIGNATURE, (), self.score, ("spend",)), self.journal)

    def score(self, features: Floats) -> Any:
        self.calls.append(len(features))
        return self._score(features)

    def submit(self, *ages: float, lane: Lane | None = None) -> None:
        given = [Row({"city": "Rio", "age": age, "member": None}) for age in ages]
        self.turns.submit(Job(lane or self.lane, given, stopwatch(), self.done.append))

    def turn(self) -> None:
        due, self.soon[:] = list(self.soon), []
        for step in due:
            step()

    def said(self, job: int) -> list[float | str]:
        return [r.outputs[0] if isinstance(r, Scored) else type(r).__name__ for r in self.done[job].results]


def test_requests_of_one_turn_share_one_call_and_one_journal_write(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for age in range(16):
        bench.submit(age)
    assert len(bench.soon) == 1
    bench.turn()
    assert bench.calls == [16]
    assert [bench.said(job) for job in range(16)] == [[float(age)] for age in range(16)]
    assert bench.soon == []
    bench.journal.close()


def test_a_large_request_goes_in_calls_of_64_and_lets_others_in_between(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.submit(*range(200))
    bench.turn()
    bench.submit(7.0)
    while bench.soon:
        bench.turn()
    assert bench.calls == [64, 64, 64, 9]
    assert bench.said(0) == [7.0]
    assert bench.said(1) == [float(age) for age in range(200)]
    bench.journal.close()


def test_requests_keep_the_version_they_came_to(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    newer = bench.serve("spend:v2")
    bench.submit(1.0)
    bench.submit(2.0, lane=newer)
    bench.submit(3.0)
    bench.turns.flush()
    assert bench.calls == [1, 1, 1]
    assert [job.lane.served.model for job in bench.done] == ["spend:v1", "spend:v2", "spend:v1"]
    bench.journal.close()


def test_a_function_that_returns_another_shape_is_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path, lambda features: np.zeros((len(features), 3)))
    bench.submit(1.0)
    bench.turn()
    (error,) = bench.done[0].results
    assert isinstance(error, StepFailed)
    assert str(error) == (
        "spending returned an array of shape (1, 3)\n  known    1 rows and the outputs spend were asked for"
    )
    bench.journal.close()


def test_more_rows_than_may_wait_are_turned_away(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.submit(1.0)
    with pytest.raises(Overloaded, match="too many rows are waiting"):
        bench.submit(*range(200_000))
    bench.turn()
    assert bench.said(0) == [1.0]
    bench.journal.close()


cities = st.sampled_from(["Rio", "São Paulo", "Lima", ""]) | st.text()
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**40), 10**40)
anything = st.none() | st.booleans() | numbers | cities | st.lists(st.integers(), max_size=2)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"city": cities | st.none(), "age": numbers | st.none(), "member": st.booleans() | st.none()},
        optional={"asked_at": anything},
    )
    | st.dictionaries(st.sampled_from(["city", "age", "member", "asked_at", "other"]), anything)
)
def test_a_row_read_straight_has_the_floats_of_the_signature(row: dict[str, Any]) -> None:
    reader = Rows(Served("s", "s:v1", "m:v1", SIGNATURE, ("asked_at",), lambda rows: rows, ("y",)))
    body = json.dumps(row, ensure_ascii=False).encode(errors="replace")
    straight = reader.straight(body)
    try:
        expected: list[float] | None = reader.floats(reader.check(reading.body(body)))
    except BadRequest:
        expected = None
    if straight is not None:
        assert expected is not None
        assert np.array(straight, dtype=np.float64).tobytes() == np.array(expected).tobytes()
    elif expected is not None:
        # Only what the quick way does not know: a boolean in a column of numbers.
        assert isinstance(row["age"], bool)


def test_the_usual_row_takes_the_straight_way() -> None:
    reader = Rows(Served("s", "s:v1", "m:v1", SIGNATURE, (), lambda rows: rows, ("y",)))
    values = reader.straight(b'{"city": "Lima", "age": 3, "member": null}')
    assert values == [None, 3.0, None]


def test_a_request_that_dawdles_is_ended_with_a_408() -> None:
    async def dawdle(sent: bytes, waited_s: float) -> bytes:
        listener = Listener(_hello, Metrics())
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(listener), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        await asyncio.sleep(0.05)
        for connection in tuple(listener.connections):
            connection.check(stopwatch() + waited_s)
        try:
            answer = await asyncio.wait_for(reader.read(), 0.2)
        except TimeoutError:
            answer = b""
        writer.close()
        server.close()
        return answer

    head, whole = b"POST / HTTP/1.1\r\nhost: a\r\n", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{"
    assert asyncio.run(dawdle(head, 4.0)) == b""
    assert asyncio.run(dawdle(head, 6.0)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert asyncio.run(dawdle(whole, 6.0)) == b""
    assert b'"error":"RequestTooSlow"' in asyncio.run(dawdle(whole, 31.0))


def _hello(request: Request) -> None:
    request.answer(200, b"{}")


def test_an_error_never_sends_a_whole_body_back() -> None:
    told: list[bytes] = []
    request = Request(lambda _, status, body, kind, extra: told.append(body), 0.0)
    request.refuse(OitoError("x" * 10_000_000))
    assert len(told[0]) < 3000

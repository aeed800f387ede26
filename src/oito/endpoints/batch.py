"""Turn batching: rows whose requests arrived in the same turn of the event loop are scored in one call. Nobody waits on a timer."""

import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from oito.clock import stopwatch
from oito.endpoints.journal import About, AsOf, Journal, Stream
from oito.endpoints.metrics import Metrics
from oito.endpoints.rows import Rows
from oito.endpoints.served import Enriched, Floats, Served
from oito.errors import OitoError, Overloaded, StepFailed

ROWS_PER_CALL = 64
ROWS_WAITING = 200_000
_LONGEST_TEXT = 4096  # a request is journaled as it came, unless blanks blew it up


class Lane:
    """A served version with what is made once for it."""

    def __init__(self, served: Served, journal: Journal) -> None:
        self.served = served
        self.rows = Rows(served)
        self.stream: Stream = journal.stream(About.of(served))


class Row:
    """One row on its way: as given, as text for the journal, then as floats."""

    __slots__ = ("as_of", "floats", "given", "text")

    def __init__(self, given: object, text: bytes = b"", floats: Sequence[float | None] | None = None) -> None:
        self.given, self.text, self.floats = given, text, floats
        self.as_of: AsOf = {}


@dataclass(frozen=True)
class Scored:
    """The answer to one row: its id, and its k outputs."""

    id: bytes
    outputs: list[float]


class Job:
    """The rows of one request; `finish` is called once, when each row has its result, in their order."""

    __slots__ = ("finish", "lane", "left", "results", "rows", "started", "taken")

    def __init__(self, lane: Lane, rows: list[Row], started: float, finish: Callable[["Job"], None]) -> None:
        self.lane, self.rows, self.started, self.finish = lane, rows, started, finish
        self.results: list[Scored | OitoError | None] = [None] * len(rows)
        self.taken, self.left = 0, len(rows)

    def settle(self, place: int, result: Scored | OitoError) -> None:
        self.results[place] = result
        self.left -= 1
        if not self.left:
            self.finish(self)


_Taken = list[tuple[Job, int]]


def single(lane: Lane, body: bytes, floats: list[float | None]) -> Row:
    """Return the row of a body that was read straight."""
    if len(body) > _LONGEST_TEXT:
        body = msgspec.json.encode(msgspec.json.decode(body))
    return Row(None, body, floats)


class Turns:
    """The queue of one process. A body of many rows goes in calls of 64 and lets others in between.

    A row alone and a row in a batch take the same way: same call, same journal.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], Any], metrics: Metrics) -> None:
        self._call_soon, self._metrics = call_soon, metrics
        self._queue: deque[Job] = deque()
        self._waiting = 0
        self._is_due = False

    def submit(self, job: Job) -> None:
        """Take a request's rows.

        Raises:
            Overloaded: too many rows wait already.
        """
        if not job.rows:
            job.finish(job)
            return
        if self._waiting and self._waiting + len(job.rows) > ROWS_WAITING:
            raise Overloaded("too many rows are waiting", next="send it again in a second, or in smaller pieces")
        self._queue.append(job)
        self._waiting += len(job.rows)
        if not self._is_due:
            self._is_due = True
            self._call_soon(self._turn)

    def flush(self) -> None:
        """Score everything that waits, now."""
        while self._queue:
            self._turn()

    def _turn(self) -> None:
        self._is_due = False
        if not self._queue:
            return
        lane, taken = self._take()
        if self._queue:
            self._is_due = True
            self._call_soon(self._turn)
        try:
            _answer(lane, list(_readable(lane, taken)), self._metrics)
        except Exception:
            # Whatever went wrong is this turn's alone: each caller hears of it and the next turn starts clean.
            traceback.print_exc(file=sys.stderr)
            for job, place in taken:
                if job.results[place] is None:
                    job.settle(place, StepFailed("the endpoint could not answer", next="its log has the reason"))

    def _take(self) -> tuple[Lane, _Taken]:
        queue, room = self._queue, ROWS_PER_CALL
        lane = queue[0].lane
        taken: _Taken = []
        while queue and room and queue[0].lane is lane:
            job = queue.popleft()
            stop = min(job.taken + room, len(job.rows))
            taken.extend([(job, place) for place in range(job.taken, stop)])
            room -= stop - job.taken
            job.taken = stop
            if stop < len(job.rows):
                queue.append(job)
        self._waiting -= len(taken)
        return lane, taken


def _readable(lane: Lane, taken: _Taken) -> Iterator[tuple[Job, int]]:
    """Yield the rows that have floats now; each of the others has got its own error."""
    if all(job.rows[place].floats is not None for job, place in taken):
        yield from taken
        return
    checked: _Taken = []
    for job, place in taken:
        row = job.rows[place]
        try:
            if row.floats is None:
                row.text = msgspec.json.encode(lane.rows.check(row.given))
            checked.append((job, place))
        except OitoError as error:
            job.settle(place, error)
    extras = _looked_up(lane, checked)
    for job, place in checked:
        row, extra = job.rows[place], extras.get((id(job), place))
        try:
            if isinstance(extra, OitoError):
                raise extra
            if row.floats is None:
                assert isinstance(row.given, dict)
                row.floats = lane.rows.floats({**extra.values, **row.given} if extra else row.given)
                row.as_of = extra.as_of if extra else {}
            yield job, place
        except OitoError as error:
            job.settle(place, error)


def _looked_up(lane: Lane, checked: _Taken) -> dict[tuple[int, int], Enriched | OitoError]:
    """Return features, or an error, of each row that lacks columns; features a caller gave are not looked up again."""
    enrich = lane.served.enrich
    if enrich is None:
        return {}
    lacking = [
        (job, place)
        for job, place in checked
        if job.rows[place].floats is None and not lane.rows.is_whole(job.rows[place].given)  # type: ignore[arg-type]  # checked rows are objects
    ]
    found: Sequence[Enriched | OitoError] = []
    given: list[Any] = [job.rows[place].given for job, place in lacking]
    if given:
        try:
            found = enrich(given)
        except Exception:
            found = [_alone(lambda row=row: enrich([row])[0]) for row in given]  # type: ignore[misc]  # default binds row
    return {(id(job), place): result for (job, place), result in zip(lacking, found, strict=True)}


def _answer(lane: Lane, ready: _Taken, metrics: Metrics) -> None:
    if not ready:
        return
    features = np.array([job.rows[place].floats for job, place in ready], dtype=np.float64)
    outputs, failed = _scored(lane.served, features)
    if failed:
        for place, error in failed.items():
            ready[place][0].settle(ready[place][1], error)
        keep = [place for place in range(len(ready)) if place not in failed]
        ready, features, outputs = [ready[place] for place in keep], features[keep], outputs[keep]
        if not ready:
            return
    rows = [job.rows[place] for job, place in ready]
    oldest = min([job.started for job, _ in ready])
    try:
        given = lane.stream.append(
            features,
            outputs,
            [row.text for row in rows],
            as_of=[row.as_of for row in rows] if lane.served.enrich else (),
            latency_s=stopwatch() - oldest,
        )
    except OitoError as error:
        for job, place in ready:
            job.settle(place, error)
        return
    metrics.scored(lane.served.model, len(ready))
    for (job, place), name, said in zip(ready, given, outputs.tolist(), strict=True):
        job.settle(place, Scored(name, said))


def _scored(served: Served, features: Floats) -> tuple[Floats, dict[int, OitoError]]:
    """Return outputs [n, k] and the errors by row; when the call fails, each row is tried alone."""
    shape = (len(features), len(served.outputs))
    try:
        return call(served, features), {}
    except Exception as failure:
        if len(features) == 1:
            return np.empty(shape), {0: _failure(failure)}
    outputs, errors = np.empty(shape), {}
    for place in range(len(features)):
        said = _alone(lambda place=place: call(served, features[place : place + 1]))  # type: ignore[misc]  # default binds place
        if isinstance(said, OitoError):
            errors[place] = said
        else:
            outputs[place] = said[0]
    return outputs, errors


def call(served: Served, features: Floats) -> Floats:
    """Return a served function's outputs as float64 [n, k].

    Raises:
        StepFailed: it returned another shape.
    """
    said = np.ascontiguousarray(served.score(features), dtype=np.float64)
    if said.ndim == 1:
        said = said.reshape(-1, 1)
    if said.shape != (len(features), len(served.outputs)):
        raise StepFailed(
            f"{served.endpoint} returned an array of shape {said.shape}",
            known=f"{len(features)} rows and the outputs {', '.join(served.outputs)} were asked for",
        )
    return said


def _alone(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except Exception as failure:
        return _failure(failure)


def _failure(failure: Exception) -> OitoError:
    if isinstance(failure, OitoError):
        return failure
    traceback.print_exception(failure, file=sys.stderr)
    return StepFailed("the endpoint's function failed on this row", next="the endpoint's log has the reason")

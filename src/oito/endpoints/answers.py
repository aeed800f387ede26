"""How scored rows and errors look in JSON: one row, many rows, and Open Inference V2 tensors. Scoring lives elsewhere."""

from collections.abc import Callable
from typing import Any

import msgspec

from oito.endpoints.batch import Job, Scored
from oito.endpoints.http import Request, error_data
from oito.endpoints.metrics import Metrics
from oito.endpoints.rows import as_number
from oito.endpoints.served import Served
from oito.errors import OitoError, StorageError


class Answers:
    """The JSON of one served version: `prediction` is a number, or an object by output name when there are several."""

    def __init__(self, served: Served, metrics: Metrics) -> None:
        self._served, self._metrics = served, metrics
        self._names = [msgspec.json.encode(name) for name in served.outputs]
        self._middle = b'","model":' + msgspec.json.encode(served.model) + b',"prediction":'

    def one(self, request: Request) -> Callable[[Job], None]:
        """Return what answers a request of one row: its prediction, or its error with the error's status."""

        def finish(job: Job) -> None:
            result = job.results[0]
            if isinstance(result, Scored):
                request.answer(200, self._scored(result))
            elif result is not None:
                self._metrics.error(type(result).__name__)
                request.refuse(result)

        return finish

    def many(self, request: Request) -> Callable[[Job], None]:
        """Return what answers `{"rows": […]}`: a list in the same order, an error object where a row has one.

        A journal that cannot be written fails the whole request: then nothing may leave.
        """

        def finish(job: Job) -> None:
            full = next((result for result in job.results if isinstance(result, StorageError)), None)
            if full is not None:
                self._metrics.error(type(full).__name__)
                request.refuse(full)
                return
            pieces = [
                self._scored(r) if isinstance(r, Scored) else self._error(r) for r in job.results if r is not None
            ]
            request.answer(200, b'{"predictions":[' + b",".join(pieces) + b"]}")

        return finish

    def tensors(self, request: Request, echo: str | None, wanted: list[str]) -> Callable[[Job], None]:
        """Return what answers a V2 request: one tensor [rows] an output; the protocol knows no error of one row."""

        def finish(job: Job) -> None:
            scored = [result for result in job.results if isinstance(result, Scored)]
            failed = next((result for result in job.results if isinstance(result, OitoError)), None)
            if failed is not None:
                self._metrics.error(type(failed).__name__)
                refuse_v2(request, failed)
                return
            tensors = []
            for name in wanted:
                place = self._served.outputs.index(name)
                data = b",".join([as_number(result.outputs[place]) for result in scored])
                tensors.append(
                    b'{"name":%b,"shape":[%d],"datatype":"FP64","data":[%b]}'
                    % (msgspec.json.encode(name), len(scored), data)
                )
            head: dict[str, Any] = {"model_name": self._served.endpoint, "model_version": self._served.version}
            if echo is not None:
                head["id"] = echo
            head["parameters"] = {"prediction_ids": ",".join(result.id.hex() for result in scored)}
            request.answer(200, msgspec.json.encode(head)[:-1] + b',"outputs":[' + b",".join(tensors) + b"]}")

        return finish

    def _scored(self, result: Scored) -> bytes:
        if len(result.outputs) == 1:
            said = as_number(result.outputs[0])
        else:
            pairs = zip(self._names, result.outputs, strict=True)
            said = b"{" + b",".join([name + b":" + as_number(value) for name, value in pairs]) + b"}"
        return b'{"prediction_id":"' + result.id.hex().encode() + self._middle + said + b"}"

    def _error(self, error: OitoError) -> bytes:
        self._metrics.error(type(error).__name__)
        return msgspec.json.encode(error_data(error))


def refuse_v2(request: Request, error: OitoError) -> None:
    """Send an error as Open Inference V2 has it."""
    text = "; ".join(piece for piece in (error.what, error.known, error.next) if piece)
    request.answer(error.status, msgspec.json.encode({"error": text[:2000]}))

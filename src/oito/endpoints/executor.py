"""Executors: answer rows with a compiled model, without scikit-learn. How a model is compiled lives in compile.py.

An executor is used by one thread at a time or by several; it keeps no state between calls. A row gets the same bits alone
and in any batch. A row that the estimator would refuse (a missing value where none is taken) is answered with NaN, so it
never fails its neighbours.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from oito.endpoints.columns import Columns
from oito.endpoints.links import LINKS
from oito.errors import CorruptFile

if TYPE_CHECKING:
    from oito.catalog.signature import Signature

Floats = NDArray[np.float64]

PLAN = "executor.json"
GRAPH = "trees.onnx"
LEAVES = "leaves.npy"
_VOTE_ROWS = 512  # rows whose votes are held in memory at once


class Executor(Protocol):
    """Answers rows: probabilities [rows, classes] of a classification, values [rows, 1] of a regression."""

    @property
    def kind(self) -> str: ...

    def predict(self, X: Floats) -> Floats: ...


def load(files: Mapping[str, bytes], signature: Signature, *, native: Callable[[], Any]) -> Executor:
    """Return the executor of compiled `files`; `native()` gives the fitted estimator and is only called when needed.

    Raises:
        CorruptFile: the plan names a kind that this version of oito does not know.
    """
    plan = json.loads(files[PLAN])
    if plan["kind"] == "trees":
        return TreesExecutor(plan, files)
    if plan["kind"] == "linear":
        return LinearExecutor(plan)
    if plan["kind"] == "native":
        return NativeExecutor(native(), signature, block=plan["block"])
    raise CorruptFile(f"no executor of kind {plan['kind']!r} is known", known="trees, linear, native")


class TreesExecutor:
    """Sums of trees: one float64 graph on one thread; then votes or a link."""

    kind = "trees"

    def __init__(self, plan: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        self._columns = Columns.from_data(plan["columns"])
        self._never_missing = np.array(plan["never_missing"], dtype=np.intp)
        self._is_finite_only = bool(plan["finite"])
        self._link = LINKS[plan["link"]]
        self._divisor = float(plan["divisor"])
        self._places = _Places(plan["places"])
        leaves = files.get(LEAVES)
        self._leaves: Floats | None = None if leaves is None else np.load(io.BytesIO(leaves), allow_pickle=False)
        self._session = _session(files[GRAPH])

    def predict(self, X: Floats) -> Floats:
        with np.errstate(all="ignore"):
            inputs = self._columns(X)
            raw = self._votes(inputs) if self._leaves is not None else self._run(inputs)
            if self._divisor != 1:
                raw = raw / self._divisor
            answer = self._link(raw)
        refused = self._refused(inputs)
        if refused is not None:
            answer[refused] = np.nan
        return self._places(answer)

    def _run(self, inputs: Floats) -> Floats:
        answer: Floats = self._session.run(["Y"], {"X": inputs})[0]
        return answer

    def _votes(self, inputs: Floats) -> Floats:
        """Return the sum over trees of each row's leaf, in the order of the trees."""
        assert self._leaves is not None
        parts = []
        for first in range(0, max(len(inputs), 1), _VOTE_ROWS):
            places = self._run(inputs[first : first + _VOTE_ROWS]).astype(np.intp)
            parts.append(np.add.accumulate(self._leaves[places], axis=1)[:, -1])
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _refused(self, inputs: Floats) -> NDArray[np.bool_] | None:
        """Return which rows the estimator would refuse, None for none."""
        bad = []
        if self._never_missing.size:
            bad.append(np.isnan(inputs.take(self._never_missing, axis=1)))
        if self._is_finite_only:
            bad.append(np.isinf(inputs))
        refused = [marks.any(axis=1) for marks in bad if marks.any()]
        return np.logical_or.reduce(refused) if refused else None


class LinearExecutor:
    """Weighted sums: numbers times weights and one looked-up share per category, added in one fixed order."""

    kind = "linear"

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._columns = Columns.from_data(plan["columns"])
        self._intercept = np.array(plan["intercept"], dtype=np.float64)
        self._weights = np.array(plan["weights"], dtype=np.float64).reshape(-1, len(self._intercept))
        tables = [_Table(table) for table in plan["tables"]]
        self._sources = np.array([table.source for table in tables], dtype=np.intp)
        self._lookups = [(place, table.keys) for place, table in enumerate(tables) if table.keys is not None]
        self._sizes = np.array([table.size for table in tables], dtype=np.float64)
        self._starts = np.cumsum([0, *(len(table.shares) for table in tables)], dtype=np.intp)[:-1]
        self._shares = np.concatenate([table.shares for table in tables]) if tables else None
        self._link = LINKS[plan["link"]]
        self._places = _Places(plan["places"])

    def predict(self, X: Floats) -> Floats:
        with np.errstate(all="ignore"):
            terms = [np.broadcast_to(self._intercept, (len(X), 1, len(self._intercept)))]
            if len(self._weights):
                terms.append(self._columns(X)[:, :, np.newaxis] * self._weights)
            if self._shares is not None:
                terms.append(self._shares[self._codes(X.take(self._sources, axis=1)) + self._starts])
            # A running sum has one order by definition; a matrix product chooses its own by the number of rows.
            raw = np.add.accumulate(np.concatenate(terms, axis=1), axis=1)[:, -1]
            return self._places(self._link(raw))

    def _codes(self, values: Floats) -> NDArray[np.intp]:
        """Return each value's row in its table; missing is the row after the known ones, another value the last."""
        for place, keys in self._lookups:
            column = values[:, place]
            found = np.minimum(np.searchsorted(keys, column), len(keys) - 1)
            known = np.where(keys[found] == column, found, len(keys) + 1)
            values[:, place] = np.where(np.isnan(column), np.nan, known)
        return np.where(np.isnan(values), self._sizes, values).astype(np.intp)


class _Table:
    """The shares [rows, outputs] of one column; `keys` are its known values when they are not the codes 0, 1, 2 …"""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.source = int(plan["source"])
        self.keys = None if plan["keys"] is None else np.array(plan["keys"], dtype=np.float64)
        self.shares = np.array(plan["shares"], dtype=np.float64)
        self.size = len(self.shares) - (1 if self.keys is None else 2)


class NativeExecutor:
    """The estimator itself, asked in blocks of one constant size, so that a row's bits do not depend on its batch."""

    kind = "native"

    def __init__(self, estimator: Any, signature: Signature, *, block: int) -> None:
        self._ask = asking(estimator, signature)
        self._block = block
        self._outputs = len(signature.classes) if signature.task == "classification" else 1

    def predict(self, X: Floats) -> Floats:
        blocks = [X[first : first + self._block] for first in range(0, len(X), self._block)]
        with np.errstate(all="ignore"):
            answers = [self._answer(block) for block in blocks]
        return np.concatenate(answers) if answers else np.empty((0, self._outputs))

    def _answer(self, rows: Floats) -> Floats:
        """Return the answers of at most one block; the rows the estimator refuses are found by halving."""
        filler = np.repeat(rows[-1:], self._block - len(rows), axis=0)
        try:
            return self._ask(np.concatenate([rows, filler]))[: len(rows)]
        except ValueError:
            if len(rows) == 1:
                return np.full((1, self._outputs), np.nan)
        middle = len(rows) // 2
        return np.concatenate([self._answer(rows[:middle]), self._answer(rows[middle:])])


def asking(estimator: Any, signature: Signature) -> Callable[[Floats], Floats]:
    """Return the estimator as a function of the matrix: probabilities in the signature's order, or values [rows, 1].

    A class the estimator never saw has probability 0; an estimator without probabilities gives 1 to its choice.
    """
    if signature.task == "regression":
        return lambda X: np.asarray(estimator.predict(signature.frame(X)), dtype=np.float64).reshape(len(X), 1)
    places = _Places(class_places(estimator, signature))
    if hasattr(estimator, "predict_proba"):
        return lambda X: places(np.asarray(estimator.predict_proba(signature.frame(X)), dtype=np.float64))
    classes = np.asarray(estimator.classes_)
    return lambda X: places((np.asarray(estimator.predict(signature.frame(X)))[:, None] == classes).astype(np.float64))


def class_places(estimator: Any, signature: Signature) -> list[int]:
    """Return for each class of the signature its column among the estimator's probabilities, -1 when it has none.

    An estimator learns classes by their numbers in the signature, whatever their names are.
    """
    if signature.task == "regression":
        return [0]
    known = {int(number): place for place, number in enumerate(np.asarray(estimator.classes_).tolist())}
    return [known.get(number, -1) for number in range(len(signature.classes))]


class _Places:
    """Puts the estimator's classes into the signature's order."""

    def __init__(self, places: Sequence[int]) -> None:
        self._places = np.array(places, dtype=np.intp)
        self._is_same = list(places) == list(range(len(places)))

    def __call__(self, answer: Floats) -> Floats:
        if self._is_same and answer.shape[1] == len(self._places):
            return answer
        return np.where(self._places >= 0, answer[:, self._places], 0.0)


def _session(graph: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a second thread changes the order of the sum, and so the bits
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

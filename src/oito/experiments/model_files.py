"""Model files: an estimator as canonical bytes, without pickle, and back. What may stand in one is the list in model_types.

A model is two files: `model.json`, a tree of typed nodes that opens with the SHA-256 of everything behind it, and
`arrays.bin`, all arrays one after the other. The same fit gives the same bytes in every process: no times (how long the
fits of a search took is written as 0), no number of threads, no addresses, no order of sets, no chance bytes between the
fields of a structure.

Loading makes only listed types, from code that is here already, so a file from anywhere runs nothing of its own. What the
compiled loops of trees, boosting and support vectors would index blindly is proven first (model_checks); LightGBM and
XGBoost read their own formats with their own readers, whose soundness is theirs.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from oito.errors import CorruptFile, OitoError
from oito.experiments.model_arrays import BlobReader
from oito.experiments.model_reader import Reader
from oito.experiments.model_writer import Writer

FORMAT = "oito model 1"
TREE, ARRAYS = "model.json", "arrays.bin"
_HEAD = re.compile(rb'\{"sha256":"([0-9a-f]{64})",')
_AGAIN = "restore the model file from a copy, or train the version again"


def dump(estimator: Any, *, trusted: Sequence[str] = ()) -> dict[str, bytes]:
    """Return the estimator as canonical files, name to bytes: the same fit gives the same bytes.

    A class or function of the project's own modules is written only when `trusted` holds its dotted name, and then as its
    attributes alone. Random generators keep their state; a search tree (`KDTree`) is kept as its data.

    Raises:
        BadInput: something in the estimator may not stand in a model file; the text says what, where it hangs, what to do.

    Example:
        >>> from sklearn.linear_model import LinearRegression
        >>> files = dump(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]))
        >>> sorted(files)
        ['arrays.bin', 'model.json']
        >>> load(files).predict([[2.0]]).round(6).tolist()
        [5.0]
    """
    writer = Writer(frozenset(trusted))
    root = writer.node(estimator)
    blob = writer.blob.data()
    body = json.dumps({"format": FORMAT, "model": root}, separators=(",", ":"), allow_nan=False).encode()
    return {TREE: b'{"sha256":"%s",%s' % (_digest(body[1:], blob), body[1:]), ARRAYS: blob}


def load(files: Mapping[str, bytes], *, trusted: Sequence[str] = ()) -> Any:
    """Return the estimator that `dump` wrote; it predicts bit for bit as the one that was fitted.

    Nothing of the file runs, and no more memory is filled than the files have bytes (times a small factor).

    Raises:
        CorruptFile: the bytes are not what `dump` wrote: changed, cut, malformed, or leading compiled code astray.
        BadInput: the file names a class or function that is neither on our list nor `trusted`.
    """
    tree, blob = _checked(files)
    try:
        content = json.loads(tree, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
        if set(content) != {"sha256", "format", "model"} or content["format"] != FORMAT:
            raise CorruptFile(
                f"the model file has the format {str(content.get('format'))[:40]!r}",
                known=f"this oito reads {FORMAT!r}",
                next="load it with the oito that wrote it",
            )
        arrays = BlobReader(blob)
        estimator = Reader(arrays, frozenset(trusted)).value(content["model"])
        arrays.finish()
        return estimator
    except OitoError:
        raise
    except RecursionError as error:
        raise CorruptFile("the model file is nested too deeply", next=_AGAIN) from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        known = f"{type(error).__name__}: {error!s:.200}"
        raise CorruptFile("the model file is malformed", known=known, next=_AGAIN) from error


def _checked(files: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    if set(files) != {TREE, ARRAYS}:
        found = ", ".join(sorted(files)) or "none"
        raise CorruptFile(f"a model is the files {TREE} and {ARRAYS}", known=f"found {found}", next=_AGAIN)
    tree, blob = files[TREE], files[ARRAYS]
    head = _HEAD.match(tree)
    if not head:
        raise CorruptFile(f"{TREE} does not open with its digest", next=_AGAIN)
    found_digest = _digest(tree[head.end() :], blob)
    if head[1] != found_digest:
        known = f"written {head[1].decode()[:12]}…, found {found_digest.decode()[:12]}…"
        raise CorruptFile("the bytes of the model file have changed", known=known, next=_AGAIN)
    return tree, blob


def _digest(body: bytes, blob: bytes) -> bytes:
    both = hashlib.sha256(len(body).to_bytes(8, "big"))
    both.update(body)
    both.update(blob)
    return both.hexdigest().encode()


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise CorruptFile("a key stands twice in one object of the model file", next=_AGAIN)
    return made


def _refuse_constant(text: str) -> Any:
    raise CorruptFile(f"{text} stands bare in the model file", next=_AGAIN)

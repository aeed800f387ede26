"""Named streams of randomness below one root seed, so that no draw of one step moves the draws of another."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

E = TypeVar("E")


def stream(root: int, *names: str) -> int:
    """Return the seed of the stream called `names` below `root`: 0 <= seed < 2**32, as NumPy's `random_state` takes it.

    It is the head of a SHA-256 over the root and the names, each with its length, so neither the order in which streams
    are asked for nor the process matters, and ("a", "bc") is another stream than ("ab", "c").

    Example:
        >>> stream(7, "split"), stream(7, "fit", "trial 3")
        (669960233, 842688044)
    """
    digest = hashlib.sha256()
    for part in (str(int(root)), *names):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return int.from_bytes(digest.digest()[:4], "big")


def apply(estimator: E, seed: int) -> E:
    """Give every `random_state` that is unset (None), at any depth, its own stream below `seed`; return the estimator.

    A parameter that the author has set keeps its value. What has no parameters (no `get_params`) is returned as it is.

    Example:
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> from sklearn.pipeline import make_pipeline
        >>> apply(make_pipeline(RandomForestClassifier()), 7)[0].random_state == stream(7, "randomforestclassifier__random_state")
        True
    """
    model: Any = estimator
    if hasattr(model, "get_params"):
        unset = sorted(name for name, value in model.get_params(deep=True).items() if _is_seed(name) and value is None)
        if unset:
            model.set_params(**{name: stream(seed, name) for name in unset})
    return estimator


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """Let what asks NumPy's or Python's one global generator, as a splitter without a seed does, draw from this stream.

    Both generators stand where they stood when the block is over.

    Example:
        >>> with drawn(7): first = np.random.random()
        >>> with drawn(7): print(first == np.random.random())
        True
    """
    numpys, pythons = np.random.get_state(), random.getstate()
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpys)
        random.setstate(pythons)


def _is_seed(parameter: str) -> bool:
    return parameter == "random_state" or parameter.endswith("__random_state")

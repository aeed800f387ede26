"""Compiled files are canonical, and loading them needs neither scikit-learn nor onnx."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from oito.catalog.signature import infer
from oito.endpoints.compile import compile_model
from oito.endpoints.executor import PLAN, load
from oito.errors import CorruptFile

RNG = np.random.default_rng(1)
FRAME = pl.DataFrame({"a": RNG.normal(size=400), "b": RNG.integers(0, 5, 400)})
TRUTH = pl.Series("y", FRAME["a"].to_numpy() + FRAME["b"].to_numpy() > 2)
SIGNATURE = infer(FRAME, TRUTH, task="classification")
X = SIGNATURE.matrix(FRAME)
MODELS = {
    "boosted": HistGradientBoostingClassifier(max_iter=10),
    "forest": ExtraTreesClassifier(6, random_state=2),
    "logistic": LogisticRegression(),
}

_ALONE = """
import json, pathlib, sys
import numpy as np
from oito.catalog.signature import Signature
from oito.endpoints.executor import load

folder = pathlib.Path(sys.argv[1])
files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "signature"}
signature = Signature.from_data(json.loads((folder / "signature").read_text()))
answers = load(files, signature, native=lambda: None).predict(np.array([[0.5, 2.0], [np.nan, 1.0]])[:1])
heavy = [name for name in ("sklearn", "onnx", "scipy", "polars") if name in sys.modules]
print(json.dumps([answers.tolist(), heavy]))
"""


@pytest.mark.parametrize("name", MODELS)
def test_the_same_estimator_gives_the_same_bytes(name: str) -> None:
    model = MODELS[name].fit(SIGNATURE.frame(X), TRUTH.to_numpy())
    again = pickle.loads(pickle.dumps(model))
    assert compile_model(model, SIGNATURE, X).files == compile_model(again, SIGNATURE, X[:50]).files


@pytest.mark.parametrize("name", MODELS)
def test_a_process_that_loads_imports_no_training_library(name: str, tmp_path: Path) -> None:
    model = MODELS[name].fit(SIGNATURE.frame(X), TRUTH.to_numpy())
    for path, content in compile_model(model, SIGNATURE, X).files.items():
        (tmp_path / path).write_bytes(content)
    (tmp_path / "signature").write_text(json.dumps(SIGNATURE.data()))
    done = subprocess.run([sys.executable, "-c", _ALONE, str(tmp_path)], capture_output=True, text=True, check=True)
    answers, heavy = json.loads(done.stdout)
    assert heavy == []
    assert np.allclose(answers, model.predict_proba(SIGNATURE.frame(np.array([[0.5, 2.0]]))), rtol=1e-12)


def test_an_unknown_kind_of_executor_is_refused() -> None:
    with pytest.raises(CorruptFile) as refused:
        load({PLAN: b'{"kind":"quantum"}'}, SIGNATURE, native=lambda: None)
    assert str(refused.value) == "no executor of kind 'quantum' is known\n  known    trees, linear, native"

"""A model file from anywhere: refused in clear words, never code run, never memory filled."""

import json
import random
import re
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.svm import SVC

from oito.errors import BadInput, CorruptFile, OitoError
from oito.experiments.model_files import _digest, dump, load

_draw = np.random.default_rng(5)
X = np.c_[_draw.integers(0, 5, 80), _draw.random((80, 3))]
Y = _draw.choice(["a", "b", "c"], 80)
FILES = dump(Ridge().fit(X, X[:, 1]))
FOREST = dump(RandomForestClassifier(2, max_depth=3, random_state=0).fit(X, Y))
BOOSTED = dump(HistGradientBoostingClassifier(max_iter=2, categorical_features=[0], random_state=0).fit(X, Y))
VECTORS = dump(SVC().fit(X, Y))
_HEAD = len(b'{"sha256":"') + 64 + len(b'",')


def forged(body: bytes, blob: bytes = b"") -> dict[str, bytes]:
    """Return files with a right digest, as somebody who read our code would make them."""
    return {"model.json": b'{"sha256":"%s",%s' % (_digest(body, blob), body), "arrays.bin": blob}


def of_node(node: Any, blob: bytes = b"") -> dict[str, bytes]:
    return forged(json.dumps({"format": "oito model 1", "model": node})[1:].encode(), blob)


def refusal(files: dict[str, bytes], kind: type[OitoError] = CorruptFile) -> str:
    with pytest.raises(kind) as refused:
        load(files)
    return str(refused.value)


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (["function", "os.system"], "os.system"),
        (["function", "posix.system"], "posix.system"),
        (["function", "builtins.eval"], "builtins.eval"),
        (["function", "numpy.load"], "numpy.load"),
        (["function", "sklearn.linear_model._ridge.Ridge"], "sklearn.linear_model._ridge.Ridge"),
        (["type", "subprocess.Popen"], "subprocess.Popen"),
        (["type", "numpy.ndarray"], "numpy.ndarray"),
        (["object", "subprocess.Popen", {"args": "id"}], "subprocess.Popen"),
        (["object", "sklearn.utils._bunch.Bunch", {}], "sklearn.utils._bunch.Bunch"),
        (["object", "numpy.log1p", {}], "numpy.log1p"),
        (["object", "", {}], ""),
        (["form", "os.system", {"command": "id"}], "os.system"),
        (["form", "builtins.slice.__class__", {}], "builtins.slice.__class__"),
    ],
)
def test_a_name_that_is_not_listed_is_refused_with_the_fix(node: Any, name: str) -> None:
    assert refusal(of_node(node), BadInput) == (
        f"{name} may not stand in a model file\n"
        "  known    known are scikit-learn's estimators and a list of plain NumPy and SciPy functions, in model_types.py\n"
        f'  next     if it is your own and only holds state, trust it by name: trusted = ["{name}"]'
    )


def test_refusing_a_module_does_not_import_it() -> None:
    refusal(of_node(["object", "antigravity.Flight", {}]), BadInput)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("node", "blob", "words"),
    [
        (["array", "<f8", [2**40], "C", 0], b"", "an array of 8796093022208 bytes should start at 0"),
        (["array", "<f8", [2**61, 2**61], "C", 0], b"12345678", "bytes should start at 0"),
        (["array", "<f8", [2**70], "C", 0], b"", "an array has the shape [1180591620717411303424]"),
        (["array", "<f8", [-1], "C", 0], b"12345678", "an array has the shape [-1]"),
        (["array", "<f8", [True], "C", 0], b"12345678", "an array has the shape [True]"),
        (["array", "<f8", "2", "C", 0], b"12345678", "an array has no usable shape"),
        (["array", "<f8", [1] * 65, "C", 0], b"12345678", "an array has no usable shape"),
        (["array", "<f8", [1], "C", 8], b"1234567812345678", "the array before it ends at 0"),
        (["array", "<f8", [1], "C", -8], b"12345678", "should start at -8"),
        (["array", "<f8", [1], "K", 0], b"12345678", "an array of the model file is described wrongly"),
        (["array", "|O", [1], "C", 0], b"12345678", "an array of the model file is described wrongly"),
        (["array", "O,O", [1], "C", 0], b"12345678", "'O,O' is no dtype of a model file"),
        (["array", "<U0", [2**40], "C", 0], b"", "'<U0' is no dtype of a model file"),
        (
            ["array", [8, [["a", "<f8", 4, []]]], [1], "C", 0],
            b"12345678",
            "the field 'a' of a structure lies outside it",
        ),
        (
            ["array", [8, [["a", "|O", 0, []]]], [1], "C", 0],
            b"12345678",
            "the field 'a' of a structure lies outside it",
        ),
        (["array", "<f8", [1], "C", 0], b"1234567812345678", "8 bytes of the blob belong to no array"),
        (["list", *[["array", "<f8", [2], "C", 0]] * 2], b"x" * 16, "the array before it ends at 16"),
        (["objects", [10**12]], b"", "the model file is malformed"),
        (["objects", [-1], 1], b"", "an array has no usable shape"),
        (["scalar", "<f8", "00"], b"", "a number of float64 has 1 bytes"),
        (["scalar", "|O", "0000000000000000"], b"", "a number of object has 8 bytes"),
        (["ref", 0], b"", "refers to a thing 0 that it has not made"),
        (["form", "functools.partial", {"function": ["ref", 0]}], b"", "that it has not made"),
        (["dict", ["a", 1], ["a", 2]], b"", "the key 'a' stands twice in one dict"),
        (["dict", [["list"], 1]], b"", "unhashable"),
        (["magic", 1], b"", "a node of the model file has the tag ['magic']"),
        ([], b"", "a node of the model file has the tag []"),
        ({"a": 1}, b"", "a node of the model file has no tag"),
        (["float", "1e400"], b"", "the model file is malformed"),
        (["object", "sklearn.linear_model._ridge.Ridge", {"__class__": 1}], b"", "attributes of an object"),
        (["object", "sklearn.linear_model._ridge.Ridge", []], b"", "attributes of an object"),
        (["object", "sklearn.linear_model._ridge.Ridge"], b"", "the model file is malformed"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_malformed_node_is_a_corrupt_file(node: Any, blob: bytes, words: str) -> None:
    assert words in refusal(of_node(node, blob))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'"format":"oito model 1","model":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'"format":"oito model 1","model":' + b'["tuple",' * 150 + b"1" + b"]" * 150 + b"}", "deeper than 100 levels"),
        (b'"format":"oito model 1","model":1,"model":2}', "a key stands twice in one object"),
        (b'"format":"oito model 1","model":NaN}', "NaN stands bare in the model file"),
        (b'"format":"oito model 1","model":' + b"9" * 5000 + b"}", "the model file is malformed"),
        (b'"format":"oito model 9","model":1}', "the model file has the format 'oito model 9'"),
        (b'"format":"oito model 1"}', "the model file has the format"),
        (b'"format":"oito model 1","model":1} trailing', "the model file is malformed"),
        (b'"format":"oito model 1","model":"\xff"}', "the model file is malformed"),
        (b"", "the model file is malformed"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_malformed_text_is_a_corrupt_file(body: bytes, words: str) -> None:
    assert words in refusal(forged(body))


def test_missing_extra_and_cut_files_are_named() -> None:
    assert "found model.json" in refusal({"model.json": FILES["model.json"]})
    assert "found arrays.bin, model.json, model.pkl" in refusal({**FILES, "model.pkl": b""})
    assert "the bytes of the model file have changed" in refusal({**FILES, "arrays.bin": FILES["arrays.bin"][:-1]})
    assert "the bytes of the model file have changed" in refusal({**FILES, "model.json": FILES["model.json"][:-1]})
    assert "model.json does not open with its digest" in refusal({**FILES, "model.json": b"\x80\x04pickled"})


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_one_flipped_bit_is_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["model.json", "arrays.bin"]))
    changed = bytearray(FILES[name])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptFile):
        load({**FILES, name: bytes(changed)})


def edited(files: dict[str, bytes], pattern: str, new: str) -> dict[str, bytes]:
    body = files["model.json"][_HEAD:].decode()
    changed, count = re.subn(pattern, new, body, count=1)
    assert count == 1
    return forged(changed.encode(), files["arrays.bin"])


def with_field(files: dict[str, bytes], field: str, value: int, *, inner_node: int = 0) -> dict[str, bytes]:
    """Return the files with one field of one node of the first structured array (a tree's nodes) set to `value`."""
    body = files["model.json"][_HEAD:]
    found = re.search(rb'\["array",\[(\d+),(\[\[.*?\]\])\],\[(\d+)\],"C",(\d+)\]', body)
    assert found
    fields = {name: (kind, start) for name, kind, start, _ in json.loads(found[2])}
    kind, start = fields[field]
    blob = bytearray(files["arrays.bin"])
    at = int(found[4]) + inner_node * int(found[1]) + start
    data = np.array(value, kind).tobytes()
    blob[at : at + len(data)] = data
    return forged(body, bytes(blob))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (with_field(FOREST, "left_child", 10**9), "a node of a tree has a child outside the tree"),
        (with_field(FOREST, "left_child", 0), "a node of a tree has a child outside the tree"),
        (with_field(FOREST, "right_child", 1), "a node of a tree has two parents"),
        (with_field(FOREST, "feature", 4), "a tree splits on a feature it does not have"),
        (with_field(FOREST, "feature", -7), "a tree splits on a feature it does not have"),
        (
            edited(FOREST, r'"max_depth":3,"n_classes"', '"max_depth":1,"n_classes"'),
            "a tree of depth 3 says it has depth 1",
        ),
        (edited(FOREST, r'"node_count":\d+', '"node_count":999999'), "a tree's nodes are miscounted"),
        (edited(FOREST, r'"n_outputs":1', '"n_outputs":900'), "a tree's classes are miscounted"),
        (edited(FOREST, r'"n_features":4', '"n_features":400'), "a tree and its estimator differ in their features"),
        (with_field(BOOSTED, "left", 4_000_000_000), "a node of a tree has a child outside the tree"),
        (with_field(BOOSTED, "feature_idx", 4), "a boosted tree splits on a feature the model does not have"),
        (with_field(BOOSTED, "feature_idx", -1), "a boosted tree splits on a feature the model does not have"),
        (edited(VECTORS, r'"n_features_in_":4', '"n_features_in_":9'), "the support vectors are miscounted"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_would_lead_compiled_code_astray_is_refused(files: dict[str, bytes], words: str) -> None:
    assert words in refusal(files)


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_a_forged_file_is_a_model_or_a_clear_error_and_predicting_with_it_does_not_crash(seed: int) -> None:
    chance = random.Random(seed)
    files = chance.choice([FOREST, BOOSTED, VECTORS, FILES])
    body, blob = bytearray(files["model.json"][_HEAD:]), bytearray(files["arrays.bin"])
    if chance.random() < 0.6:
        number = chance.choice(list(re.finditer(rb"\d+", bytes(body))))
        body[number.start() : number.end()] = chance.choice([b"0", b"1", b"-1", b"7", b"100", b"2147483648", b"1e9"])
    else:
        blob[chance.randrange(len(blob))] = chance.choice([0, 1, 127, 128, 255])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a forged version of scikit-learn is worth its warning
        try:
            model = load(forged(bytes(body), bytes(blob)))
        except OitoError:
            return
        try:
            model.predict(X)
        except Exception as error:
            assert not isinstance(error, MemoryError)


_HUNGRY = """
import json, resource
resource.setrlimit(resource.RLIMIT_AS, (%d, %d))
from oito.errors import CorruptFile
from oito.experiments.model_files import _digest, load
for shape in ([2**40], [2**33], [2**20, 2**20]):
    body = json.dumps({"format": "oito model 1", "model": ["array", "<f8", shape, "C", 0]})[1:].encode()
    try:
        load({"model.json": b'{"sha256":"%%s",%%s' %% (_digest(body, b""), body), "arrays.bin": b""})
    except CorruptFile as error:
        assert "should start at 0" in str(error), error
        print("refused")
"""


def test_a_huge_declared_shape_takes_no_memory() -> None:
    limit = 4 * 2**30
    ran = subprocess.run(
        [sys.executable, "-c", _HUNGRY % (limit, limit)],
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert ran.stdout.split() == ["refused"] * 3

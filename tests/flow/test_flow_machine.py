"""What was true at training, and what is another now, in words."""

import copy
import json
import os
import subprocess
import sys
from typing import Any

from oito.flow.machine import describe, differences

THEN: dict[str, Any] = {
    "python": "CPython 3.11.7",
    "platform": {"system": "Linux", "machine": "x86_64", "libc": "glibc 2.36"},
    "cpu": {"model": "Some 9000", "flags": ["avx2", "avx512f", "fma"], "count": 2},
    "threads": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": None},
    "pools": [
        {
            "user_api": "blas",
            "internal_api": "openblas",
            "version": "0.3.30",
            "architecture": "Haswell",
            "num_threads": 1,
        }
    ],
    "packages": ["numpy==2.4.6", "scikit-learn==1.9.1"],
    "hashes": {"numpy": "a", "scikit-learn": "a"},
    "locale": {"TZ": None},
}


def changed(**parts: Any) -> list[str]:
    now = copy.deepcopy(THEN)
    for part, value in parts.items():
        now[part] = {**now[part], **value} if isinstance(value, dict) else value
    return differences(THEN, now)


def test_the_same_environment_has_no_differences() -> None:
    assert differences(THEN, copy.deepcopy(THEN)) == []
    assert differences(describe(), describe()) == []


def test_every_difference_is_one_sentence() -> None:
    assert changed(threads={"OMP_NUM_THREADS": "4"}) == ["threads: OMP_NUM_THREADS 1 → 4"]
    assert changed(threads={"MKL_NUM_THREADS": "2"}) == ["threads: MKL_NUM_THREADS unset → 2"]
    assert changed(python="CPython 3.12.1") == ["python: CPython 3.11.7 → CPython 3.12.1"]
    assert changed(platform={"machine": "aarch64"}) == ["platform: machine x86_64 → aarch64"]
    assert changed(cpu={"flags": ["avx2", "fma", "sve"]}) == ["cpu: flags gone: avx512f", "cpu: flags new: sve"]
    assert changed(cpu={"count": 8}) == ["cpu: count 2 → 8"]
    assert changed(locale={"TZ": "UTC"}) == ["locale: TZ unset → UTC"]
    assert changed(hashes={"numpy": "b", "polars": "c"}) == ["packages: numpy 2.4.6 has other files"]
    assert changed(pools=[{**THEN["pools"][0], "architecture": "Zen", "num_threads": 4}]) == [
        "pools: openblas kernel Haswell → Zen",
        "pools: openblas threads 1 → 4",
    ]
    assert changed(packages=["numpy==2.4.7", "polars==2.1.0", "scikit-learn==1.9.1"]) == [
        "packages: numpy 2.4.6 → 2.4.7",
        "packages: polars not there → 2.1.0",
    ]
    assert len(changed(cpu={"flags": []})[0].split(",")) == 3


def test_the_description_is_plain_data_that_json_keeps() -> None:
    found = describe()
    assert json.loads(json.dumps(found)) == found
    assert differences(found, json.loads(json.dumps(found))) == []
    assert found["python"].endswith(".".join(map(str, sys.version_info[:3])))


_SAY = """
import json, sys
import sklearn.linear_model
from oito.flow.machine import describe
json.dump(describe(), sys.stdout)
"""


def described(**settings: str) -> dict[str, Any]:
    env = {**{name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}, **settings}
    ran = subprocess.run([sys.executable, "-c", _SAY], env=env, capture_output=True, check=True, text=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_a_planted_thread_or_kernel_change_is_named() -> None:
    one = described(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    two = described(OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE="Prescott")
    said = differences(one, two)
    assert "threads: OMP_NUM_THREADS 1 → 2" in said
    assert "threads: OPENBLAS_CORETYPE unset → Prescott" in said
    assert any(sentence.startswith("packages: ") for sentence in said) is False
    assert any("scikit-learn==" in package for package in one["packages"])

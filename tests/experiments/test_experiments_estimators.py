"""The manual's page on estimators says what is so: a part of it is measured again here, and none is missing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest

import manual

HINT = "python docs/estimators.py writes it again"
PAGE = (manual.DOCS / "estimators.md").read_text()
KEPT = ["yes", "yes", "yes"]
FEW = ["BernoulliRBM", "GaussianProcessClassifier", "GridSearchCV", "HistGradientBoostingRegressor", "IsolationForest", "KMeans",
       "LGBMClassifier", "LogisticRegression", "PCA", "RandomForestClassifier", "SVC", "TSNE", "TfidfVectorizer", "XGBClassifier"]  # fmt: skip
AGAIN = ["DictVectorizer", "TargetEncoder"]


@pytest.fixture(scope="module")
def estimators() -> Iterator[Any]:
    """The script that writes the page."""
    spec = spec_from_file_location("estimators", manual.DOCS / "estimators.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules["estimators"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("estimators", None)
    sys.path[:] = [place for place in sys.path if place != str(manual.DOCS)]


def table() -> dict[str, list[str]]:
    """Return estimator → its three cells on the page."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE.partition("## All of them")[2], re.M)
    return {name: [cell.strip() for cell in cells] for name, *cells in rows}


def test_every_estimator_stands_on_the_page(estimators: Any) -> None:
    assert sorted(table()) == sorted(estimators.cases.names()), HINT


def test_what_is_not_reproduced_has_its_reason(estimators: Any) -> None:
    for name, cells in table().items():
        if cells != KEPT:
            assert f"`{name}`" in PAGE.partition("## All of them")[0], name
        assert (cells[2] == "yes") == (not estimators.cases.outside(name)), name


def test_the_page_counts_what_it_lists(estimators: Any) -> None:
    libraries, rows = estimators.cases.names(), table()
    for library, title in estimators.LIBRARIES.items():
        cells = [rows[name] for name, owner in libraries.items() if owner == library]
        counts = " | ".join(str(sum(row[place] == "yes" for row in cells)) for place in range(3))
        assert re.search(rf"^\| {title} [\d.]+ \| {len(cells)} \| {re.escape(counts)} \|$", PAGE, re.M), title


def test_more_than_nine_in_ten_that_can_answer_new_rows_are_made_again_bit_by_bit() -> None:
    kept = [name for name, cells in table().items() if cells == KEPT]
    assert len(kept) >= 189


def test_a_part_of_the_page_is_so(estimators: Any) -> None:
    found = {each.name: each.cells[1:] for each in estimators.measured([*FEW, *AGAIN], reproduced=AGAIN)}
    for name, cells in found.items():
        expected = table()[name]
        assert cells[:2] == expected[:2], name
        if name in AGAIN:
            assert cells == KEPT, name

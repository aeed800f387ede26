"""One edit at a time to small projects: what must run again does, what need not does not, and the symbol is named."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Case:
    """`files` is the project, each file under a line `# name.py`; `edit` is (old, new); `symbol` must be told as changed."""

    name: str
    verdict: str  # stale, fresh or error
    symbol: str
    files: str
    edit: tuple[str, str] = ("", "")


HELPED = """
# project.py
import helpers
def asset(rows): return helpers.clean(rows)
# helpers.py
import deep
LIMIT = 10
def clean(rows): return [deep.fix(r) for r in rows if r < LIMIT]
def unrelated(): return 1
# deep.py
def fix(row): return row + 1
"""
OWN = """
# project.py
# a comment
LIMIT = 10
def asset(rows):
    '''Doc.'''
    kept = [r for r in rows if r < LIMIT]  # why
    return kept
def unrelated(): return 1
"""
DECORATED = """
# project.py
import functools
FACTOR = 2
def scaled(by):
    def wrap(fn):
        @functools.wraps(fn)
        def inner(rows): return [by * r for r in fn(rows)]
        return inner
    return wrap
def clean(rows): return rows
@scaled(FACTOR)
def asset(rows):
    return clean(rows)
"""
CLASSES = """
# project.py
from base import Base
class Cleaner(Base):
    limit = 3
    def __init__(self, by): self.by = by
    def run(self, rows): return self.step(rows)
    @property
    def share(self): return 0.5
    @staticmethod
    def still(): return 1
    @classmethod
    def made(cls): return cls(1)
CLEANER = Cleaner(7)
def asset(rows): return CLEANER.run(rows)
# base.py
class Root:
    def deep(self): return 0
class Base(Root):
    def step(self, rows): return rows[1:]
"""
PACKAGE = """
# project.py
from tools import clean, pick
from tools.star import *
def asset(rows): return clean(rows) + shift(pick(rows))
# tools/__init__.py
from .impl import clean, first as pick
from . import impl
# tools/impl.py
from . import names
def clean(rows): return rows[names.START:]
def first(rows): return rows[:1]
def last(rows): return rows[-1:]
# tools/names.py
START = 1
# tools/star.py
def shift(rows): return rows
def other(rows): return rows
"""
DATA = """
# project.py
import dataclasses, enum, functools, re
class Color(enum.Enum):
    RED = 1
    BLUE = 2
def make(): return [1]
@dataclasses.dataclass(frozen=True)
class Config:
    size: int = 3
    items: list = dataclasses.field(default_factory=make)
CONFIG = Config()
PATTERN = re.compile("a+")
def add(a, b): return a + b
ADD = functools.partial(add, 1)
STEPS = {"a": lambda x: x + 1, "b": [lambda x: x * 2]}
@functools.cache
def slow(x): return x * 3
NAMES = {"x", "y", "z"}
@functools.singledispatch
def text(x): return str(x)
@text.register
def _(x: int): return "int"
def asset(rows, size=5, *, cut=2):
    c = CONFIG if Color.RED else PATTERN
    return [ADD(STEPS["a"](slow(r))) for r in rows if r in NAMES], c, text(1)
"""
LAZY = """
# project.py
def asset(rows):
    import helpers as h
    from deep.inner import fix, VALUE
    def nested(x):
        return h.clean(x)
    return [fix(nested(r)) for r in rows] + [VALUE]
# helpers.py
def clean(rows): return rows
def unrelated(): return 1
# deep/__init__.py
# deep/inner.py
VALUE = 1
def fix(row): return row
"""
WHOLE = """
# project.py
import helpers
def asset(rows, how): return getattr(helpers, how)(rows)
# helpers.py
'''Doc.'''
import threading
LOCK = threading.Lock()
def a(rows): return rows
def b(rows): return rows[1:]
"""
SWAP = """
# project.py
from math import floor as rounded, ceil as other
import helpers as one, more as two
from helpers import a as first, b as second
def asset(rows): return rounded(rows), other(rows), first(rows), second(rows), one.a(rows), two.a(rows)
# helpers.py
def a(rows): return rows
def b(rows): return rows[1:]
# more.py
def a(rows): return rows[2:]
"""
CONDITIONAL = """
# project.py
FAST = True
if FAST:
    def clean(rows): return rows
else:
    def clean(rows): return rows[1:]
try:
    import no_such_module
except ImportError:
    no_such_module = None
async def fetch(x): return x
def numbers(n):
    while n: yield n; n -= 1
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
def closure_of(k, f):
    def inner(x): return f(x) + k
    return inner
add = closure_of(2, lambda v: v * 5)
def asset(rows): return clean(rows), no_such_module, fetch, list(numbers(3)), even(2), add(1)
"""
LIBRARY = """
# project.py
import logging, contextvars, typing, contextlib
import numpy as np
import polars as pl
from typing import TYPE_CHECKING
LOG = logging.getLogger(__name__)
VAR = contextvars.ContextVar("v", default=1)
T = typing.TypeVar("T")
KIND = np.dtype("int32")
TABLE = np.array([1, 2, 3])
EXPR = pl.col("a") + 1
FRAME = pl.DataFrame({"a": [1, 2]})
def plus(x): return x + 1
@contextlib.contextmanager
def opened(): yield 1
vector = np.vectorize(plus)
def asset(rows):
    LOG.info("x"); VAR.get()
    with opened(): return rows.with_columns(EXPR), np.mean(TABLE), KIND, T, vector(1)
def queried(con): return con.sql("select a from FRAME")
asset.also = queried
"""
PICKLED = """
# project.py
from exprs import UDF, LAZY
def asset(rows): return rows.with_columns(UDF)
# exprs.py
import polars as pl
from steps import plus
UDF = pl.col("a").map_elements(lambda x: plus(x) * 2, return_dtype=pl.Int64)
LAZY = pl.LazyFrame({"a": [1]}).select(pl.col("a").map_batches(plus))
# steps.py
def plus(x): return x + 1
"""
TYPED = """
# project.py
import dataclasses
def asset(rows: list, n: int = 1) -> list:
    kept: list = rows
    return kept
"""
BROKEN = """
# project.py
import helpers
def inner(rows): return helpers.STATE, rows
def asset(rows): return inner(rows)
# helpers.py
import threading, io, socket
class Client:
    def __init__(self): self.gate = threading.Lock()
class Careful(Client):
    def __getstate__(self): return {}
STATE = 1
"""

CASES = [
    Case("nothing changed", "fresh", "", OWN),
    Case("own body", "stale", "project.asset", OWN, ("r < LIMIT", "r <= LIMIT")),
    Case("own constant", "stale", "project.LIMIT", OWN, ("LIMIT = 10", "LIMIT = 11")),
    Case("constant of another type", "stale", "project.LIMIT", OWN, ("LIMIT = 10", "LIMIT = 10.0")),
    Case("same constant written otherwise", "fresh", "", OWN, ("LIMIT = 10", "LIMIT = 5 * 2")),
    Case("comment", "fresh", "", OWN, ("# why", "# why not")),
    Case("comment lines above", "fresh", "", OWN, ("# a comment", "# a comment\n\n\n# more")),
    Case("docstring", "fresh", "", OWN, ("'''Doc.'''", "'''Another\n    text.'''")),
    Case("docstring gone", "fresh", "", OWN, ("'''Doc.'''", "pass")),
    Case("layout", "fresh", "", OWN, ("[r for r in rows if r < LIMIT]", "[\n r for r in rows\n if (r < LIMIT)]")),
    Case("unrelated function", "fresh", "", OWN, ("unrelated(): return 1", "unrelated(): return 2")),
    Case("renamed local", "stale", "project.asset", OWN.replace("kept", "some"), ("some", "more")),
    Case("helper in another module", "stale", "helpers.clean", HELPED, ("if r < LIMIT", "if r > LIMIT")),
    Case("helper of the helper", "stale", "deep.fix", HELPED, ("row + 1", "row + 2")),
    Case("constant in a helper module", "stale", "helpers.LIMIT", HELPED, ("LIMIT = 10", "LIMIT = 12")),
    Case("unrelated function in a helper module", "fresh", "", HELPED, ("return 1", "return 2")),
    Case("decorator's body", "stale", "project.scaled.<locals>.wrap.<locals>.inner", DECORATED, ("by * r", "by + r")),
    Case(
        "decorator's argument",
        "stale",
        "project.scaled.<locals>.wrap.<locals>.inner.<closure by>",
        DECORATED,
        ("R = 2", "R = 3"),
    ),
    Case(
        "decorated function",
        "stale",
        "project.asset",
        DECORATED,
        ("    return clean(rows)", "    return clean(rows)[1:]"),
    ),
    Case(
        "helper of a decorated function",
        "stale",
        "project.clean",
        DECORATED,
        ("clean(rows): return rows", "clean(rows): return 0"),
    ),
    Case("method", "stale", "project.Cleaner.run", CLASSES, ("self.step(rows)", "self.step(rows[1:])")),
    Case("object state", "stale", "project.CLEANER", CLASSES, ("Cleaner(7)", "Cleaner(8)")),
    Case("class attribute", "stale", "project.Cleaner.limit", CLASSES, ("limit = 3", "limit = 4")),
    Case("property", "stale", "project.Cleaner.share", CLASSES, ("return 0.5", "return 0.6")),
    Case("static method", "stale", "project.Cleaner.still", CLASSES, ("still(): return 1", "still(): return 2")),
    Case("class method", "stale", "project.Cleaner.made", CLASSES, ("return cls(1)", "return cls(2)")),
    Case("base class's method", "stale", "base.Base.step", CLASSES, ("rows[1:]", "rows[2:]")),
    Case("base of the base", "stale", "base.Root.deep", CLASSES, ("return 0\n", "return 9\n")),
    Case("another base class", "stale", "base.Base", CLASSES, ("class Base(Root)", "class Base")),
    Case("a comment in a class", "fresh", "", CLASSES, ("limit = 3", "limit = 3  # three\n")),
    Case(
        "re-exported function", "stale", "tools.impl.clean", PACKAGE, ("rows[names.START:]", "rows[names.START + 1:]")
    ),
    Case("re-export pointed elsewhere", "stale", "project.pick", PACKAGE, ("first as pick", "last as pick")),
    Case("relative import's constant", "stale", "tools.names.START", PACKAGE, ("START = 1", "START = 2")),
    Case(
        "star import", "stale", "tools.star.shift", PACKAGE, ("shift(rows): return rows", "shift(rows): return [rows]")
    ),
    Case("star import's other function", "fresh", "", PACKAGE, ("other(rows): return rows", "other(rows): return 1")),
    Case("partial's argument", "stale", "project.ADD", DATA, ("partial(add, 1)", "partial(add, 2)")),
    Case("partial's function", "stale", "project.add", DATA, ("return a + b", "return a - b")),
    Case("function in a dict", "stale", "project.<lambda>", DATA, ("x + 1", "x + 3")),
    Case("function in a list in a dict", "stale", "project.<lambda>#2", DATA, ("x * 2", "x * 4")),
    Case(
        "functions in a dict swapped",
        "stale",
        "project.STEPS",
        DATA,
        ('{"a": lambda x: x + 1,', '{"c": lambda x: x + 1,'),
    ),
    Case("cached helper", "stale", "project.slow", DATA, ("x * 3", "x * 6")),
    Case("cache around a helper", "stale", "project.slow", DATA, ("@functools.cache\n", "")),
    Case("enum member", "stale", "project.Color.RED", DATA, ("RED = 1", "RED = 3")),
    Case("dataclass default", "stale", "project.Config.size", DATA, ("size: int = 3", "size: int = 4")),
    Case("dataclass factory", "stale", "project.make", DATA, ("make(): return [1]", "make(): return [2]")),
    Case("dataclass option", "stale", "project.Config", DATA, ("frozen=True", "frozen=True, order=True")),
    Case("pattern", "stale", "project.PATTERN", DATA, ('"a+"', '"a*"')),
    Case("set member", "stale", "project.NAMES", DATA, ('"z"}', '"w"}')),
    Case("set order", "fresh", "", DATA, ('{"x", "y", "z"}', '{"z", "y", "x"}')),
    Case("default", "stale", "project.asset.<default size>", DATA, ("size=5", "size=6")),
    Case("keyword default", "stale", "project.asset.<default cut>", DATA, ("cut=2", "cut=3")),
    Case("default as expression", "fresh", "", DATA, ("size=5", "size=2 + 3")),
    Case("dispatched function", "stale", "project._", DATA, ('return "int"', 'return "integer"')),
    Case("import in the body", "stale", "helpers.clean", LAZY, ("clean(rows): return rows", "clean(rows): return 1")),
    Case("import in the body, other function", "fresh", "", LAZY, ("unrelated(): return 1", "unrelated(): return 2")),
    Case("name imported in the body", "stale", "deep.inner.fix", LAZY, ("fix(row): return row", "fix(row): return 1")),
    Case("value imported in the body", "stale", "deep.inner.VALUE", LAZY, ("VALUE = 1", "VALUE = 2")),
    Case("nested function", "stale", "project.asset", LAZY, ("h.clean(x)", "h.clean(x + 1)")),
    Case("getattr of a module", "stale", "helpers.b", WHOLE, ("rows[1:]", "rows[2:]")),
    Case("comment in a whole module", "fresh", "", WHOLE, ("'''Doc.'''", "'''Else.'''  # more")),
    Case("import of another name", "stale", "project.rounded", SWAP, ("floor as rounded", "trunc as rounded")),
    Case("two imports swapped", "stale", "project.first", SWAP, ("a as first, b as second", "b as first, a as second")),
    Case(
        "two modules swapped",
        "stale",
        "project.one",
        SWAP,
        ("helpers as one, more as two", "more as one, helpers as two"),
    ),
    Case("conditional definition", "stale", "project.clean", CONDITIONAL, ("FAST = True", "FAST = False")),
    Case("the branch not taken", "fresh", "", CONDITIONAL, ("rows[1:]", "rows[2:]")),
    Case(
        "optional import becomes a value",
        "stale",
        "project.no_such_module",
        CONDITIONAL,
        ("no_such_module = None", "no_such_module = 1"),
    ),
    Case("async helper", "stale", "project.fetch", CONDITIONAL, ("fetch(x): return x", "fetch(x): return 1")),
    Case("generator", "stale", "project.numbers", CONDITIONAL, ("n -= 1", "n -= 2")),
    Case("mutual recursion", "stale", "project.odd", CONDITIONAL, ("n != 0 and", "n > 0 and")),
    Case(
        "closure value",
        "stale",
        "project.closure_of.<locals>.inner.<closure k>",
        CONDITIONAL,
        ("closure_of(2,", "closure_of(3,"),
    ),
    Case("closure code", "stale", "project.<lambda>", CONDITIONAL, ("v * 5", "v * 6")),
    Case("logger", "fresh", "", LIBRARY, ("getLogger(__name__)", "getLogger('x')")),
    Case("context variable", "stale", "project.VAR", LIBRARY, ("default=1", "default=2")),
    Case("dtype", "stale", "project.KIND", LIBRARY, ("int32", "int64")),
    Case("array", "stale", "project.TABLE", LIBRARY, ("[1, 2, 3]", "[1, 2, 4]")),
    Case("expression", "stale", "project.EXPR", LIBRARY, ('pl.col("a") + 1', 'pl.col("a") + 2')),
    Case("function in an object of a library", "stale", "project.plus", LIBRARY, ("return x + 1", "return x + 2")),
    Case("function in an expression", "stale", "steps.plus", PICKLED, ("return x + 1", "return x + 2")),
    Case("lambda in an expression", "stale", "exprs", PICKLED, ("plus(x) * 2", "plus(x) * 3")),
    Case("comment above an expression", "fresh", "", PICKLED, ("from steps", "# more\n\nfrom steps")),
    Case(
        "function in a lazy frame",
        "stale",
        "steps.plus",
        PICKLED.replace("(UDF)", "(LAZY)"),
        ("return x + 1", "return x + 2"),
    ),
    Case("frame named in a query", "stale", "project.FRAME", LIBRARY, ('"a": [1, 2]', '"a": [1, 3]')),
    Case("context manager's body", "stale", "project.opened", LIBRARY, ("yield 1", "yield 2")),
    Case("comment beside library values", "fresh", "", LIBRARY, ("import logging", "# more\nimport logging")),
    Case("annotation", "fresh", "", TYPED, ("rows: list, n: int = 1) -> list", "rows: tuple, n: float = 1)")),
    Case("annotation of a local", "fresh", "", TYPED, ("kept: list = rows", "kept = rows")),
    Case(
        "annotation that names a package",
        "stale",
        "numpy",
        TYPED,
        ("import dataclasses\ndef asset(rows: list", "import numpy as np\ndef asset(rows: np.ndarray"),
    ),
    Case("lock in a global", "error", "helpers.STATE", BROKEN, ("STATE = 1", "STATE = threading.Lock()")),
    Case("lock in an object", "error", "helpers.STATE.gate", BROKEN, ("STATE = 1", "STATE = Client()")),
    Case(
        "file in a list",
        "error",
        "helpers.STATE['log'][1]",
        BROKEN,
        ("STATE = 1", "STATE = {'log': [1, open(__file__)]}"),
    ),
    Case("generator in a global", "error", "helpers.STATE", BROKEN, ("STATE = 1", "STATE = (n for n in range(3))")),
    Case("socket in a global", "error", "helpers.STATE", BROKEN, ("STATE = 1", "STATE = socket.socket()")),
    Case("lock that its object leaves out", "stale", "helpers.STATE", BROKEN, ("STATE = 1", "STATE = Careful()")),
]

CHILD = """
import json, sys, traceback, warnings
from pathlib import Path
from oito.errors import DeclarationError
from oito.flow.code import closure
sys.dont_write_bytecode = True
warnings.simplefilter("ignore")
answers = {}
import numpy, polars
known = set(sys.modules)
for folder in json.load(sys.stdin):
    sys.path.insert(0, folder)
    try:
        import project
        found = closure(project.asset, roots=[Path(folder)])
        parts = (found.code, found.values, found.packages)
        answers[folder] = {name: [part.get(name) for part in parts] for part in parts for name in part}
    except DeclarationError as error:
        answers[folder] = str(error)
    except Exception:
        answers[folder] = "crashed: " + traceback.format_exc()
    sys.path.remove(folder)
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
            del sys.modules[name]
json.dump(answers, sys.stdout)
"""

Answers = dict[str, Any]


def written(case: Case, folder: Path, *, edited: bool) -> None:
    text = case.files
    if edited and case.edit[0]:
        assert case.edit[0] in text, f"{case.name}: the edit does not fit"
        text = text.replace(*case.edit)
    file: Path | None = None
    for line in text.strip().splitlines(keepends=True):
        if line.startswith("# ") and line.strip().endswith(".py"):
            file = folder / line[2:].strip()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        else:
            assert file is not None
            file.write_text(file.read_text() + line)


def fingerprints(folders: list[Path], *, hash_seed: int) -> Answers:
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([str(folder) for folder in folders]),
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: Answers = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool, int], Any]:
    """All projects before and after their edit, read by two processes with different orders of sets."""
    home = tmp_path_factory.mktemp("torture")
    folders = {}
    for number, case in enumerate(CASES):
        for edited in (False, True):
            folders[case.name, edited] = home / f"{number}{'b' if edited else 'a'}"
            written(case, folders[case.name, edited], edited=edited)
    found = {seed: fingerprints(list(folders.values()), hash_seed=seed) for seed in (1, 2)}
    return {(*key, seed): found[seed][str(folder)] for key, folder in folders.items() for seed in (1, 2)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_edit_is_told_from_no_change(case: Case, answers: dict[tuple[str, bool, int], Any]) -> None:
    before, after = answers[case.name, False, 1], answers[case.name, True, 1]
    assert isinstance(before, dict), before
    if case.verdict == "error":
        assert isinstance(after, str)
        assert after.startswith(f"{case.symbol} is a ")
        return
    assert isinstance(after, dict), after
    changed = {symbol for symbol in before.keys() | after.keys() if before.get(symbol) != after.get(symbol)}
    assert ("stale" if changed else "fresh") == case.verdict, changed
    if case.verdict == "stale":
        assert case.symbol in changed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_process_gives_the_same_digests(case: Case, answers: dict[tuple[str, bool, int], Any]) -> None:
    assert answers[case.name, False, 1] == answers[case.name, False, 2]
    assert answers[case.name, True, 1] == answers[case.name, True, 2]

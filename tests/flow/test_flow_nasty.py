"""Edits that nobody expects: what Python lets classes, modules and values do behind a function's back."""

import pytest

from edits import Answers, Case, judge, read

MATCH = """
# project.py
LIMIT = 3
class Kind: BIG = 1
def asset(rows):
    match rows:
        case [first, *rest] if len(rest) > LIMIT: return first
        case {"a": Kind.BIG, **more}: return more
        case _: return (n := rows) and n
"""
CLASSY = """
# project.py
import abc, collections, typing
REGISTRY = {}
FACTOR = 2
class Root:
    def __init_subclass__(cls, **options): REGISTRY[cls.__name__] = options
    def __class_getitem__(cls, item): return item
class Meta(type):
    def __call__(cls, *given): return super().__call__(*given)
    def __len__(cls): return 3
class Step(Root, weight=1):
    def run(self, rows): return rows
class Made(metaclass=Meta):
    size = FACTOR * 2
    def run(self, rows): return rows
class Field:
    def __init__(self, name): self.name = name
    def __set_name__(self, owner, name): self.public = name
    def __get__(self, held, kind=None): return 7
class Holder:
    width = Field("w")
    class Inner:
        def deep(self): return 1
    def inner(self): return self.Inner().deep()
class Point(typing.NamedTuple):
    x: int = 1
    y: int = 2
    def norm(self): return self.x + self.y
class Shape(typing.TypedDict, total=False):
    side: int
Pair = collections.namedtuple("Pair", "a b", defaults=[1, 2])
class Base(abc.ABC):
    @abc.abstractmethod
    def go(self): ...
class Leaf(Base):
    def go(self): return 1
    def __getattr__(self, name): return name
    def __call__(self, rows): return rows
class Slotted:
    __slots__ = ("a",)
    def __init__(self): self.a = 1
SLOTTED = Slotted()
class Late: pass
def outside(self): return 1
Late.go = outside
Late.rate = 0.5
setattr(Late, "also", 4)
class Wide(Root): __match_args__ = ("a",)
def asset(rows):
    return (Step().run(rows), Made(), Holder().width, Holder().inner(), Point(), Shape(), Pair(), Leaf()(rows),
            SLOTTED.a, Late().go(), REGISTRY, Wide)
"""
TOOLS = """
# project.py
import contextlib, functools, itertools, operator, types
from functools import partial, reduce, singledispatch, wraps
GET = operator.attrgetter("a.b")
PICK = operator.itemgetter("x", 2)
CALL = operator.methodcaller("go", 1, by=2)
NS = types.SimpleNamespace(limit=3, inner=types.SimpleNamespace(deep=[1, 2]))
def clean(rows): return rows
def other(rows): return rows[1:]
PIPE = [clean, partial(other), {"k": (clean, [lambda r: r + 1])}]
COMPOSED = reduce(lambda f, g: lambda x: g(f(x)), [clean, other])
class Cached:
    @functools.lru_cache(maxsize=8)
    def slow(self, n): return n * 2
    @functools.cached_property
    def lazy(self): return 5
    @functools.singledispatchmethod
    def show(self, x): return "x"
    @show.register
    def _(self, x: int): return "int"
    half = functools.partialmethod(slow, 3)
CACHED = Cached()
def logged(level):
    def outer(fn):
        @wraps(fn)
        def inner(*given, **named):
            def innermost(): return level
            return innermost() and fn(*given, **named)
        return inner
    return outer
@logged(3)
@logged(level=4)
def helper(rows): return rows
class stateful:
    def __init__(self, fn): self.fn = fn; self.calls = 0
    def __call__(self, *given): return self.fn(*given)
@stateful
def wrapped(rows): return rows
@contextlib.contextmanager
def opened(n): yield n
class Timer(contextlib.ContextDecorator):
    def __enter__(self): return self
    def __exit__(self, *error): return False
@Timer()
def timed(rows): return rows
compare = functools.cmp_to_key(lambda a, b: a - b)
def chosen(rows): return rows
def rejected(rows): return rows[1:]
FAST = True
pick = chosen if FAST else rejected
async def agen(rows):
    async for r in rows: yield r
def asset(rows):
    with opened(1): pass
    return GET, PICK, CALL, NS, PIPE, COMPOSED, CACHED.slow(1), CACHED.lazy, CACHED.show(1), CACHED.half(), helper(rows), wrapped(rows), timed(rows), sorted(rows, key=compare), pick(rows), agen(rows)
"""
MODULES = """
# project.py
import importlib, sys
import plug
from pack import *
from pack import sub as renamed
import pack.deep.leaf
import table
import patched
patched.run = lambda rows: rows + [1]
try:
    from fastlib_not_there import speedy
except ImportError:
    from slow import speedy
if sys.version_info > (3, 20):
    from never import thing
else:
    from always import thing
from circle_a import start
def asset(rows):
    named = importlib.import_module("dynamic")
    import pack.deep.other as o
    return (named.go(rows), plug.anything, exported(rows), renamed.value(), pack.deep.leaf.leaf(), table.TABLE, patched.run(rows),
            patched.caller(rows), speedy(rows), thing, start(3), o.other())
# plug.py
WIDTH = 4
def __getattr__(name): return len(name) * WIDTH
# pack/__init__.py
from .inside import exported, hidden
from . import sub
__all__ = ["exported"]
# pack/inside.py
def exported(rows): return rows
def hidden(rows): return rows

# pack/sub.py
def value():
    from .deep import LEVEL
    from . import deep
    return LEVEL, deep.leaf
# pack/deep/__init__.py
LEVEL = 1
# pack/deep/leaf.py
def leaf(): return 1
# pack/deep/other.py
def other(): return 1
# table.py
TABLE = {}
for n in range(3):
    TABLE[n] = n * 2
def _fill(): TABLE["x"] = [1]
_fill()
# patched.py
def run(rows): return rows
def caller(rows): return run(rows)
# slow.py
def speedy(rows): return rows
# always.py
thing = 1
# circle_a.py
import circle_b
def start(n): return circle_b.back(n) if n else 0
# circle_b.py
import circle_a
def back(n): return circle_a.start(n - 1)
# dynamic.py
def go(rows): return rows
def strange(rows): return rows
"""
CONSTANTS = """
# project.py
import datetime, decimal, enum, fractions, pathlib, re, uuid, zoneinfo, ipaddress, collections, array, string, struct, functools
import numpy as np
import polars as pl
RX = re.compile("a+", re.I)
DEC = decimal.Decimal("1.0")
DAY = datetime.date(2013, 1, 1)
WHEN = datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC)
SPAN = datetime.timedelta(hours=1)
ZONE = zoneinfo.ZoneInfo("Europe/Lisbon")
PATH = pathlib.Path("a/b")
ID = uuid.UUID(int=1)
FS = frozenset({"a", "b"})
RAW = b"abc"
BUF = bytearray(b"abc")
FR = fractions.Fraction(1, 3)
RNG = range(0, 10, 2)
SL = slice(1, 5)
CX = 1 + 2j
NET = ipaddress.ip_network("10.0.0.0/8")
DQ = collections.deque([1, 2], maxlen=3)
DD = collections.defaultdict(list, {"a": [1]})
OD = collections.OrderedDict(a=1, b=2)
CT = collections.Counter("aab")
CM = collections.ChainMap({"a": 1}, {"b": 2})
AR = array.array("i", [1, 2])
TP = string.Template("$a")
ST = struct.Struct("<I")
class Auto(enum.Enum):
    A = enum.auto()
    B = enum.auto()
class Flags(enum.Flag):
    R = enum.auto()
    W = enum.auto()
NPF = np.float32(0.5)
ARR = np.arange(6).reshape(2, 3)
REC = np.array([(1, "a")], dtype=[("n", "i4"), ("s", "U1")])
WHEN_EXPR = pl.when(pl.col("a") > 1).then(pl.lit("x")).otherwise(pl.lit(None))
SER = pl.Series("s", [1, None, 3])
DT = pl.Datetime("us", "UTC")
SCH = pl.Schema({"a": pl.Int64})
RNGGEN = np.random.default_rng(7)
NAN = float("nan")
DEEP = {"a": [{"b": (1, {"c": {2, 3}})}], None: ..., (1, 2): b"x"}
BIG = 10 ** 30
TEXT = f"{DEC} of {DAY}"
def asset(rows):
    return (RX, DEC, DAY, WHEN, SPAN, ZONE, PATH, ID, FS, RAW, BUF, FR, RNG, SL, CX, NET, DQ, DD, OD, CT, CM, AR, TP, ST, Auto.A,
            Flags.R, NPF, ARR, REC, WHEN_EXPR, SER, DT, SCH, RNGGEN, NAN, DEEP, BIG, TEXT)
"""
EXECUTED = """
# project.py
import textwrap
RATE = 2
SOURCE = "def built(rows): return rows"
exec(SOURCE)
TEMPLATE = '''
def made(rows): return [r * RATE for r in rows]
'''
space = {}
exec(TEMPLATE, globals(), space)
made = space["made"]
calc = eval("lambda x: x + 1")
def asset(rows): return built(rows), made(rows), calc(1)
"""
RUNTIME = """
# project.py
import helpers
RATE = 2
UNUSED = 3
def asset(rows):
    code = "RATE * 2"
    return eval(code), rows
# helpers.py
def a(): return 1
"""
DEEPER = """
# project.py
STEP = 1
def make(n):
    def middle(k):
        def inner(x): return x + n + k + STEP
        return inner
    return middle
add = make(1)(2)
def consumer(rows, key=lambda r: r * STEP, *more, by=(lambda: 4)): return [key(r) for r in rows]
def recursive(n): return recursive(n - 1) if n else STEP
class Counter:
    count = 0
    @classmethod
    def next(cls): cls.count += 1; return cls.count
    def __enter__(self): return self
    def __exit__(self, *e): return None
    def __iter__(self): return iter([1])
    def __getitem__(self, k): return 2
    def __add__(self, other): return 3
    def __eq__(self, other): return True
    __hash__ = None
    def __repr__(self): return "counter"
gen = {name: (lambda x, name=name: (name, x)) for name in ("a", "b")}
def deleted(rows):
    global STEP
    del rows
    return [y for y in (STEP, ) if (z := y)]
def asset(rows):
    def local(x):
        def deepest(): return add(x)
        return deepest()
    with Counter() as c: pass
    return local(1), consumer(rows), recursive(2), c[1], c + 1, gen["a"](1), deleted(rows), f"{STEP:>{STEP}}", {**gen}, [*rows], assert_it(rows)
def assert_it(rows):
    assert rows, "message"
    return rows
"""
ENUMS = """
# project.py
import dataclasses, enum, functools, msgspec, typing
SIZE = 3
def make(): return [SIZE]
class Color(enum.Enum):
    RED = 1
    BLUE = 2
    def __str__(self): return "c"
    def __call__(self, rows): return rows
    @classmethod
    def _missing_(cls, value): return cls.RED
    @property
    def label(self): return "l"
class Ordered(str, enum.Enum):
    A = "a"
    def __lt__(self, other): return True
class Op(enum.Enum):
    ADD = functools.partial(lambda a, b: a + b)
    MUL = enum.member(lambda a, b: a * b)
@dataclasses.dataclass
class Config:
    size: int = SIZE
    items: list = dataclasses.field(default_factory=lambda: [SIZE, 1])
    total: int = dataclasses.field(init=False, default=0)
    def __post_init__(self): self.total = self.size + 1
class Message(msgspec.Struct):
    n: int = SIZE
    tags: list = msgspec.field(default_factory=make)
    def double(self): return self.n * 2
@typing.runtime_checkable
class Runs(typing.Protocol):
    def run(self, rows): return 1
def marked(kind):
    kind.mark = "m"
    return kind
@marked
class Marked:
    @property
    def value(self): return 1
    @value.setter
    def value(self, new): self.held = new
    __call__ = functools.partialmethod(lambda self, n: n, 2)
    also = staticmethod(make)
Dyn = type("Dyn", (Config,), {"rate": 0.5, "go": lambda self: 1})
bound = Marked().value
go = functools.partial(Config(4).__post_init__)
def asset(rows):
    return Color(1), Ordered.A, Op.ADD, Config(), Message(), isinstance(rows, Runs), Marked(), Dyn(), go
"""
INDIRECT = """
# project.py
import sys, helpers, random, functools
import numpy as np
import registry, steps
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.linear_model import LogisticRegression
h = helpers
MODS = [helpers.sub]
def half(x): return x / 2
UFUNC = np.frompyfunc(half, 1, 1)
RNG = random.Random(3)
PIPE = Pipeline([("scale", StandardScaler()), ("fit", LogisticRegression(C=1.0))])
class Plugin:
    def run(self, rows): return rows
    @classmethod
    def every(cls): return [kind().run(1) for kind in cls.__subclasses__()]
class First(Plugin):
    def run(self, rows): return [1]
def by_name(rows): return rows
def outer_state():
    global LEVEL
    LEVEL = 5
outer_state()
def asset(rows):
    return (h.clean(rows), MODS[0].deep(), UFUNC(rows), RNG, PIPE, registry.STEPS["a"](rows), Plugin.every(),
            sys.modules["named"].go(rows), LEVEL)
import named
# helpers.py
from helping import sub
def clean(rows): return rows
# helping/__init__.py
# helping/sub.py
def deep(): return 1
# registry.py
STEPS = {}
def register(name):
    def keep(fn):
        STEPS[name] = fn
        return fn
    return keep
# steps.py
from registry import register
@register("a")
def first(rows): return rows
# named.py
def go(rows): return rows
"""
SELF = """
# project.py
import sys
def by_name(rows): return rows
def asset(rows): return sys.modules[__name__].by_name(rows)
"""
VARS = """
# project.py
import helpers, operator
def asset(rows): return vars(helpers)["a"](rows), helpers.__dict__["b"], operator.attrgetter("c")(helpers)
# helpers.py
def a(rows): return rows
def b(rows): return rows
def c(rows): return rows
"""
DIR = """
# project.py
import helpers
def asset(rows): return helpers.__dict__["b"](rows)
# helpers.py
def b(rows): return rows
"""
HINTS = """
# project.py
import functools, inspect, typing
def helper(a: int, b: str) -> float: return 1.0
def typed(fn):
    kinds = typing.get_type_hints(fn)
    @functools.wraps(fn)
    def inner(*given): return kinds, fn(*given)
    return inner
@typed
def converted(a: int): return a
def asset(rows): return helper.__annotations__, converted(1), inspect.signature(helper)
"""
PROPS = """
# project.py
import contextlib, threading, collections.abc, weakref, warnings, os, string
from functools import cached_property
from operator import add as plus, sub as minus
from collections import UserDict, UserList
class Table(UserDict):
    def __missing__(self, key): return 1
TABLE = Table(a=1)
class Frozen(tuple):
    def total(self): return sum(self)
FROZEN = Frozen((1, 2))
class Number(int):
    unit = "km"
    def __add__(self, o): return Number(int(self) * o)
N = Number(3)
class Text(str): pass
T = Text("abc")
class Mapping(dict):
    def __getitem__(self, k): return 1
M = Mapping(a=1)
class Lazy:
    def __init__(self): self.cache = {}
    def __getstate__(self): return {}
LAZY = Lazy()
class Reduces:
    def __init__(self, n): self.n = n
    def __reduce__(self): return (Reduces, (self.n,))
R = Reduces(1)
class WithDict(dict): pass
W = WithDict(a=1); W.extra = 5
class Err(ValueError):
    code = 3
    def __str__(self): return "err"
class Props:
    x = property(lambda self: 1)
    y = property(fget=None, doc="d")
    z = cached_property(lambda self: 4)
FN = plus
ENC = str.upper
MM = "abc".join
DK = dict.fromkeys(["a", "b"])
EXC = ValueError("text", 3)
MV = memoryview(b"abc")
def asset(rows):
    try: pass
    except (Err, KeyError) as e: return e
    with contextlib.suppress(Err): pass
    return TABLE, FROZEN, N, T, M, LAZY, R, W, Props(), FN, ENC, MM, DK, EXC, MV
"""
UF = """
# project.py
import numpy as np
def asset(rows): return rows
"""
T = """
# project.py
import functools
from functools import partial
CALL = partial(print, 1)
def asset(rows):
    yield from (x for x in rows)
    async def inner(): return await rows
    while (chunk := rows.pop()) is not None: yield chunk
    else: yield 1
    try: yield 2
    except* ValueError as group: yield group
    finally: yield 3
"""
BR = """
# project.py
import typing
FAST = True
if FAST:
    class Shape(typing.TypedDict):
        side: int
else:
    class Shape(typing.TypedDict):
        edge: int
def asset(rows): return Shape.__required_keys__
"""
UFN = """
# project.py
import numpy as np
def half(x): return x / 2
HALF = np.frompyfunc(half, 1, 1)
def asset(rows): return HALF(rows)
"""
PLAIN = """
# project.py
from numpy import add as op
def asset(rows): return op(rows)
"""
OF_PANDAS = """
# project.py
import pandas as pd, pyarrow as pa, numpy as np, polars as pl, re, types, functools
from sklearn.linear_model import LogisticRegression
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, FunctionTransformer
from sklearn.pipeline import make_pipeline
DF = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.to_datetime(["2013-01-01", "2013-01-02"])})
IDX = pd.Index(["a", "b"])
SERIES = pd.Series([1.0, None], name="s")
TABLE = pa.table({"a": [1, 2]})
SCHEMA = pa.schema([("a", pa.int64())])
FITTED = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
def half(x): return x / 2
PRE = make_pipeline(ColumnTransformer([("one", OneHotEncoder(handle_unknown="ignore"), ["b"]), ("f", FunctionTransformer(half), ["a"])]), LogisticRegression(C=0.5))
DTYPES = {"a": pl.Int64, "b": pl.List(pl.String)}
STAMP = pd.Timestamp("2013-01-01", tz="UTC")
DELTA = pd.Timedelta("1h")
CAT = pd.CategoricalDtype(["a", "b"], ordered=True)
def asset(rows): return DF, IDX, SERIES, TABLE, SCHEMA, FITTED, PRE, DTYPES, STAMP, DELTA, CAT
"""
REGISTERED = """
# project.py
import weakref, threading, queue, asyncio, concurrent.futures, collections, types, typing, dataclasses, abc
import helpers
Handler = typing.Callable[[int], int]
HANDLERS: dict[str, Handler] = {}
def on(name):
    def keep(fn): HANDLERS[name] = fn; return fn
    return keep
@on("a")
def first(x): return x
class Base(abc.ABC):
    registry: typing.ClassVar[dict] = {}
    def __init_subclass__(cls): Base.registry[cls.__name__] = cls
class One(Base):
    def go(self): return 1
class Lazy:
    @property
    def model(self):
        if not hasattr(self, "_m"): self._m = helpers.build()
        return self._m
LAZY = Lazy()
@dataclasses.dataclass(slots=True, frozen=True)
class Slots:
    a: int = 1
    def area(self): return self.a
S = Slots(3)
WS = types.MappingProxyType({"k": helpers.build})
class Ctx:
    def __enter__(self): return self
    def __exit__(self, *a): return False
    async def __aenter__(self): return 1
def call(fn, /, *args, **kwargs): return fn(*args, **kwargs)
def through(rows): return call(helpers.build)
def string_dispatch(name): return globals()[name]
class Meta(type):
    def __getattr__(cls, name): return helpers.lookup(name)
class Dyn(metaclass=Meta): pass
def conditional(rows):
    return (helpers.build if rows else helpers.other)()
def asset(rows):
    with Ctx(): pass
    return HANDLERS["a"](1), Base.registry, LAZY.model, S.area(), WS["k"](), through(rows), Dyn.anything, conditional(rows)
# helpers.py
def build(): return 1
def other(): return 2
def lookup(name): return name
"""
OF_LIBRARIES = """
# project.py
import polars as pl, polars.selectors as cs, datetime, re, numpy as np, itertools, heapq, bisect, statistics, decimal, math, random, hashlib, operator
SEL = cs.numeric() | cs.by_name("a")
AGG = [pl.col("a").sum().alias("s"), pl.col("b").rolling_mean(3)]
WIN = pl.col("a").sum().over("b", order_by="c")
CASEEXPR = pl.when(pl.col("x").is_in([1, 2])).then(1)
STRUCT = pl.struct(a=pl.col("a"), b=pl.lit(1, dtype=pl.Int8))
SQLX = pl.sql_expr("a + 1")
ENUM = pl.Enum(["a", "b"])
LF = pl.LazyFrame({"a": [1]}).filter(pl.col("a") > 0)
CFG = {"cols": ("a", "b"), "fn": np.log1p, "cmp": operator.lt, "key": str.lower, "typ": int, "rx": re.compile(r"x"), "nan": math.nan}
POLY = np.poly1d([1, 2])
REC = np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)])
MASK = np.ma.array([1, 2], mask=[0, 1])
STRS = np.array(["a", "b"], dtype=np.dtypes.StringDType())
RS = np.random.RandomState(3)
CYC = tuple(itertools.islice(itertools.cycle([1, 2]), 3))
GROUPS = {k: list(v) for k, v in itertools.groupby("aab")}
def asset(rows): return SEL, AGG, WIN, CASEEXPR, STRUCT, SQLX, ENUM, LF, CFG, POLY, REC, MASK, STRS, RS, CYC, GROUPS
"""

CASES = [
    Case('match guard constant', 'stale', 'value project.LIMIT: 3 → 4  (project.py:1)', MATCH, ('LIMIT = 3', 'LIMIT = 4')),
    Case('match pattern', 'stale', 'code project.asset changed  (project.py:3)', MATCH, ('[first, *rest]', '[first, second, *rest]')),
    Case('match value pattern class', 'stale', 'value project.Kind.BIG: 1 → 2  (project.py:2)', MATCH, ('BIG = 1', 'BIG = 2')),
    Case('match default', 'stale', 'code project.asset changed  (project.py:3)', MATCH, ('and n', 'or n')),
    Case('walrus renamed', 'stale', 'code project.asset changed  (project.py:3)', MATCH, ('(n := rows) and n', '(m := rows) and m')),
    Case('match comment', 'fresh', '', MATCH, ('case _:', 'case _:  # else\n           ')),
    Case('__init_subclass__ body', 'stale', 'code project.Root.__init_subclass__ changed  (project.py:5)', CLASSY, ('= options', '= dict(options)')),
    Case('__init_subclass__ argument', 'stale', 'code project.Step changed  (project.py:10)', CLASSY, ('weight=1', 'weight=2')),
    Case('__class_getitem__', 'stale', 'code project.Root.__class_getitem__ changed  (project.py:6)', CLASSY, ('return item', 'return [item]')),
    Case('metaclass __call__', 'stale', 'code project.Meta.__call__ changed  (project.py:8)', CLASSY, ('super().__call__(*given)', 'super().__call__()')),
    Case('metaclass special', 'stale', 'code project.Meta.__len__ changed  (project.py:9)', CLASSY, ('return 3', 'return 4')),
    Case('constant: in a class body', 'stale', 'value project.FACTOR: 2 → 3  (project.py:3)', CLASSY, ('FACTOR = 2', 'FACTOR = 3')),
    Case('descriptor get', 'stale', 'code project.Field.__get__ changed  (project.py:18)', CLASSY, ('return 7', 'return 8')),
    Case('descriptor argument', 'stale', "value project.Holder.width: Field(name='w', public='width') → Field(name='v', public='width')  (project.py:19)", CLASSY, ('Field("w")', 'Field("v")')),
    Case('nested class', 'stale', 'code project.Holder.Inner.deep changed  (project.py:22)', CLASSY, ('def deep(self): return 1', 'def deep(self): return 2')),
    Case('NamedTuple default', 'stale', "value project.Point._field_defaults: {'x': 1, 'y': 2} → {'x': 5, 'y': 2}  (project.py:24)", CLASSY, ('x: int = 1', 'x: int = 5')),
    Case('NamedTuple method', 'stale', 'code project.Point.norm changed  (project.py:27)', CLASSY, ('self.x + self.y', 'self.x - self.y')),
    Case('NamedTuple field order', 'stale', "value project.Point._field_defaults: {'x': 1, 'y': 2} #… → {'x': 1, 'y': 2} #…  (project.py:24)", CLASSY, ('    x: int = 1\n    y: int = 2', '    y: int = 2\n    x: int = 1')),
    Case('TypedDict key', 'stale', 'code project.Shape changed  (project.py:28)', CLASSY, ('side: int', 'edge: int')),
    Case('TypedDict total', 'stale', 'code project.Shape changed  (project.py:28)', CLASSY, ('total=False', 'total=True')),
    Case('namedtuple default', 'stale', 'value namedtuple_Pair.<lambda>.<default b>: 2 → 3  (<string>:1)', CLASSY, ('defaults=[1, 2]', 'defaults=[1, 3]')),
    Case('namedtuple fields', 'stale', 'value namedtuple_Pair.<lambda>.<default a>: 1 → 2  (<string>:1)', CLASSY, ('"a b"', '"b a"')),
    Case('abstract base', 'stale', 'code project.Base.go changed  (project.py:33)', CLASSY, ('def go(self): ...', 'def go(self): return 2')),
    Case('implementation of abstract', 'stale', 'code project.Leaf.go changed  (project.py:35)', CLASSY, ('class Leaf(Base):\n    def go(self): return 1', 'class Leaf(Base):\n    def go(self): return 2')),
    Case('__getattr__', 'stale', 'code project.Leaf.__getattr__ changed  (project.py:36)', CLASSY, ('return name', 'return name * 2')),
    Case('__call__ of instance', 'stale', 'code project.Leaf.__call__ changed  (project.py:37)', CLASSY, ('__call__(self, rows): return rows', '__call__(self, rows): return rows[1:]')),
    Case('slots state', 'stale', 'code project.Slotted.__init__ changed  (project.py:40)', CLASSY, ('self.a = 1', 'self.a = 2')),
    Case('method set after class', 'stale', 'code project.outside changed  (project.py:43)', CLASSY, ('outside(self): return 1', 'outside(self): return 2')),
    Case('attribute set after class', 'stale', 'value project.Late.rate: 0.5 → 0.6  (project.py:42)', CLASSY, ('Late.rate = 0.5', 'Late.rate = 0.6')),
    Case('attribute set by setattr', 'stale', 'value project.Late.also: 4 → 5  (project.py:42)', CLASSY, ('"also", 4', '"also", 5')),
    Case('__match_args__', 'stale', 'code project.Wide changed  (project.py:47)', CLASSY, ('("a",)\ndef', '("b",)\ndef')),
    Case('class comment and docstring', 'fresh', '', CLASSY, ('class Late: pass', "class Late:\n    '''Late.'''\n    # why")),
    Case('attrgetter', 'stale', "value project.GET: operator.attrgetter('a.b') → operator.attrgetter('a.c')  (project.py:3)", TOOLS, ('"a.b"', '"a.c"')),
    Case('itemgetter', 'stale', "value project.PICK: operator.itemgetter('x', 2) → operator.itemgetter('x', 3)  (project.py:4)", TOOLS, ('"x", 2', '"x", 3')),
    Case('methodcaller', 'stale', "value project.CALL: operator.methodcaller('go', 1, by=2) → operator.methodcaller('go', 1, by=3)  (project.py:5)", TOOLS, ('by=2', 'by=3')),
    Case('simple namespace', 'stale', 'value project.NS: namespace(limit=3, inner=namespace(deep=[1, 2])) → namespace(limit=4, inner=namespace(deep=[1, 2]))  (project.py:6)', TOOLS, ('limit=3', 'limit=4')),
    Case('nested namespace', 'stale', 'value project.NS: namespace(limit=3, inner=namespace(deep=[1, 2])) → namespace(limit=3, inner=namespace(deep=[1, 3]))  (project.py:6)', TOOLS, ('deep=[1, 2]', 'deep=[1, 3]')),
    Case('pipe order', 'stale', "value project.PIPE: [<function clean>, functools.partial(<function other>), {'k… → [<function other>, functools.partial(<function clean>), {'k…  (project.py:9)", TOOLS, ('[clean, partial(other)', '[other, partial(clean)')),
    Case('lambda in tuple in dict', 'stale', 'code project.<lambda> changed  (project.py:9)', TOOLS, ('lambda r: r + 1', 'lambda r: r + 2')),
    Case('composed by reduce: code', 'stale', 'code project.<lambda>.<locals>.<lambda> changed  (project.py:10)', TOOLS, ('g(f(x))', 'f(g(x))')),
    Case('composed by reduce: order', 'stale', 'value project.<lambda>.<locals>.<lambda>.<closure f>: project.clean → project.other  (project.py:10)', TOOLS, ('[clean, other])', '[other, clean])')),
    Case('lru_cache on method', 'stale', 'code project.Cached.slow changed  (project.py:13)', TOOLS, ('return n * 2', 'return n * 3')),
    Case('lru_cache size', 'stale', 'code project.Cached.slow changed  (project.py:13)', TOOLS, ('maxsize=8', 'maxsize=9')),
    Case('cached_property', 'stale', 'code project.Cached.lazy changed  (project.py:15)', TOOLS, ('return 5', 'return 6')),
    Case('singledispatchmethod', 'stale', 'code project.Cached._ changed  (project.py:19)', TOOLS, ('return "int"', 'return "integer"')),
    Case('partialmethod', 'stale', 'value project.Cached.half: functools.partialmethod(<fun...ject>, 3, ) → functools.partialmethod(<fun...ject>, 4, )  (project.py:11)', TOOLS, ('partialmethod(slow, 3)', 'partialmethod(slow, 4)')),
    Case('two decorators: argument', 'stale', 'code project.helper changed  (project.py:32)', TOOLS, ('@logged(level=4)', '@logged(level=5)')),
    Case('two decorators: innermost', 'stale', 'code project.logged.<locals>.outer.<locals>.inner changed  (project.py:25)', TOOLS, ('innermost(): return level', 'innermost(): return -level')),
    Case('two decorators: wrapped', 'stale', 'code project.helper changed  (project.py:32)', TOOLS, ('helper(rows): return rows', 'helper(rows): return rows[1:]')),
    Case('two decorators swapped', 'stale', 'code project.helper changed  (project.py:32)', TOOLS, ('@logged(3)\n@logged(level=4)', '@logged(4)\n@logged(level=3)')),
    Case('class decorator instance: wrapped', 'stale', 'code project.wrapped changed  (project.py:37)', TOOLS, ('wrapped(rows): return rows', 'wrapped(rows): return rows[1:]')),
    Case('class decorator instance: call', 'stale', 'code project.stateful.__call__ changed  (project.py:35)', TOOLS, ('return self.fn(*given)', 'return self.fn(*given)[1:]')),
    Case('context manager', 'stale', 'code project.opened changed  (project.py:39)', TOOLS, ('yield n\n', 'yield n + 1\n')),
    Case('context decorator', 'stale', 'code project.Timer.__exit__ changed  (project.py:42)', TOOLS, ('return False', 'return True')),
    Case('under a context decorator', 'stale', 'code project.timed changed  (project.py:44)', TOOLS, ('timed(rows): return rows', 'timed(rows): return rows[1:]')),
    Case('cmp_to_key', 'stale', 'code project.<lambda>#2 changed  (project.py:45)', TOOLS, ('a - b', 'b - a')),
    Case('conditional expression', 'stale', 'value project.pick: project.chosen → project.rejected  (project.py:49)', TOOLS, ('FAST = True', 'FAST = False')),
    Case('conditional expression, branch not taken', 'fresh', '', TOOLS, ('rejected(rows): return rows[1:]', 'rejected(rows): return rows[2:]')),
    Case('async generator', 'stale', 'code project.agen changed  (project.py:50)', TOOLS, ('yield r\n', 'yield [r]\n')),
    Case('module __getattr__', 'stale', 'value plug.anything: 32 → 12', MODULES, ('len(name) * WIDTH', 'len(name) + WIDTH')),
    Case('constant: of module __getattr__', 'stale', 'value plug.anything: 32 → 40', MODULES, ('WIDTH = 4', 'WIDTH = 5')),
    Case('__all__', 'fresh', '', MODULES, ('["exported"]', '["exported", "hidden"]')),
    Case('star import narrowed to another', 'stale', 'code pack.inside.exported is gone  (inside.py:1)', MODULES, ('["exported"]', '["hidden"]')),
    Case('star import body', 'stale', 'code pack.inside.exported changed  (inside.py:1)', MODULES, ('exported(rows): return rows', 'exported(rows): return rows[1:]')),
    Case('relative import in a body', 'stale', 'value pack.deep.LEVEL: 1 → 2  (__init__.py:1)', MODULES, ('LEVEL = 1', 'LEVEL = 2')),
    Case("dotted module's function", 'stale', 'code pack.deep.leaf.leaf changed  (leaf.py:1)', MODULES, ('leaf(): return 1', 'leaf(): return 2')),
    Case('dotted import in a body', 'stale', 'code pack.deep.other.other changed  (other.py:1)', MODULES, ('other(): return 1', 'other(): return 2')),
    Case('dict filled in a loop', 'stale', "value table.TABLE: {0: 0, 1: 2, 2: 4, 'x': [1]} → {0: 0, 1: 3, 2: 6, 'x': [1]}  (table.py:3)", MODULES, ('n * 2', 'n * 3')),
    Case('dict filled by a function', 'stale', "value table.TABLE: {0: 0, 1: 2, 2: 4, 'x': [1]} → {0: 0, 1: 2, 2: 4, 'x': [2]}  (table.py:3)", MODULES, ('= [1]', '= [2]')),
    Case('monkeypatch at import', 'stale', 'code project.<lambda> changed  (project.py:8)', MODULES, ('rows + [1]', 'rows + [2]')),
    Case("monkeypatched function's old body", 'fresh', '', MODULES, ('# patched.py\ndef run(rows): return rows', '# patched.py\ndef run(rows): return rows[1:]')),
    Case('fallback import', 'stale', 'code slow.speedy changed  (slow.py:1)', MODULES, ('speedy(rows): return rows', 'speedy(rows): return rows[1:]')),
    Case('conditional import', 'stale', 'value project.thing: 1 → 2  (project.py:16)', MODULES, ('thing = 1', 'thing = 2')),
    Case('circular imports', 'stale', 'code circle_b.back changed  (circle_b.py:2)', MODULES, ('n - 1', 'n - 2')),
    Case('import_module', 'stale', 'code dynamic.go changed  (dynamic.py:1)', MODULES, ('go(rows): return rows', 'go(rows): return rows[1:]')),
    Case('import_module, other function', 'stale', 'code dynamic.strange changed  (dynamic.py:2)', MODULES, ('strange(rows): return rows', 'strange(rows): return 1')),
    Case('constant: regex flag', 'stale', "value project.RX: re.compile('a+', re.IGNORECASE) → re.compile('a+', re.MULTILINE)  (project.py:4)", CONSTANTS, ('re.I', 're.M')),
    Case('constant: decimal scale', 'stale', "value project.DEC: Decimal('1.0') → Decimal('1.00')  (project.py:5)", CONSTANTS, ('("1.0")', '("1.00")')),
    Case('constant: date', 'stale', 'value project.DAY: datetime.date(2013, 1, 1) → datetime.date(2013, 1, 2)  (project.py:6)', CONSTANTS, ('DAY = datetime.date(2013, 1, 1)', 'DAY = datetime.date(2013, 1, 2)')),
    Case('constant: datetime zone', 'stale', "value project.WHEN: datetime.datetime(2013, 1, 1...tzinfo=datetime.timezone.utc) → datetime.datetime(2013, 1, 1...oneInfo(key='Europe/London'))  (project.py:7)", CONSTANTS, ('tzinfo=datetime.UTC', "tzinfo=zoneinfo.ZoneInfo('Europe/London')")),
    Case('constant: timedelta', 'stale', 'value project.SPAN: datetime.timedelta(seconds=3600) → datetime.timedelta(seconds=7200)  (project.py:8)', CONSTANTS, ('hours=1', 'hours=2')),
    Case('constant: zone', 'stale', "value project.ZONE: zoneinfo.ZoneInfo(key='Europe/Lisbon') → zoneinfo.ZoneInfo(key='Europe/Berlin')  (project.py:9)", CONSTANTS, ('Lisbon', 'Berlin')),
    Case('constant: path', 'stale', "value project.PATH: PosixPath('a/b') → PosixPath('a/c')  (project.py:10)", CONSTANTS, ('"a/b"', '"a/c"')),
    Case('constant: uuid', 'stale', "value project.ID: UUID('00000000-0000-0000-0000-000000000001') → UUID('00000000-0000-0000-0000-000000000002')  (project.py:11)", CONSTANTS, ('int=1', 'int=2')),
    Case('constant: frozenset', 'stale', "value project.FS: frozenset({'a', 'b'}) → frozenset({'a', 'c'})  (project.py:12)", CONSTANTS, ('{"a", "b"})', '{"a", "c"})')),
    Case('constant: bytes', 'stale', "value project.RAW: b'abc' → b'abd'  (project.py:13)", CONSTANTS, ('RAW = b"abc"', 'RAW = b"abd"')),
    Case('constant: bytearray', 'stale', "value project.BUF: bytearray(b'abc') → bytearray(b'abd')  (project.py:14)", CONSTANTS, ('(b"abc")', '(b"abd")')),
    Case('constant: fraction', 'stale', 'value project.FR: Fraction(1, 3) → Fraction(2, 3)  (project.py:15)', CONSTANTS, ('(1, 3)', '(2, 3)')),
    Case('constant: range', 'stale', 'value project.RNG: range(0, 10, 2) → range(0, 10, 3)  (project.py:16)', CONSTANTS, ('10, 2', '10, 3')),
    Case('constant: slice', 'stale', 'value project.SL: slice(1, 5, None) → slice(1, 6, None)  (project.py:17)', CONSTANTS, ('(1, 5)', '(1, 6)')),
    Case('constant: complex', 'stale', 'value project.CX: (1+2j) → (1+3j)  (project.py:18)', CONSTANTS, ('2j', '3j')),
    Case('constant: network', 'stale', "value project.NET: IPv4Network('10.0.0.0/8') → IPv4Network('11.0.0.0/8')  (project.py:19)", CONSTANTS, ('10.0.0.0/8', '11.0.0.0/8')),
    Case('constant: deque', 'stale', 'value project.DQ: deque([1, 2]) #… → deque([1, 2]) #…  (project.py:20)', CONSTANTS, ('maxlen=3', 'maxlen=4')),
    Case('constant: defaultdict factory', 'stale', "value project.DD: defaultdict(<class 'list'>, {'a': [1]}) → defaultdict(<class 'tuple'>, {'a': [1]})  (project.py:21)", CONSTANTS, ('defaultdict(list', 'defaultdict(tuple')),
    Case('constant: ordered dict order', 'stale', "value project.OD: OrderedDict([('a', 1), ('b', 2)]) → OrderedDict([('b', 2), ('a', 1)])  (project.py:22)", CONSTANTS, ('a=1, b=2', 'b=2, a=1')),
    Case('constant: counter', 'stale', "value project.CT: Counter({'a': 2, 'b': 1}) → Counter({'b': 2, 'a': 1})  (project.py:23)", CONSTANTS, ('"aab"', '"abb"')),
    Case('constant: chain map', 'stale', "value project.CM: ChainMap({'a': 1}, {'b': 2}) → ChainMap({'b': 2}, {'a': 1})  (project.py:24)", CONSTANTS, ('{"a": 1}, {"b": 2}', '{"b": 2}, {"a": 1}')),
    Case('constant: array type', 'stale', "value project.AR: array('i', [1, 2]) → array('l', [1, 2])  (project.py:25)", CONSTANTS, ('"i"', '"l"')),
    Case('constant: template', 'stale', "value project.TP: Template(template='$a') → Template(template='$b')  (project.py:26)", CONSTANTS, ('"$a"', '"$b"')),
    Case('constant: struct', 'stale', 'value project.ST: <_struct.Struct object> #… → <_struct.Struct object> #…  (project.py:27)', CONSTANTS, ('"<I"', '">I"')),
    Case('constant: enum auto order', 'stale', 'value project.Auto.A: 1 → 2  (project.py:28)', CONSTANTS, ('    A = enum.auto()\n    B = enum.auto()', '    B = enum.auto()\n    A = enum.auto()')),
    Case('constant: flag', 'stale', 'value project.Flags.R: 1 → 2  (project.py:31)', CONSTANTS, ('    R = enum.auto()\n    W', '    X = enum.auto()\n    R = enum.auto()\n    W')),
    Case('constant: numpy scalar', 'stale', 'value project.NPF: np.float32(0.5) → np.float64(0.5)  (project.py:34)', CONSTANTS, ('float32', 'float64')),
    Case('constant: array shape', 'stale', 'value project.ARR: array([[0, 1, 2], [3, 4, 5]]) → array([[0, 1], [2, 3], [4, 5]])  (project.py:35)', CONSTANTS, ('reshape(2, 3)', 'reshape(3, 2)')),
    Case('constant: record dtype', 'stale', "value project.REC: array([(1, 'a')], dtype=[('n', '<i4'), ('s', '<U1')]) → array([(1, 'a')], dtype=[('n', '<i8'), ('s', '<U1')])  (project.py:36)", CONSTANTS, ('"i4"', '"i8"')),
    Case('constant: expression', 'stale', 'value project.WHEN_EXPR: <Expr [\'.when([(col("a")) > (dyn int: …\']> #… → <Expr [\'.when([(col("a")) > (dyn int: …\']> #…  (project.py:37)', CONSTANTS, ('> 1', '> 2')),
    Case('constant: expression literal', 'stale', 'value project.WHEN_EXPR: <Expr [\'.when([(col("a")) > (dyn int: …\']> #… → <Expr [\'.when([(col("a")) > (dyn int: …\']> #…  (project.py:37)', CONSTANTS, ('pl.lit(None)', "pl.lit('')")),
    Case('constant: series null', 'stale', "value project.SER: shape: (3,) Series: 's' [i64] [ 1 null 3 ] → shape: (3,) Series: 's' [i64] [ 1 0 3 ]  (project.py:38)", CONSTANTS, ('None, 3', '0, 3')),
    Case('constant: polars dtype', 'stale', "value project.DT: Datetime(time_unit='us', time_zone='UTC') → Datetime(time_unit='ms', time_zone='UTC')  (project.py:39)", CONSTANTS, ('"us"', '"ms"')),
    Case('constant: schema', 'stale', "value project.SCH: Schema([('a', Int64)]) → Schema([('a', Int32)])  (project.py:40)", CONSTANTS, ('"a": pl.Int64', '"a": pl.Int32')),
    Case('constant: random generator', 'stale', 'value project.RNGGEN: Generator(PCG64) #… → Generator(PCG64) #…  (project.py:41)', CONSTANTS, ('(7)', '(8)')),
    Case('constant: nested container', 'stale', "value project.DEEP: {'a': [{'b': (1, {'c': {2, 3}})}], None: Ellipsis, (1, 2): … → {'a': [{'b': (1, {'c': {2, 4}})}], None: Ellipsis, (1, 2): …  (project.py:43)", CONSTANTS, ('{2, 3}', '{2, 4}')),
    Case('constant: nested tuple to list', 'stale', "value project.DEEP: {'a': [{'b': (1, {'c': {2, 3}})}], None: Ellipsis, (1, 2): … → {'a': [{'b': [1, {'c': {2, 3}}]}], None: Ellipsis, (1, 2): …  (project.py:43)", CONSTANTS, ('(1, {"c": {2, 3}})', '[1, {"c": {2, 3}}]')),
    Case('constant: big int', 'stale', 'value project.BIG: 1000000000000000000000000000000 → 10000000000000000000000000000000  (project.py:44)', CONSTANTS, ('** 30', '** 31')),
    Case('constants: comment', 'fresh', '', CONSTANTS, ('import datetime', '# hello\nimport datetime')),
    Case('constants: nan again', 'fresh', '', CONSTANTS, ('float("nan")', 'float("inf") - float("inf")')),
    Case('constants: text by same value', 'fresh', '', CONSTANTS, ('f"{DEC} of {DAY}"', 'str(DEC) + " of " + str(DAY)')),
    Case("exec'd code", 'stale', 'code project.built changed  (<string>:1)', EXECUTED, ('built(rows): return rows', 'built(rows): return rows[1:]')),
    Case("exec'd code's global", 'stale', 'value project.RATE: 2 → 3  (project.py:2)', EXECUTED, ('RATE = 2', 'RATE = 3')),
    Case("exec'd template", 'stale', 'code project.made changed  (<string>:2)', EXECUTED, ('r * RATE', 'r + RATE')),
    Case("eval'd lambda", 'stale', 'code project.<lambda> changed  (<string>:1)', EXECUTED, ('x + 1', 'x + 2')),
    Case("exec'd: comment", 'fresh', '', EXECUTED, ('import textwrap', '# x\nimport textwrap')),
    Case('eval in the body: global', 'stale', 'value project.RATE: 2 → 3  (project.py:1)', RUNTIME, ('RATE = 2', 'RATE = 3')),
    Case('eval in the body: whole module', 'stale', 'value project.UNUSED: 3 → 4  (project.py:1)', RUNTIME, ('UNUSED = 3', 'UNUSED = 4')),
    Case('eval in the body: imported module', 'stale', 'code helpers.a changed  (helpers.py:1)', RUNTIME, ('a(): return 1', 'a(): return 2')),
    Case('closure two levels: outer value', 'stale', 'value project.make.<locals>.middle.<locals>.inner.<closure n>: 1 → 2  (project.py:4)', DEEPER, ('make(1)(2)', 'make(2)(2)')),
    Case('closure two levels: inner value', 'stale', 'value project.make.<locals>.middle.<locals>.inner.<closure k>: 2 → 3  (project.py:4)', DEEPER, ('make(1)(2)', 'make(1)(3)')),
    Case('closure two levels: code', 'stale', 'code project.make.<locals>.middle.<locals>.inner changed  (project.py:4)', DEEPER, ('x + n + k', 'x - n + k')),
    Case('lambda as default', 'stale', 'code project.<lambda> changed  (project.py:8)', DEEPER, ('r * STEP', 'r + STEP')),
    Case('lambda as keyword default', 'stale', 'code project.<lambda>#2 changed  (project.py:8)', DEEPER, ('lambda: 4', 'lambda: 5')),
    Case('nested two levels', 'stale', 'code project.asset changed  (project.py:27)', DEEPER, ('return add(x)', 'return add(x + 1)')),
    Case('operator method', 'stale', 'code project.Counter.__add__ changed  (project.py:18)', DEEPER, ('return 3', 'return 4')),
    Case('getitem', 'stale', 'code project.Counter.__getitem__ changed  (project.py:17)', DEEPER, ('return 2\n', 'return 5\n')),
    Case('exit method', 'stale', 'code project.Counter.__exit__ changed  (project.py:15)', DEEPER, ('return None', 'return True')),
    Case('class counter', 'stale', 'value project.Counter.count: 0 → 1  (project.py:10)', DEEPER, ('count = 0', 'count = 1')),
    Case('lambda with bound loop name', 'stale', "value project.<dictcomp>.<lambda>#2.<default name>: 'b' → 'c'  (project.py:22)", DEEPER, ('("a", "b")', '("a", "c")')),
    Case('f-string spec constant', 'stale', 'value project.STEP: 1 → 2  (project.py:1)', DEEPER, ('STEP = 1', 'STEP = 2')),
    Case('assert message', 'stale', 'code project.assert_it changed  (project.py:33)', DEEPER, ('"message"', '"massage"')),
    Case('recursive', 'stale', 'code project.recursive changed  (project.py:9)', DEEPER, ('recursive(n - 1)', 'recursive(n - 2)')),
    Case('repr method', 'stale', 'code project.Counter.__repr__ changed  (project.py:21)', DEEPER, ('"counter"', '"Counter"')),
    Case('enum __str__', 'stale', 'code project.Color.__str__ changed  (project.py:7)', ENUMS, ('return "c"', 'return "d"')),
    Case('enum __call__', 'stale', 'code project.Color.__call__ changed  (project.py:8)', ENUMS, ('self, rows): return rows\n    @classmethod', 'self, rows): return rows[1:]\n    @classmethod')),
    Case('enum _missing_', 'stale', 'code project.Color._missing_ changed  (project.py:10)', ENUMS, ('return cls.RED', 'return cls.BLUE')),
    Case('enum property', 'stale', 'code project.Color.label changed  (project.py:12)', ENUMS, ('return "l"', 'return "m"')),
    Case('enum str mixin', 'stale', 'code project.Ordered.__lt__ changed  (project.py:15)', ENUMS, ('other): return True', 'other): return False')),
    Case('enum of partials', 'stale', 'code project.Op.<lambda> changed  (project.py:17)', ENUMS, ('a + b', 'a - b')),
    Case('enum of members', 'stale', 'code project.Op.<lambda>#2 changed  (project.py:18)', ENUMS, ('a * b', 'a / b')),
    Case('dataclass default from constant', 'stale', 'value project.Config.<default size>: 3 → 4  (project.py:20)', ENUMS, ('SIZE = 3', 'SIZE = 4')),
    Case('dataclass lambda factory', 'stale', 'code project.Config.<lambda> changed  (project.py:22)', ENUMS, ('[SIZE, 1]', '[SIZE, 2]')),
    Case('dataclass post init', 'stale', 'code project.Config.__post_init__ changed  (project.py:24)', ENUMS, ('self.size + 1', 'self.size + 2')),
    Case('dataclass init=False', 'stale', 'value project.Config.<default total>: 0 → 1  (project.py:20)', ENUMS, ('init=False, default=0', 'init=False, default=1')),
    Case('struct method', 'stale', 'code project.Message.double changed  (project.py:28)', ENUMS, ('self.n * 2', 'self.n * 3')),
    Case('struct factory', 'stale', 'code project.make changed  (project.py:3)', ENUMS, ('return [SIZE]', 'return [SIZE, 0]')),
    Case('protocol method', 'stale', 'code project.Runs.run changed  (project.py:31)', ENUMS, ('rows): return 1', 'rows): return 2')),
    Case('class decorator', 'stale', 'code project.marked changed  (project.py:32)', ENUMS, ('kind.mark = "m"', 'kind.mark = "n"')),
    Case('class decorator extra code', 'stale', 'code project.marked changed  (project.py:32)', ENUMS, ('    return kind\n', '    return kind or None\n')),
    Case('setter', 'stale', 'code project.Marked.value#2 changed  (project.py:40)', ENUMS, ('self.held = new', 'self.kept = new')),
    Case('call by partialmethod', 'stale', 'code project.Marked changed  (project.py:36)', ENUMS, ('lambda self, n: n, 2', 'lambda self, n: n, 3')),
    Case('staticmethod alias', 'stale', 'value project.Marked.also: project.make → builtins.len  (project.py:36)', ENUMS, ('also = staticmethod(make)', 'also = staticmethod(len)')),
    Case('type() attribute', 'stale', 'value project.Dyn.rate: 0.5 → 0.6', ENUMS, ('"rate": 0.5', '"rate": 0.6')),
    Case('type() lambda', 'stale', 'code project.<lambda> changed  (project.py:43)', ENUMS, ('lambda self: 1}', 'lambda self: 2}')),
    Case('type() base', 'stale', "value project.Dyn.<bases>: [<class 'type'>, <class 'project.Config'>] → [<class 'type'>, <class 'project.Marked'>]", ENUMS, ('(Config,)', '(Marked,)')),
    Case('partial of bound method', 'stale', 'value project.go: functools.partial(<bound met...e=4, items=[3, 1], total=5)>) → functools.partial(<bound met...e=5, items=[3, 1], total=6)>)  (project.py:45)', ENUMS, ('Config(4)', 'Config(5)')),
    Case('alias of a module', 'stale', 'code helpers.clean changed  (helpers.py:2)', INDIRECT, ('clean(rows): return rows', 'clean(rows): return 1')),
    Case('module in a list', 'stale', 'code helping.sub.deep changed  (sub.py:1)', INDIRECT, ('deep(): return 1', 'deep(): return 2')),
    Case('frompyfunc', 'stale', 'code project.half changed  (project.py:9)', INDIRECT, ('x / 2', 'x / 3')),
    Case('random.Random', 'stale', 'value project.RNG: Random(gauss_next=None) #… → Random(gauss_next=None) #…  (project.py:11)', INDIRECT, ('Random(3)', 'Random(4)')),
    Case('estimator parameter', 'stale', "value project.PIPE: Pipeline(steps=[('scale', St...fit', LogisticRegression())]) → Pipeline(steps=[('scale', St... LogisticRegression(C=2.0))])  (project.py:12)", INDIRECT, ('C=1.0', 'C=2.0')),
    Case('pipeline step name', 'stale', "value project.PIPE: Pipeline(steps=[('scale', St...fit', LogisticRegression())]) → Pipeline(steps=[('scaled', S...fit', LogisticRegression())])  (project.py:12)", INDIRECT, ('"scale"', '"scaled"')),
    Case('registry over modules', 'stale', 'code steps.first changed  (steps.py:3)', INDIRECT, ('first(rows): return rows', 'first(rows): return 1')),
    Case('subclass', 'stale', 'code project.First.run changed  (project.py:18)', INDIRECT, ('return [1]', 'return [2]')),
    Case('new subclass', 'stale', "value project.Plugin.<subclasses>: [<class 'project.First'>] → [<class 'project.First'>, <class 'project.Second'>]  (project.py:13)", INDIRECT, ('def by_name', 'class Second(Plugin):\n    def run(self, rows): return [7]\ndef by_name')),
    Case('sys.modules', 'stale', 'code named.go changed  (named.py:1)', INDIRECT, ('go(rows): return rows', 'go(rows): return 1')),
    Case('sys.modules own', 'stale', 'code project.by_name changed  (project.py:2)', SELF, ('by_name(rows): return rows', 'by_name(rows): return 1')),
    Case('global statement', 'stale', 'code project.outer_state changed  (project.py:20)', INDIRECT, ('LEVEL = 5', 'LEVEL = 6')),
    Case('vars of module', 'stale', 'code helpers.a changed  (helpers.py:1)', VARS, ('a(rows): return rows', 'a(rows): return 1')),
    Case('dict of module', 'stale', 'code helpers.b changed  (helpers.py:1)', DIR, ('b(rows): return rows', 'b(rows): return 1')),
    Case('vars comment', 'fresh', '', VARS, ('import helpers', '# x\nimport helpers')),
    Case('own annotations read', 'stale', 'code project.helper.<annotations> changed  (project.py:2)', HINTS, ('helper(a: int', 'helper(a: float')),
    Case('annotation under an own decorator', 'stale', 'code project.converted.<annotations> changed  (project.py:9)', HINTS, ('converted(a: int)', 'converted(a: float)')),
    Case('signature default', 'stale', 'value project.helper.<default b>: absent → 1  (project.py:2)', HINTS, ('b: str)', 'b: str = 1)')),
    Case('__missing__', 'stale', 'code project.Table.__missing__ changed  (project.py:6)', PROPS, ('key): return 1', 'key): return 2')),
    Case('userdict item', 'stale', "value project.TABLE: {'a': 1} → {'a': 2}  (project.py:7)", PROPS, ('Table(a=1)', 'Table(a=2)')),
    Case('tuple subclass', 'stale', 'value project.FROZEN: (1, 2) → (1, 3)  (project.py:10)', PROPS, ('(1, 2)', '(1, 3)')),
    Case('tuple subclass method', 'stale', 'code project.Frozen.total changed  (project.py:9)', PROPS, ('sum(self)', 'len(self)')),
    Case('int subclass', 'stale', 'value project.N: 3 → 4  (project.py:14)', PROPS, ('Number(3)', 'Number(4)')),
    Case('int subclass method', 'stale', 'code project.Number.__add__ changed  (project.py:13)', PROPS, ('int(self) * o', 'int(self) + o')),
    Case('int subclass attr', 'stale', "value project.Number.unit: 'km' → 'mi'  (project.py:11)", PROPS, ('"km"', '"mi"')),
    Case('str subclass', 'stale', "value project.T: 'abc' → 'abd'  (project.py:16)", PROPS, ('Text("abc")', 'Text("abd")')),
    Case('dict subclass item', 'stale', "value project.M: {'a': 1} → {'a': 2}  (project.py:19)", PROPS, ('Mapping(a=1)', 'Mapping(a=2)')),
    Case('dict subclass extra', 'stale', "value project.W: {'a': 1} #… → {'a': 1} #…  (project.py:29)", PROPS, ('extra = 5', 'extra = 6')),
    Case('reduce', 'stale', 'value project.R: Reduces(n=1) → Reduces(n=2)  (project.py:27)', PROPS, ('Reduces(1)', 'Reduces(2)')),
    Case('exception attr', 'stale', 'value project.Err.code: 3 → 4  (project.py:30)', PROPS, ('code = 3', 'code = 4')),
    Case('exception str', 'stale', 'code project.Err.__str__ changed  (project.py:32)', PROPS, ('"err"', '"error"')),
    Case('property lambda', 'stale', 'code project.Props.<lambda> changed  (project.py:34)', PROPS, ('lambda self: 1', 'lambda self: 2')),
    Case('cached property lambda', 'stale', 'code project.Props.<lambda>#2 changed  (project.py:36)', PROPS, ('lambda self: 4', 'lambda self: 5')),
    Case('operator alias', 'stale', 'value project.FN: _operator.add → _operator.sub  (project.py:37)', PROPS, ('FN = plus', 'FN = minus')),
    Case('method descriptor', 'stale', 'value project.ENC: str.upper → str.lower  (project.py:38)', PROPS, ('str.upper', 'str.lower')),
    Case('bound builtin', 'stale', 'value project.MM: str.join #… → str.join #…  (project.py:39)', PROPS, ('"abc".join', '"abd".join')),
    Case('exception instance', 'stale', "value project.EXC: ValueError('text', 3) → ValueError('text', 4)  (project.py:41)", PROPS, ('"text", 3', '"text", 4')),
    Case('memoryview', 'stale', 'value project.MV: <memory> #… → <memory> #…  (project.py:42)', PROPS, ('memoryview(b"abc")', 'memoryview(b"abd")')),
    Case('except clause', 'stale', 'code project.asset changed  (project.py:43)', PROPS, ('(Err, KeyError)', '(Err, IndexError)')),
    Case('ufunc from a package', 'stale', 'code project.asset changed  (project.py:2)', UF, ('import numpy as np\ndef asset(rows): return rows', 'from scipy.special import expit\ndef asset(rows): return expit(rows)')),
    Case('ufunc of numpy', 'stale', 'code project.asset changed  (project.py:2)', UF, ('import numpy as np\ndef asset(rows): return rows', 'from numpy import add\ndef asset(rows): return add(rows)')),
    Case('ufunc swapped', 'stale', 'value project.op: numpy.add → numpy.subtract  (project.py:1)', PLAIN, ('add as op', 'subtract as op')),
    Case('partial of builtin', 'fresh', '', T, ('CALL = partial(print, 1)', 'CALL = partial(print, 2)')),
    Case('except*', 'stale', 'code project.asset changed  (project.py:4)', T, ('except* ValueError', 'except* KeyError')),
    Case('finally', 'stale', 'code project.asset changed  (project.py:4)', T, ('finally: yield 3', 'finally: yield 4')),
    Case('while else', 'stale', 'code project.asset changed  (project.py:4)', T, ('else: yield 1', 'else: yield 5')),
    Case('await', 'stale', 'code project.asset changed  (project.py:4)', T, ('await rows', 'rows')),
    Case('yield from', 'stale', 'code project.asset changed  (project.py:4)', T, ('(x for x in rows)', '[x for x in rows]')),
    Case('class in a branch', 'stale', 'code project.Shape changed  (project.py:7)', BR, ('side: int', 'side: float')),
    Case('class in the other branch', 'stale', 'code project.Shape changed  (project.py:7)', BR, ('edge: int', 'edge: float')),
    Case('function made a ufunc', 'stale', 'code project.half changed  (project.py:2)', UFN, ('x / 2', 'x / 3')),
    Case('comment beside a ufunc', 'fresh', '', UFN, ('import numpy', '# why\nimport numpy')),
    Case('pandas frame value', 'stale', 'value project.DF: …  (project.py:6)', OF_PANDAS, ('"a": [1, 2], "b"', '"a": [1, 3], "b"')),
    Case('pandas frame dtype', 'stale', 'value project.DF: …  (project.py:6)', OF_PANDAS, ('"a": [1, 2], "b"', '"a": [1.0, 2.0], "b"')),
    Case('pandas frame null', 'stale', 'value project.DF: …  (project.py:6)', OF_PANDAS, ('["x", None]', '["x", "None"]')),
    Case('pandas frame time', 'stale', 'value project.DF: …  (project.py:6)', OF_PANDAS, ('"2013-01-02"', '"2013-01-03"')),
    Case('pandas index', 'stale', 'value project.IDX: …  (project.py:7)', OF_PANDAS, ('Index(["a", "b"])', 'Index(["b", "a"])')),
    Case('pandas series name', 'stale', 'value project.SERIES: …  (project.py:8)', OF_PANDAS, ('name="s"', 'name="t"')),
    Case('arrow table', 'stale', 'value project.TABLE: …  (project.py:9)', OF_PANDAS, ('pa.table({"a": [1, 2]})', 'pa.table({"a": [1, 4]})')),
    Case('arrow schema', 'stale', 'value project.SCHEMA: …  (project.py:10)', OF_PANDAS, ('pa.int64()', 'pa.int32()')),
    Case('fitted estimator', 'stale', 'value project.FITTED: …  (project.py:11)', OF_PANDAS, ('[0, 1])', '[1, 0])')),
    Case('nested estimator parameter', 'stale', 'value project.PRE: …  (project.py:13)', OF_PANDAS, ('"ignore"', '"error"')),
    Case('function in nested estimator', 'stale', 'code project.half changed  (project.py:12)', OF_PANDAS, ('x / 2', 'x / 4')),
    Case('dtype class', 'stale', 'value project.DTYPES: …  (project.py:14)', OF_PANDAS, ('"a": pl.Int64, "b"', '"a": pl.Int32, "b"')),
    Case('nested dtype', 'stale', 'value project.DTYPES: …  (project.py:14)', OF_PANDAS, ('pl.List(pl.String)', 'pl.List(pl.Binary)')),
    Case('timestamp zone', 'stale', 'value project.STAMP: …  (project.py:15)', OF_PANDAS, ('tz="UTC"', 'tz="Europe/Lisbon"')),
    Case('timedelta pandas', 'stale', 'value project.DELTA: …  (project.py:16)', OF_PANDAS, ('"1h"', '"2h"')),
    Case('categorical dtype order', 'stale', 'value project.CAT: …  (project.py:17)', OF_PANDAS, ('["a", "b"], ordered', '["b", "a"], ordered')),
    Case('library values: comment', 'fresh', '', OF_PANDAS, ('import pandas', '# why\nimport pandas')),
    Case('handler registry', 'stale', 'code project.first changed  (project.py:9)', REGISTERED, ('first(x): return x', 'first(x): return x + 1')),
    Case('class registry', 'stale', 'code project.One.go changed  (project.py:14)', REGISTERED, ('go(self): return 1', 'go(self): return 2')),
    Case('lazy property', 'stale', 'code helpers.build changed  (helpers.py:1)', REGISTERED, ('build(): return 1', 'build(): return 3')),
    Case('slots dataclass method', 'stale', 'code project.Slots.area changed  (project.py:24)', REGISTERED, ('return self.a', 'return -self.a')),
    Case('slots dataclass state', 'stale', 'value project.S: Slots(a=3) → Slots(a=4)  (project.py:25)', REGISTERED, ('Slots(3)', 'Slots(4)')),
    Case('metaclass getattr', 'stale', 'code helpers.lookup changed  (helpers.py:3)', REGISTERED, ('lookup(name): return name', 'lookup(name): return 1')),
    Case('other branch helper', 'stale', 'code helpers.other changed  (helpers.py:2)', REGISTERED, ('other(): return 2', 'other(): return 3')),
    Case('unused async enter', 'stale', 'code project.Ctx.__aenter__ changed  (project.py:30)', REGISTERED, ('__aenter__(self): return 1', '__aenter__(self): return 2')),
    Case('made of a library: cs.string()', 'stale', 'value project.SEL: …  (project.py:2)', OF_LIBRARIES, ('cs.numeric()', 'cs.string()')),
    Case('made of a library: rolling_mean(4)', 'stale', 'value project.AGG: …  (project.py:3)', OF_LIBRARIES, ('rolling_mean(3)', 'rolling_mean(4)')),
    Case('made of a library: order_by="d"', 'stale', 'value project.WIN: …  (project.py:4)', OF_LIBRARIES, ('order_by="c"', 'order_by="d"')),
    Case('made of a library: [1, 3])).then', 'stale', 'value project.CASEEXPR: …  (project.py:5)', OF_LIBRARIES, ('[1, 2])).then', '[1, 3])).then')),
    Case('made of a library: dtype=pl.Int16', 'stale', 'value project.STRUCT: …  (project.py:6)', OF_LIBRARIES, ('dtype=pl.Int8', 'dtype=pl.Int16')),
    Case('made of a library: "a + 2"', 'stale', 'value project.SQLX: …  (project.py:7)', OF_LIBRARIES, ('"a + 1"', '"a + 2"')),
    Case('made of a library: Enum(["b", "a"])', 'stale', 'value project.ENUM: …  (project.py:8)', OF_LIBRARIES, ('Enum(["a", "b"])', 'Enum(["b", "a"])')),
    Case('made of a library: > 1)', 'stale', 'value project.LF: …  (project.py:9)', OF_LIBRARIES, ('> 0)', '> 1)')),
    Case('made of a library: np.log2', 'stale', 'value project.CFG: …  (project.py:10)', OF_LIBRARIES, ('np.log1p', 'np.log2')),
    Case('made of a library: operator.le', 'stale', 'value project.CFG: …  (project.py:10)', OF_LIBRARIES, ('operator.lt', 'operator.le')),
    Case('made of a library: str.upper', 'stale', 'value project.CFG: …  (project.py:10)', OF_LIBRARIES, ('str.lower', 'str.upper')),
    Case('made of a library: "typ": float', 'stale', 'value project.CFG: …  (project.py:10)', OF_LIBRARIES, ('"typ": int', '"typ": float')),
    Case('made of a library: r"y"', 'stale', 'value project.CFG: …  (project.py:10)', OF_LIBRARIES, ('r"x"', 'r"y"')),
    Case('made of a library: poly1d([1, 3])', 'stale', 'value project.POLY: …  (project.py:11)', OF_LIBRARIES, ('poly1d([1, 2])', 'poly1d([1, 3])')),
    Case('made of a library: ("b", int)', 'stale', 'value project.REC: …  (project.py:12)', OF_LIBRARIES, ('("b", float)', '("b", int)')),
    Case('made of a library: mask=[1, 0]', 'stale', 'value project.MASK: …  (project.py:13)', OF_LIBRARIES, ('mask=[0, 1]', 'mask=[1, 0]')),
    Case('made of a library: ["a", "c"], dtype=np.dtypes', 'stale', 'value project.STRS: …  (project.py:14)', OF_LIBRARIES, ('["a", "b"], dtype=np.dtypes', '["a", "c"], dtype=np.dtypes')),
    Case('made of a library: RandomState(4)', 'stale', 'value project.RS: …  (project.py:15)', OF_LIBRARIES, ('RandomState(3)', 'RandomState(4)')),
    Case('made of a library: "abb"', 'stale', 'value project.GROUPS: …  (project.py:17)', OF_LIBRARIES, ('"aab"', '"abb"')),
    Case('made of a library: "cols": ["a", "b"]', 'stale', 'value project.CFG: …  (project.py:10)', OF_LIBRARIES, ('"cols": ("a", "b")', '"cols": ["a", "b"]')),
    Case('made of a library: AGG = [pl.col("a").mean()', 'stale', 'value project.AGG: …  (project.py:3)', OF_LIBRARIES, ('AGG = [pl.col("a").sum()', 'AGG = [pl.col("a").mean()')),
    Case('made of a library: comment', 'fresh', '', OF_LIBRARIES, ('import polars', '# x\nimport polars')),
]  # fmt: skip


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return read(CASES, tmp_path_factory.mktemp("nasty"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_nasty_edit_is_told_from_no_change_in_every_process(case: Case, answers: Answers) -> None:
    judge(case, answers)

"""What a code object refers to, read from its bytecode: names, attributes of names, imports. Nothing is resolved here."""

import ast
import dis
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Literal

# Instructions that may stand between a name and its attribute without meaning anything here.
_SILENT = frozenset({"CACHE", "EXTENDED_ARG", "NOP", "NOT_TAKEN", "RESUME"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_FAST = re.compile(r"(LOAD|STORE)_FAST")
_SQL = re.compile(r"\b(?:from|join)\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Reference:
    """One use of a name: `global` and `local` are read and followed by `attributes`; `sql` is a word in a query text."""

    kind: Literal["global", "local", "sql"]
    name: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Import:
    """An import inside a body: `attributes` of module `name` (`level` dots before it) become the variable `alias`."""

    name: str
    level: int
    attributes: tuple[str, ...]
    alias: str


@dataclass(frozen=True)
class Uses:
    """All that a code object and the code nested in it use, in order, each once."""

    references: tuple[Reference, ...]
    imports: tuple[Import, ...]
    texts: tuple[str, ...]  # string constants, for imports by name
    names: frozenset[str]  # all names of globals and attributes, for the few that reach further than what they name


@lru_cache(maxsize=65_536)
def uses_of(code: CodeType) -> Uses:
    """Return what a code object refers to, nested functions, classes and comprehensions included.

    Example:
        >>> [r.name for r in uses_of(compile("def f(): return g(math.pi)", "x", "exec")).references]
        ['g', 'math']
    """
    reader = _Reader()
    reader.read(code)
    aliases = {each.alias for each in reader.imports} | set(code.co_freevars)
    kept = (r for r in reader.references if r.kind != "local" or r.name in aliases)
    return Uses(
        tuple(dict.fromkeys(kept)),
        tuple(dict.fromkeys(reader.imports)),
        tuple(dict.fromkeys(reader.texts)),
        frozenset(reader.names),
    )


class _Reader:
    """Walks the instructions once, holding the name whose attributes are being read and the import in progress."""

    def __init__(self) -> None:
        self.references: list[Reference] = []
        self.imports: list[Import] = []
        self.texts: list[str] = []
        self.names: set[str] = set()

    def read(self, code: CodeType) -> None:
        self.names.update(code.co_names)
        held: tuple[Literal["global", "local"], str] | None = None
        path: list[str] = []
        pending: list[str] = []  # attributes taken from the module that is being imported
        imported: tuple[str, int, bool] | None = None
        constants: list[object] = [None, None]
        cells = {*code.co_cellvars, *code.co_freevars}  # loaded as if local from 3.13 on, to be handed to a closure
        for instruction in dis.get_instructions(code):
            op, value = instruction.opname, instruction.argval
            if op in _SILENT:
                continue
            if op in _ATTRIBUTES and held is not None:
                path.append(value)
                continue
            if held is not None:
                self.references.append(Reference(*held, tuple(path)))
                held, path = None, []
            if op in _GLOBALS:
                held = ("global", value)
            elif op in {"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"}:
                held = ("local", value)
            elif op in {"LOAD_CONST", "LOAD_SMALL_INT"}:
                constants = [constants[1], value]
                if isinstance(value, str):
                    self._text(value)
                elif isinstance(value, tuple):
                    self.texts.extend(each for each in value if isinstance(each, str))
            elif op == "IMPORT_NAME":
                level, names = constants
                imported = (value, level if isinstance(level, int) else 0, bool(names))
                pending = []
            elif op == "IMPORT_FROM" and imported is not None:
                pending = [value] if imported[2] else [*pending, value]
            elif op in {"STORE_FAST", "STORE_DEREF", "STORE_GLOBAL", "STORE_NAME"}:
                if imported is not None:
                    self._import(imported, tuple(pending), value)
                    imported = imported if imported[2] else None
            elif op == "POP_TOP" and imported is not None and imported[2]:
                imported = None
            elif _FAST.match(op):
                held = self._fast(op, value, imported, pending)
                imported = imported if (imported and imported[2]) or "STORE" not in op else None
                if held is not None and held[1] in cells:
                    held = None
        if held is not None:
            self.references.append(Reference(*held, tuple(path)))
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self.read(constant)

    def _fast(
        self, op: str, value: object, imported: tuple[str, int, bool] | None, pending: list[str]
    ) -> tuple[Literal["local"], str] | None:
        """Take apart the one or two local variables an instruction reads or writes; return the one left on top."""
        names = value if isinstance(value, tuple) else (value,)
        steps = list(zip(_FAST.findall(op), names, strict=False))
        for step, name in steps:
            if step == "STORE" and imported is not None:
                self._import(imported, tuple(pending), name)
                imported = None
        for step, name in steps[:-1]:
            if step == "LOAD":
                self.references.append(Reference("local", name))
        step, name = steps[-1]
        return ("local", name) if step == "LOAD" else None

    def _import(self, imported: tuple[str, int, bool], path: tuple[str, ...], alias: str) -> None:
        name, level, has_names = imported
        if not has_names and not path and "." in name:
            # `import a.b` binds `a`; that `a.b` was imported as well is a use of its own.
            self.imports.append(Import(name, level, (), ""))
            name = name.split(".", 1)[0]
        if not has_names and path:
            path = ()  # `import a.b as c` walks from a to b; the full name says the same
        self.imports.append(Import(name, level, path, alias))

    def _text(self, text: str) -> None:
        self.texts.append(text)
        if _SQL.search(text):
            self.references.extend(Reference("sql", word) for word in dict.fromkeys(_WORD.findall(text)))


def chains(*nodes: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yield every dotted name in syntax trees, `("pl", "LazyFrame")`, texts that are annotations not read.

    Example:
        >>> list(chains(ast.parse("a.b(c)")))
        [('a', 'b'), ('c',)]
    """
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        dotted: list[str] = []
        inner = node
        while isinstance(inner, ast.Attribute):
            dotted.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield (inner.id, *reversed(dotted))
        else:
            waiting.extend(reversed(list(ast.iter_child_nodes(inner))))


_READERS = ("read_", "scan_")


def reads(node: ast.AST, names: frozenset[str]) -> list[ast.expr]:
    """Return what a function gives first to calls such as `pl.read_csv(...)`; `names` are those in its bytecode."""
    if not any(name.startswith(_READERS) for name in names):
        return []
    calls = (each for each in ast.walk(node) if isinstance(each, ast.Call) and each.args)
    called = (
        (each.func.attr if isinstance(each.func, ast.Attribute) else getattr(each.func, "id", ""), each)
        for each in calls
    )
    return [call.args[0] for name, call in called if name.startswith(_READERS)]


def annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """Return a function's annotations, and those written as texts inside them."""
    given = node.args
    taken = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    written = [each.annotation for each in taken if each is not None] + [node.returns]
    return [part for each in written if each is not None for part in (each, *_quoted(each))]


def _quoted(node: ast.expr) -> Iterator[ast.expr]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            with suppress(SyntaxError):
                yield ast.parse(inner.value, mode="eval").body


def class_expressions(node: ast.ClassDef) -> list[ast.AST]:
    """Return what a class statement evaluates besides its methods: bases, keywords, decorators, assignments."""
    inside = [each for each in node.body if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return [*node.bases, *node.keywords, *node.decorator_list, *inside]

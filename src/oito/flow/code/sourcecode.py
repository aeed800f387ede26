"""Source files as they stand: where each function, class, name and import is written. Their meaning is not read here."""

import ast
import dis
import hashlib
import linecache
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import CodeType

from oito.flow.code.syntax import Definition, Function, bytecode


@dataclass(frozen=True)
class Imported:
    """An import statement anywhere in a file: module, dots before it, names taken from it."""

    module: str
    level: int
    names: tuple[str, ...]


@dataclass
class Source:
    """One file as it stands now: its tree, and where its functions, classes, names and imports are."""

    file: str
    digest: str
    tree: ast.Module
    functions: dict[str, list[Function]] = field(default_factory=lambda: defaultdict(list))
    classes: dict[str, list[ast.ClassDef]] = field(default_factory=lambda: defaultdict(list))
    lines: dict[str, int] = field(default_factory=dict)  # names bound at the top, where they were bound last
    imports: list[Imported] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)  # name -> absolute module (or module.name) it was imported as

    @cached_property
    def _codes(self) -> dict[str, list[CodeType]]:
        found: dict[str, list[CodeType]] = defaultdict(list)
        waiting = [compile(self.tree, self.file, "exec", dont_inherit=True)]
        while waiting:
            code = waiting.pop(0)
            found[code.co_qualname].append(code)
            waiting.extend(each for each in code.co_consts if isinstance(each, CodeType))
        return found

    @cached_property
    def _lambdas(self) -> list[ast.Lambda]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Lambda)]

    def definition(self, code: CodeType) -> Definition | None:
        """Return the tree that a loaded code object was compiled from; None when the file no longer says what was loaded.

        A process may run older code than the file holds; then the key must be the loaded code's, so a tree is only
        answered when compiling the file gives the same instructions.
        """
        candidates = self._codes.get(code.co_qualname, [])
        fresh = next((each for each in candidates if each == code), None)
        if fresh is None:
            loaded = bytecode(code)
            fresh = next((each for each in candidates if bytecode(each) == loaded), None)
        if fresh is None:
            return None
        if code.co_name == "<lambda>":
            return self._lambda(fresh)
        written = self.functions.get(fresh.co_qualname, [])
        return next((node for node in written if _first_line(node) == fresh.co_firstlineno), None)

    def _lambda(self, code: CodeType) -> ast.Lambda | None:
        spots = [
            spot
            for spot, instruction in zip(
                code.co_positions(), dis.get_instructions(code, show_caches=True), strict=False
            )
            if None not in spot
            and instruction.opname not in {"RESUME", "COPY_FREE_VARS", "MAKE_CELL", "RETURN_GENERATOR"}
        ]
        if not spots:
            return None
        first = min((line or 0, column or 0) for line, _, column, _ in spots)
        last = max((line or 0, column or 0) for _, line, _, column in spots)
        around = [
            node
            for node in self._lambdas
            if node.lineno == code.co_firstlineno
            and (node.body.lineno, node.body.col_offset) <= first
            and last <= (node.end_lineno or 0, node.end_col_offset or 0)
        ]
        return max(around, key=lambda node: (node.lineno, node.col_offset), default=None)

    def class_definitions(self, qualname: str, *, line: int | None) -> list[ast.ClassDef]:
        """Return the trees a class may have been made from; `line` is any line inside it, to tell apart those of one name."""
        written = self.classes.get(qualname, [])
        inside = [node for node in written if line is not None and node.lineno <= line <= (node.end_lineno or 0)]
        return inside[-1:] or written


def source_of(file: str) -> Source | None:
    """Return a file's source, from a cache while the file is unchanged; None without readable Python source.

    Notebook cells and other code whose text only Python's `linecache` holds are found there.
    """
    try:
        facts = Path(file).stat()
    except (OSError, ValueError):
        text = "".join(linecache.getlines(file))
        return _parsed(file, text) if text else None
    return _read(file, (facts.st_mtime_ns, facts.st_size, facts.st_ino))


@lru_cache(maxsize=4096)
def _read(file: str, stamp: tuple[int, int, int]) -> Source | None:
    del stamp
    try:
        return _parsed(file, Path(file).read_bytes())
    except (OSError, ValueError, SyntaxError):
        return None


def _parsed(file: str, content: bytes | str) -> Source | None:
    raw = content if isinstance(content, bytes) else content.encode()
    try:
        tree = ast.parse(content)
    except SyntaxError:
        return None
    source = Source(file, hashlib.sha256(raw).hexdigest(), tree)
    _index(source, tree.body, "", at_top=True)
    return source


def _index(source: Source, body: list[ast.stmt], prefix: str, *, at_top: bool) -> None:
    for statement in body:
        if isinstance(statement, Function):
            source.functions[prefix + statement.name].append(statement)
            if at_top:
                source.lines[statement.name] = statement.lineno
            _index(source, statement.body, f"{prefix}{statement.name}.<locals>.", at_top=False)
        elif isinstance(statement, ast.ClassDef):
            source.classes[prefix + statement.name].append(statement)
            if at_top:
                source.lines[statement.name] = statement.lineno
            _index(source, statement.body, f"{prefix}{statement.name}.", at_top=False)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            _imports(source, statement, at_top=at_top)
        else:
            if at_top:
                for name in _targets(statement):
                    source.lines[name] = statement.lineno
            for inner in _blocks(statement):
                _index(source, inner, prefix, at_top=at_top)


def _imports(source: Source, statement: ast.Import | ast.ImportFrom, *, at_top: bool) -> None:
    if isinstance(statement, ast.Import):
        source.imports.extend(Imported(each.name, 0, ()) for each in statement.names)
        bound = {each.asname or each.name.split(".")[0]: each.name for each in statement.names}
    else:
        module = statement.module or ""
        source.imports.append(Imported(module, statement.level, tuple(each.name for each in statement.names)))
        bound = {each.asname or each.name: f"{module}.{each.name}" for each in statement.names}
    for name, target in bound.items():
        if at_top:
            source.lines[name] = statement.lineno
        if not getattr(statement, "level", 0):
            source.aliases[name] = target


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for branch in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield branch.body


def _targets(statement: ast.stmt) -> Iterator[str]:
    for top in (
        *getattr(statement, "targets", ()),
        getattr(statement, "target", None),
        getattr(statement, "name", None),
    ):
        if isinstance(top, ast.AST):
            yield from (node.id for node in ast.walk(top) if isinstance(node, ast.Name))


def _first_line(node: Function) -> int:
    return min([node.lineno, *(each.lineno for each in node.decorator_list)])

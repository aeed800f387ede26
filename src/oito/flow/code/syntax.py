"""The normal form of written code: a source file's syntax trees, found by code object, digested without what is only form.

Out of the digest: comments, positions, docstrings and other loose constants, `pass`, the annotations of parameters,
results and local variables, decorators of oito, a function's own name and the written form of its defaults (they enter
by value). In it: the names of local variables, because DuckDB finds frames by them, and annotations where they act at
run time: in a class body, and on a function under a decorator that is neither oito's nor the standard library's.
"""

import ast
import dis
import hashlib
from collections.abc import Callable
from types import CodeType

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.Lambda

# Decorators that never look at annotations; under any other an annotation may change what the function does.
_BLIND = frozenset(
    {"abstractmethod", "asynccontextmanager", "cache", "cached_property", "classmethod", "contextmanager", "deleter"}
    | {"final", "getter", "lru_cache", "override", "overload", "property", "setter", "staticmethod", "wraps"}
)


def function_digest(node: Definition, *, drops: Callable[[ast.expr], bool]) -> str:
    """Return the digest of a function's tree; decorators for which `drops` says yes stay out."""
    kept = [] if isinstance(node, ast.Lambda) else [each for each in node.decorator_list if not drops(each)]
    known: dict[tuple[int, ...], str] = node.__dict__.setdefault(
        "_digests", {}
    )  # a tree lives as long as its file is cached
    key = tuple(map(id, kept))
    if key not in known:
        writer = _Writer()
        if isinstance(node, ast.Lambda):
            writer.arguments(node.args, annotated=False, defaults=False)
            writer.node(node.body, in_class=False)
        else:
            writer.function_parts(node, kept, defaults=False)
        known[key] = writer.digest("lambda" if isinstance(node, ast.Lambda) else type(node).__name__)
    return known[key]


def annotations_digest(node: Definition) -> str:
    """Return the digest of a function's annotations, for code that reads them."""
    writer = _Writer()
    if not isinstance(node, ast.Lambda):
        writer.arguments(node.args, annotated=True, defaults=False)
        writer.node(node.returns or ast.Constant(...), in_class=False)
    return writer.digest("annotations")


def class_digest(node: ast.ClassDef) -> str:
    """Return the digest of a class's head and statements; its methods are symbols of their own."""
    writer = _Writer()
    writer.class_head(node)
    writer.block([each for each in node.body if not isinstance(each, Function | ast.ClassDef)], in_class=True)
    return writer.digest("class")


def module_digest(tree: ast.Module) -> str:
    """Return the digest of a whole file's tree."""
    writer = _Writer()
    writer.block(tree.body, in_class=False)
    return writer.digest("module")


def _reads_annotations(decorator: ast.expr) -> bool:
    return _last_name(decorator) not in _BLIND


def _last_name(node: ast.expr) -> str:
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(name for name in kind._fields if name not in {"ctx", "type_comment", "kind", "type_ignores"})
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}


class _Writer:
    """Writes trees as unambiguous text: `(` type, fields in their fixed order, `)`; constants by type and repr."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def digest(self, kind: str) -> str:
        return hashlib.sha256(f"{kind}:{''.join(self._parts)}".encode("utf-8", "surrogatepass")).hexdigest()

    def node(self, node: ast.AST, *, in_class: bool) -> None:
        kind = type(node)
        write = self._parts.append
        if kind is ast.Constant:
            write(f"={type(node.value).__name__}:{node.value!r};")  # type: ignore[attr-defined]  # kind says what it is
            return
        if kind is ast.Name:
            write(f"${node.id};")  # type: ignore[attr-defined]  # the same
            return
        if isinstance(node, Function):
            write(f"({kind.__name__} {node.name}")
            self.function_parts(node, node.decorator_list, defaults=True)
        elif isinstance(node, ast.ClassDef):
            write(f"(ClassDef {node.name}")
            self.class_head(node)
            self.block(node.body, in_class=True)
        elif isinstance(node, ast.Lambda):
            write("(Lambda")
            self.arguments(node.args, annotated=False, defaults=True)
            self.node(node.body, in_class=False)
        elif isinstance(node, ast.AnnAssign) and not in_class:
            self._unannotated(node)
        else:
            write(f"({kind.__name__}")
            for name in _FIELDS[kind]:
                self._value(getattr(node, name, None), name, in_class)
        write(")")

    def _unannotated(self, node: ast.AnnAssign) -> None:
        # `x: int = 1` is `x = 1`; a bare `x: int` still makes x local.
        self._parts.append("(Assign" if node.value is not None else "(Local")
        self._value([node.target] if node.value is not None else node.target, "targets", False)
        if node.value is not None:
            self._value(node.value, "value", False)

    def _value(self, value: object, name: str, in_class: bool) -> None:
        if isinstance(value, list):
            if name in {"body", "orelse", "finalbody"}:
                self.block(value, in_class=in_class)
            else:
                self._parts.append("[")
                for each in value:
                    self._value(each, "", in_class)
                self._parts.append("]")
        elif isinstance(value, ast.AST):
            self.node(value, in_class=in_class)
        else:
            self._parts.append(f"={type(value).__name__}:{value!r};")

    def block(self, statements: list[ast.stmt], *, in_class: bool) -> None:
        self._parts.append("{")
        for statement in statements:
            if isinstance(statement, ast.Pass):
                continue
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring, or a text that stands for a comment
            self.node(statement, in_class=in_class)
        self._parts.append("}")

    def function_parts(self, node: Function, decorators: list[ast.expr], *, defaults: bool) -> None:
        annotated = any(_reads_annotations(each) for each in decorators)
        self.arguments(node.args, annotated=annotated, defaults=defaults)
        if annotated and node.returns is not None:
            self.node(node.returns, in_class=False)
        for decorator in decorators:
            self._parts.append("@")
            self.node(decorator, in_class=False)
        self.block(node.body, in_class=False)

    def arguments(self, arguments: ast.arguments, *, annotated: bool, defaults: bool) -> None:
        groups = (arguments.posonlyargs, arguments.args, [arguments.vararg], arguments.kwonlyargs, [arguments.kwarg])
        for group in groups:
            self._parts.append("/")
            for each in group:
                self._parts.append(f"{each.arg if each else ''},")
                if annotated and each is not None and each.annotation is not None:
                    self.node(each.annotation, in_class=False)
        if defaults:
            for value in (*arguments.defaults, *arguments.kw_defaults):
                self._value(value, "", False)

    def class_head(self, node: ast.ClassDef) -> None:
        for group in (node.bases, node.keywords, node.decorator_list):
            self._value(group, "", False)


def bytecode(code: CodeType) -> str:
    """Return the digest of what a code object does: instructions and constants, without positions or docstring."""
    return hashlib.sha256(repr(_instructions(code)).encode("utf-8", "surrogatepass")).hexdigest()


def _instructions(code: CodeType) -> tuple[object, ...]:
    listed = list(dis.get_instructions(code))
    kept = [each for each in listed if each.opname not in {"NOP", "CACHE", "EXTENDED_ARG"}]
    place = {each.offset: index for index, each in enumerate(kept)}
    for each in reversed(listed):  # a jump to a dropped instruction is a jump to the next kept one
        place.setdefault(each.offset, min((i for o, i in place.items() if o > each.offset), default=len(kept)))
    jumps = {*dis.hasjrel, *dis.hasjabs}
    steps = [
        (each.opname, place.get(each.argval, each.argval) if each.opcode in jumps else _constant(each.argval))
        for each in kept
    ]
    takes = code.co_argcount + code.co_kwonlyargcount
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_varnames[:takes])
    return (*shape, code.co_freevars, code.co_exceptiontable, steps)


def _constant(value: object) -> object:
    if isinstance(value, CodeType):
        return _instructions(value)
    if isinstance(value, tuple):
        return ("tuple", [_constant(each) for each in value])
    if isinstance(value, frozenset):
        return ("frozenset", sorted(repr(_constant(each)) for each in value))
    return (type(value).__name__, repr(value))

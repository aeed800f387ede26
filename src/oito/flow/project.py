"""A project: its modules, loaded, and the assets declared in them. All faults are found here, before anything runs."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin

from oito.errors import DeclarationError, ProjectFaults, UnknownAsset
from oito.flow import graph, hidden, loading
from oito.flow.declare import Declaration, From, declaration
from oito.flow.dimensions import Dimension, Window, dimension_of, is_partition, misfits
from oito.flow.kind import Kind, Spec
from oito.names import did_you_mean


class NeedsProject(Exception):
    """A look at a sketch of a project asked for something that only the project itself has."""


@dataclass(frozen=True)
class Input:
    """Something an asset needs: `role` is its parameter or spec field, `annotation` the type that is to arrive."""

    role: str
    asset: str
    annotation: Any = None
    is_parameter: bool = False
    window: Window | None = None  # how much more than the asset's own partition is wanted


@dataclass(frozen=True)
class Asset:
    """One declared name: its kind, its function, what it needs, and what it merely names."""

    name: str
    kind: Kind
    spec: Spec
    function: Callable[..., Any] | None
    file: str
    line: int
    inputs: tuple[Input, ...]
    named: tuple[Input, ...]
    options: Mapping[str, Any]  # parameters after *, with their defaults
    dimensions: tuple[Dimension, ...] = ()  # its partitions, each made by a call of the function

    @property
    def place(self) -> str:
        return f"{Path(self.file).name}:{self.line}"

    @property
    def cut(self) -> tuple[Dimension, ...]:
        """What its rows are cut by after they were made."""
        return tuple(getattr(self.spec, "partition", ()))

    def names(self, role: str) -> list[str]:
        """Return the assets that the spec field `role` refers to."""
        pairs = (*self.inputs, *self.named)
        return [each.asset for each in pairs if each.role == role or each.role.startswith(role + ".")]


@dataclass(frozen=True)
class Project:
    """The assets of a project in the order they can be made; `root` is where the code stands."""

    root: Path
    assets: Mapping[str, Asset]
    kinds: Mapping[str, Kind]
    files: tuple[Path, ...]
    modules: Mapping[str, ModuleType] = field(default_factory=dict)  # as they were loaded, by name
    definitions: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # of a sketch: asset → what its code came to

    def asset(self, name: str) -> Asset:
        """Return one asset.

        Raises:
            UnknownAsset: with the closest known name.
        """
        if name not in self.assets:
            raise UnknownAsset(f"the project declares no asset {name!r}", next=did_you_mean(name, self.assets))
        return self.assets[name]

    def needed(self, targets: Sequence[str]) -> list[Asset]:
        """Return the targets (all assets when there are none) with everything they need, in the order to be made."""
        wanted = {self.asset(name).name for name in targets} or set(self.assets)
        arrows = self.arrows()
        for name in reversed(list(self.assets)):
            if name in wanted:
                wanted.update(arrows[name])
        return [asset for name, asset in self.assets.items() if name in wanted]

    def arrows(self) -> dict[str, list[str]]:
        """Return asset → the assets that must be made before it."""
        return {
            name: list(dict.fromkeys(i.asset for i in (*asset.inputs, *asset.named) if i.asset != name))
            for name, asset in self.assets.items()
        }

    def below(self, name: str) -> list[Asset]:
        """Return the assets made from this one, directly or not, in order."""
        arrows = self.arrows()
        reached = {name}
        for other in self.assets:
            if reached.intersection(arrows[other]):
                reached.add(other)
        return [self.assets[other] for other in self.assets if other in reached and other != name]


def load(root: Path, modules: Sequence[str], kinds: Sequence[Kind]) -> Project:
    """Import the project's modules and return its assets.

    Raises:
        ProjectFaults: everything that is wrong with the declarations, with file, line and "did you mean".
        DeclarationError: a module is not there or cannot be imported.
    """
    loaded = loading.modules_of(root.resolve(), modules)
    by_word = {kind.word: kind for kind in kinds}
    faults: list[DeclarationError] = []
    found = _declared(loaded, faults)
    faults += [fault for module in loaded for fault in hidden.hidden(module, by_word)]
    names = {id(told): name for name, told in found.items()}
    reader = _Reader(found, names, by_word)
    assets = {name: asset for name, told in found.items() if (asset := reader.asset(name, told))}
    assets = {name: reader.with_pulled(asset, assets) for name, asset in assets.items()}
    for asset in assets.values():
        reader.check_partitions(asset, assets)
    faults += reader.faults
    order, cycle = graph.order({name: [i.asset for i in (*a.inputs, *a.named)] for name, a in assets.items()})
    if cycle:
        told = found[cycle[0]]
        faults.append(
            _fault(
                told,
                "assets need each other in a ring: " + " → ".join([*cycle, cycle[0]]),
                "",
                "remove one of the parameters",
            )
        )
    if faults:
        raise ProjectFaults(sorted(dict.fromkeys(faults), key=_by_line))
    files = tuple(sorted({Path(file) for module in loaded if (file := module.__file__)}))
    assets = {name: assets[name] for name in order}
    return Project(root.resolve(), assets, by_word, files, loading.modules(root.resolve()))


def _declared(loaded: Sequence[ModuleType], faults: list[DeclarationError]) -> dict[str, Declaration]:
    """Return name → declaration of every asset in the modules; an alias is no second asset."""
    found: dict[str, Declaration] = {}
    places: dict[int, str] = {}
    own = {module.__name__ for module in loaded}
    for module in loaded:
        for bound, thing in vars(module).items():
            told = declaration(thing)
            if told is None or bound.startswith("_"):
                continue
            name = bound
            if told.function is not None and told.function.__module__ != module.__name__:
                if told.function.__module__ in own:
                    continue  # it is read where it is written
                name = told.function.__name__
            if told.function is not None and thing is not told.function:
                faults.append(
                    _fault(told, f"{name} has another decorator above @oito.{told.spec.word}, which would be passed over",
                           "", f"write @oito.{told.spec.word} on top")
                )  # fmt: skip
            before = places.get(id(told))
            if before is not None:
                if told.function is None or told.function.__name__ != name:
                    continue
                del found[before]
            if name in found and found[name] is not told:
                faults.append(_fault(told, f"two assets are named {name!r}", f"the other is at {_place(found[name])}"))
            places[id(told)] = name
            found.setdefault(name, told)
    return found


class _Reader:
    """Turns declarations into assets and keeps the faults it meets on the way."""

    def __init__(self, found: Mapping[str, Declaration], names: Mapping[int, str], kinds: Mapping[str, Kind]) -> None:
        self.found, self.names, self.kinds = found, names, kinds
        self.faults: list[DeclarationError] = []

    def asset(self, name: str, told: Declaration) -> Asset | None:
        spec = told.spec
        if spec.word not in self.kinds:
            self.faults.append(
                _fault(told, f"{name} is a {spec.word}, which is no kind here", did_you_mean(spec.word, self.kinds),
                       "install the plug-in that brings it, with its entry point in the group oito.kinds")
            )  # fmt: skip
            return None
        for sentence in spec.faults():
            self.faults.append(_fault(told, f"{name}: {sentence}"))
        if told.function is None and spec.needs_function:
            self.faults.append(
                _fault(told, f"{name} has no function", "", f"write a function below @oito.{spec.word}(...)")
            )
        referred = list(self._referred(name, told))
        inputs = [each for each in referred if each.role.split(".")[0] not in spec.by_name]
        named = [each for each in referred if each.role.split(".")[0] in spec.by_name]
        inputs += self._tables(name, told)
        options: dict[str, Any] = {}
        dimensions: list[Dimension] = []
        if told.function is not None:
            inputs += self._parameters(name, told, options, dimensions)
        kind = self.kinds[spec.word]
        return Asset(
            name,
            kind,
            spec,
            told.function,
            told.file,
            told.line,
            tuple(inputs),
            tuple(named),
            options,
            tuple(dimensions),
        )

    def check_partitions(self, asset: Asset, assets: Mapping[str, Asset]) -> None:
        """Keep the faults of how an asset is partitioned, which can be seen once all assets are known."""
        inputs = [
            (each.asset, each.window, assets[each.asset].dimensions or assets[each.asset].cut)
            for each in asset.inputs
            if each.asset in assets
        ]
        for what, known, hint in misfits(asset.name, asset.dimensions, asset.cut, inputs, word=asset.spec.word,
                                         may_be_mapped=asset.spec.may_be_mapped):  # fmt: skip
            self.faults.append(_fault(self.found[asset.name], what, known, hint))

    def with_pulled(self, asset: Asset, assets: Mapping[str, Asset]) -> Asset:
        """Add the assets of the kinds that `pulls` names, found behind the assets that the spec refers to."""
        pulled: dict[str, Input] = {}
        for role, words in asset.spec.pulls.items():
            behind = [name for name in asset.names(role) if name in assets]
            for name in behind:  # grows while it is walked
                for each in (*assets[name].inputs, *assets[name].named):
                    other = assets.get(each.asset)
                    if other and other.kind.word in words:
                        # one of several there, one of several here
                        role = f"{other.kind.word}.{other.name}" if "." in each.role else other.kind.word
                        pulled[other.name] = Input(role, other.name)
                    if other and other.name not in behind and not other.kind.spec.takes_assets:
                        behind.append(other.name)
        known = {each.asset for each in asset.inputs}
        inputs = (*asset.inputs, *(each for name, each in pulled.items() if name not in known))
        return Asset(**{**vars(asset), "inputs": inputs})

    def _referred(self, name: str, told: Declaration) -> Iterator[Input]:
        needed = {each.name for each in fields(told.spec) if each.default is MISSING}
        for role, things in told.spec.references().items():
            if role in needed and not things:
                takes = " or ".join(told.spec.wants[role])
                self.faults.append(_fault(told, f"{name}: {role}= refers to nothing", "", f"it takes a {takes}"))
            for thing in things:
                other = declaration(thing)
                target = self.names.get(id(other)) if other else None
                if other is None or target is None:
                    shown = getattr(thing, "__name__", repr(thing))
                    self.faults.append(
                        _fault(told, f"{name}: {role}= refers to {shown}, which is no asset of this project")
                    )
                    continue
                wanted = told.spec.wants[role]
                if other.spec.word not in wanted:
                    self.faults.append(
                        _fault(
                            told,
                            f"{name}: {role}= refers to {target}, a {other.spec.word}",
                            f"it takes a {' or '.join(wanted)}",
                        )
                    )
                    continue
                is_many = isinstance(getattr(told.spec, role), tuple | list)
                yield Input(f"{role}.{target}" if is_many else role, target)

    def _tables(self, name: str, told: Declaration) -> Iterator[Input]:
        """Yield the assets that the text of a query names."""
        for table in getattr(told.spec, "tables", ()):
            if table in self.found and table != name:
                yield Input(table, table)
            else:
                self.faults.append(self._unknown(name, told, table))

    def _parameters(
        self, name: str, told: Declaration, options: dict[str, Any], dimensions: list[Dimension]
    ) -> Iterator[Input]:
        assert told.function is not None
        spec, annotations = told.spec, _annotations(told.function)
        if inspect.iscoroutinefunction(inspect.unwrap(told.function)):
            self.faults.append(
                _fault(told, f"{name} is async", "a step is called, not awaited", "write def, not async def")
            )
        for parameter in inspect.signature(told.function).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                stars = "*" if parameter.kind == parameter.VAR_POSITIONAL else "**"
                self.faults.append(
                    _fault(told, f"{name} takes {stars}{parameter.name}", "parameters before * are assets, by name")
                )
            elif parameter.kind == parameter.POSITIONAL_ONLY:
                known = "parameters before * are assets, by name"
                self.faults.append(
                    _fault(told, f"{name} takes {parameter.name!r} by position only", known, "remove the /")
                )
            elif is_partition(annotations.get(parameter.name)):
                dimension, wrong = dimension_of(name, parameter, annotations[parameter.name])
                dimensions.append(dimension)
                self.faults += [_fault(told, *each) for each in wrong]
            elif parameter.kind == parameter.KEYWORD_ONLY:
                options[parameter.name] = parameter.default
                if parameter.default is parameter.empty and parameter.name != "seed":
                    next = f"write {parameter.name}=... with a value, or put it before * if it is an asset"
                    self.faults.append(_fault(told, f"{name}: the option {parameter.name!r} has no default", "", next))
            elif parameter.name not in spec.given:
                annotation, source, window = _split(annotations.get(parameter.name))
                target = parameter.name if source is None else self._source(source)
                if target in self.found and spec.takes_assets and target != name:
                    yield Input(parameter.name, target, annotation, is_parameter=True, window=window)
                else:
                    self.faults.append(self._unknown(name, told, parameter.name, source, parameter.default))

    def _source(self, source: From) -> str:
        told = declaration(source.asset)
        return self.names.get(id(told), "") if told else str(source.asset)

    def _unknown(
        self,
        name: str,
        told: Declaration,
        parameter: str,
        source: From | None = None,
        default: Any = inspect.Parameter.empty,
    ) -> DeclarationError:
        spec = told.spec
        if source is not None:
            shown = getattr(source.asset, "__name__", source.asset)
            return _fault(
                told, f"{name}: the parameter {parameter!r} is from {shown}, which is no asset of this project", "",
                did_you_mean(str(shown), [each for each in self.found if each != name]),
            )  # fmt: skip
        known = [*spec.given, *(self.found if spec.takes_assets else ())]
        if parameter == name:
            return _fault(told, f"{name} needs itself", "", "give the parameter the name of another asset")
        if not spec.takes_assets and parameter in self.found:
            return _fault(
                told,
                f"{name}: a {spec.word} takes no asset as the parameter {parameter!r}",
                f"it is given {', '.join(spec.given)}",
            )
        hint = did_you_mean(parameter, [k for k in known if k != name])
        if default is not inspect.Parameter.empty and "did you mean" not in hint:
            hint = f"an option stands behind a star: def {name}(..., *, {parameter}={default!r})"
        return _fault(told, f"{name} needs {parameter!r}, which no asset is named", "", hint)


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations as values; one with a name that exists only for type checkers stays a text."""
    inner: Any = inspect.unwrap(function)
    found = dict(inspect.get_annotations(inner))
    for name, written in found.items():
        if isinstance(written, str):
            with contextlib.suppress(Exception):
                found[name] = eval(written, inner.__globals__)
    return found


def _split(annotation: Any) -> tuple[Any, From | None, Window | None]:
    if get_origin(annotation) is Annotated:
        plain, *rest = get_args(annotation)
        sources = [each for each in rest if isinstance(each, From)]
        windows = [each for each in rest if isinstance(each, Window)]
        return plain, sources[0] if sources else None, windows[0] if windows else None
    return annotation, None, None


def _place(told: Declaration) -> str:
    return f"{Path(told.file).name}:{told.line}"


def _by_line(fault: DeclarationError) -> tuple[str, int]:
    file, _, line = fault.where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (fault.where, 0)


def _fault(told: Declaration, what: str, known: str = "", next: str = "") -> DeclarationError:
    return DeclarationError(what, where=_place(told), known=known, next=next)

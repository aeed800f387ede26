"""Where steps happen: a project, a catalog, the files, an environment and a clock, brought together. And what a step is handed."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oito.catalog import freed, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import Clock
from oito.errors import MissingColumn, OitoError, StepFailed, UnknownAsset
from oito.flow import dimensions
from oito.flow.project import Asset, Project
from oito.names import did_you_mean
from oito.settings import Settings
from oito.storage.files import Files

if TYPE_CHECKING:
    import polars as pl

Tell = Callable[[str, str], None]  # asset, what happens with it
ROWS = "rows"  # the name of a version's main table


def silent(asset: str, text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Site:
    """Everything a step may touch; `root` is the folder that data paths are relative to."""

    project: Project
    catalog: Catalog
    files: Files
    settings: Settings
    environment: str
    root: Path
    tell: Tell = silent

    @property
    def clock(self) -> Clock:
        return self.catalog.clock

    @property
    def home(self) -> Path:
        return self.catalog.folder

    def now(self) -> datetime:
        return self.clock.now()

    def within(self, environment: str) -> Site:
        """Return the same site working in another environment."""
        return replace(self, environment=environment)

    def read(self, version: Version, *, as_type: Any = None, **how: Any) -> Any:
        """Return what a version gives to those who need it; its kind's door decides, a table is the default.

        Args:
            as_type: the annotation of the parameter it is for; None is `pl.LazyFrame` where it is a table.
            how: what the kind's door understands, such as `at=` (a frame of moments) for features.
        """
        if version.state == freed.STATE:
            raise freed.error(self.catalog.rows, version.ref)
        kind = self.project.kinds.get(version.kind)
        door = getattr(kind.door("run"), "read", None) if kind else None
        if door is not None:
            return door(self, version, as_type=as_type, **how)
        return self.table(version, as_type=as_type)

    def table(self, version: Version, name: str = ROWS, *, as_type: Any = None) -> Any:
        """Return one stored table of a version as the wanted type.

        Raises:
            MissingColumn: the version has no table of that name.
            VersionFreed: its bytes were given back.
        """
        from oito.storage import cuts, frames, tables

        if version.state == freed.STATE:
            raise freed.error(self.catalog.rows, version.ref)
        if name not in version.tables:
            raise MissingColumn(f"{version.ref} has no table {name!r}", known=did_you_mean(name, version.tables))
        table = tables.Table.from_data(version.tables[name])
        if (
            version.selection is not None and version.partitions["dimensions"][0][2]
        ):  # cut, so its rows are picked as they are read
            by = [cuts.Cut(unit, column) for _, unit, column in version.partitions["dimensions"]]
            return frames.as_type(cuts.picked(tables.scan(self.files, table), by, version.selection), as_type)
        if getattr(as_type, "__name__", as_type) == "DuckDBPyRelation" and table.rows:
            return frames.as_relation(tables.paths(self.files, table))
        return frames.as_type(tables.scan(self.files, table), as_type)


@dataclass
class Made:
    """What a step made; bytes that are stored already (`table`) or are to be (`frame`, `frames`, `files`).

    `meaning` names the entries of the record that say how the rows are to be read, such as a time to live: another meaning
    of the same rows is another content, so that what reads them is made again.

    `broken` is the error of a result that may be looked at but not used; `unchanged` says that there is no new result at
    all, because the outside world had nothing new.
    """

    frame: Any = None
    table: Any = None
    frames: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    content: str = ""
    meaning: tuple[str, ...] = ()
    broken: OitoError | None = None
    unchanged: bool = False
    undeclared: Mapping[str, str] = field(default_factory=dict)  # what it read without declaring it → digest


@dataclass(frozen=True)
class Gate:
    """What a gate said of a version: `numbers` are its evidence."""

    name: str
    passed: bool
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        return {"gate": self.name, "passed": self.passed, "text": self.text, "numbers": dict(self.numbers)}


@dataclass
class Context:
    """What one step is handed: its asset, its inputs by role, its version before, and the site."""

    site: Site
    asset: Asset
    inputs: Mapping[str, Version]
    previous: Version | None = None
    is_redefined: bool = True  # whether the definition differs from that of `previous`
    definition: str = ""  # the digest of how the version is made, data left out
    cause: str = ""
    lines: list[str] = field(default_factory=list)
    tell: Callable[[str], None] = lambda text: None
    touched: dict[str, Version] = field(default_factory=dict)
    partition: str = ""  # the key of the one partition that is to be made; "" is the whole
    run: str = ""  # the run that it is a step of; "" when nothing is to be kept

    def version(self, name: str) -> Version:
        """Return the input known by a role or by its asset's name.

        Raises:
            UnknownAsset: the step was not declared to need it.
        """
        for role, version in self.inputs.items():
            if name in {role, version.asset}:
                return version
        known = ", ".join(version.asset for version in self.inputs.values()) or "none"
        raise UnknownAsset(
            f"{self.asset.name} does not need {name!r}", where=self.asset.place, known=f"its inputs: {known}"
        )

    def read(self, name: str, *, as_type: Any = None, **how: Any) -> Any:
        """Return an input as its kind gives it; see `Site.read`."""
        return self.site.read(self.version(name), as_type=as_type, **how)

    def table(self, name: str, *, as_type: Any = None) -> Any:
        """Return the main table of an input."""
        return self.site.table(self.version(name), as_type=as_type)

    def resolve(self, asset: str, environment: str) -> Version | None:
        """Return what another environment points at, and remember that it was looked at."""
        version = self.site.catalog.resolve(asset, environment)
        if version:
            self.touched[f"{environment}.{asset}"] = version
        return version

    def call(self, **given: Any) -> Any:
        """Call the user's function with its assets read as annotated, and `given` for the parameters the kind fills.

        Raises:
            StepFailed: the function raised; the text names the user's line.
        """
        assert self.asset.function is not None
        wanted = {i.role: i for i in self.asset.inputs if i.is_parameter}
        arguments = {role: self.read(role, as_type=each.annotation) for role, each in wanted.items()}
        takes = inspect.signature(self.asset.function).parameters  # those of the function inside a wrapper, too
        arguments.update({name: value for name, value in given.items() if name in takes})
        if self.partition:
            arguments.update(dimensions.arguments(self.asset.dimensions, self.partition))
        if "seed" in self.asset.options:
            arguments["seed"] = self.seed("seed")
        return self.guarded(self.asset.function, **arguments)

    def guarded(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call user code; what it raises becomes a StepFailed that names the line."""
        try:
            return function(*arguments, **named)
        except OitoError:
            raise
        except Exception as error:
            raise failed(self.asset, error, self.site.project.root) from error

    def seed(self, *names: str) -> int:
        """Return the 32-bit seed of a named stream below the project's root seed."""
        text = "/".join([str(self.site.settings.seed), self.asset.name, *names])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def path(self, name: str) -> Path:
        """Return a data path relative to the project's folder."""
        return self.site.root / name

    def say(self, text: str) -> None:
        """Add a line to the log of the step and show it as progress."""
        self.lines.append(text)
        self.tell(text)

    def collected(self, frame: pl.LazyFrame | pl.DataFrame) -> pl.DataFrame:
        """Return the rows of a lazy frame; what goes wrong in the user's query becomes a StepFailed."""
        import polars as pl

        return self.guarded(frame.collect) if isinstance(frame, pl.LazyFrame) else frame

    def metric_before(self, name: str) -> float | None:
        """Return a metric of the version before, or None."""
        return versions.metrics(self.site.catalog.rows, self.previous.id).get(name) if self.previous else None


def failed(asset: Asset, error: BaseException, root: Path) -> StepFailed:
    """Return the StepFailed of an exception that user code raised, with the innermost line of the user's own files."""
    where, trace = asset.place, error.__traceback__
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(root) and "site-packages" not in file.parts:
            where = f"{file.name}:{trace.tb_lineno}, in {trace.tb_frame.f_code.co_name}"
        trace = trace.tb_next
    text = " ".join(str(error).split())
    problem = StepFailed(
        f"{asset.name} raised {type(error).__name__}: {text[:400]}",
        where=where,
        known="no pointer moved; what was made before is kept",
        next=f"mend it, then: oito run {asset.name}",
    )
    problem.may_retry = bool(getattr(error, "may_retry", False)) or isinstance(error, ConnectionError | TimeoutError)
    return problem

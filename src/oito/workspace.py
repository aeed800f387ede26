"""A workspace: one project folder opened for work. What a notebook holds, what every face starts from."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from oito import settings as settings_door
from oito.catalog.catalog import Catalog
from oito.catalog.records import Release, Version
from oito.clock import Clock, RealClock, VirtualClock, moment
from oito.eight import kinds
from oito.errors import DeclarationError, UnknownAsset
from oito.flow import actions as flow_actions
from oito.flow import bundle, curves, pages, runner, sketch, timetable
from oito.flow import project as projects
from oito.flow.action import Action, actions_of
from oito.flow.project import NeedsProject, Project
from oito.flow.reads.watching import watched
from oito.flow.releases import release, released, releasing
from oito.flow.remaking import verify
from oito.flow.site import Site, Tell, silent
from oito.flow.upkeep import cleaning, integrity
from oito.names import did_you_mean
from oito.show import Page
from oito.simulation import actions as simulation_actions
from oito.storage.files import Files


def actions() -> list[Action]:
    """Return everything that a person may do, the general first, then kind by kind."""
    found = [
        *actions_of(flow_actions),
        *actions_of(releasing),
        *actions_of(pages),
        *actions_of(curves),
        *actions_of(timetable),
        *actions_of(cleaning),
        *actions_of(integrity),
        *actions_of(verify),
        *actions_of(simulation_actions),
    ]
    for kind in kinds():
        found += actions_of(kind.door("actions"))
    return found


class Workspace:
    """A project folder with its catalog, in one environment. Opening it imports nothing of the user's.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Workspace(Path(folder)).environment
        'dev'
    """

    def __init__(self, root: str | Path = ".", *, clock: Clock | None = None, **overrides: Any) -> None:
        self.root = Path(root).resolve()
        given = {name: value for name, value in overrides.items() if value not in (None, "")}
        self._given = given
        self.settings = settings_door.load(self.root, given)
        self.environment: str = self.settings.environment
        now = self.settings.now
        self.tell: Tell = silent
        self.clock: Clock = clock or (VirtualClock(moment(now)) if now else RealClock())
        self._loading = threading.Lock()
        self._loaded: object = None  # the stamp of the project that is loaded

    @cached_property
    def catalog(self) -> Catalog:
        settings = self.settings
        return Catalog(settings.home_folder, self.clock, who=settings.who, protected=tuple(settings.protected))

    @cached_property
    def files(self) -> Files:
        return Files(self.settings.home_folder / "files")

    @cached_property
    def project(self) -> Project:
        """The project's assets: in a protected environment those of its release, else those of the folder.

        Raises:
            ProjectFaults: everything that is wrong with the declarations.
        """
        source = self._source()
        with watched(self.root, ignored=(self.settings.home_folder,)) as self._watch:
            return projects.load(source, list(self.settings.project), kinds())

    def look(self, at: Callable[[Site], Page]) -> Page:
        """Return what an action that changes nothing shows, without importing the user's modules while none has changed."""
        if "project" not in self.__dict__:
            project = sketch.sketched(self._source(), self.settings, kinds())
            if project is not None:
                with contextlib.suppress(NeedsProject):
                    return at(self._site(project))
        page = at(self.site)
        sketch.draw(self.site, self._watch)
        return page

    def _site(self, project: Project) -> Site:
        return Site(project, self.catalog, self.files, self.settings, self.environment, self.root, self.tell)

    @property
    def site(self) -> Site:
        return self._site(self.project)

    def refreshed(self) -> Site:
        """Return the site with the project as its files, or the environment's release, are now; safe to ask from any thread."""
        with self._loading:
            self._follow_branch()
            if self._stamp() != self._loaded:
                self.__dict__.pop("project", None)
            site = self.site
            self._loaded = self._stamp()
        return site

    def run(self, *targets: str, collect: Sequence[str] = ()) -> runner.Outcome:
        """Bring the targets (all assets when there are none) up to date; raise the first error, if any step had one."""
        outcome = released.run(self.site, targets, collect=collect)
        outcome.raise_first()
        return outcome

    def plan(self, *targets: str) -> Shown:
        """Return what would run, and why."""
        return Shown(flow_actions.plan(self.site, list(targets)))

    def release(self, target: str = "production", *, message: str = "") -> Release:
        """Release this environment to the target."""
        return release.release(self.site, target, message=message)[0]

    def __getitem__(self, name: str) -> AssetView:
        """Return an asset by name, to look at or to read.

        Raises:
            UnknownAsset: with the closest known name.
        """
        if name not in self.project.assets:
            raise UnknownAsset(f"the project declares no asset {name!r}", next=did_you_mean(name, self.project.assets))
        return AssetView(self, name)

    def _repr_html_(self) -> str:
        return Shown(pages.status(self.site))._repr_html_()

    def __repr__(self) -> str:
        return f"<oito workspace {self.root.name}, environment {self.environment}>"

    def close(self) -> None:
        """Close the catalog's file."""
        if "catalog" in self.__dict__:
            self.catalog.close()

    def _follow_branch(self) -> None:
        """Go on in the environment of the git branch that the folder stands on by now, where the branch decides."""
        if not self.settings.is_told("environment"):
            now = settings_door.load(self.root, self._given)
            if now.environment != self.environment:
                self.settings, self.environment, self._loaded = now, now.environment, None

    def _stamp(self) -> object:
        """Return what changes when the project does: its release's number, or size and time of each of its files."""
        if self.environment in self.settings.protected:
            last = release.current_release_of(self.catalog, self.environment)
            return last.id if last else None
        loaded: Project | None = self.__dict__.get("project")
        paths = [Path(file) for each in loaded.modules.values() if (file := each.__file__)] if loaded else []
        return [(path, stat.st_size, stat.st_mtime_ns) for path in paths if path.exists() and (stat := path.stat())]

    def _source(self) -> Path:
        """Return the folder the project's code is read from."""
        if self.environment not in self.settings.protected:
            return self.root
        last = release.current_release_of(self.catalog, self.environment)
        if last is None:
            raise DeclarationError(
                f"nothing was released to {self.environment} yet",
                known=f"{self.environment} runs released code only, never the working folder",
                next=f"oito run, then: oito release {self.environment}",
            )
        return bundle.unpacked(self.files, last.bundle, self.settings.home_folder / "bundles")


class AssetView:
    """One asset of a workspace: `view["production"]` or `view[3]` is another version of it."""

    def __init__(self, workspace: Workspace, name: str, version: Version | None = None) -> None:
        self.workspace, self.name = workspace, name
        self._version = version

    @property
    def version(self) -> Version:
        """The version this view stands on.

        Raises:
            UnknownEnvironment: there is none here yet.
        """
        return self._version or self.workspace.catalog.find(self.name, self.workspace.environment)

    def __getitem__(self, which: str | int) -> AssetView:
        written = f"{self.name}:v{which}" if isinstance(which, int) else f"{self.name}@{which}"
        return AssetView(self.workspace, self.name, self.workspace.catalog.find(written, self.workspace.environment))

    def frame(self) -> Any:
        """Return the rows as a Polars frame."""
        return self.workspace.site.table(self.version).collect()

    def read(self, as_type: Any = None, **how: Any) -> Any:
        """Return what the asset gives to those who need it: a frame, an estimator, predictions."""
        return self.workspace.site.read(self.version, as_type=as_type, **how)

    def predict(self, rows: Any) -> Any:
        """Return what a model says of rows that have all its input columns: probabilities [rows, classes], or values."""
        return self.read().predict(rows)

    def _repr_html_(self) -> str:
        return Shown(pages.show(self.workspace.site, self.version.ref))._repr_html_()

    def __repr__(self) -> str:
        return f"<{self.name} in {self.workspace.environment}>"


class Shown:
    """A page that draws itself in a notebook and prints itself elsewhere."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.data = page.data

    def _repr_html_(self) -> str:
        from oito.web.render import fragment

        return fragment(self.page)

    def __repr__(self) -> str:
        return f"<{self.page.title}>"


def open(root: str | Path = ".", **overrides: Any) -> Workspace:
    """Open the project folder `root`; settings may be overridden by name, such as `environment="production"`."""
    return Workspace(root, **overrides)

"""Scratch environments: real distributions, built and installed for one test."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from support.environments import make_bare

TRANSPORTS = "civitas.v1.transports"

PLUGIN = """
from civitas.plugins import TransportSpec, hookimpl


def make(options, context):
    from {package}.transport import Pigeon

    return Pigeon()


@hookimpl
def civitas_transports():
    yield TransportSpec(name={name!r}, summary="Slow but sure", factory=make)
"""

# The shape that the transports reference shows: no base class, parameters as in a first draft.
TRANSPORT = """
class Pigeon:
    async def start(self): ...
    async def stop(self): ...
    async def subscribe(self, address: str, handler) -> None: ...
    async def publish(self, address, data): ...
    async def request(self, address: str, data: bytes, timeout: float) -> bytes: ...
    async def wait_ready(self): ...
    def has_reply_address(self, address): ...
"""

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "{version}"
dependencies = {dependencies}

{entry_points}
[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

LOAD = """
import json, sys
from civitas.errors import Location
from civitas.plugins.catalog import PluginKind
from civitas.plugins.errors import UnusablePluginError
from civitas.plugins.loader import LoadedTransport, load, make_transport
from civitas.plugins import TransportContext
from civitas.transport import Transport

def result_of(name):
    result = {"error": None, "loaded": None}
    try:
        loaded = load(PluginKind(kind), name, where)
        result["loaded"] = loaded.candidate.qualified_name
        if isinstance(loaded, LoadedTransport):
            make_transport(loaded, None, TransportContext(), Transport, where=where)
    except UnusablePluginError as error:
        result["error"] = {**error.as_dict(), "text": str(error), "class": type(error).__name__}
    return result | {"modules": sorted(sys.modules)}

kind, *names = sys.argv[1:]
where = Location("topology.yaml", 7)
print(json.dumps({name: result_of(name) for name in names}))
"""


@dataclass(frozen=True)
class Scratch:
    """A place to install distributions in, and to run programs that see them."""

    root: Path
    interpreter: Path

    @property
    def site(self) -> Path:
        """The folder that stands for site-packages."""
        return self.root / "site"

    def wheel(
        self,
        distribution: str = "carrier-pigeon",
        version: str = "1.0",
        *,
        name: str = "pigeon",
        group: str = TRANSPORTS,
        value: str | None = None,
        plugin: str = PLUGIN,
        transport: str = TRANSPORT,
        dependencies: tuple[str, ...] = (),
    ) -> Path:
        """Build a wheel with one entry point, with hatchling. No `name`: no entry point."""
        package = distribution.lower().replace("-", "_").replace(".", "_")
        project = self.root / "projects" / f"{distribution}-{version}"
        folder = project / package
        folder.mkdir(parents=True)
        point = f'{name} = "{value or package + ".plugin"}"'
        entry_points = f'[project.entry-points."{group}"]\n{point}\n' if name else ""
        (project / "pyproject.toml").write_text(
            PROJECT.format(
                distribution=distribution,
                version=version,
                package=package,
                entry_points=entry_points,
                dependencies=json.dumps(dependencies),
            )
        )
        (folder / "__init__.py").write_text("")
        marked = plugin.replace("{package}", package).replace("{name!r}", repr(name))
        (folder / "plugin.py").write_text(marked)
        (folder / "transport.py").write_text(transport)
        builder = WheelBuilder(str(project))
        return Path(next(builder.build(directory=str(self.root / "wheels"))))

    def install(self, *args: Any, site: str = "site", **kwargs: Any) -> Path:
        """Build a wheel and unpack it, which is what installing a pure-Python wheel is."""
        folder = self.root / site
        with zipfile.ZipFile(self.wheel(*args, **kwargs)) as wheel:
            wheel.extractall(folder)
        return folder

    def lay(self, name: str, files: Mapping[str, str], **values: str) -> None:
        """Lay down a distribution with a package, both of that name, as installed, without a build.

        Args:
            name: the name of its entry points, too.
            files: the modules of the package, by name.
            values: the value of the entry point in the group of `transports` or `serializers`.
        """
        package, metadata = self.site / name, self.site / f"{name}-1.0.dist-info"
        for folder in (package, metadata):
            folder.mkdir(parents=True)
        for module, source in {"__init__": "", **files}.items():
            (package / f"{module}.py").write_text(source)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            "".join(f"[civitas.v1.{kind}]\n{name} = {value}\n" for kind, value in values.items())
        )

    def environment(self, settings: Mapping[str, str], sites: tuple[str, ...]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CIVITAS", "PYTHON"))}
        path = os.pathsep.join(str(self.root / site) for site in sites)
        return {**kept, "PYTHONPATH": path, "COLUMNS": "200", **settings}

    def python(
        self, program: str, *args: str, sites: tuple[str, ...] = ("site",), **settings: str
    ) -> Any:
        """Run a program that prints JSON, and return what it printed."""
        done = subprocess.run(
            [str(self.interpreter), "-P", "-W", "error", "-c", program, *args],
            env=self.environment(settings, sites),
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "never awaited" not in done.stderr
        return json.loads(done.stdout)

    def load(self, name: str, kind: str = "transport", **kwargs: Any) -> Any:
        """Load and make a plugin that line 7 of `topology.yaml` names; return what came of it."""
        return self.load_each(name, kind=kind, **kwargs)[name]

    def load_each(self, *names: str, kind: str = "transport", **kwargs: Any) -> Any:
        """Load and make plugins in one process after the other; return what came of each."""
        return self.python(LOAD, kind, *names, **kwargs)

    def civitas(
        self, *args: str, sites: tuple[str, ...] = ("site",), **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the installed `civitas plugins` command."""
        return self.command("plugins", *args, sites=sites, **settings)

    def command(
        self, *args: str, sites: tuple[str, ...] = ("site",), **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the installed `civitas` command."""
        command = str(self.interpreter.with_name("civitas"))
        return self.program(command, *args, sites=sites, **settings)

    def program(
        self,
        *command: str,
        cwd: Path | None = None,
        sites: tuple[str, ...] = ("site",),
        **settings: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, in the root or in another folder."""
        return subprocess.run(
            command,
            env=self.environment(settings, sites),
            cwd=cwd or self.root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has civitas-core and no other plugin."""
    return make_bare(tmp_path_factory.mktemp("bare") / "venv")


@pytest.fixture(scope="session")
def make_scratch(interpreter: Path) -> Callable[[Path], Scratch]:
    """Makes an empty scratch environment in a folder."""
    return partial(Scratch, interpreter=interpreter)


@pytest.fixture
def scratch(tmp_path: Path, make_scratch: Callable[[Path], Scratch]) -> Scratch:
    """An empty scratch environment."""
    return make_scratch(tmp_path)

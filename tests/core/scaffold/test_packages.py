"""The way of an author who has nothing but the command: to a wheel, and to a real network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.environments import make_bare

TESTS = Path(__file__).parents[2]
AFTERNOON = TESTS / "support" / "afternoon"
DEADLINE = 120.0

AGENT = """
from civitas import AgentProcess

class Greeter(AgentProcess):
    async def on_start(self):
        await self.send("greeter", {"name": "Ada"})

    async def handle(self, message):
        print(f"Hello, {message.payload['name']}!", flush=True)
        self.stop()
"""

TOPOLOGY = """
%s
supervision:
  name: root
  children:
    - agent: {name: greeter, type: agents.Greeter}
"""

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]  # the kit alone may take 90 s


@dataclass(frozen=True)
class Environment:
    """A virtual environment with civitas-core and no plugin, and a folder to work in."""

    folder: Path
    python: Path

    @classmethod
    def made(cls, root: Path, folder: Path) -> Environment:
        return cls(folder, make_bare(root))

    def run(self, *command: str | Path, cwd: Path | None = None, **settings: str) -> str:
        """Run a program of this environment to its end, and return what it wrote."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("CIVITAS", "PYTHON", "PYTEST"))
        }
        done = subprocess.run(
            [str(each) for each in command],
            cwd=cwd or self.folder,
            env={**kept, "PATH": f"{self.python.parent}{os.pathsep}{kept['PATH']}", **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def install(self, *args: str | Path) -> None:
        """Install from local folders and files alone."""
        alone = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet")
        self.run(sys.executable, "-m", "pip", "--python", self.python, "install", *alone, *args)

    def module(self, *args: str | Path, cwd: Path, **settings: str) -> str:
        """Run a module of this environment's Python."""
        return self.run(self.python, "-m", *args, cwd=cwd, **settings)


@pytest.fixture
def author(tmp_path: Path) -> Environment:
    return Environment.made(tmp_path / "author", tmp_path)


@pytest.fixture
def user(tmp_path: Path) -> Environment:
    folder = tmp_path / "use"
    folder.mkdir()
    return Environment.made(tmp_path / "user", folder)


def build(author: Environment, project: Path) -> tuple[Path, set[str], set[str]]:
    """Build as an author does, and return the wheel, and what is in it and in the sdist."""
    author.module("build", "--no-isolation", cwd=project)
    (wheel,) = (project / "dist").glob("*.whl")
    (sdist,) = (project / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    return wheel, in_wheel, in_sdist


def conformance(output: str, suite: str) -> tuple[int, int]:
    """Return how many of a class's standard tests passed, and of how many, as the kit says it."""
    (found,) = re.findall(
        rf"^{suite}: \w+ conformance 1\.\d: (\d+) of (\d+) passed", output, re.MULTILINE
    )
    return int(found[0]), int(found[1])


def greets(user: Environment, block: str) -> str:
    """Run a topology of one agent, and return what that wrote."""
    (user.folder / "agents.py").write_text(AGENT)
    (user.folder / "topology.yaml").write_text(TOPOLOGY % block)
    return user.run("civitas", "run")


def proof(user: Environment, name: str) -> dict[str, object]:
    """Return what `civitas plugins list` says of a plugin."""
    rows = json.loads(user.run("civitas", "plugins", "list", "--json"))
    (row,) = [row for row in rows if row["name"] == name]
    return row


def test_a_new_transport_goes_all_the_way(author: Environment, user: Environment) -> None:
    told = author.run("civitas", "plugins", "new", "transport", "pigeon")
    project = author.folder / "civitas-pigeon"
    author.install("-e", project)
    report = "--conformance-report=src/civitas_pigeon/conformance.json"
    output = author.module("pytest", report, cwd=project)
    passed, expected = conformance(output, "TestPigeon")
    assert passed == expected > 35, output
    passed, expected = conformance(output, "TestOverTheStub")
    assert (passed, "1 deviation" in output) == (expected - 1, True), output
    assert "Success" in author.module("mypy", "--strict", cwd=project)
    (search,) = re.findall(r"^  (grep .*?) +#", told, re.MULTILINE)
    left = author.run(*search.split(), cwd=project).splitlines()
    assert all(re.match(r"[\w./]+:\d+:.*TODO", line) for line in left), left

    wheel, in_wheel, in_sdist = build(author, project)
    modules = {"__init__", "options", "plugin", "stub", "wire"}
    assert in_wheel == {
        *(f"civitas_pigeon/{name}.py" for name in modules),
        "civitas_pigeon/py.typed",
        "civitas_pigeon/conformance.json",
        *(
            f"civitas_pigeon-0.1.0.dist-info/{name}"
            for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
        ),
    }
    tests = {"tests/test_conformance.py", "tests/test_stub.py"}
    about = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}
    code = {f"src/{name}" for name in in_wheel if "dist-info" not in name}
    assert in_sdist == code | tests | about

    user.install(wheel)
    assert user.run("civitas", "plugins", "check", "pigeon") == (
        "ok             transport pigeon (civitas-pigeon 0.1.0)\n"
    )
    assert "Hello, Ada!" in greets(user, "transport: {type: pigeon}")
    assert "transport conformance 1." in str(proof(user, "pigeon")["conformance"])


def test_a_new_serializer_goes_all_the_way(author: Environment, user: Environment) -> None:
    author.run("civitas", "plugins", "new", "serializer", "tidy")
    project = author.folder / "civitas-tidy"
    author.install("-e", project)
    report = "--conformance-report=src/civitas_tidy/conformance.json"
    output = author.module("pytest", report, cwd=project)
    passed, expected = conformance(output, "TestTidy")
    assert passed == expected > 8, output
    assert "Success" in author.module("mypy", "--strict", cwd=project)

    wheel, in_wheel, in_sdist = build(author, project)
    names = ("__init__.py", "plugin.py", "serializer.py", "py.typed", "conformance.json")
    files = {f"civitas_tidy/{name}" for name in names}
    assert {name for name in in_wheel if "dist-info" not in name} == files
    assert "civitas_tidy-0.1.0.dist-info/licenses/LICENSE" in in_wheel
    assert {f"src/{name}" for name in files} | {"tests/test_conformance.py"} <= in_sdist

    user.install(wheel)
    assert user.run("civitas", "plugins", "check", "tidy") == (
        "ok             serializer tidy (civitas-tidy 0.1.0)\n"
    )
    assert "Hello, Ada!" in greets(user, "serializer: tidy")
    assert "serializer conformance 1." in str(proof(user, "tidy")["conformance"])


def test_a_new_instrument_goes_all_the_way(author: Environment, user: Environment) -> None:
    author.run("civitas", "plugins", "new", "instrument", "census")
    project = author.folder / "civitas-census"
    author.install("-e", project)
    report = "--conformance-report=src/civitas_census/conformance.json"
    output = author.module("pytest", report, cwd=project)
    passed, expected = conformance(output, "TestCensus")
    assert passed == expected > 12, output
    assert "Success" in author.module("mypy", "--strict", cwd=project)

    wheel, in_wheel, in_sdist = build(author, project)
    names = ("__init__.py", "plugin.py", "options.py", "instrument.py", "py.typed")
    files = {f"civitas_census/{name}" for name in (*names, "conformance.json")}
    assert {name for name in in_wheel if "dist-info" not in name} == files
    assert {f"src/{name}" for name in files} | {"tests/test_instrument.py"} <= in_sdist

    user.install(wheel)
    assert user.run("civitas", "plugins", "check", "census") == (
        "ok             instrument census (civitas-census 0.1.0)\n"
    )
    output = greets(user, "instruments: [{type: census, slow: 0.0000001}]")
    assert "Hello, Ada!" in output
    assert "greeter took 0.0" in output
    assert "instrument conformance 1." in str(proof(user, "census")["conformance"])


def change(file: Path, *changes: tuple[str, str]) -> None:
    """Replace what is in a file, each once."""
    text = file.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def uncomment(file: Path) -> None:
    """Make code of what a file shows in comments: the fixtures, and the line that begins `way`."""
    shown = re.compile(
        r"^( *)# ((?:@pytest\.|def |    |way = ).*)$",
        re.MULTILINE,
    )
    text, count = shown.subn(r"\1\2", file.read_text())
    assert count == 15, text
    file.write_text(text)


def test_what_the_todos_say_leads_to_a_transport_between_processes(author: Environment) -> None:
    """Only what the TODOs name is changed: wire.py, the claims, the fixtures of the tests."""
    author.run("civitas", "plugins", "new", "transport", "pigeon")
    project = author.folder / "civitas-pigeon"
    package = project / "src" / "civitas_pigeon"
    shutil.copy(AFTERNOON / "wire.py", package / "wire.py")
    (package / "stub.py").unlink()
    (project / "tests" / "test_stub.py").unlink()
    change(
        package / "options.py",
        (
            "return Capabilities(",
            "return Capabilities(cross_process=True, survives_broker_restart=True, ",
        ),
    )
    tests = project / "tests" / "test_conformance.py"
    uncomment(tests)
    change(
        tests,
        ('"your-broker", "--port", ', 'sys.executable, "-m", "support.afternoon.broker", '),
        ("import Callable", "import Callable, Iterator"),
        ("from uuid import uuid4", "import sys"),
        ("import TransportConformance", "import ServerProcess, TcpLink, TransportConformance"),
        (
            "def make_transport(\n        self,",
            "def make_transport(\n        self,\n        server: ServerProcess,\n"
            "        request: pytest.FixtureRequest,",
        ),
        ("network=uuid4().hex", "network=str(way.port)"),
    )
    path = os.pathsep.join([str(project / "src"), str(TESTS)])
    assert "Success" in author.module("mypy", "--strict", "tests", cwd=project, PYTHONPATH=path)
    output = author.module("pytest", cwd=project, PYTHONPATH=path)
    passed, expected = conformance(output, "TestPigeon")
    assert passed == expected > 51, output
    assert "deviation" not in output
    for fixture in ("broker", "freezer", "link"):
        assert f"there is no fixture `{fixture}`" not in output

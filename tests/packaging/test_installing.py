"""What users install: from wheels alone, in environments of their own, with pip's own resolver."""

from __future__ import annotations

import json
import re
import shlex
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from release.building import Built, build
from release.commands import CommandError
from release.environment import Environment
from release.workspace import distributions
from support.zmq import free_address

WORKSPACE = distributions(Path(__file__).parents[2])
PLUGINS = sorted(name for name, each in WORKSPACE.items() if each.is_plugin)
Prepare = Callable[..., Environment]

pytestmark = [pytest.mark.packaging, pytest.mark.slow]

AGENTS = """
import os, sys
from civitas import AgentProcess


class Greeter(AgentProcess):
    async def handle(self, message):
        if message.type == "goodbye":
            self.stop()
            return None
        return self.reply({"text": f"Hello, {message.payload['name']}!", "process": os.getpid()})


class Guest(AgentProcess):
    async def on_start(self):
        await self.send(self.name, {}, "arrive")

    async def handle(self, message):
        answer = await self.ask("greeter", {"name": "Ada"})
        mine = answer.payload["process"] == os.getpid()
        print(answer.payload["text"], "from", "here" if mine else "afar")
        print("foreign modules:", *sorted({"zmq", "nats", "redis", "pytest"} & set(sys.modules)))
        await self.send("greeter", {}, "goodbye")
        self.stop()
"""

CHILDREN = """
supervision:
  name: root
  children:
    - agent: {name: greeter, type: agents.Greeter, process: hall}
    - agent: {name: guest, type: agents.Guest}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with two agents and a topology of them without a transport."""
    place = tmp_path / "work"
    place.mkdir()
    (place / "agents.py").write_text(AGENTS)
    (place / "topology.yaml").write_text(CHILDREN)
    return place


def with_transport(folder: Path, **block: Any) -> None:
    transport = f"transport: {json.dumps(block)}\n"
    (folder / "topology.yaml").write_text(transport + CHILDREN)


def with_instrument(folder: Path, **block: Any) -> None:
    (folder / "topology.yaml").write_text(f"instruments: {json.dumps([block])}\n" + CHILDREN)


USES = {
    "civitas.v1.transports": ("transport", with_transport),
    "civitas.v1.instruments": ("instrument", with_instrument),
}
"""By the group of a plugin's entry point its kind, and what writes a topology that names it."""


def civitas(environment: Environment, folder: Path, *arguments: str) -> str:
    return environment.run(environment.command("civitas"), *arguments, cwd=folder)


def of_others(name: str) -> set[str]:
    """Return what a distribution of ours needs of others, without what that needs in turn."""
    return {each.name for each in WORKSPACE[name].requirements} - WORKSPACE.keys()


@pytest.fixture(scope="session")
def core_alone(
    built: dict[str, Built], shelf: Path, third_party: Path, tmp_path_factory: Any
) -> Environment:
    """An environment where only core is installed, and nothing else ever."""
    environment = Environment.make(tmp_path_factory.mktemp("core") / "environment")
    environment.install("civitas-core", sources=(shelf, third_party))
    return environment


@pytest.fixture(scope="session")
def of_core(core_alone: Environment) -> set[str]:
    """The distributions that core brings, itself included."""
    return set(core_alone.installed())


def test_core_alone_runs_agents_and_brings_no_transport_and_no_pytest(
    core_alone: Environment, of_core: set[str], folder: Path
) -> None:
    assert of_core & WORKSPACE.keys() == {"civitas-core"}
    of_plugins = set().union(*map(of_others, PLUGINS))
    assert {"pyzmq", "nats-py"} <= of_plugins
    assert not of_core & {*of_plugins, "pytest"}
    out = civitas(core_alone, folder, "run", "topology.yaml")
    assert out.splitlines() == ["Hello, Ada! from here", "foreign modules:"]
    where = "import civitas; print(civitas.__file__)"
    file = core_alone.run(core_alone.python, "-P", "-c", where, cwd=folder)
    assert Path(file.strip()).is_relative_to(core_alone.folder)


def test_a_plugin_that_is_named_says_what_to_install_and_works_when_that_is_done(
    prepare: Prepare, folder: Path
) -> None:
    environment = prepare("civitas-core")
    for name in PLUGINS:
        ((group, (point,)),) = WORKSPACE[name].project["entry-points"].items()
        kind, write_topology = USES[group]
        before = environment.installed()
        write_topology(folder, type=point)
        with pytest.raises(CommandError, match="ended with 2") as refused:
            civitas(environment, folder, "run", "topology.yaml")
        assert "Traceback" not in str(refused.value)
        advice = re.search(r"run: (pip install .*?) \[plugin-not-installed;", str(refused.value))
        assert advice, refused.value
        assert advice[1] == f'pip install "{name}"'
        prepare(*shlex.split(advice[1])[2:], into=environment)
        new = {each for each, _ in environment.installed().items() - before.items()}
        assert new >= {name, *of_others(name)}
        assert new & WORKSPACE.keys() == {name}
        check = civitas(environment, folder, "plugins", "check", point)
        assert re.match(rf"ok +{kind} +{point} \({name} ", check)


def test_two_processes_talk_over_zmq_when_the_extra_is_added_to_a_core_that_is_there(
    prepare: Prepare, folder: Path
) -> None:
    environment = prepare("civitas-core")
    prepare("civitas-core[zmq]", into=environment)
    addresses = {"pub_addr": free_address(), "sub_addr": free_address()}
    with_transport(folder, type="zmq", **addresses)
    out = civitas(environment, folder, "up", "topology.yaml")
    assert "supervisor | Hello, Ada! from afar" in out
    assert "supervisor | foreign modules: zmq" in out


WITHOUT_CODE = "civitas"
OTEL = {"civitas-opentelemetry", "opentelemetry-api"}
ALL = {"civitas-zmq", "pyzmq", "civitas-nats", "nats-py", *OTEL}
WITH_EXTRAS = {
    "civitas-core[zmq]": {"civitas-zmq", "pyzmq"},
    "civitas-core[nats]": {"civitas-nats", "nats-py"},
    "civitas-core[otel]": OTEL,
    "civitas-core[all]": ALL,
    f"{WITHOUT_CODE}[all]": {WITHOUT_CODE, *ALL},
}


def test_the_distribution_without_code_has_the_extras_of_core_and_no_others() -> None:
    extras = WORKSPACE[WITHOUT_CODE].extras
    of_core = {f"civitas-core[{extra}]" for extra in extras}
    assert of_core == {each for each in WITH_EXTRAS if each.startswith("civitas-core")}
    for extra, (needed,) in extras.items():
        assert (needed.name, needed.extras) == ("civitas-core", {extra})


@pytest.mark.parametrize("requirement", WITH_EXTRAS)
def test_the_extras_pull_what_they_say_and_nothing_else(
    prepare: Prepare, of_core: set[str], folder: Path, requirement: str
) -> None:
    environment = prepare(requirement)
    assert set(environment.installed()) == of_core | WITH_EXTRAS[requirement]
    assert "incompatible" not in civitas(environment, folder, "plugins", "list")


def test_the_extra_testing_brings_the_conformance_kit_to_run(
    prepare: Prepare, of_core: set[str], folder: Path, repository: Path
) -> None:
    environment = prepare("civitas-core[testing]")
    assert set(environment.installed()) - of_core == {"pytest", "iniconfig"}
    page = (repository / "docs/conformance.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    suite = next(block for block in blocks if "class TestMine(TransportConformance)" in block)
    (folder / "test_mine.py").write_text(suite)
    out = environment.run(environment.command("pytest"), "-q", "-k", "frame", cwd=folder)
    assert re.search(r"TestMine: transport conformance \d+\.\d+: [1-9]\d* of \d+ passed", out)


def test_two_versions_that_do_not_fit_are_refused_by_pip_and_diagnosed_where_they_are_forced(
    prepare: Prepare, built: dict[str, Built], folder: Path, tmp_path: Path
) -> None:
    early = early_release(built["civitas-zmq"], tmp_path / "early")
    with pytest.raises(CommandError, match=r"civitas-zmq==0\.7\.0 .* conflicting"):
        prepare("civitas-core", str(early))
    environment = prepare("civitas-core")
    prepare("--no-deps", str(early), into=environment)
    with_transport(folder, type="zmq")
    with pytest.raises(CommandError, match="ended with 2") as refused:
        civitas(environment, folder, "run", "topology.yaml")
    core = environment.installed()["civitas-core"]
    for part in (
        f"'zmq' of civitas-zmq 0.7.0 needs civitas-core>=0.7,<0.8, and civitas-core {core} is",
        'run: pip install --upgrade "civitas-core>=0.7,<0.8" [plugin-incompatible;',
    ):
        assert part in str(refused.value)
    rows = json.loads(civitas(environment, folder, "plugins", "list", "--json"))
    assert {row["name"]: row["state"] for row in rows}["zmq"] == "incompatible"


def early_release(built: Built, folder: Path) -> Path:
    """Build the next but some release of a plugin, which needs a core that is not here yet."""
    folder.mkdir()
    with tarfile.open(built.sdist) as archive:
        # Python 3.11.2 has no filters, and later ones warn of their absence.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(folder)
    (project,) = folder.iterdir()
    settings = project / "pyproject.toml"
    text = re.sub(r'(?m)^version = ".*"', 'version = "0.7.0"', settings.read_text())
    text, count = re.subn(r'"civitas-core[^"]*"', '"civitas-core>=0.7,<0.8"', text)
    assert count == 1
    settings.write_text(text)
    return build(project, folder / "dist").wheel

"""What a command runs of a topology and its folder: a topology is code, and may be foreign."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from support.commands import COMMAND, completed

pytestmark = pytest.mark.slow

MARKS = """
import pathlib
with (pathlib.Path(__file__).parent / "imported").open("a") as file:
    file.write(__name__ + "\\n")
"""

AGENTS = (
    MARKS
    + """
from civitas import AgentProcess

class Greeter(AgentProcess):
    def __init__(self, name, greeting):
        super().__init__(name)
"""
)

PLUGIN = (
    MARKS
    + """
from civitas.plugins import TransportSpec, hookimpl

@hookimpl
def civitas_transports():
    yield TransportSpec("pigeon", "Slow but sure", print)
"""
)

SHADOWS = ("json", "logging", "yaml", "rich", "pydantic", "typer", "importlib_metadata", "zmq")
"""Modules of a folder that have the names of modules which commands use."""

ALSO_RUN = ("sitecustomize", "usercustomize", "conftest", "__main__", "civitas")

TOPOLOGY = """\
transport: {{type: {transport}}}
supervision:
  name: root
  children:
    - agent: {{name: a, type: my_agents.Greeter, config: {{greeting: Hi, wrong: 1}}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of somebody else's."""
    (tmp_path / "my_agents.py").write_text(AGENTS)
    (tmp_path / "pigeon_plugin.py").write_text(PLUGIN)
    for name in (*SHADOWS, *ALSO_RUN):
        (tmp_path / f"{name}.py").write_text(MARKS)
    (tmp_path / ".env").write_text("CIVITAS_PLUGINS=nothing")
    info = tmp_path / "pigeon-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[civitas.v1.transports]\npigeon = pigeon_plugin\n")
    for transport in ("in_process", "zmq", "pigeon"):
        (tmp_path / f"{transport}.yaml").write_text(TOPOLOGY.format(transport=transport))
    return tmp_path


def imported(folder: Path) -> list[str]:
    marks = folder / "imported"
    return marks.read_text().split() if marks.exists() else []


def civitas(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return completed(COMMAND, *arguments, cwd=folder, **settings)


@pytest.mark.parametrize(
    "arguments",
    [
        ["topology", "validate", "--no-import", "in_process.yaml"],
        ["topology", "validate", "--no-import", "zmq.yaml"],
        ["topology", "validate", "--no-import", "pigeon.yaml"],
        ["topology", "validate", "--no-import", "--json", "zmq.yaml"],
        ["topology", "show", "--no-import", "zmq.yaml"],
        ["topology", "show", "--no-import", "--app-dir=.", "in_process.yaml"],
        ["topology", "schema"],
        ["topology", "schema", "--no-import"],
        ["plugins", "list"],
        ["plugins", "check"],
        ["plugins", "show", "pigeon"],
        ["version"],
        ["ask", "a", "{}", "--topology=zmq.yaml", "--connect-timeout=0.1"],
        ["send", "a", "{}", "--topology=zmq.yaml", "--connect-timeout=0.1"],
        ["stats", "--topology=zmq.yaml", "--connect-timeout=0.1"],
        ["stats", "--topology=pigeon.yaml"],
        ["check", "zmq.yaml", "--connect-timeout=0.1"],
        ["restart", "a", "--topology=zmq.yaml", "--connect-timeout=0.1"],
        ["top", "zmq.yaml", "--once", "--connect-timeout=0.1"],
        ["dead-letters", "list", "--topology=zmq.yaml"],
    ],
    ids=" ".join,
)
def test_a_command_that_talks_lists_or_judges_runs_nothing_of_the_folder(
    folder: Path, arguments: list[str]
) -> None:
    done = civitas(folder, *arguments)
    assert imported(folder) == []
    assert "Traceback" not in done.stderr


def test_what_is_in_the_app_folder_is_no_plugin(folder: Path) -> None:
    done = civitas(folder, "topology", "validate", "pigeon.yaml")
    assert done.returncode == 2
    assert "unknown transport 'pigeon'" in done.stderr
    assert "pigeon_plugin" not in imported(folder)


def test_a_topology_is_judged_without_an_import_and_what_was_not_is_said(folder: Path) -> None:
    done = civitas(folder, "topology", "validate", "--no-import", "zmq.yaml")
    assert (done.returncode, done.stdout) == (
        0,
        "zmq.yaml has no mistake in what was judged (agents: 1, supervisors: 1, transport: zmq, "
        "serializer: msgpack, worker processes: none)\n",
    )
    transport, classes = done.stderr.splitlines()
    assert transport.startswith("note: not judged: whether the transport 'zmq' of civitas-zmq ")
    assert transport.endswith(" works, and its options: it was not imported")
    assert classes == (
        "note: not judged: the classes of agents, and `config`: not imported were my_agents.Greeter"
    )


def test_json_says_what_was_not_judged(folder: Path) -> None:
    done = civitas(folder, "topology", "validate", "--no-import", "in_process.yaml", "--json")
    report = json.loads(done.stdout)
    assert report["valid"] is True
    assert [each.split(",")[0] for each in report["not_judged"]] == ["the classes of agents"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type: my_agents.Greeter", "is neither `package.module.Class` nor a name"),
        ("strategy: one_by_one", "did you mean 'ONE_FOR_ONE'?"),
        ("transport: {type: zmqq}", "did you mean 'zmq'?"),
        ("transport: {type: in_process, loft: x}", "has no option 'loft'"),
        ("serializer: jsn", "did you mean 'json'?"),
        ("name: ${NO_SUCH_VARIABLE_AT_ALL}", "is not set"),
    ],
)
def test_all_else_is_judged_without_an_import(folder: Path, text: str, said: str) -> None:
    key = text.partition(":")[0]
    topology = {
        "type": TOPOLOGY.format(transport="zmq").replace("my_agents.Greeter", "1x"),
        "strategy": TOPOLOGY.format(transport="zmq").replace("name: root", f"name: r\n  {text}"),
        "transport": TOPOLOGY.format(transport="zmq").replace("transport: {type: zmq}", text),
        "serializer": TOPOLOGY.format(transport="zmq") + text,
        "name": TOPOLOGY.format(transport="zmq").replace("name: root", text),
    }[key]
    (folder / "t.yaml").write_text(topology)
    done = civitas(folder, "topology", "validate", "--no-import", "t.yaml")
    assert done.returncode == 2
    assert said in done.stderr
    assert imported(folder) == []


def test_with_imports_the_same_topology_is_wrong(folder: Path) -> None:
    done = civitas(folder, "topology", "validate", "in_process.yaml")
    assert done.returncode == 2
    assert "Greeter takes no argument 'wrong'" in done.stderr
    assert "my_agents" in imported(folder)


def test_options_of_a_plugin_that_is_not_imported_are_masked(folder: Path) -> None:
    text = TOPOLOGY.format(transport="zmq, loft: sesame, curve: {keys: sesame}")
    (folder / "t.yaml").write_text(text)
    done = civitas(folder, "topology", "show", "--no-import", "--json", "t.yaml")
    shown = json.loads(done.stdout)
    assert shown["transport"] == {"type": "zmq", "loft": "***", "curve": "***"}
    assert shown["supervision"]["children"][0]["agent"]["type"] == "my_agents.Greeter"
    assert "sesame" not in done.stdout + done.stderr


def test_a_schema_without_imports_has_the_built_in_plugins(folder: Path) -> None:
    def transports(*options: str) -> list[str]:
        schema = json.loads(civitas(folder, "topology", "schema", *options).stdout)
        return sorted(each for each in schema["$defs"] if each.startswith("transport."))

    assert transports("--no-import") == ["transport.in_process"]
    assert "transport.zmq" in transports()


# --- secrets -------------------------------------------------------------------------------------

KEEPER = """
import logging
from civitas import AgentProcess

class Early(AgentProcess):
    def __init__(self, name, url, password="none"):
        raise ValueError(f"no login at {url} with {password}")

class Late(AgentProcess):
    def __init__(self, name, url, password="none"):
        super().__init__(name)
        self.said = f"no login at {url} with {password}"

    async def on_start(self):
        logging.getLogger("keeper").error(self.said)
        raise ValueError(self.said)
"""

KEPT = """\
supervision:
  name: root
  children:
    - agent: {{name: a, type: keeper.{cls}, config: {{url: "${{KEEPER_TOKEN}}", {more}}}}}
"""


@pytest.mark.parametrize("cls", ["Early", "Late"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_secret_of_config_is_in_no_error_and_no_log_of_run(
    tmp_path: Path, cls: str, level: str
) -> None:
    (tmp_path / "keeper.py").write_text(KEEPER)
    (tmp_path / "t.yaml").write_text(KEPT.format(cls=cls, more="password: sesame"))
    done = civitas(tmp_path, "run", "t.yaml", f"--log-level={level}", KEEPER_TOKEN="open-up")
    assert done.returncode in (1, 2)
    assert "no login at *** with ***" in done.stderr
    assert "sesame" not in done.stderr
    assert "open-up" not in done.stderr


def test_a_short_value_or_one_of_another_name_is_shown(tmp_path: Path) -> None:
    (tmp_path / "keeper.py").write_text(KEEPER)
    text = KEPT.replace("${{KEEPER_TOKEN}}", "${{KEEPER_PLACE}}")
    (tmp_path / "t.yaml").write_text(text.format(cls="Late", more="password: yes1"))
    done = civitas(tmp_path, "run", "t.yaml", KEEPER_PLACE="at-home")
    assert "no login at at-home with yes1" in done.stderr


def test_python_is_told_of_no_secret_of_config_either(tmp_path: Path) -> None:
    (tmp_path / "keeper.py").write_text(KEEPER)
    (tmp_path / "t.yaml").write_text(KEPT.format(cls="Early", more="password: sesame"))
    code = "from civitas import Runtime; Runtime.from_config('t.yaml')"
    settings = {"KEEPER_TOKEN": "open-up", "PYTHONPATH": os.fspath(tmp_path)}
    done = completed(COMMAND.with_name("python"), "-c", code, cwd=tmp_path, **settings)
    last = done.stderr.splitlines()[-1]
    assert last.endswith("raised ValueError: no login at *** with ***")

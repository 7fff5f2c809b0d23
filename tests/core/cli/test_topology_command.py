"""`civitas topology`, driven as it is installed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.commands import COMMAND, completed
from support.forked_commands import printed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_programs")]

AGENTS = """
from civitas import AgentProcess

class Greeter(AgentProcess):
    def __init__(self, name, greeting="Hello", token=""):
        super().__init__(name)

class Reader(AgentProcess):
    pass
"""

GOOD = """\
transport:
  type: in_process
supervision:
  name: root
  children:
    - agent:
        name: greeter
        type: my_agents.Greeter
        config:
          greeting: Hi
          token: sesame
    - supervisor:
        name: readers
        strategy: one_for_all
        children:
          - agent: {name: reader, type: my_agents.Reader, process: worker, mailbox_size: 5}
"""

BAD = """\
transport:
  type: in_process
  loft: ada:sesame@roof
supervision:
  name: root
  stratgy: ONE_FOR_ALL
  children:
    - agent:
        name: greeter
        type: my_agents.Greter
        mailbox_size: "5"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_agents.py").write_text(AGENTS)
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    return tmp_path


def civitas(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return printed("civitas", "topology", *arguments, cwd=folder, **settings)


def test_a_good_topology_is_valid(folder: Path) -> None:
    done = civitas(folder, "validate", "good.yaml")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "good.yaml is valid (agents: 2, supervisors: 2, transport: in_process, "
        "serializer: msgpack, worker processes: worker)\n"
    )


def test_without_a_file_it_is_topology_yaml_and_an_option_names_another(folder: Path) -> None:
    (folder / "topology.yaml").write_text(GOOD)

    assert civitas(folder, "validate").stdout.startswith("topology.yaml is valid (")
    assert "readers (supervisor)" in civitas(folder, "show").stdout
    named = civitas(folder, "show", "--topology", "good.yaml", "--json")
    assert json.loads(named.stdout)["file"] == "good.yaml"


def test_a_bad_topology_is_refused_with_all_its_mistakes(folder: Path) -> None:
    done = civitas(folder, "validate", "bad.yaml")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: the topology has 4 problems",
        "bad.yaml:3: transport.loft: transport 'in_process' has no option 'loft' "
        "(it has no options; is it one of another transport?)",
        "bad.yaml:6: supervision.stratgy: unknown key 'stratgy' (did you mean 'strategy'?)",
        "bad.yaml:10: supervision.children.0.agent.type: the module 'my_agents' has no 'Greter' "
        "(did you mean 'Greeter'?)",
        "bad.yaml:11: supervision.children.0.agent.mailbox_size: must be a whole number, not text "
        "(remove the quotes)",
    ]


def test_validate_prints_json_for_programs(folder: Path) -> None:
    good = civitas(folder, "validate", "good.yaml", "--json")
    bad = civitas(folder, "validate", "bad.yaml", "--json")

    assert (good.returncode, bad.returncode) == (0, 2)
    assert json.loads(good.stdout) == {
        "valid": True,
        "file": "good.yaml",
        "overlays": [],
        "agents": 2,
        "supervisors": 2,
        "transport": "in_process",
        "serializer": "msgpack",
        "worker_processes": ["worker"],
        "not_judged": [],
        "problems": [],
    }
    report = json.loads(bad.stdout)
    assert report["valid"] is False
    assert [each["line"] for each in report["problems"]] == [3, 6, 10, 11]
    assert report["problems"][1] == {
        "file": "bad.yaml",
        "line": 6,
        "path": "supervision.stratgy",
        "message": "unknown key 'stratgy'",
        "suggestion": "did you mean 'strategy'?",
        "code": "configuration",
    }


@pytest.mark.parametrize("command", ["validate", "show"])
@pytest.mark.parametrize("content", [None, "", "a: [", "- a", "\x00", "\xff\xfe"])
def test_a_user_s_mistake_is_no_traceback(folder: Path, command: str, content: str | None) -> None:
    if content is not None:
        (folder / "t.yaml").write_bytes(content.encode("latin-1"))

    done = civitas(folder, command, "t.yaml")

    assert done.returncode == 2
    assert done.stderr.startswith("error: t.yaml")
    assert "Traceback" not in done.stderr


def test_overrides_apply_and_what_is_dropped_is_said(folder: Path) -> None:
    (folder / "t.yaml").write_text(GOOD.replace("in_process", "pigeon\n  loft: ${NO_SUCH_LOFT}"))

    done = civitas(
        folder,
        *("validate", "t.yaml", "--transport", "in_process"),
        *("--set", "serializer=json", "--set", "supervision.children.greeter.process=other"),
    )

    assert done.returncode == 0
    assert done.stderr == (
        "note: --transport in_process replaces the transport block at t.yaml:1 (type pigeon); "
        "dropped: loft\n"
    )
    assert "serializer: json, worker processes: other worker" in done.stdout


def test_a_bad_override_names_the_option(folder: Path) -> None:
    done = civitas(folder, "validate", "good.yaml", "--set", "supervision.max_restart=5")

    assert done.returncode == 2
    assert done.stderr == (
        "error: --set supervision.max_restart: unknown key 'max_restart' "
        "(did you mean 'max_restarts'?)\n"
    )


def test_agents_are_imported_from_the_app_dir(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()

    missing = civitas(elsewhere, "validate", "../good.yaml")
    found = civitas(elsewhere, "validate", "../good.yaml", "--app-dir", "..")

    assert missing.returncode == 2
    assert "there is no module 'my_agents'" in missing.stderr
    assert found.returncode == 0


def test_show_draws_the_tree(folder: Path) -> None:
    done = civitas(folder, "show", "good.yaml")

    assert (done.returncode, done.stderr) == (0, "")
    transport, serializer, root, greeter, readers, reader = done.stdout.splitlines()
    assert transport == "transport in_process"
    assert serializer == "serializer msgpack"
    assert root.startswith("root (supervisor)  strategy=ONE_FOR_ONE")
    assert "greeter  type=my_agents.Greeter  process=supervisor" in greeter
    assert "config=greeting token" in greeter
    assert "readers (supervisor)  strategy=ONE_FOR_ALL" in readers
    assert "reader  type=my_agents.Reader  process=worker  mailbox_size=5" in reader


def test_show_cuts_nothing_in_a_narrow_terminal(folder: Path) -> None:
    wide = civitas(folder, "show", "good.yaml", COLUMNS="500")
    narrow = civitas(folder, "show", "good.yaml", COLUMNS="40")
    assert "backoff_max=60.0" in narrow.stdout
    assert narrow.stdout == wide.stdout


def test_show_prints_json_without_the_values_of_config(folder: Path) -> None:
    done = civitas(folder, "show", "good.yaml", "--json")

    shown = json.loads(done.stdout)
    assert shown["transport"] == {"type": "in_process"}
    assert shown["supervision"]["children"][0] == {
        "agent": {
            "name": "greeter",
            "type": "my_agents.Greeter",
            "process": "supervisor",
            "config": ["greeting", "token"],
        }
    }
    assert "sesame" not in done.stdout


def test_schema_is_a_json_schema(folder: Path) -> None:
    done = civitas(folder, "schema")

    schema = json.loads(done.stdout)
    assert done.returncode == 0
    assert schema["$schema"].endswith("2020-12/schema")
    assert "supervision" in schema["properties"]


@pytest.mark.parametrize("command", ["validate", "show"])
def test_what_a_module_prints_is_not_in_the_json(folder: Path, command: str) -> None:
    noise = 'import os\nprint("from python")\nos.system("echo from a child")\n'
    (folder / "my_agents.py").write_text(noise + AGENTS)
    done = civitas(folder, command, "good.yaml", "--json")
    assert done.returncode == 0
    assert isinstance(json.loads(done.stdout), dict)
    assert "from python" in done.stderr
    assert "from a child" in done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_name_that_the_terminal_can_not_show_is_escaped(folder: Path, options: list[str]) -> None:
    topology = GOOD.replace("name: greeter", "name: grüßer")
    (folder / "good.yaml").write_text(topology, encoding="utf-8")
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = completed(COMMAND, "topology", "show", "good.yaml", *options, cwd=folder, **ascii_only)
    assert done.returncode == 0, done.stderr
    assert "\\xfc" in done.stdout or "\\u00fc" in done.stdout
    if options:
        agent = json.loads(done.stdout)["supervision"]["children"][0]["agent"]
        assert agent["name"] == "grüßer"


def test_a_closed_stdout_is_no_failure(folder: Path) -> None:
    done = completed("sh", "-c", f"exec {COMMAND} topology validate good.yaml >&-", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")

"""Instruments are plugins like any other: found, named, checked and diagnosed in the same way."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.slow

CENSUS = """
import sys

from civitas.plugins import InstrumentSpec, hookimpl
from pydantic import BaseModel, ConfigDict, Field, SecretStr

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    slow: float = Field(1.0, gt=0, description="Seconds from which on a handler is slow.")
    key: SecretStr = Field(SecretStr("none"), description="Known to who counts.")

class Census:
    def __init__(self, options, context):
        if options.slow > 9:
            raise RuntimeError("too slow with " + options.key.get_secret_value())
        self.text = f"{context.process} {context.is_primary} {len(context.node)} {options.slow}"

    def start(self, node):
        print("census", self.text, node.role, file=sys.stderr)

    def sending(self, message):
        raise OSError("no room")

@hookimpl
def civitas_instruments():
    yield InstrumentSpec("census", "Counts", Census, Options)
"""

BARE = """
from civitas.plugins import InstrumentSpec, hookimpl

class Census:
    {body}

@hookimpl
def civitas_instruments():
    yield InstrumentSpec("census", "Counts", lambda options, context: Census())
"""

AGENTS = """
from civitas import AgentProcess

class Done(AgentProcess):
    async def on_start(self):
        await self.send("done", {})

    async def handle(self, message):
        self.stop()
"""

TREE = """
supervision:
  name: root
  children:
    - agent: {name: done, type: agents.Done}
"""


@pytest.fixture
def project(scratch):
    scratch.lay("census", {"plugin": CENSUS}, instruments="census.plugin")
    (scratch.root / "agents.py").write_text(AGENTS)
    return scratch


def run(project, block, *command, **settings):
    (project.root / "topology.yaml").write_text(block + TREE)
    return project.command(*(command or ("run", "topology.yaml")), **settings)


@pytest.mark.parametrize(
    ("block", "slow"),
    [
        ("instruments: [{type: census, slow: 0.5}]", 0.5),
        ("instruments: [census]", 1.0),
        ('instruments: ["census:census"]', 1.0),
    ],
)
def test_an_instrument_of_the_topology_watches_the_node_and_its_fault_stops_nothing(
    project, block, slow
):
    done = run(project, block)
    assert done.returncode == 0, done.stderr
    assert f"census supervisor True 16 {slow} primary\n" in done.stderr
    assert done.stderr.count("instrument 'census': sending raised OSError: no room") == 1


def test_what_is_installed_and_not_named_is_not_even_imported(project):
    done = run(project, "instruments: []")
    assert (done.returncode, "census" in done.stderr) == (0, False)


@pytest.mark.parametrize(
    ("item", "line", "path", "parts"),
    [
        ("{type: census, solw: 2}", 3, "instruments.1.solw", ["did you mean 'slow'?"]),
        ("{type: census, slow: soon}", 3, "instruments.1.slow", ["must be a number"]),
        ("{type: censsu}", 3, "instruments.1.type", ["did you mean 'census'?", "/bin/python"]),
        ("msgpack", 3, "instruments.1", ["'msgpack' is a serializer"]),
        ("7", 3, "instruments.1", ["must be the name of an instrument"]),
        ("{type: census, slow: 10, key: sesame}", 3, "instruments.1", ["too slow with ***"]),
    ],
)
def test_what_is_wrong_with_one_is_told_with_its_line_and_no_secret(
    project, item, line, path, parts
):
    block = f"instruments:\n  - census\n  - {item}"
    ran = run(project, block)
    judged = run(project, block, "topology", "validate", "topology.yaml", "--json")
    (problem,) = json.loads(judged.stdout)["problems"]
    assert (problem["line"], problem["path"]) == (line, path)
    assert ran.returncode == judged.returncode == 2
    assert all(part in ran.stderr for part in parts), ran.stderr
    assert "sesame" not in ran.stderr + judged.stdout
    assert "Traceback" not in ran.stderr


def test_a_list_is_wanted(project):
    done = run(project, "instruments: census")
    assert done.returncode == 2
    assert "topology.yaml:1: instruments: must be a list" in done.stderr
    assert "instruments: [{type: NAME}]" in done.stderr


def test_the_topology_is_shown_without_secrets(project):
    block = "instruments: [{type: census, key: sesame}]"
    shown = run(project, block, "topology", "show", "topology.yaml", "--json")
    (instrument,) = json.loads(shown.stdout)["instruments"]
    assert instrument == {"type": "census", "slow": 1.0, "key": "***"}
    text = run(project, block, "topology", "show", "topology.yaml").stdout
    assert "instrument census  slow=1.0" in text
    assert "sesame" not in shown.stdout + text


def test_the_options_are_in_the_schema(project):
    schema = json.loads(project.command("topology", "schema").stdout)
    options = schema["$defs"]["instrument.census"]
    assert set(options["properties"]) == {"type", "slow", "key"}
    given = schema["properties"]["instruments"]["items"]["anyOf"]
    assert {"$ref": "#/$defs/InstrumentBlock"} in given
    assert {"enum": ["log", "census"]} in given[0]["anyOf"]


def test_it_is_listed_shown_and_checked(project):
    listed = {
        (row["kind"], row["name"]): row["state"]
        for row in json.loads(project.civitas("list", "--json").stdout)
    }
    assert listed["instrument", "census"] == "ok"
    shown = json.loads(project.civitas("show", "census", "--json").stdout)
    assert [each["name"] for each in shown["options"]] == ["slow", "key"]
    assert "capabilities" not in shown
    checked = project.civitas("check", "census")
    assert (checked.returncode, checked.stdout.split()[:3]) == (0, ["ok", "instrument", "census"])


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("pass", "what its factory makes is no Instrument: Census has none of its methods"),
        ("async def sending(self, message): ...", "write `def sending`"),
        ("def handling(self, role): ...", "can't be called as handling(role, message)"),
    ],
)
def test_what_its_factory_makes_is_checked(scratch, body, problem):
    scratch.lay("census", {"plugin": BARE.replace("{body}", body)}, instruments="census.plugin")
    (verdict,) = json.loads(scratch.civitas("check", "census", "--json").stdout)
    assert verdict["state"] == "broken"
    assert problem in verdict["error"]["problem"]


GOOD = BARE.replace("{body}", "def sending(self, message): ...")


def diagnosis(scratch, name="census", **settings):
    result = scratch.load(name, kind="instrument", **settings)
    assert not {"census", "counting"} & set(result["modules"]) or name == "raises"
    return result["error"]


def test_each_state_in_which_it_can_not_be_used_has_its_code(scratch):
    scratch.lay("census", {"plugin": GOOD}, instruments="census.plugin")
    assert diagnosis(scratch, "consensus")["code"] == "plugin-unknown"
    told = diagnosis(scratch, CIVITAS_DISABLE_PLUGINS="census")
    assert told["code"] == "plugin-disabled"
    assert told["text"].startswith("topology.yaml:7: instrument 'census' of census 1.0")
    scratch.install("counting", name="census", group="civitas.v1.instruments")
    conflict = diagnosis(scratch)
    assert conflict["code"] == "plugin-conflict"
    assert 'type: "census:census"' in conflict["text"]
    scratch.install("later", name="later", group="civitas.v2.instruments")
    assert diagnosis(scratch, "later")["code"] == "plugin-incompatible"
    scratch.lay("raises", {"plugin": "raise OSError('no')"}, instruments="raises.plugin")
    assert diagnosis(scratch, "raises")["code"] == "plugin-broken"


def test_a_group_that_nothing_reads_is_misplaced(scratch):
    scratch.install("census", name="census", group="civitas.instruments")
    (row,) = [
        each
        for each in json.loads(scratch.civitas("list", "--json").stdout)
        if each["name"] == "census"
    ]
    assert (row["kind"], row["state"]) == ("instrument", "misplaced")
    assert "civitas.v1.instruments" in row["note"]


def test_instruments_are_given_in_code_by_name_with_options_or_as_they_are(project):
    program = """
import asyncio, json
from civitas import AgentProcess, Runtime, Supervisor

class Mine:
    def sending(self, message):
        1 / 0

class Ready(AgentProcess):
    async def handle(self, message):
        return self.reply({})

async def main():
    given = ["census", {"type": "census", "slow": 3}, Mine()]
    async with Runtime(Supervisor("root", [Ready("ready")]), instruments=given) as runtime:
        await runtime.ask("ready", {})
        return runtime.stats().instruments

found = {"faults": asyncio.run(main())}
for name, given in {"option": {"type": "census", "solw": 3}, "name": "censsu"}.items():
    try:
        Runtime(Supervisor("root"), instruments=[given])
    except Exception as error:
        found[name] = str(error)
print(json.dumps(found))
"""
    found = project.python(program)
    assert found["faults"] == {
        **{"census": {"sending": 1}, "census (2)": {"sending": 1}, "Mine": {"sending": 1}},
    }
    assert "did you mean 'slow'?" in found["option"]
    assert "did you mean 'census'?" in found["name"]


def test_a_command_that_only_talks_to_a_system_makes_none(project):
    program = """
import json
from civitas import AgentProcess
from civitas._node.build import components_of
from civitas.topology import load_topology_mapping

tree = {"name": "root", "children": []}
topology = load_topology_mapping(
    {"instruments": ["census"], "supervision": tree}, agent_base=AgentProcess
)
made = [components_of(topology, "x", watched=each).instruments.failures() for each in (True, False)]
print(json.dumps(made))
"""
    assert project.python(program) == [{"census": {}}, {}]

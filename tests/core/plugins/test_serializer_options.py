"""A serializer has options as a transport has: in topologies, in code, and wherever they show."""

from __future__ import annotations

import json

import pytest

PACKED = """
import sys

from civitas.plugins import SerializerSpec, hookimpl
from civitas.serializer import JsonSerializer
from pydantic import BaseModel, ConfigDict, Field, SecretStr

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    level: int = Field(1, ge=0, le=9, description="How hard it tries.")
    code: SecretStr = Field(SecretStr("none"), description="Known to both.")

class Packed(JsonSerializer):
    name = "packed"

    def __init__(self, options):
        self.level = options.level
        print("level", options.level, file=sys.stderr)
        if options.level == 9:
            raise RuntimeError("too hard with " + options.code.get_secret_value())

@hookimpl
def civitas_serializers():
    yield SerializerSpec("packed", "Small", Packed, Options)
"""

AGENTS = """
from civitas import AgentProcess

class Done(AgentProcess):
    async def on_start(self):
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
    scratch.lay("packed", {"plugin": PACKED}, serializers="packed.plugin")
    (scratch.root / "agents.py").write_text(AGENTS)
    return scratch


def run(project, block, *command):
    (project.root / "topology.yaml").write_text(block + TREE)
    return project.command(*(command or ("run", "topology.yaml")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block", "level"),
    [
        ("serializer: {type: packed, level: 3}", 3),
        ("serializer: {type: packed}", 1),
        ("serializer: packed", 1),
        ("accept_serializers: [packed]", 1),
    ],
)
def test_the_factory_gets_the_options_of_the_topology_or_the_defaults(project, block, level):
    done = run(project, block)
    assert done.returncode == 0, done.stderr
    assert f"level {level}\n" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ("levl: 3", "serializer.levl", "has no option 'levl' (did you mean 'level'?)"),
        ("level: 11", "serializer.level", "must be 9 or less"),
        ("level: 9, code: sesame", "serializer", "its factory failed: RuntimeError: too hard"),
    ],
)
def test_a_mistake_has_a_line_a_path_and_no_secret(project, options, path, message):
    done = run(project, f"\nserializer: {{type: packed, {options}}}")
    assert done.returncode == 2
    assert f"topology.yaml:2: {path}: " in done.stderr
    assert message in done.stderr
    assert "sesame" not in done.stderr


@pytest.mark.slow
def test_show_and_schema_have_them_and_hide_the_secret(project):
    shown = project.command("plugins", "show", "packed").stdout
    assert "level  int" in shown
    assert "default 1" in shown
    assert "default (hidden), secret" in shown
    block = "serializer: {type: packed, level: 3, code: sesame}"
    told = run(project, block, "topology", "show", "topology.yaml", "--json").stdout
    assert json.loads(told)["serializer"]["level"] == 3
    assert "sesame" not in told
    tree = run(project, block, "topology", "show", "topology.yaml").stdout
    assert "serializer packed  level=3  code=***" in tree
    schema = json.loads(project.command("topology", "schema").stdout)
    assert set(schema["$defs"]["serializer.packed"]["properties"]) == {"type", "level", "code"}
    verdict = project.command("plugins", "check", "packed")
    assert verdict.returncode == 0, verdict.stdout


IN_CODE = """
import json

from civitas.components import build_component_set
from civitas.errors import ConfigurationError

given = [{"type": "packed", "level": 4}, "packed"]
levels = [build_component_set(serializer=each).serializer.level for each in given]
try:
    build_component_set(serializer={"type": "packed", "levl": 4})
except ConfigurationError as error:
    print(json.dumps([levels, str(error)]))
"""


@pytest.mark.slow
def test_code_gives_them_in_a_mapping(project):
    levels, refusal = project.python(IN_CODE)
    assert levels == [4, 1]
    assert "serializer 'packed' has no option 'levl' (did you mean 'level'?)" in refusal


def test_a_factory_that_takes_no_options_is_told(scratch):
    source = PACKED.replace("def __init__(self, options):", "def __init__(self):")
    scratch.lay("packed", {"plugin": source}, serializers="packed.plugin")
    assert (
        "malformed: factory is called with (options)"
        in (scratch.load("packed", kind="serializer")["error"]["problem"])
    )


def test_options_that_ignore_unknown_keys_are_refused(scratch):
    source = PACKED.replace('extra="forbid"', "")
    scratch.lay("packed", {"plugin": source}, serializers="packed.plugin")
    assert (
        "Options ignores unknown keys"
        in (scratch.load("packed", kind="serializer")["error"]["problem"])
    )
